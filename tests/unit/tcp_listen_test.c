/* SPDX-License-Identifier: Apache-2.0 */
/* Opening from outside: syncache, cookies, strangers (RFC 4987, RFC 9293 3.10.7.1 and .2, RFC 7323 2 and 3, RFC 6691). */
#include <errno.h>

#include "tests/unit/tcp_script.h"

static void test_handshake(void **state)
{
        static const struct script_case cases[] = {
                { "plain", .lines = { OPEN_PLAIN, "halfopen 0", "conns 1", "state ESTABLISHED" } },
                { "options only if offered",
                  .lines = { "< S 0:0 mss 1460 ws 7 sok ts 1 0", "> S. 0:0 ack 1 mss 1460 ws 5 sok ts 0 1 win 8192" } },
                { "only the scale", .lines = { "< S 0:0 ws 20", "> S. 0:0 ack 1 ws 5" } },
                { "IPv6", .v6 = true, .lines = { "< S 0:0", "> S. 0:0 ack 1 mss 1440" } },
                { "a larger MTU is a larger MSS, as far as a packet takes it",
                  .set = { .mtu_v4 = 9000 },
                  .lines = { "< S 0:0", "> S. 0:0 ack 1 mss 1988" } },
                { "data with the last ACK", .lines = { "< S 0:0", "> S. 0:0 ack 1", "< P. 1:10 ack 1", "event OPENED,DATA", "read 10",
                                                      "+40", "> . 1:0 ack 11" } },
                { "data out of order before the last ACK",
                  .lines = { "< S 0:0", "> S. 0:0 ack 1", "< P. 11:10 ack 1", "> . 1:0 ack 1", "event OPENED", "< P. 1:10 ack 1",
                             "> . 1:0 ack 21", "event DATA", "read 20" } },
                { "FIN with the last ACK",
                  .lines = { "< S 0:0", "> S. 0:0 ack 1", "< FP. 1:10 ack 1", "> . 1:0 ack 12", "event OPENED,DATA", "read 10",
                             "event EOF" } },
                { "data beside the SYN is not taken, and comes again",
                  .lines = { "< S 0:10", "> S. 0:0 ack 1", "< P. 1:10 ack 1", "event OPENED,DATA", "read 10", "+40",
                             "> . 1:0 ack 11" } },
                { "SYN-ACK again at 1, 3, 7, 15 s, then forgotten",
                  .lines = { "< S 0:0", "> S. 0:0 ack 1", "+1001", "> S. 0:0 ack 1", "+2000", "> S. 0:0 ack 1", "+4000",
                             "> S. 0:0 ack 1", "+8000", "> S. 0:0 ack 1", "halfopen 1", "+16000", "> none", "halfopen 0" } },
                { "the last ACK was lost: the SYN-ACK brings it back, and the server may speak first",
                  .lines = { "< S 0:0", "> S. 0:0 ack 1", "+1001", "> S. 0:0 ack 1", "< . 1:0 ack 1", "event OPENED", "send 5",
                             "> P. 1:5" } },
                { "SYN again: SYN-ACK again, the same",
                  .lines = { "< S 0:0", "> S. 0:0 ack 1", "< S 0:0", "> S. 0:0 ack 1", "halfopen 1", "< . 1:0 ack 1",
                             "event OPENED" } },
                { "RST ends it", .lines = { "< S 0:0", "> S. 0:0 ack 1", "< R 1:0", "halfopen 0", "> none" } },
                { "RST elsewhere in the window is challenged, outside of it ignored (RFC 5961 3.2)",
                  .lines = { "< S 0:0", "> S. 0:0 ack 1", "< R 5:0", "> . 1:0 ack 1", "< R 8193:0", "> . 1:0 ack 1", "< R 8194:0",
                             "> none", "< R 0:0", "> none", "halfopen 1" } },
                { "outside of the window: told where we stand (RFC 9293 3.10.7.4)",
                  .lines = { "< S 0:0", "> S. 0:0 ack 1", "< . 0:0 ack 1", "> . 1:0 ack 1", "< . 8194:0 ack 1", "> . 1:0 ack 1",
                             "< P. 8193:10 ack 1", "> . 1:0 ack 1", "< F. -9:0 ack 77", "> . 1:0 ack 1", "halfopen 1",
                             "< . 1:0 ack 1", "event OPENED" } },
                { "older than the SYN by its timestamp: told so (RFC 7323 5.3), and the window is scaled",
                  .lines = { "< S 0:0 ws 7 ts 100 0", "> S. 0:0 ack 1 ws 5 ts 0 100 win 8192", "< . 1:0 ack 1 ts 99 0",
                             "> . 1:0 ack 1 ts 0 100 win 256", "< . 1:0 ack 1", "> none", "halfopen 1", "< . 1:0 ack 1 ts 100 0",
                             "event OPENED" } },
                { "a wrong ACK: RST, and the entry stays",
                  .lines = { "< S 0:0", "> S. 0:0 ack 1", "< . 1:0 ack 2", "> R 2:0", "halfopen 1", "< . 1:0 ack 1",
                             "event OPENED" } },
                { "SYN-ACK to a listener: RST", .lines = { "< S 0:0 port 1", "> S. 0:0 ack 1", "< S. 0:0 ack 77", "> R 77:0" } },
                { "SYN with FIN, NULL, bare FIN: silence",
                  .lines = { "< SF 0:0", "> none", "< - 0:0", "> none", "< F 0:0", "> none", "halfopen 0" } },
                { "ACK to a listener: RST",
                  .lines = { "< S 0:0 port 1", "> S. 0:0 ack 1", "< . 1:0 ack 1000", "> R 1000:0", "event none" } },
        };

        SCRIPT_RUN_ALL(cases);
}

/* A raw client, for what needs more than one connection. */
struct raw {
        struct tcp *tcp;
        uint64_t counters[COUNTER_USED];
        struct addr client, server;
        uint64_t now_us;
};

static void raw_init(struct raw *raw, struct tcp_settings set)
{
        memset(raw, 0, sizeof(*raw));
        raw->now_us = 5000000;
        set.pool = script_pool;
        set.counters = raw->counters;
        raw->tcp = tcp_new(&set);
        assert_non_null(raw->tcp);
        assert_int_equal(addr_parse("198.18.0.1", &raw->client), 0);
        assert_int_equal(addr_parse("198.18.0.25", &raw->server), 0);
        tcp_tick(raw->tcp, raw->now_us);
}

static void raw_send(struct raw *raw, uint16_t from, uint16_t to, struct tcp_header header)
{
        struct packet *packet = packet_new(script_pool);

        header.src_port = from;
        header.dst_port = to;
        header.window = 65535;
        tcp_header_build(&header, packet_append(packet, tcp_header_len(&header)));
        packet_meta(packet)->src = raw->client;
        packet_meta(packet)->dst = raw->server;
        tcp_input(raw->tcp, &packet, 1, raw->now_us);
}

static bool raw_receive(struct raw *raw, struct tcp_header *ret)
{
        struct packet *packet;

        if (tcp_output(raw->tcp, &packet, 1, raw->now_us) == 0)
                return false;
        assert_int_equal(tcp_header_parse(packet_data(packet), packet_len(packet), ret), TCP_PARSE_OK);
        packet_free(packet);
        return true;
}

/* With the syncache full, the cookie carries MSS, scale and SACK; without it nothing gets in. */
static void test_cookies(void **state)
{
        struct raw raw;
        struct tcp_header got;
        struct tcp_event event;
        struct tcp_info info;
        uint32_t isn;

        raw_init(&raw, (struct tcp_settings){ .connections_max = 8, .syncache_max = 1 });
        assert_int_equal(tcp_listen(raw.tcp, &raw.server, 25, 9), 0);
        /* Before any overflow a valid looking ACK is a stray. */
        raw_send(&raw, 1000, 25, (struct tcp_header){ .seq = 77, .flags = TCP_FLAG_SYN });
        assert_true(raw_receive(&raw, &got));
        raw_send(&raw, 1001, 25, (struct tcp_header){ .seq = 99, .ack = 1234, .flags = TCP_FLAG_ACK });
        assert_true(raw_receive(&raw, &got));
        assert_int_equal(got.flags, TCP_FLAG_RST);
        assert_int_equal(got.seq, 1234);
        /* The second SYN finds the cache full. */
        raw_send(&raw, 1002, 25, (struct tcp_header){ .seq = 500, .flags = TCP_FLAG_SYN, .mss = 1400, .has_scale = true, .scale = 7,
                                                      .has_sack_permitted = true });
        assert_true(raw_receive(&raw, &got));
        assert_int_equal(got.flags, TCP_FLAG_SYN | TCP_FLAG_ACK);
        assert_int_equal(raw.counters[COUNTER_tcp_cookies_sent], 1);
        isn = got.seq;
        /* Guesses fail; so does the right one for another port or another ISN of the client. */
        raw_send(&raw, 1002, 25, (struct tcp_header){ .seq = 501, .ack = isn + 2, .flags = TCP_FLAG_ACK });
        raw_send(&raw, 1003, 25, (struct tcp_header){ .seq = 501, .ack = isn + 1, .flags = TCP_FLAG_ACK });
        raw_send(&raw, 1002, 25, (struct tcp_header){ .seq = 502, .ack = isn + 1, .flags = TCP_FLAG_ACK });
        for (unsigned i = 0; i < 3; i++) {
                assert_true(raw_receive(&raw, &got));
                assert_int_equal(got.flags, TCP_FLAG_RST);
        }
        assert_int_equal(raw.counters[COUNTER_tcp_cookies_bad], 3);
        assert_false(tcp_next_event(raw.tcp, &event));
        raw.now_us += 10000000;
        raw_send(&raw, 1002, 25, (struct tcp_header){ .seq = 501, .ack = isn + 1, .flags = TCP_FLAG_ACK });
        assert_true(tcp_next_event(raw.tcp, &event));
        assert_int_equal(event.bits, TCP_EV_OPENED);
        assert_true(tcp_info(raw.tcp, event.conn, &info));
        assert_true(info.from_cookie);
        assert_true(info.has_sack);
        assert_false(info.has_timestamps);
        assert_int_equal(info.mss, 1400);
        assert_int_equal(info.send_scale, 7);
        /* Too old. */
        raw_send(&raw, 1004, 25, (struct tcp_header){ .seq = 500, .flags = TCP_FLAG_SYN });
        assert_true(raw_receive(&raw, &got));
        isn = got.seq;
        raw.now_us += 31000000;
        raw_send(&raw, 1004, 25, (struct tcp_header){ .seq = 501, .ack = isn + 1, .flags = TCP_FLAG_ACK });
        assert_false(tcp_next_event(raw.tcp, &event));
        tcp_free(raw.tcp);
}

static void test_strangers(void **state)
{
        static const struct {
                const char *name;
                uint8_t flags;
                uint32_t seq, ack;
                bool want_reply;
                uint8_t want_flags;
                uint32_t want_seq, want_ack;
        } cases[] = {
                { "SYN", TCP_FLAG_SYN, 100, 0, true, TCP_FLAG_RST | TCP_FLAG_ACK, 0, 101 },
                { "SYN FIN", TCP_FLAG_SYN | TCP_FLAG_FIN, 100, 0, true, TCP_FLAG_RST | TCP_FLAG_ACK, 0, 102 },
                { "ACK", TCP_FLAG_ACK, 100, 7000, true, TCP_FLAG_RST, 7000, 0 },
                { "SYN-ACK", TCP_FLAG_SYN | TCP_FLAG_ACK, 100, 7000, true, TCP_FLAG_RST, 7000, 0 },
                { "FIN", TCP_FLAG_FIN | TCP_FLAG_ACK, 100, 7000, true, TCP_FLAG_RST, 7000, 0 },
                { "RST", TCP_FLAG_RST, 100, 0, false, 0, 0, 0 },
                { "RST ACK", TCP_FLAG_RST | TCP_FLAG_ACK, 100, 7000, false, 0, 0, 0 },
        };
        struct raw raw;
        struct tcp_header got;
        unsigned replies = 0;

        raw_init(&raw, (struct tcp_settings){ .connections_max = 8 });
        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                raw_send(&raw, 1000, 4000,
                         (struct tcp_header){ .seq = cases[i].seq, .ack = cases[i].ack, .flags = cases[i].flags });
                if (raw_receive(&raw, &got) != cases[i].want_reply)
                        fail_msg("%s", cases[i].name);
                if (!cases[i].want_reply)
                        continue;
                if (got.flags != cases[i].want_flags || got.seq != cases[i].want_seq || got.ack != cases[i].want_ack)
                        fail_msg("%s: flags %02x seq %u ack %u", cases[i].name, got.flags, got.seq, got.ack);
        }
        /* No more than the limit in one second, and none is queued without bound. */
        raw.now_us += 1000000;
        for (unsigned i = 0; i < TCP_STRAY_PER_SEC + 100; i++) {
                raw_send(&raw, 1000, 4000, (struct tcp_header){ .flags = TCP_FLAG_SYN });
                replies += raw_receive(&raw, &got);
        }
        assert_int_equal(replies, TCP_STRAY_PER_SEC);
        raw.now_us += 1000000;
        for (unsigned i = 0; i < TCP_READY_MAX + 100; i++)
                raw_send(&raw, 1000, 4000, (struct tcp_header){ .flags = TCP_FLAG_SYN });
        for (replies = 0; raw_receive(&raw, &got);)
                replies++;
        assert_int_equal(replies, TCP_READY_MAX);
        tcp_free(raw.tcp);
}

static void test_listeners(void **state)
{
        static const struct addr any;
        struct raw raw;
        struct tcp_header got;

        raw_init(&raw, (struct tcp_settings){ .connections_max = 8 });
        assert_int_equal(tcp_listen(raw.tcp, &raw.client, 25, 1), 0);
        assert_int_equal(tcp_listen(raw.tcp, &raw.client, 25, 2), -EADDRINUSE);
        raw_send(&raw, 1000, 25, (struct tcp_header){ .flags = TCP_FLAG_SYN });
        assert_true(raw_receive(&raw, &got));
        assert_int_equal(got.flags, TCP_FLAG_RST | TCP_FLAG_ACK);
        assert_int_equal(tcp_listen(raw.tcp, &any, 25, 3), 0);
        raw_send(&raw, 1000, 25, (struct tcp_header){ .flags = TCP_FLAG_SYN });
        assert_true(raw_receive(&raw, &got));
        assert_int_equal(got.flags, TCP_FLAG_SYN | TCP_FLAG_ACK);
        assert_int_equal(tcp_unlisten(raw.tcp, &any, 25), 0);
        assert_int_equal(tcp_unlisten(raw.tcp, &any, 25), -ENOENT);
        raw_send(&raw, 1001, 25, (struct tcp_header){ .flags = TCP_FLAG_SYN });
        assert_true(raw_receive(&raw, &got));
        assert_int_equal(got.flags, TCP_FLAG_RST | TCP_FLAG_ACK);
        for (unsigned i = 0; i < TCP_LISTENERS_MAX - 1; i++)
                assert_int_equal(tcp_listen(raw.tcp, &any, (uint16_t)(100 + i), 1), 0);
        assert_int_equal(tcp_listen(raw.tcp, &any, 99, 1), -ENOSPC);
        tcp_free(raw.tcp);
}

/* A flood does not push out a client that is half open, nor take more packets than it sends. */
static void test_flood(void **state)
{
        struct raw raw;
        struct tcp_header got;
        struct tcp_stats stats;
        struct tcp_event event;
        uint32_t isn, synacks = 0, to_one = 0;

        raw_init(&raw, (struct tcp_settings){ .connections_max = 8, .syncache_max = 100 });
        assert_int_equal(tcp_listen(raw.tcp, &raw.server, 25, 9), 0);
        raw_send(&raw, 999, 25, (struct tcp_header){ .seq = 1, .flags = TCP_FLAG_SYN });
        assert_true(raw_receive(&raw, &got));
        isn = got.seq;
        for (unsigned i = 0; i < 5000; i++) {
                raw_send(&raw, (uint16_t)(2000 + i), 25, (struct tcp_header){ .seq = i, .flags = TCP_FLAG_SYN });
                synacks += raw_receive(&raw, &got);
        }
        assert_int_equal(synacks, 5000);
        tcp_stats(raw.tcp, &stats);
        assert_int_equal(stats.syncache, 100);
        assert_int_equal(raw.counters[COUNTER_tcp_cookies_sent], 4901);
        raw_send(&raw, 999, 25, (struct tcp_header){ .seq = 2, .ack = isn + 1, .flags = TCP_FLAG_ACK });
        assert_true(tcp_next_event(raw.tcp, &event));
        assert_int_equal(event.bits, TCP_EV_OPENED);
        /* While the cache is full, whoever is named in a spoofed SYN gets three SYN-ACKs at most. */
        for (unsigned i = 0; raw.now_us < 30000000; raw.now_us += 100000) {
                tcp_tick(raw.tcp, raw.now_us);
                while (raw_receive(&raw, &got))
                        to_one += got.dst_port == 2000;
                for (unsigned burst = 0; burst < 100; burst++, i++)
                        raw_send(&raw, (uint16_t)(10000 + i), 25, (struct tcp_header){ .seq = i, .flags = TCP_FLAG_SYN });
        }
        assert_int_equal(to_one, TCP_SYNACK_TRIES_FULL - 1);
        while (raw_receive(&raw, &got))
                ;
        for (; raw.now_us < 90000000; raw.now_us += 100000) {
                tcp_tick(raw.tcp, raw.now_us);
                while (raw_receive(&raw, &got))
                        ;
        }
        tcp_stats(raw.tcp, &stats);
        assert_int_equal(stats.syncache, 0);
        tcp_free(raw.tcp);
        assert_int_equal(rte_mempool_in_use_count(script_pool), 0);
}

/* connections_max is reached: who completes the handshake waits in the syncache until there is room. */
static void test_connections_max(void **state)
{
        struct raw raw;
        struct tcp_header got;
        struct tcp_event event;
        struct tcp_stats stats;
        uint32_t isn[2];

        raw_init(&raw, (struct tcp_settings){ .connections_max = 1, .syncache_max = 4 });
        assert_int_equal(tcp_listen(raw.tcp, &raw.server, 25, 9), 0);
        for (unsigned i = 0; i < 2; i++) {
                raw_send(&raw, (uint16_t)(1000 + i), 25, (struct tcp_header){ .seq = 1, .flags = TCP_FLAG_SYN });
                assert_true(raw_receive(&raw, &got));
                isn[i] = got.seq;
                raw_send(&raw, (uint16_t)(1000 + i), 25, (struct tcp_header){ .seq = 2, .ack = isn[i] + 1, .flags = TCP_FLAG_ACK });
        }
        assert_true(tcp_next_event(raw.tcp, &event));
        tcp_abort(raw.tcp, event.conn);
        assert_false(tcp_next_event(raw.tcp, &event));
        tcp_stats(raw.tcp, &stats);
        assert_int_equal(stats.syncache, 1);
        assert_int_equal(raw.counters[COUNTER_tcp_connections_full], 1);
        raw_send(&raw, 1001, 25, (struct tcp_header){ .seq = 2, .ack = isn[1] + 1, .flags = TCP_FLAG_ACK });
        assert_true(tcp_next_event(raw.tcp, &event));
        assert_int_equal(event.bits, TCP_EV_OPENED);
        tcp_free(raw.tcp);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_flood),     cmocka_unit_test(test_handshake), cmocka_unit_test(test_cookies),
                cmocka_unit_test(test_strangers), cmocka_unit_test(test_listeners), cmocka_unit_test(test_connections_max),
        };

        return cmocka_run_group_tests(tests, script_setup, NULL);
}
