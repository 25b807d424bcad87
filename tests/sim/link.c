/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/link.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "dataplane/tcp/header.h"

#define FLIGHT_MAX 65536

struct flying {
        uint64_t at_us, serial;
        struct packet *packet;
        bool corrupted;
};

struct sim_link {
        struct rte_mempool *pool;
        struct link_profile profile;
        struct dice dice;
        struct link_stats stats;
        bool trace;
        uint64_t serial;
        uint64_t began_us; /* time of the first packet */
        uint32_t burst_left;
        uint64_t free_at_us[2]; /* per direction (by the order of addresses): when the wire is free again */
        uint32_t heap_len;
        struct flying heap[FLIGHT_MAX]; /* the earliest first */
};

struct sim_link *link_new(struct rte_mempool *pool, const struct link_profile *profile, uint64_t seed, bool trace)
{
        struct sim_link *link = calloc(1, sizeof(*link));

        BUG_ON(!link);
        link->pool = pool;
        link->profile = *profile;
        link->dice.state = seed;
        link->trace = trace;
        return link;
}

void link_free(struct sim_link *link)
{
        for (uint32_t i = 0; i < link->heap_len; i++)
                packet_free(link->heap[i].packet);
        free(link);
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
        while (at > 0 && is_earlier(&link->heap[at], &link->heap[(at - 1) / 2])) {
                swap(&link->heap[at], &link->heap[(at - 1) / 2]);
                at = (at - 1) / 2;
        }
}

static struct flying heap_pop(struct sim_link *link)
{
        struct flying first = link->heap[0];
        uint32_t at = 0;

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
        printf("%10.3f %u:%u>%u:%u %s%s%s%s%s seq %u+%u ack %u win %u", (double)(now_us - link->began_us) / 1000, meta->src.bytes[15],
               header.src_port, meta->dst.bytes[15], header.dst_port, header.flags & TCP_FLAG_SYN ? "S" : "",
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

static bool is_lost(struct sim_link *link, struct packet *packet)
{
        const struct link_profile *profile = &link->profile;
        uint64_t nth = link->stats.packets - 1;

        if (nth < 64 && profile->drop_mask >> nth & 1)
                return true;
        if (profile->mtu && packet_len(packet) + (addr_is_v4(&packet_meta(packet)->src) ? 20u : 40u) > profile->mtu)
                return true;
        if (link->burst_left > 0) {
                link->burst_left--;
                return true;
        }
        if (dice_permille(&link->dice, profile->burst)) {
                link->burst_left = dice_below(&link->dice, profile->burst_len);
                return true;
        }
        return dice_permille(&link->dice, profile->loss);
}

static void fly(struct sim_link *link, struct packet *packet, uint64_t now_us, uint64_t extra_us, bool corrupted)
{
        const struct link_profile *profile = &link->profile;
        uint64_t at_us = now_us + extra_us + profile->delay_us + dice_below(&link->dice, profile->jitter_us + 1);

        heap_push(link, (struct flying){ at_us, link->serial++, packet, corrupted });
}

void link_send(struct sim_link *link, struct packet *original, uint64_t now_us)
{
        const struct link_profile *profile = &link->profile;
        struct packet *packet = copy_of(link, original);
        const struct packet_meta *meta = packet_meta(packet);
        bool up = memcmp(meta->src.bytes, meta->dst.bytes, 16) < 0;
        uint64_t extra_us = 0;
        bool corrupted = false;

        packet_free(original);
        if (link->stats.packets++ == 0)
                link->began_us = now_us;
        if (checksum_of(packet) != 0) {
                printf("an endpoint sent a segment with a wrong checksum\n");
                abort();
        }
        if (profile->bytes_ms) {
                uint64_t start_us = MAX(link->free_at_us[up], now_us);

                extra_us = start_us - now_us;
                if (extra_us > profile->queue_ms * 1000ull) {
                        print(link, packet, now_us, "lost (queue)");
                        link->stats.lost++;
                        packet_free(packet);
                        return;
                }
                link->free_at_us[up] = start_us + (packet_len(packet) + 40u) * 1000ull / profile->bytes_ms;
        }
        if (is_lost(link, packet)) {
                print(link, packet, now_us, "lost");
                link->stats.lost++;
                packet_free(packet);
                return;
        }
        if (profile->strip_sack || profile->strip_timestamp || profile->strip_scale)
                strip_options(profile, packet);
        if (dice_permille(&link->dice, profile->reorder)) {
                extra_us += dice_below(&link->dice, 4 * profile->delay_us + 1000);
                link->stats.reordered++;
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

struct packet *link_receive(struct sim_link *link, uint64_t now_us)
{
        while (link->heap_len > 0 && link->heap[0].at_us <= now_us) {
                struct flying flying = heap_pop(link);

                if (checksum_of(flying.packet) == 0)
                        return flying.packet;
                BUG_ON(!flying.corrupted);
                link->stats.bad_checksum++;
                packet_free(flying.packet);
        }
        return NULL;
}

uint64_t link_due_us(const struct sim_link *link)
{
        return link->heap_len > 0 ? link->heap[0].at_us : UINT64_MAX;
}
