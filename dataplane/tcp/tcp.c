/* SPDX-License-Identifier: Apache-2.0 */
/* The endpoint as a whole: its memory, the burst in passes, timers, events. */
#include "dataplane/tcp/tcp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/tcp/conn.h"
#include "dataplane/tcp/input.h"
#include "dataplane/shared/pages.h"
#include "dataplane/tcp/listen.h"
#include "dataplane/tcp/output.h"
#include "dataplane/tcp/path_mtu.h"
#include "dataplane/tcp/press.h"
#include "dataplane/tcp/rexmit.h"
#include "dataplane/tcp/timewait.h"

/* --- life ----------------------------------------------------------------------------------------------- */

static uint64_t or_default(uint64_t value, uint64_t by_default)
{
        return value ? value : by_default;
}

/* One entry for so many connections; as many as connections where that is little. */
static uint32_t share_of(uint32_t connections, uint32_t share)
{
        return MIN(connections, MAX(connections / share, TCP_SHARE_MIN));
}

static void fill_settings(struct tcp_settings *set)
{
        set->connections_max = (uint32_t)or_default(set->connections_max, 1024);
        set->syncache_max = (uint32_t)or_default(set->syncache_max, share_of(set->connections_max, TCP_SYNCACHE_SHARE));
        set->timewait_max = (uint32_t)or_default(set->timewait_max, share_of(set->connections_max, TCP_TIMEWAIT_SHARE));
        set->packets_held_max = (uint32_t)or_default(set->packets_held_max, 4096);
        set->mtu_v4 = (uint16_t)or_default(set->mtu_v4, 1500);
        set->mtu_v6 = (uint16_t)or_default(set->mtu_v6, 1500);
        set->window_bytes = (uint32_t)or_default(set->window_bytes, 8192);
        set->window_max_bytes = (uint32_t)or_default(set->window_max_bytes, 1 << 20);
        set->send_bytes_max = (uint32_t)or_default(set->send_bytes_max, 256 << 10);
        set->user_timeout_us = or_default(set->user_timeout_us, 300000000);
        set->zero_window_max_us = or_default(set->zero_window_max_us, 300000000);
        set->timewait_us = or_default(set->timewait_us, 60000000);
        set->drain_us = or_default(set->drain_us, 30000000);
}

/* A payload may always be copied into one packet: no segment is larger than that. */
static bool fit_settings(struct tcp_settings *set)
{
        uint32_t room = packet_pool_room(set->pool) - TCP_HEADER_MAX;

        set->mtu_v4 = (uint16_t)MIN(set->mtu_v4, room + TCP_IPV4_OVERHEAD);
        set->mtu_v6 = (uint16_t)MIN(set->mtu_v6, room + TCP_IPV6_OVERHEAD);
        return set->mtu_v4 >= TCP_PMTU_MIN_V4 && set->mtu_v6 >= TCP_PMTU_MIN_V6 && set->window_max_bytes <= 1u << 29 &&
               set->window_bytes <= set->window_max_bytes && set->send_bytes_max <= 1u << 29 &&
               set->connections_max <= TCP_INDEX_MAX && set->syncache_max <= TCP_INDEX_MAX &&
               set->timewait_max <= TCP_INDEX_MAX && set->packets_held_max >= 8 &&
               set->user_timeout_us / 1000 < INT32_MAX && set->zero_window_max_us / 1000 < INT32_MAX &&
               set->keepalive_us / 1000 < INT32_MAX / 2 && set->timewait_us / 1000 < INT32_MAX / 4 &&
               set->drain_us / 1000 < INT32_MAX / 2;
}

/* Three keys that do not follow from each other, from one secret. */
static void derive_keys(struct tcp *tcp)
{
        struct siphash_key *keys[] = { &tcp->table_key, &tcp->isn_key, &tcp->cookie_key };
        struct siphash_key halves[2];

        memcpy(halves, tcp->set.secret, sizeof(halves));
        for (unsigned i = 0; i < ARRAY_LEN(keys); i++) {
                keys[i]->word[0] = siphash(&halves[0], &i, sizeof(i));
                keys[i]->word[1] = siphash(&halves[1], &i, sizeof(i));
        }
}

struct tcp *tcp_new(const struct tcp_settings *settings)
{
        struct tcp *tcp = calloc(1, sizeof(*tcp));

        if (!tcp)
                return NULL;
        tcp->set = *settings;
        fill_settings(&tcp->set);
        if (!fit_settings(&tcp->set))
                goto fail;
        tcp->counters = settings->counters;
        derive_keys(tcp);
        while ((uint32_t)UINT16_MAX << tcp->recv_scale < tcp->set.window_max_bytes)
                tcp->recv_scale++;
        tcp->boards_max = tcp->set.connections_max / 8 + 64;
        tcp->conns = pages_take((size_t)tcp->set.connections_max * sizeof(struct tcp_conn));
        tcp->boards = pages_take((size_t)tcp->boards_max * sizeof(struct tcp_board));
        if (!tcp->conns || !tcp->boards || flight_pool_new(tcp, tcp->set.connections_max) < 0)
                goto fail;
        if (table_init(&tcp->table,
                       (uint64_t)tcp->set.connections_max + tcp->set.syncache_max + tcp->set.timewait_max) < 0)
                goto fail;
        if (syncache_new(tcp, tcp->set.syncache_max) < 0 || timewait_new(tcp, tcp->set.timewait_max) < 0 ||
            path_mtu_new(tcp) < 0)
                goto fail;
        tcp->conns_free = ILIST_NONE;
        tcp->boards_free = BOARD_NONE;
        tcp->last_told = ILIST_NONE;
        ilist_init(&tcp->events, &tcp->conns[0].on_events, sizeof(struct tcp_conn));
        ilist_init(&tcp->output, &tcp->conns[0].on_output, sizeof(struct tcp_conn));
        wheel_init(&tcp->wheel, &tcp->conns[0].wheel, sizeof(struct tcp_conn), 0);
        return tcp;
fail:
        tcp_free(tcp);
        return NULL;
}

void tcp_free(struct tcp *tcp)
{
        struct packet *packet;

        if (!tcp)
                return;
        for (uint32_t i = 0; tcp->conns && i < tcp->conns_fresh; i++)
                if (tcp->conns[i].generation & 1)
                        conn_free(tcp, &tcp->conns[i]);
        while ((packet = queue_pop(&tcp->ready)) != NULL)
                packet_free(packet);
        path_mtu_free(tcp);
        timewait_free(tcp);
        syncache_free(tcp);
        table_done(&tcp->table);
        flight_pool_free(tcp);
        pages_give(tcp->boards, (size_t)tcp->boards_max * sizeof(struct tcp_board));
        pages_give(tcp->conns, (size_t)tcp->set.connections_max * sizeof(struct tcp_conn));
        free(tcp);
}

/* --- segments ------------------------------------------------------------------------------------------- */

static void count_drop(struct tcp *tcp, enum tcp_parse verdict)
{
        static const enum counter counters[] = {
                [TCP_PARSE_TRUNCATED] = COUNTER_tcp_drop_truncated,
                [TCP_PARSE_BAD_OFFSET] = COUNTER_tcp_drop_offset,
                [TCP_PARSE_BAD_OPTION] = COUNTER_tcp_drop_option,
                [TCP_PARSE_BAD_PORT] = COUNTER_tcp_drop_port,
        };

        tcp_count(tcp, counters[verdict]);
}

/* First pass: the header read, the hash made, the bucket on its way into the cache. Returns false for a bad one. */
static bool read_segment(struct tcp *tcp, struct packet *packet, struct tcp_segment *segment)
{
        const struct packet_meta *meta = packet_meta(packet);
        enum tcp_parse verdict = TCP_PARSE_TRUNCATED;

        if (!packet_chained(packet) || packet_linearize(packet))
                verdict = tcp_header_parse(packet_data(packet), packet_len(packet), &segment->header);
        if (verdict != TCP_PARSE_OK) {
                count_drop(tcp, verdict);
                packet_free(packet);
                return false;
        }
        segment->tuple.remote = meta->src;
        segment->tuple.local = meta->dst;
        segment->tuple.remote_port = segment->header.src_port;
        segment->tuple.local_port = segment->header.dst_port;
        segment->hash = tcp_tuple_hash(tcp, &segment->tuple);
        segment->packet = packet;
        table_prefetch(&tcp->table, segment->hash);
        packet_pull(packet, segment->header.header_len);
        segment->len = packet_len(packet);
        return true;
}

/* Second pass: what the bucket points at. Returns the connection, or NULL when it is none or not known yet. */
static const struct tcp_conn *prefetch_owner(const struct tcp *tcp, const struct tcp_segment *segment)
{
        const struct tcp_conn *conn = NULL;
        struct table_walk walk;
        uint32_t value;

        table_walk_start(&tcp->table, segment->hash, &walk);
        while (table_walk_next(&tcp->table, &walk, &value)) {
                uint32_t index = value & TCP_INDEX_MASK;

                switch (value >> 30) {
                case TCP_KIND_CONN:
                        conn = &tcp->conns[index];
                        for (unsigned line = 0; line < sizeof(*conn) / 64; line++)
                                __builtin_prefetch((const uint8_t *)conn + 64 * line);
                        break;
                case TCP_KIND_SYN:
                        syncache_prefetch(tcp, index);
                        break;
                default:
                        timewait_prefetch(tcp, index);
                        break;
                }
        }
        return conn;
}

/* While the segment before it is worked on: what the connection, which has come by now, points at. */
static void prefetch_flight(const struct tcp_conn *conn)
{
        if (!conn)
                return;
        __builtin_prefetch(conn->flight);
        __builtin_prefetch((const uint8_t *)conn->flight + 64);
}

static const struct tcp_tuple *tuple_of(const struct tcp *tcp, enum tcp_kind kind, uint32_t index)
{
        switch (kind) {
        case TCP_KIND_CONN:
                return &tcp->conns[index].tuple;
        case TCP_KIND_SYN:
                return syncache_tuple(tcp, index);
        default:
                return timewait_tuple(tcp, index);
        }
}

enum tcp_kind tcp_find(const struct tcp *tcp, const struct tcp_tuple *tuple, uint64_t hash, uint32_t *ret_index)
{
        struct table_walk walk;
        uint32_t value;

        table_walk_start(&tcp->table, hash, &walk);
        while (table_walk_next(&tcp->table, &walk, &value)) {
                enum tcp_kind kind = value >> 30;
                uint32_t index = value & TCP_INDEX_MASK;

                if (memcmp(tuple_of(tcp, kind, index), tuple, sizeof(*tuple)) != 0)
                        continue;
                *ret_index = index;
                return kind;
        }
        return TCP_KIND_NONE;
}

static void take_segment(struct tcp *tcp, struct tcp_segment *segment)
{
        struct tcp_conn *conn = NULL;
        uint32_t index = 0, iss_after;

        switch (tcp_find(tcp, &segment->tuple, segment->hash, &index)) {
        case TCP_KIND_CONN:
                conn = &tcp->conns[index];
                break;
        case TCP_KIND_SYN:
                conn = syncache_input(tcp, index, segment);
                break;
        case TCP_KIND_TIMEWAIT:
                if (timewait_input(tcp, index, segment, &iss_after))
                        conn = listen_input(tcp, segment, &iss_after);
                break;
        case TCP_KIND_NONE:
                conn = listen_input(tcp, segment, NULL);
                break;
        }
        if (conn) {
                input_conn(tcp, conn, segment);
                flight_rest(tcp, conn);
        }
        BUG_ON_HOT(segment->packet);
}

void tcp_input(struct tcp *tcp, struct packet **packets, unsigned n, uint64_t now_us)
{
        struct tcp_segment segments[TCP_BURST];
        const struct tcp_conn *owners[TCP_BURST + 1] = { NULL };

        tcp_clock_set(tcp, now_us);
        counter_add(tcp->counters, COUNTER_tcp_segments_in, n);
        while (n > 0) {
                unsigned burst = MIN(n, TCP_BURST), good = 0;

                for (unsigned i = 0; i < burst; i++)
                        good += read_segment(tcp, packets[i], &segments[good]);
                for (unsigned i = 0; i < good; i++)
                        owners[i] = prefetch_owner(tcp, &segments[i]);
                owners[good] = NULL;
                for (unsigned i = 0; i < good; i++) {
                        prefetch_flight(owners[i + 1]);
                        take_segment(tcp, &segments[i]);
                }
                packets += burst;
                n -= burst;
        }
}

/* --- timers --------------------------------------------------------------------------------------------- */

/*
 * TIMER_LIFE of a connection that nobody owns: the peer has had its time to finish. In other states our bytes
 * are still on their way: the user timeout bounds that, and FIN-WAIT-2 sets this timer anew. Returns false
 * when it is over.
 */
static bool drain_expired(struct tcp *tcp, struct tcp_conn *conn)
{
        if (conn->state != TCP_ST_FIN_WAIT_2)
                return true;
        tcp_count(tcp, COUNTER_tcp_drain_resets);
        output_reset(tcp, conn);
        conn_over(tcp, conn, TCP_EV_TIMEOUT);
        return false;
}

/* TIMER_LIFE of an owned connection. Returns false when it is over. */
static bool keepalive_expired(struct tcp *tcp, struct tcp_conn *conn)
{
        uint32_t keepalive_ms = (uint32_t)(tcp->set.keepalive_us / 1000);
        uint32_t silent_ms = (uint32_t)tcp->now_ms - conn->recv_ms;

        if (!keepalive_ms || conn->state < TCP_ST_ESTABLISHED)
                return true;
        if (silent_ms >= keepalive_ms + TCP_KEEPALIVE_PROBES * TCP_KEEPALIVE_STEP_MS) {
                tcp_count(tcp, COUNTER_tcp_gave_up);
                output_reset(tcp, conn);
                conn_over(tcp, conn, TCP_EV_TIMEOUT);
                return false;
        }
        if (silent_ms < keepalive_ms) {
                conn_timer_set(tcp, conn, TIMER_LIFE, keepalive_ms - silent_ms);
                return true;
        }
        conn->flags |= CONN_ALIVE_NOW;
        conn_output_want(tcp, conn);
        conn_timer_set(tcp, conn, TIMER_LIFE, TCP_KEEPALIVE_STEP_MS);
        return true;
}

static void run_timers(struct tcp *tcp, struct tcp_conn *conn)
{
        unsigned due = conn_timers_due(tcp, conn);

        if (due & TIMER_ACK)
                conn_ack_now(tcp, conn);
        if (due & TIMER_LIFE &&
            !(conn->flags & CONN_ORPHAN ? drain_expired(tcp, conn) : keepalive_expired(tcp, conn)))
                return;
        if (due & TIMER_REXMIT)
                rexmit_timeout(tcp, conn);
}

void tcp_tick(struct tcp *tcp, uint64_t now_us)
{
        unsigned left = TCP_TICK_MAX;

        tcp_clock_set(tcp, now_us);
        path_mtu_tick(tcp);
        left -= syncache_tick(tcp, left / 2);
        left -= timewait_tick(tcp, left / 2);
        press_tick(tcp);
        while (left-- > 0) {
                uint32_t index = wheel_next(&tcp->wheel, tcp->now_ms);

                if (index == WHEEL_NONE)
                        break;
                run_timers(tcp, &tcp->conns[index]);
        }
}

uint64_t tcp_next_due_us(const struct tcp *tcp)
{
        uint64_t due_ms;

        if (tcp->ready.head || tcp->events.head != ILIST_NONE || tcp->last_told != ILIST_NONE)
                return tcp->now_us;
        /* Without packets to send with there is no hurry: the next timer, or a millisecond. */
        if (tcp->output.head != ILIST_NONE)
                return tcp->starved ? tcp->now_us + 1000 : tcp->now_us;
        due_ms = MIN(wheel_due_ms(&tcp->wheel), MIN(syncache_due_ms(tcp), timewait_due_ms(tcp)));
        due_ms = MIN(due_ms, press_due_ms(tcp));
        return due_ms == UINT64_MAX ? UINT64_MAX : MAX(due_ms * 1000, tcp->now_us);
}

/* --- events and figures --------------------------------------------------------------------------------- */

bool tcp_next_event(struct tcp *tcp, struct tcp_event *ret)
{
        struct tcp_conn *conn;
        uint32_t index;

        if (tcp->last_told != ILIST_NONE)
                conn_free(tcp, &tcp->conns[tcp->last_told]);
        index = tcp->events.head;
        if (index == ILIST_NONE)
                return false;
        conn = &tcp->conns[index];
        ilist_remove(&tcp->events, index);
        *ret = (struct tcp_event){
                .conn = { index, conn->generation },
                .owner = conn->owner,
                .bits = conn->events,
                .recv_bytes = conn->flight->recv_bytes,
        };
        conn->events = 0;
        if (ret->bits & TCP_EV_OPENED) {
                ret->listener_id = (uint32_t)conn->listener_id;
                ret->owner = conn->owner = 0;
        }
        if (ret->bits & TCP_EV_FINAL)
                tcp->last_told = index;
        return true;
}

unsigned tcp_coming_events(const struct tcp *tcp, struct tcp_coming *ret, unsigned max)
{
        uint32_t index = tcp->events.head;
        unsigned n = 0;

        for (; n < max && index != ILIST_NONE; n++) {
                const struct tcp_conn *conn = &tcp->conns[index];

                ret[n] = (struct tcp_coming){ conn->events & TCP_EV_OPENED ? 0 : conn->owner, conn->events,
                                              conn->tuple.remote };
                index = conn->on_events.next;
        }
        return n;
}

void tcp_stats(const struct tcp *tcp, struct tcp_stats *ret)
{
        *ret = (struct tcp_stats){
                .connections = tcp->conns_used,
                .syncache = syncache_len(tcp),
                .timewait = timewait_len(tcp),
                .packets_held = tcp->held,
                .flights = tcp->flights_used,
                .packets_ready = tcp->ready_len,
                .table_bytes = (tcp->table.mask + 1) * sizeof(struct table_bucket),
        };
}
