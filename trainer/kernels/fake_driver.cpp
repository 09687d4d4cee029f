// A driver, a cuBLAS and an NCCL without a GPU: as much of libcuda, libcublas and libnccl as backend/cuda/ calls, on emulate.cpp. With it the tests
// of devices run through all of our host code as on a GPU: what is loaded, what is asked for in which order, how arguments
// and matrices are passed (`make cuda-driver-test`). What a GPU does with it is not tested so.
//
// FAKE_CUDA_DEVICES: GPUs that there are (1). FAKE_CUDA_MEMORY: MiB of each (1024). FAKE_CUDA_ORDER: that of a block's
// threads, see emulate_launch (0).
#include "emulate.cpp"

#include <chrono>
#include <atomic>
#include <fcntl.h>
#include <mutex>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

namespace {
using Status = int;
constexpr Status SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_IMAGE = 200, NO_DEVICE = 100, NOT_FOUND = 500;
using Pointer = unsigned long long;

int setting(const char *name, int otherwise) {
    const char *text = getenv(name);
    return text ? atoi(text) : otherwise;
}

std::mutex lock;
std::map<Pointer, size_t> memory;
size_t used = 0;
std::string image;
thread_local void *current = nullptr;
char context, stream, handle, pool;

size_t total() { return (size_t)setting("FAKE_CUDA_MEMORY", 1024) << 20; }

// Whether `bytes` from `at` on are in one allocation.
bool inside(Pointer at, size_t bytes) {
    std::lock_guard<std::mutex> guard(lock);
    auto found = memory.upper_bound(at);
    if (found == memory.begin()) return false;
    --found;
    return at + bytes <= found->first + found->second;
}

Status fail(const char *what) {
    fprintf(stderr, "fake driver: %s\n", what);
    return INVALID_VALUE;
}

// Copies from pinned memory, which a GPU makes when their turn comes: as late as can be, so that memory that was
// written anew too early shows. All other work is done at once; memory that no such copy writes may be set before it.
struct Copy {
    Pointer to;
    const void *from;
    size_t bytes;
};
std::map<const char *, size_t> pinned;
std::vector<Copy> late;

void copy_late() {
    for (const Copy &copy : late) memcpy((void *)(uintptr_t)copy.to, copy.from, copy.bytes);
    late.clear();
}

bool is_pinned(const void *from) {
    auto found = pinned.upper_bound((const char *)from);
    if (found == pinned.begin()) return false;
    --found;
    return (const char *)from < found->first + found->second;
}

// What processes that sum together share: a file of this name, all zeros at first.
struct Id {
    char name[128];
};
constexpr size_t SLOT = 1 << 12;
struct Shared {
    std::atomic<uint32_t> arrived, round;
    float slots[16][SLOT];
};
struct Comm {
    Shared *shared;
    int size, rank;
};

// Until all have come.
void meet(const Comm *comm) {
    uint32_t round = comm->shared->round;
    if (comm->shared->arrived.fetch_add(1) + 1 == (uint32_t)comm->size) {
        comm->shared->arrived = 0;
        comm->shared->round = round + 1;
    } else {
        while (comm->shared->round == round) sched_yield();
    }
}

// An element of a matrix.
float element(const void *data, int type, long long index) {
    return type == 0 ? ((const float *)data)[index] : load((const bf16 *)data, (size_t)index);
}

// An operand of a product, rows x columns after turning, column after column.
std::vector<float> operand(const void *data, int type, long long start, int turn, int leading, int rows, int columns) {
    std::vector<float> values((size_t)rows * columns);
    for (int column = 0; column < columns; ++column)
        for (int row = 0; row < rows; ++row) {
            long long at = turn ? column + (long long)row * leading : row + (long long)column * leading;
            values[(size_t)column * rows + row] = element(data, type, start + at);
        }
    return values;
}
} // namespace

extern "C" {
Status cuInit(unsigned) { return setting("FAKE_CUDA_DEVICES", 1) > 0 ? SUCCESS : NO_DEVICE; }

Status cuDeviceGetCount(int *count) {
    *count = setting("FAKE_CUDA_DEVICES", 1);
    return SUCCESS;
}

Status cuDeviceGet(int *device, int number) {
    *device = number;
    return SUCCESS;
}

Status cuDeviceGetName(char *name, int len, int) {
    snprintf(name, (size_t)len, "fake GPU");
    return SUCCESS;
}

Status cuDeviceTotalMem_v2(size_t *bytes, int) {
    *bytes = total();
    return SUCCESS;
}

// Only whether there are memory pools is asked.
Status cuDeviceGetAttribute(int *value, int, int) {
    *value = 1;
    return SUCCESS;
}

Status cuDeviceGetDefaultMemPool(void **found, int) {
    *found = &pool;
    return SUCCESS;
}

Status cuMemPoolSetAttribute(void *of, int attribute, void *value) {
    if (of != &pool || attribute != 4 || *(uint64_t *)value != UINT64_MAX) return fail("pool");
    return SUCCESS;
}

Status cuDevicePrimaryCtxRetain(void **found, int) {
    *found = &context;
    return SUCCESS;
}

Status cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }

Status cuCtxSetCurrent(void *to) {
    current = to;
    return SUCCESS;
}

Status cuCtxGetCurrent(void **found) {
    *found = current;
    return SUCCESS;
}

Status cuCtxSynchronize() { return current ? SUCCESS : fail("no context"); }

Status cuStreamCreate(void **made, unsigned) {
    *made = &stream;
    return SUCCESS;
}

Status cuStreamSynchronize(void *of) {
    std::lock_guard<std::mutex> guard(lock);
    copy_late();
    return of == &stream ? SUCCESS : fail("stream");
}

Status cuStreamDestroy_v2(void *) { return SUCCESS; }

Status cuMemGetInfo_v2(size_t *left, size_t *all) {
    *all = total();
    *left = *all - used;
    return SUCCESS;
}

Status cuMemAllocAsync(Pointer *made, size_t bytes, void *on) {
    std::lock_guard<std::mutex> guard(lock);
    if (on != &stream || !current || bytes == 0) return fail("allocation");
    if (used + bytes > total()) return OUT_OF_MEMORY;
    void *address = malloc(bytes);
    // What is there must not matter.
    memset(address, 0xff, bytes);
    used += bytes;
    *made = (Pointer)(uintptr_t)address;
    memory[*made] = bytes;
    return SUCCESS;
}

Status cuMemFreeAsync(Pointer address, void *) {
    std::lock_guard<std::mutex> guard(lock);
    copy_late();
    auto found = memory.find(address);
    if (found == memory.end()) return fail("freed what was not allocated");
    used -= found->second;
    memory.erase(found);
    free((void *)(uintptr_t)address);
    return SUCCESS;
}

Status cuMemsetD8Async(Pointer to, unsigned char value, size_t bytes, void *on) {
    if (on != &stream || !inside(to, bytes)) return fail("memset");
    std::lock_guard<std::mutex> guard(lock);
    auto writes_there = [=](const Copy &copy) { return copy.to < to + bytes && to < copy.to + copy.bytes; };
    if (std::any_of(late.begin(), late.end(), writes_there)) copy_late();
    memset((void *)(uintptr_t)to, value, bytes);
    return SUCCESS;
}

Status cuMemcpyHtoDAsync_v2(Pointer to, const void *from, size_t bytes, void *on) {
    if (on != &stream || !inside(to, bytes)) return fail("copy to the device");
    std::lock_guard<std::mutex> guard(lock);
    if (is_pinned(from)) {
        late.push_back({to, from, bytes});
        return SUCCESS;
    }
    copy_late();
    memcpy((void *)(uintptr_t)to, from, bytes);
    return SUCCESS;
}

Status cuMemcpyDtoHAsync_v2(void *to, Pointer from, size_t bytes, void *on) {
    if (on != &stream || !inside(from, bytes)) return fail("copy from the device");
    std::lock_guard<std::mutex> guard(lock);
    copy_late();
    memcpy(to, (void *)(uintptr_t)from, bytes);
    return SUCCESS;
}

Status cuMemcpyDtoDAsync_v2(Pointer to, Pointer from, size_t bytes, void *on) {
    if (on != &stream || !inside(to, bytes) || !inside(from, bytes)) return fail("copy on the device");
    std::lock_guard<std::mutex> guard(lock);
    copy_late();
    memcpy((void *)(uintptr_t)to, (void *)(uintptr_t)from, bytes);
    return SUCCESS;
}

Status cuMemHostAlloc(void **made, size_t bytes, unsigned) {
    std::lock_guard<std::mutex> guard(lock);
    *made = malloc(bytes);
    pinned[(const char *)*made] = bytes;
    return SUCCESS;
}

Status cuMemFreeHost(void *address) {
    std::lock_guard<std::mutex> guard(lock);
    if (!pinned.erase((const char *)address)) return fail("freed what was not pinned");
    copy_late();
    free(address);
    return SUCCESS;
}

Status cuModuleLoadData(void **made, const void *ptx) {
    std::lock_guard<std::mutex> guard(lock);
    image = (const char *)ptx;
    if (image.find(".version") == std::string::npos) return INVALID_IMAGE;
    *made = &image;
    return SUCCESS;
}

Status cuModuleUnload(void *) { return SUCCESS; }

// A kernel must be in the PTX, and is then run by its name.
Status cuModuleGetFunction(void **found, void *, const char *name) {
    std::lock_guard<std::mutex> guard(lock);
    if (image.find(std::string(".visible .entry ") + name + "(") == std::string::npos) return NOT_FOUND;
    *found = strdup(name);
    return SUCCESS;
}

Status cuLaunchKernel(void *function, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned threads_y,
                      unsigned threads_z, unsigned shared, void *on, void **arguments, void **extra) {
    const uint32_t grid[3] = {x, y, z};
    bool fits = x > 0 && y > 0 && y < 65536 && z == 1 && threads >= 32 && threads <= 1024 && threads % 32 == 0;
    if (on != &stream || !current || extra || !fits || threads_y != 1 || threads_z != 1 || shared > 48 << 10)
        return fail("launch");
    {
        std::lock_guard<std::mutex> guard(lock);
        copy_late();
    }
    static const int order = setting("FAKE_CUDA_ORDER", 0);
    return emulate_launch((const char *)function, grid, threads, shared, (uint32_t)order, arguments) ? NOT_FOUND : SUCCESS;
}

// Work is done when it was asked for, so an event is a point of time.
Status cuEventCreate(void **made, unsigned) {
    *made = new std::chrono::steady_clock::time_point;
    return SUCCESS;
}

Status cuEventRecord(void *event, void *on) {
    if (on != &stream) return fail("event");
    *(std::chrono::steady_clock::time_point *)event = std::chrono::steady_clock::now();
    return SUCCESS;
}

Status cuEventSynchronize(void *) { return SUCCESS; }

Status cuEventElapsedTime_v2(float *milliseconds, void *start, void *end) {
    using Point = std::chrono::steady_clock::time_point;
    *milliseconds = std::chrono::duration<float, std::milli>(*(Point *)end - *(Point *)start).count();
    return SUCCESS;
}

Status cuEventDestroy_v2(void *event) {
    delete (std::chrono::steady_clock::time_point *)event;
    return SUCCESS;
}

Status cuGetErrorName(Status status, const char **name) {
    *name = status == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR_FAKE";
    return SUCCESS;
}

Status cuGetErrorString(Status, const char **text) {
    *text = "as the fake driver says";
    return SUCCESS;
}

Status cublasCreate_v2(void **made) {
    *made = &handle;
    return SUCCESS;
}

Status cublasDestroy_v2(void *) { return SUCCESS; }

Status cublasSetStream_v2(void *of, void *to) { return of == &handle && to == &stream ? SUCCESS : fail("cuBLAS stream"); }

// Types: 0 f32, 14 bf16. Compute type 68: f32.
Status cublasGemmStridedBatchedEx(void *of, int turn_a, int turn_b, int m, int n, int k, const float *alpha,
                                  const void *a, int a_type, int lda, long long a_stride, const void *b, int b_type,
                                  int ldb, long long b_stride, const float *beta, void *c, int c_type, int ldc,
                                  long long c_stride, int batch, int compute, int) {
    {
        std::lock_guard<std::mutex> guard(lock);
        copy_late();
    }
    bool fits = lda >= (turn_a ? k : m) && ldb >= (turn_b ? n : k) && ldc >= m && a_type == b_type;
    if (of != &handle || !fits || compute != 68 || m < 1 || n < 1 || k < 1 || batch < 1) return fail("product");
    auto last = [batch](long long columns, int leading, int rows, long long stride, int type) {
        return (size_t)((batch - 1) * stride + (columns - 1) * leading + rows) * (type == 0 ? 4 : 2);
    };
    if (!inside((Pointer)(uintptr_t)a, last(turn_a ? m : k, lda, turn_a ? k : m, a_stride, a_type)) ||
        !inside((Pointer)(uintptr_t)b, last(turn_b ? k : n, ldb, turn_b ? n : k, b_stride, b_type)) ||
        !inside((Pointer)(uintptr_t)c, last(n, ldc, m, c_stride, c_type)))
        return fail("product outside of memory");
    std::vector<float> sums((size_t)m);
    for (int number = 0; number < batch; ++number) {
        std::vector<float> left = operand(a, a_type, number * a_stride, turn_a, lda, m, k);
        std::vector<float> right = operand(b, b_type, number * b_stride, turn_b, ldb, k, n);
        for (int column = 0; column < n; ++column) {
            std::fill(sums.begin(), sums.end(), 0.0f);
            // Down the columns of `a`, which a compiler makes vectors of; each sum is still over i in order.
            for (int i = 0; i < k; ++i) {
                const float *of = left.data() + (size_t)i * m;
                float by = right[(size_t)column * k + i];
                for (int row = 0; row < m; ++row) sums[row] += of[row] * by;
            }
            for (int row = 0; row < m; ++row) {
                long long at = number * c_stride + row + (long long)column * ldc;
                float value = *alpha * sums[row] + (*beta == 0.0f ? 0.0f : *beta * element(c, c_type, at));
                if (c_type == 0)
                    ((float *)c)[at] = value;
                else
                    store((bf16 *)c, (size_t)at, value);
            }
        }
    }
    return SUCCESS;
}

int ncclGetUniqueId(Id *id) {
    memset(id, 0, sizeof *id);
    snprintf(id->name, sizeof id->name, "/tmp/fake-nccl-XXXXXX");
    int file = mkstemp(id->name);
    if (file < 0 || ftruncate(file, sizeof(Shared)) != 0) return 2;
    return close(file);
}

int ncclCommInitRank(Comm **made, int size, Id id, int rank) {
    if (!current || size < 2 || size > 16 || rank < 0 || rank >= size) return fail("NCCL's ranks");
    int file = open(id.name, O_RDWR);
    void *shared = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (file < 0 || shared == MAP_FAILED) return 2;
    close(file);
    *made = new Comm{(Shared *)shared, size, rank};
    meet(*made);
    if (rank == 0) unlink(id.name);
    return 0;
}

// Type 7: f32. Operation 0: sum.
int ncclAllReduce(const float *from, float *to, size_t count, int type, int operation, Comm *comm, void *on) {
    copy_late();
    if (on != &stream || !current || type != 7 || operation != 0) return fail("NCCL's sum");
    if (!inside((Pointer)(uintptr_t)from, 4 * count) || !inside((Pointer)(uintptr_t)to, 4 * count))
        return fail("NCCL's sum outside of memory");
    for (size_t start = 0; start < count; start += SLOT) {
        size_t len = count - start < SLOT ? count - start : SLOT;
        memcpy(comm->shared->slots[comm->rank], from + start, 4 * len);
        meet(comm);
        for (size_t i = 0; i < len; ++i) {
            float sum = 0.0f;
            for (int rank = 0; rank < comm->size; ++rank) sum += comm->shared->slots[rank][i];
            to[start + i] = sum;
        }
        meet(comm);
    }
    return 0;
}

int ncclCommAbort(Comm *comm) {
    munmap(comm->shared, sizeof(Shared));
    delete comm;
    return 0;
}
}
