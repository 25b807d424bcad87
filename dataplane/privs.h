/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the dataplane gives up once its devices are open and its memory is locked: user, groups, capabilities of
 * every thread, and the way back to them.
 */
#ifndef GREYLINE_PRIVS_H
#define GREYLINE_PRIVS_H

#include <stdbool.h>
#include <stddef.h>

#include "dataplane/shared/bug.h"

/*
 * Let user own the files that the process has made in the run directory, then become that user for good in all
 * threads (the C library does that for every thread that exists), with no capability left and no_new_privs.
 * user        a name; NULL: stay who we are, drop nothing but the way to new privileges
 * keep_caps   true for devices that need capabilities after their start: only no_new_privs is set
 * Returns 0 or a negative errno, with one line for people in reterr.
 */
int privs_drop(const char *user, bool keep_caps, char *reterr, size_t reterr_size) MUST_CHECK;

/* Give a file or directory to user, where user is not NULL. Returns 0 or a negative errno. */
int privs_give(const char *path, const char *user) MUST_CHECK;

enum privs_filter {
        PRIVS_FILTER_KILL, /* a system call that is not on the list ends the process */
        PRIVS_FILTER_LOG,  /* it is allowed, and the kernel logs it: for device drivers that we cannot test */
};

/*
 * Allow every thread only the system calls that the running dataplane needs (seccomp, TSYNC): no new programs, no
 * new sockets, no way to other processes. After privs_drop(). Does nothing under AddressSanitizer, whose runtime
 * needs more.
 * Returns 0 or a negative errno, with one line for people in reterr.
 */
int privs_filter(enum privs_filter filter, char *reterr, size_t reterr_size) MUST_CHECK;

#endif
