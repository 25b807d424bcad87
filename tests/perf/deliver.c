/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accepted mail: whole sessions with a message of 10 kB or 1 MB, client to model backend through the worker.
 *
 *     deliver deliver-10k|deliver-1M [hugepages] [quick]
 *
 * Clients and backends are endpoints of the project's own TCP and IP, each with frames of its own; the time of their
 * turns is not counted, but they warm the instruction cache for the device, which flow.c does not. A turn in which
 * the kernel took the core away does not count: the one before it counts twice.
 */
#include <string.h>
#include <sys/resource.h>

#include <rte_cycles.h>

#include "tests/perf/rig.h"

#define AT_ONCE   16u
#define LINE      "The quick brown fox jumps over the lazy dog, and again until the end. 1\r\n"
#define LINE_LEN  (sizeof(LINE) - 1)
#define PIECE     (LINE_LEN * 200)
#define TEXT_MAX  2048u
#define BACKENDS  (2 * AT_ONCE)

/* One side of the wire. */
struct side {
        struct ip *ip;
        struct tcp *tcp;
        unsigned port;
        uint64_t counters[COUNTER_MAX];
};

struct client {
        struct tcp_handle conn;
        bool is_open;
        unsigned step;
        uint64_t sent; /* of the message */
        size_t len;
        char text[TEXT_MAX];
};

struct backend_conn {
        struct tcp_handle conn;
        bool is_open, in_data;
        uint64_t got; /* of the message */
        size_t len;
        char text[TEXT_MAX];
};

static struct rig rig;
static struct side clients, backends;
static struct client client[AT_ONCE];
static struct backend_conn backend[BACKENDS];
static char piece[PIECE];
static uint64_t message_bytes, done;
static uint32_t next_client;

static const struct {
        const char *want, *say;
} steps[] = {
        { "220 ", "EHLO mail.example.com\r\n" },
        { "250", "MAIL FROM:<sender@mailer.example.com> BODY=8BITMIME\r\n" },
        { "250 ", "RCPT TO:<reader@example.net>\r\n" },
        { "250 ", "DATA\r\n" },
        { "354 ", NULL },
        { "250 ", "QUIT\r\n" },
        { "221 ", NULL },
};
#define STEP_MESSAGE 5u /* it is being sent; its reply is awaited */

/* --- sides ------------------------------------------------------------------------------------------------------- */

static void open_side(struct side *side, unsigned port, const char *first, unsigned addresses)
{
        struct ip_interface interface = { .port = (uint16_t)port, .mtu = 1500, .n_addrs = (uint8_t)addresses,
                                          .mac = { 2, 0, 0, 0, 0, (uint8_t)(port + 1) } };
        struct ip_settings ip = { .pool = rig.pool, .counters = side->counters, .interfaces = &interface,
                                  .n_interfaces = 1, .announce = true, .hash_key = { { 1, port } } };
        struct tcp_settings tcp = { .pool = rig.pool, .counters = side->counters, .connections_max = 4096,
                                    .packets_held_max = 12000, .send_bytes_max = 256 * 1024, .linear_only = true,
                                    .window_bytes = 65535, .window_max_bytes = 1 << 20 };

        for (unsigned i = 0; i < addresses; i++) {
                struct addr *addr = &interface.addrs[i].addr;

                if (addr_parse(first, addr) < 0)
                        rig_fail("address");
                addr->bytes[15] = (uint8_t)(addr->bytes[15] + i);
                interface.addrs[i].prefix_len = 112;
        }
        memset(tcp.secret, (int)port + 1, sizeof(tcp.secret));
        side->port = port;
        side->tcp = tcp_new(&tcp);
        if (ip_new(&side->ip, &ip, rig.now_us) < 0 || side->tcp == NULL)
                rig_fail("no memory for the generator");
}

static void side_receive(struct side *side)
{
        struct packet *packet;

        while (rte_ring_sc_dequeue(rig.from[side->port], (void **)&packet) == 0) {
                struct ip_icmp_error error;

                if (!packet_linearize(packet))
                        rig_fail("a frame is too long");
                memset(packet_meta(packet), 0, sizeof(struct packet_meta));
                packet_meta(packet)->port = (uint16_t)side->port;
                if (ip_input(side->ip, packet, rig.now_us, &error) == IP_TCP)
                        tcp_input(side->tcp, &packet, 1, rig.now_us);
        }
        tcp_tick(side->tcp, rig.now_us);
        ip_tick(side->ip, rig.now_us);
}

static void side_send(struct side *side)
{
        struct packet *packets[PORT_BURST_MAX];
        unsigned n;

        /* What the device leaves in its ring waits there: no more than it takes soon. */
        while (rte_ring_count(rig.to[side->port]) < 256) {
                n = tcp_output(side->tcp, packets, PORT_BURST_MAX, rig.now_us);
                for (unsigned i = 0; i < n; i++)
                        (void)ip_output(side->ip, packets[i], rig.now_us);
                n = ip_next_frames(side->ip, (uint16_t)side->port, packets, PORT_BURST_MAX);
                if (n == 0)
                        break;
                if (rte_ring_sp_enqueue_bulk(rig.to[side->port], (void **)packets, n, NULL) != n)
                        rig_fail("the ring to the device is full");
        }
}

static size_t read_text(struct side *side, struct tcp_handle conn, char *text, size_t len)
{
        uint32_t got = tcp_recv_copy(side->tcp, conn, text + len, (uint32_t)(TEXT_MAX - 1 - len));

        tcp_recv_consume(side->tcp, conn, got);
        text[len + got] = '\0';
        return len + got;
}

static void say(struct side *side, struct tcp_handle conn, const char *text, size_t len)
{
        if (!tcp_send_copy(side->tcp, conn, text, (uint32_t)len))
                rig_fail("the generator's queue is full");
}

/* --- clients ----------------------------------------------------------------------------------------------------- */

static void client_open(unsigned i)
{
        struct client *c = &client[i];
        struct addr local, remote;

        if (addr_parse("198.18.1.1", &local) < 0 || addr_parse("198.18.0.25", &remote) < 0)
                rig_fail("address");
        local.bytes[15] = (uint8_t)(1 + next_client % 32);
        *c = (struct client){ .is_open = true };
        if (tcp_connect(clients.tcp, &local, (uint16_t)(2000 + next_client++ % 60000), &remote, 25, i + 1, rig.now_us,
                        &c->conn) < 0)
                rig_fail("the generator cannot connect");
}

static void client_message(struct client *c)
{
        while (c->sent < message_bytes) {
                size_t part = MIN(PIECE, message_bytes - c->sent);

                if (!tcp_send_copy(clients.tcp, c->conn, piece, (uint32_t)part))
                        return; /* TCP_EV_ROOM will come */
                c->sent += part;
        }
        if (c->sent == message_bytes && tcp_send_copy(clients.tcp, c->conn, ".\r\n", 3))
                c->sent++;
}

static void client_event(const struct tcp_event *event)
{
        struct client *c = &client[event->owner - 1];
        char *end;

        if (event->bits & (TCP_EV_FINAL & ~TCP_EV_CLOSED))
                rig_fail("a client's connection ended with %#x at step %u", event->bits, c->step);
        c->len = read_text(&clients, c->conn, c->text, c->len);
        if (c->step == STEP_MESSAGE && c->sent <= message_bytes)
                client_message(c);
        while (c->is_open && (end = strstr(c->text, "\r\n")) != NULL) {
                bool more = c->text[3] == '-';

                if (!more) {
                        if (strncmp(c->text, steps[c->step].want, strlen(steps[c->step].want)) != 0)
                                rig_fail("step %u: reply \"%.*s\"", c->step, (int)(end - c->text), c->text);
                        if (steps[c->step].say)
                                say(&clients, c->conn, steps[c->step].say, strlen(steps[c->step].say));
                        if (++c->step == STEP_MESSAGE)
                                client_message(c);
                        else if (c->step == ARRAY_LEN(steps)) {
                                tcp_close(clients.tcp, c->conn);
                                c->is_open = false;
                                done++;
                        }
                }
                c->len -= (size_t)(end + 2 - c->text);
                memmove(c->text, end + 2, c->len + 1);
        }
}

/* --- backends ---------------------------------------------------------------------------------------------------- */

/* The message as it must be, then the dot. */
static void take_message(struct backend_conn *b)
{
        struct tcp_span spans[16];
        unsigned n;

        while (b->in_data && (n = tcp_recv_spans(backends.tcp, b->conn, spans, ARRAY_LEN(spans))) > 0) {
                uint32_t used = 0;

                for (unsigned i = 0; i < n; i++) {
                        for (uint32_t at = 0; at < spans[i].len;) {
                                uint32_t left = spans[i].len - at;
                                uint64_t rest = message_bytes + 3 - b->got;
                                const char *want = b->got < message_bytes ? LINE + b->got % LINE_LEN
                                                                          : ".\r\n" + (b->got - message_bytes);
                                size_t step = b->got < message_bytes
                                                  ? MIN(MIN(LINE_LEN - b->got % LINE_LEN, message_bytes - b->got), left)
                                                  : MIN(rest, left);

                                if (rest == 0 || memcmp(spans[i].bytes + at, want, step) != 0)
                                        rig_fail("a message is not as it was sent, at byte %lu", b->got);
                                b->got += step;
                                at += (uint32_t)step;
                        }
                        used += spans[i].len;
                }
                tcp_recv_consume(backends.tcp, b->conn, used);
                if (b->got == message_bytes + 3) {
                        b->in_data = false;
                        say(&backends, b->conn, "250 2.0.0 kept\r\n", 16);
                }
        }
}

static void backend_line(struct backend_conn *b, const char *line)
{
        static const struct {
                const char *verb, *say;
        } answers[] = {
                { "EHLO ", "250-back\r\n250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n250 XCLIENT NAME ADDR PORT PROTO HELO\r\n" },
                { "XCLIENT ", "220 again\r\n" },     { "MAIL ", "250 2.1.0 sender ok\r\n" },
                { "RCPT ", "250 2.1.5 recipient ok\r\n" }, { "DATA", "354 go\r\n" },
                { "RSET", "250 2.0.0 reset\r\n" },   { "QUIT", "221 2.0.0 bye\r\n" },
        };

        for (unsigned i = 0; i < ARRAY_LEN(answers); i++) {
                if (strncmp(line, answers[i].verb, strlen(answers[i].verb)) != 0)
                        continue;
                say(&backends, b->conn, answers[i].say, strlen(answers[i].say));
                b->in_data = i == 4;
                b->got = 0;
                if (i == 6) {
                        tcp_close(backends.tcp, b->conn);
                        b->is_open = false;
                }
                return;
        }
        rig_fail("a backend was told: %s", line);
}

static void backend_event(const struct tcp_event *event)
{
        struct backend_conn *b;
        char *end;

        if (event->bits & TCP_EV_OPENED) {
                unsigned i = 0;

                while (i < BACKENDS && backend[i].is_open)
                        i++;
                if (i == BACKENDS)
                        rig_fail("too many connections to backends");
                b = &backend[i];
                *b = (struct backend_conn){ .conn = event->conn, .is_open = true };
                tcp_owner_set(backends.tcp, b->conn, i + 1);
                tcp_recv_window_set(backends.tcp, b->conn, 512 * 1024);
                say(&backends, b->conn, "220 back ESMTP\r\n", 16);
        } else if (event->owner == 0) {
                return;
        } else {
                b = &backend[event->owner - 1];
        }
        if (!b->is_open)
                return;
        take_message(b);
        if (b->in_data)
                return;
        b->len = read_text(&backends, b->conn, b->text, b->len);
        while (b->is_open && !b->in_data && (end = strstr(b->text, "\r\n")) != NULL) {
                *end = '\0';
                backend_line(b, b->text);
                b->len -= (size_t)(end + 2 - b->text);
                memmove(b->text, end + 2, b->len + 1);
        }
        if (b->is_open && event->bits & (TCP_EV_EOF | TCP_EV_FINAL)) {
                tcp_close(backends.tcp, b->conn);
                b->is_open = false;
        }
}

/* --- the run ----------------------------------------------------------------------------------------------------- */

static long switches(void)
{
        struct rusage usage;

        getrusage(RUSAGE_THREAD, &usage);
        return usage.ru_nivcsw;
}

static uint64_t round_of_all(void)
{
        static uint64_t before;
        struct tcp_event event;
        long switched;
        uint64_t took;

        side_receive(&clients);
        side_receive(&backends);
        while (tcp_next_event(clients.tcp, &event))
                client_event(&event);
        while (tcp_next_event(backends.tcp, &event))
                backend_event(&event);
        side_send(&clients);
        side_send(&backends);
        switched = switches();
        took = rig_turn(&rig, 50);
        if (switches() != switched)
                return before;
        before = took;
        return took;
}

int main(int argc, char **argv)
{
        struct rig_options options = { .sessions = 1000, .grey_entries = 1000000, .client_entries = 200000, .probes = true };
        const char *name = argc > 1 ? argv[1] : "";
        struct samples samples;
        bool quick = false;
        struct addr server;
        uint64_t lots, lot;
        double cycles;

        for (int i = 2; i < argc; i++) {
                options.hugepages |= strcmp(argv[i], "hugepages") == 0;
                quick |= strcmp(argv[i], "quick") == 0;
        }
        message_bytes = strcmp(name, "deliver-1M") == 0 ? 1000000 / LINE_LEN * LINE_LEN : 10000 / LINE_LEN * LINE_LEN;
        lot = message_bytes > 100000 ? 4 : 64;
        lots = quick ? 40 : 200;
        for (size_t i = 0; i < PIECE; i += LINE_LEN)
                memcpy(piece + i, LINE, LINE_LEN);
        rig_start(&rig, &options);
        open_side(&clients, RIG_FRONT, "198.18.1.1", 32);
        open_side(&backends, RIG_BACK, "198.19.0.10", 1);
        if (addr_parse("198.19.0.10", &server) < 0 || tcp_listen(backends.tcp, &server, 25, 0) < 0)
                rig_fail("the backend cannot listen");
        for (unsigned i = 0; i < 32; i++) {
                struct addr addr;

                if (addr_parse("198.18.1.1", &addr) < 0)
                        rig_fail("address");
                addr.bytes[15] = (uint8_t)(1 + i);
                rig_know(&rig, &addr, false);
        }
        for (unsigned i = 0; i < 2000; i++)
                (void)round_of_all();
        samples = samples_new(lots);
        for (uint64_t warm = 3; samples.n < lots;) {
                uint64_t sum = 0, target = done + lot, rounds = 0;

                while (done < target) {
                        for (unsigned i = 0; i < AT_ONCE; i++) {
                                if (!client[i].is_open)
                                        client_open(i);
                        }
                        sum += round_of_all();
                        if (++rounds > 2000000)
                                rig_fail("deliveries stand still");
                }
                if (warm > 0)
                        warm--;
                else
                        samples_add(&samples, (double)sum / (double)(done - target + lot));
        }
        {
                char unit[64];

                snprintf(unit, sizeof(unit), "%s.session", name);
                figure_print(unit, "cycles/session", &samples);
        }
        cycles = samples_percentile(&samples, 50);
        figure_value(name, "Gbit/s/core", (double)message_bytes * 8 / (cycles / (double)rte_get_tsc_hz()) / 1e9);
        figure_value("core.speed", "cycles/tick", rig_core_speed());
        figure_value("tsc", "Hz", (double)rte_get_tsc_hz());
        rig_stop(&rig);
        return 0;
}
