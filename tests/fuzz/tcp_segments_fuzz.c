/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of segments, of steps in time, of ICMP errors and of what owners do, against one endpoint that holds a
 * connection of a client (to port 25) and one to a server; the input plays both peers.
 *
 * The first byte says how the endpoint is set up (SETUP_*), the second how the peers shake hands (HANDS_*); then steps of
 * STEP_BYTES bytes each. Sequence and acknowledgement numbers of a step are relative to what the connection would
 * accept, so that small values are interesting ones. What a peer sends at one sequence number is always the same, so
 * what an owner reads is known whatever overlaps; and the same holds for what the endpoint sends.
 *
 * After each step the simulation's invariants are looked at. At the end the owners leave, the peers are silent, and
 * everything must end by its timers, without a packet left.
 */
#include <stdio.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_mempool.h>

#include "dataplane/port/pool.h"
#include "dataplane/tcp/conn.h"
#include "tests/sim/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define SETUP_COOKIES   0x01u /* a syncache of one entry */
#define SETUP_LINEAR    0x02u
#define SETUP_V6        0x04u
#define SETUP_KEEPALIVE 0x08u
#define SETUP_FEW       0x10u /* few packets may be held */
#define SETUP_SMALL     0x20u /* a small receive window */
#define SETUP_TIMEWAIT1 0x40u /* one place in TIME-WAIT */

#define HANDS_CLIENT    0x01u /* the client's handshake is done */
#define HANDS_SERVER    0x02u /* the server answers */
#define HANDS_TIMESTAMP 0x04u
#define HANDS_SACK      0x08u
#define HANDS_SCALE     0x10u

/* A step: kind and peer, then seven bytes that mean something to the kind. */
#define STEP_BYTES 8u
enum step_kind { STEP_SEGMENT, STEP_SACK, STEP_RAW, STEP_TIME, STEP_OWNER, STEP_ICMP, STEP_BURST, STEP_QUIET, STEP_KINDS };
#define STEP_PEER   0x08u /* the server's side */
#define STEP_NO_OUT 0x10u /* what the endpoint has to send stays where it is for now */
#define STEP_TS_OLD 0x20u /* the timestamp is before the last one */
#define STEP_TS_NO  0x40u /* none */
#define STEP_ALIEN  0x80u /* from another port */

#define STEPS_MAX 400u
#define DRAIN_MAX 20000u

/* One peer, and the owner of our side of its connection. */
struct peer {
        uint16_t port, our_port;
        struct tcp_handle conn;
        bool is_open, is_moved;  /* what was moved to it is not its owner's pattern */
        uint32_t read;           /* bytes its owner has read */
        uint32_t written;
        uint32_t irs;            /* the peer's first sequence number */
        uint32_t snd, rcv;       /* where the peer is when there is no connection to ask */
        uint32_t ts, ts_echo;
        uint8_t options;         /* HANDS_* that it uses */
};

struct fuzz {
        struct tcp *tcp;
        uint64_t now_us;
        struct addr ours, theirs;
        struct peer peer[2];
        uint64_t counters[COUNTER_USED];
};

static struct rte_mempool *pool;

static void start(void)
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

static struct tcp_conn *conn_of(const struct fuzz *fuzz, const struct peer *peer)
{
        return peer->is_open ? conn_lookup(fuzz->tcp, peer->conn) : NULL;
}

static void set_up(struct fuzz *fuzz, unsigned setup)
{
        struct tcp_settings settings = {
                .pool = pool,
                .counters = fuzz->counters,
                .secret = { 1, 2, 3 },
                .connections_max = 8,
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

        BUG_ON(addr_parse(setup & SETUP_V6 ? "2001:2::25" : "198.18.0.25", &fuzz->ours) < 0);
        BUG_ON(addr_parse(setup & SETUP_V6 ? "2001:2::1" : "198.18.0.1", &fuzz->theirs) < 0);
        fuzz->now_us = 1000000;
        fuzz->tcp = tcp_new(&settings);
        BUG_ON(!fuzz->tcp || tcp_listen(fuzz->tcp, &any, 25, 1) < 0);
        tcp_tick(fuzz->tcp, fuzz->now_us);
        /* Both wrap soon. */
        fuzz->peer[0] = (struct peer){ .port = 40000, .our_port = 25, .snd = 0xfffffc00, .ts = 0xfffffff0 };
        fuzz->peer[1] = (struct peer){ .port = 2525, .our_port = 50000, .snd = 0xffff8000, .ts = 7 };
        BUG_ON(tcp_connect(fuzz->tcp, &fuzz->ours, 50000, &fuzz->theirs, 2525, 1, fuzz->now_us, &fuzz->peer[1].conn) < 0);
        fuzz->peer[1].is_open = true;
}

/* --- what comes out ------------------------------------------------------------------------------------------------- */

static void take_packet(struct fuzz *fuzz, struct packet *packet)
{
        uint8_t bytes[4096];
        struct tcp_header header;
        uint32_t len = packet_total_len(packet);
        uint64_t sum = tcp_sum_pseudo(&packet_meta(packet)->src, &packet_meta(packet)->dst, len);
        struct peer *peer;
        const struct tcp_conn *conn;

        BUG_ON(len > 1500);
        BUG_ON(rte_pktmbuf_pkt_len(&packet->mbuf) != len);
        const uint8_t *flat = rte_pktmbuf_read(&packet->mbuf, 0, len, bytes);
        BUG_ON(!flat);
        BUG_ON(tcp_sum_fold(tcp_sum_add(sum, flat, len, false)) != 0xffff);
        BUG_ON(tcp_header_parse(flat, len, &header) != TCP_PARSE_OK);
        BUG_ON(!addr_is_equal(&packet_meta(packet)->src, &fuzz->ours));
        peer = &fuzz->peer[header.src_port == 50000];
        if (header.src_port == peer->our_port && header.dst_port == peer->port && !(header.flags & TCP_FLAG_RST)) {
                if (header.flags & TCP_FLAG_ACK && SEQ_AFTER(header.ack, peer->snd))
                        peer->snd = header.ack;
                if (header.flags & TCP_FLAG_SYN)
                        peer->rcv = header.seq + 1;
                peer->ts_echo = header.ts_value;
        }
        conn = conn_of(fuzz, peer);
        if (conn && !peer->is_moved && header.dst_port == peer->port && header.src_port == peer->our_port &&
            conn->state != TCP_ST_CLOSED && !(header.flags & (TCP_FLAG_SYN | TCP_FLAG_RST))) {
                /* A keepalive probe has a byte before the window, or none. */
                for (uint32_t i = header.header_len; i < len; i++) {
                        uint32_t at = header.seq - (conn->iss + 1) + (i - header.header_len);

                        BUG_ON(at < peer->written && flat[i] != our_byte(at));
                        BUG_ON(at >= peer->written && at != UINT32_MAX);
                }
        }
        packet_free(packet);
}

static void read_some(struct fuzz *fuzz, struct peer *peer, uint32_t most)
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

static void take_event(struct fuzz *fuzz, const struct tcp_event *event)
{
        struct peer *peer = &fuzz->peer[event->owner & 1];

        if (event->bits & TCP_EV_OPENED) {
                const struct tcp_conn *conn = conn_lookup(fuzz->tcp, event->conn);

                peer = &fuzz->peer[0];
                BUG_ON(event->listener_id != 1 || !conn);
                if (peer->is_open || conn->tuple.remote_port != peer->port) {
                        tcp_close(fuzz->tcp, event->conn);
                        return;
                }
                peer->conn = event->conn;
                peer->is_open = true;
                peer->is_moved = false;
                peer->read = peer->written = 0;
                peer->irs = conn->rcv_nxt - (conn->flags & CONN_FIN_TAKEN ? 1 : 0) - conn->flight->recv_bytes - 1;
                BUG_ON(!tcp_owner_set(fuzz->tcp, peer->conn, 2));
        }
        BUG_ON(!peer->is_open || event->conn.index != peer->conn.index || event->conn.generation != peer->conn.generation);
        if (event->bits & TCP_EV_CONNECTED) {
                const struct tcp_conn *conn = conn_lookup(fuzz->tcp, event->conn);

                peer->irs = conn->rcv_nxt - (conn->flags & CONN_FIN_TAKEN ? 1 : 0) - conn->flight->recv_bytes - 1;
        }
        BUG_ON(event->bits & TCP_EV_EOF && tcp_recv_bytes(fuzz->tcp, peer->conn) > 0);
        if (event->bits & TCP_EV_FINAL) {
                read_some(fuzz, peer, UINT32_MAX);
                peer->is_open = false;
        }
}

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
        BUG_ON(stats.connections > 8 || stats.syncache > 4 || stats.timewait > 4 || stats.packets_held > 512 ||
               stats.packets_ready > TCP_READY_MAX);
}

/* Events to their owners, and, unless it shall stay, output to the peers. */
static void turn(struct fuzz *fuzz, bool with_output)
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

/* --- what goes in --------------------------------------------------------------------------------------------------- */

/* The bytes of a segment in a packet of their own; a payload where the header is sound is the peer's pattern. */
static struct packet *segment(struct fuzz *fuzz, const uint8_t *header_bytes, uint32_t header_len, uint32_t payload_len)
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

static struct packet *built(struct fuzz *fuzz, const struct tcp_header *header, uint32_t payload_len)
{
        uint8_t bytes[TCP_HEADER_MAX];
        uint8_t len = tcp_header_build(header, bytes);

        return segment(fuzz, bytes, len, payload_len);
}

static void input(struct fuzz *fuzz, struct packet *packet)
{
        tcp_input(fuzz->tcp, &packet, 1, fuzz->now_us);
}

/* What a well-behaved peer would send next. */
static struct tcp_header next_header(struct fuzz *fuzz, struct peer *peer)
{
        const struct tcp_conn *conn = conn_of(fuzz, peer);
        struct tcp_header header = {
                .src_port = peer->port, .dst_port = peer->our_port, .seq = peer->snd, .ack = peer->rcv,
                .window = 20000, .flags = TCP_FLAG_ACK,
                .has_timestamp = peer->options & HANDS_TIMESTAMP, .ts_value = peer->ts, .ts_echo = peer->ts_echo,
        };

        if (conn && conn->state != TCP_ST_CLOSED) {
                header.ack = conn->snd_max;
                if (conn_is_synchronized(conn))
                        header.seq = conn->rcv_nxt;
        }
        return header;
}

static void shake(struct fuzz *fuzz, struct peer *peer, unsigned hands)
{
        struct tcp_header header;

        peer->options = (uint8_t)hands;
        header = next_header(fuzz, peer);
        header.flags = peer == &fuzz->peer[0] ? TCP_FLAG_SYN : TCP_FLAG_SYN | TCP_FLAG_ACK;
        header.mss = 1460;
        header.has_sack_permitted = hands & HANDS_SACK;
        header.has_scale = hands & HANDS_SCALE;
        header.scale = 3;
        input(fuzz, built(fuzz, &header, 0));
        turn(fuzz, true);
        if (peer == &fuzz->peer[1])
                return;
        header = next_header(fuzz, peer);
        input(fuzz, built(fuzz, &header, 0));
        turn(fuzz, true);
}

static uint32_t relative(uint8_t high, uint8_t low)
{
        return (uint32_t)(int32_t)(int16_t)(high << 8 | low);
}

/* Bytes: flags, sequence (2), acknowledgement (2), window, payload. */
static struct packet *step_segment(struct fuzz *fuzz, struct peer *peer, const uint8_t *step)
{
        struct tcp_header header = next_header(fuzz, peer);
        uint32_t payload_len = step[7] < 250 ? step[7] * 6u : 0;

        header.flags = step[1] & 0x3f;
        header.seq += relative(step[2], step[3]);
        header.ack += relative(step[4], step[5]);
        header.window = (uint16_t)(step[6] * step[6]);
        if (step[0] & STEP_ALIEN)
                header.src_port++;
        if (step[0] & STEP_TS_NO)
                header.has_timestamp = !header.has_timestamp;
        if (step[0] & STEP_TS_OLD)
                header.ts_value -= 1000;
        if (header.flags & TCP_FLAG_SYN) {
                header.mss = (uint16_t)(step[7] * 8);
                header.has_sack_permitted = peer->options & HANDS_SACK;
                header.has_scale = peer->options & HANDS_SCALE;
                header.scale = step[7] & 15;
        }
        return built(fuzz, &header, payload_len);
}

/* Bytes: acknowledgement (2), then beginnings and lengths of two blocks, in steps of 200 bytes. */
static struct packet *step_sack(struct fuzz *fuzz, struct peer *peer, const uint8_t *step)
{
        struct tcp_header header = next_header(fuzz, peer);
        const struct tcp_conn *conn = conn_of(fuzz, peer);
        uint32_t una = conn ? conn->snd_una : header.ack;

        header.ack = una + relative(step[1], step[2]);
        header.blocks = 2;
        for (unsigned i = 0; i < 2; i++) {
                header.block[i].start = una + 200u * (uint32_t)(int8_t)step[3 + 2 * i];
                header.block[i].end = header.block[i].start + 200u * (uint32_t)(int8_t)step[4 + 2 * i];
        }
        header.window = (uint16_t)(step[7] << 8);
        return built(fuzz, &header, 0);
}

/* Seven bytes over a sound header, anywhere. */
static struct packet *step_raw(struct fuzz *fuzz, struct peer *peer, const uint8_t *step)
{
        struct tcp_header header = next_header(fuzz, peer);
        uint8_t bytes[TCP_HEADER_MAX + 5] = { 0 };
        uint8_t len = tcp_header_build(&header, bytes);
        unsigned at = step[1] % TCP_HEADER_MAX;

        memcpy(bytes + at, step + 2, 6);
        if (step[0] & STEP_ALIEN)
                len = step[1] % TCP_HEADER_MAX;
        return segment(fuzz, bytes, step[0] & STEP_TS_NO ? TCP_HEADER_MAX : len, 0);
}

static void step_icmp(struct fuzz *fuzz, struct peer *peer, const uint8_t *step)
{
        const struct tcp_conn *conn = conn_of(fuzz, peer);
        struct tcp_icmp_quote quote = {
                .kind = (enum tcp_icmp)(step[1] % 3),
                .local = fuzz->ours,
                .remote = fuzz->theirs,
                .local_port = peer->our_port,
                .remote_port = peer->port,
                .seq = (conn ? conn->snd_una : peer->rcv) + relative(step[2], step[3]),
                .mtu = (uint16_t)(step[4] << 8 | step[5]),
        };

        tcp_icmp_error(fuzz->tcp, &quote, fuzz->now_us);
}

static void write_some(struct fuzz *fuzz, struct peer *peer, uint32_t len)
{
        uint8_t bytes[8192];

        len = MIN(len, (uint32_t)sizeof(bytes));
        for (uint32_t i = 0; i < len; i++)
                bytes[i] = our_byte(peer->written + i);
        if (tcp_send_copy(fuzz->tcp, peer->conn, bytes, len))
                peer->written += len;
}

static void step_owner(struct fuzz *fuzz, struct peer *peer, const uint8_t *step)
{
        struct peer *other = &fuzz->peer[peer == &fuzz->peer[0]];
        uint32_t number = (uint32_t)(step[2] << 8 | step[3]);

        switch (step[1] % 8) {
        case 0:
                read_some(fuzz, peer, number);
                break;
        case 1:
        case 2:
                write_some(fuzz, peer, number);
                break;
        case 3:
                tcp_recv_window_set(fuzz->tcp, peer->conn, number * 4);
                break;
        case 4:
                tcp_shutdown(fuzz->tcp, peer->conn);
                break;
        case 5:
                if (peer->is_open)
                        other->is_moved = true, peer->read += tcp_send_move(fuzz->tcp, peer->conn, other->conn, number);
                break;
        case 6:
                tcp_close(fuzz->tcp, peer->conn);
                peer->is_open = false;
                break;
        default:
                if (number > 0xf000)
                        peer->is_open = false, tcp_abort(fuzz->tcp, peer->conn);
                else
                        tcp_room_want(fuzz->tcp, peer->conn);
        }
}

/* Time goes on, from timer to timer. */
static void pass(struct fuzz *fuzz, uint64_t us)
{
        uint64_t end_us = fuzz->now_us + us;

        for (unsigned i = 0; i < 64; i++) {
                uint64_t due_us = tcp_next_due_us(fuzz->tcp);

                if (due_us > end_us)
                        break;
                fuzz->now_us = MAX(fuzz->now_us, due_us);
                tcp_tick(fuzz->tcp, fuzz->now_us);
                turn(fuzz, true);
        }
        for (unsigned i = 0; i < 2; i++)
                fuzz->peer[i].ts += (uint32_t)((end_us - fuzz->now_us) / 1000 + us / 1000);
        fuzz->now_us = MAX(fuzz->now_us, end_us);
        tcp_tick(fuzz->tcp, fuzz->now_us);
        turn(fuzz, true);
}

static void run_step(struct fuzz *fuzz, const uint8_t *step)
{
        struct peer *peer = &fuzz->peer[step[0] & STEP_PEER ? 1 : 0];
        struct packet *burst[4];
        unsigned n = 0;

        switch ((enum step_kind)(step[0] % STEP_KINDS)) {
        case STEP_SEGMENT:
                input(fuzz, step_segment(fuzz, peer, step));
                break;
        case STEP_SACK:
                input(fuzz, step_sack(fuzz, peer, step));
                break;
        case STEP_RAW:
                input(fuzz, step_raw(fuzz, peer, step));
                break;
        case STEP_TIME:
                pass(fuzz, (uint64_t)step[1] * step[1] * 1000 + step[2]);
                break;
        case STEP_OWNER:
                step_owner(fuzz, peer, step);
                break;
        case STEP_ICMP:
                step_icmp(fuzz, peer, step);
                break;
        case STEP_BURST: /* the same segment, moved on by one byte each */
                for (uint8_t copy[STEP_BYTES]; n < ARRAY_LEN(burst); n++) {
                        memcpy(copy, step, STEP_BYTES);
                        copy[3] = (uint8_t)(copy[3] + n);
                        burst[n] = step_segment(fuzz, peer, copy);
                }
                tcp_input(fuzz->tcp, burst, n, fuzz->now_us);
                break;
        default: /* an ACK of everything */
                if (peer->is_open) {
                        struct tcp_header header = next_header(fuzz, peer);

                        input(fuzz, built(fuzz, &header, 0));
                }
        }
        turn(fuzz, !(step[0] & STEP_NO_OUT));
}

/* The owners leave and the peers say nothing: the timers end everything. */
static void drain(struct fuzz *fuzz)
{
        uint64_t end_us = fuzz->now_us + 1800000000ull;
        struct tcp_stats stats;

        for (unsigned i = 0; i < 2; i++)
                if (fuzz->peer[i].is_open) {
                        fuzz->peer[i].is_open = false;
                        tcp_close(fuzz->tcp, fuzz->peer[i].conn);
                }
        turn(fuzz, true);
        for (unsigned i = 0; tcp_next_due_us(fuzz->tcp) != UINT64_MAX; i++) {
                BUG_ON(i > DRAIN_MAX || tcp_next_due_us(fuzz->tcp) > end_us);
                fuzz->now_us = MAX(fuzz->now_us, tcp_next_due_us(fuzz->tcp));
                tcp_tick(fuzz->tcp, fuzz->now_us);
                turn(fuzz, true);
        }
        tcp_stats(fuzz->tcp, &stats);
        BUG_ON(stats.connections || stats.syncache || stats.timewait || stats.packets_held || stats.packets_ready);
        BUG_ON(rte_mempool_in_use_count(pool) != 0);
        tcp_free(fuzz->tcp);
        BUG_ON(rte_mempool_in_use_count(pool) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        static struct fuzz fuzz;

        start();
        memset(&fuzz, 0, sizeof(fuzz));
        if (len < 2)
                return 0;
        set_up(&fuzz, data[0]);
        turn(&fuzz, true);
        if (data[1] & HANDS_CLIENT)
                shake(&fuzz, &fuzz.peer[0], data[1]);
        if (data[1] & HANDS_SERVER)
                shake(&fuzz, &fuzz.peer[1], data[1]);
        fuzz.peer[0].options = fuzz.peer[1].options = data[1];
        for (size_t at = 2, steps = 0; len - at >= STEP_BYTES && steps < STEPS_MAX; at += STEP_BYTES, steps++)
                run_step(&fuzz, data + at);
        drain(&fuzz);
        return 0;
}
