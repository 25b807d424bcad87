/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/perf/frame.h"

#include <arpa/inet.h>

#include "dataplane/port/checksum.h"
#include "dataplane/port/wire.h"

#define HEADERS    (WIRE_ETHER_BYTES + WIRE_IPV4_BYTES)
#define TS_BYTES   12u
#define SYN_BYTES  20u
#define WINDOW     65535u

void frames_init(struct frames *frames, struct rig *rig)
{
        static const uint8_t own[6] = { 2, 0, 0, 0, 0, 1 };

        *frames = (struct frames){ .rig = rig, .server = 0xc6120019u };
        memcpy(frames->to_mac, rig->devices.port[RIG_FRONT].mac, 6);
        memcpy(frames->own_mac, own, 6);
}

static struct packet *new_packet(struct frames *frames)
{
        struct packet *packet = packet_new(frames->rig->pool);

        if (packet == NULL)
                rig_fail("the generator has run out of packets");
        return packet;
}

static uint8_t *append(struct packet *packet, size_t bytes)
{
        uint8_t *at = packet_append(packet, (uint16_t)bytes);

        if (at == NULL)
                rig_fail("a frame of the generator is too large");
        return at;
}

static void put_ether(struct frames *frames, uint8_t *at, uint16_t type)
{
        memcpy(at, frames->to_mac, 6);
        memcpy(at + 6, frames->own_mac, 6);
        wire_store16(at + 12, type);
}

static unsigned put_options(uint8_t *at, const struct peer *peer, uint8_t flags, uint32_t clock_ms)
{
        static const uint8_t syn[] = { 2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3, 3, 7 };
        static const uint8_t other[] = { 1, 1, 8, 10 };

        if (flags & FRAME_SYN) {
                memcpy(at, syn, sizeof(syn));
                wire_store32(at + 8, clock_ms);
                return SYN_BYTES;
        }
        memcpy(at, other, sizeof(other));
        wire_store32(at + 4, clock_ms);
        wire_store32(at + 8, peer->ts_echo);
        return TS_BYTES;
}

struct packet *frame_build(struct frames *frames, struct peer *peer, uint8_t flags, const char *text, size_t len)
{
        struct packet *packet = new_packet(frames);
        unsigned options = flags & FRAME_SYN ? SYN_BYTES : TS_BYTES, tcp_len = WIRE_TCP_BYTES + options + (unsigned)len;
        uint8_t *at = append(packet, HEADERS + tcp_len), *ip = at + WIRE_ETHER_BYTES, *tcp = at + HEADERS;
        struct addr src = addr_from_v4_be(htonl(peer->address)), dst = addr_from_v4_be(htonl(frames->server));
        uint16_t sum;

        put_ether(frames, at, WIRE_ETHERTYPE_IPV4);
        memset(ip, 0, WIRE_IPV4_BYTES + WIRE_TCP_BYTES);
        ip[0] = 0x45;
        wire_store16(ip + 2, (uint16_t)(WIRE_IPV4_BYTES + tcp_len));
        wire_store16(ip + 6, WIRE_IPV4_DF);
        ip[8] = 64;
        ip[9] = WIRE_TCP;
        wire_store32(ip + 12, peer->address);
        wire_store32(ip + 16, frames->server);
        sum = checksum_finish(checksum_add(0, ip, WIRE_IPV4_BYTES));
        memcpy(ip + 10, &sum, 2);
        wire_store16(tcp, peer->port);
        wire_store16(tcp + 2, 25);
        wire_store32(tcp + 4, peer->seq);
        wire_store32(tcp + 8, flags & FRAME_ACK ? peer->ack : 0);
        tcp[12] = (uint8_t)((WIRE_TCP_BYTES + options) / 4 << 4);
        tcp[13] = flags;
        wire_store16(tcp + 14, WINDOW);
        put_options(tcp + WIRE_TCP_BYTES, peer, flags, (uint32_t)(frames->rig->now_us / 1000));
        if (len > 0) /* text may be NULL */
                memcpy(tcp + WIRE_TCP_BYTES + options, text, len);
        sum = checksum_finish(checksum_add(checksum_pseudo(&src, &dst, WIRE_TCP, tcp_len), tcp, tcp_len));
        memcpy(tcp + 16, &sum, 2);
        peer->seq += (uint32_t)len + ((flags & (FRAME_SYN | FRAME_FIN)) != 0);
        return packet;
}

void frames_send(struct frames *frames, struct packet **packets, unsigned n)
{
        if (rte_ring_sp_enqueue_bulk(frames->rig->to[RIG_FRONT], (void **)packets, n, NULL) != n)
                rig_fail("the ring to the device is full");
        frames->sent += n;
}

/* --- what comes back -------------------------------------------------------------------------------------------- */

/* The gateway answers; announcements are nothing to us. */
static void take_arp(struct frames *frames, const uint8_t *at, unsigned len)
{
        static const uint8_t gateway[4] = { 198, 18, 0, 1 };
        const uint8_t *arp = at + WIRE_ETHER_BYTES;
        struct packet *packet;
        uint8_t *out;

        if (len < WIRE_ETHER_BYTES + 28 || wire_load16(arp + 6) != 1 || memcmp(arp + 24, gateway, 4) != 0)
                return;
        packet = new_packet(frames);
        out = append(packet, WIRE_ETHER_BYTES + 28);
        put_ether(frames, out, WIRE_ETHERTYPE_ARP);
        memcpy(out + 14, arp, 8);
        out[21] = 2;
        memcpy(out + 22, frames->own_mac, 6);
        memcpy(out + 28, gateway, 4);
        memcpy(out + 32, arp + 8, 10);
        frames_send(frames, &packet, 1);
}

static void read_options(struct segment *segment, const uint8_t *at, unsigned len)
{
        while (len > 0 && at[0] != 0) {
                unsigned step = at[0] == 1 || len < 2 ? 1 : at[1];

                if (step == 0 || step > len)
                        rig_fail("TCP options are malformed");
                if (at[0] == 8 && step == 10) {
                        segment->has_ts = true;
                        segment->ts_value = wire_load32(at + 2);
                }
                at += step;
                len -= step;
        }
}

static void read_segment(struct segment *segment, const uint8_t *ip, unsigned room)
{
        const uint8_t *tcp = ip + WIRE_IPV4_BYTES;
        unsigned total = wire_load16(ip + 2), tcp_len = total - WIRE_IPV4_BYTES, header;
        struct addr src, dst;

        if (room < WIRE_IPV4_BYTES + WIRE_TCP_BYTES || total > room || ip[0] != 0x45 || ip[9] != WIRE_TCP)
                rig_fail("not an IPv4 TCP packet without options");
        src = addr_from_v4_be(htonl(wire_load32(ip + 12)));
        dst = addr_from_v4_be(htonl(wire_load32(ip + 16)));
        if (checksum_fold(checksum_add(0, ip, WIRE_IPV4_BYTES)) != 0xffff ||
            checksum_fold(checksum_add(checksum_pseudo(&src, &dst, WIRE_TCP, tcp_len), tcp, tcp_len)) != 0xffff)
                rig_fail("a checksum is wrong");
        header = (tcp[12] >> 4) * 4u;
        if (header < WIRE_TCP_BYTES || header > tcp_len)
                rig_fail("a TCP header length is wrong");
        *segment = (struct segment){
                .src = wire_load32(ip + 12), .dst = wire_load32(ip + 16), .src_port = wire_load16(tcp),
                .dst_port = wire_load16(tcp + 2), .seq = wire_load32(tcp + 4), .ack = wire_load32(tcp + 8),
                .flags = tcp[13], .bytes = tcp + header, .len = (uint16_t)(tcp_len - header),
        };
        read_options(segment, tcp + WIRE_TCP_BYTES, header - WIRE_TCP_BYTES);
}

bool frames_next(struct frames *frames, struct segment *segment, struct packet **ret_packet)
{
        struct packet *packet;

        while (rte_ring_sc_dequeue(frames->rig->from[RIG_FRONT], (void **)&packet) == 0) {
                uint8_t *at = packet_data(packet);

                if (!packet_linearize(packet) || packet_len(packet) < WIRE_ETHER_BYTES)
                        rig_fail("a frame is too long or too short");
                at = packet_data(packet);
                if (wire_load16(at + 12) == WIRE_ETHERTYPE_IPV4) {
                        if (memcmp(at, frames->own_mac, 6) != 0)
                                rig_fail("a frame is for another MAC address");
                        read_segment(segment, at + WIRE_ETHER_BYTES, packet_len(packet) - WIRE_ETHER_BYTES);
                        if (segment->src != frames->server || segment->src_port != 25)
                                rig_fail("a segment is not from the server");
                        frames->got++;
                        *ret_packet = packet;
                        return true;
                }
                if (wire_load16(at + 12) == WIRE_ETHERTYPE_ARP)
                        take_arp(frames, at, packet_len(packet));
                packet_free(packet);
        }
        return false;
}

void peer_take(struct peer *peer, const struct segment *segment)
{
        if (segment->dst != peer->address || segment->dst_port != peer->port)
                rig_fail("a segment is for another client");
        if (segment->flags & FRAME_RST || !(segment->flags & FRAME_ACK) || !segment->has_ts)
                rig_fail("a segment with flags %#x", segment->flags);
        if (segment->ack != peer->seq)
                rig_fail("an acknowledgement of %u instead of %u", segment->ack, peer->seq);
        if (segment->flags & FRAME_SYN) {
                if (peer->synced)
                        rig_fail("a second SYN-ACK");
                peer->synced = true;
                peer->ack = segment->seq;
        } else if (segment->seq != peer->ack) {
                rig_fail("sequence number %u instead of %u", segment->seq, peer->ack);
        }
        peer->ts_echo = segment->ts_value;
        peer->ack += segment->len + ((segment->flags & (FRAME_SYN | FRAME_FIN)) != 0);
        peer->fin |= (segment->flags & FRAME_FIN) != 0;
}
