// Makes the server panic when it opens a chosen file. The tests in crashes.rs load this library into
// the server with LD_PRELOAD. PANIC_FILE is a part of the file's path. After a thread has opened the
// file, the thread's next reading of the clock fails, which causes a panic in Rust's library.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static __thread int is_failing;

int open64(const char *path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
  va_end(more);
  const char *file = getenv("PANIC_FILE");
  if (file && strstr(path, file)) is_failing = 1;
  return REAL(open64)(path, flags, mode);
}

int open(const char *path, int flags, ...) __attribute__((alias("open64")));

int clock_gettime(clockid_t clock, struct timespec *time) {
  if (is_failing) {
    is_failing = 0;
    errno = EINVAL;
    return -1;
  }
  return REAL(clock_gettime)(clock, time);
}
