/* SPDX-License-Identifier: Apache-2.0 */
/* What the bridge needs to know of an Ethernet frame, and the ways in which it changes one. */
#ifndef GREYLINE_BRIDGE_FRAME_H
#define GREYLINE_BRIDGE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_FIN 0x01u
#define FRAME_SYN 0x02u
#define FRAME_RST 0x04u
#define FRAME_ACK 0x10u

struct frame_view {
        bool is_ip;       /* IPv4 or IPv6 */
        bool is_tcp;      /* not a fragment, header complete; the rest is set only then */
        uint16_t port[2]; /* source, destination */
        uint8_t flags;    /* FRAME_* of the TCP header, the others left out */
        uint32_t len;     /* payload bytes */
        size_t tcp_at;    /* where the TCP header begins */
};

/* Read a frame of len bytes; whatever is not understood is neither IP nor TCP. */
void frame_read(const uint8_t *bytes, size_t len, struct frame_view *ret);

/* Set "congestion experienced" in a frame of IP that is ECN capable (RFC 3168 5), and mend the checksum. Returns whether it was. */
bool frame_mark(uint8_t *bytes);

/* Overwrite the window of a TCP segment and mend its checksum. */
void frame_window_set(uint8_t *bytes, const struct frame_view *view, uint16_t window);

#endif
