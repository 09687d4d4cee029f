// CUDA as the kernels use it, on the host: for tests of kernels and of what launches them, without a GPU.
//
// Blocks run one after another. A block is one thread (fast), or as many as the launch says, each on a stack of its
// own. A warp runs until it waits for the block, its threads until they wait for the warp; in rising or falling order, so a barrier that
// is missing shows as a difference between the two or from one thread's result. One that not all threads reach ends the program. Shared memory is NaN at the start of a block.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

namespace emulate {
struct Index {
    uint32_t x, y, z;
};
// Of the thread that runs.
extern thread_local Index thread_index, block_index, block_size, grid_size;
extern thread_local double *shared_memory;

// Ends a thread's turn until all threads of the block have got here.
void barrier();
// What thread `thread ^ lanes` of the warp has given, bit by bit; waits for the warp alone.
uint64_t exchange(uint64_t bits, uint32_t lanes);

using Invoke = void (*)(void **arguments);
struct Registration {
    Registration(const char *name, Invoke invoke);
};

// A kernel called with pointers to its arguments, as cuLaunchKernel does.
template <auto Kernel> struct Call;
template <typename... Arguments, void (*Kernel)(Arguments...)> struct Call<Kernel> {
    template <size_t... I> static void apply(void **arguments, std::index_sequence<I...>) {
        Kernel(*static_cast<Arguments *>(arguments[I])...);
    }
    static void invoke(void **arguments) { apply(arguments, std::index_sequence_for<Arguments...>{}); }
};

inline uint32_t warp_size() { return block_size.x < 32 ? block_size.x : 32; }
} // namespace emulate

#define KERNEL extern "C" void
#define DEVICE static inline
#define EXPORT(name) EXPORT_EXPANDED(name)
#define EXPORT_EXPANDED(name)                                                                                          \
    static const emulate::Registration registration_of_##name(#name, emulate::Call<name>::invoke);
#define SHARED(type, name) type *const name = reinterpret_cast<type *>(emulate::shared_memory)
#define WARP emulate::warp_size()
#define threadIdx emulate::thread_index
#define blockIdx emulate::block_index
#define blockDim emulate::block_size
#define gridDim emulate::grid_size

static inline void __syncthreads() {
    if (blockDim.x > 1) emulate::barrier();
}

template <typename T> static inline T __shfl_xor_sync(uint32_t, T value, uint32_t lanes) {
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = emulate::exchange(bits, lanes);
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline float __uint_as_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t __float_as_uint(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}
