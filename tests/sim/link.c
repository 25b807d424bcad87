/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/link.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "dataplane/tcp/header.h"
#include "tests/sim/witness.h"

#define FLIGHT_MAX 65536

struct flying {
        uint64_t at_us, serial;
        struct packet *packet; /* NULL: an ICMP error, about this: */
        struct tcp_icmp_quote quote;
        bool corrupted;
};

struct sim_link {
        struct rte_mempool *pool;
        struct link_profile profile;
        struct witness *witness;
        struct dice dice;
        struct link_stats stats;
        bool trace;
        bool is_bad[LINK_WAYS]; /* Gilbert and Elliott's state */
        uint64_t serial;
        uint64_t began_us;              /* time of the first packet */
        uint64_t free_at_us[LINK_WAYS]; /* when the wire is free again */
        uint32_t heap_len, packets;
        struct flying heap[FLIGHT_MAX]; /* the earliest first */
};

struct sim_link *link_new(struct rte_mempool *pool, const struct link_profile *profile,
                          struct witness *witness, uint64_t seed, bool trace)
{
        struct sim_link *link = calloc(1, sizeof(*link));

        BUG_ON(!link);
        link->pool = pool;
        link->profile = *profile;
        link->witness = witness;
        link->dice.state = seed;
        link->trace = trace;
        return link;
}

void link_free(struct sim_link *link)
{
        for (uint32_t i = 0; i < link->heap_len; i++)
                if (link->heap[i].packet)
                        packet_free(link->heap[i].packet);
        free(link);
}

uint32_t link_held(const struct sim_link *link)
{
        return link->packets;
}

const struct link_stats *link_stats(const struct sim_link *link)
{
        return &link->stats;
}

/* --- heap ----------------------------------------------------------------------------------------------- */

static bool is_earlier(const struct flying *a, const struct flying *b)
{
        return a->at_us != b->at_us ? a->at_us < b->at_us : a->serial < b->serial;
}

static void swap(struct flying *a, struct flying *b)
{
        struct flying t = *a;

        *a = *b;
        *b = t;
}

static void heap_push(struct sim_link *link, struct flying flying)
{
        uint32_t at = link->heap_len++;

        BUG_ON(at >= FLIGHT_MAX);
        link->heap[at] = flying;
        link->packets += flying.packet != NULL;
        while (at > 0 && is_earlier(&link->heap[at], &link->heap[(at - 1) / 2])) {
                swap(&link->heap[at], &link->heap[(at - 1) / 2]);
                at = (at - 1) / 2;
        }
}

static struct flying heap_pop(struct sim_link *link)
{
        struct flying first = link->heap[0];
        uint32_t at = 0;

        link->packets -= first.packet != NULL;
        link->heap[0] = link->heap[--link->heap_len];
        for (;;) {
                uint32_t least = at;

                for (uint32_t child = 2 * at + 1; child <= 2 * at + 2; child++)
                        if (child < link->heap_len && is_earlier(&link->heap[child], &link->heap[least]))
                                least = child;
                if (least == at)
                        return first;
                swap(&link->heap[at], &link->heap[least]);
                at = least;
        }
}

/* --- bytes ---------------------------------------------------------------------------------------------- */

/* A copy in one piece. */
static struct packet *copy_of(struct sim_link *link, struct packet *packet)
{
        struct packet *copy = packet_new(link->pool);
        uint8_t *to;

        BUG_ON(!copy);
        to = packet_append(copy, (uint16_t)packet_total_len(packet));
        BUG_ON(!to);
        for (struct packet *part = packet; part; part = packet_chained(part)) {
                memcpy(to, packet_data(part), packet_len(part));
                to += packet_len(part);
        }
        packet_meta(copy)->src = packet_meta(packet)->src;
        packet_meta(copy)->dst = packet_meta(packet)->dst;
        packet_meta(copy)->ecn = packet_meta(packet)->ecn;
        return copy;
}

static uint16_t checksum_of(struct packet *packet)
{
        const struct packet_meta *meta = packet_meta(packet);
        uint64_t sum = tcp_sum_pseudo(&meta->src, &meta->dst, packet_len(packet));

        return (uint16_t)~tcp_sum_fold(tcp_sum_add(sum, packet_data(packet), packet_len(packet), false));
}

/* Overwrite options of a SYN with NOPs, and mend the checksum. */
static void strip_options(const struct link_profile *profile, struct packet *packet)
{
        uint8_t *bytes = packet_data(packet);
        unsigned header_len = (bytes[12] >> 4) * 4u;

        if (!(bytes[13] & TCP_FLAG_SYN))
                return;
        for (unsigned at = 20; at < header_len;) {
                unsigned len = bytes[at] == 1 ? 1 : bytes[at + 1];

                if ((bytes[at] == 4 && profile->strip_sack) || (bytes[at] == 8 && profile->strip_timestamp) ||
                    (bytes[at] == 3 && profile->strip_scale))
                        memset(bytes + at, 1, len);
                at += len;
        }
        tcp_header_checksum_set(bytes, 0);
        tcp_header_checksum_set(bytes, checksum_of(packet));
}

static void print(const struct sim_link *link, struct packet *packet, uint64_t now_us, const char *fate)
{
        struct tcp_header header;
        const struct packet_meta *meta = packet_meta(packet);

        if (!link->trace)
                return;
        if (tcp_header_parse(packet_data(packet), packet_len(packet), &header) != TCP_PARSE_OK) {
                printf("%10.3f unreadable, %s\n", (double)(now_us - link->began_us) / 1000, fate);
                return;
        }
        printf("%10.3f %u:%u>%u:%u %s%s%s%s%s seq %u+%u ack %u win %u",
               (double)(now_us - link->began_us) / 1000, meta->src.bytes[15], header.src_port,
               meta->dst.bytes[15], header.dst_port, header.flags & TCP_FLAG_SYN ? "S" : "",
               header.flags & TCP_FLAG_FIN ? "F" : "", header.flags & TCP_FLAG_RST ? "R" : "",
               header.flags & TCP_FLAG_PSH ? "P" : "", header.flags & TCP_FLAG_ACK ? "." : "", header.seq,
               packet_len(packet) - header.header_len, header.ack, header.window);
        for (unsigned i = 0; i < header.blocks; i++)
                printf(" sack %u-%u", header.block[i].start, header.block[i].end);
        if (header.has_timestamp)
                printf(" ts %u %u", header.ts_value, header.ts_echo);
        printf(" %s\n", fate);
}

/* --- the wire ------------------------------------------------------------------------------------------- */

static enum link_way way_of(struct packet *packet)
{
        const struct packet_meta *meta = packet_meta(packet);

        return memcmp(meta->src.bytes, meta->dst.bytes, 16) < 0 ? LINK_UP : LINK_DOWN;
}

static bool is_dead(const struct sim_link *link, enum link_way way, uint64_t now_us)
{
        const struct link_profile *profile = &link->profile;
        uint64_t since_us = now_us - link->began_us;

        return profile->dead_from_us && way == profile->dead_way && since_us >= profile->dead_from_us &&
               (profile->dead_until_us == 0 || since_us < profile->dead_until_us);
}

static bool is_lost(struct sim_link *link, enum link_way way, uint64_t now_us)
{
        const struct link_profile *profile = &link->profile;
        uint64_t nth = link->stats.packets - 1 - profile->drop_after;

        if (nth < 64 && profile->drop_mask >> nth & 1)
                return true;
        if (is_dead(link, way, now_us))
                return true;
        if (profile->good_to_bad &&
            dice_permille(&link->dice, link->is_bad[way] ? profile->bad_to_good : profile->good_to_bad))
                link->is_bad[way] = !link->is_bad[way];
        if (link->is_bad[way] && dice_permille(&link->dice, profile->bad_loss))
                return true;
        return dice_permille(&link->dice, profile->loss);
}

static uint64_t way_us(struct sim_link *link)
{
        return link->profile.delay_us + dice_below(&link->dice, link->profile.jitter_us + 1);
}

static void fly(struct sim_link *link, struct packet *packet, uint64_t now_us, uint64_t extra_us,
                bool corrupted)
{
        heap_push(link, (struct flying){ .at_us = now_us + extra_us + way_us(link),
                                         .serial = link->serial++,
                                         .packet = packet,
                                         .corrupted = corrupted });
}

static uint32_t mtu_now(const struct sim_link *link, uint64_t now_us)
{
        const struct link_profile *profile = &link->profile;

        return profile->mtu_later && now_us - link->began_us >= profile->mtu_later_us ? profile->mtu_later
                                                                                      : profile->mtu;
}

/* Is the packet too big for the path? Then its sender hears of it, unless the path swallows that as well. */
static bool is_too_big(struct sim_link *link, struct packet *packet, uint64_t now_us)
{
        const struct packet_meta *meta = packet_meta(packet);
        const uint8_t *bytes = packet_data(packet);
        uint32_t mtu = mtu_now(link, now_us);

        if (!mtu || packet_len(packet) + (addr_is_v4(&meta->src) ? 20u : 40u) <= mtu)
                return false;
        link->stats.too_big++;
        if (link->profile.mtu_silent || dice_permille(&link->dice, link->profile.loss))
                return true;
        heap_push(link, (struct flying){
                            .at_us = now_us + way_us(link),
                            .serial = link->serial++,
                            .quote = {
                                .kind = TCP_ICMP_TOO_BIG,
                                .local = meta->src,
                                .remote = meta->dst,
                                .local_port = (uint16_t)(bytes[0] << 8 | bytes[1]),
                                .remote_port = (uint16_t)(bytes[2] << 8 | bytes[3]),
                                .seq = (uint32_t)bytes[4] << 24 | bytes[5] << 16 | bytes[6] << 8 | bytes[7],
                                .mtu = (uint16_t)mtu,
                            } });
        return true;
}

/* How long the packet waits until the wire is free. False: the queue is too long. */
static bool wait_in_queue(struct sim_link *link, struct packet *packet, enum link_way way, uint64_t now_us,
                          uint64_t *ret_us)
{
        const struct link_profile *profile = &link->profile;
        uint64_t start_us = MAX(link->free_at_us[way], now_us);

        *ret_us = 0;
        if (!profile->bytes_ms)
                return true;
        if (start_us - now_us > profile->queue_ms * 1000ull)
                return false;
        *ret_us = start_us - now_us;
        link->free_at_us[way] = start_us + (packet_len(packet) + 40u) * 1000ull / profile->bytes_ms;
        return true;
}

static void lose(struct sim_link *link, struct packet *packet, uint64_t now_us, const char *why)
{
        print(link, packet, now_us, why);
        link->stats.lost++;
        packet_free(packet);
}

/* What else can happen to a packet that is not lost. */
static void carry(struct sim_link *link, struct packet *packet, uint64_t now_us, uint64_t extra_us)
{
        const struct link_profile *profile = &link->profile;
        bool corrupted = false;

        if (profile->strip_sack || profile->strip_timestamp || profile->strip_scale)
                strip_options(profile, packet);
        if (dice_permille(&link->dice, profile->reorder)) {
                extra_us += dice_below(&link->dice, 4 * profile->delay_us + 1000);
                link->stats.reordered++;
        }
        if (profile->mark && packet_meta(packet)->ecn != 0 && dice_permille(&link->dice, profile->mark)) {
                packet_meta(packet)->ecn = 3;
                link->stats.marked++;
        }
        if (dice_permille(&link->dice, profile->duplicate)) {
                print(link, packet, now_us, "doubled");
                fly(link, copy_of(link, packet), now_us, extra_us, false);
                link->stats.duplicated++;
        }
        if (dice_permille(&link->dice, profile->corrupt)) {
                uint32_t bit = dice_below(&link->dice, packet_len(packet) * 8u);

                packet_data(packet)[bit / 8] ^= (uint8_t)(1u << (bit % 8));
                corrupted = true;
                link->stats.corrupted++;
        }
        print(link, packet, now_us, corrupted ? "corrupted" : "");
        fly(link, packet, now_us, extra_us, corrupted);
}

void link_send(struct sim_link *link, struct packet *original, bool is_cut, uint64_t now_us)
{
        struct packet *packet = copy_of(link, original);
        enum link_way way = way_of(packet);
        uint64_t extra_us = 0;

        packet_free(original);
        if (link->stats.packets++ == 0)
                link->began_us = now_us;
        link->stats.sent[way]++;
        if (checksum_of(packet) != 0) {
                printf("an endpoint sent a segment with a wrong checksum\n");
                abort();
        }
        if (link->witness)
                witness_sent(link->witness, packet, now_us);
        if (is_cut)
                lose(link, packet, now_us, "lost (cut)");
        else if (is_too_big(link, packet, now_us))
                lose(link, packet, now_us, "lost (too big)");
        else if (!wait_in_queue(link, packet, way, now_us, &extra_us))
                lose(link, packet, now_us, "lost (queue)");
        else if (is_lost(link, way, now_us))
                lose(link, packet, now_us, "lost");
        else
                carry(link, packet, now_us, extra_us);
}

enum link_what link_receive(struct sim_link *link, uint64_t now_us, struct packet **ret_packet,
                            struct tcp_icmp_quote *ret_quote)
{
        while (link->heap_len > 0 && link->heap[0].at_us <= now_us) {
                struct flying flying = heap_pop(link);

                if (!flying.packet) {
                        *ret_quote = flying.quote;
                        return LINK_ICMP;
                }
                if (checksum_of(flying.packet) == 0) {
                        link->stats.delivered[way_of(flying.packet)]++;
                        if (link->witness)
                                witness_delivered(link->witness, flying.packet, now_us);
                        *ret_packet = flying.packet;
                        return LINK_PACKET;
                }
                BUG_ON(!flying.corrupted);
                link->stats.bad_checksum++;
                packet_free(flying.packet);
        }
        return LINK_NOTHING;
}

uint64_t link_due_us(const struct sim_link *link)
{
        return link->heap_len > 0 ? link->heap[0].at_us : UINT64_MAX;
}
