/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole sessions in one process and in simulated time: real sessions over a real TCP endpoint, with a second
 * endpoint as all clients and a third as all backends; segments go from one to the other by their destination.
 * No thread, no socket, no clock: a test says what clients and backends do and reads what they saw.
 *
 * Included by each test program (everything is static). Include after cmocka.
 */
#ifndef GREYLINE_TESTS_SESSION_RIG_H
#define GREYLINE_TESTS_SESSION_RIG_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_mempool.h>

#include "dataplane/port/pool.h"
#include "dataplane/session/session.h"
#include "dataplane/shared/counters.h"
#include "tests/unit/image_rig.h"

#define RIG_CLIENTS   96
#define RIG_BACKENDS  64 /* connections to backends in one test */
#define RIG_TEXT      65536
#define RIG_WALL_US   1795500000000000ull

enum rig_end { RIG_OPEN, RIG_EOF, RIG_RESET, RIG_GONE };

struct rig_client {
        struct tcp_handle conn;
        bool is_used, connected;
        enum rig_end end;
        size_t len;   /* of what it received */
        size_t read;  /* of that, already expected */
        char text[RIG_TEXT];
};

/* What a backend does at a stage, instead of going on. */
enum rig_fault {
        RIG_FAULT_NONE,
        RIG_FAULT_HANG,
        RIG_FAULT_CLOSE,
        RIG_FAULT_RESET,
        RIG_FAULT_4XX,
        RIG_FAULT_5XX,
        RIG_FAULT_421, /* and closes */
        RIG_FAULT_GARBAGE,
        RIG_FAULT_LINES, /* a right reply, but of 60 lines */
        RIG_FAULT_BYTES, /* a right reply, one byte a segment */
        RIG_FAULTS,
};

enum rig_stage {
        RIG_STAGE_CONNECT,
        RIG_STAGE_BANNER,
        RIG_STAGE_EHLO,
        RIG_STAGE_XCLIENT,
        RIG_STAGE_EHLO_AGAIN,
        RIG_STAGE_MAIL,
        RIG_STAGE_RCPT,
        RIG_STAGE_DATA,
        RIG_STAGE_MIDDATA,
        RIG_STAGE_DOT,
        RIG_STAGE_DOT_KEPT, /* the message is kept, then the fault */
        RIG_STAGE_RSET,
        RIG_STAGES,
};

struct rig_backend {
        struct tcp_handle conn;
        bool is_used, in_data, ended, greeted, xclient_done;
        struct addr local;
        size_t len; /* unparsed */
        char text[RIG_TEXT];
        size_t data_len;
        char *data;
        char log[4096]; /* commands, one a line */
};

struct rig {
        char dir[64];
        uint64_t now_us, wall_us;
        struct image *image;
        struct runtime runtime;
        struct link link;
        struct keys_link keys;
        char keys_dir[80];
        bool (*keys_turn)(struct rig *rig); /* greyline-keys and its ring, or NULL: it is down */
        struct grey_table grey;
        struct client_table clients;
        struct limits *limits;
        struct backends *backends;
        struct steer steer;
        struct tcp *ours, *client_tcp, *backend_tcp;
        struct sessions *sessions;
        uint64_t counters[3][COUNTER_MAX];
        bool draining, is_inside;
        struct rig_client client[RIG_CLIENTS];
        unsigned clients_used;
        uint16_t next_port;
        struct rig_backend backend[RIG_BACKENDS];
        unsigned backends_used; /* connections that came */
        enum rig_stage fault_stage;
        enum rig_fault fault;
        char fault_addr[ADDR_TEXT_MAX]; /* only this backend has it; "": all */
        bool xclient;                   /* backends offer it */
        unsigned kept;                  /* messages that backends accepted */
        size_t kept_len;
        char *kept_data;                /* the last one, with its dots as on the wire, without the end */
        char kept_log[4096];
};

static struct rte_mempool *rig_pool;
static uint32_t rig_sessions_max = 64;
static uint32_t rig_tls_max; /* clients in TLS of the next rig */
static const struct secret rig_secret = { { 5 } };

static int rig_eal(void)
{
        static char *args[] = { "session", "--no-huge",      "--no-shconf", "-m", "256",
                                "--no-pci", "--no-telemetry", "-l",          "0",  "--log-level=3" };

        if (rte_eal_init(sizeof(args) / sizeof(args[0]), args) < 0)
                return -1;
        rig_pool = pool_new("packets", 16383, 2048, -1);
        return rig_pool ? 0 : -1;
}

static struct addr rig_addr(const char *text)
{
        struct addr addr;

        assert_int_equal(addr_parse(text, &addr), 0);
        return addr;
}

static struct tcp *rig_tcp(struct rig *rig, unsigned which)
{
        struct tcp_settings settings = {
                .pool = rig_pool,
                .counters = rig->counters[which],
                .connections_max = 256,
                .packets_held_max = 8192,
        };

        memset(settings.secret, (int)which + 1, sizeof(settings.secret));
        return tcp_new(&settings);
}

/* Put a policy in force, as main does. */
static void rig_policy(struct rig *rig, const char *yaml, uint32_t generation)
{
        free(rig->image);
        rig->image = image_rig_compile(yaml, generation);
        rig->runtime.image = rig->image;
        backends_apply(rig->backends, rig->image, rig->runtime.server_map);
}

static struct rig *rig_new(const char *yaml)
{
        struct rig *rig = calloc(1, sizeof(*rig));
        struct siphash_key key = { { 7, 8 } };
        uint8_t steer_key[STEER_KEY_BYTES] = { 1, 2, 3 };
        char path[128];
        struct addr any = rig_addr("198.19.0.10"), other = rig_addr("198.19.0.11");

        rig->now_us = 1000000000;
        rig->wall_us = RIG_WALL_US;
        rig->next_port = 20000;
        rig->xclient = true;
        snprintf(rig->dir, sizeof(rig->dir), "/tmp/greyline-session.XXXXXX");
        assert_non_null(mkdtemp(rig->dir));
        rig->backends = calloc(1, sizeof(*rig->backends));
        rig_policy(rig, yaml, 1);
        assert_int_equal(link_create(&rig->link, rig->dir, 1), 0);
        snprintf(path, sizeof(path), "%s/grey", rig->dir);
        assert_int_equal(grey_table_open(&rig->grey, path, 4096, &key, NULL), 0);
        snprintf(path, sizeof(path), "%s/client", rig->dir);
        assert_int_equal(client_table_open(&rig->clients, path, 4096, &key, NULL), 0);
        snprintf(rig->keys_dir, sizeof(rig->keys_dir), "%s/keys", rig->dir);
        assert_int_equal(keys_create(&rig->keys, rig->keys_dir), 0);
        rig->limits = limits_new(1024, &key);
        steer_init(&rig->steer, 1, steer_key);
        rig->ours = rig_tcp(rig, 0);
        rig->client_tcp = rig_tcp(rig, 1);
        rig->backend_tcp = rig_tcp(rig, 2);
        assert_int_equal(tcp_listen(rig->backend_tcp, &any, 25, 0), 0);
        assert_int_equal(tcp_listen(rig->backend_tcp, &other, 25, 0), 0);
        struct sessions_settings settings = {
                .workers = 1, .tcp = rig->ours, .steer = &rig->steer, .grey = &rig->grey,
                .clients = &rig->clients, .limits = rig->limits, .backends = rig->backends,
                .ask_ring = link_ask_ring(&rig->link, 0), .log_ring = link_log_ring(&rig->link, 0),
                .counters = rig->counters[0], .sessions_max = rig_sessions_max, .legs_max = 32,
                .tls_max = rig_tls_max, .secret = &rig_secret,
                .keys_ring = keys_request_ring(&rig->keys, 0), .keys_beat_ms = &rig->keys.page->beat_ms,
                .now_us = rig->now_us, .wall_us = rig->wall_us, .random = 12345,
        };

        rig->sessions = sessions_new(&settings, &rig->runtime);
        assert_non_null(rig->sessions);
        /* Health checks have their own tests: here no connection but a session's comes to a backend. */
        for (unsigned i = 0; i < LINK_BACKENDS_MAX; i++)
                atomic_store(&rig->backends->backend[i].probe_due_us, UINT64_MAX);
        return rig;
}

static void rig_free(struct rig *rig)
{
        char command[160];

        tcp_free(rig->ours);
        tcp_free(rig->client_tcp);
        tcp_free(rig->backend_tcp);
        sessions_free(rig->sessions);
        limits_free(rig->limits);
        client_table_close(&rig->clients);
        grey_table_close(&rig->grey);
        link_done(&rig->link);
        keys_done(&rig->keys);
        for (unsigned i = 0; i < RIG_BACKENDS; i++)
                free(rig->backend[i].data);
        free(rig->kept_data);
        free(rig->image);
        free(rig->backends);
        snprintf(command, sizeof(command), "rm -rf '%s'", rig->dir);
        assert_int_equal(system(command), 0);
        free(rig);
        assert_int_equal(rte_mempool_in_use_count(rig_pool), 0);
}

/* Control's answers about a client: nothing against it, a confirmed name. */
static inline void rig_know(struct rig *rig, const char *client, uint32_t zones_listed, enum client_ptr ptr)
{
        struct addr addr = rig_addr(client);
        uint32_t now_sec = (uint32_t)(rig->wall_us / 1000000);
        const char *name = ptr == CLIENT_PTR_CONFIRMED ? "host.client.test" : "";

        client_table_write_zones(&rig->clients, &addr, UINT32_MAX & ~zones_listed, CLIENT_ZONE_CLEAR, now_sec + 90000,
                                 now_sec);
        if (zones_listed)
                client_table_write_zones(&rig->clients, &addr, zones_listed, CLIENT_ZONE_LISTED, now_sec + 90000,
                                         now_sec);
        client_table_write_ptr(&rig->clients, &addr, ptr, 0, name, strlen(name), now_sec + 90000, now_sec);
}

/* --- the backends ----------------------------------------------------------------------------------------------- */

static void rig_backend_send(struct rig *rig, struct rig_backend *b, const char *text)
{
        if (!b->ended && !tcp_send_copy(rig->backend_tcp, b->conn, text, (uint32_t)strlen(text)))
                b->ended = true; /* given up by the other side */
}

static bool rig_has_fault(const struct rig *rig, const struct rig_backend *b, enum rig_stage stage)
{
        char text[ADDR_TEXT_MAX];

        return rig->fault != RIG_FAULT_NONE && rig->fault_stage == stage &&
               (rig->fault_addr[0] == '\0' || strcmp(rig->fault_addr, addr_text(&b->local, text)) == 0);
}

static void rig_pump(struct rig *rig);

/* Answer at a stage, or do what the fault says. Returns false when the backend says no more. */
static bool rig_backend_answer(struct rig *rig, struct rig_backend *b, enum rig_stage stage, const char *right)
{
        uint16_t code = (uint16_t)atoi(right);

        if (!rig_has_fault(rig, b, stage)) {
                rig_backend_send(rig, b, right);
                return true;
        }
        switch (rig->fault) {
        case RIG_FAULT_4XX:
                rig_backend_send(rig, b, "450 4.2.0 not now\r\n");
                return true;
        case RIG_FAULT_5XX:
                rig_backend_send(rig, b, "550 5.1.1 never\r\n");
                return true;
        case RIG_FAULT_421:
                rig_backend_send(rig, b, "421 4.3.2 closing\r\n");
                b->ended = true;
                tcp_close(rig->backend_tcp, b->conn);
                return false;
        case RIG_FAULT_CLOSE:
                b->ended = true;
                tcp_close(rig->backend_tcp, b->conn);
                return false;
        case RIG_FAULT_RESET:
                b->ended = true;
                tcp_abort(rig->backend_tcp, b->conn);
                return false;
        case RIG_FAULT_GARBAGE:
                rig_backend_send(rig, b, "\xff\x00 what\n\r\n");
                return true;
        case RIG_FAULT_LINES:
                for (unsigned i = 0; i < 59; i++) {
                        char line[64];

                        snprintf(line, sizeof(line), "%u-line %u\r\n", code, i);
                        if (strncmp(right, "250-", 4) != 0)
                                rig_backend_send(rig, b, line);
                }
                rig_backend_send(rig, b, right);
                return true;
        case RIG_FAULT_BYTES:
                for (const char *c = right; *c; c++) {
                        char one[2] = { *c, '\0' };

                        rig_backend_send(rig, b, one);
                        rig_pump(rig);
                }
                return true;
        default: /* hang */
                b->ended = true;
                return false;
        }
}

static void rig_backend_keep(struct rig *rig, struct rig_backend *b)
{
        rig->kept++;
        free(rig->kept_data);
        rig->kept_data = malloc(b->data_len + 1);
        memcpy(rig->kept_data, b->data, b->data_len);
        rig->kept_len = b->data_len;
        memcpy(rig->kept_log, b->log, sizeof(b->log));
}

static void rig_backend_ehlo(struct rig *rig, struct rig_backend *b)
{
        rig_backend_answer(rig, b, b->xclient_done ? RIG_STAGE_EHLO_AGAIN : RIG_STAGE_EHLO,
                           rig->xclient ? "250-back\r\n250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n"
                                          "250 XCLIENT NAME ADDR PORT PROTO HELO\r\n"
                                        : "250-back\r\n250-PIPELINING\r\n250-SIZE\r\n250 8BITMIME\r\n");
}

static void rig_backend_line(struct rig *rig, struct rig_backend *b, const char *line)
{
        size_t used = strlen(b->log);

        snprintf(b->log + used, sizeof(b->log) - used, "%s\n", line);
        if (strncmp(line, "EHLO ", 5) == 0) {
                rig_backend_ehlo(rig, b);
        } else if (strncmp(line, "XCLIENT ", 8) == 0) {
                b->xclient_done = true;
                rig_backend_answer(rig, b, RIG_STAGE_XCLIENT, "220 again\r\n");
        } else if (strncmp(line, "MAIL ", 5) == 0) {
                rig_backend_answer(rig, b, RIG_STAGE_MAIL, "250 2.1.0 sender ok\r\n");
        } else if (strncmp(line, "RCPT ", 5) == 0) {
                rig_backend_answer(rig, b, RIG_STAGE_RCPT, "250 2.1.5 recipient ok\r\n");
        } else if (strcmp(line, "DATA") == 0) {
                b->data_len = 0;
                if (rig_backend_answer(rig, b, RIG_STAGE_DATA, "354 go\r\n") && !rig_has_fault(rig, b, RIG_STAGE_DATA))
                        b->in_data = true;
                else if (rig->fault == RIG_FAULT_LINES || rig->fault == RIG_FAULT_BYTES)
                        b->in_data = true;
        } else if (strcmp(line, "RSET") == 0) {
                rig_backend_answer(rig, b, RIG_STAGE_RSET, "250 2.0.0 reset\r\n");
        } else if (strcmp(line, "QUIT") == 0) {
                rig_backend_send(rig, b, "221 2.0.0 bye\r\n");
                b->ended = true;
                tcp_close(rig->backend_tcp, b->conn);
        } else {
                fail_msg("a backend was told: %s", line);
        }
}

static void rig_backend_data(struct rig *rig, struct rig_backend *b)
{
        /* Only CR LF . CR LF ends it; an empty message is . CR LF at once. */
        char *end = memmem(b->text, b->len, "\r\n.\r\n", 5);
        size_t take = b->len, skip = 0;
        bool is_end = false;

        if (b->data_len == 0 && b->len >= 3 && memcmp(b->text, ".\r\n", 3) == 0) {
                take = 0;
                skip = 3;
                is_end = true;
        } else if (end) {
                take = (size_t)(end - b->text) + 2;
                skip = 3;
                is_end = true;
        } else {
                take = b->len > 4 ? b->len - 4 : 0; /* an end could begin here */
        }
        b->data = realloc(b->data, b->data_len + take + 1);
        memcpy(b->data + b->data_len, b->text, take);
        b->data_len += take;
        b->len -= take + skip;
        memmove(b->text, b->text + take + skip, b->len);
        if (!is_end) {
                if (b->data_len > 0 && rig_has_fault(rig, b, RIG_STAGE_MIDDATA) && rig->fault != RIG_FAULT_LINES &&
                    rig->fault != RIG_FAULT_BYTES)
                        rig_backend_answer(rig, b, RIG_STAGE_MIDDATA, "");
                return;
        }
        b->in_data = false;
        if (rig_has_fault(rig, b, RIG_STAGE_DOT) && rig->fault != RIG_FAULT_LINES && rig->fault != RIG_FAULT_BYTES) {
                rig_backend_answer(rig, b, RIG_STAGE_DOT, "");
                return;
        }
        rig_backend_keep(rig, b);
        if (rig_has_fault(rig, b, RIG_STAGE_DOT_KEPT))
                rig_backend_answer(rig, b, RIG_STAGE_DOT_KEPT, "250 2.0.0 kept\r\n");
        else
                rig_backend_answer(rig, b, RIG_STAGE_DOT, "250 2.0.0 kept\r\n");
}

static void rig_backend_read(struct rig *rig, struct rig_backend *b)
{
        for (;;) {
                uint32_t room = (uint32_t)(sizeof(b->text) - 1 - b->len);
                uint32_t got = tcp_recv_copy(rig->backend_tcp, b->conn, b->text + b->len, room);
                char *end;

                tcp_recv_consume(rig->backend_tcp, b->conn, got);
                b->len += got;
                if (b->ended)
                        b->len = 0;
                if (b->in_data && b->len > 0) {
                        size_t before = b->len;

                        rig_backend_data(rig, b);
                        if (b->in_data && b->len == before && got == 0)
                                return;
                        continue;
                }
                end = memmem(b->text, b->len, "\r\n", 2);
                if (end == NULL) {
                        if (got == 0)
                                return;
                        continue;
                }
                char line[2048] = "";

                memcpy(line, b->text, MIN((size_t)(end - b->text), sizeof(line) - 1));
                b->len -= (size_t)(end + 2 - b->text);
                memmove(b->text, end + 2, b->len);
                rig_backend_line(rig, b, line);
                if (b->ended)
                        return;
        }
}

static void rig_backend_event(struct rig *rig, const struct tcp_event *event)
{
        struct rig_backend *b;

        if (event->bits & TCP_EV_OPENED) {
                struct tcp_info info;

                if (rig->backends_used == RIG_BACKENDS)
                        fail_msg("more connections to backends than the rig holds");
                b = &rig->backend[rig->backends_used++];
                free(b->data);
                memset(b, 0, sizeof(*b));
                assert_true(tcp_info(rig->backend_tcp, event->conn, &info));
                b->conn = event->conn;
                b->local = info.local;
                b->is_used = true;
                tcp_owner_set(rig->backend_tcp, b->conn, rig->backends_used);
                if (rig_has_fault(rig, b, RIG_STAGE_CONNECT)) {
                        b->ended = true;
                        if (rig->fault == RIG_FAULT_RESET)
                                tcp_abort(rig->backend_tcp, b->conn);
                        else if (rig->fault != RIG_FAULT_HANG)
                                tcp_close(rig->backend_tcp, b->conn);
                        return;
                }
                if (!rig_backend_answer(rig, b, RIG_STAGE_BANNER, "220 back ESMTP\r\n"))
                        return;
        } else {
                b = &rig->backend[event->owner - 1];
        }
        if (b->ended)
                return;
        rig_backend_read(rig, b);
        if (b->ended)
                return;
        if (event->bits & (TCP_EV_EOF | TCP_EV_FINAL)) {
                b->ended = true;
                tcp_close(rig->backend_tcp, b->conn);
        }
}

/* --- the clients ------------------------------------------------------------------------------------------------- */

static void rig_client_event(struct rig *rig, const struct tcp_event *event)
{
        struct rig_client *c = &rig->client[event->owner - 1];
        uint32_t got;

        if (event->bits & TCP_EV_CONNECTED)
                c->connected = true;
        got = tcp_recv_copy(rig->client_tcp, c->conn, c->text + c->len, (uint32_t)(sizeof(c->text) - 1 - c->len));
        tcp_recv_consume(rig->client_tcp, c->conn, got);
        c->len += got;
        c->text[c->len] = '\0';
        if (event->bits & TCP_EV_EOF && c->end == RIG_OPEN)
                c->end = RIG_EOF;
        if (event->bits & TCP_EV_RESET)
                c->end = RIG_RESET;
        else if (event->bits & TCP_EV_FINAL && c->end == RIG_OPEN)
                c->end = RIG_GONE;
}

/* --- the wire and the clock --------------------------------------------------------------------------------------- */

static bool rig_deliver(struct rig *rig, struct tcp *from)
{
        struct packet *packets[32];
        unsigned n = tcp_output(from, packets, 32, rig->now_us);

        for (unsigned i = 0; i < n; i++) {
                struct addr *dst = &packet_meta(packets[i])->dst;
                struct addr backend_net = rig_addr("198.19.0.0"), net = addr_network(dst, 16, 64);
                struct addr front = rig_addr("198.18.0.25"), back = rig_addr("198.19.0.25");
                struct tcp *to = addr_is_equal(dst, &front) || addr_is_equal(dst, &back) ? rig->ours
                                 : addr_is_equal(&net, &backend_net)                     ? rig->backend_tcp
                                                                                         : rig->client_tcp;
                struct packet *packet = packets[i], *flat;

                /* As a wire does: one piece, bytes of its own. */
                flat = (struct packet *)rte_pktmbuf_copy(&packet->mbuf, rig_pool, 0, UINT32_MAX);
                assert_non_null(flat);
                *packet_meta(flat) = *packet_meta(packet);
                packet_free(packet);
                tcp_input(to, &flat, 1, rig->now_us);
        }
        return n != 0;
}

static bool rig_turn(struct rig *rig)
{
        struct tcp_event event;
        bool busy = false;

        sessions_begin(rig->sessions, &rig->runtime, rig->draining, rig->now_us, rig->wall_us);
        tcp_tick(rig->ours, rig->now_us);
        while (tcp_next_event(rig->ours, &event)) {
                session_event(rig->sessions, &event);
                busy = true;
        }
        sessions_tick(rig->sessions);
        sessions_judge(rig->sessions);
        sessions_publish(rig->sessions);
        sessions_ask_keys(rig->sessions);
        return busy | (rig->keys_turn && rig->keys_turn(rig));
}

/* Everything that can happen now. */
static void rig_pump(struct rig *rig)
{
        bool busy = true, was_inside = rig->is_inside;

        rig->is_inside = true;
        for (unsigned round = 0; busy; round++) {
                struct tcp_event event;

                if (round > 100000)
                        fail_msg("the rig does not come to rest");
                busy = rig_turn(rig);
                tcp_tick(rig->client_tcp, rig->now_us);
                tcp_tick(rig->backend_tcp, rig->now_us);
                busy |= rig_deliver(rig, rig->ours);
                busy |= rig_deliver(rig, rig->client_tcp);
                busy |= rig_deliver(rig, rig->backend_tcp);
                while (tcp_next_event(rig->client_tcp, &event)) {
                        rig_client_event(rig, &event);
                        busy = true;
                }
                while (!was_inside && tcp_next_event(rig->backend_tcp, &event)) {
                        rig_backend_event(rig, &event);
                        busy = true;
                }
        }
        rig->is_inside = was_inside;
}

/* Let time pass, from timer to timer. */
static inline void rig_pass(struct rig *rig, uint64_t us)
{
        uint64_t end_us = rig->now_us + us;

        for (;;) {
                uint64_t due_us, before_us = rig->now_us;

                rig_pump(rig);
                due_us = MIN(MIN(sessions_due_us(rig->sessions), tcp_next_due_us(rig->ours)),
                             MIN(tcp_next_due_us(rig->client_tcp), tcp_next_due_us(rig->backend_tcp)));
                if (due_us > end_us)
                        break;
                rig->now_us = MAX(due_us, before_us + 1000);
                rig->wall_us += rig->now_us - before_us;
                if (rig->now_us >= end_us)
                        break;
        }
        if (rig->now_us < end_us) {
                rig->wall_us += end_us - rig->now_us;
                rig->now_us = end_us;
        }
        rig_pump(rig);
}

static struct rig_client *rig_connect(struct rig *rig, const char *from)
{
        struct rig_client *c = &rig->client[rig->clients_used];
        struct addr local = rig_addr(from), remote = rig_addr("198.18.0.25");

        assert_true(rig->clients_used < RIG_CLIENTS);
        memset(c, 0, sizeof(*c));
        c->is_used = true;
        assert_int_equal(tcp_connect(rig->client_tcp, &local, rig->next_port++, &remote, 25, ++rig->clients_used,
                                     rig->now_us, &c->conn),
                         0);
        rig_pump(rig);
        return c;
}

static void rig_say_bytes(struct rig *rig, struct rig_client *c, const char *bytes, size_t len)
{
        while (len > 0) {
                size_t part = MIN(len, 16384u);

                for (unsigned tries = 0; !tcp_send_copy(rig->client_tcp, c->conn, bytes, (uint32_t)part); tries++) {
                        if (c->end != RIG_OPEN)
                                return;
                        if (tries > 1000)
                                fail_msg("the client's queue stays full");
                        rig_pass(rig, 10000);
                }
                bytes += part;
                len -= part;
                rig_pump(rig);
        }
}

static void rig_say(struct rig *rig, struct rig_client *c, const char *text)
{
        rig_say_bytes(rig, c, text, strlen(text));
}

/* The next whole reply (its last line), or NULL when none has come. */
static const char *rig_reply(struct rig_client *c)
{
        for (;;) {
                char *line = c->text + c->read, *end = strstr(line, "\r\n");

                if (end == NULL)
                        return NULL;
                c->read = (size_t)(end + 2 - c->text);
                if (end - line > 3 && line[3] == '-')
                        continue;
                *end = '\0';
                return line;
        }
}

#define rig_expect(rig, c, want) rig_expect_at(c, want, __LINE__)

static inline void rig_expect_at(struct rig_client *c, const char *want, int line)
{
        const char *got = rig_reply(c);

        if (got == NULL || strncmp(got, want, strlen(want)) != 0)
                fail_msg("line %d: want \"%s\", got \"%s\"", line, want, got ? got : "nothing");
}

/* Leave: nothing of the session may be left afterwards. */
static void rig_quiet(struct rig *rig)
{
        struct tcp_stats stats;

        for (unsigned i = 0; i < rig->clients_used; i++) {
                if (rig->client[i].is_used)
                        tcp_abort(rig->client_tcp, rig->client[i].conn);
        }
        rig_pass(rig, 1300ull * 1000000);
        assert_int_equal(sessions_open(rig->sessions), 0);
        tcp_stats(rig->ours, &stats);
        assert_int_equal(stats.connections, 0);
        assert_int_equal(rig->counters[0][COUNTER_legs_open], 0);
        for (unsigned i = 0; i < rig->image->servers.count; i++)
                assert_int_equal(atomic_load(&rig->backends->backend[rig->runtime.server_map[i]].sessions), 0);
}

#endif
