/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tcp_segments_fuzz.c and segments_world.c share: one endpoint, its three peers, and what is checked of all that
 * the endpoint says. What a peer sends at one sequence number is always the same, so what an owner reads is known
 * whatever overlaps; and the same holds for what the endpoint sends.
 */
#ifndef GREYLINE_FUZZ_SEGMENTS_H
#define GREYLINE_FUZZ_SEGMENTS_H

#include "dataplane/shared/counters.h"
#include "dataplane/tcp/conn.h"
#include "tests/fuzz/receiver.h"

#define SETUP_COOKIES   0x01u /* a syncache of one entry */
#define SETUP_LINEAR    0x02u
#define SETUP_V6        0x04u
#define SETUP_KEEPALIVE 0x08u
#define SETUP_FEW       0x10u /* few packets may be held */
#define SETUP_SMALL     0x20u /* a small receive window */
#define SETUP_TIMEWAIT1 0x40u /* one place in TIME-WAIT */

#define HANDS_CLIENT    0x01u /* the client's handshake is done */
#define HANDS_SERVER    0x02u /* the server answers */
#define HANDS_TIMESTAMP 0x04u
#define HANDS_SACK      0x08u
#define HANDS_SCALE     0x10u
#define HANDS_ECN       0x20u

/* RFC 3168 6.1 */
#define FLAG_ECE 0x40u
#define FLAG_CWR 0x80u

#define CONNECTIONS_MAX 8u
#define LISTENER_ID     1u

enum peer_index { PEER_CLIENT, PEER_SERVER, PEER_CLIENT2, PEERS };

/* One peer, and the owner of our side of its connection. */
struct peer {
        uint16_t port, our_port;
        struct tcp_handle conn;
        bool is_open, is_moved;    /* what was moved to it is not its owner's pattern */
        uint32_t read;             /* bytes its owner has read */
        uint32_t written;
        uint32_t irs;              /* the peer's first sequence number */
        uint32_t snd, rcv;         /* where the peer is when there is no connection to ask */
        uint32_t ts, ts_echo;
        uint8_t options;           /* HANDS_* that it uses */
        struct receiver receiver;  /* of what we send */
};

struct fuzz {
        struct tcp *tcp;
        uint64_t now_us;
        struct addr ours, theirs;
        struct peer peer[PEERS];
        uint64_t counters[COUNTER_USED];
};

/* A fresh world with a connection to the server on its way. One at a time. */
void fuzz_start(struct fuzz *fuzz, unsigned setup);

/* A new packet of the world's pool: a segment from the peers' address. The payload is the pattern of its sender. */
struct packet *fuzz_packet(struct fuzz *fuzz, const uint8_t *header, uint32_t header_len, uint32_t payload_len);

/* Call the server. Does nothing while that connection is there. */
void fuzz_connect(struct fuzz *fuzz);

/* The connection of a peer, or NULL. */
struct tcp_conn *fuzz_conn(const struct fuzz *fuzz, const struct peer *peer);

/* What an owner does. */
void fuzz_read(struct fuzz *fuzz, struct peer *peer, uint32_t most);
void fuzz_write(struct fuzz *fuzz, struct peer *peer, uint32_t len);

/* Events to their owners, and, unless it shall stay, output to the peers; then look at everything. */
void fuzz_turn(struct fuzz *fuzz, bool with_output);

/* Time goes on, from timer to timer. */
void fuzz_pass(struct fuzz *fuzz, uint64_t us);

/* The owners leave and the peers say nothing: the timers end everything, and nothing is left. */
void fuzz_drain(struct fuzz *fuzz);

#endif
