/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What DNS says about clients: every block and allow zone, the reverse name and its forward confirmation,
 * asked at once, once a client however many sessions wait, and written to the client table as it comes in.
 *
 * How control's loop uses it: wait until dns_fd() is readable or dns_timeout_ms() has passed, or a question
 * came in by dns_ask_client(); then call dns_turn() and fetch what is finished by dns_next_answer(). Nothing
 * blocks, everything is bounded, and no function calls back.
 *
 * Shedding: the policy bounds how many clients are open at once and how many of them one /24 or /48 holds.
 * Clients whose network passed before go first, and push out others when the queue is full. What is shed is
 * answered at once with whatever the table holds.
 */
#ifndef GREYLINE_DNS_DNS_H
#define GREYLINE_DNS_DNS_H

#include <stdbool.h>
#include <stdint.h>

#include "control/dns/conf.h"
#include "control/dns/zone.h"
#include "dataplane/shared/image.h"
#include "dataplane/shared/msg.h"
#include "dataplane/shared/siphash.h"

/* Both clocks of one moment. */
struct dns_now {
        uint64_t mono_us;
        uint32_t wall_sec; /* seconds since 1970 */
};

struct client_table;
struct dns;

/* One waiting question is done: tell this worker. */
struct dns_finished {
        struct addr client;
        uint64_t serial;
        uint32_t worker;
        bool complete; /* false: shed or out of time, something stayed unanswered */
};

/* Writer: dns. Reader: metrics, greylinectl; same thread. */
struct dns_counters {
        uint64_t asked;       /* questions of workers */
        uint64_t from_table;  /* answered without asking anybody: the table held everything */
        uint64_t joined;      /* joined a question that was open already */
        uint64_t finished;    /* answered with everything */
        uint64_t deadline;    /* answered at the deadline with what there was */
        uint64_t shed_full;   /* refused or pushed out: too many open questions */
        uint64_t shed_share;  /* refused: the network holds its share already */
        uint64_t shed_askers; /* refused: too many sessions wait */
        uint64_t invalid;     /* messages that are no question */
        uint64_t queries;     /* DNS questions sent */
        uint64_t malformed;   /* answers that could not be read */
        uint64_t ptr_confirmed, ptr_unconfirmed, ptr_none, ptr_failed;
        uint64_t refreshed;     /* hot entries asked again before they expired */
        uint64_t stale;         /* answers kept past their time because the zone is down */
        uint64_t table_full;    /* answers that found no room in the client table */
        uint64_t open_now;      /* clients with an open question */
        uint64_t in_flight_now; /* DNS questions without a reply yet */
};

/*
 * Make the resolver side. table: written here and nowhere else; stays the caller's. key: the greylist's, for
 * the hash of a pool's domain. Reads the public suffix list. Returns 0 or a negative errno.
 */
int dns_new(struct dns **ret, struct client_table *table, const struct siphash_key *key) MUST_CHECK;
void dns_free(struct dns *dns);

/*
 * Take zones, resolvers and times from a checked image; call at start and at every push. Questions in flight
 * go on; a zone that stays keeps its health and its statistics. Returns 0 or a negative errno (then the old
 * setting stays).
 */
int dns_configure(struct dns *dns, const struct image *image, struct dns_now now) MUST_CHECK;

/* The same from a setting made by hand. */
int dns_set_conf(struct dns *dns, const struct dns_conf *conf, struct dns_now now) MUST_CHECK;

/*
 * Take a worker's question, already copied out of the ring; anything in it may be nonsense.
 * Always leads to exactly one dns_next_answer() for a valid question. Returns false when it is none.
 */
bool dns_ask_client(struct dns *dns, const struct msg_ask *ask, struct dns_now now);

/* Work: replies, deadlines, probes, sending. At most a few milliseconds. */
void dns_turn(struct dns *dns, struct dns_now now);

/* Fetch one finished question. Returns false when there is none. */
bool dns_next_answer(struct dns *dns, struct dns_finished *ret);

int dns_fd(const struct dns *dns);
int dns_timeout_ms(const struct dns *dns, struct dns_now now);

const struct dns_counters *dns_counters(const struct dns *dns);

/*
 * The list with this number (0 to 31), the zone it is read from, and its hits; NULL when there is none: for
 * "greylinectl zones", /metrics and the log.
 */
const struct dns_list *dns_list_at(const struct dns *dns, uint32_t number);
const struct dns_zone *dns_list_zone(const struct dns *dns, uint32_t number);
const struct dns_list_stats *dns_list_stats(const struct dns *dns, uint32_t number);

/*
 * Fetch one change of a zone's state, for the log. The text lives until the next call. Returns NULL when
 * there is none.
 */
const char *dns_next_event(struct dns *dns);

#endif
