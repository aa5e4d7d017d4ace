/*
 * A wall clock of its own for one process, to be preloaded: the real one plus the seconds that the
 * file in WALL_CLOCK holds as a 64-bit number, which a test may change at any time.
 *
 * It covers what librdkafka reads and waits by. A wait until a moment of the wall clock ends when
 * that moment has come on the clock as it is THEN: if the clock was set back meanwhile, the wait
 * is as much longer, as it is with the real clock. (If it was set forward, a wait that is in
 * progress ends no earlier; the real one would.) The monotonic clock is left alone.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *offset;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("WALL_CLOCK");
    int file = path ? open(path, O_RDONLY) : -1;
    if (file < 0) return;
    void *at = mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
    if (at != MAP_FAILED) offset = at;
    close(file);
}

static int64_t seconds(void) { return offset ? *offset : 0; }

static int real_gettime(clockid_t clock, struct timespec *to) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    return real(clock, to);
}

int clock_gettime(clockid_t clock, struct timespec *to) {
    int error = real_gettime(clock, to);
    if (!error && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        to->tv_sec += seconds();
    return error;
}

int gettimeofday(struct timeval *to, void *zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    to->tv_sec = now.tv_sec;
    to->tv_usec = now.tv_nsec / 1000;
    return 0;
}

int timespec_get(struct timespec *to, int base) {
    clock_gettime(CLOCK_REALTIME, to);
    return base;
}

time_t time(time_t *to) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (to) *to = now.tv_sec;
    return now.tv_sec;
}

/* Whether `until` has not come yet on the clock as it is now. */
static int is_ahead(const struct timespec *until) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return until->tv_sec > now.tv_sec ||
           (until->tv_sec == now.tv_sec && until->tv_nsec > now.tv_nsec);
}

static struct timespec on_the_real_clock(const struct timespec *until) {
    struct timespec real = *until;
    real.tv_sec -= seconds();
    return real;
}

int pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                           const struct timespec *until) {
    static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    int result;
    do {
        struct timespec at = on_the_real_clock(until);
        result = real(cond, mutex, &at);
    } while (result == ETIMEDOUT && is_ahead(until));
    return result;
}

int cnd_timedwait(cnd_t *cond, mtx_t *mutex, const struct timespec *until) {
    static int (*real)(cnd_t *, mtx_t *, const struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "cnd_timedwait");
    int result;
    do {
        struct timespec at = on_the_real_clock(until);
        result = real(cond, mutex, &at);
    } while (result == thrd_timedout && is_ahead(until));
    return result;
}
