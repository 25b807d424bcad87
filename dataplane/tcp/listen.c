/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/tcp/listen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/shared/pages.h"
#include "dataplane/tcp/congest.h"
#include "dataplane/tcp/conn.h"
#include "dataplane/tcp/cookie.h"
#include "dataplane/tcp/input.h"
#include "dataplane/tcp/output.h"

#define TIMESTAMP_AHEAD 2u /* ms that a SYN-ACK's timestamp may be before the clock, see timestamp_of() */

#define SYN_NO_SCALE 15u /* syn_entry.scale: the peer offered none */

#define SYN_TIMESTAMPS 0x1u
#define SYN_SACK       0x2u
#define SYN_ECN        0x4u

/* What a SYN-ACK and the connection need; nothing else is stored before the handshake is complete. */
struct syn_entry {
        struct tcp_tuple tuple;
        uint32_t irs, iss;
        uint32_t ts_recent;
        struct ilist_node node; /* in the list of entries that have had as many SYN-ACKs */
        uint32_t due_ms;
        uint16_t mss;
        uint8_t scale : 4, flags : 4;
        uint8_t tries; /* SYN-ACKs sent by ourselves, 1 to TCP_SYNACK_TRIES */
};
static_assert(sizeof(struct syn_entry) == 64, "one cache line a half-open connection");

struct syncache {
        struct syn_entry *entries;
        size_t bytes;
        uint32_t max, fresh, free, used;
        uint64_t cookie_ms; /* when a cookie last went out without an entry; 0: never */
        struct ilist wait[TCP_SYNACK_TRIES];
};

int syncache_new(struct tcp *tcp, uint32_t max)
{
        struct syncache *cache = calloc(1, sizeof(*cache));

        if (!cache)
                return -ENOMEM;
        cache->bytes = (size_t)max * sizeof(struct syn_entry);
        cache->entries = pages_take(cache->bytes);
        if (!cache->entries) {
                free(cache);
                return -ENOMEM;
        }
        cache->max = max;
        cache->free = ILIST_NONE;
        for (unsigned i = 0; i < TCP_SYNACK_TRIES; i++)
                ilist_init(&cache->wait[i], &cache->entries[0].node, sizeof(struct syn_entry));
        tcp->syncache = cache;
        return 0;
}

void syncache_free(struct tcp *tcp)
{
        if (!tcp->syncache)
                return;
        pages_give(tcp->syncache->entries, tcp->syncache->bytes);
        free(tcp->syncache);
        tcp->syncache = NULL;
}

uint32_t syncache_len(const struct tcp *tcp)
{
        return tcp->syncache->used;
}

const struct tcp_tuple *syncache_tuple(const struct tcp *tcp, uint32_t index)
{
        return &tcp->syncache->entries[index].tuple;
}

void syncache_prefetch(const struct tcp *tcp, uint32_t index)
{
        __builtin_prefetch(&tcp->syncache->entries[index]);
}

uint32_t tcp_timestamp_offset(const struct tcp *tcp, const struct tcp_tuple *tuple)
{
        return (uint32_t)(siphash(&tcp->isn_key, tuple, sizeof(*tuple)) >> 32);
}

/* --- entries -------------------------------------------------------------------------------------------- */

static void remove_entry(struct tcp *tcp, uint32_t index)
{
        struct syncache *cache = tcp->syncache;
        struct syn_entry *entry = &cache->entries[index];

        table_remove(&tcp->table, tcp_tuple_hash(tcp, &entry->tuple), tcp_value(TCP_KIND_SYN, index));
        ilist_remove(&cache->wait[entry->tries - 1], index);
        entry->node.next = cache->free;
        cache->free = index;
        cache->used--;
        counter_set(tcp->counters, COUNTER_tcp_half_open, cache->used);
}

/* Into the list of entries that wait for an answer to their tries-th SYN-ACK: each list is in order of due time. */
static void wait_for_answer(struct tcp *tcp, uint32_t index)
{
        struct syn_entry *entry = &tcp->syncache->entries[index];

        entry->due_ms = (uint32_t)tcp->now_ms + (TCP_SYNACK_MS << (entry->tries - 1));
        ilist_push(&tcp->syncache->wait[entry->tries - 1], index);
}

/* A copy of *entry in the cache. Returns false when the cache or the table has no room. */
static bool add_entry(struct tcp *tcp, uint64_t hash, const struct syn_entry *entry)
{
        struct syncache *cache = tcp->syncache;
        bool reused = cache->free != ILIST_NONE;
        uint32_t index = reused ? cache->free : cache->fresh;

        if (!reused && cache->fresh >= cache->max)
                return false;
        if (!table_add(&tcp->table, hash, tcp_value(TCP_KIND_SYN, index)))
                return false;
        if (reused)
                cache->free = cache->entries[index].node.next;
        else
                cache->fresh++;
        cache->entries[index] = *entry;
        cache->used++;
        counter_set(tcp->counters, COUNTER_tcp_half_open, cache->used);
        wait_for_answer(tcp, index);
        return true;
}

/*
 * Its lowest bit says whether ECN was agreed on: it comes back with the last ACK of the handshake, where only a cookie
 * carries the connection. No more than TIMESTAMP_AHEAD before the clock, which the connection's is as well; and later
 * without ECN than with it, which may be taken back but not given: so no timestamp is before the last one.
 */
static uint32_t timestamp_of(const struct tcp *tcp, const struct syn_entry *entry)
{
        uint32_t odd = ((uint32_t)tcp->now_ms + tcp_timestamp_offset(tcp, &entry->tuple)) | 1;

        return entry->flags & SYN_ECN ? odd : odd + 1;
}

static bool is_ecn_setup(const struct tcp *tcp, const struct tcp_header *header)
{
        return !tcp->set.no_ecn && (header->flags & (TCP_FLAG_ECE | TCP_FLAG_CWR)) == (TCP_FLAG_ECE | TCP_FLAG_CWR);
}

static void send_synack(struct tcp *tcp, const struct syn_entry *entry, struct packet *reuse)
{
        struct tcp_header header = {
                .seq = entry->iss,
                .ack = entry->irs + 1,
                .flags = TCP_FLAG_SYN | TCP_FLAG_ACK | (entry->flags & SYN_ECN ? TCP_FLAG_ECE : 0),
                .window = (uint16_t)MIN(tcp->set.window_bytes, UINT16_MAX), /* not scaled (RFC 7323 2.2) */
                .mss = output_mss_option(tcp, &entry->tuple.remote),
                .has_scale = entry->scale != SYN_NO_SCALE,
                .scale = tcp->recv_scale,
                .has_sack_permitted = entry->flags & SYN_SACK,
                .has_timestamp = entry->flags & SYN_TIMESTAMPS,
                .ts_echo = entry->ts_recent,
        };

        if (header.has_timestamp)
                header.ts_value = timestamp_of(tcp, entry);
        output_control(tcp, reuse, &entry->tuple, &header);
}

uint64_t syncache_due_ms(const struct tcp *tcp)
{
        const struct syncache *cache = tcp->syncache;
        uint64_t due_ms = UINT64_MAX;

        for (unsigned i = 0; i < TCP_SYNACK_TRIES; i++) {
                uint64_t at_ms;

                if (cache->wait[i].head == ILIST_NONE)
                        continue;
                at_ms = tcp->now_ms + (uint64_t)(int64_t)(int32_t)(cache->entries[cache->wait[i].head].due_ms -
                                                                   (uint32_t)tcp->now_ms);
                due_ms = MIN(due_ms, at_ms);
        }
        return due_ms;
}

unsigned syncache_tick(struct tcp *tcp, unsigned max)
{
        struct syncache *cache = tcp->syncache;
        unsigned done = 0;

        for (unsigned i = 0; i < TCP_SYNACK_TRIES; i++) {
                while (done < max && cache->wait[i].head != ILIST_NONE) {
                        uint32_t index = cache->wait[i].head;
                        struct syn_entry *entry = &cache->entries[index];
                        unsigned tries_max = cache->used > cache->max / 2 ? TCP_SYNACK_TRIES_FULL : TCP_SYNACK_TRIES;

                        if (SEQ_AFTER(entry->due_ms, (uint32_t)tcp->now_ms))
                                break;
                        done++;
                        if (entry->tries >= tries_max) {
                                tcp_count(tcp, COUNTER_tcp_half_open_expired);
                                remove_entry(tcp, index);
                                continue;
                        }
                        ilist_remove(&cache->wait[i], index);
                        entry->tries++;
                        wait_for_answer(tcp, index);
                        send_synack(tcp, entry, NULL);
                        tcp_count(tcp, COUNTER_tcp_synack_again);
                }
        }
        return done;
}

/* --- SYN ------------------------------------------------------------------------------------------------ */

static const struct tcp_listener *find_listener(const struct tcp *tcp, const struct tcp_tuple *tuple)
{
        static const struct addr any;

        for (uint32_t i = 0; i < tcp->listeners_len; i++) {
                const struct tcp_listener *listener = &tcp->listeners[i];

                if (listener->port == tuple->local_port &&
                    (addr_is_equal(&listener->addr, &tuple->local) || addr_is_equal(&listener->addr, &any)))
                        return listener;
        }
        return NULL;
}

bool listen_is_there(const struct tcp *tcp, const struct tcp_tuple *tuple)
{
        return find_listener(tcp, tuple) != NULL;
}

static uint16_t mss_of(const struct tcp_header *header, const struct addr *remote)
{
        bool v4 = addr_is_v4(remote);
        uint16_t mss = header->mss ? header->mss : v4 ? TCP_MSS_DEFAULT_V4 : TCP_MSS_DEFAULT_V6;

        return MAX(mss, v4 ? TCP_MSS_MIN_V4 : TCP_MSS_MIN_V6);
}

static void syn_input(struct tcp *tcp, struct tcp_segment *segment, const uint32_t *iss_after)
{
        const struct tcp_header *header = &segment->header;
        struct syn_entry entry = {
                .tuple = segment->tuple,
                .irs = header->seq,
                .ts_recent = header->ts_value,
                .mss = mss_of(header, &segment->tuple.remote),
                .scale = header->has_scale ? header->scale : SYN_NO_SCALE,
                .flags = (header->has_timestamp ? SYN_TIMESTAMPS : 0) | (header->has_sack_permitted ? SYN_SACK : 0) |
                         (is_ecn_setup(tcp, header) ? SYN_ECN : 0),
                .tries = 1,
        };
        struct cookie_options options = {
                .mss = entry.mss,
                .has_scale = header->has_scale,
                .scale = header->scale,
                .has_sack = header->has_sack_permitted,
        };

        tcp_count(tcp, COUNTER_tcp_syns_in);
        /* After a TIME-WAIT the ISN goes on from there instead; then only an entry can carry the connection. */
        entry.iss = cookie_build(&tcp->cookie_key, &entry.tuple, entry.irs, &options, tcp->now_ms);
        if (iss_after)
                entry.iss = *iss_after + 0x10000 + (entry.iss >> 12);
        if (!add_entry(tcp, segment->hash, &entry)) {
                if (iss_after)
                        entry.iss = cookie_build(&tcp->cookie_key, &entry.tuple, entry.irs, &options, tcp->now_ms);
                if (!header->has_timestamp)
                        entry.flags &= SYN_TIMESTAMPS | SYN_SACK; /* nothing would bring the bit back */
                tcp->syncache->cookie_ms = MAX(tcp->now_ms, 1u);
                tcp_count(tcp, COUNTER_tcp_cookies_sent);
        }
        send_synack(tcp, &entry, segment->packet);
        segment->packet = NULL;
}

/* --- the handshake is complete -------------------------------------------------------------------------- */

static struct tcp_conn *establish(struct tcp *tcp, const struct tcp_segment *segment, const struct syn_entry *entry)
{
        const struct tcp_listener *listener = find_listener(tcp, &entry->tuple);
        const struct tcp_header *header = &segment->header;
        struct tcp_conn *conn = listener ? conn_new(tcp, &entry->tuple, segment->hash) : NULL;

        if (!conn) {
                tcp_count(tcp, COUNTER_tcp_connections_full);
                return NULL;
        }
        conn->listener_id = listener->id;
        conn->iss = entry->iss;
        conn->snd_una = conn->snd_nxt = conn->snd_max = conn->snd_end = entry->iss + 1;
        conn->rcv_first = conn->rcv_nxt = conn->last_ack = entry->irs + 1;
        conn->rcv_adv = conn->rcv_nxt + MIN(tcp->set.window_bytes, UINT16_MAX);
        if (entry->scale != SYN_NO_SCALE) {
                conn->flags |= CONN_SCALE;
                conn->snd_scale = entry->scale;
        }
        if (entry->flags & SYN_SACK)
                conn->flags |= CONN_SACK;
        if (entry->flags & SYN_ECN)
                conn->flags |= CONN_ECN;
        if (entry->flags & SYN_TIMESTAMPS) {
                conn->flags |= CONN_TIMESTAMPS;
                conn->ts_recent = entry->ts_recent;
        }
        conn->ts_offset = tcp_timestamp_offset(tcp, &entry->tuple) + TIMESTAMP_AHEAD;
        conn->mss = entry->mss;
        conn->snd_wnd = (uint32_t)header->window << conn->snd_scale;
        conn->snd_wl1 = header->seq;
        conn_state_set(conn, TCP_ST_ESTABLISHED);
        input_established(tcp, conn, entry->tries > 1);
        tcp_count(tcp, COUNTER_tcp_accepted);
        conn_event(tcp, conn, TCP_EV_OPENED);
        return conn;
}

/* An ACK to a listener: the answer to a cookie, if one went out lately (else a guess has no chance at all). */
static struct tcp_conn *cookie_input(struct tcp *tcp, struct tcp_segment *segment)
{
        const struct tcp_header *header = &segment->header;
        struct cookie_options options;
        struct syn_entry entry = { .tuple = segment->tuple, .irs = header->seq - 1, .iss = header->ack - 1, .tries = 1 };
        struct tcp_conn *conn;

        if (!tcp->syncache->cookie_ms || tcp->now_ms - tcp->syncache->cookie_ms > 2 * TCP_COOKIE_EPOCH_MS)
                return NULL;
        if (!cookie_check(&tcp->cookie_key, &entry.tuple, entry.irs, entry.iss, tcp->now_ms, &options)) {
                tcp_count(tcp, COUNTER_tcp_cookies_bad);
                return NULL;
        }
        entry.mss = addr_is_v4(&entry.tuple.remote) ? options.mss : MAX(options.mss, TCP_MSS_MIN_V6);
        entry.scale = options.has_scale ? options.scale : SYN_NO_SCALE;
        entry.flags = (options.has_sack ? SYN_SACK : 0) | (header->has_timestamp ? SYN_TIMESTAMPS : 0);
        if (header->has_timestamp && header->ts_echo & 1 && !tcp->set.no_ecn)
                entry.flags |= SYN_ECN;
        entry.ts_recent = header->ts_value;
        conn = establish(tcp, segment, &entry);
        if (!conn)
                return NULL;
        conn->flags |= CONN_COOKIE;
        tcp_count(tcp, COUNTER_tcp_cookies_accepted);
        return conn;
}

struct tcp_conn *listen_input(struct tcp *tcp, struct tcp_segment *segment, const uint32_t *iss_after)
{
        uint8_t flags = segment->header.flags & (TCP_FLAG_SYN | TCP_FLAG_ACK | TCP_FLAG_RST | TCP_FLAG_FIN);
        struct tcp_conn *conn;

        if (!find_listener(tcp, &segment->tuple)) {
                output_refuse(tcp, segment);
                return NULL;
        }
        if (flags == TCP_FLAG_SYN) {
                syn_input(tcp, segment, iss_after);
                return NULL;
        }
        if (!(flags & (TCP_FLAG_SYN | TCP_FLAG_RST)) && flags & TCP_FLAG_ACK) {
                conn = cookie_input(tcp, segment);
                if (conn)
                        return conn;
        }
        /* Without ACK, SYN and RST there is nothing to answer (RFC 9293 3.10.7.2). */
        if (flags & TCP_FLAG_ACK) {
                output_refuse(tcp, segment);
        } else {
                packet_free(segment->packet);
                segment->packet = NULL;
        }
        return NULL;
}

static void drop(struct tcp_segment *segment)
{
        packet_free(segment->packet);
        segment->packet = NULL;
}

/* How far the peer has been allowed to send by our SYN-ACK. */
static uint32_t entry_window(const struct tcp *tcp)
{
        return MIN(tcp->set.window_bytes, UINT16_MAX);
}

/*
 * Where we stand, to a segment that cannot be the peer's next one (RFC 9293 3.10.7.4 first, RFC 5961 3.2). One for
 * one, so no amplifier; and within the limit for strays, since no connection bounds it.
 */
static void tell_where(struct tcp *tcp, const struct syn_entry *entry, struct tcp_segment *segment)
{
        unsigned shift = entry->scale == SYN_NO_SCALE ? 0 : tcp->recv_scale;
        struct tcp_header header = {
                .seq = entry->iss + 1,
                .ack = entry->irs + 1,
                .flags = TCP_FLAG_ACK,
                .window = (uint16_t)((entry_window(tcp) + (1u << shift) - 1) >> shift),
                .has_timestamp = entry->flags & SYN_TIMESTAMPS,
                .ts_echo = entry->ts_recent,
        };

        if (!output_may_stray(tcp)) {
                drop(segment);
                return;
        }
        if (header.has_timestamp)
                header.ts_value = timestamp_of(tcp, entry);
        output_control(tcp, segment->packet, &entry->tuple, &header);
        segment->packet = NULL;
}

/* RFC 9293 3.10.7.4, first, and PAWS (RFC 7323 5.3 R1). */
static bool is_acceptable(const struct tcp *tcp, const struct syn_entry *entry, const struct tcp_segment *segment)
{
        const struct tcp_header *header = &segment->header;
        uint32_t next = entry->irs + 1, edge = next + entry_window(tcp);
        uint32_t len = segment->len + !!(header->flags & TCP_FLAG_FIN);

        if (entry->flags & SYN_TIMESTAMPS && header->has_timestamp && SEQ_BEFORE(header->ts_value, entry->ts_recent))
                return false;
        if (len == 0)
                return SEQ_AFTER_EQ(header->seq, next) && SEQ_BEFORE_EQ(header->seq, edge);
        return SEQ_BEFORE(header->seq, edge) && SEQ_AFTER(header->seq + len, next);
}

static void entry_reset(struct tcp *tcp, uint32_t index, struct tcp_segment *segment)
{
        const struct syn_entry *entry = &tcp->syncache->entries[index];
        uint32_t ahead = segment->header.seq - (entry->irs + 1);

        if (ahead > 0 && ahead <= entry_window(tcp)) {
                tell_where(tcp, entry, segment);
                return;
        }
        if (ahead == 0)
                remove_entry(tcp, index);
        drop(segment);
}

struct tcp_conn *syncache_input(struct tcp *tcp, uint32_t index, struct tcp_segment *segment)
{
        struct syn_entry *entry = &tcp->syncache->entries[index];
        const struct tcp_header *header = &segment->header;
        struct tcp_conn *conn;

        if (header->flags & TCP_FLAG_RST) {
                entry_reset(tcp, index, segment);
                return NULL;
        }
        if (header->flags & TCP_FLAG_SYN) {
                if (header->flags & (TCP_FLAG_ACK | TCP_FLAG_FIN)) {
                        drop(segment);
                } else if (header->seq == entry->irs) {
                        /* Our SYN-ACK was lost, or is late. A client that tries without ECN means it (RFC 3168 6.1.1). */
                        if (!is_ecn_setup(tcp, header))
                                entry->flags &= SYN_TIMESTAMPS | SYN_SACK;
                        send_synack(tcp, entry, segment->packet);
                        segment->packet = NULL;
                } else {
                        /* The client began again with the same port. */
                        remove_entry(tcp, index);
                        return listen_input(tcp, segment, NULL);
                }
                return NULL;
        }
        if (!(header->flags & TCP_FLAG_ACK) || (entry->flags & SYN_TIMESTAMPS && !header->has_timestamp)) {
                drop(segment);
                return NULL;
        }
        if (!is_acceptable(tcp, entry, segment)) {
                tell_where(tcp, entry, segment);
                return NULL;
        }
        if (header->ack != entry->iss + 1) {
                output_refuse(tcp, segment);
                return NULL;
        }
        /* Without a free connection the entry stays: the client will try again while it waits. */
        conn = establish(tcp, segment, entry);
        if (conn)
                remove_entry(tcp, index);
        else
                drop(segment);
        return conn;
}

/* --- listeners ------------------------------------------------------------------------------------------ */

static struct tcp_listener *same_listener(struct tcp *tcp, const struct addr *addr, uint16_t port)
{
        for (uint32_t i = 0; i < tcp->listeners_len; i++)
                if (tcp->listeners[i].port == port && addr_is_equal(&tcp->listeners[i].addr, addr))
                        return &tcp->listeners[i];
        return NULL;
}

int tcp_listen(struct tcp *tcp, const struct addr *addr, uint16_t port, uint32_t listener_id)
{
        if (same_listener(tcp, addr, port))
                return -EADDRINUSE;
        if (tcp->listeners_len == TCP_LISTENERS_MAX)
                return -ENOSPC;
        tcp->listeners[tcp->listeners_len++] = (struct tcp_listener){ *addr, port, listener_id };
        return 0;
}

int tcp_unlisten(struct tcp *tcp, const struct addr *addr, uint16_t port)
{
        struct tcp_listener *listener = same_listener(tcp, addr, port);

        if (!listener)
                return -ENOENT;
        *listener = tcp->listeners[--tcp->listeners_len];
        return 0;
}
