/* SPDX-License-Identifier: Apache-2.0 */
/* Two endpoints with a perfect wire between them, and connections that are open. */
#ifndef GREYLINE_TEST_TCP_PAIR_H
#define GREYLINE_TEST_TCP_PAIR_H

#include "tests/unit/tcp_script.h"

struct pair {
        struct tcp *client, *server;
        uint64_t counters[2][COUNTER_USED];
        uint64_t now_us;
        unsigned in_use; /* packets in use before */
        uint32_t packets; /* that went over the wire */
};

static inline void pair_init(struct pair *pair, struct tcp_settings set)
{
        struct addr any = { { 0 } };

        memset(pair, 0, sizeof(*pair));
        pair->now_us = 1000000;
        pair->in_use = rte_mempool_in_use_count(script_pool);
        if (!set.pool)
                set.pool = script_pool;
        set.counters = pair->counters[0];
        pair->client = tcp_new(&set);
        set.counters = pair->counters[1];
        pair->server = tcp_new(&set);
        assert_non_null(pair->client);
        assert_non_null(pair->server);
        assert_int_equal(tcp_listen(pair->server, &any, 25, 1), 0);
}

static inline void pair_done(struct pair *pair)
{
        tcp_free(pair->client);
        tcp_free(pair->server);
        assert_int_equal(rte_mempool_in_use_count(script_pool), pair->in_use);
}

/* Carry segments to and fro until both are silent; then ms pass, timers run, and again. */
static inline void pair_run(struct pair *pair, uint64_t ms)
{
        for (uint64_t end_us = pair->now_us + ms * 1000;; pair->now_us += 1000) {
                struct tcp *ends[2] = { pair->client, pair->server };
                unsigned quiet = 0;

                tcp_tick(pair->client, pair->now_us);
                tcp_tick(pair->server, pair->now_us);
                for (unsigned i = 0; quiet < 2; i ^= 1) {
                        struct packet *packets[32];
                        unsigned n = tcp_output(ends[i], packets, 32, pair->now_us);

                        tcp_input(ends[i ^ 1], packets, n, pair->now_us);
                        pair->packets += n;
                        quiet = n ? 0 : quiet + 1;
                }
                if (pair->now_us >= end_us)
                        return;
        }
}

static inline struct tcp_handle pair_event(struct tcp *tcp, uint32_t want)
{
        struct tcp_event event;

        assert_true(tcp_next_event(tcp, &event));
        assert_int_equal(event.bits, want);
        return event.conn;
}

static inline void pair_open(struct pair *pair, uint16_t port, struct tcp_handle *ret_client, struct tcp_handle *ret_server)
{
        struct addr a, b;

        assert_int_equal(addr_parse("198.18.0.1", &a), 0);
        assert_int_equal(addr_parse("198.18.0.2", &b), 0);
        assert_int_equal(tcp_connect(pair->client, &a, port, &b, 25, port, pair->now_us, ret_client), 0);
        pair_run(pair, 0);
        pair_event(pair->client, TCP_EV_CONNECTED);
        *ret_server = pair_event(pair->server, TCP_EV_OPENED);
}

/* Read len bytes and compare them with the stream from at. */
static inline void pair_read(struct tcp *tcp, struct tcp_handle conn, uint32_t at, uint32_t len)
{
        while (len > 0) {
                uint32_t part;
                const uint8_t *bytes = tcp_recv_peek(tcp, conn, &part);

                assert_non_null(bytes);
                part = MIN(part, len);
                for (uint32_t i = 0; i < part; i++)
                        assert_int_equal(bytes[i], script_byte(at + i));
                assert_int_equal(tcp_recv_consume(tcp, conn, part), part);
                at += part;
                len -= part;
        }
}

static inline bool pair_send(struct tcp *tcp, struct tcp_handle conn, uint32_t at, uint32_t len)
{
        uint8_t *bytes = malloc(len + 1);
        bool taken;

        for (uint32_t i = 0; i < len; i++)
                bytes[i] = script_byte(at + i);
        taken = tcp_send_copy(tcp, conn, bytes, len);
        free(bytes);
        return taken;
}

#endif
