/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The questions that are open: one a client, however many sessions wait for it. Who waits, what is still to
 * be asked, in which order; bounded in every direction. Knows no DNS and sends nothing: dns.c does.
 */
#ifndef GREYLINE_DNS_CLIENT_H
#define GREYLINE_DNS_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "control/dns/answer.h"
#include "dataplane/shared/addr.h"
#include "dataplane/shared/siphash.h"

#define CLIENTS_NONE UINT32_MAX /* no place in a pool */

/* Where a question waits for a place in the window. In the order in which they are served. */
enum dns_queue {
        DNS_QUEUE_KNOWN, /* the client's network passed before */
        DNS_QUEUE_NEW,
        DNS_QUEUE_REFRESH, /* nobody waits */
        DNS_QUEUE_PARKED, /* what is left cannot be sent yet: a zone not tested, or one that holds its share */
        DNS_QUEUE_USED,
        DNS_QUEUE_NONE = DNS_QUEUE_USED, /* everything is sent */
};

/* A session that waits, then its answer. */
struct dns_asker {
        struct addr client;
        uint64_t serial;
        uint32_t worker;
        uint32_t next;
        bool complete;
};

/* The names that a reverse lookup gave, to be confirmed one after another. */
struct dns_names {
        unsigned used, next;
        bool failed;      /* some name could not be asked: "unconfirmed" would be a guess */
        uint32_t ttl_sec; /* the shortest of what the verdict stands on */
        char names[DNS_PTRS_MAX][DNS_NAME_MAX];
};

struct dns_question {
        struct addr client;
        uint32_t hash_next;
        uint32_t prev, next;     /* in its queue */
        uint32_t older, younger; /* among those with a deadline */
        uint32_t askers;         /* the first of the list */
        uint64_t asked_us;       /* when the session that waits longest asked */
        uint8_t queue;           /* enum dns_queue */
        uint8_t home;            /* the queue to go back to from DNS_QUEUE_PARKED */
        bool used;
        bool waiting;                   /* somebody waits: it has a deadline */
        bool ptr_todo, forward_todo;    /* to be sent; forward: names->names[names->next] */
        bool failed;                    /* some part stays unanswered */
        bool refresh;                   /* the zones' answers are written together, when all are there */
        uint32_t zones_todo;            /* to be sent: bit per place of a zone */
        unsigned parts;                 /* sent, no reply yet */
        uint32_t old_clear, old_listed; /* what the table held past its time, bit per list */
        uint32_t hits;                  /* lists that the replies named */
        uint32_t new_clear, new_listed; /* a refresh's answers, and when the first of them expires */
        uint32_t new_expire_sec;
        struct dns_names *names;
};

struct dns_clients {
        struct siphash_key key;
        uint32_t limit, share_max;
        uint32_t used;
        struct dns_question *questions; /* DNS_QUESTIONS_MAX */
        uint32_t free_question;         /* linked by next */
        uint32_t *index;                /* by address: the first of a chain */
        uint16_t *shares; /* open questions by hash of the network: never below the true count */
        uint32_t first[DNS_QUEUE_USED], last[DNS_QUEUE_USED];
        uint32_t oldest, youngest;
        struct dns_asker *askers;
        uint32_t free_asker;
        uint32_t done_first, done_last; /* askers to be told */
};

enum dns_join {
        DNS_JOIN_OLD,   /* the client has an open question */
        DNS_JOIN_NEW,   /* a question was made: plan it, then dns_clients_queue() */
        DNS_JOIN_SHARE, /* refused: the network holds its share */
        DNS_JOIN_FULL,  /* refused: no place, and nobody to push out */
};

/* Allocates everything once. key: any secret. Returns 0 or -ENOMEM. */
int dns_clients_init(struct dns_clients *clients, const struct siphash_key *key) MUST_CHECK;
void dns_clients_done(struct dns_clients *clients);

/* A node for a session that asks, or CLIENTS_NONE when too many wait. */
uint32_t dns_clients_asker(struct dns_clients *clients, const struct addr *client, uint32_t worker,
                           uint64_t serial);

/*
 * Find the client's question or make one. known: its network passed before; such a one may push out the
 * youngest unsent question of another, which is put into ret_pushed (else CLIENTS_NONE) for the caller to end.
 */
enum dns_join dns_clients_join(struct dns_clients *clients, const struct addr *client, bool known,
                               uint32_t *ret_question, uint32_t *ret_pushed);

/* The session waits for this question. Starts its clock when it is the first. */
void dns_clients_wait(struct dns_clients *clients, uint32_t question, uint32_t asker, uint64_t now_us);

/* Move a question to the end (or the front) of a queue, or out of all by DNS_QUEUE_NONE. */
void dns_clients_queue(struct dns_clients *clients, uint32_t question, enum dns_queue queue, bool front);

/* The question whose sessions wait longest, or CLIENTS_NONE. */
uint32_t dns_clients_oldest(const struct dns_clients *clients);

/* Everybody who waits for the question is to be told; it stays. */
void dns_clients_release(struct dns_clients *clients, uint32_t question, bool complete);

/* A session that need not wait is to be told. */
void dns_clients_release_asker(struct dns_clients *clients, uint32_t asker, bool complete);

/* The question is over: nobody waits, nothing is in flight. */
void dns_clients_remove(struct dns_clients *clients, uint32_t question);

/* Fetch one session to be told; false when there is none. */
bool dns_clients_next_done(struct dns_clients *clients, struct dns_asker *ret);

#endif
