/* SPDX-License-Identifier: Apache-2.0 */
#include "control/keys/filter.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <seccomp.h>

#include "dataplane/shared/poison.h"

#ifdef POISON_IS_ON
#define FILTER_IS_ON 0
#else
#define FILTER_IS_ON 1
#endif

#define LOCKED_MAX (64u << 20) /* program, libraries, the shared file and a thousand keys take less */

static const int allowed[] = {
        /* files, bells */
        SCMP_SYS(openat), SCMP_SYS(open), SCMP_SYS(read), SCMP_SYS(pread64), SCMP_SYS(write), SCMP_SYS(writev),
        SCMP_SYS(close), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(lseek), SCMP_SYS(fcntl), SCMP_SYS(mknodat),
        SCMP_SYS(mknod),
        /* waiting */
        SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(futex),
        SCMP_SYS(restart_syscall), SCMP_SYS(sched_yield),
        /* memory: see data_only[] too */
        SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(mlock), SCMP_SYS(munlock),
        /* signals, ourselves, the end */
        SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(tgkill), SCMP_SYS(gettid),
        SCMP_SYS(getpid), SCMP_SYS(geteuid), SCMP_SYS(getrandom), SCMP_SYS(exit), SCMP_SYS(exit_group),
};

/* Their third argument is what the memory may be used for: anything but code. */
static const int data_only[] = { SCMP_SYS(mmap), SCMP_SYS(mprotect) };

static int load(void)
{
        scmp_filter_ctx context = seccomp_init(SCMP_ACT_KILL_PROCESS);
        int r = context ? 0 : -ENOMEM;

        for (size_t i = 0; r == 0 && i < ARRAY_LEN(allowed); i++)
                r = seccomp_rule_add(context, SCMP_ACT_ALLOW, allowed[i], 0);
        for (size_t i = 0; r == 0 && i < ARRAY_LEN(data_only); i++)
                r = seccomp_rule_add(context, SCMP_ACT_ALLOW, data_only[i], 1,
                                     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
        if (r == 0)
                r = seccomp_load(context);
        seccomp_release(context);
        return r;
}

void filter_lift_limits(void)
{
        const struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };

        (void)!setrlimit(RLIMIT_MEMLOCK, &all);
}

/* Not under a limit that would be met later: then every new page would be refused, and with it the reading of a key. */
static bool lock_memory(void)
{
        struct rlimit limit;

        return getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur >= LOCKED_MAX &&
               mlockall(MCL_CURRENT | MCL_FUTURE) == 0;
}

int filter_install(char *reterr, size_t reterr_size)
{
        const struct rlimit none = { 0, 0 };
        int r = 0;

        /* Also: no other process of this user may look into ours. */
        if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
                r = -errno;
        if (FILTER_IS_ON && !lock_memory())
                fprintf(stderr, "greyline-keys: keys may be swapped to disk: the limit of locked memory is below %u MB\n",
                        LOCKED_MAX >> 20);
        if (r == 0 && FILTER_IS_ON)
                r = load();
        if (r < 0)
                snprintf(reterr, reterr_size, "cannot filter system calls: %s", strerror(-r));
        return r;
}
