/* SPDX-License-Identifier: Apache-2.0 */
#include "control/privs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

int privs_lookup(const char *name, struct privs_user *ret)
{
        const struct passwd *user;

        memset(ret, 0, sizeof(*ret));
        if (geteuid() != 0)
                return 0;
        user = getpwnam(name ? name : "greyline");
        if (user == NULL)
                return name ? -ENOENT : 0;
        if (user->pw_uid == 0)
                return 0;
        ret->is_set = true;
        ret->uid = user->pw_uid;
        ret->gid = user->pw_gid;
        snprintf(ret->name, sizeof(ret->name), "%s", user->pw_name);
        return 0;
}

int privs_own(const struct privs_user *user, const char *dir)
{
        const struct dirent *entry;
        int r = 0;
        DIR *list;

        if (!user->is_set)
                return 0;
        list = opendir(dir);
        if (list == NULL)
                return -errno;
        if (fchown(dirfd(list), user->uid, user->gid) < 0)
                r = -errno;
        while (r == 0 && (entry = readdir(list)) != NULL) {
                if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                        continue;
                /* Never through a link: that would give away what lies elsewhere. */
                if (fchownat(dirfd(list), entry->d_name, user->uid, user->gid, AT_SYMLINK_NOFOLLOW) < 0 &&
                    errno != ENOENT)
                        r = -errno;
        }
        closedir(list);
        return r;
}

int privs_drop(const struct privs_user *user)
{
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        if (!user->is_set)
                return 0;
        if (initgroups(user->name, user->gid) < 0 || setresgid(user->gid, user->gid, user->gid) < 0 ||
            setresuid(user->uid, user->uid, user->uid) < 0)
                return -errno;
        /* Leaving user 0 clears the capability sets; make sure that it did. */
        if (setuid(0) == 0 || geteuid() != user->uid)
                return -EPERM;
        return 0;
}
