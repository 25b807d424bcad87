/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What dns.c (the outside: settings, turns), send.c (what is asked next) and reply.c (what an answer means
 * and where it is written) share. Nobody else includes it.
 */
#ifndef GREYLINE_DNS_ENGINE_H
#define GREYLINE_DNS_ENGINE_H

#include "control/dns/client.h"
#include "control/dns/dns.h"
#include "control/dns/hot.h"
#include "control/dns/resolver.h"
#include "dataplane/shared/client_table.h"

#define DNS_FAILED_SEC  10u  /* how long a failure keeps a client from being asked about again */
#define DNS_STALE_SEC   300u /* how long an old answer is kept on while its zone cannot say better */
#define DNS_SENDS_MAX   400u /* a turn */
#define DNS_EVENTS_MAX  64u
#define DNS_EVENT_BYTES 448u

enum query_kind {
        QUERY_ZONE,
        QUERY_PTR,
        QUERY_FORWARD,
        QUERY_PROBE,
};

/* One DNS question in flight; its number is the tag that the resolver carries. */
struct query {
        enum query_kind kind;
        enum dns_probe probe;
        uint32_t question;        /* not for probes */
        uint32_t place;           /* zone and probe: place of the zone */
        uint32_t zone_generation; /* as it was when the question was sent */
        uint32_t next_free;
};

struct dns {
        struct dns_resolver *resolver;
        struct client_table *table;
        struct siphash_key key;
        const struct psl_ctx_st *psl;
        struct dns_conf *conf;
        struct dns_clients clients;
        struct dns_hot hot;
        struct dns_counters counters;

        struct dns_zone zones[IMAGE_ZONES_MAX];
        struct dns_list_stats lists[IMAGE_ZONES_MAX];
        uint8_t place_of[IMAGE_ZONES_MAX]; /* by list number, where the list is used */
        uint8_t order[IMAGE_ZONES_MAX];    /* places, the zone with the best yield first */
        uint32_t zone_generation;

        struct query *queries; /* RESOLVER_WINDOW */
        uint32_t free_query;
        unsigned reverse_in_flight;
        uint32_t reverse_history; /* one bit a reverse lookup, newest lowest: 1 timed out */
        uint64_t reverse_trial_us;
        bool unpark;         /* something that parked questions wait for may have changed */
        unsigned sends_left; /* in this turn: each is a system call */

        uint32_t sweep_numbers; /* lists whose listings are being taken out of the table */
        uint64_t sweep_cursor;
        uint64_t tick_us;

        char events[DNS_EVENTS_MAX][DNS_EVENT_BYTES];
        unsigned events_first, events_used;
};

/* Questions in flight that one zone, or reverse DNS, may hold. */
static inline unsigned dns_zone_share(const struct dns *dns)
{
        return MAX(dns->conf->outstanding_max / 4, 4u);
}

static inline unsigned dns_reverse_share(const struct dns *dns)
{
        return MAX(dns->conf->outstanding_max / 2, 4u);
}

/* Lists of a zone that are about clients of this family. */
uint32_t dns_numbers_for(const struct dns *dns, const struct dns_zone *zone, const struct addr *client);

/* --- send.c --- */

/*
 * Say what is to be asked: everything of which the table holds no answer that lasts ahead_sec longer. Returns
 * false when there is nothing.
 */
bool dns_plan(const struct dns *dns, struct dns_question *question, struct dns_now now, uint32_t ahead_sec);

/* Send as much as fits, in the order of the queues. */
void dns_send(struct dns *dns, struct dns_now now);

/* Send the probes that are due. */
void dns_send_probes(struct dns *dns, struct dns_now now);

/* --- reply.c --- */

void dns_take_reply(struct dns *dns, const struct dns_reply *reply, struct dns_now now);

/* The zone, or reverse DNS, cannot say anything about this client now. skipped: it was not even asked. */
void dns_zone_failed(struct dns *dns, struct dns_question *question, const struct dns_zone *zone,
                     bool skipped, struct dns_now now);
void dns_ptr_failed(struct dns *dns, struct dns_question *question, uint32_t for_sec, struct dns_now now);

/* End a question of which nothing is left to send and nothing in flight; else leave it. */
void dns_finish(struct dns *dns, uint32_t question, struct dns_now now);

/* Note that a zone's state changed: for the log, and for what follows. */
void dns_zone_changed(struct dns *dns, struct dns_zone *zone);

#endif
