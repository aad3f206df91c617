/* Records what a process asks of the files under WRITES_UNDER, so that a test can say what a power cut would have left.
 *
 * Loaded beneath a program with LD_PRELOAD; power.py compiles it and reads the record. Each line of the record is a
 * header, a path (two for a rename or link) and the bytes written. A write is recorded once it is done, a sync when it
 * begins and when it has ended: only what was recorded before its beginning is covered by it. One file takes the record
 * of all processes (O_APPEND), so that it has one order.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct header {
    uint64_t at; /* CLOCK_MONOTONIC, ns */
    uint32_t what;
    uint32_t thread;
    int64_t offset; /* of a write; the new size of a truncation */
    uint32_t path, other, length;
    uint32_t unused;
};

static int record = -2;
static const char *under;
static size_t under_length;

static int recording(void)
{
    if (record == -2) {
        const char *file = getenv("WRITES_RECORD");
        under = getenv("WRITES_UNDER");
        under_length = under ? strlen(under) : 0;
        record = file && under ? (int)syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    }
    return record >= 0;
}

static int ours(const char *path)
{
    size_t n = strlen(path);
    if (strncmp(path, under, under_length) != 0 || (path[under_length] != '/' && path[under_length] != 0))
        return 0;
    return !(n > 4 && strcmp(path + n - 4, "-shm") == 0); /* SQLite's shared memory is made anew after a start */
}

static int path_of(int fd, char *path)
{
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    if (n <= 0)
        return 0;
    path[n] = 0;
    return ours(path);
}

static void note(char what, const char *path, const char *other, int64_t offset, const void *data, size_t length)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    struct header h = {
        .at = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec,
        .what = (uint32_t)what,
        .thread = (uint32_t)syscall(SYS_gettid),
        .offset = offset,
        .path = (uint32_t)strlen(path),
        .other = other ? (uint32_t)strlen(other) : 0,
        .length = (uint32_t)length,
    };
    struct iovec parts[4] = {{&h, sizeof h}, {(void *)path, h.path}, {(void *)other, h.other}, {(void *)data, length}};
    ssize_t whole = (ssize_t)(sizeof h + h.path + h.other + length);
    if (syscall(SYS_writev, record, parts, 4) != whole)
        abort(); /* a record with holes would prove nothing */
}

#define REAL(name) static __typeof__(name) *real; if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
{
    REAL(pwrite);
    char path[PATH_MAX];
    ssize_t done = real(fd, data, n, at);
    if (done > 0 && recording() && path_of(fd, path))
        note('w', path, NULL, at, data, (size_t)done);
    return done;
}

ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at)
{
    REAL(pwrite64);
    char path[PATH_MAX];
    ssize_t done = real(fd, data, n, at);
    if (done > 0 && recording() && path_of(fd, path))
        note('w', path, NULL, at, data, (size_t)done);
    return done;
}

ssize_t write(int fd, const void *data, size_t n)
{
    REAL(write);
    char path[PATH_MAX];
    ssize_t done = real(fd, data, n);
    if (done > 0 && recording() && path_of(fd, path))
        note('w', path, NULL, lseek(fd, 0, SEEK_CUR) - done, data, (size_t)done);
    return done;
}

int ftruncate(int fd, off_t size)
{
    REAL(ftruncate);
    char path[PATH_MAX];
    int failed = real(fd, size);
    if (!failed && recording() && path_of(fd, path))
        note('t', path, NULL, size, NULL, 0);
    return failed;
}

int ftruncate64(int fd, off64_t size)
{
    REAL(ftruncate64);
    char path[PATH_MAX];
    int failed = real(fd, size);
    if (!failed && recording() && path_of(fd, path))
        note('t', path, NULL, size, NULL, 0);
    return failed;
}

static void note_sync(int fd, int ended)
{
    char path[PATH_MAX];
    struct stat found;
    if (!recording() || !path_of(fd, path) || fstat(fd, &found))
        return;
    note(S_ISDIR(found.st_mode) ? (ended ? 'D' : 'd') : (ended ? 'S' : 's'), path, NULL, 0, NULL, 0);
}

/* A slow disk: the file that WRITES_SLOW names holds microseconds that each sync takes longer. */
static void be_slow(void)
{
    const char *name = getenv("WRITES_SLOW");
    FILE *file = name ? fopen(name, "r") : NULL;
    unsigned int slow = 0;
    if (!file)
        return;
    if (fscanf(file, "%u", &slow) != 1)
        slow = 0;
    fclose(file);
    usleep(slow);
}

int fsync(int fd)
{
    REAL(fsync);
    be_slow();
    note_sync(fd, 0);
    int failed = real(fd);
    if (!failed)
        note_sync(fd, 1);
    return failed;
}

int fdatasync(int fd)
{
    REAL(fdatasync);
    be_slow();
    note_sync(fd, 0);
    int failed = real(fd);
    if (!failed)
        note_sync(fd, 1);
    return failed;
}

int unlink(const char *path)
{
    REAL(unlink);
    int failed = real(path);
    if (!failed && recording() && ours(path))
        note('u', path, NULL, 0, NULL, 0);
    return failed;
}

int rename(const char *from, const char *to)
{
    REAL(rename);
    int failed = real(from, to);
    if (!failed && recording() && ours(to))
        note('r', from, to, 0, NULL, 0);
    return failed;
}

int link(const char *from, const char *to)
{
    REAL(link);
    int failed = real(from, to);
    if (!failed && recording() && ours(to))
        note('l', from, to, 0, NULL, 0);
    return failed;
}
