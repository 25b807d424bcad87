/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "dataplane/tcp/board.h"
#include "dataplane/tcp/conn.h"
#include "dataplane/tcp/rack.h"

#define SPACE 400
#define BASE  0xffffff80u /* so that sequence numbers and times wrap */

static struct tcp_board board_at(uint32_t una)
{
        struct tcp_board board;

        memset(&board, 0x5a, sizeof(board)); /* as one that was used before */
        board.count = 0;
        rack_start(&board, una, una, BASE, 0, 0);
        return board;
}

/* What is known of each byte. */
struct byte {
        uint32_t us;
        uint8_t flags;
        bool is_held;
};

static const struct rack_span *span_of(const struct tcp_board *board, uint32_t seq)
{
        const struct rack_span *found = NULL;

        for (unsigned i = 0; i < board->spans; i++)
                if (SEQ_BEFORE_EQ(board->span[i].seq, seq))
                        found = &board->span[i];
        return found;
}

static void compare(const struct tcp_board *board, const struct byte *bytes, uint32_t una, uint32_t end, bool is_exact)
{
        uint32_t pipe = 0, lost = UINT32_MAX, got_start = 0, got_end = 0;

        assert_int_equal(board->sent_end, BASE + end);
        assert_true(board->spans <= TCP_RACK_SPANS);
        assert_true(una == end ? board->spans == 0 : board->span[0].seq == BASE + una);
        for (unsigned i = 1; i < board->spans; i++)
                assert_true(SEQ_BEFORE(board->span[i - 1].seq, board->span[i].seq));
        for (uint32_t i = una; i < end; i++) {
                const struct rack_span *span = span_of(board, BASE + i);

                if (is_exact) {
                        assert_int_equal(span->us, bytes[i].us);
                        assert_int_equal(span->flags, bytes[i].flags);
                } else { /* later, and nothing is lost that is not */
                        assert_true(SEQ_AFTER_EQ(span->us, bytes[i].us));
                        assert_true(!(bytes[i].flags & RACK_AGAIN) || span->flags & RACK_AGAIN);
                        assert_true(!(span->flags & RACK_LOST) || bytes[i].flags & RACK_LOST);
                }
                pipe += !bytes[i].is_held && !(bytes[i].flags & RACK_LOST);
                if (lost == UINT32_MAX && !bytes[i].is_held && bytes[i].flags & RACK_LOST)
                        lost = i;
        }
        if (!is_exact)
                return;
        assert_int_equal(rack_pipe(board), pipe);
        assert_int_equal(rack_next_lost(board, &got_start, &got_end), lost != UINT32_MAX);
        if (lost != UINT32_MAX)
                assert_int_equal(got_start, BASE + lost);
}

/* Sending, sending again, SACKs, ACKs and losses by the dice, against a note for each byte. */
static void test_against_bytes(void **state)
{
        uint64_t seed = 3;
        unsigned exact_runs = 0;

        for (unsigned run = 0; run < 4000; run++) {
                struct tcp_board board = board_at(BASE);
                struct byte bytes[SPACE];
                uint32_t una = 0, end = 0, now_us = BASE;
                unsigned most = run % 2 ? 60 : 6;
                bool is_exact = true;

                memset(bytes, 0, sizeof(bytes));
                for (unsigned step = 0; step < most; step++) {
                        uint32_t start, stop, len;
                        unsigned what;

                        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
                        what = (unsigned)(seed >> 60);
                        len = 1 + (uint32_t)(seed >> 33) % 12;
                        start = end > una ? una + (uint32_t)(seed >> 40) % (end - una) : una;
                        now_us += (uint32_t)(seed >> 50) % 3;
                        if (what < 6 || end == una) { /* new bytes */
                                start = end;
                                stop = MIN(end + len, SPACE);
                                if (start == stop)
                                        break;
                                is_exact &= board.spans < TCP_RACK_SPANS;
                                rack_sent(&board, BASE + start, BASE + stop, now_us, 0);
                                end = stop;
                                for (uint32_t i = start; i < stop; i++)
                                        bytes[i] = (struct byte){ now_us, 0, false };
                        } else if (what < 10) { /* again */
                                stop = MIN(start + len, end);
                                is_exact &= board.spans + 3u <= TCP_RACK_SPANS;
                                rack_sent(&board, BASE + start, BASE + stop, now_us, RACK_AGAIN);
                                for (uint32_t i = start; i < stop; i++) {
                                        bytes[i].us = now_us;
                                        bytes[i].flags = RACK_AGAIN;
                                }
                        } else if (what < 13) { /* SACK */
                                stop = MIN(start + len, end);
                                if (board.count == TCP_BOARD_RANGES)
                                        continue;
                                (void)board_add(&board, BASE + start, BASE + stop);
                                for (uint32_t i = start; i < stop; i++)
                                        bytes[i].is_held = true;
                        } else if (what < 14) { /* ACK */
                                una = MIN(una + len, end);
                                board_trim(&board, BASE + una);
                                rack_trim(&board, BASE + una);
                        } else { /* what was sent before start was is lost */
                                struct rack_losses losses;

                                is_exact &= board.spans < TCP_RACK_SPANS;
                                board.has_delivered = true;
                                board.delivered_us = bytes[start].us;
                                board.delivered_end = BASE + start + 1;
                                board.rtt_us = 0;
                                rack_detect(&board, now_us + 1000, 0, &losses);
                                for (uint32_t i = una; i < end; i++)
                                        if (is_exact && SEQ_BEFORE_EQ(bytes[i].us, bytes[start].us) &&
                                            (bytes[i].us != bytes[start].us || i <= start))
                                                bytes[i].flags |= span_of(&board, BASE + i)->flags & RACK_LOST ? RACK_LOST : 0;
                                for (uint32_t i = una; i < end; i++) {
                                        bool is_lost = bytes[i].flags & RACK_LOST;

                                        if (is_exact && !bytes[i].is_held && SEQ_BEFORE_EQ(bytes[i].us, bytes[start].us) &&
                                            (bytes[i].us != bytes[start].us || i <= start))
                                                assert_true(is_lost);
                                }
                                if (!is_exact)
                                        break;
                        }
                        compare(&board, bytes, una, end, is_exact);
                }
                exact_runs += is_exact;
        }
        assert_true(exact_runs > 1000); /* neither kind is rare */
        assert_true(exact_runs < 3900);
}

static void test_room(void **state)
{
        struct tcp_board board = board_at(1000);

        /* 100 bytes every 10 us, but the third right after the second. */
        for (uint32_t i = 0; i < TCP_RACK_SPANS; i++)
                rack_sent(&board, 1000 + 100 * i, 1100 + 100 * i, BASE + 10 * i - (i == 2 ? 9 : 0), 0);
        assert_int_equal(board.spans, TCP_RACK_SPANS);
        rack_sent(&board, 1000 + 100 * TCP_RACK_SPANS, 1100 + 100 * TCP_RACK_SPANS, BASE + 1000, 0);
        assert_int_equal(board.spans, TCP_RACK_SPANS);
        assert_int_equal(board.span[1].seq, 1100);
        assert_int_equal(board.span[1].us, BASE + 11); /* the two closest, with the later time */
        assert_int_equal(board.span[2].seq, 1300);
        /* What was sent in one burst takes one. */
        rack_sent(&board, board.sent_end, board.sent_end + 5000, BASE + 1000, 0);
        assert_int_equal(board.spans, TCP_RACK_SPANS);
        assert_int_equal(board.sent_end, 1100 + 100 * TCP_RACK_SPANS + 5000);
}

/* RACK_update(): which of what an ACK brings counts. Four spans of 100 bytes, sent at 0, 10, 20, 30 ms; the ACK at 50 ms. */
static void test_learning(void **state)
{
        static const struct {
                const char *name;
                uint32_t again; /* the span from here was sent again, at 35 ms */
                uint32_t ack;
                struct tcp_block blocks[2];
                uint32_t echo_ms; /* 0: no timestamps */
                uint32_t guess_ms;
                bool want;
                uint32_t want_us, want_end, want_rtt_us;
                bool want_reordered;
        } cases[] = {
                { "in order", 0, 1100, { { 0 } }, 0, 20, true, 0, 1100, 50000, false },
                { "all at once: the last", 0, 1400, { { 0 } }, 0, 20, true, 30000, 1400, 20000, false },
                { "a SACK", 0, 1000, { { 1200, 1300 } }, 0, 20, true, 20000, 1300, 30000, false },
                { "two SACKs, the newer first", 0, 1000, { { 1300, 1400 }, { 1100, 1200 } }, 0, 20, true, 30000, 1400, 20000, false },
                { "nothing new", 0, 1000, { { 0 } }, 0, 20, false, 0, 0, 0, false },
                { "a repeat, in time", 1000, 1100, { { 0 } }, 0, 15, true, 35000, 1100, 15000, false },
                { "a repeat, sooner than a round trip: the first copy's answer", 1000, 1100, { { 0 } }, 0, 16, false, 0, 0, 0, false },
                { "a repeat, but the timestamp is older", 1000, 1100, { { 0 } }, 34, 15, false, 0, 0, 0, false },
                { "a repeat, and the timestamp is its own", 1000, 1100, { { 0 } }, 35, 15, true, 35000, 1100, 15000, false },
                { "a repeat above a gap: the timestamp is another one's", 1200, 1000, { { 1200, 1300 } }, 5, 15, true, 35000, 1300,
                  15000, false },
                { "beside a repeat that does not count, one that does", 1000, 1200, { { 0 } }, 0, 16, true, 10000, 1200, 40000, false },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct tcp_board board = board_at(1000);
                struct rack_news news = { .now_us = BASE + 50000 };

                rack_start(&board, 1000, 1000, BASE, cases[i].guess_ms * 1000, 0);
                for (uint32_t s = 0; s < 4; s++)
                        rack_sent(&board, 1000 + 100 * s, 1100 + 100 * s, BASE + 10000 * s, 0);
                if (cases[i].again)
                        rack_sent(&board, cases[i].again, cases[i].again + 100, BASE + 35000, RACK_AGAIN);
                news.has_echo = cases[i].echo_ms;
                news.echo_us = BASE + 1000 * cases[i].echo_ms;
                rack_delivered(&board, 1000, cases[i].ack, true, &news);
                for (unsigned b = 0; b < 2 && cases[i].blocks[b].end; b++) {
                        rack_delivered(&board, cases[i].blocks[b].start, cases[i].blocks[b].end, false, &news);
                        assert_true(board_add(&board, cases[i].blocks[b].start, cases[i].blocks[b].end));
                }
                rack_learned(&board, &news, 1400, 0);
                if (news.any != cases[i].want || news.is_reordered != cases[i].want_reordered)
                        fail_msg("%s: any %d reordered %d", cases[i].name, news.any, news.is_reordered);
                if (news.any && (board.delivered_us != BASE + cases[i].want_us || board.delivered_end != cases[i].want_end ||
                                 board.rtt_us != cases[i].want_rtt_us))
                        fail_msg("%s: got %u %u %u", cases[i].name, board.delivered_us - BASE, board.delivered_end, board.rtt_us);
        }
}

/* RACK_detect_reordering(). */
static void test_reordering(void **state)
{
        struct tcp_board board = board_at(1000);
        struct rack_news news = { .now_us = BASE + 100 };

        rack_sent(&board, 1000, 2000, BASE, 0);
        rack_delivered(&board, 1300, 1400, false, &news);
        (void)board_add(&board, 1300, 1400);
        rack_learned(&board, &news, 1400, 0);
        assert_false(news.is_reordered);
        /* What was sent before it was sent again says nothing. */
        rack_sent(&board, 1000, 1100, BASE + 50, RACK_AGAIN);
        news = (struct rack_news){ .now_us = BASE + 200 };
        rack_delivered(&board, 1000, 1100, true, &news);
        assert_false(news.is_reordered);
        /* Of [1100, 1400) the last 100 are known; what lies before them came late. */
        rack_delivered(&board, 1100, 1400, true, &news);
        assert_true(news.is_reordered);
}

/* RACK_detect_loss(): spans of 100 bytes sent at 0, 10, 20 ms; the second was delivered, with a round trip of 20 ms. */
static void test_losses(void **state)
{
        static const struct {
                const char *name;
                uint32_t now_ms, window_ms;
                uint32_t want_lost; /* bytes */
                uint32_t want_wait_us;
        } cases[] = {
                { "at once without a window", 30, 0, 100, 0 },
                { "in the window: 0 + 20 + 15 - 30", 30, 15, 0, 5000 },
                { "the window is over", 35, 15, 100, 0 },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct tcp_board board = board_at(1000);
                struct rack_losses losses;
                uint32_t start = 0, end = 0;

                for (uint32_t s = 0; s < 3; s++)
                        rack_sent(&board, 1000 + 100 * s, 1100 + 100 * s, BASE + 10000 * s, 0);
                board.cut_us = BASE + 5000;
                (void)board_add(&board, 1100, 1200);
                board.has_delivered = true;
                board.delivered_us = BASE + 10000;
                board.delivered_end = 1200;
                board.rtt_us = 20000;
                rack_detect(&board, BASE + 1000 * cases[i].now_ms, 1000 * cases[i].window_ms, &losses);
                if (losses.any != (cases[i].want_lost > 0) || losses.wait_us != cases[i].want_wait_us || losses.is_fresh)
                        fail_msg("%s: any %d wait %u", cases[i].name, losses.any, losses.wait_us);
                assert_int_equal(rack_next_lost(&board, &start, &end), cases[i].want_lost > 0);
                assert_int_equal(end - start, cases[i].want_lost);
                assert_int_equal(rack_pipe(&board), 200 - cases[i].want_lost);
                /* Lost again after the window was cut for it: that is news. */
                rack_sent(&board, 1000, 1100, BASE + 30000, RACK_AGAIN);
                board.delivered_us = BASE + 30001;
                rack_detect(&board, BASE + 100000, 0, &losses);
                assert_true(losses.any && losses.is_fresh);
        }
}

/* In one burst, only what lies before the delivered bytes. */
static void test_burst(void **state)
{
        struct tcp_board board = board_at(1000);
        struct rack_losses losses;
        uint32_t start, end;

        rack_sent(&board, 1000, 2000, BASE, 0);
        (void)board_add(&board, 1500, 1600);
        board.has_delivered = true;
        board.delivered_us = BASE;
        board.delivered_end = 1600;
        board.rtt_us = 10;
        rack_detect(&board, BASE + 10, 0, &losses);
        assert_true(losses.any);
        assert_true(rack_next_lost(&board, &start, &end));
        assert_int_equal(start, 1000);
        assert_int_equal(end, 1500);
        assert_int_equal(rack_pipe(&board), 400);
        /* Nothing of it twice. */
        rack_detect(&board, BASE + 10, 0, &losses);
        assert_false(losses.any);
        /* A recovery takes over what a timeout had not sent again yet. */
        rack_give_up(&board, 2500);
        assert_int_equal(rack_pipe(&board), 400);
        rack_trim(&board, 2000);
        board_trim(&board, 2000);
        assert_true(rack_next_lost(&board, &start, &end));
        assert_int_equal(start, 2000);
        assert_int_equal(end, 2500);
        rack_restart(&board, 2000);
        assert_int_equal(rack_pipe(&board), 0);
}

static void test_min_rtt(void **state)
{
        struct tcp_board board = board_at(1000);
        static const struct {
                uint32_t at_ms, rtt_us, want_us;
        } cases[] = { { 0, 500, 500 }, { 10, 700, 500 }, { 59999, 300, 300 }, { 60000, 900, 300 }, { 130000, 800, 800 } };

        rack_sent(&board, 1000, 2000, BASE, 0);
        assert_int_equal(rack_min_rtt_us(&board), UINT32_MAX);
        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct rack_news news = { .now_us = BASE + cases[i].rtt_us, .any = true, .sent_us = BASE, .end = 2000 };

                rack_learned(&board, &news, 2000, cases[i].at_ms);
                assert_int_equal(rack_min_rtt_us(&board), cases[i].want_us);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_against_bytes), cmocka_unit_test(test_room),   cmocka_unit_test(test_learning),
                cmocka_unit_test(test_reordering),    cmocka_unit_test(test_losses), cmocka_unit_test(test_burst),
                cmocka_unit_test(test_min_rtt),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
