/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control's end of the rings (dataplane/shared/link.h): attaches to a dataplane, notices that it was
 * restarted, and copies and checks every message. What the messages mean is left to service.c: questions and
 * records are fetched here, answers are put here, nothing calls back, so that a test can play the dataplane.
 *
 * A record stays in its ring until control_link_log_done(): a control killed in between finds it again.
 */
#ifndef GREYLINE_CONTROL_LINK_H
#define GREYLINE_CONTROL_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/shared/bug.h"
#include "dataplane/shared/link.h"

#define CONTROL_LINK_ANSWERS_MAX 8192u /* answers that wait for room in a ring */
#define CONTROL_LINK_HUNG_MS     2000u /* a dataplane without a beat for so long is hung or dead */

enum control_link_state {
        CONTROL_LINK_ABSENT, /* no dataplane has been seen, or another version of the layout */
        CONTROL_LINK_ALIVE,
        CONTROL_LINK_HUNG, /* its process is there, but its housekeeping does not turn */
        CONTROL_LINK_DEAD, /* its process is gone */
};

struct control_link_stats {
        uint64_t attached;        /* dataplanes seen */
        uint64_t asks;            /* good questions read */
        uint64_t bad_asks;        /* refused: not a question, or not of this worker */
        uint64_t answers;         /* written into rings */
        uint64_t answers_dropped; /* no room, or their dataplane is gone */
        uint64_t records;         /* good log records read */
        uint64_t bad_records;     /* refused: impossible lengths or enums */
        uint64_t version_refused; /* files of another layout version */
};

struct control_link;

/* run_dir is copied. Makes the bells. Returns 0 or a negative errno. */
int control_link_new(struct control_link **ret, const char *run_dir) MUST_CHECK;
void control_link_free(struct control_link *link);

/* The descriptor to wait on (readable): the dataplane rings it. */
int control_link_fd(const struct control_link *link);

/*
 * Attach when there is a dataplane to attach to. An old mapping is kept until its log records have all been
 * fetched; a call after that takes the new one. Call some times a second.
 * Returns true when a new dataplane was attached just now.
 */
bool control_link_check(struct control_link *link);

/* Tell the dataplane that control lives. Call some times a second. now_ms: monotonic clock. */
void control_link_beat(struct control_link *link, uint64_t now_ms);

/* How the dataplane is. ret_age_ms, may be NULL: since its last beat. */
enum control_link_state control_link_state(const struct control_link *link, uint64_t now_ms,
                                           uint64_t *ret_age_ms);

/*
 * The shared page, or NULL when there is none. What the dataplane wrote there is to be checked by the
 * reader.
 */
struct link_page *control_link_page(const struct control_link *link);
uint32_t control_link_workers(const struct control_link *link);

/* The next question of any worker, in turn. Returns false when there is none. */
bool control_link_next_ask(struct control_link *link, struct msg_ask *ret);

/*
 * Answer a worker. Never waits: with a full ring the answer is kept for the next control_link_flush(), and
 * beyond CONTROL_LINK_ANSWERS_MAX of those it is dropped and counted (the session goes on at its deadline).
 */
void control_link_answer(struct control_link *link, uint32_t worker, const struct msg_answer *answer);

/* Publish answers and ring the bells of workers that sleep. Once a turn, and some times a second. */
void control_link_flush(struct control_link *link);

/* The oldest record of any worker, in turn; the same again until control_link_log_done(). */
bool control_link_next_log(struct control_link *link, struct msg_log *ret);

/* The record of the last control_link_next_log() has been written: it may leave its ring. */
void control_link_log_done(struct control_link *link);

/*
 * Is it better to lose that record than to wait until it can be written? Its ring is more than half full, or
 * a new dataplane waits to be attached.
 */
bool control_link_log_is_pressing(struct control_link *link);

/* Before waiting on the descriptor. Returns false when something came in meanwhile. */
bool control_link_may_sleep(struct control_link *link);
void control_link_awake(struct control_link *link);

/* Ask the dataplane to look at the page now. */
void control_link_ring_main(struct control_link *link);

const struct control_link_stats *control_link_stats(const struct control_link *link);

#endif
