/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole sessions in simulated time: real sessions over a real endpoint, with model clients behind one bad network and
 * model backends behind another. Everything follows from a seed.
 *
 * The ledger has one line an attempt: one message that one client tried to give away over one connection. Clients write
 * what they sent and what they were told, backends what they kept; at the end it is judged.
 */
#ifndef GREYLINE_SIM_SESSION_WORLD_H
#define GREYLINE_SIM_SESSION_WORLD_H

#include <stdio.h>

#include "dataplane/session/session.h"
#include "dataplane/shared/counters.h"
#include "tests/sim/link.h"

#define SIM_CLIENTS_MAX     6u
#define SIM_MESSAGES_MAX    3u /* of one client */
#define SIM_CONNECTIONS_MAX 7u /* that one client makes, until it gives up */
#define SIM_ATTEMPTS_MAX    (SIM_CLIENTS_MAX * SIM_CONNECTIONS_MAX * SIM_MESSAGES_MAX)
#define SIM_BACKENDS_MAX    512u /* connections to backends in one run */
#define SIM_LINE_MAX        2048u

struct sim_script {
        uint64_t seed;
        struct link_profile front, back;
        unsigned clients;
        unsigned messages;       /* of one client, at most; 0: SIM_MESSAGES_MAX */
        uint32_t message_bytes;  /* the most */
        unsigned client_faults;  /* permille of connections */
        unsigned backend_faults; /* permille of backend connections */
        unsigned deaths;         /* permille of client connections whose path dies in one direction */
        uint32_t packets_held;   /* of our endpoint */
        uint32_t legs;
        bool greet_delay, trace;
        bool no_greylist;
        bool outages;      /* a server takes no connections for a while */
        bool must_deliver; /* nothing is so bad that a message may not arrive in the end */
};

struct sim_result {
        const char *wrong; /* NULL: nothing */
        char detail[200];
        unsigned messages, delivered, attempts, kept, unsure;
        uint64_t sim_us;
        uint64_t packets, lost;
        uint64_t counters[COUNTER_MAX];
};

struct sim_attempt {
        unsigned client, message;
        uint16_t port;   /* the client's: tells connections apart */
        bool sent_whole; /* the last byte, dot included, was given to the client's endpoint */
        bool is_deaf;    /* the client closed in order and let its endpoint acknowledge whatever came */
        bool is_certain; /* the server that kept it said so, and does nothing wrong */
        unsigned nth;    /* connection of this client, from 1 */
        unsigned taken;  /* recipients that the client was told to be accepted, as bits */
        uint16_t said;   /* what a server said to the message, 0: nothing */
        uint16_t told;   /* the reply to the message, 0: none was seen */
        unsigned kept;   /* by backends */
};

struct sim_world;

/* What a message is on the wire, dots doubled, without the end; the same at each attempt. free() it. */
char *sim_message(const struct sim_script *script, unsigned client, unsigned message, size_t *ret_len);

/* --- the parts' view of the world ----------------------------------------------------------------------------------- */

struct sim_clients;
struct sim_backends;

struct sim_world {
        const struct sim_script *script;
        struct sim_result *result;
        struct dice dice;
        uint64_t now_us;
        struct tcp *ours, *client_tcp, *backend_tcp;
        struct limits *limits;
        struct sim_clients *clients;
        struct sim_backends *backends;
        struct sim_attempt attempt[SIM_ATTEMPTS_MAX];
        unsigned attempts;
};

void sim_wrong(struct sim_world *world, const char *what, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void sim_trace(const struct sim_world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* session_client.c */
struct sim_clients *sim_clients_new(struct sim_world *world);
void sim_clients_free(struct sim_clients *clients);
void sim_clients_event(struct sim_world *world, const struct tcp_event *event);
void sim_clients_act(struct sim_world *world);
uint64_t sim_clients_due_us(const struct sim_world *world);
bool sim_clients_are_done(const struct sim_world *world);
bool sim_clients_drop(const struct sim_world *world, const struct addr *client, uint16_t port,
                      bool to_client);
unsigned sim_clients_messages(const struct sim_world *world);
bool sim_clients_delivered(const struct sim_world *world, unsigned client, unsigned message);

/* session_backend.c */
struct sim_backends *sim_backends_new(struct sim_world *world);
void sim_backends_free(struct sim_backends *backends);
void sim_backends_event(struct sim_world *world, const struct tcp_event *event);
void sim_backends_act(struct sim_world *world);
uint64_t sim_backends_due_us(const struct sim_world *world);

/* session_world.c */
void sim_run(struct rte_mempool *pool, const char *dir, const struct sim_script *script,
             struct sim_result *ret);

#endif
