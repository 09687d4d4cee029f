/* Loaded before all other libraries (LD_PRELOAD) into a program under test: makes the n-th call of a kind fail, and logs what
 * changes files, so that a power cut can be played. Counts only calls whose file is below one folder: what the program
 * does there is the same every time, whatever its libraries do elsewhere. `faults.rs` beside it says what the variables mean. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* In the order of `Call` in faults.rs. */
enum kind { OPEN, READ, WRITE, SYNC, RENAME, MKDIR, REMOVE, MAP, TRUNCATE, STAT, LIST, LOCK, CHMOD, KINDS };

/* Shared with the test by a file. */
struct shared {
    uint64_t counts[KINDS];
    uint64_t fired;
    char path[PATH_MAX];
};

static struct shared nowhere, *shared = &nowhere;
static const char *root;
static size_t root_length;
static int wanted = -1, failure, forever, log_fd = -1;
static uint64_t at;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void start(void) {
    const char *value = getenv("FAULTS_COUNTS");
    if (value) {
        int fd = syscall(SYS_openat, AT_FDCWD, value, O_RDWR | O_CLOEXEC, 0);
        void *mapped = (void *)syscall(SYS_mmap, NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (fd >= 0 && mapped != MAP_FAILED) shared = mapped;
        syscall(SYS_close, fd);
    }
    if ((value = getenv("FAULTS_CALL"))) wanted = atoi(value);
    if ((value = getenv("FAULTS_AT"))) at = strtoull(value, NULL, 10);
    if ((value = getenv("FAULTS_ERRNO"))) failure = atoi(value);
    if ((value = getenv("FAULTS_FOREVER"))) forever = atoi(value);
    if ((value = getenv("FAULTS_LOG"))) {
        int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC;
        log_fd = syscall(SYS_openat, AT_FDCWD, value, flags, 0600);
    }
    root = getenv("FAULTS_ROOT");
    root_length = root ? strlen(root) : 0;
}

/* The path of an open file, or of a name in an open folder. */
static const char *path_of(int fd, const char *name, char *out) {
    char link[40];
    if (name && name[0] == '/') return name;
    ssize_t n = 0;
    if (fd == AT_FDCWD) {
        n = readlink("/proc/self/cwd", out, PATH_MAX - 1);
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        n = readlink(link, out, PATH_MAX - 1);
    }
    if (n < 0) return "";
    out[n] = 0;
    if (name && name[0] && n + strlen(name) + 2 < PATH_MAX) {
        out[n] = '/';
        strcpy(out + n + 1, name);
    }
    return out;
}

static int is_below(const char *path) {
    return root && strncmp(path, root, root_length) == 0 && path[root_length] == '/';
}

/* Counts a call; whether it is to fail. */
static int strikes(enum kind kind, const char *path) {
    if (!is_below(path)) return 0;
    uint64_t n = __atomic_add_fetch(&shared->counts[kind], 1, __ATOMIC_SEQ_CST);
    if ((int)kind != wanted || !(n == at || (forever && n > at))) return 0;
    if (__atomic_fetch_add(&shared->fired, 1, __ATOMIC_SEQ_CST) == 0) strncpy(shared->path, path, PATH_MAX - 1);
    return 1;
}

static int fails(enum kind kind, const char *path) {
    int saved = errno;
    int now = strikes(kind, path);
    errno = now ? failure : saved;
    return now && failure;
}

/* A record of the log: kind, number, lengths of two paths or a path and data, and those. */
static void note(char kind, uint64_t number, const char *a, const void *b, uint64_t length) {
    if (log_fd < 0 || !is_below(a)) return;
    uint64_t head[4] = {kind, number, strlen(a), length};
    struct iovec parts[3] = {{head, sizeof head}, {(void *)a, head[2]}, {(void *)b, length}};
    int saved = errno;
    if (syscall(SYS_writev, log_fd, parts, 3) < 0) abort();
    errno = saved;
}

/* Calls and their records stand in one order. */
static void begin(void) {
    if (log_fd >= 0) pthread_mutex_lock(&lock);
}

static void end(void) {
    if (log_fd >= 0) pthread_mutex_unlock(&lock);
}

/* Some libraries make and rename files by system calls of their own. The log knows those when such a file is used again: by its
 * number another name is known, or none. */
static struct {
    ino_t number;
    char *path;
} files[4096];
static int file_count;

enum use { NEW, THERE, USED };

static void use(int fd, const char *path, enum use how) {
    struct stat status;
    if (log_fd < 0 || !is_below(path) || syscall(SYS_newfstatat, fd, "", &status, AT_EMPTY_PATH) != 0) return;
    if (!S_ISREG(status.st_mode)) return;
    int i = 0;
    while (i < file_count && files[i].number != status.st_ino) i++;
    if (i == 4096) abort();
    if (how == NEW || (how == USED && i == file_count)) note('C', 0, path, NULL, 0);
    else if (i < file_count && strcmp(files[i].path, path) != 0) note('R', 0, files[i].path, path, strlen(path));
    else if (i < file_count) return;
    if (i == file_count) file_count++;
    files[i].number = status.st_ino;
    files[i].path = strdup(path);
}

/* A file that the log has seen renamed. */
static void renamed(const char *from, const char *to) {
    for (int i = 0; i < file_count; i++) {
        if (strcmp(files[i].path, from) == 0) files[i].path = strdup(to);
    }
}

static int open_any(int dir, const char *name, int flags, mode_t mode) {
    char buffer[PATH_MAX];
    const char *path = path_of(dir, name, buffer);
    if (fails(OPEN, path)) return -1;
    begin();
    int is_new = log_fd >= 0 && (flags & O_CREAT) && syscall(SYS_faccessat, AT_FDCWD, path, F_OK) != 0;
    int fd = syscall(SYS_openat, dir, name, flags, mode);
    if (fd >= 0) use(fd, path, is_new ? NEW : THERE);
    if (fd >= 0 && !is_new && (flags & O_TRUNC)) note('L', 0, path, NULL, 0);
    end();
    return fd;
}

#define MODE_OF(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, int); \
        va_end(rest); \
    }

int open(const char *name, int flags, ...) { MODE_OF(flags) return open_any(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE_OF(flags) return open_any(AT_FDCWD, name, flags, mode); }
int openat(int dir, const char *name, int flags, ...) { MODE_OF(flags) return open_any(dir, name, flags, mode); }
int openat64(int dir, const char *name, int flags, ...) { MODE_OF(flags) return open_any(dir, name, flags, mode); }
int creat(const char *name, mode_t mode) { return open_any(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *name, mode_t mode) { return creat(name, mode); }

/* How much of a transfer is made: half of it where it is to be a short one. */
static ssize_t transfer(enum kind kind, int fd, size_t n) {
    char buffer[PATH_MAX];
    const char *path = path_of(fd, NULL, buffer);
    int saved = errno;
    int now = strikes(kind, path);
    errno = saved;
    if (!now) return n;
    if (failure) {
        errno = failure;
        return -1;
    }
    return n > 1 ? n / 2 : n;
}

ssize_t read(int fd, void *to, size_t n) {
    ssize_t part = transfer(READ, fd, n);
    return part < 0 ? -1 : syscall(SYS_read, fd, to, part);
}

ssize_t pread64(int fd, void *to, size_t n, off64_t from) {
    ssize_t part = transfer(READ, fd, n);
    return part < 0 ? -1 : syscall(SYS_pread64, fd, to, part, from);
}
ssize_t pread(int fd, void *to, size_t n, off_t from) { return pread64(fd, to, n, from); }

ssize_t readv(int fd, const struct iovec *parts, int count) {
    ssize_t part = transfer(READ, fd, count ? parts[0].iov_len : 0);
    if (part < 0) return -1;
    if (count && (size_t)part < parts[0].iov_len) return syscall(SYS_read, fd, parts[0].iov_base, part);
    return syscall(SYS_readv, fd, parts, count);
}

static void wrote(int fd, const void *from, ssize_t n, off64_t offset) {
    char buffer[PATH_MAX];
    if (log_fd < 0 || n <= 0) return;
    if (offset < 0) offset = syscall(SYS_lseek, fd, 0, SEEK_CUR) - n;
    use(fd, path_of(fd, NULL, buffer), USED);
    note('W', offset, path_of(fd, NULL, buffer), from, n);
}

ssize_t write(int fd, const void *from, size_t n) {
    ssize_t part = transfer(WRITE, fd, n);
    if (part < 0) return -1;
    begin();
    ssize_t done = syscall(SYS_write, fd, from, part);
    wrote(fd, from, done, -1);
    end();
    return done;
}

ssize_t pwrite64(int fd, const void *from, size_t n, off64_t to) {
    ssize_t part = transfer(WRITE, fd, n);
    if (part < 0) return -1;
    begin();
    ssize_t done = syscall(SYS_pwrite64, fd, from, part, to);
    wrote(fd, from, done, to);
    end();
    return done;
}
ssize_t pwrite(int fd, const void *from, size_t n, off_t to) { return pwrite64(fd, from, n, to); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
    char buffer[PATH_MAX];
    if (!count || !is_below(path_of(fd, NULL, buffer))) return syscall(SYS_writev, fd, parts, count);
    /* One part at a time is a short write, which every caller has to take. */
    return write(fd, parts[0].iov_base, parts[0].iov_len);
}

/* Who calls these has to do without where they are not supported. */
ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t n, unsigned flags) {
    char buffer[PATH_MAX];
    if (is_below(path_of(out, NULL, buffer))) return errno = EXDEV, -1;
    return syscall(SYS_copy_file_range, in, from, out, to, n, flags);
}
ssize_t sendfile64(int out, int in, off64_t *from, size_t n) {
    char buffer[PATH_MAX];
    if (is_below(path_of(out, NULL, buffer))) return errno = EINVAL, -1;
    return syscall(SYS_sendfile, out, in, from, n);
}
ssize_t sendfile(int out, int in, off_t *from, size_t n) { return sendfile64(out, in, (off64_t *)from, n); }

static int sync_any(int fd, long call) {
    char buffer[PATH_MAX];
    const char *path = path_of(fd, NULL, buffer);
    if (fails(SYNC, path)) return -1;
    begin();
    int done = syscall(call, fd);
    use(fd, path, USED);
    if (done == 0) note('S', 0, path, NULL, 0);
    end();
    return done;
}
int fsync(int fd) { return sync_any(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_any(fd, SYS_fdatasync); }

static int rename_any(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    char a[PATH_MAX], b[PATH_MAX];
    const char *source = path_of(from_dir, from, a), *target = path_of(to_dir, to, b);
    if (fails(RENAME, target)) return -1;
    begin();
    int done = syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
    if (done == 0) note('R', 0, source, target, strlen(target)), renamed(source, target);
    end();
    return done;
}
int rename(const char *from, const char *to) { return rename_any(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int a, const char *from, int b, const char *to) { return rename_any(a, from, b, to, 0); }
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) { return rename_any(a, from, b, to, flags); }

int mkdirat(int dir, const char *name, mode_t mode) {
    char buffer[PATH_MAX];
    const char *path = path_of(dir, name, buffer);
    if (fails(MKDIR, path)) return -1;
    begin();
    int done = syscall(SYS_mkdirat, dir, name, mode);
    if (done == 0) note('M', 0, path, NULL, 0);
    end();
    return done;
}
int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }

int unlinkat(int dir, const char *name, int flags) {
    char buffer[PATH_MAX];
    const char *path = path_of(dir, name, buffer);
    if (fails(REMOVE, path)) return -1;
    begin();
    int done = syscall(SYS_unlinkat, dir, name, flags);
    if (done == 0) note('U', 0, path, NULL, 0);
    end();
    return done;
}
int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }

void *mmap64(void *address, size_t n, int protection, int flags, int fd, off64_t from) {
    char buffer[PATH_MAX];
    if (fd >= 0 && fails(MAP, path_of(fd, NULL, buffer))) return MAP_FAILED;
    return (void *)syscall(SYS_mmap, address, n, protection, flags, fd, from);
}
void *mmap(void *address, size_t n, int protection, int flags, int fd, off_t from) {
    return mmap64(address, n, protection, flags, fd, from);
}

int ftruncate64(int fd, off64_t n) {
    char buffer[PATH_MAX];
    const char *path = path_of(fd, NULL, buffer);
    if (fails(TRUNCATE, path)) return -1;
    begin();
    int done = syscall(SYS_ftruncate, fd, n);
    use(fd, path, USED);
    if (done == 0) note('L', n, path, NULL, 0);
    end();
    return done;
}
int ftruncate(int fd, off_t n) { return ftruncate64(fd, n); }

static int allocate(int fd) {
    char buffer[PATH_MAX];
    return is_below(path_of(fd, NULL, buffer)) ? EOPNOTSUPP : -1;
}
int fallocate64(int fd, int mode, off64_t from, off64_t n) {
    if (allocate(fd) > 0) return errno = EOPNOTSUPP, -1;
    return syscall(SYS_fallocate, fd, mode, from, n);
}
int fallocate(int fd, int mode, off_t from, off_t n) { return fallocate64(fd, mode, from, n); }

int statx(int dir, const char *name, int flags, unsigned mask, struct statx *out) {
    char buffer[PATH_MAX];
    if (fails(STAT, path_of(dir, name, buffer))) return -1;
    return syscall(SYS_statx, dir, name, flags, mask, out);
}

/* Of those, the C library has the call. */
#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int fstat64(int fd, struct stat64 *out) {
    char buffer[PATH_MAX];
    return fails(STAT, path_of(fd, NULL, buffer)) ? -1 : NEXT(fstat64)(fd, out);
}
int stat64(const char *name, struct stat64 *out) {
    char buffer[PATH_MAX];
    return fails(STAT, path_of(AT_FDCWD, name, buffer)) ? -1 : NEXT(stat64)(name, out);
}
int lstat64(const char *name, struct stat64 *out) {
    char buffer[PATH_MAX];
    return fails(STAT, path_of(AT_FDCWD, name, buffer)) ? -1 : NEXT(lstat64)(name, out);
}

struct dirent64 *readdir64(DIR *dir) {
    char buffer[PATH_MAX];
    return fails(LIST, path_of(dirfd(dir), NULL, buffer)) ? NULL : NEXT(readdir64)(dir);
}
struct dirent *readdir(DIR *dir) {
    char buffer[PATH_MAX];
    return fails(LIST, path_of(dirfd(dir), NULL, buffer)) ? NULL : NEXT(readdir)(dir);
}

int flock(int fd, int operation) {
    char buffer[PATH_MAX];
    return fails(LOCK, path_of(fd, NULL, buffer)) ? -1 : (int)syscall(SYS_flock, fd, operation);
}

int chmod(const char *name, mode_t mode) {
    char buffer[PATH_MAX];
    return fails(CHMOD, path_of(AT_FDCWD, name, buffer)) ? -1 : (int)syscall(SYS_fchmodat, AT_FDCWD, name, mode);
}
int fchmod(int fd, mode_t mode) {
    char buffer[PATH_MAX];
    return fails(CHMOD, path_of(fd, NULL, buffer)) ? -1 : (int)syscall(SYS_fchmod, fd, mode);
}
