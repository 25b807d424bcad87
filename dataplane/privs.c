/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/privs.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

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
