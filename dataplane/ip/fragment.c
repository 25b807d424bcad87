/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fragments: what each one says is checked here, what they say together in port/fragments.c, and what they become is a
 * frame again, as if it had come whole: the worker passes it to its owner, and all checks are made of it.
 *
 * A fragment that is wrong by itself is dropped alone: who sends one must not be able to spoil the datagram of another
 * that has its id. Tiny ones (RFC 1858, RFC 3128) and header chains in several pieces (RFC 7112) deceive those between
 * the sender and us that look at ports; no honest sender makes them.
 */
#include "dataplane/ip/private.h"
#include "dataplane/port/checksum.h"

static const enum ip_verdict verdicts[] = {
        [FRAGMENTS_KEPT] = IP_DONE,
        [FRAGMENTS_WHOLE] = IP_DONE,
        [FRAGMENTS_DUPLICATE] = IP_DROP_FRAGMENT_DUPLICATE,
        [FRAGMENTS_OVERLAP] = IP_DROP_FRAGMENT_OVERLAP,
        [FRAGMENTS_LARGE] = IP_DROP_FRAGMENT_LARGE,
        [FRAGMENTS_ECN] = IP_DROP_FRAGMENT_ECN,
        [FRAGMENTS_LOAD] = IP_DROP_FRAGMENT_LOAD,
};

/* The whole header of the upper layer must be there, options of TCP too. l4: len readable bytes. */
static enum ip_verdict check_first(const uint8_t *l4, uint32_t len, uint8_t protocol)
{
        if (protocol != WIRE_TCP)
                return len < WIRE_ICMP_BYTES ? IP_DROP_FRAGMENT_TINY : IP_DONE;
        return len < WIRE_TCP_BYTES || len < (l4[12] >> 4) * 4u ? IP_DROP_FRAGMENT_TINY : IP_DONE;
}

/* Finish what was put together as a frame of the interface, from this MAC address, and queue it for ip_next_whole(). */
static void queue_whole(struct ip *ip, const struct frame *frame, const uint8_t from[6], struct packet *whole)
{
        struct packet_meta *meta = packet_meta(whole);
        uint8_t *header = packet_data(whole), *ether;
        bool is_v4 = header[0] >> 4 == 4;
        uint16_t checksum;

        if (is_v4) {
                header[0] = 0x45; /* its options have been checked, and say nothing to us */
                header[1] = (uint8_t)((header[1] & ~3u) | meta->ecn);
                checksum = checksum_finish(checksum_add(0, header, WIRE_IPV4_BYTES));
                memcpy(header + 10, &checksum, 2);
        } else {
                header[1] = (uint8_t)((header[1] & ~0x30u) | (unsigned)meta->ecn << 4);
        }
        ether = packet_prepend(whole, WIRE_ETHER_BYTES);
        if (!ether || ip->whole.count >= IP_WHOLE_MAX) {
                count_drop(ip, IP_DROP_FRAGMENT_LOAD);
                packet_free(whole);
                return;
        }
        memcpy(ether, frame->interface->conf.mac, 6);
        memcpy(ether + 6, from, 6);
        wire_store16(ether + 12, is_v4 ? WIRE_ETHERTYPE_IPV4 : WIRE_ETHERTYPE_IPV6);
        meta->port = frame->interface->conf.port;
        meta->vlan = frame->interface->conf.vlan;
        meta->flags = PACKET_REASSEMBLED;
        frame_queue_push(&ip->whole, whole);
}

/* fragment: filled but for what packet and frame say. headers: bytes in front of the payload. */
static enum ip_verdict add(struct ip *ip, struct frame *frame, struct packet *packet, struct fragment *fragment,
                           uint16_t headers)
{
        const struct packet_meta *meta = packet_meta(packet);
        enum fragments_verdict verdict;
        struct packet *whole;
        uint8_t from[6];

        memcpy(from, frame->ether_src, sizeof(from)); /* it lies in the packet, which may be gone after the call */
        fragment->src = meta->src;
        fragment->dst = meta->dst;
        fragment->ecn = meta->ecn;
        packet_pull(packet, headers);
        verdict = fragments_add(ip->fragments, packet, fragment, frame->now_us, &whole);
        frame->is_kept = verdict == FRAGMENTS_KEPT || verdict == FRAGMENTS_WHOLE;
        if (verdict == FRAGMENTS_WHOLE)
                queue_whole(ip, frame, from, whole);
        return verdicts[verdict];
}

/* What no fragment may be. len: of the payload; headers: what counts against the largest datagram beside it. */
static bool is_malformed(const struct frame *frame, const struct fragment *fragment, uint32_t len, uint32_t headers)
{
        if (frame->learn_only || frame->is_reassembled)
                return true; /* a fragment within fragments */
        if (len == 0 || (fragment->has_more && len % 8 != 0))
                return true;
        return headers + fragment->offset + len > UINT16_MAX;
}

enum ip_verdict fragment4_input(struct ip *ip, struct frame *frame, struct packet *packet)
{
        const uint8_t *header = packet_data(packet);
        uint16_t header_len = (uint16_t)((header[0] & 15) * 4), bits = wire_load16(header + 6);
        uint32_t len = packet_len(packet) - header_len;
        struct fragment fragment = {
                .id = wire_load16(header + 4),
                .protocol = header[9],
                .has_more = (bits & WIRE_IPV4_MF) != 0,
                .offset = (uint16_t)((bits & WIRE_IPV4_OFFSET_MASK) * 8),
                .len = (uint16_t)len,
                .header = header,
        };
        enum ip_verdict verdict;

        if (is_malformed(frame, &fragment, len, header_len))
                return IP_DROP_FRAGMENT;
        if (fragment.protocol != WIRE_TCP && fragment.protocol != WIRE_ICMP)
                return IP_DROP_PROTOCOL;
        if (fragment.offset == 0) {
                verdict = check_first(header + header_len, len, fragment.protocol);
                if (verdict != IP_DONE)
                        return verdict;
        } else if (fragment.protocol == WIRE_TCP && fragment.offset < WIRE_TCP_BYTES) {
                return IP_DROP_FRAGMENT_TINY; /* RFC 3128 3: what is here belongs into the first one */
        }
        return add(ip, frame, packet, &fragment, header_len);
}

/* From the first fragment on it must be clear what this is (RFC 7112 5). */
static enum ip_verdict check_chain(const uint8_t *bytes, uint16_t len, struct walk walk)
{
        enum ip_verdict verdict;

        walk.protocol = bytes[walk.offset];
        walk.offset = (uint16_t)(walk.offset + 8);
        walk.walked++;
        verdict = ipv6_walk(bytes, len, &walk, IP_DROP_FRAGMENT_TINY);
        if (verdict != IP_DONE)
                return verdict;
        if (walk.protocol == WIRE_FRAGMENT)
                return IP_DROP_FRAGMENT;
        if (walk.protocol != WIRE_TCP && walk.protocol != WIRE_ICMP6)
                return IP_DROP_PROTOCOL;
        return check_first(bytes + walk.offset, (uint32_t)len - walk.offset, walk.protocol);
}

enum ip_verdict fragment6_input(struct ip *ip, struct frame *frame, struct packet *packet,
                                const struct walk *walk)
{
        const uint8_t *header = packet_data(packet), *extension = header + walk->offset;
        uint16_t headers = (uint16_t)(walk->offset + 8), bits = wire_load16(extension + 2);
        uint32_t len = (uint32_t)packet_len(packet) - headers;
        struct fragment fragment = {
                .id = wire_load32(extension + 4),
                .protocol = extension[0],
                .has_more = (bits & 1) != 0,
                .offset = bits & 0xfff8u,
                .len = (uint16_t)len,
                .header = header,
        };
        enum ip_verdict verdict;

        /* The headers before the fragment header have been obeyed and will not come again: the length is the payload's alone. */
        if (is_malformed(frame, &fragment, len, 0))
                return IP_DROP_FRAGMENT;
        if (fragment.offset == 0) {
                verdict = check_chain(header, packet_len(packet), *walk);
                if (verdict != IP_DONE)
                        return verdict;
        }
        return add(ip, frame, packet, &fragment, headers);
}
