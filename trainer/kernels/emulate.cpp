// See emulate.h. All kernels are part of this one file, so that the linker takes them along.
#include "all.cu"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <ucontext.h>
#include <vector>

namespace emulate {
thread_local Index thread_index, block_index, block_size, grid_size;
thread_local double *shared_memory;

namespace {
constexpr size_t STACK = 64 << 10;
const char *const OF_BLOCK = "__syncthreads";

// A thread of a block.
struct Thread {
    ucontext_t context;
    std::vector<char> stack;
    bool done = false;
    const char *waits = nullptr;
    uint64_t given = 0;
};

struct Block {
    ucontext_t turns;
    std::vector<Thread> threads;
    uint32_t current = 0;
    Invoke invoke = nullptr;
    void **arguments = nullptr;
};
thread_local Block block;

std::map<std::string, Invoke> &kernels() {
    static std::map<std::string, Invoke> all;
    return all;
}

void run_thread() {
    block.invoke(block.arguments);
    block.threads[block.current].done = true;
    swapcontext(&block.threads[block.current].context, &block.turns);
}

// All of these threads have ended, or wait at the same barrier.
void same_place(uint32_t first, uint32_t end) {
    const Thread &one = block.threads[first];
    for (uint32_t i = first + 1; i < end; ++i) {
        const Thread &thread = block.threads[i];
        if (thread.done != one.done || (!one.done && thread.waits != one.waits)) {
            fprintf(stderr, "emulated kernel: threads %u and %u part at a barrier\n", first, i);
            abort();
        }
    }
}

// Lets a warp run on until it waits for the others, or ends. Exchanges wait for its own threads alone.
void run_warp(uint32_t first, uint32_t end, bool falling) {
    do {
        for (uint32_t turn = first; turn < end; ++turn) {
            block.current = falling ? end - 1 - (turn - first) : turn;
            thread_index = {block.current, 0, 0};
            swapcontext(&block.turns, &block.threads[block.current].context);
        }
        same_place(first, end);
    } while (!block.threads[first].done && block.threads[first].waits != OF_BLOCK);
}

void run_block(bool falling) {
    uint32_t count = block_size.x;
    if (block.threads.size() < count) block.threads.resize(count);
    for (uint32_t i = 0; i < count; ++i) {
        Thread &thread = block.threads[i];
        thread.stack.resize(STACK);
        thread.done = false;
        getcontext(&thread.context);
        thread.context.uc_stack.ss_sp = thread.stack.data();
        thread.context.uc_stack.ss_size = STACK;
        thread.context.uc_link = nullptr;
        makecontext(&thread.context, run_thread, 0);
    }
    uint32_t warps = (count + 31) / 32;
    for (bool going = true; going;) {
        for (uint32_t turn = 0; turn < warps; ++turn) {
            uint32_t warp = falling ? warps - 1 - turn : turn;
            run_warp(warp * 32, std::min(count, warp * 32 + 32), falling);
        }
        same_place(0, count);
        going = !block.threads[0].done;
    }
}
} // namespace

static void wait(const char *what) {
    Thread &thread = block.threads[block.current];
    thread.waits = what;
    swapcontext(&thread.context, &block.turns);
}

void barrier() { wait(OF_BLOCK); }

uint64_t exchange(uint64_t bits, uint32_t lanes) {
    if (block_size.x <= 1) return bits;
    block.threads[block.current].given = bits;
    wait("exchange");
    uint64_t given = block.threads[block.current ^ lanes].given;
    wait("exchanged");
    return given;
}

Registration::Registration(const char *name, Invoke invoke) { kernels()[name] = invoke; }
} // namespace emulate

// Runs a kernel. `order`: 0, a block is one thread; 1 and 2, as many as `threads` in rising and falling order. Gives 0, or 1 where there is no
// such kernel.
extern "C" int emulate_launch(const char *name, const uint32_t grid[3], uint32_t threads, uint32_t shared_bytes,
                              uint32_t order, void **arguments) {
    using namespace emulate;
    auto found = kernels().find(name);
    if (found == kernels().end()) return 1;
    std::vector<double> memory(shared_bytes / sizeof(double) + 1);
    shared_memory = memory.data();
    block_size = {order == 0 ? 1 : threads, 1, 1};
    grid_size = {grid[0], grid[1], grid[2]};
    block.invoke = found->second;
    block.arguments = arguments;
    for (uint32_t z = 0; z < grid[2]; ++z)
        for (uint32_t y = 0; y < grid[1]; ++y)
            for (uint32_t x = 0; x < grid[0]; ++x) {
                block_index = {x, y, z};
                // Any pattern of all ones is a NaN.
                memset(memory.data(), 0xff, memory.size() * sizeof(double));
                if (order == 0) {
                    thread_index = {0, 0, 0};
                    found->second(arguments);
                } else {
                    run_block(order == 2);
                }
            }
    return 0;
}
