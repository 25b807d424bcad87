/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control's one event loop: descriptors, timers, and work handed in by helper threads. Everything in control
 * but the helper threads runs in its turns. A turn should take at most LOOP_TURN_MAX_MS: long work belongs in
 * a helper thread that posts its result. The longest turn is a gauge, so that a breach is seen.
 *
 * All functions are for the loop's own thread, except loop_post().
 */
#ifndef GREYLINE_CONTROL_LOOP_H
#define GREYLINE_CONTROL_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "dataplane/shared/bug.h"

#define LOOP_TURN_MAX_MS 20
#define LOOP_FDS_MAX     4096 /* descriptors above this number are refused */

struct loop;

/* events: EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR as epoll reported them. */
typedef void (*loop_fd_fn)(void *arg, int fd, uint32_t events);
typedef void (*loop_fn)(void *arg);

/* A timer. The caller's memory, zeroed before the first use; must be stopped before its memory goes. */
struct loop_timer {
        loop_fn fn;
        void *arg;
        uint64_t due_ms;
        uint32_t place; /* 1 + index in the heap, 0: not running */
};

/* A piece of work for the loop's thread. The caller's memory, untouched by him until fn has been called. */
struct loop_work {
        loop_fn fn;
        void *arg;
        struct loop_work *next;
};

struct loop_stats {
        uint64_t turns;
        uint64_t slow_turns;      /* longer than LOOP_TURN_MAX_MS */
        uint64_t longest_turn_us; /* since the last loop_stats_reset_longest() */
        uint32_t fds;
        uint32_t timers;
};

/* Returns NULL when there is no memory or no descriptor. */
struct loop *loop_new(void);

/* Closes nothing but its own descriptors; running timers and posted work are forgotten. NULL is fine. */
void loop_free(struct loop *loop);

/* Monotonic milliseconds at the start of this turn (or of the call outside a turn). */
uint64_t loop_now_ms(const struct loop *loop);

/*
 * Call fn in each turn in which fd has one of the events (EPOLLIN, EPOLLOUT; 0 watches for errors alone). A
 * second call for the same fd changes events, fn and arg. Returns 0 or a negative errno.
 */
int loop_add_fd(struct loop *loop, int fd, uint32_t events, loop_fd_fn fn, void *arg) MUST_CHECK;

/* Stop watching, before fd is closed. Events of it that wait in this turn are not delivered. */
void loop_del_fd(struct loop *loop, int fd);

/* Call timer->fn once, delay_ms from now. A running timer is set anew. */
void loop_timer_start(struct loop *loop, struct loop_timer *timer, uint64_t delay_ms, loop_fn fn, void *arg);

/* Fine for one that does not run. */
void loop_timer_stop(struct loop *loop, struct loop_timer *timer);

/* From any thread: run work->fn in the loop's thread soon. Never blocks for long, never allocates. */
void loop_post(struct loop *loop, struct loop_work *work);

/* One turn: wait at most wait_max_ms (-1: until something happens) and run what is due. */
void loop_turn(struct loop *loop, int wait_max_ms);

/* Turns until loop_stop(). */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

struct loop_stats loop_stats(const struct loop *loop);
void loop_stats_reset_longest(struct loop *loop);

#endif
