/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a connection needs only while something of it is queued or on its way: its queues, and what is known about
 * bytes in flight. A connection at rest has none, and points to flight_none, whose queues are empty.
 *
 * flight_take() gives it one before the first packet is queued, or a SYN or FIN goes out; flight_rest() takes it back
 * once nothing needs it. There are as many as connections and each connection has at most one, so there is always one
 * left; blocks are used again last in, first out, and pages not touched before they are used, so the memory follows
 * from how many were ever in use at once: those that hold packets (never more than packets_held_max), and those whose
 * SYN or FIN is not acknowledged.
 */
#ifndef GREYLINE_TCP_FLIGHT_H
#define GREYLINE_TCP_FLIGHT_H

#include <assert.h>
#include <stdint.h>

#include "dataplane/tcp/header.h"
#include "dataplane/tcp/queue.h"

struct tcp;
struct tcp_conn;

#define BOARD_NONE UINT32_MAX

struct tcp_flight {
        union {
                struct packet_queue recv;     /* unread */
                struct tcp_flight *next_free; /* of a block that is not in use */
        };
        struct packet_queue send, reorder;
        struct packet *send_hint; /* holds snd_nxt, or NULL: not known */
        uint32_t recv_bytes;      /* unread */
        uint8_t reorder_len;      /* packets in reorder */
        uint8_t dupacks;
        uint16_t ecn_mark;        /* with CONN_ECN_CUT: the highest number sent when the window was cut, in KiB, rounded up */

        uint32_t rexmit_due_ms;  /* TIMER_REXMIT */
        uint32_t progress_ms;    /* when snd_una last moved, or data became outstanding after none was */
        uint32_t recover;        /* snd_max when loss was last seen (RFC 6582) */
        uint32_t rtt_seq, rtt_sent_us;
        uint32_t sent_us;        /* without a board: when what is in flight was sent */
        uint32_t board;          /* scoreboard, or BOARD_NONE */
        uint32_t reorder_newest; /* sequence number of the segment that came last into reorder */
        uint32_t fin_seq;        /* with CONN_FIN_HELD */
        struct tcp_block dsack;  /* with CONN_DSACK: what came twice, last */

        /* CUBIC (congest.h, RFC 9438 4.1.2). */
        uint32_t w_max;    /* where the curve is flat; 0: no loss is known */
        uint32_t w_prior;  /* cwnd_prior; 0: likewise */
        uint32_t w_est;    /* Reno's window; 0: the next ACK begins a stage of congestion avoidance */
        uint32_t w_max_ms; /* when the curve reaches w_max: t_epoch + K, later by the time that does not count */
        uint32_t acked_ms; /* when the last ACK of this stage came */
};
static_assert(sizeof(struct tcp_flight) <= 128, "two lines while something is on its way");

/* Of every connection at rest: nothing queued. Never written. */
extern const struct tcp_flight flight_none;

/* Room for max. Returns 0 or -ENOMEM. May allocate (pages are touched when used). */
int flight_pool_new(struct tcp *tcp, uint32_t max);
void flight_pool_free(struct tcp *tcp);

/* The connection's block, a fresh one if it has none. */
struct tcp_flight *flight_take(struct tcp *tcp, struct tcp_conn *conn);

/* Take the block back if nothing needs it any more. Harmless for a connection that has been freed. */
void flight_rest(struct tcp *tcp, struct tcp_conn *conn);

#endif
