/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One worker's TCP endpoint, server and client side (docs/TCP.md: what of which RFC).
 *
 * Nothing here calls back. The owner's loop is: tcp_input() or tcp_tick(), then tcp_next_event() until it
 * returns false (reading, writing and closing as it goes), then tcp_output() until it returns 0.
 *
 * Who frees what:
 *  - A packet given to tcp_input() belongs to the endpoint; one returned by tcp_output() belongs to the caller.
 *  - A connection belongs to its owner from TCP_EV_OPENED (or tcp_connect()) until the first of
 *      tcp_close():  the handle is invalid on return and no event about it ever comes; the endpoint still
 *                    delivers what is queued, then FIN, and ends the connection by itself;
 *      tcp_abort():  the same, with RST, and queued bytes are thrown away;
 *      a final event (TCP_EV_FINAL): the connection is over. The handle stays valid for reading (bytes that
 *                    came before the end, tcp_info()) until the next call of tcp_next_event(), then it is
 *                    invalid. tcp_close() or tcp_abort() in between is allowed and changes nothing.
 *  - Nobody but the endpoint frees a connection.
 * A handle carries a generation: a stale or made-up one is answered with false, 0 or -ENOENT, never a crash.
 *
 * Every call is safe on a worker: it never blocks, allocates (but from the packet pool), locks, logs or makes
 * a system call; only tcp_new() and tcp_free() are not for the packet path. An endpoint belongs to one thread.
 * Times are microseconds of a monotonic clock and must not go backwards.
 */
#ifndef GREYLINE_TCP_TCP_H
#define GREYLINE_TCP_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/shared/addr.h"
#include "dataplane/shared/bug.h"

struct packet;
struct rte_mempool;
struct tcp;

/* Names one connection of one endpoint. All zero: none. */
struct tcp_handle {
        uint32_t index;
        uint32_t generation;
};

static inline bool tcp_handle_is_none(struct tcp_handle handle)
{
        return handle.generation == 0;
}

/* Every 0 takes the default in brackets; secret, pool and counters must be given. */
struct tcp_settings {
        struct rte_mempool *pool;     /* packets with PACKET_PRIV_BYTES of private area; outlives the endpoint */
        uint64_t *counters;           /* this worker's row, COUNTER_USED words */
        uint8_t secret[32];           /* random, of this start and worker: table hash, cookies, ISN, timestamps */
        uint32_t connections_max;     /* connections, both sides [1024] */
        uint32_t syncache_max;        /* half-open connections; above it cookies carry them
                                         [connections_max / 8, but up to 65536 as many as connections] */
        uint32_t timewait_max;        /* TIME-WAIT entries, oldest leaves first
                                         [connections_max / 2, but up to 65536 as many as connections] */
        uint32_t packets_held_max;    /* packets in all queues together, to be kept below the pool's size [4096] */
        uint16_t mtu_v4;              /* largest IPv4 packet [1500] */
        uint16_t mtu_v6;              /* largest IPv6 packet [1500] */
        uint32_t window_bytes;        /* receive window of a new connection, see tcp_recv_window_set() [8192] */
        uint32_t window_max_bytes;    /* the most tcp_recv_window_set() will be given; sets our scale [1 MiB] */
        uint32_t send_bytes_max;      /* bytes queued to send per connection, acknowledged ones not counted [256 KiB] */
        uint64_t user_timeout_us;     /* unacknowledged this long: TCP_EV_TIMEOUT [300 s] */
        uint64_t zero_window_max_us;  /* peer's window closed this long: TCP_EV_TIMEOUT [300 s] */
        uint64_t keepalive_us;        /* silence before a keepalive probe, 3 lost probes end it; 0: none */
        uint64_t timewait_us;         /* 2 MSL [60 s] */
        uint64_t drain_us;            /* after tcp_close(): how long the peer may go on talking [30 s] */
        bool checksum_offload;        /* leave the TCP checksum to the port: PACKET_L4_PSEUDO is set */
        bool linear_only;             /* never chain packets: large payload is copied instead */
        bool no_ecn;                  /* neither offer nor take ECN (RFC 3168) [it is used] */
};

/* What a connection has to say; bits come together in one event. */
#define TCP_EV_OPENED    0x0001u /* a client completed its handshake: a new connection, owner is 0 */
#define TCP_EV_CONNECTED 0x0002u /* tcp_connect() succeeded */
#define TCP_EV_DATA      0x0004u /* bytes came since the last event; unread ones may be left from before */
#define TCP_EV_ROOM      0x0008u /* a send took less than it was given, now half of the queue is free again */
#define TCP_EV_EOF       0x0010u /* the peer has finished sending and everything has been read; sending still works */
#define TCP_EV_CLOSED    0x0020u /* final: both sides have finished, all read, all acknowledged (or TIME-WAIT) */
#define TCP_EV_RESET     0x0040u /* final: the peer reset the connection */
#define TCP_EV_TIMEOUT   0x0080u /* final: the peer answered no more, or kept its window shut too long */
#define TCP_EV_REFUSED   0x0100u /* final: tcp_connect() was answered with RST or a hard ICMP error */
#define TCP_EV_FINAL     (TCP_EV_CLOSED | TCP_EV_RESET | TCP_EV_TIMEOUT | TCP_EV_REFUSED)

struct tcp_event {
        struct tcp_handle conn;
        uint64_t owner;       /* as given to tcp_owner_set() or tcp_connect() */
        uint32_t bits;        /* TCP_EV_* */
        uint32_t listener_id; /* of tcp_listen(), for TCP_EV_OPENED */
        uint32_t recv_bytes;  /* unread bytes now */
};

/* One readable piece: valid until the connection is consumed from, moved from, closed, or tcp_input() is called. */
struct tcp_span {
        const uint8_t *bytes;
        uint32_t len;
};

enum tcp_icmp {
        TCP_ICMP_TOO_BIG,          /* fragmentation needed, or packet too big: mtu is set */
        TCP_ICMP_UNREACHABLE,      /* net or host unreachable, time exceeded: soft */
        TCP_ICMP_PORT_UNREACHABLE, /* port, protocol or administratively prohibited: hard, before the handshake only */
};

/* What an ICMP error quotes of the packet that it is about: one of ours, so local is its source. */
struct tcp_icmp_quote {
        enum tcp_icmp kind;
        struct addr local, remote;
        uint16_t local_port, remote_port;
        uint32_t seq;
        uint16_t mtu; /* of TCP_ICMP_TOO_BIG */
};

enum tcp_state {
        TCP_ST_CLOSED, /* over for the network; the owner may still read */
        TCP_ST_SYN_SENT,
        TCP_ST_SYN_RECEIVED, /* only after a simultaneous open: half-open clients are in the syncache */
        TCP_ST_ESTABLISHED,
        TCP_ST_FIN_WAIT_1,
        TCP_ST_FIN_WAIT_2,
        TCP_ST_CLOSE_WAIT,
        TCP_ST_CLOSING,
        TCP_ST_LAST_ACK,
        TCP_ST_COUNT,
};

/* One connection, for logs and tests. */
struct tcp_info {
        struct addr local, remote;
        uint16_t local_port, remote_port;
        enum tcp_state state;
        bool from_cookie;        /* opened by a cookie alone */
        bool has_timestamps, has_sack, has_ecn;
        uint8_t send_scale, recv_scale;
        uint16_t mss;            /* payload bytes per segment that we send, options deducted */
        uint32_t rtt_us;         /* smoothed, 0: none measured */
        uint32_t rto_us;
        uint32_t cwnd, ssthresh;
        uint32_t recv_bytes;     /* unread */
        uint32_t unsent_bytes;   /* queued and never sent */
        uint32_t unacked_bytes;  /* sent and not acknowledged: 0 with unsent_bytes 0 means the peer has it all */
        uint64_t bytes_in;       /* payload taken from the peer, in order; modulo 2^40 */
        uint64_t bytes_acked;    /* payload that the peer has acknowledged; modulo 2^40 */
};

/* A new endpoint, or NULL when memory is short or a setting makes no sense. May allocate. */
struct tcp *tcp_new(const struct tcp_settings *settings) MUST_CHECK;

/* Free every packet and connection; no segment is sent. NULL is fine. */
void tcp_free(struct tcp *tcp);

/* --- opening -------------------------------------------------------------------------------------------- */

/*
 * Take connections to addr (all zero bytes: any local address) and port; listener_id comes back in their
 * TCP_EV_OPENED. Returns 0, -ENOSPC (TCP_LISTENERS_MAX are there) or -EADDRINUSE.
 */
int tcp_listen(struct tcp *tcp, const struct addr *addr, uint16_t port, uint32_t listener_id) MUST_CHECK;

/* Refuse new connections there from now on; those that are open stay. Returns 0 or -ENOENT. */
int tcp_unlisten(struct tcp *tcp, const struct addr *addr, uint16_t port);

/*
 * Open a connection; local address and port are the caller's choice (see steer.h for which port). The SYN
 * leaves with the next tcp_output(). How long to wait is the owner's timer: give up with tcp_abort(); the
 * endpoint itself gives up after user_timeout_us.
 * Returns 0 and sets *ret; -EADDRINUSE (that 4-tuple is in use or in TIME-WAIT with nothing newer to say)
 * or -ENOSPC (connections_max).
 */
int tcp_connect(struct tcp *tcp, const struct addr *local, uint16_t local_port, const struct addr *remote,
                uint16_t remote_port, uint64_t owner, uint64_t now_us, struct tcp_handle *ret) MUST_CHECK;

/* --- the loop ------------------------------------------------------------------------------------------- */

/*
 * Take a burst of segments: each packet's data begins at the TCP header and ends with the segment, its
 * checksum has been verified, its meta has src, dst and ecn. Any n. Every packet is taken.
 */
void tcp_input(struct tcp *tcp, struct packet **packets, unsigned n, uint64_t now_us);

/* An ICMP error: believed only when it quotes a sequence number in flight (RFC 5927). */
void tcp_icmp_error(struct tcp *tcp, const struct tcp_icmp_quote *quote, uint64_t now_us);

/* Run the timers that are due, a bounded number per call (the rest is due at once, see tcp_next_due_us()). */
void tcp_tick(struct tcp *tcp, uint64_t now_us);

/*
 * When tcp_tick() has something to do next; UINT64_MAX: never. Not later than now when events or output
 * wait. May be early, never late.
 */
uint64_t tcp_next_due_us(const struct tcp *tcp);

/* The next connection that has something to say. Returns false when there is none. */
bool tcp_next_event(struct tcp *tcp, struct tcp_event *ret);

/* What one of the next events will be about. */
struct tcp_coming {
        uint64_t owner;
        uint32_t bits; /* TCP_EV_* so far */
        struct addr remote;
};

/* Look at up to max of the next events without taking them, so that their owner can fetch what it will need. */
unsigned tcp_coming_events(const struct tcp *tcp, struct tcp_coming *ret, unsigned max);

/*
 * Take up to max segments that are to be sent now. Each packet's data begins at the TCP header (headroom left
 * for IP and Ethernet), meta src and dst are set, the checksum is complete (or see checksum_offload).
 * A packet may be a chain, and shared with a queue: its bytes are not to be written except in the first
 * segment. Returns how many; 0: nothing more to send now.
 */
unsigned tcp_output(struct tcp *tcp, struct packet **ret, unsigned max, uint64_t now_us);

/* --- reading -------------------------------------------------------------------------------------------- */

/* Unread bytes; 0 for a stale handle. */
uint32_t tcp_recv_bytes(const struct tcp *tcp, struct tcp_handle conn);

/* The first unread bytes that lie together, *ret_len of them; NULL and 0 when there are none. */
const uint8_t *tcp_recv_peek(const struct tcp *tcp, struct tcp_handle conn, uint32_t *ret_len);

/* Up to max pieces of the unread bytes, in order. Returns how many. */
unsigned tcp_recv_spans(const struct tcp *tcp, struct tcp_handle conn, struct tcp_span *ret, unsigned max);

/* Copy up to len unread bytes from the front without consuming. Returns how many. */
uint32_t tcp_recv_copy(const struct tcp *tcp, struct tcp_handle conn, void *bytes, uint32_t len);

/* Done with the first len bytes (at most those that are there). Opens the window. Returns how many. */
uint32_t tcp_recv_consume(struct tcp *tcp, struct tcp_handle conn, uint32_t len);

/*
 * How many unread bytes may pile up: the advertised window. At most window_max_bytes. Growing is told to the
 * peer at once; shrinking takes effect as bytes arrive, since the right edge never moves left (RFC 9293 SHLD-14).
 */
void tcp_recv_window_set(struct tcp *tcp, struct tcp_handle conn, uint32_t bytes);

/* --- writing -------------------------------------------------------------------------------------------- */

/* Bytes that the send queue can take now; 0 for a stale handle or after tcp_shutdown(). */
uint32_t tcp_send_room(const struct tcp *tcp, struct tcp_handle conn);

/* Bytes that were given to send and that the peer has not acknowledged; 0 for a stale handle. */
uint32_t tcp_send_unacked(const struct tcp *tcp, struct tcp_handle conn);

/* Let TCP_EV_ROOM come once half of the send queue is free, as after a send that took less than it was given. */
void tcp_room_want(struct tcp *tcp, struct tcp_handle conn);

/*
 * Append a copy of len bytes, all or nothing. Small writes share a buffer. Before CONNECTED it queues.
 * Returns true, or false when there is no room (TCP_EV_ROOM will come), no packet, or the handle is stale.
 */
bool tcp_send_copy(struct tcp *tcp, struct tcp_handle conn, const void *bytes, uint32_t len) MUST_CHECK;

/*
 * Append the first len unread bytes of one connection to another's send queue and consume them: by reference
 * from TCP_COPY_BREAK bytes on, smaller pieces by copy. As much as fits: returns how many bytes moved; less
 * than len (and than what is there) means that the queue is full: TCP_EV_ROOM of to will come.
 */
uint32_t tcp_send_move(struct tcp *tcp, struct tcp_handle from, struct tcp_handle to, uint32_t len);

/* --- ending --------------------------------------------------------------------------------------------- */

/*
 * FIN after what is queued; nothing more can be sent, receiving goes on (half close). The handle stays valid
 * and events go on, down to a final one. Use it where the owner must know that the peer has everything.
 */
void tcp_shutdown(struct tcp *tcp, struct tcp_handle conn);

/*
 * Give the connection up in order: FIN after what is queued. The handle is invalid on return, no event comes.
 * Unread and later input is acknowledged and thrown away, up to drain_us and TCP_DRAIN_BYTES_MAX, so that no
 * RST of ours overtakes a reply in the peer's queue.
 */
void tcp_close(struct tcp *tcp, struct tcp_handle conn);

/* Give it up now: RST, queues thrown away. The handle is invalid on return, no event comes. */
void tcp_abort(struct tcp *tcp, struct tcp_handle conn);

/* --- about ---------------------------------------------------------------------------------------------- */

/* Change the cookie that comes back in this connection's events. Returns false for a stale handle. */
bool tcp_owner_set(struct tcp *tcp, struct tcp_handle conn, uint64_t owner);

/* Fill *ret. Returns false for a stale handle. */
bool tcp_info(const struct tcp *tcp, struct tcp_handle conn, struct tcp_info *ret) MUST_CHECK;

/* What the endpoint holds now. */
struct tcp_stats {
        uint32_t connections;   /* owned, ending, and over but not yet said to the owner */
        uint32_t syncache;      /* half-open */
        uint32_t timewait;
        uint32_t packets_held;  /* in receive, reorder and send queues */
        uint32_t flights;       /* connections with something queued or on its way */
        uint32_t packets_ready; /* control segments waiting for tcp_output() */
        uint64_t table_bytes;   /* of the connection table: follows the settings, not what is open */
};
void tcp_stats(const struct tcp *tcp, struct tcp_stats *ret);

#endif
