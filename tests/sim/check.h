/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold inside an endpoint between any two calls. */
#ifndef GREYLINE_SIM_CHECK_H
#define GREYLINE_SIM_CHECK_H

struct tcp;

/* The first thing that is wrong, in words, or NULL. */
const char *sim_check(const struct tcp *tcp);

#endif
