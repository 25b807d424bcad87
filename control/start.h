/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of the start that main.c puts in order. Each says on stderr why it failed, in one line. */
#ifndef GREYLINE_CONTROL_START_H
#define GREYLINE_CONTROL_START_H

#include "control/control.h"

/* Make the run and the state directory, 0750, where they are missing. */
int start_directories(struct control *control) MUST_CHECK;

/* Make sure that no other control serves this run directory; held until the process ends. */
int start_lock(struct control *control) MUST_CHECK;

/*
 * Choose the policy to begin with. A policy file that was edited since it was last taken becomes a new
 * version; otherwise the current version goes on, which may be one that was pushed since. A broken file stops
 * the start only when there is no current version.
 */
int start_policy(struct control *control) MUST_CHECK;

#endif
