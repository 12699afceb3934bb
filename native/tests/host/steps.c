// Makes the server fail at a chosen write to a database file. The tests in steps.rs load this
// library into the server with LD_PRELOAD.
//
// A step is a call that changes a database file or makes it durable. STEP_AT is the number of the
// step, and STEP_FAULT is the fault:
//
// - kill_before, kill_after: the process is killed before or after the step takes effect.
// - kill_within: the process is killed after the first half of the write.
// - power: like kill_before, but the disk also loses all writes that were not synchronized.
// - full, broken, read_only: this step and all later steps fail with ENOSPC, EIO or EROFS. Removing
//   a file fails only with EROFS. If STEP_WHILE is the path of a file, the steps fail only while
//   this file exists.
//
// CLOCK_SHIFT_S is added to the time of day, in seconds.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

enum { CHANGE, SYNC, REMOVE };

/// The former content of a range that was written but not synchronized.
struct former {
  char path[512];
  off64_t file_bytes, at;
  ssize_t count;
  char *bytes;
  struct former *older;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct former *unsynced;
static long steps, fault_at;
static const char *fault = "", *fault_file;

__attribute__((constructor)) static void read_settings(void) {
  const char *at = getenv("STEP_AT"), *name = getenv("STEP_FAULT");
  fault_at = at ? atol(at) : 0;
  fault = name ? name : "";
  fault_file = getenv("STEP_WHILE");
}

static int is(const char *name) { return strcmp(fault, name) == 0; }

static int is_database(const char *path) { return strstr(path, ".sqlite") != NULL; }

static void path_of(int fd, char path[512]) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, 511);
  path[length < 0 ? 0 : length] = 0;
}

static void end(void) {
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

static void lose_unsynced(void) {
  for (struct former *one = unsynced; one; one = one->older) {
    int fd = REAL(open64)(one->path, O_WRONLY);
    if (fd < 0) continue;
    REAL(pwrite64)(fd, one->bytes, one->count, one->at);
    REAL(ftruncate64)(fd, one->file_bytes);
    close(fd);
  }
}

static void remember(int fd, const char *path, off64_t at, ssize_t count) {
  struct stat64 state;
  struct former *one = malloc(sizeof *one);
  fstat64(fd, &state);
  strcpy(one->path, path);
  one->file_bytes = state.st_size;
  one->at = at;
  one->bytes = malloc(count + 1);
  one->count = pread64(fd, one->bytes, count, at);
  one->older = unsynced;
  unsynced = one;
}

static void forget(const char *path) {
  for (struct former **link = &unsynced; *link;) {
    struct former *one = *link;
    if (strcmp(one->path, path) != 0) {
      link = &one->older;
      continue;
    }
    *link = one->older;
    free(one->bytes);
    free(one);
  }
}

/// Returns whether the step may take effect. Otherwise sets `errno`.
static int begin(int kind) {
  steps += 1;
  if (fault_at == 0 || steps < fault_at) return 1;
  if (fault_file && access(fault_file, F_OK) != 0) return 1;
  if (is("power") && steps == fault_at) lose_unsynced();
  if ((is("power") || is("kill_before")) && steps == fault_at) end();
  errno = is("read_only") ? EROFS : is("broken") ? EIO : ENOSPC;
  if (is("read_only")) return kind == SYNC;
  return kind == REMOVE || !(is("broken") || is("full"));
}

static void finish(void) {
  if (steps == fault_at && (is("kill_within") || is("kill_after"))) end();
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
  char path[512];
  path_of(fd, path);
  if (!is_database(path)) return REAL(pwrite64)(fd, bytes, count, at);
  pthread_mutex_lock(&lock);
  ssize_t written = -1;
  if (begin(CHANGE)) {
    remember(fd, path, at, count);
    int is_half = is("kill_within") && steps == fault_at;
    written = REAL(pwrite64)(fd, bytes, is_half ? count / 2 : count, at);
    finish();
  }
  pthread_mutex_unlock(&lock);
  return written;
}

int ftruncate64(int fd, off64_t length) {
  char path[512];
  path_of(fd, path);
  if (!is_database(path)) return REAL(ftruncate64)(fd, length);
  pthread_mutex_lock(&lock);
  int result = -1;
  if (begin(CHANGE)) {
    struct stat64 state;
    fstat64(fd, &state);
    if (length < state.st_size) remember(fd, path, length, state.st_size - length);
    result = REAL(ftruncate64)(fd, length);
    finish();
  }
  pthread_mutex_unlock(&lock);
  return result;
}

static int synchronize(int fd, int (*real)(int)) {
  char path[512];
  path_of(fd, path);
  if (!is_database(path)) return real(fd);
  pthread_mutex_lock(&lock);
  int result = -1;
  if (begin(SYNC)) {
    result = real(fd);
    forget(path);
    finish();
  }
  pthread_mutex_unlock(&lock);
  return result;
}

int fsync(int fd) { return synchronize(fd, REAL(fsync)); }

int fdatasync(int fd) { return synchronize(fd, REAL(fdatasync)); }

int unlink(const char *path) {
  if (!is_database(path)) return REAL(unlink)(path);
  pthread_mutex_lock(&lock);
  int result = -1;
  if (begin(REMOVE)) {
    result = REAL(unlink)(path);
    forget(path);
    finish();
  }
  pthread_mutex_unlock(&lock);
  return result;
}

/// Opening a file is not a step, but fails on a disk that has become read-only.
static int open_at(const char *path, int flags, mode_t mode) {
  int is_change = (flags & O_ACCMODE) != O_RDONLY || flags & O_CREAT;
  if (is("read_only") && fault_at > 0 && steps >= fault_at && is_change && is_database(path)) {
    errno = EROFS;
    return -1;
  }
  return REAL(open64)(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
  va_end(more);
  return open_at(path, flags, mode);
}

int open(const char *path, int flags, ...) __attribute__((alias("open64")));

int clock_gettime(clockid_t clock, struct timespec *time) {
  static const char *shift;
  int result = REAL(clock_gettime)(clock, time);
  if (!shift) shift = getenv("CLOCK_SHIFT_S") ? getenv("CLOCK_SHIFT_S") : "0";
  if (clock == CLOCK_REALTIME) time->tv_sec += atol(shift);
  return result;
}
