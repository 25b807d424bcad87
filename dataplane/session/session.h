/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One worker's client sessions: each joins a client's TCP connection, its SMTP machine, its checks and, after
 * the first recipient that passed them, one backend connection. Only this part opens and gives up sessions.
 *
 * The worker's turn: sessions_begin(), session_event() for each event of tcp, sessions_answer() for each
 * message from control, sessions_judge() once, sessions_tick() once. Nothing calls back; what is to be sent lies
 * in tcp afterwards.
 */
#ifndef GREYLINE_SESSION_SESSION_H
#define GREYLINE_SESSION_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/policy/limits.h"
#include "dataplane/port/steer.h"
#include "dataplane/relay/backend.h"
#include "dataplane/shared/client_table.h"
#include "dataplane/shared/grey_table.h"
#include "dataplane/shared/image.h"
#include "dataplane/shared/keys.h"
#include "dataplane/shared/link.h"
#include "dataplane/shared/secret.h"
#include "dataplane/tcp/tcp.h"

struct tls_set;

/*
 * What is in force: a checked image and what main worked out for it. Made by main, read by workers; lives until
 * no worker uses it any more (main's matter). A session keeps no pointer into it across events.
 */
struct runtime {
        const struct image *image;
        uint16_t server_map[IMAGE_SERVERS_MAX]; /* server in the image -> entry of backends */
        struct tls_set *tls[IMAGE_LISTENERS_MAX]; /* certificates by listener of the image, NULL: none that can be used */
};

struct sessions;

struct sessions_settings {
        unsigned worker;
        unsigned workers;
        struct tcp *tcp;
        const struct steer *steer;
        struct grey_table *grey;
        const struct client_table *clients;
        struct limits *limits;
        struct backends *backends;
        void *ask_ring;          /* link_ask_ring() of this worker */
        void *log_ring;          /* link_log_ring() of this worker */
        uint64_t *counters;
        uint32_t sessions_max;   /* of this worker */
        uint32_t legs_max;       /* backend connections of this worker */
        uint32_t tls_max;        /* of its clients that use TLS at one time; 0: none can */
        const struct secret *secret; /* of the cluster, for session tickets; only with tls_max */
        void *keys_ring;         /* keys_request_ring() of this worker, NULL: nobody signs, no client can use TLS */
        const _Atomic uint64_t *keys_beat_ms; /* greyline-keys' sign of life */
        uint8_t node_id;
        uint64_t now_us;         /* monotonic */
        uint64_t wall_us;        /* since 1970 */
        uint64_t random;
};

/* Allocates everything the worker's sessions will ever use. Returns NULL when memory is short. */
struct sessions *sessions_new(const struct sessions_settings *settings, const struct runtime *runtime);

/* Only after the worker's tcp was freed or has no connections; no reply is sent. */
void sessions_free(struct sessions *sessions);

/* --- the worker's turn; nothing below allocates or blocks ----------------------------------------------------- */

/* The clocks of this turn, and the policy in force. Listening addresses follow the policy. */
void sessions_begin(struct sessions *sessions, const struct runtime *runtime, bool draining, uint64_t now_us,
                    uint64_t wall_us);

/* Fetch what the next SESSIONS_AHEAD events will need, while they wait. */
#define SESSIONS_AHEAD 16u
void sessions_prefetch(struct sessions *sessions);

/* One event of tcp_next_event(). */
void session_event(struct sessions *sessions, const struct tcp_event *event);

/* A message of control: copied from the ring and unchecked. */
void sessions_answer(struct sessions *sessions, const struct msg_answer *answer);

/* A signature of greyline-keys, or why there is none: copied from the ring and unchecked. At most one a turn. */
void sessions_signed(struct sessions *sessions, const struct keys_answer *answer);

/* Judge the recipients that this turn has brought to the greylist, all in one pass. */
void sessions_judge(struct sessions *sessions);

/* Run timers that are due, a bounded number. */
void sessions_tick(struct sessions *sessions);

/* When sessions_tick() is needed next; UINT64_MAX: never. */
uint64_t sessions_due_us(const struct sessions *sessions);

/* Publish what was written to the rings. Returns true when control sleeps and its bell should be rung. */
bool sessions_publish(struct sessions *sessions);

/* Give out what handshakes want signed. Returns true when greyline-keys sleeps and its bell should be rung. */
bool sessions_ask_keys(struct sessions *sessions);

/* On the worker's thread, when it will run no more: handshakes that wait for a signature cannot end on another. */
void sessions_stop(struct sessions *sessions);

uint32_t sessions_open(const struct sessions *sessions);

/* What they hold now. */
struct sessions_held {
        uint32_t sessions, legs, decisions;
        uint32_t asking;      /* wait for answers about their clients */
        uint64_t texts_bytes; /* blocks of what clients said */
};
void sessions_held(const struct sessions *sessions, struct sessions_held *ret);

#endif
