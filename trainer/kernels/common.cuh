// What all kernels use: numbers, dropout, sums over a block.
//
// The same sources are compiled by nvcc, and for tests by the host's C++ compiler with `emulate.h`. So that both can: kernels
// get shared memory by SHARED alone, exchange between threads by block_sum and block_max alone, and
// give the right result on any number of blocks and threads (the same bits on the same number).
// All sums have one order; there are no atomic operations.
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __CUDACC__
#define KERNEL extern "C" __global__ void
#define DEVICE static __device__ __forceinline__
#define EXPORT(name)
// All of a block's shared memory.
#define SHARED(type, name) extern __shared__ type shared_##type[]; type *const name = shared_##type
#define WARP 32u
#else
#include "emulate.h"
#endif

// The upper half of a float.
struct bf16 {
    uint16_t bits;
};

DEVICE float load(const float *from, size_t index) { return from[index]; }

DEVICE float load(const bf16 *from, size_t index) { return __uint_as_float((uint32_t)from[index].bits << 16); }

DEVICE void store(float *to, size_t index, float value) { to[index] = value; }

// To the nearest, of two equally near the even one.
DEVICE void store(bf16 *to, size_t index, float value) {
    uint32_t bits = __float_as_uint(value);
    bits += 0x7fffu + ((bits >> 16) & 1u);
    to[index].bits = value != value ? (uint16_t)0x7fc0u : (uint16_t)(bits >> 16);
}

// A place of the model where elements are dropped: `Site` of dropout.rs, for elements [rows, length, width].
struct Site {
    uint32_t key0, key1, threshold;
    float scale;
    // 0: nothing is dropped; 1: each element has a draw; 2: positions share it.
    uint32_t mode, length, width;
};

// 0, or what keeps the mean.
DEVICE float factor_at(const Site &site, uint32_t row, uint32_t position, uint32_t column) {
    if (site.mode == 0) return 1.0f;
    uint32_t index = site.mode == 1 ? (row * site.length + position) * site.width + column : row * site.width + column;
    uint32_t x = index ^ site.key0;
    x ^= x >> 16;
    x *= 0x21f0aaadu;
    x ^= x >> 15;
    x = (x + site.key1) * 0xd35a2d97u;
    x ^= x >> 15;
    return x >= site.threshold ? site.scale : 0.0f;
}

DEVICE float factor_of(const Site &site, uint32_t index) {
    if (site.mode == 0) return 1.0f;
    uint32_t line = index / site.width;
    return factor_at(site, line / site.length, line % site.length, index % site.width);
}

DEVICE float larger(float a, float b) { return a > b ? a : b; }

DEVICE float add(float a, float b) { return a + b; }

DEVICE double add(double a, double b) { return a + b; }

// A value of all threads of a block by `combine`, given to each of them. `shared` has room for a value a warp (32); all threads
// must get here.
#define BLOCK_REDUCTION(name, type, combine)                                                                           \
    DEVICE type name(type value, type *shared) {                                                                       \
        for (uint32_t lanes = WARP / 2; lanes > 0; lanes /= 2)                                                         \
            value = combine(value, __shfl_xor_sync(0xffffffffu, value, lanes));                                        \
        uint32_t warps = blockDim.x / WARP;                                                                            \
        if (warps <= 1) return value;                                                                                  \
        __syncthreads(); /* an earlier value may still be read */                                                      \
        if (threadIdx.x % WARP == 0) shared[threadIdx.x / WARP] = value;                                               \
        __syncthreads();                                                                                               \
        value = shared[0];                                                                                             \
        for (uint32_t warp = 1; warp < warps; ++warp) value = combine(value, shared[warp]);                            \
        return value;                                                                                                  \
    }

BLOCK_REDUCTION(block_sum, float, add)
BLOCK_REDUCTION(block_sum_f64, double, add)
BLOCK_REDUCTION(block_max, float, larger)

// Values that a reduction needs in shared memory.
#define REDUCTION 32u

// Elements of a grid, spread over its threads.
#define EACH(index, count)                                                                                             \
    for (size_t index = blockIdx.x * (size_t)blockDim.x + threadIdx.x; index < (count);                                \
         index += gridDim.x * (size_t)blockDim.x)

// Elements of a block, spread over its threads.
#define EACH_OF_BLOCK(index, count) for (uint32_t index = threadIdx.x; index < (count); index += blockDim.x)
