/* A disk that fails: loaded before the C library (LD_PRELOAD), it counts the calls that change files below a folder and
 * lets the k-th one fail. It also has a clock that jumps.
 *
 *   FAULT_FOLDER  the folder, an absolute path
 *   FAULT_LOG     a file that gets a line for each counted call: its name and the path
 *   FAULT_CALL    k, from 1; nothing fails without it
 *   FAULT_KIND    once:ERRNO   the k-th call fails with this error number, the others work
 *                 from:ERRNO   the k-th and every later one fail: a disk that is full, or read-only
 *                 torn:ERRNO   the k-th call, if it writes, writes half; every later one fails
 *                 short        the k-th call, if it writes, writes half; the others work, which is no fault at all
 *   FAULT_CLOCK   jump         the time of day goes back and forth by years
 *                 still        besides, the monotonic clock stands still
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

enum verdict { WORKS, FAILS, HALF };

static atomic_long calls;

/* Whether the path is in the folder; one that is relative begins where the process is. */
static int inside(const char *path) {
    const char *folder = getenv("FAULT_FOLDER");
    char whole[2 * PATH_MAX] = "";
    if (!folder || !path) return 0;
    if (path[0] != '/') {
        if (!getcwd(whole, PATH_MAX)) return 0;
        strcat(whole, "/");
    }
    strncat(whole, path, PATH_MAX - 1);
    size_t n = strlen(folder);
    return strncmp(whole, folder, n) == 0 && (whole[n] == '/' || whole[n] == 0);
}

static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    path[n < 0 ? 0 : n] = 0;
    return n > 0;
}

/* Counts a call on `path` and decides what becomes of it. `writes`: it can be half done. */
static enum verdict judge(const char *name, const char *path, int writes) {
    if (!inside(path)) return WORKS;
    int before = errno;
    long k = atomic_fetch_add(&calls, 1) + 1;
    const char *log = getenv("FAULT_LOG"), *call = getenv("FAULT_CALL"), *kind = getenv("FAULT_KIND");
    if (log) {
        char line[PATH_MAX + 64];
        int n = snprintf(line, sizeof line, "%s %s\n", name, path);
        int fd = REAL(open)(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        if (fd >= 0 && REAL(write)(fd, line, n) != n) abort();
        if (fd >= 0) close(fd);
    }
    errno = before;
    if (!call || !kind || k < atol(call)) return WORKS;
    int first = k == atol(call);
    if (strcmp(kind, "short") == 0) return first && writes ? HALF : WORKS;
    int number = atoi(kind + 5);
    if (strncmp(kind, "torn:", 5) == 0 && first && writes) return HALF;
    if (strncmp(kind, "once:", 5) == 0 && !first) return WORKS;
    errno = number;
    return FAILS;
}

static enum verdict judge_fd(const char *name, int fd, int writes) {
    char path[PATH_MAX];
    return path_of(fd, path) ? judge(name, path, writes) : WORKS;
}

/* Only those that may change something: reading is left alone. */
static int changes(int flags) { return (flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) != 0; }

#define OPEN(name)                                                                                                     \
    int name(const char *path, int flags, ...) {                                                                       \
        va_list list;                                                                                                  \
        va_start(list, flags);                                                                                         \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0;                                        \
        va_end(list);                                                                                                  \
        if (changes(flags) && judge("open", path, 0)) return -1;                                                       \
        return REAL(name)(path, flags, mode);                                                                          \
    }
OPEN(open)
OPEN(open64)

ssize_t write(int fd, const void *bytes, size_t n) {
    enum verdict verdict = judge_fd("write", fd, n > 1);
    if (verdict == FAILS) return -1;
    return REAL(write)(fd, bytes, verdict == HALF ? n / 2 : n);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    enum verdict verdict = judge_fd("write", fd, count > 1);
    if (verdict == FAILS) return -1;
    return REAL(writev)(fd, parts, verdict == HALF ? 1 : count);
}

#define PWRITE(name, offset_type)                                                                                      \
    ssize_t name(int fd, const void *bytes, size_t n, offset_type at) {                                                \
        enum verdict verdict = judge_fd("write", fd, n > 1);                                                           \
        if (verdict == FAILS) return -1;                                                                               \
        return REAL(name)(fd, bytes, verdict == HALF ? n / 2 : n, at);                                                 \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define ON_FD(name, parameters, arguments)                                                                             \
    int name parameters { return judge_fd(#name, fd, 0) ? -1 : REAL(name) arguments; }
ON_FD(fsync, (int fd), (fd))
ON_FD(fdatasync, (int fd), (fd))
ON_FD(ftruncate, (int fd, off_t n), (fd, n))
ON_FD(ftruncate64, (int fd, off64_t n), (fd, n))

int rename(const char *from, const char *to) { return judge("rename", to, 0) ? -1 : REAL(rename)(from, to); }
int mkdir(const char *path, mode_t mode) { return judge("mkdir", path, 0) ? -1 : REAL(mkdir)(path, mode); }

int clock_gettime(clockid_t clock, struct timespec *time) {
    static atomic_long asked;
    int result = REAL(clock_gettime)(clock, time);
    const char *kind = getenv("FAULT_CLOCK");
    if (!kind || result) return result;
    if (clock == CLOCK_REALTIME) {
        /* 1951, 1970, today, 2106 and again. */
        static const time_t times[] = {-600000000, 0, 1780000000, 4294967296};
        time->tv_sec = times[atomic_fetch_add(&asked, 1) % 4];
    } else if (clock == CLOCK_MONOTONIC && strcmp(kind, "still") == 0) {
        time->tv_sec = 1000;
        time->tv_nsec = 0;
    }
    return result;
}
