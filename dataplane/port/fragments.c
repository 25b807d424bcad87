/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table is searched from end to end: 128 tags of four bytes lie in eight lines, which costs less than a hash table's
 * rules would. The tags are keyed, or a stranger could choose fragments that all look alike.
 */
#include "dataplane/port/fragments.h"

#include <stdlib.h>
#include <sys/queue.h>

#include <rte_ip.h>
#include <rte_ip_frag.h>

#include "dataplane/port/wire.h"
#include "dataplane/shared/counters.h"

static_assert(FRAGMENTS_PIECES == RTE_LIBRTE_IP_FRAG_MAX_FRAG, "as many pieces as rte_ip_frag joins");

#define FRAGMENT_HEADER_BYTES 8u
#define JOIN_TIME             1u /* rte_ip_frag's table is empty between two calls: nothing in it grows old */

struct key {
        struct addr src;
        struct addr dst;
        uint32_t id;
        uint32_t protocol; /* 0 for IPv6, whose fragments may differ in it (RFC 8200 4.5) */
};
static_assert(sizeof(struct key) == 40, "hashed and compared as bytes");

struct piece {
        struct packet *packet;
        uint16_t offset;
        uint16_t len;
        bool has_more;
};

struct datagram {
        struct key key;
        TAILQ_ENTRY(datagram) link; /* of its family, oldest first, or of the free ones */
        uint64_t start_us;          /* when its first fragment came */
        uint32_t total;             /* bytes of payload; 0 until the last piece has come */
        uint32_t bytes;             /* of the pieces held */
        uint8_t n_pieces;
        uint8_t ecn_seen;    /* one bit for each of the four codepoints */
        uint8_t given_up;    /* enum fragments_verdict: why; 0: it is not */
        uint8_t next_header; /* of the first piece's fragment header; IPv6 only */
        uint8_t header[WIRE_IPV6_BYTES]; /* of the first piece */
        struct piece pieces[FRAGMENTS_PIECES];
};

TAILQ_HEAD(datagrams, datagram);

enum family {
        FAMILY_V4,
        FAMILY_V6,
        FAMILIES,
};

static const uint64_t timeout_us[FAMILIES] = { FRAGMENTS_V4_US, FRAGMENTS_V6_US };

struct fragments {
        struct rte_mempool *pool;
        struct rte_ip_frag_tbl *table;
        uint64_t *counters;
        struct siphash_key hash_key;
        unsigned held;
        unsigned held_max;
        unsigned turn_left;
        bool is_pool_checked; /* in this turn */
        bool is_pool_short;
        struct datagrams free;
        struct datagrams used[FAMILIES];
        uint32_t tags[FRAGMENTS_DATAGRAMS]; /* 0: the datagram of this index is free */
        struct datagram datagrams[FRAGMENTS_DATAGRAMS];
        struct rte_ip_frag_death_row death_row;
};

struct fragments *fragments_new(struct rte_mempool *pool, uint64_t *counters, const struct siphash_key *key)
{
        struct fragments *fragments = calloc(1, sizeof(*fragments));

        if (!fragments)
                return NULL;
        fragments->table = rte_ip_frag_table_create(1, 1, 1, JOIN_TIME, SOCKET_ID_ANY);
        if (!fragments->table) {
                free(fragments);
                return NULL;
        }
        fragments->pool = pool;
        fragments->counters = counters;
        fragments->hash_key = *key;
        fragments->held_max = MIN(FRAGMENTS_HELD_MAX, pool->size / FRAGMENTS_HELD_SHARE);
        fragments->turn_left = FRAGMENTS_TURN;
        TAILQ_INIT(&fragments->free);
        TAILQ_INIT(&fragments->used[FAMILY_V4]);
        TAILQ_INIT(&fragments->used[FAMILY_V6]);
        for (unsigned i = 0; i < FRAGMENTS_DATAGRAMS; i++)
                TAILQ_INSERT_TAIL(&fragments->free, &fragments->datagrams[i], link);
        return fragments;
}

static enum family family_of(const struct datagram *datagram)
{
        return addr_is_v4(&datagram->key.src) ? FAMILY_V4 : FAMILY_V6;
}

static void set_held(struct fragments *fragments, unsigned held)
{
        fragments->held = held;
        counter_set(fragments->counters, COUNTER_fragments_held, held);
}

/* Free what is held of a datagram, and count it there. */
static void let_pieces_go(struct fragments *fragments, struct datagram *datagram, enum counter why)
{
        for (unsigned i = 0; i < datagram->n_pieces; i++)
                packet_free(datagram->pieces[i].packet);
        counter_add(fragments->counters, why, datagram->n_pieces);
        set_held(fragments, fragments->held - datagram->n_pieces);
        datagram->n_pieces = 0;
        datagram->bytes = 0;
}

/* Nothing is known of it any more. */
static void forget(struct fragments *fragments, struct datagram *datagram)
{
        BUG_ON_HOT(datagram->n_pieces != 0);
        TAILQ_REMOVE(&fragments->used[family_of(datagram)], datagram, link);
        TAILQ_INSERT_HEAD(&fragments->free, datagram, link);
        fragments->tags[datagram - fragments->datagrams] = 0;
}

static void evict(struct fragments *fragments, struct datagram *datagram)
{
        let_pieces_go(fragments, datagram, COUNTER_fragments_evicted);
        forget(fragments, datagram);
}

void fragments_free(struct fragments *fragments)
{
        if (!fragments)
                return;
        for (enum family family = 0; family < FAMILIES; family++)
                while (!TAILQ_EMPTY(&fragments->used[family]))
                        evict(fragments, TAILQ_FIRST(&fragments->used[family]));
        rte_ip_frag_table_destroy(fragments->table);
        free(fragments);
}

static bool is_due(const struct datagram *datagram, uint64_t now_us)
{
        return now_us >= datagram->start_us + timeout_us[family_of(datagram)];
}

static void expire(struct fragments *fragments, struct datagram *datagram)
{
        let_pieces_go(fragments, datagram, COUNTER_fragments_expired);
        forget(fragments, datagram);
}

void fragments_tick(struct fragments *fragments, uint64_t now_us)
{
        fragments->turn_left = FRAGMENTS_TURN;
        fragments->is_pool_checked = false;
        for (enum family family = 0; family < FAMILIES; family++) {
                struct datagram *oldest;

                while ((oldest = TAILQ_FIRST(&fragments->used[family])) != NULL && is_due(oldest, now_us))
                        expire(fragments, oldest);
        }
}

uint64_t fragments_next_due_us(const struct fragments *fragments)
{
        uint64_t due_us = UINT64_MAX;

        for (enum family family = 0; family < FAMILIES; family++) {
                const struct datagram *oldest = TAILQ_FIRST(&fragments->used[family]);

                if (oldest)
                        due_us = MIN(due_us, oldest->start_us + timeout_us[family]);
        }
        return due_us;
}

/* --- room ------------------------------------------------------------------------------------------------ */

/* The datagram that began first, of those that hold packets if need be, and not this one. NULL: there is none. */
static struct datagram *find_oldest(const struct fragments *fragments, const struct datagram *except,
                                    bool with_packets)
{
        struct datagram *oldest = NULL, *datagram;

        for (enum family family = 0; family < FAMILIES; family++) {
                TAILQ_FOREACH(datagram, &fragments->used[family], link) {
                        if (datagram == except || (with_packets && datagram->n_pieces == 0))
                                continue;
                        if (!oldest || datagram->start_us < oldest->start_us)
                                oldest = datagram;
                        break;
                }
        }
        return oldest;
}

/* Fragments are the first to go when packets run short. Counting is dear (a cache of each core), so it is done once a turn. */
static bool is_pool_short(struct fragments *fragments)
{
        if (fragments->is_pool_checked)
                return fragments->is_pool_short;
        fragments->is_pool_checked = true;
        fragments->is_pool_short =
            rte_mempool_avail_count(fragments->pool) < fragments->pool->size / FRAGMENTS_SHORT;
        for (unsigned i = 0; fragments->is_pool_short && i < FRAGMENTS_DATAGRAMS; i++)
                if (fragments->tags[i] != 0 && fragments->datagrams[i].n_pieces != 0)
                        evict(fragments, &fragments->datagrams[i]);
        return fragments->is_pool_short;
}

static bool make_room(struct fragments *fragments, const struct datagram *datagram)
{
        while (fragments->held >= fragments->held_max) {
                struct datagram *oldest = find_oldest(fragments, datagram, true);

                if (!oldest)
                        return false;
                evict(fragments, oldest);
        }
        return true;
}

/* --- one datagram ------------------------------------------------------------------------------------------ */

static struct datagram *lookup(struct fragments *fragments, const struct key *key, uint32_t tag)
{
        for (unsigned i = 0; i < FRAGMENTS_DATAGRAMS; i++)
                if (fragments->tags[i] == tag &&
                    memcmp(&fragments->datagrams[i].key, key, sizeof(*key)) == 0)
                        return &fragments->datagrams[i];
        return NULL;
}

static struct datagram *begin(struct fragments *fragments, const struct key *key, uint32_t tag, uint64_t now_us)
{
        struct datagram *datagram;

        if (TAILQ_EMPTY(&fragments->free))
                evict(fragments, find_oldest(fragments, NULL, false));
        datagram = TAILQ_FIRST(&fragments->free);
        TAILQ_REMOVE(&fragments->free, datagram, link);
        memset(datagram, 0, sizeof(*datagram));
        datagram->key = *key;
        datagram->start_us = now_us;
        fragments->tags[datagram - fragments->datagrams] = tag;
        TAILQ_INSERT_TAIL(&fragments->used[family_of(datagram)], datagram, link);
        return datagram;
}

/* May this piece stand beside those that are there? */
static enum fragments_verdict check_piece(const struct datagram *datagram, struct packet *packet,
                                          const struct fragment *fragment)
{
        uint32_t end = (uint32_t)fragment->offset + fragment->len;
        uint8_t ecn_seen = datagram->ecn_seen | (uint8_t)(1u << fragment->ecn);

        for (unsigned i = 0; i < datagram->n_pieces; i++) {
                const struct piece *piece = &datagram->pieces[i];
                uint32_t piece_end = (uint32_t)piece->offset + piece->len;

                if (piece->offset == fragment->offset && piece->len == fragment->len &&
                    piece->has_more == fragment->has_more &&
                    memcmp(packet_data(piece->packet), packet_data(packet), piece->len) == 0)
                        return FRAGMENTS_DUPLICATE;
                if (fragment->offset < piece_end && piece->offset < end)
                        return FRAGMENTS_OVERLAP;
                if (!fragment->has_more && piece_end > end)
                        return FRAGMENTS_OVERLAP; /* the end, and something behind it */
        }
        if (datagram->total != 0 && end > datagram->total)
                return FRAGMENTS_OVERLAP; /* a second end up to there overlaps the first one, or is before it */
        if (datagram->n_pieces == FRAGMENTS_PIECES)
                return FRAGMENTS_LARGE;
        /* Congestion must not be lost, nor claimed where it could not be marked (RFC 3168 5.3). */
        if ((ecn_seen & (1u << 3)) != 0 && (ecn_seen & (1u << 0)) != 0)
                return FRAGMENTS_ECN;
        return FRAGMENTS_KEPT;
}

static void keep(struct fragments *fragments, struct datagram *datagram, struct packet *packet,
                 const struct fragment *fragment)
{
        datagram->pieces[datagram->n_pieces++] = (struct piece){
                .packet = packet,
                .offset = fragment->offset,
                .len = fragment->len,
                .has_more = fragment->has_more,
        };
        datagram->bytes += fragment->len;
        datagram->ecn_seen |= (uint8_t)(1u << fragment->ecn);
        if (!fragment->has_more)
                datagram->total = (uint32_t)fragment->offset + fragment->len;
        if (fragment->offset == 0) {
                datagram->next_header = fragment->protocol;
                memcpy(datagram->header, fragment->header,
                       family_of(datagram) == FAMILY_V4 ? WIRE_IPV4_BYTES : WIRE_IPV6_BYTES);
        }
        set_held(fragments, fragments->held + 1);
        counter_inc(fragments->counters, COUNTER_fragments_taken);
}

/* --- joining ------------------------------------------------------------------------------------------------ */

static uint16_t header_bytes(enum family family)
{
        return family == FAMILY_V4 ? WIRE_IPV4_BYTES : WIRE_IPV6_BYTES + FRAGMENT_HEADER_BYTES;
}

/* A packet with the headers and the payload of the first piece, and room for the others. The pieces stay as they came: their bytes may be shared. */
static struct packet *copy_first(struct fragments *fragments, const struct datagram *datagram,
                                 const struct piece *piece)
{
        enum family family = family_of(datagram);
        struct packet *packet = packet_new(fragments->pool);
        uint8_t *bytes;

        if (!packet)
                return NULL;
        bytes = packet_append(packet, (uint16_t)(header_bytes(family) + piece->len));
        if (!bytes) {
                packet_free(packet);
                return NULL;
        }
        if (family == FAMILY_V4) {
                memcpy(bytes, datagram->header, WIRE_IPV4_BYTES);
        } else {
                memcpy(bytes, datagram->header, WIRE_IPV6_BYTES);
                bytes[6] = WIRE_FRAGMENT;
                memset(bytes + WIRE_IPV6_BYTES, 0, FRAGMENT_HEADER_BYTES);
                bytes[WIRE_IPV6_BYTES] = datagram->next_header;
        }
        memcpy(bytes + header_bytes(family), packet_data(piece->packet), piece->len);
        return packet;
}

/*
 * Give rte_ip_frag one piece, in front of whose payload lie headers bytes of IP headers. What it is told of the piece it reads
 * from a header beside the packet. All pieces of one datagram have the same addresses and id: zero.
 */
static struct rte_mbuf *feed(struct fragments *fragments, enum family family, struct packet *packet,
                             const struct piece *piece, uint16_t headers)
{
        struct rte_mbuf *mbuf = &packet->mbuf;

        mbuf->l2_len = 0;
        mbuf->l3_len = headers;
        if (family == FAMILY_V4) {
                struct rte_ipv4_hdr header = {
                        .total_length = rte_cpu_to_be_16((uint16_t)(headers + piece->len)),
                        .fragment_offset = rte_cpu_to_be_16(
                            (uint16_t)(piece->offset / 8 | (piece->has_more ? WIRE_IPV4_MF : 0))),
                };

                return rte_ipv4_frag_reassemble_packet(fragments->table, &fragments->death_row, mbuf, JOIN_TIME,
                                                       &header);
        } else {
                struct {
                        struct rte_ipv6_hdr ip;
                        struct rte_ipv6_fragment_ext fragment;
                } header = {
                        .ip.payload_len = rte_cpu_to_be_16((uint16_t)(FRAGMENT_HEADER_BYTES + piece->len)),
                        .fragment.frag_data = rte_cpu_to_be_16((uint16_t)(piece->offset | piece->has_more)),
                };

                return rte_ipv6_frag_reassemble_packet(fragments->table, &fragments->death_row, mbuf, JOIN_TIME,
                                                       &header.ip, &header.fragment);
        }
}

/* The ECN bits of the whole: CE if there is one; Not-ECT if there is one; else the weaker promise. */
static uint8_t join_ecn(uint8_t seen)
{
        static const uint8_t order[] = { 3, 0, 2 };

        for (unsigned i = 0; i < sizeof(order); i++)
                if (seen & (1u << order[i]))
                        return order[i];
        return 1;
}

/* All pieces are here and fit. The datagram is forgotten in any case; returns NULL, counted, where there is no packet for it. */
static struct packet *join(struct fragments *fragments, struct datagram *datagram)
{
        enum family family = family_of(datagram);
        struct rte_mbuf *joined = NULL;
        struct packet *first = NULL;
        bool is_whole;

        for (unsigned i = 0; i < datagram->n_pieces; i++)
                if (datagram->pieces[i].offset == 0)
                        first = copy_first(fragments, datagram, &datagram->pieces[i]);
        if (!first) {
                counter_inc(fragments->counters, COUNTER_ip_no_packet);
                let_pieces_go(fragments, datagram, COUNTER_fragments_abandoned);
                forget(fragments, datagram);
                return NULL;
        }
        for (unsigned i = 0; i < datagram->n_pieces; i++) {
                const struct piece *piece = &datagram->pieces[i];

                if (piece->offset == 0) {
                        packet_free(piece->packet);
                        joined = feed(fragments, family, first, piece, header_bytes(family));
                } else {
                        joined = feed(fragments, family, piece->packet, piece, 0);
                }
        }
        /* The pieces fill the datagram without a gap, and it fits into the packet: this fails only if rte_ip_frag has changed. */
        is_whole = joined == &first->mbuf && packet_linearize(first);
        BUG_ON_HOT(!is_whole);
        if (!is_whole) {
                rte_pktmbuf_free(joined);
                rte_ip_frag_free_death_row(&fragments->death_row, 0);
        }
        counter_add(fragments->counters, is_whole ? COUNTER_fragments_joined : COUNTER_fragments_abandoned,
                    datagram->n_pieces);
        set_held(fragments, fragments->held - datagram->n_pieces);
        datagram->n_pieces = 0;
        forget(fragments, datagram);
        if (!is_whole)
                return NULL;
        counter_inc(fragments->counters, COUNTER_datagrams_joined);
        packet_meta(first)->ecn = join_ecn(datagram->ecn_seen);
        return first;
}

enum fragments_verdict fragments_add(struct fragments *fragments, struct packet *packet,
                                     const struct fragment *fragment, uint64_t now_us, struct packet **ret_whole)
{
        bool is_v4 = addr_is_v4(&fragment->src);
        struct key key = {
                .src = fragment->src,
                .dst = fragment->dst,
                .id = fragment->id,
                .protocol = is_v4 ? fragment->protocol : 0,
        };
        uint32_t tag = (uint32_t)siphash(&fragments->hash_key, &key, sizeof(key)) | 1;
        uint32_t end = (uint32_t)fragment->offset + fragment->len;
        enum fragments_verdict verdict;
        struct datagram *datagram;

        BUG_ON_HOT(fragment->len == 0 || fragment->len != packet_len(packet));
        if (fragments->turn_left == 0)
                return FRAGMENTS_LOAD;
        fragments->turn_left--;
        if (is_pool_short(fragments))
                return FRAGMENTS_LOAD;
        datagram = lookup(fragments, &key, tag);
        if (datagram && is_due(datagram, now_us)) {
                expire(fragments, datagram);
                datagram = NULL;
        }
        if (datagram && datagram->given_up != 0)
                return datagram->given_up;
        if (end + header_bytes(is_v4 ? FAMILY_V4 : FAMILY_V6) > packet_pool_room(fragments->pool))
                verdict = FRAGMENTS_LARGE;
        else
                verdict = datagram ? check_piece(datagram, packet, fragment) : FRAGMENTS_KEPT;
        if (verdict == FRAGMENTS_DUPLICATE || (verdict != FRAGMENTS_KEPT && !datagram))
                return verdict;
        if (verdict != FRAGMENTS_KEPT) {
                let_pieces_go(fragments, datagram, COUNTER_fragments_abandoned);
                datagram->given_up = verdict;
                return verdict;
        }
        if (!make_room(fragments, datagram))
                return FRAGMENTS_LOAD;
        if (!datagram)
                datagram = begin(fragments, &key, tag, now_us);
        keep(fragments, datagram, packet, fragment);
        if (datagram->bytes != datagram->total)
                return FRAGMENTS_KEPT;
        *ret_whole = join(fragments, datagram);
        return *ret_whole ? FRAGMENTS_WHOLE : FRAGMENTS_KEPT;
}
