/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold inside an endpoint, and among sessions, between any two calls. */
#ifndef GREYLINE_SIM_CHECK_H
#define GREYLINE_SIM_CHECK_H

#include <stdbool.h>
#include <stdint.h>

struct tcp;
struct sessions;
struct wheel;

/*
 * The first thing that is wrong, in words, or NULL.
 * is_on_time: the timers that are due have run, so none may be overdue.
 * ret_buffers: added to the least and the most number of packets of the pool that the endpoint may hold; or NULL.
 */
const char *sim_check(const struct tcp *tcp, bool is_on_time, uint32_t ret_buffers[2]);

/* Is each of its nodes where it belongs, and are there count of them? */
const char *sim_check_wheel(const struct wheel *wheel, uint32_t count);

/* The same for sessions, their backend connections and what both count: after the worker's turn. */
const char *sim_check_sessions(const struct sessions *ss);

#endif
