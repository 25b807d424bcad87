/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Becoming an ordinary user. Control needs root for nothing once its sockets are bound and the directories
 * are its own.
 */
#ifndef GREYLINE_CONTROL_PRIVS_H
#define GREYLINE_CONTROL_PRIVS_H

#include <stdbool.h>
#include <sys/types.h>

#include "dataplane/shared/bug.h"

struct privs_user {
        bool is_set; /* false: stay who we are */
        uid_t uid;
        gid_t gid;
        char name[64];
};

/*
 * Who to become. name: NULL for the user "greyline" where there is one. As anyone but root: nobody else.
 * Returns 0, or -ENOENT when a user was named that does not exist.
 */
int privs_lookup(const char *name, struct privs_user *ret) MUST_CHECK;

/* Give a directory and what lies directly in it to that user. Returns 0 or a negative errno. */
int privs_own(const struct privs_user *user, const char *dir) MUST_CHECK;

/*
 * Drop everything, for good and in every thread: groups, group, user, capabilities; no new ones by exec.
 * Checks that there is no way back. Returns 0 or a negative errno.
 */
int privs_drop(const struct privs_user *user) MUST_CHECK;

#endif
