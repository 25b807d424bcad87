/* SPDX-License-Identifier: Apache-2.0 */
/* Packets run short: who gives way, who does not, and that the endpoint works on with what is left. */
#include "dataplane/tcp/press.h"
#include "tests/unit/tcp_pair.h"

#define CONNECTIONS 40
#define HELD_MAX    64

struct crowd {
        struct pair pair;
        struct tcp_handle c[CONNECTIONS], s[CONNECTIONS];
};

static void crowd_open(struct crowd *crowd, unsigned n)
{
        pair_init(&crowd->pair, (struct tcp_settings){ .connections_max = CONNECTIONS, .packets_held_max = HELD_MAX,
                                                       .window_bytes = 60000, .send_bytes_max = 60000 });
        for (unsigned i = 0; i < n; i++)
                pair_open(&crowd->pair, (uint16_t)(1000 + i), &crowd->c[i], &crowd->s[i]);
}

/* Let the server's connection i hold n packets that its peer does not acknowledge, since that is told of nothing. */
static void stall(struct crowd *crowd, unsigned i, unsigned n)
{
        static const uint8_t bytes[60000];
        struct packet *packets[32];
        struct tcp_stats before, after;

        tcp_stats(crowd->pair.server, &before);
        do {
                assert_true(tcp_send_copy(crowd->pair.server, crowd->s[i], bytes, 2000));
                tcp_stats(crowd->pair.server, &after);
        } while (after.packets_held - before.packets_held < n);
        for (unsigned got; (got = tcp_output(crowd->pair.server, packets, 32, crowd->pair.now_us)) > 0;)
                while (got > 0)
                        packet_free(packets[--got]);
}

/* ms pass at the server alone; what it sends is lost. Returns the connections that ended. */
static uint64_t wait_alone(struct crowd *crowd, unsigned ms)
{
        struct packet *packets[32];
        struct tcp_event event;
        uint64_t ended = 0;

        for (unsigned i = 0; i < ms; i++) {
                crowd->pair.now_us += 1000;
                tcp_tick(crowd->pair.server, crowd->pair.now_us);
                for (unsigned got; (got = tcp_output(crowd->pair.server, packets, 32, crowd->pair.now_us)) > 0;)
                        while (got > 0)
                                packet_free(packets[--got]);
                while (tcp_next_event(crowd->pair.server, &event))
                        for (unsigned k = 0; k < CONNECTIONS; k++)
                                if (event.bits & TCP_EV_TIMEOUT && crowd->s[k].generation == event.conn.generation &&
                                    crowd->s[k].index == event.conn.index)
                                        ended |= 1ull << k;
        }
        return ended;
}

static uint64_t victims(const struct crowd *crowd)
{
        return crowd->pair.counters[1][COUNTER_tcp_victims];
}

static void test_levels(void **state)
{
        static const struct {
                uint32_t held;
                enum press level;
        } cases[] = { { 0, PRESS_NONE },  { 50, PRESS_NONE }, { 51, PRESS_SAVE }, { 75, PRESS_SAVE },
                      { 76, PRESS_TAKE }, { 94, PRESS_TAKE }, { 95, PRESS_HARD }, { 100, PRESS_HARD } };
        struct tcp tcp = { .set = { .packets_held_max = 100 } };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                tcp.held = cases[i].held;
                assert_int_equal(press_level(&tcp), cases[i].level);
        }
}

/* Above three quarters those that stall give way after 20 s, one by one and no more of them than needed. */
static void test_stalled(void **state)
{
        struct crowd crowd;
        struct tcp_stats stats;

        crowd_open(&crowd, 4);
        for (unsigned i = 0; i < 3; i++)
                stall(&crowd, i, 17);
        tcp_stats(crowd.pair.server, &stats);
        assert_int_equal(press_level(crowd.pair.server), PRESS_TAKE);
        assert_int_equal(wait_alone(&crowd, 19900), 0);
        assert_int_equal(__builtin_popcountll(wait_alone(&crowd, 200)), 1);
        assert_int_equal(victims(&crowd), 1);
        assert_true(press_level(crowd.pair.server) < PRESS_TAKE);
        assert_int_equal(wait_alone(&crowd, 20000), 0);
        pair_done(&crowd.pair);
}

/* Above fifteen sixteenths after 5 s; who holds nothing, and who makes progress, stays. */
static void test_hard(void **state)
{
        struct crowd crowd;
        uint64_t ended = 0;

        crowd_open(&crowd, 5);
        for (unsigned i = 0; i < 4; i++)
                stall(&crowd, i, i < 3 ? 18 : 7);
        assert_int_equal(press_level(crowd.pair.server), PRESS_HARD);
        /* The peer of the last acknowledges a segment from time to time; that of the fifth has nothing to. */
        for (unsigned second = 0; second < 6; second++) {
                struct tcp_conn *conn = &crowd.pair.server->conns[crowd.s[3].index];

                ended |= wait_alone(&crowd, 1000);
                conn->flight->progress_ms = (uint32_t)crowd.pair.server->now_ms;
        }
        assert_int_equal(__builtin_popcountll(ended), 1);
        assert_int_equal(ended & ~7ull, 0);
        assert_int_equal(victims(&crowd), 1);
        pair_done(&crowd.pair);
}

/* Those that nobody owns any more give way first. */
static void test_unowned(void **state)
{
        struct crowd crowd;

        crowd_open(&crowd, 3);
        for (unsigned i = 0; i < 3; i++)
                stall(&crowd, i, 17);
        tcp_close(crowd.pair.server, crowd.s[2]);
        assert_int_equal(wait_alone(&crowd, 4900), 0);
        assert_int_equal(victims(&crowd), 0);
        assert_int_equal(wait_alone(&crowd, 200), 0);
        assert_int_equal(victims(&crowd), 1);
        assert_int_equal(wait_alone(&crowd, 20000), 0);
        pair_done(&crowd.pair);
}

/* Those that we opened have three times as long. */
static void test_backends(void **state)
{
        struct crowd crowd;

        crowd_open(&crowd, 3);
        for (unsigned i = 0; i < 3; i++) {
                stall(&crowd, i, 17);
                crowd.pair.server->conns[crowd.s[i].index].flags |= CONN_ACTIVE;
        }
        assert_int_equal(wait_alone(&crowd, 59900), 0);
        assert_int_equal(__builtin_popcountll(wait_alone(&crowd, 200)), 1);
        pair_done(&crowd.pair);
}

/* What came out of order goes before any connection does, and comes again. */
static void test_reorder_first(void **state)
{
        static const struct script_case cases[] = {
                { "forgotten above three quarters, sent again, delivered",
                  .set = { .packets_held_max = 8, .window_bytes = 60000 },
                  .lines = { OPEN_PLAIN, "< . 1001:1000 ack 1", "> . 1:0 ack 1", "< . 3001:1000 ack 1", "> . 1:0 ack 1",
                             "< . 5001:1000 ack 1", "> . 1:0 ack 1", "held 3", "send 8000", "drain", "held 7", "+1", "held 4",
                             "< . 1:1000 ack 1", "event DATA", "read 1000", "drain", "< . 1001:1000 ack 8001", "drain",
                             "event DATA", "read 1000", "drain", "+50", "drain", "held 0" } },
        };

        SCRIPT_RUN_ALL(cases);
}

/* Above half no window grows, and small pieces lie together whatever their size. */
static void test_windows(void **state)
{
        static const struct script_case cases[] = {
                { "no more than a session has before DATA",
                  .set = { .packets_held_max = 8, .window_bytes = 4000 },
                  .lines = { OPEN_PLAIN, "send 9000", "drain", "held 5", "window 60000", "> . 9001:0 ack 1 win 8192" } },
                { "and all of it once there is room again",
                  .set = { .packets_held_max = 8, .window_bytes = 4000 },
                  .lines = { OPEN_PLAIN, "send 9000", "drain", "window 60000", "> . 9001:0 ack 1 win 8192",
                             "< . 1:0 ack 9001", "< . 1:1000 ack 9001", "event DATA", "read 1000",
                             "> . 9001:0 ack 1001 win 60000" } },
                { "pieces of 300 bytes share packets",
                  .set = { .packets_held_max = 8, .window_bytes = 60000 },
                  .lines = { OPEN_PLAIN, "send 9000", "drain", "held 5", "< . 1:300 ack 1", "< . 301:300 ack 1", "drain",
                             "< . 601:300 ack 1", "held 6", "event DATA", "read 900", "drain" } },
        };

        SCRIPT_RUN_ALL(cases);
}

/* RFC 9293 3.8.6.1 keeps a connection open while its window is shut; to open and shut it in turns is no progress. */
static void test_window_in_turns(void **state)
{
#define TURN "< . 1:0 ack 1 win 0", "drain", "+5000", "drain", "< . 1:0 ack 1 win 1", "drain", "+5000", "drain"
        static const struct script_case cases[] = {
                { "where nobody owns the connection it ends after 60 s",
                  .lines = { OPEN_PLAIN, "send 10", "> P. 1:10", "close", "drain", TURN, TURN, TURN, TURN, TURN, "conns 1", TURN, TURN,
                             TURN, TURN, TURN, TURN, TURN, "conns 0" } },
                { "where somebody does it goes on",
                  .set = { .user_timeout_us = 60000000, .zero_window_max_us = 60000000 },
                  .lines = { OPEN_PLAIN, "send 10", "> P. 1:10", TURN, TURN, TURN, TURN, TURN, TURN, TURN, TURN, TURN, TURN, TURN, TURN,
                             "conns 1" } },
        };

        SCRIPT_RUN_ALL(cases);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_levels),   cmocka_unit_test(test_stalled),       cmocka_unit_test(test_hard),
                cmocka_unit_test(test_unowned),  cmocka_unit_test(test_backends),      cmocka_unit_test(test_reorder_first),
                cmocka_unit_test(test_windows),  cmocka_unit_test(test_window_in_turns),
        };

        return cmocka_run_group_tests(tests, script_setup, NULL);
}
