/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/privs.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <seccomp.h>

#include "dataplane/shared/poison.h"

static int fail(char *reterr, size_t size, const char *what)
{
        int r = errno == 0 ? -EINVAL : -errno;

        snprintf(reterr, size, "cannot give up privileges: %s: %s", what, strerror(-r));
        return r;
}

int privs_give(const char *path, const char *user)
{
        struct passwd *account;

        if (user == NULL)
                return 0;
        errno = 0;
        account = getpwnam(user);
        if (account == NULL)
                return errno == 0 ? -ENOENT : -errno;
        return chown(path, account->pw_uid, account->pw_gid) < 0 ? -errno : 0;
}

int privs_drop(const char *user, bool keep_caps, char *reterr, size_t reterr_size)
{
        struct passwd *account;

        if (user && !keep_caps) {
                errno = 0;
                account = getpwnam(user);
                if (account == NULL)
                        return fail(reterr, reterr_size, "no such user");
                if (setgroups(0, NULL) < 0 && errno != EPERM)
                        return fail(reterr, reterr_size, "setgroups");
                if (setresgid(account->pw_gid, account->pw_gid, account->pw_gid) < 0)
                        return fail(reterr, reterr_size, "setresgid");
                /* From root to another user the kernel clears every capability set of the thread, and the C
                 * library makes each thread do it. */
                if (setresuid(account->pw_uid, account->pw_uid, account->pw_uid) < 0)
                        return fail(reterr, reterr_size, "setresuid");
                if (account->pw_uid != 0 && setresuid((uid_t)-1, 0, (uid_t)-1) == 0)
                        return fail(reterr, reterr_size, "the way back to root is still open");
        }
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return fail(reterr, reterr_size, "no_new_privs");
        return 0;
}

/* A sanitizer does what no list of ours foresees. */
#ifdef POISON_IS_ON
#define FILTER_IS_ON 0
#else
#define FILTER_IS_ON 1
#endif

/* What the running dataplane does: packets, waiting, memory, policy files, its own end. */
static const int allowed[] = {
        /* packets of kernel devices, bells, the admin of descriptors that are open already */
        SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(sendmmsg), SCMP_SYS(recvfrom), SCMP_SYS(recvmsg),
        SCMP_SYS(recvmmsg), SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(ioctl),
        SCMP_SYS(getsockopt), SCMP_SYS(setsockopt), SCMP_SYS(fcntl), SCMP_SYS(close), SCMP_SYS(lseek),
        SCMP_SYS(shutdown),
        /* waiting */
        SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl),
        SCMP_SYS(epoll_create1), SCMP_SYS(select), SCMP_SYS(pselect6), SCMP_SYS(nanosleep),
        SCMP_SYS(clock_nanosleep), SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(gettimeofday),
        SCMP_SYS(futex), SCMP_SYS(sched_yield), SCMP_SYS(restart_syscall), SCMP_SYS(timerfd_settime),
        /* memory */
        SCMP_SYS(brk), SCMP_SYS(mmap), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(mlock),
        SCMP_SYS(munlock), SCMP_SYS(membarrier),
        /* policy files */
        SCMP_SYS(openat), SCMP_SYS(open), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(stat),
        /* signals, ourselves, the end */
        SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack),
        SCMP_SYS(tgkill), SCMP_SYS(gettid), SCMP_SYS(getpid), SCMP_SYS(getuid), SCMP_SYS(geteuid),
        SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(getrandom), SCMP_SYS(sched_getaffinity), SCMP_SYS(sysinfo),
        SCMP_SYS(uname), SCMP_SYS(getrusage), SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(exit),
        SCMP_SYS(exit_group), SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(pipe2), SCMP_SYS(getdents64),
};

int privs_filter(enum privs_filter filter, char *reterr, size_t reterr_size)
{
        scmp_filter_ctx context;
        int r = -ENOMEM;

        if (!FILTER_IS_ON)
                return 0;
        context = seccomp_init(filter == PRIVS_FILTER_LOG ? SCMP_ACT_LOG : SCMP_ACT_KILL_PROCESS);
        if (context == NULL)
                goto out;
        r = seccomp_attr_set(context, SCMP_FLTATR_CTL_TSYNC, 1);
        for (size_t i = 0; r == 0 && i < ARRAY_LEN(allowed); i++)
                r = seccomp_rule_add(context, SCMP_ACT_ALLOW, allowed[i], 0);
        /* No memory may become code. */
        if (r == 0)
                r = seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                                     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
        if (r == 0)
                r = seccomp_load(context);
        seccomp_release(context);
out:
        if (r < 0)
                snprintf(reterr, reterr_size, "cannot filter system calls: %s", strerror(-r));
        return r;
}
