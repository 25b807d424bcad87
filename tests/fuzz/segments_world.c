/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/segments.h"

#include <stdio.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_mempool.h>

#include "dataplane/port/pool.h"
#include "tests/sim/check.h"

#define DRAIN_MAX 20000u

static struct rte_mempool *pool;

static void start_eal(void)
{
        char *argv[] = { "fuzz", "--no-huge", "--no-shconf",   "-m", "64", "--no-pci", "--no-telemetry",
                         "-l",   "0",         "--log-level=4", NULL };

        if (pool)
                return;
        BUG_ON(rte_eal_init((int)ARRAY_LEN(argv) - 1, argv) < 0);
        pool = pool_new("fuzz", 8191, 2048, -1);
        BUG_ON(!pool);
}

/* The byte of a peer at a sequence number, and ours at an offset of the connection. */
static uint8_t their_byte(uint32_t seq)
{
        return (uint8_t)(seq * 2654435761u >> 23);
}

static uint8_t our_byte(uint32_t at)
{
        return (uint8_t)(at * 2246822519u >> 21);
}

struct tcp_conn *fuzz_conn(const struct fuzz *fuzz, const struct peer *peer)
{
        return peer->is_open ? conn_lookup(fuzz->tcp, peer->conn) : NULL;
}

/* The owner of a peer's connection is known by its number and one. */
static uint64_t owner_of(const struct fuzz *fuzz, const struct peer *peer)
{
        return (uint64_t)(peer - fuzz->peer) + 1;
}

void fuzz_connect(struct fuzz *fuzz)
{
        struct peer *peer = &fuzz->peer[PEER_SERVER];

        if (peer->is_open || tcp_connect(fuzz->tcp, &fuzz->ours, peer->our_port, &fuzz->theirs, peer->port,
                                         owner_of(fuzz, peer), fuzz->now_us, &peer->conn) < 0)
                return;
        peer->is_open = true;
        peer->is_moved = false;
        peer->read = peer->written = 0;
}

void fuzz_start(struct fuzz *fuzz, unsigned setup)
{
        struct tcp_settings settings = {
                .counters = fuzz->counters,
                .secret = { 1, 2, 3 },
                .connections_max = CONNECTIONS_MAX,
                .syncache_max = setup & SETUP_COOKIES ? 1 : 4,
                .timewait_max = setup & SETUP_TIMEWAIT1 ? 1 : 4,
                .packets_held_max = setup & SETUP_FEW ? 12 : 512,
                .window_bytes = setup & SETUP_SMALL ? 1000 : 20000,
                .window_max_bytes = 256 << 10,
                .send_bytes_max = 32 << 10,
                .keepalive_us = setup & SETUP_KEEPALIVE ? 20000000 : 0,
                .linear_only = setup & SETUP_LINEAR,
        };
        struct addr any = { { 0 } };

        start_eal();
        memset(fuzz, 0, sizeof(*fuzz));
        settings.pool = pool;
        BUG_ON(addr_parse(setup & SETUP_V6 ? "2001:2::25" : "198.18.0.25", &fuzz->ours) < 0);
        BUG_ON(addr_parse(setup & SETUP_V6 ? "2001:2::1" : "198.18.0.1", &fuzz->theirs) < 0);
        fuzz->now_us = 1000000;
        fuzz->tcp = tcp_new(&settings);
        BUG_ON(!fuzz->tcp || tcp_listen(fuzz->tcp, &any, 25, LISTENER_ID) < 0);
        tcp_tick(fuzz->tcp, fuzz->now_us);
        /* Those of the first two wrap soon. */
        fuzz->peer[PEER_CLIENT] = (struct peer){ .port = 40000, .our_port = 25, .snd = 0xfffffc00, .ts = 0xfffffff0 };
        fuzz->peer[PEER_SERVER] = (struct peer){ .port = 2525, .our_port = 50000, .snd = 0xffff8000, .ts = 7 };
        fuzz->peer[PEER_CLIENT2] = (struct peer){ .port = 40001, .our_port = 25, .snd = 0x1000, .ts = 0x7fffff00 };
        fuzz_connect(fuzz);
        BUG_ON(!fuzz->peer[PEER_SERVER].is_open);
}

struct packet *fuzz_packet(struct fuzz *fuzz, const uint8_t *header_bytes, uint32_t header_len, uint32_t payload_len)
{
        struct packet *packet = packet_new(pool);
        uint8_t *bytes = packet ? packet_append(packet, (uint16_t)(header_len + payload_len)) : NULL;
        struct tcp_header header;

        BUG_ON(!bytes);
        memcpy(bytes, header_bytes, header_len);
        memset(bytes + header_len, 0, payload_len);
        if (tcp_header_parse(bytes, header_len + payload_len, &header) == TCP_PARSE_OK) {
                uint32_t seq = header.seq + (header.flags & TCP_FLAG_SYN ? 1 : 0);

                for (uint32_t i = header.header_len; i < header_len + payload_len; i++)
                        bytes[i] = their_byte(seq + i - header.header_len);
        }
        packet_meta(packet)->src = fuzz->theirs;
        packet_meta(packet)->dst = fuzz->ours;
        return packet;
}

/* --- what comes out ------------------------------------------------------------------------------------------------- */

/* The peer's own picture of the connection, from what the endpoint tells it. */
static void note_segment(struct peer *peer, const struct tcp_header *header, uint32_t len)
{
        if (header->flags & TCP_FLAG_RST)
                return;
        if (header->flags & TCP_FLAG_ACK && SEQ_AFTER(header->ack, peer->snd))
                peer->snd = header->ack;
        if (header->flags & TCP_FLAG_SYN) {
                peer->rcv = header->seq + 1;
                receiver_start(&peer->receiver, peer->rcv);
        } else {
                receiver_expect(&peer->receiver, header->seq, header->seq + len + !!(header->flags & TCP_FLAG_FIN));
        }
        peer->ts_echo = header->ts_value;
}

static void check_payload(const struct tcp_conn *conn, const struct peer *peer, uint32_t seq, const uint8_t *bytes,
                          uint32_t len)
{
        for (uint32_t i = 0; i < len; i++) {
                uint32_t at = seq - (conn->iss + 1) + i;

                BUG_ON(at < peer->written && bytes[i] != our_byte(at));
                /* A keepalive probe has a byte before the window, or none. */
                BUG_ON(at >= peer->written && at != UINT32_MAX);
        }
}

static void take_packet(struct fuzz *fuzz, struct packet *packet)
{
        uint8_t bytes[4096];
        struct tcp_header header;
        uint32_t len = packet_total_len(packet);
        uint64_t sum = tcp_sum_pseudo(&packet_meta(packet)->src, &packet_meta(packet)->dst, len);
        const uint8_t *flat = rte_pktmbuf_read(&packet->mbuf, 0, len, bytes);

        BUG_ON(len > 1500 || !flat);
        BUG_ON(tcp_sum_fold(tcp_sum_add(sum, flat, len, false)) != 0xffff);
        BUG_ON(tcp_header_parse(flat, len, &header) != TCP_PARSE_OK);
        BUG_ON(!addr_is_equal(&packet_meta(packet)->src, &fuzz->ours));
        for (unsigned i = 0; i < PEERS; i++) {
                struct peer *peer = &fuzz->peer[i];
                const struct tcp_conn *conn = fuzz_conn(fuzz, peer);

                if (header.src_port != peer->our_port || header.dst_port != peer->port)
                        continue;
                note_segment(peer, &header, len - header.header_len);
                if (conn && !peer->is_moved && conn->state != TCP_ST_CLOSED &&
                    !(header.flags & (TCP_FLAG_SYN | TCP_FLAG_RST)))
                        check_payload(conn, peer, header.seq, flat + header.header_len, len - header.header_len);
        }
        packet_free(packet);
}

void fuzz_read(struct fuzz *fuzz, struct peer *peer, uint32_t most)
{
        const uint8_t *bytes;
        uint32_t len;

        while (most > 0 && (bytes = tcp_recv_peek(fuzz->tcp, peer->conn, &len)) != NULL) {
                len = MIN(len, most);
                for (uint32_t i = 0; i < len; i++)
                        BUG_ON(bytes[i] != their_byte(peer->irs + 1 + peer->read + i));
                BUG_ON(tcp_recv_consume(fuzz->tcp, peer->conn, len) != len);
                peer->read += len;
                most -= len;
        }
}

void fuzz_write(struct fuzz *fuzz, struct peer *peer, uint32_t len)
{
        uint8_t bytes[8192];

        len = MIN(len, (uint32_t)sizeof(bytes));
        for (uint32_t i = 0; i < len; i++)
                bytes[i] = our_byte(peer->written + i);
        if (tcp_send_copy(fuzz->tcp, peer->conn, bytes, len))
                peer->written += len;
}

/* What the peer's SYN had, from where reading stands. */
static uint32_t irs_of(const struct fuzz *fuzz, struct tcp_handle handle)
{
        const struct tcp_conn *conn = conn_lookup(fuzz->tcp, handle);

        BUG_ON(!conn);
        return conn->rcv_nxt - (conn->flags & CONN_FIN_TAKEN ? 1 : 0) - tcp_recv_bytes(fuzz->tcp, handle) - 1;
}

/* Returns false when nobody wants it. */
static bool take_opened(struct fuzz *fuzz, const struct tcp_event *event)
{
        struct tcp_info info;
        struct peer *peer;

        BUG_ON(event->listener_id != LISTENER_ID || event->owner != 0 || !tcp_info(fuzz->tcp, event->conn, &info));
        peer = &fuzz->peer[info.remote_port == fuzz->peer[PEER_CLIENT2].port ? PEER_CLIENT2 : PEER_CLIENT];
        if (peer->is_open || info.remote_port != peer->port) {
                tcp_close(fuzz->tcp, event->conn);
                return false;
        }
        peer->conn = event->conn;
        peer->is_open = true;
        peer->is_moved = false;
        peer->read = peer->written = 0;
        peer->irs = irs_of(fuzz, event->conn);
        BUG_ON(!tcp_owner_set(fuzz->tcp, peer->conn, owner_of(fuzz, peer)));
        return true;
}

static void take_event(struct fuzz *fuzz, const struct tcp_event *event)
{
        struct peer *peer = NULL;

        if (event->bits & TCP_EV_OPENED && !take_opened(fuzz, event))
                return;
        for (unsigned i = 0; i < PEERS; i++)
                if (fuzz->peer[i].is_open && fuzz->peer[i].conn.index == event->conn.index &&
                    fuzz->peer[i].conn.generation == event->conn.generation)
                        peer = &fuzz->peer[i];
        BUG_ON(!peer || (event->owner != owner_of(fuzz, peer) && !(event->bits & TCP_EV_OPENED)));
        if (event->bits & TCP_EV_CONNECTED)
                peer->irs = irs_of(fuzz, event->conn);
        BUG_ON(event->bits & TCP_EV_EOF && tcp_recv_bytes(fuzz->tcp, peer->conn) > 0);
        if (event->bits & TCP_EV_FINAL) {
                fuzz_read(fuzz, peer, UINT32_MAX);
                peer->is_open = false;
        }
}

/* --- what must hold ------------------------------------------------------------------------------------------------- */

/* For whoever finds the input. */
static void print_connections(const struct fuzz *fuzz)
{
        for (uint32_t i = 0; i < fuzz->tcp->conns_fresh; i++) {
                const struct tcp_conn *c = &fuzz->tcp->conns[i];

                fprintf(stderr,
                        "%u: port %u state %u flags %05x timers %x una %u nxt %u max %u end %u wnd %u cwnd %u backoff %u"
                        " rcv_nxt %u rcv_adv %u recv %u reorder %u\n",
                        i, c->tuple.local_port, c->state, c->flags, c->timers, c->snd_una - c->iss, c->snd_nxt - c->iss,
                        c->snd_max - c->iss, c->snd_end - c->iss, c->snd_wnd, c->cwnd, c->backoff, c->rcv_nxt,
                        c->rcv_adv, c->flight->recv_bytes, c->flight->reorder_len);
        }
}

static void check(struct fuzz *fuzz, bool is_quiet)
{
        struct tcp_stats stats;
        const char *wrong = is_quiet ? sim_check(fuzz->tcp, false, NULL) : NULL;

        if (wrong) {
                fprintf(stderr, "%s\n", wrong);
                print_connections(fuzz);
                BUG_ON(wrong != NULL);
        }
        tcp_stats(fuzz->tcp, &stats);
        BUG_ON(stats.connections > CONNECTIONS_MAX || stats.syncache > 4 || stats.timewait > 4 ||
               stats.packets_held > 512 || stats.packets_ready > TCP_READY_MAX);
}

void fuzz_turn(struct fuzz *fuzz, bool with_output)
{
        struct packet *packets[8];
        struct tcp_event event;
        unsigned n;

        for (unsigned round = 0;; round++) {
                bool busy = false;

                BUG_ON(round > 1000);
                while (tcp_next_event(fuzz->tcp, &event)) {
                        take_event(fuzz, &event);
                        busy = true;
                }
                while (with_output && (n = tcp_output(fuzz->tcp, packets, 8, fuzz->now_us)) > 0) {
                        for (unsigned i = 0; i < n; i++)
                                take_packet(fuzz, packets[i]);
                        busy = true;
                }
                if (!busy)
                        break;
        }
        check(fuzz, with_output);
}

void fuzz_pass(struct fuzz *fuzz, uint64_t us)
{
        uint64_t end_us = fuzz->now_us + us;

        for (unsigned i = 0; i < 64; i++) {
                uint64_t due_us = tcp_next_due_us(fuzz->tcp);

                if (due_us > end_us)
                        break;
                fuzz->now_us = MAX(fuzz->now_us, due_us);
                tcp_tick(fuzz->tcp, fuzz->now_us);
                fuzz_turn(fuzz, true);
        }
        for (unsigned i = 0; i < PEERS; i++)
                fuzz->peer[i].ts += (uint32_t)(us / 1000);
        fuzz->now_us = MAX(fuzz->now_us, end_us);
        tcp_tick(fuzz->tcp, fuzz->now_us);
        fuzz_turn(fuzz, true);
}

void fuzz_drain(struct fuzz *fuzz)
{
        uint64_t end_us = fuzz->now_us + 1800000000ull;
        struct tcp_stats stats;

        for (unsigned i = 0; i < PEERS; i++)
                if (fuzz->peer[i].is_open) {
                        fuzz->peer[i].is_open = false;
                        tcp_close(fuzz->tcp, fuzz->peer[i].conn);
                }
        fuzz_turn(fuzz, true);
        for (unsigned i = 0; tcp_next_due_us(fuzz->tcp) != UINT64_MAX; i++) {
                BUG_ON(i > DRAIN_MAX || tcp_next_due_us(fuzz->tcp) > end_us);
                fuzz->now_us = MAX(fuzz->now_us, tcp_next_due_us(fuzz->tcp));
                tcp_tick(fuzz->tcp, fuzz->now_us);
                fuzz_turn(fuzz, true);
        }
        tcp_stats(fuzz->tcp, &stats);
        BUG_ON(stats.connections || stats.syncache || stats.timewait || stats.packets_held || stats.packets_ready);
        BUG_ON(rte_mempool_in_use_count(pool) != 0);
        tcp_free(fuzz->tcp);
        BUG_ON(rte_mempool_in_use_count(pool) != 0);
}
