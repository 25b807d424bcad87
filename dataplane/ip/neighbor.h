/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The neighbours of one worker: ARP and ND entries of all interfaces in one table.
 *
 * An entry is made only because we want to send, never because somebody speaks to us: so a stranger fills the table
 * only as fast as we ask, which is metered. In a full set those go first that did not answer, then those that have not
 * answered yet, then the least recently used; gateways stay, and so do those that answered and were used within
 * NEIGHBOR_KEEP_US: where a set holds nothing else, a new neighbour is not asked for, and its packets are dropped.
 * At most NEIGHBOR_WAITING_MAX packets wait for one neighbour, NEIGHBORS_WAITING_MAX for all.
 */
#ifndef GREYLINE_IP_NEIGHBOR_H
#define GREYLINE_IP_NEIGHBOR_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/ip/ip.h"

#define NEIGHBOR_WAYS 8u
/* packets; the oldest is dropped (RFC 1122 2.3.2.2 wants at least one) */
#define NEIGHBOR_WAITING_MAX  3u
#define NEIGHBORS_WAITING_MAX 2048u
#define NEIGHBOR_TRIES        3u /* questions a second apart (RFC 4861 10) */
#define NEIGHBOR_RETRY_US     1000000u
#define NEIGHBOR_REACHABLE_US 30000000u  /* an answer is believed without asking again */
#define NEIGHBOR_FORGET_US    600000000u /* older answers are not used while asking again */
#define NEIGHBOR_HOLD_MAX_SEC 32u        /* after no answer: 1 s, doubling, until it is asked again */
#define NEIGHBOR_KEEP_US      30000000u  /* used since then, and answering: does not make room for others */
#define NEIGHBOR_MOVE_US      1000000u   /* a neighbour may change its MAC address once in this time */
/* questions of a worker: 2000 a second, 1000 at once; gateways do not count */
#define NEIGHBOR_ASK_INTERVAL_US 500u
#define NEIGHBOR_ASK_BURST       1000u
#define NEIGHBOR_TICK_MAX        64u /* entries of one ip_tick() */
#define NEIGHBOR_GATEWAYS_MAX    (2 * IP_INTERFACES_MAX)
#define NEIGHBOR_GATEWAYS_NEAR   4u /* compared before anything is hashed */
#define NEIGHBOR_NONE            UINT32_MAX

enum neighbor_state {
        NEIGHBOR_FREE,
        NEIGHBOR_FAILED,     /* nobody answered; asked again from due_us on */
        NEIGHBOR_INCOMPLETE, /* asked, no answer yet; packets wait */
        NEIGHBOR_REACHABLE,  /* answered; after NEIGHBOR_REACHABLE_US the next use asks again */
        NEIGHBOR_PROBING,    /* asked again; used meanwhile */
};

struct neighbor {
        struct addr addr;
        uint64_t confirmed_us;
        uint64_t used_us;
        uint64_t due_us;        /* INCOMPLETE, PROBING: next question; FAILED: end of the hold */
        uint64_t changed_us;    /* last move to another MAC address, 0: never */
        struct packet *waiting; /* the oldest; linked by meta->next */
        uint32_t next, prev;    /* in the list of those that wait for an answer */
        uint8_t n_waiting;
        uint8_t state; /* enum neighbor_state */
        uint8_t interface;
        uint8_t tries;
        uint8_t failures; /* rounds without an answer, for the hold */
        bool is_gateway;
        uint8_t mac[6];
};

struct neighbors {
        struct neighbor *entries;
        /* a part of the hash for each entry: a lookup reads one line of these, then one entry */
        uint16_t *tags;
        uint32_t sets; /* a power of two */
        /* asked, the oldest question first: all wait equally long, so the list is ordered by due_us */
        uint32_t first, last;
        uint32_t n_waiting; /* packets */
        uint64_t ask_rate_us;
        struct siphash_key hash_key;
        uint32_t gateways[NEIGHBOR_GATEWAYS_MAX];
        unsigned n_gateways;
        uint64_t gateways_due_us; /* UINT64_MAX: there are none */
};

/* What a message says about its sender. */
#define NEIGHBOR_ANSWERS   0x1u /* in the form of an answer to us; believed as one while a question is open */
#define NEIGHBOR_OVERRIDES 0x2u /* it may replace a MAC address that we know */

int neighbors_init(struct neighbors *neighbors, unsigned entries, const struct siphash_key *key) MUST_CHECK;
void neighbors_done(struct neighbors *neighbors);

/* Keep this address resolved, whatever happens. Called while the table is empty. */
int neighbor_add_gateway(struct ip *ip, unsigned interface, const struct addr *addr,
                         uint64_t now_us) MUST_CHECK;

/*
 * Send a packet (data begins at its IP header) to a neighbour, or let it wait while we ask.
 * Returns IP_SENT (taken), or a drop: the packet is still the caller's.
 */
enum ip_verdict neighbor_send(struct ip *ip, unsigned interface, const struct addr *addr,
                              struct packet *packet, uint64_t now_us);

/* A message gave this MAC address for the neighbour. Without an entry (we never wanted to send there) nothing happens. */
void neighbor_learn(struct ip *ip, unsigned interface, const struct addr *addr, const uint8_t mac[6],
                    unsigned what, uint64_t now_us);

/* Ask again, give up. */
void neighbor_tick(struct ip *ip, uint64_t now_us);
uint64_t neighbor_next_due_us(const struct neighbors *neighbors);

/* The entry, or NULL. For tests and for greylinectl. */
struct neighbor *neighbor_lookup(struct neighbors *neighbors, unsigned interface, const struct addr *addr);

#endif
