/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control's end of the rings against a dataplane played by the test: a link file, questions, records, a
 * second dataplane in place of the first, and messages that a sound one would never write.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/link.h"
#include "tests/unit/control_fake.h"

static char dir[64];

static int make_dir(void **state)
{
        strcpy(dir, "/tmp/greyline-link-XXXXXX");
        return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
        char command[128];

        snprintf(command, sizeof(command), "rm -r %s", dir);
        return system(command);
}

static void test_absent(void **state)
{
        struct control_link *link;
        struct msg_ask ask;

        assert_int_equal(control_link_new(&link, dir), 0);
        assert_false(control_link_check(link));
        assert_null(control_link_page(link));
        assert_int_equal(control_link_state(link, 0, NULL), CONTROL_LINK_ABSENT);
        assert_false(control_link_next_ask(link, &ask));
        control_link_answer(link, 0, &(struct msg_answer){ 0 });
        assert_int_equal(control_link_stats(link)->answers_dropped, 1);
        control_link_free(link);
}

static void test_ask_and_answer(void **state)
{
        struct control_link *link;
        struct fake fake;
        struct msg_ask ask;
        const struct msg_answer *got;
        struct msg_answer answer = { .kind = MSG_ANSWER_CLIENT, .serial = 7 };
        struct pollfd poll_fd;

        fake_open(&fake, dir, 2);
        assert_int_equal(control_link_new(&link, dir), 0);
        assert_true(control_link_check(link));
        assert_false(control_link_check(link));
        assert_int_equal(control_link_workers(link), 2);
        assert_true(fake_ask(&fake, 0, good_ask(0, 10)));
        assert_true(fake_ask(&fake, 0, good_ask(0, 11)));
        assert_true(fake_ask(&fake, 1, good_ask(1, 20)));
        /* The workers take turns. */
        assert_true(control_link_next_ask(link, &ask));
        assert_int_equal(ask.serial, 10);
        assert_true(control_link_next_ask(link, &ask));
        assert_int_equal(ask.serial, 20);
        assert_true(control_link_next_ask(link, &ask));
        assert_int_equal(ask.serial, 11);
        assert_false(control_link_next_ask(link, &ask));

        /* A worker that sleeps is woken, one that is awake is not. */
        assert_true(ring_read_may_sleep(&fake.answer[1]));
        control_link_answer(link, 0, &answer);
        control_link_answer(link, 1, &answer);
        control_link_flush(link);
        got = ring_read_slot(&fake.answer[1]);
        assert_non_null(got);
        assert_int_equal(got->serial, 7);
        assert_non_null(ring_read_slot(&fake.answer[0]));
        poll_fd = (struct pollfd){ .fd = fake.bell[1], .events = POLLIN };
        assert_int_equal(poll(&poll_fd, 1, 0), 1);
        poll_fd.fd = fake.bell[0];
        assert_int_equal(poll(&poll_fd, 1, 0), 0);
        control_link_free(link);
        fake_close(&fake);
}

static void test_bad_messages(void **state)
{
        struct control_link *link;
        struct fake fake;
        struct msg_ask ask = good_ask(0, 1);
        struct msg_log record;

        fake_open(&fake, dir, 2);
        assert_int_equal(control_link_new(&link, dir), 0);
        assert_true(control_link_check(link));
        ask.kind = 0;
        assert_true(fake_ask(&fake, 0, ask));
        ask = good_ask(1, 1); /* another worker's */
        assert_true(fake_ask(&fake, 0, ask));
        ask = good_ask(0, 1);
        memset(&ask.client, 0, sizeof(ask.client));
        assert_true(fake_ask(&fake, 0, ask));
        ask = good_ask(0, 1);
        ask.known_before = 2;
        assert_true(fake_ask(&fake, 0, ask));
        assert_true(fake_ask(&fake, 0, good_ask(0, 5)));
        assert_true(control_link_next_ask(link, &ask));
        assert_int_equal(ask.serial, 5);
        assert_int_equal(control_link_stats(link)->bad_asks, 4);

        assert_true(fake_log(&fake, 1, 0, 1)); /* another worker's */
        assert_true(fake_log(&fake, 1, 1, 2));
        assert_true(control_link_next_log(link, &record));
        assert_int_equal(record.session, 2);
        assert_int_equal(control_link_stats(link)->bad_records, 1);
        control_link_free(link);
        fake_close(&fake);
}

/* A record is there until it is done, also for a control that comes after. */
static void test_record_stays(void **state)
{
        struct control_link *link;
        struct fake fake;
        struct msg_log record;

        fake_open(&fake, dir, 1);
        for (uint64_t session = 1; session <= 3; session++)
                assert_true(fake_log(&fake, 0, 0, session));
        assert_int_equal(control_link_new(&link, dir), 0);
        assert_true(control_link_check(link));
        assert_true(control_link_next_log(link, &record));
        control_link_log_done(link);
        assert_true(control_link_next_log(link, &record));
        assert_int_equal(record.session, 2);
        assert_true(control_link_next_log(link, &record));
        assert_int_equal(record.session, 2);
        control_link_free(link); /* without having done it */

        assert_int_equal(control_link_new(&link, dir), 0);
        assert_true(control_link_check(link));
        for (uint64_t session = 2; session <= 3; session++) {
                assert_true(control_link_next_log(link, &record));
                assert_int_equal(record.session, session);
                control_link_log_done(link);
        }
        assert_false(control_link_next_log(link, &record));
        assert_true(control_link_may_sleep(link));
        assert_true(fake_log(&fake, 0, 0, 4));
        assert_false(control_link_may_sleep(link));
        control_link_free(link);
        fake_close(&fake);
}

/* Another dataplane took the place: the records of the first are fetched before it is let go. */
static void test_new_dataplane(void **state)
{
        struct control_link *link;
        struct fake first, second;
        struct msg_log record;
        struct msg_ask ask;

        fake_open(&first, dir, 1);
        assert_int_equal(control_link_new(&link, dir), 0);
        assert_true(control_link_check(link));
        assert_true(fake_log(&first, 0, 0, 1));
        fake_close(&first);
        fake_open(&second, dir, 2);
        assert_true(fake_log(&second, 0, 0, 2));
        assert_true(fake_ask(&second, 1, good_ask(1, 30)));
        assert_false(control_link_check(link));
        assert_true(control_link_next_log(link, &record));
        assert_int_equal(record.session, 1);
        /* A log that cannot be written must not keep the new one waiting. */
        assert_true(control_link_log_is_pressing(link));
        control_link_log_done(link);
        assert_true(control_link_check(link));
        assert_int_equal(control_link_workers(link), 2);
        assert_true(control_link_next_log(link, &record));
        assert_int_equal(record.session, 2);
        assert_false(control_link_log_is_pressing(link));
        assert_true(control_link_next_ask(link, &ask));
        assert_int_equal(ask.serial, 30);
        assert_int_equal(control_link_stats(link)->attached, 2);
        control_link_free(link);
        fake_close(&second);
}

/* A worker that reads no answers costs a bounded list, and gets its answers when it reads again. */
static void test_full_answers(void **state)
{
        struct control_link *link;
        struct fake fake;
        uint64_t sent = LINK_ANSWER_SLOTS + CONTROL_LINK_ANSWERS_MAX + 10, got = 0;

        fake_open(&fake, dir, 1);
        assert_int_equal(control_link_new(&link, dir), 0);
        assert_true(control_link_check(link));
        for (uint64_t serial = 0; serial < sent; serial++)
                control_link_answer(link, 0,
                                    &(struct msg_answer){ .kind = MSG_ANSWER_CLIENT, .serial = serial });
        assert_int_equal(control_link_stats(link)->answers_dropped, 10);
        for (unsigned round = 0; round < 3; round++) {
                const struct msg_answer *answer;

                control_link_flush(link);
                while ((answer = ring_read_slot(&fake.answer[0])) != NULL) {
                        assert_int_equal(answer->serial, got);
                        got++;
                        ring_read_release(&fake.answer[0]);
                }
        }
        assert_int_equal(got, sent - 10);
        control_link_free(link);
        fake_close(&fake);
}

static void test_pressing(void **state)
{
        struct control_link *link;
        struct fake fake;
        struct msg_log record;

        fake_open(&fake, dir, 1);
        assert_int_equal(control_link_new(&link, dir), 0);
        assert_true(control_link_check(link));
        for (uint32_t i = 0; i < LINK_LOG_SLOTS / 2; i++)
                assert_true(fake_log(&fake, 0, 0, i));
        assert_true(control_link_next_log(link, &record));
        assert_false(control_link_log_is_pressing(link));
        assert_true(fake_log(&fake, 0, 0, 1));
        assert_true(control_link_log_is_pressing(link));
        control_link_free(link);
        fake_close(&fake);
}

static void test_alive_hung_dead(void **state)
{
        struct control_link *link;
        struct fake fake;
        uint64_t age_ms;
        pid_t pid;

        fake_open(&fake, dir, 1);
        assert_int_equal(control_link_new(&link, dir), 0);
        assert_true(control_link_check(link));
        atomic_store(&fake.link.page->dataplane_beat_ms, 10000);
        assert_int_equal(control_link_state(link, 10000 + CONTROL_LINK_HUNG_MS, &age_ms), CONTROL_LINK_ALIVE);
        assert_int_equal(age_ms, CONTROL_LINK_HUNG_MS);
        assert_int_equal(control_link_state(link, 10001 + CONTROL_LINK_HUNG_MS, NULL), CONTROL_LINK_HUNG);
        pid = fork();
        if (pid == 0)
                _exit(0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        fake.link.page->dataplane_pid = pid;
        assert_int_equal(control_link_state(link, 10001 + CONTROL_LINK_HUNG_MS, NULL), CONTROL_LINK_DEAD);
        control_link_free(link);
        fake_close(&fake);
}

static void test_other_version(void **state)
{
        struct control_link *link;
        struct fake fake;

        fake_open(&fake, dir, 1);
        fake.link.page->version = LINK_VERSION + 1;
        assert_int_equal(control_link_new(&link, dir), 0);
        for (unsigned i = 0; i < 3; i++)
                assert_false(control_link_check(link));
        assert_int_equal(control_link_stats(link)->version_refused, 1);
        control_link_free(link);
        fake_close(&fake);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)
        const struct CMUnitTest tests[] = {
                TEST(test_absent),       TEST(test_ask_and_answer),  TEST(test_bad_messages),
                TEST(test_record_stays), TEST(test_new_dataplane),   TEST(test_full_answers),
                TEST(test_pressing),     TEST(test_alive_hung_dead), TEST(test_other_version),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
