/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The generator's side of TCP over IPv4, by hand: frames from a template, answers taken apart and checked to the
 * last bit (addresses, both checksums, lengths, acknowledgement number). It keeps no queue and sends nothing again:
 * between two rings nothing is lost, and what is lost is a failure of the run.
 */
#ifndef GREYLINE_PERF_FRAME_H
#define GREYLINE_PERF_FRAME_H

#include "tests/perf/rig.h"

#define FRAME_FIN 0x01u
#define FRAME_SYN 0x02u
#define FRAME_RST 0x04u
#define FRAME_PSH 0x08u
#define FRAME_ACK 0x10u

/* One connection of the generator: address and port of the client, and where its two streams stand. Host order. */
struct peer {
        uint32_t address;
        uint16_t port;
        bool synced;      /* the SYN-ACK came */
        bool fin;         /* the other side's FIN came */
        uint32_t seq;     /* next to send */
        uint32_t ack;     /* next expected */
        uint32_t ts_echo; /* the newest time stamp of the other side */
};

/* What came in. */
struct segment {
        uint32_t src, dst;
        uint16_t src_port, dst_port;
        uint32_t seq, ack;
        uint8_t flags;
        uint32_t ts_value;
        bool has_ts;
        const uint8_t *bytes;
        uint16_t len;
};

struct frames {
        struct rig *rig;
        uint8_t to_mac[6], own_mac[6];
        uint32_t server; /* 198.18.0.25 */
        uint64_t sent, got;
};

void frames_init(struct frames *frames, struct rig *rig);

/*
 * A segment of the peer to port 25, options and checksums complete; a SYN has MSS, SACK, window scale and time
 * stamp. Moves peer->seq on.
 */
struct packet *frame_build(struct frames *frames, struct peer *peer, uint8_t flags, const char *text, size_t len);

/* Hand a burst to the device under test. */
void frames_send(struct frames *frames, struct packet **packets, unsigned n);

/*
 * Take the next TCP segment that it sent; false: no more. Answers ARP by itself. The bytes are valid until
 * frame_release() of *ret_packet. Ends the program on anything malformed.
 */
bool frames_next(struct frames *frames, struct segment *segment, struct packet **ret_packet);

/* Take a segment in: right order and acknowledgement, or the program ends. */
void peer_take(struct peer *peer, const struct segment *segment);

#endif
