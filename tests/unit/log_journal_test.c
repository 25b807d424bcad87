/* SPDX-License-Identifier: Apache-2.0 */
/* The journal: what is noted comes back by every filter, the bound holds, a broken file is replaced. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <unistd.h>

#include "control/log/journal.h"

static char dir[64], path[128];

static int make_dir(void **state)
{
        strcpy(dir, "/tmp/greyline-journal-XXXXXX");
        if (mkdtemp(dir) == NULL)
                return -1;
        snprintf(path, sizeof(path), "%s/journal.sqlite", dir);
        return 0;
}

static int remove_dir(void **state)
{
        char command[128];

        snprintf(command, sizeof(command), "rm -r %s", dir);
        return system(command);
}

static void note(struct journal *journal, uint64_t key, enum msg_grey grey, uint32_t at_sec,
                 const char *client, const char *sender, const char *recipient)
{
        struct msg_log record = { .kind = MSG_LOG_RCPT,
                                  .grey = (uint8_t)grey,
                                  .grey_key = key,
                                  .at_us = at_sec * 1000000ull,
                                  .sender_len = (uint16_t)strlen(sender),
                                  .recipient_len = (uint16_t)strlen(recipient) };

        assert_int_equal(addr_parse(client, &record.client), 0);
        memcpy(record.text, sender, strlen(sender));
        memcpy(record.text + strlen(sender), recipient, strlen(recipient));
        journal_note(journal, &record);
}

struct answer {
        struct loop *loop;
        struct journal_row rows[JOURNAL_ROWS_MAX];
        uint32_t used;
        char error[512];
        bool has_come;
};

static void take_answer(void *arg, const struct journal_row *rows, uint32_t rows_used, const char *error)
{
        struct answer *answer = arg;

        memcpy(answer->rows, rows, rows_used * sizeof(*rows));
        answer->used = rows_used;
        snprintf(answer->error, sizeof(answer->error), "%s", error ? error : "");
        answer->has_come = true;
}

static struct answer *ask(struct loop *loop, struct journal *journal, const struct journal_filter *filter)
{
        static struct answer answer;

        memset(&answer, 0, sizeof(answer));
        assert_int_equal(journal_query(journal, filter, take_answer, &answer), 0);
        while (!answer.has_come)
                loop_turn(loop, -1);
        return &answer;
}

static void test_filters(void **state)
{
        static const struct {
                const char *name;
                struct journal_filter filter;
                const char *client;
                const char *want; /* keys, newest first, as digits */
        } cases[] = {
                { "all", { .limit = 100 }, NULL, "54321" },
                { "limit", { .limit = 2 }, NULL, "54" },
                { "domain of sender", { .limit = 100, .domain = "One.example" }, NULL, "21" },
                { "domain of recipient", { .limit = 100, .domain = "example.net" }, NULL, "53" },
                { "sender", { .limit = 100, .sender = "A@one.EXAMPLE" }, NULL, "1" },
                { "null sender by recipient", { .limit = 100, .recipient = "v@example.net" }, NULL, "5" },
                { "client", { .limit = 100 }, "192.0.2.1", "1" },
                { "client network", { .limit = 100 }, "192.0.2.0/24", "31" },
                { "client network v6", { .limit = 100 }, "2001:db8::/32", "4" },
                { "client and domain", { .limit = 100, .domain = "example.net" }, "192.0.2.0/24", "3" },
                { "key", { .limit = 100, .has_key = true, .key = 2 }, NULL, "2" },
                { "nothing", { .limit = 100, .domain = "one.exampl" }, NULL, "" },
                { "no injection", { .limit = 100, .sender = "' OR 1=1 --" }, NULL, "" },
        };
        struct loop *loop = loop_new();
        struct journal *journal = journal_new(loop, path, 1000);

        note(journal, 1, MSG_GREY_NEW, 1000, "192.0.2.1", "a@one.example", "u@example.org");
        note(journal, 2, MSG_GREY_NEW, 1001, "198.51.100.1", "b@ONE.example", "u@example.org");
        note(journal, 3, MSG_GREY_NEW, 1002, "192.0.2.255", "c@two.example", "u@example.net");
        note(journal, 4, MSG_GREY_NEW, 1003, "2001:db8::1", "d@three.example", "u@example.org");
        note(journal, 5, MSG_GREY_NEW, 1004, "203.0.113.1", "", "v@example.net");
        note(journal, 6, MSG_GREY_WAIT, 1005, "203.0.113.1", "x@y.example",
             "v@example.com");                                                               /* is not kept */
        note(journal, 0, MSG_GREY_NEW, 1005, "203.0.113.1", "x@y.example", "v@example.com"); /* has no key */
        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct journal_filter filter = cases[i].filter;
                char got[20] = "";
                struct answer *answer;

                if (cases[i].client) {
                        filter.has_client = true;
                        assert_int_equal(
                            addr_parse_prefix(cases[i].client, &filter.client, &filter.client_prefix_len), 0);
                }
                answer = ask(loop, journal, &filter);
                assert_string_equal(answer->error, "");
                for (uint32_t row = 0; row < answer->used; row++)
                        got[row] = (char)('0' + answer->rows[row].key);
                if (strcmp(got, cases[i].want) != 0)
                        fail_msg("%s: got %s, want %s", cases[i].name, got, cases[i].want);
        }
        journal_free(journal);
        loop_free(loop);
}

/* First try, pass, and a new start of the wait are one row that keeps the latest of each. */
static void test_one_row(void **state)
{
        struct journal_filter filter = { .limit = 10 };
        struct loop *loop = loop_new();
        struct journal *journal = journal_new(loop, path, 1000);
        struct answer *answer;

        note(journal, 7, MSG_GREY_NEW, 1000, "192.0.2.1", "a@one.example", "u@example.org");
        note(journal, 7, MSG_GREY_PASS, 1300, "192.0.2.1", "a@one.example", "u@example.org");
        note(journal, 7, MSG_GREY_RESTART, 9000, "192.0.2.1", "a@one.example", "u@example.org");
        answer = ask(loop, journal, &filter);
        assert_int_equal(answer->used, 1);
        assert_int_equal(answer->rows[0].first_sec, 9000);
        assert_int_equal(answer->rows[0].passed_sec, 1300);
        assert_string_equal(answer->rows[0].sender, "a@one.example");
        assert_int_equal(journal_stats(journal).rows, 1);
        journal_free(journal);
        loop_free(loop);
}

/* What was noted is there after a restart, and the oldest go first beyond the bound. */
static void test_bound_and_restart(void **state)
{
        struct journal_filter filter = { .limit = 1000 };
        struct loop *loop = loop_new();
        struct journal *journal = journal_new(loop, path, 100);
        struct answer *answer;

        for (uint32_t i = 1; i <= 1000; i++)
                note(journal, i, MSG_GREY_NEW, 1000 + i, "192.0.2.1", "a@one.example", "u@example.org");
        journal_free(journal);
        journal = journal_new(loop, path, 100);
        answer = ask(loop, journal, &filter);
        assert_true(answer->used <= 100 && answer->used > 50);
        for (uint32_t i = 0; i < answer->used; i++)
                assert_int_equal(answer->rows[i].key, 1000 - i);
        journal_free(journal);
        loop_free(loop);
}

static void test_broken_file(void **state)
{
        struct journal_filter filter = { .limit = 10 };
        struct loop *loop = loop_new();
        struct journal *journal;
        FILE *file = fopen(path, "w");
        char broken[160];

        for (unsigned i = 0; i < 1000; i++)
                fputs("this is no database ", file);
        fclose(file);
        journal = journal_new(loop, path, 100);
        note(journal, 7, MSG_GREY_NEW, 1000, "192.0.2.1", "a@one.example", "u@example.org");
        assert_int_equal(ask(loop, journal, &filter)->used, 1);
        assert_int_equal(journal_stats(journal).dropped, 0);
        snprintf(broken, sizeof(broken), "%s.broken", path);
        assert_int_equal(access(broken, R_OK), 0);
        journal_free(journal);
        loop_free(loop);
}

/* A directory that does not exist: entries are lost and counted, questions get a reason. */
static void test_no_disk(void **state)
{
        struct journal_filter filter = { .limit = 10 };
        struct loop *loop = loop_new();
        struct journal *journal = journal_new(loop, "/nonexistent/journal.sqlite", 100);

        note(journal, 7, MSG_GREY_NEW, 1000, "192.0.2.1", "a@one.example", "u@example.org");
        assert_non_null(strstr(ask(loop, journal, &filter)->error, "/nonexistent"));
        assert_int_equal(journal_stats(journal).dropped, 1);
        journal_free(journal);
        loop_free(loop);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_filters, make_dir, remove_dir),
                cmocka_unit_test_setup_teardown(test_one_row, make_dir, remove_dir),
                cmocka_unit_test_setup_teardown(test_bound_and_restart, make_dir, remove_dir),
                cmocka_unit_test_setup_teardown(test_broken_file, make_dir, remove_dir),
                cmocka_unit_test(test_no_disk),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
