/* SPDX-License-Identifier: Apache-2.0 */
/* Every constant of the endpoint, with the reason or the RFC section that sets it. Times are in milliseconds. */
#ifndef GREYLINE_TCP_LIMITS_H
#define GREYLINE_TCP_LIMITS_H

/* Segments. */
#define TCP_HEADER_MIN      20u
#define TCP_HEADER_MAX      60u
#define TCP_IPV4_OVERHEAD   40u   /* IP and TCP header without options (RFC 6691) */
#define TCP_IPV6_OVERHEAD   60u
#define TCP_MSS_DEFAULT_V4  536u  /* a SYN without the option (RFC 9293 MUST-15) */
#define TCP_MSS_DEFAULT_V6  1220u
#define TCP_MSS_MIN_V4      216u  /* less only multiplies our packets (CVE-2019-11479) */
#define TCP_MSS_MIN_V6      536u
#define TCP_PMTU_MIN_V4     552u  /* an ICMP that claims less is not believed */
#define TCP_PMTU_MIN_V6     1280u /* RFC 8201 4 */
#define TCP_TIMESTAMP_BYTES 12u   /* option with its padding */
#define TCP_SCALE_MAX       14u   /* RFC 7323 2.3 */
#define TCP_SACK_BLOCKS_MAX 4u    /* fit into 40 bytes of options, three beside a timestamp */
#define TCP_WINDOW_PRESSED  8192u /* receive window while packets are short: what a session has before DATA */
#define TCP_COPY_BREAK      256u  /* smaller payload is copied: one byte must not pin 2 kB */

/* Retransmission (RFC 6298). */
#define TCP_RTO_INITIAL_MS 1000u  /* 2.1 */
#define TCP_RTO_MIN_MS     1000u  /* 2.4 */
#define TCP_RTO_MAX_MS     60000u /* 2.5 */
#define TCP_RTO_LOST_SYN   3000u  /* 5.7: after a retransmitted SYN the first RTO for data */
#define TCP_BACKOFF_MAX    12u
#define TCP_RTT_SANE_MS    120000u /* an echo that says more is not believed */
#define TCP_DUPACKS        3u     /* RFC 5681 3.2 */
#define TCP_REORDER_US     10000u /* the reordering window is no longer while no round trip has been measured */
#define TCP_REORDER_KEEP   16u    /* recoveries without D-SACK before the reordering window is small again (RFC 8985 6.2) */
#define TCP_PROBE_MIN_MS   10u    /* tail loss probe: never sooner than this (RFC 8985 7.2) */
#define TCP_PROBE_ACK_MS   200u   /* and this much later when one segment is out: the peer may delay its ACK */

/* Congestion (RFC 5681, 6928). */
#define TCP_WINDOW_INITIAL_SEGMENTS 10u
#define TCP_WINDOW_INITIAL_BYTES    14600u
#define TCP_WINDOW_LIMIT            (1u << 30)

/* Acknowledging. */
#define TCP_ACK_DELAY_MS     40u   /* < 500 (RFC 9293 MUST-40) */
#define TCP_CHALLENGE_MAX    5u    /* challenge ACKs per connection and period (RFC 5961 7) */
#define TCP_CHALLENGE_MS     1000u
#define TCP_STRAY_PER_SEC    2000u /* RST and ACK to segments that belong to no connection, per worker */

/* Bounds of one connection. */
#define TCP_REORDER_PACKETS_MAX 64u      /* held above a hole (CVE-2018-5390: the walk is bounded) */
#define TCP_REORDER_RANGES_MAX  16u
#define TCP_BOARD_RANGES        8u       /* ranges remembered of the peer's SACK */
#define TCP_RACK_SPANS          16u      /* spans of bytes in flight whose time of sending is remembered */
#define TCP_CHAIN_MAX           4u       /* packets chained to one segment: more are copied */
#define TCP_OUTPUT_QUANTUM      8u       /* segments of one connection before it is another's turn */
#define TCP_DRAIN_BYTES_MAX     (256u << 10)
#define TCP_ORPHAN_MS           60000u   /* nobody owns it and the peer acknowledges nothing: given up (RTO 1 to 32 s) */

/* Handshake. */
#define TCP_SYNACK_TRIES      5u      /* SYN-ACKs per entry, at 0, 1, 3, 7, 15 s, while the cache is under half full */
#define TCP_SYNACK_TRIES_FULL 3u      /* above that: a spoofer's victim gets three at most (RFC 4987) */
#define TCP_SYNACK_MS         1000u   /* doubled each time */
#define TCP_COOKIE_EPOCH_MS   15000u  /* a cookie is good for one to two of these */

/* Ending. */
#define TCP_KEEPALIVE_PROBES  3u
#define TCP_KEEPALIVE_STEP_MS 10000u

/* Bounds of one endpoint. */
#define TCP_SYNCACHE_SHARE 8u     /* half-open ones last a round trip, and cookies take over: an eighth of the connections */
#define TCP_TIMEWAIT_SHARE 2u     /* a minute's worth of ends; the oldest leaves early */
#define TCP_SHARE_MIN      65536u /* below so many, as many as connections: the table is small anyway */
#define TCP_LISTENERS_MAX 64u
#define TCP_BURST         32u  /* segments per pass of tcp_input() */
#define TCP_READY_MAX     1024u /* control segments waiting for tcp_output() */
#define TCP_PRESS_STEP    512u  /* connections looked at in a millisecond while packets are short */
#define TCP_TICK_MAX      1024u /* timers and list entries handled per tcp_tick() */

#endif
