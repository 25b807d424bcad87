/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of this part share: the endpoint, the connection, and the few operations on a connection that
 * all of them need (life, events, timers). Nobody outside dataplane/tcp includes this but its unit tests.
 *
 * A connection is one element of an array, named by its index. It is in the table while segments can reach
 * it; in the wheel while a timer may run; in the list of events and of output while it has something to say
 * or to send. conn_over() takes it out of the network's sight, conn_free() ends it; nothing else does either.
 */
#ifndef GREYLINE_TCP_CONN_H
#define GREYLINE_TCP_CONN_H

#include <assert.h>

#include "dataplane/shared/counters.h"
#include "dataplane/shared/siphash.h"
#include "dataplane/tcp/flight.h"
#include "dataplane/tcp/header.h"
#include "dataplane/tcp/ilist.h"
#include "dataplane/tcp/limits.h"
#include "dataplane/tcp/seq.h"
#include "dataplane/tcp/table.h"
#include "dataplane/tcp/tcp.h"
#include "dataplane/tcp/wheel.h"

struct tcp_tuple {
        struct addr remote, local;
        uint16_t remote_port, local_port;
};
static_assert(sizeof(struct tcp_tuple) == 36, "hashed as bytes: no padding");

/* tcp_conn.flags */
#define CONN_TIMESTAMPS   0x00001u /* RFC 7323 negotiated */
#define CONN_SACK         0x00002u /* RFC 2018 negotiated */
#define CONN_SCALE        0x00004u /* our window field is scaled */
#define CONN_ACTIVE       0x00008u /* opened by tcp_connect() */
#define CONN_COOKIE       0x00010u /* opened by a cookie alone */
#define CONN_ORPHAN       0x00020u /* the owner has closed: no events, input is thrown away */
#define CONN_FIN_QUEUED   0x00040u /* our FIN comes after snd_end; nothing can be appended */
#define CONN_FIN_HELD     0x00080u /* the peer's FIN is known, at fin_seq, but bytes before it are missing */
#define CONN_FIN_TAKEN    0x00100u /* the peer's FIN is taken: rcv_nxt is after it */
#define CONN_EOF_SAID     0x00200u /* TCP_EV_EOF was raised */
#define CONN_CLOSED_LATER 0x00400u /* over in order, but the owner has not read everything yet */
#define CONN_WANT_ROOM    0x00800u /* the owner was told that the send queue is full */
#define CONN_RTT_TIMING   0x01000u /* rtt_seq is being timed */
#define CONN_RECOVERY     0x02000u /* fast recovery until recover is acknowledged */
#define CONN_REXMIT_NOW   0x04000u /* send the segment at snd_una again, whatever the window */
#define CONN_PROBE_NOW    0x08000u /* window probe: one byte at snd_una, whatever the window */
#define CONN_ALIVE_NOW    0x10000u /* keepalive probe */
#define CONN_TAIL_ARMED   0x20000u /* the retransmission timer is set for a tail loss probe */
#define CONN_TAIL_NOW     0x40000u /* send a tail loss probe: what is next, or the last segment again */
#define CONN_TAIL_SENT    0x80000u /* a probe is out: not another one before a round trip has been measured */
#define CONN_SYN_AGAIN    0x100000u /* our SYN was retransmitted (RFC 6298 5.7) */
#define CONN_SMALL        0x80000000u /* sends less than the peer takes, for the path's sake; waits to grow (path_mtu.h) */
#define CONN_SYN_OUT      0x200000u /* our SYN is at snd_una, not acknowledged */
#define CONN_DSACK        0x400000u /* flight->dsack is to be reported by the next ACK (RFC 2883); one is due */
#define CONN_CWND_FULL    0x800000u /* sending last stopped because of the congestion window */
#define CONN_REORDERED    0x1000000u /* the path changes the order of segments (RACK.reordering_seen) */
#define CONN_PROBE_OPEN   0x2000000u /* a tail loss probe repeated what was sent last; not known yet whether that was needed */
#define CONN_RACK_ARMED   0x4000000u /* the retransmission timer is set for the end of the reordering window */
#define CONN_ECN          0x8000000u /* RFC 3168 negotiated; in SYN-SENT: offered */
#define CONN_ECE_DUE      0x10000000u /* congestion was experienced on the way here: said with every ACK until CWR comes */
#define CONN_CWR_DUE      0x20000000u /* the window was cut: said with the next new data */
#define CONN_ECN_CUT      0x40000000u /* the window was cut for an ECE, and flight->ecn_mark is not acknowledged yet */

/* Of bytes on their way: none of these outlives the flight. */
#define CONN_FLIGHT_FLAGS                                                                                    \
        (CONN_RTT_TIMING | CONN_RECOVERY | CONN_REXMIT_NOW | CONN_PROBE_NOW | CONN_TAIL_ARMED | CONN_TAIL_NOW |      \
         CONN_DSACK | CONN_CWND_FULL | CONN_RACK_ARMED | CONN_ECN_CUT)

#define TIMER_REXMIT 0x1u /* retransmission or persist, by what is outstanding; only with a flight */
#define TIMER_ACK    0x2u /* delayed acknowledgement */
#define TIMER_LIFE   0x4u /* keepalive while owned; drain and FIN-WAIT-2 while not */

/* What an idle connection takes: three lines. See flight.h for the rest. */
struct tcp_conn {
        /* Who it is, and what every segment asks first. */
        struct tcp_tuple tuple;
        uint32_t generation;
        struct tcp_flight *flight; /* never NULL */
        uint32_t flags;            /* CONN_* */
        uint8_t state;             /* enum tcp_state; written by conn_state_set() */
        uint8_t timers : 3;        /* TIMER_* that run */
        uint8_t acks_due : 5;      /* ACKs to send now; more than one only for duplicates that a peer without SACK counts */
        uint8_t snd_scale : 4;     /* the peer's window shift */
        uint8_t challenges : 4;    /* challenge ACKs in challenge_sec */
        uint8_t challenge_sec : 4; /* low bits */
        uint8_t backoff : 4;       /* of the RTO; stays until a round trip is measured (Karn) */
        uint16_t mss;              /* payload per segment, options deducted */
        uint16_t events;           /* TCP_EV_* not yet told */
        uint32_t rcv_nxt;

        /* Sequence numbers (RFC 9293 3.3.1), timestamps, congestion. */
        uint32_t rcv_adv;    /* right edge of the window that the peer has been told; never moves left */
        uint32_t recv_bound; /* tcp_recv_window_set() */
        uint32_t last_ack;   /* rcv_nxt when we last sent an ACK (RFC 7323 4.3) */
        uint32_t ts_recent;
        uint32_t ts_offset;  /* of our timestamp clock */
        uint32_t snd_una;
        uint32_t snd_nxt; /* goes back to snd_una after a timeout */
        uint32_t snd_max; /* the highest snd_nxt ever */
        uint32_t snd_end; /* after the last queued byte */
        uint32_t snd_wnd; /* from snd_una */
        uint32_t snd_wl1; /* SND.WL2 is never after snd_una, and no older ACK sets the window */
        uint32_t snd_wnd_max;
        uint32_t cwnd, ssthresh;
        uint32_t srtt_us, rttvar_us; /* srtt_us 0: none measured */

        /* Owner and timers. */
        union {
                uint64_t owner;
                uint64_t listener_id; /* until TCP_EV_OPENED is told: nobody owns it yet */
                uint64_t drained;     /* with CONN_ORPHAN: bytes thrown away since tcp_close() */
        };
        uint16_t rto_ms;     /* before backoff; TCP_RTO_MAX_MS fits */
        uint16_t ack_due_ms; /* TIMER_ACK, low half: it is never far away */
        uint32_t life_due_ms;
        uint32_t recv_ms;    /* when an acceptable segment last came */
        uint32_t send_ms;    /* when data was last sent */
        struct wheel_node wheel; /* wheel.user: [0] and [1]: what follows the low 32 bits of conn_in_low() and conn_acked_low() */
        struct ilist_node on_events, on_output;
        uint32_t iss;
        uint32_t rcv_first; /* the peer's first byte */
};
static_assert(sizeof(struct tcp_conn) == 192, "three lines an idle connection");
static_assert(TCP_RTO_MAX_MS <= UINT16_MAX && TCP_ACK_DELAY_MS < INT16_MAX, "kept in 16 bits");
static_assert(TCP_BACKOFF_MAX < 16 && TCP_CHALLENGE_MAX < 16 && TCP_SCALE_MAX < 16, "kept in 4 bits");

/* Sequence numbers sent at one time, in one way: from seq to the next span, or to sent_end. */
struct rack_span {
        uint32_t seq, us;
        uint8_t flags; /* RACK_* (rack.h) */
};

/* What is known of bytes in flight: which of them the peer holds (board.h), and when they were sent (rack.h). */
struct tcp_board {
        uint32_t count; /* of range: sorted, disjoint, not touching */
        struct tcp_block range[TCP_BOARD_RANGES];

        /* RFC 8985 5.3. */
        uint32_t delivered_us, delivered_end; /* RACK.xmit_ts, .end_seq: of what has been delivered, what was sent last */
        uint32_t rtt_us;                      /* RACK.rtt */
        uint32_t high;                        /* RACK.fack: the highest number delivered */
        uint32_t min_rtt_us[2], min_rtt_ms;   /* of this minute, which began at min_rtt_ms, and the one before */
        uint32_t round;                       /* RACK.dsack_round, with has_round */
        uint32_t probe_end;                   /* TLP.end_seq, with CONN_PROBE_OPEN */
        uint32_t cut_us;                      /* when the window was last cut because of a loss */
        uint8_t mult, mult_recoveries;        /* RACK.reo_wnd_mult, and for how many recoveries more */
        bool has_delivered, has_round;
        uint8_t spans;
        uint32_t sent_end;
        struct rack_span span[TCP_RACK_SPANS];
};
static_assert(sizeof(struct tcp_board) <= 320, "five lines while loss is possible");

struct tcp_listener {
        struct addr addr;
        uint16_t port;
        uint32_t id;
};

/* One segment on its way in. */
struct tcp_segment {
        struct tcp_header header;
        struct tcp_tuple tuple;
        uint64_t hash;
        struct packet *packet; /* data begins at the payload once the header has been read; NULL when taken */
        uint32_t len;          /* payload bytes */
};

struct syncache; /* listen.c */
struct timewait; /* timewait.c */
struct path_mtu; /* path_mtu.c */

struct tcp {
        struct tcp_settings set;
        uint64_t *counters;
        uint64_t now_us, now_ms;
        struct siphash_key table_key, isn_key, cookie_key;
        struct table table;
        struct wheel wheel;
        struct tcp_conn *conns;
        uint32_t conns_fresh; /* elements below have been used before */
        uint32_t conns_free;  /* list of used ones by on_output.next */
        uint32_t conns_used;
        struct ilist events, output;
        uint32_t last_told; /* connection whose final event was told: ends with the next tcp_next_event() */
        struct tcp_board *boards;
        uint32_t boards_max, boards_fresh, boards_free;
        struct tcp_flight *flights, *flights_free;
        uint32_t flights_max, flights_fresh, flights_used;
        struct syncache *syncache;
        struct timewait *timewait;
        struct path_mtu *path_mtu;
        struct packet_queue ready; /* control segments to be sent */
        uint32_t ready_len;
        uint32_t held; /* packets in the queues of connections */
        uint32_t press_hand; /* the connection that press.c looks at next */
        uint64_t press_due_ms;
        uint64_t stray_sec;
        uint32_t stray_count;
        uint8_t recv_scale;
        bool starved; /* the pool gave no packet for output */
        uint32_t listeners_len;
        struct tcp_listener listeners[TCP_LISTENERS_MAX];
};

/* What a table value names. */
enum tcp_kind {
        TCP_KIND_CONN,
        TCP_KIND_SYN,
        TCP_KIND_TIMEWAIT,
        TCP_KIND_NONE,
};

#define TCP_INDEX_MASK ((1u << 30) - 1)
#define TCP_INDEX_MAX  (TCP_INDEX_MASK - 2)

static inline uint32_t tcp_value(enum tcp_kind kind, uint32_t index)
{
        return (uint32_t)kind << 30 | index;
}

/* Set the clock for this call; it never goes back. */
static inline void tcp_clock_set(struct tcp *tcp, uint64_t now_us)
{
        if (now_us > tcp->now_us) {
                tcp->now_us = now_us;
                tcp->now_ms = now_us / 1000;
        }
}

static inline uint64_t tcp_tuple_hash(const struct tcp *tcp, const struct tcp_tuple *tuple)
{
        return siphash(&tcp->table_key, tuple, sizeof(*tuple));
}

static inline uint32_t conn_index(const struct tcp *tcp, const struct tcp_conn *conn)
{
        return (uint32_t)(conn - tcp->conns);
}

static inline void tcp_count(struct tcp *tcp, enum counter counter)
{
        counter_inc(tcp->counters, counter);
}

/* Free a packet that a connection's queue held. */
static inline void conn_packet_free(struct tcp *tcp, struct packet *packet)
{
        tcp->held--;
        packet_free(packet);
}

static inline bool conn_fin_is_acked(const struct tcp_conn *conn)
{
        return conn->flags & CONN_FIN_QUEUED && conn->snd_una == conn->snd_end + 1;
}

/* Payload bytes that the peer has acknowledged, modulo 2^32. */
static inline uint32_t conn_acked_low(const struct tcp_conn *conn)
{
        return conn->flags & CONN_SYN_OUT ? 0 : conn->snd_una - (conn->iss + 1) - (uint32_t)conn_fin_is_acked(conn);
}

/* Payload bytes taken from the peer, modulo 2^32. */
static inline uint32_t conn_in_low(const struct tcp_conn *conn)
{
        return conn->rcv_nxt - conn->rcv_first - !!(conn->flags & CONN_FIN_TAKEN);
}

/* Has the peer's SYN been seen, so that there is something to acknowledge? */
static inline bool conn_is_synchronized(const struct tcp_conn *conn)
{
        return conn->state > TCP_ST_SYN_SENT;
}

/* What is known under tuple (tcp.c); *ret_index is set unless it is TCP_KIND_NONE. */
enum tcp_kind tcp_find(const struct tcp *tcp, const struct tcp_tuple *tuple, uint64_t hash, uint32_t *ret_index);

/* --- conn.c --------------------------------------------------------------------------------------------- */

/* A cleared connection in the table under tuple, or NULL: none free, or no room in the table. */
struct tcp_conn *conn_new(struct tcp *tcp, const struct tcp_tuple *tuple, uint64_t hash);

/* The connection that a handle names, or NULL when it is stale or the owner has given it up. */
struct tcp_conn *conn_lookup(const struct tcp *tcp, struct tcp_handle handle);

/* Move to another state. */
void conn_state_set(struct tcp_conn *conn, enum tcp_state state);

/*
 * The network is done with it: out of the table and every list, what was to be sent is thrown away. Tells the
 * owner (bits: one of TCP_EV_FINAL; unread bytes stay readable), or frees it when there is none.
 * The caller must not touch the connection afterwards unless it is the owner.
 */
void conn_over(struct tcp *tcp, struct tcp_conn *conn, uint32_t bits);

/* The same, leaving a TIME-WAIT entry behind. */
void conn_over_timewait(struct tcp *tcp, struct tcp_conn *conn);

/* End it: all packets freed, the slot free for another. conn_over() must have been called, or the endpoint ends. */
void conn_free(struct tcp *tcp, struct tcp_conn *conn);

/* Free everything in the send queue up to snd_una, or all of it. */
void conn_send_flush(struct tcp *tcp, struct tcp_conn *conn);

void conn_event(struct tcp *tcp, struct tcp_conn *conn, uint32_t bits);

/* Look at it in the next tcp_output(). */
void conn_output_want(struct tcp *tcp, struct tcp_conn *conn);

/* An ACK is to leave with the next tcp_output(). */
void conn_ack_now(struct tcp *tcp, struct tcp_conn *conn);

/* A challenge ACK (RFC 5961), within the connection's own limit. */
void conn_challenge(struct tcp *tcp, struct tcp_conn *conn);

/* Set a timer; setting it later costs a store, setting it sooner moves it in the wheel. */
void conn_timer_set(struct tcp *tcp, struct tcp_conn *conn, unsigned timer, uint32_t after_ms);

static inline void conn_timer_clear(struct tcp_conn *conn, unsigned timer)
{
        conn->timers &= ~timer;
}

/* How long a timer that runs has left, in ms; 0 or less: due. */
int32_t conn_timer_left(const struct tcp_conn *conn, unsigned timer, uint32_t now_ms);

/* The connection came out of the wheel: the TIMER_* that are due (cleared), and back in for the others. */
unsigned conn_timers_due(struct tcp *tcp, struct tcp_conn *conn);

#endif
