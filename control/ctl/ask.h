/* SPDX-License-Identifier: Apache-2.0 */
/* One request to control over its admin socket, and the answer. */
#ifndef GREYLINE_CONTROL_CTL_ASK_H
#define GREYLINE_CONTROL_CTL_ASK_H

#include <jansson.h>

#include "dataplane/shared/bug.h"

#define CTL_ANSWER_MAX (16u << 20)
#define CTL_WAIT_SEC   60 /* a push may wait 10 s for the dataplane, and compile before */

/*
 * Send {command, args} and wait for the answer. args is taken over (its reference).
 * ret: the whole answer, {"ok": true, "result": ...} or {"ok": false, "error": ...}; the caller's reference.
 * Returns 0, or -1 with one line for people in error.
 */
int ctl_ask(const char *run_dir, const char *command, json_t *args, json_t **ret, char *error,
            size_t error_size) MUST_CHECK;

#endif
