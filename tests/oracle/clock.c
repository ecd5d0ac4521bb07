/* Moves a program's clock by the seconds in SIMULATED_CLOCK_OFFSET; loaded with LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *time)
{
    static int (*real)(clockid_t, struct timespec *);
    const char *offset = getenv("SIMULATED_CLOCK_OFFSET");
    int result;

    if (!real)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    result = real(clock, time);
    if (result == 0 && clock == CLOCK_REALTIME && offset)
        time->tv_sec += atol(offset);
    return result;
}
