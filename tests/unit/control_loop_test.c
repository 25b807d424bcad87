/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/loop.h"

#define TIMERS 50

struct trace {
        struct loop *loop;
        struct loop_timer timers[TIMERS];
        uint32_t fired[TIMERS];
        uint32_t fired_used;
        uint32_t posted;
        uint32_t events;
        int pair[2];
};

struct timer_arg {
        struct trace *trace;
        uint32_t number;
};

static void on_timer(void *arg)
{
        struct timer_arg *timer = arg;

        timer->trace->fired[timer->trace->fired_used++] = timer->number;
        if (timer->trace->fired_used == TIMERS - TIMERS / 5)
                loop_stop(timer->trace->loop);
}

/* Every fifth timer is stopped from the middle of the heap; the rest fire once each, the soonest first. */
static void test_timers_in_order(void **state)
{
        static struct trace trace;
        struct timer_arg args[TIMERS];

        trace.loop = loop_new();
        assert_non_null(trace.loop);
        for (uint32_t i = 0; i < TIMERS; i++) {
                args[i] = (struct timer_arg){ &trace, (i * 37) % TIMERS }; /* all numbers, shuffled */
                loop_timer_start(trace.loop, &trace.timers[i], args[i].number, on_timer, &args[i]);
        }
        for (uint32_t i = 0; i < TIMERS; i++) {
                if (args[i].number % 5 == 3)
                        loop_timer_stop(trace.loop, &trace.timers[i]);
        }
        loop_run(trace.loop);
        assert_int_equal(trace.fired_used, TIMERS - TIMERS / 5);
        for (uint32_t i = 0; i < trace.fired_used; i++) {
                assert_int_not_equal(trace.fired[i] % 5, 3);
                if (i > 0)
                        assert_true(trace.fired[i] > trace.fired[i - 1]);
        }
        assert_int_equal(loop_stats(trace.loop).timers, 0);
        loop_free(trace.loop);
}

static void restart_at_once(void *arg)
{
        struct trace *trace = arg;

        trace->fired_used++;
        loop_timer_start(trace->loop, &trace->timers[0], 0, restart_at_once, trace);
}

/* A timer that starts itself again without delay must not keep a turn from ending. */
static void test_turn_ends(void **state)
{
        static struct trace trace;

        trace.loop = loop_new();
        loop_timer_start(trace.loop, &trace.timers[0], 0, restart_at_once, &trace);
        loop_turn(trace.loop, -1);
        loop_turn(trace.loop, -1);
        assert_int_equal(trace.fired_used, 2);
        loop_free(trace.loop);
}

static void on_event(void *arg, int fd, uint32_t events)
{
        struct trace *trace = arg;
        int other = fd == trace->pair[0] ? trace->pair[1] : trace->pair[0];

        trace->events++;
        loop_del_fd(trace->loop, fd);
        loop_del_fd(trace->loop, other);
        /* The other number is reused at once, for something that has no event yet. */
        close(other);
        assert_int_equal(dup(fd), other); /* the lowest free number */
        assert_int_equal(loop_add_fd(trace->loop, other, 0, on_event, trace), 0);
}

/* Both ends are readable in one turn; the first to be called removes the other, whose event must not come. */
static void test_removed_fd_is_silent(void **state)
{
        static struct trace trace;

        trace.loop = loop_new();
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, trace.pair), 0);
        assert_int_equal(write(trace.pair[0], "x", 1), 1);
        assert_int_equal(write(trace.pair[1], "x", 1), 1);
        assert_int_equal(loop_add_fd(trace.loop, trace.pair[0], EPOLLIN, on_event, &trace), 0);
        assert_int_equal(loop_add_fd(trace.loop, trace.pair[1], EPOLLIN, on_event, &trace), 0);
        loop_turn(trace.loop, -1);
        assert_int_equal(trace.events, 1);
        assert_int_equal(loop_add_fd(trace.loop, LOOP_FDS_MAX, EPOLLIN, on_event, &trace), -24);
        loop_free(trace.loop);
}

static void on_posted(void *arg)
{
        struct trace *trace = arg;

        if (++trace->posted == 3)
                loop_stop(trace->loop);
}

static void *post_three(void *arg)
{
        static struct loop_work works[3];
        struct trace *trace = arg;

        for (unsigned i = 0; i < 3; i++) {
                works[i].fn = on_posted;
                works[i].arg = trace;
                loop_post(trace->loop, &works[i]);
        }
        return NULL;
}

/* Work from another thread wakes a loop that would otherwise sleep for ever. */
static void test_post_wakes(void **state)
{
        static struct trace trace;
        pthread_t thread;

        trace.loop = loop_new();
        assert_int_equal(pthread_create(&thread, NULL, post_three, &trace), 0);
        loop_run(trace.loop);
        pthread_join(thread, NULL);
        assert_int_equal(trace.posted, 3);
        loop_free(trace.loop);
}

static void be_slow(void *arg)
{
        usleep((LOOP_TURN_MAX_MS + 5) * 1000);
}

static void test_slow_turn_is_counted(void **state)
{
        static struct trace trace;

        trace.loop = loop_new();
        loop_timer_start(trace.loop, &trace.timers[0], 0, be_slow, NULL);
        loop_turn(trace.loop, -1);
        assert_int_equal(loop_stats(trace.loop).slow_turns, 1);
        assert_true(loop_stats(trace.loop).longest_turn_us >= LOOP_TURN_MAX_MS * 1000);
        loop_stats_reset_longest(trace.loop);
        assert_int_equal(loop_stats(trace.loop).longest_turn_us, 0);
        loop_free(trace.loop);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_timers_in_order),      cmocka_unit_test(test_turn_ends),
                cmocka_unit_test(test_removed_fd_is_silent), cmocka_unit_test(test_post_wakes),
                cmocka_unit_test(test_slow_turn_is_counted),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
