/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What frames look like: numbers of the headers that steer and ip read and write, and loads and stores in
 * network order. Headers are read by offset, not by overlaid structures: a frame has no alignment, and each
 * read then stands beside the length check that allows it.
 */
#ifndef GREYLINE_PORT_WIRE_H
#define GREYLINE_PORT_WIRE_H

#include <stdint.h>
#include <string.h>

#define WIRE_ETHER_BYTES 14u
#define WIRE_VLAN_BYTES  4u
#define WIRE_VLAN_ID     0x0fffu
#define WIRE_IPV4_BYTES  20u
#define WIRE_IPV6_BYTES  40u
#define WIRE_ICMP_BYTES  8u
#define WIRE_TCP_BYTES   20u
#define WIRE_TCP_FLAGS   13u /* offset of the byte */
#define WIRE_TCP_SYN     0x02u
#define WIRE_TCP_ACK     0x10u

#define WIRE_ETHERTYPE_IPV4 0x0800u
#define WIRE_ETHERTYPE_ARP  0x0806u
#define WIRE_ETHERTYPE_VLAN 0x8100u
#define WIRE_ETHERTYPE_IPV6 0x86ddu

#define WIRE_IPV4_DF          0x4000u
#define WIRE_IPV4_MF          0x2000u
#define WIRE_IPV4_OFFSET_MASK 0x1fffu

/* offset and more-fragments of a fragment header; all clear: an atomic fragment */
#define WIRE_IPV6_OFFSET_MORE 0xfff9u
/* extension headers that are walked before a packet is called malformed */
#define WIRE_IPV6_HEADERS_MAX 4u

enum wire_protocol {
        WIRE_HOP_BY_HOP = 0,
        WIRE_ICMP = 1,
        WIRE_TCP = 6,
        WIRE_ROUTING = 43,
        WIRE_FRAGMENT = 44,
        WIRE_ICMP6 = 58,
        WIRE_DESTINATION = 60,
};

enum wire_icmp {
        WIRE_ICMP_ECHO_REPLY = 0,
        WIRE_ICMP_UNREACHABLE = 3,
        WIRE_ICMP_ECHO = 8,
        WIRE_ICMP_TIME_EXCEEDED = 11,
        WIRE_ICMP_PARAMETER = 12,
};

enum wire_icmp6 {
        WIRE_ICMP6_UNREACHABLE = 1,
        WIRE_ICMP6_TOO_BIG = 2,
        WIRE_ICMP6_TIME_EXCEEDED = 3,
        WIRE_ICMP6_PARAMETER = 4,
        WIRE_ICMP6_ECHO = 128,
        WIRE_ICMP6_ECHO_REPLY = 129,
        WIRE_ICMP6_MLD_QUERY = 130,
        WIRE_ICMP6_SOLICIT = 135,
        WIRE_ICMP6_ADVERTISE = 136,
        WIRE_ICMP6_MLD2_REPORT = 143,
};

static inline uint16_t wire_load16(const uint8_t *bytes)
{
        return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static inline uint32_t wire_load32(const uint8_t *bytes)
{
        return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static inline void wire_store16(uint8_t *bytes, uint16_t value)
{
        bytes[0] = (uint8_t)(value >> 8);
        bytes[1] = (uint8_t)value;
}

static inline void wire_store32(uint8_t *bytes, uint32_t value)
{
        wire_store16(bytes, (uint16_t)(value >> 16));
        wire_store16(bytes + 2, (uint16_t)value);
}

#endif
