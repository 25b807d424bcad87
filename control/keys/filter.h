/* SPDX-License-Identifier: Apache-2.0 */
/* What greyline-keys gives up before it reads its first key. */
#ifndef GREYLINE_KEYS_FILTER_H
#define GREYLINE_KEYS_FILTER_H

#include <stddef.h>

#include "dataplane/shared/bug.h"

/* As root, before it is given up: let memory be locked without a limit. Without root the limit stays as it is. */
void filter_lift_limits(void);

/*
 * Memory that is not dumped, nor swapped where the limit of locked memory allows it (it says so on stderr where not), and
 * only the system calls that reading files and signing need: no socket, no new program, no other process, no memory that
 * is or becomes code. Another call ends the process. The list is off under AddressSanitizer, whose runtime needs more.
 * Returns 0 or a negative errno, with one line for people in reterr.
 */
int filter_install(char *reterr, size_t reterr_size) MUST_CHECK;

#endif
