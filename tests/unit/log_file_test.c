/* SPDX-License-Identifier: Apache-2.0 */
/* The log file: rotation, torn lines, failures; and looking for an id in it (scan) and in memory (recent). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "control/log/file.h"
#include "control/log/recent.h"
#include "control/log/scan.h"

static char dir[64];

static int make_dir(void **state)
{
        strcpy(dir, "/tmp/greyline-log-XXXXXX");
        return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
        char command[128];

        snprintf(command, sizeof(command), "rm -r %s", dir);
        return system(command);
}

static const char *path_of(const char *name)
{
        static char path[128];

        snprintf(path, sizeof(path), "%s/%s", dir, name);
        return path;
}

static void expect_file(const char *name, const char *want)
{
        char got[4096] = "";
        FILE *file = fopen(path_of(name), "r");

        if (want == NULL) {
                assert_null(file);
                return;
        }
        assert_non_null(file);
        got[fread(got, 1, sizeof(got) - 1, file)] = '\0';
        fclose(file);
        assert_string_equal(got, want);
}

static void test_rotation(void **state)
{
        static const char *const lines[] = { "line 1\n", "line 2\n", "line 3\n", "line 4\n",
                                             "line 5\n", "line 6\n", "line 7\n" };
        struct log_file file;

        assert_int_equal(log_file_init(&file, path_of("log"), 15, 2), 0);
        for (unsigned i = 0; i < ARRAY_LEN(lines); i++)
                assert_int_equal(log_file_write(&file, lines[i], 7, 1), 0);
        expect_file("log", "line 7\n");
        expect_file("log.1", "line 5\nline 6\n");
        expect_file("log.2", "line 3\nline 4\n");
        expect_file("log.3", NULL);
        assert_int_equal(file.rotations, 3);
        assert_int_equal(file.lines, 7);
        log_file_close(&file);
}

/* A killed writer left half a line; the size so far counts towards the rotation. */
static void test_torn_line(void **state)
{
        struct log_file file;
        FILE *torn = fopen(path_of("log"), "w");

        fputs("whole\nhal", torn);
        fclose(torn);
        assert_int_equal(log_file_init(&file, path_of("log"), 100, 2), 0);
        assert_int_equal(log_file_write(&file, "next\n", 5, 1), 0);
        expect_file("log", "whole\nhal\nnext\n");
        assert_int_equal(file.bytes, 15);
        log_file_close(&file);
}

/* A write that fits only in part leaves nothing, is counted, and works once there is room again. */
static void test_no_space(void **state)
{
        struct rlimit before, limit;
        struct log_file file;

        signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
        assert_int_equal(log_file_init(&file, path_of("log"), 0, 2), 0);
        assert_int_equal(log_file_write(&file, "first\n", 6, 1), 0);
        limit = (struct rlimit){ 10, before.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        assert_int_equal(log_file_write(&file, "second\n", 7, 1), -EFBIG);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_int_equal(file.failures, 1);
        assert_int_equal(file.last_error, -EFBIG);
        expect_file("log", "first\n");
        assert_int_equal(log_file_write(&file, "second\n", 7, 1), 0);
        expect_file("log", "first\nsecond\n");
        assert_int_equal(file.last_error, 0);
        assert_int_equal(file.lines, 2);
        log_file_close(&file);
}

static void test_unwritable(void **state)
{
        struct log_file file;

        assert_int_equal(log_file_init(&file, path_of("missing/log"), 0, 2), 0);
        assert_int_equal(log_file_write(&file, "x\n", 2, 1), -ENOENT);
        assert_int_equal(file.failures, 1);
        log_file_close(&file);
}

/* Somebody moves the file away; after a close it is made anew. */
static void test_reopen(void **state)
{
        char moved[128];
        struct log_file file;

        assert_int_equal(log_file_init(&file, path_of("log"), 0, 2), 0);
        assert_int_equal(log_file_write(&file, "old\n", 4, 1), 0);
        snprintf(moved, sizeof(moved), "%s/moved", dir);
        assert_int_equal(rename(path_of("log"), moved), 0);
        log_file_close(&file);
        assert_int_equal(log_file_write(&file, "new\n", 4, 1), 0);
        expect_file("log", "new\n");
        log_file_close(&file);
}

static void test_scan(void **state)
{
        static char line[LOG_SCAN_LINE_MAX];
        struct log_file file;
        char text[200];

        assert_int_equal(log_file_init(&file, path_of("log"), 3u << 20, 3), 0);
        for (unsigned i = 0; i < 100000; i++) { /* some 9 MB: several blocks, several files */
                int len =
                    snprintf(text, sizeof(text), "{\"id\":\"%016u\",\"n\":%u,\"x\":\"%050u\"}\n", i, i, 7u);

                assert_int_equal(log_file_write(&file, text, (size_t)len, 1), 0);
        }
        assert_true(file.rotations >= 2);
        /* The same id again: the newest counts. */
        assert_int_equal(log_file_write(&file, "{\"id\":\"0000000000099000\",\"n\":1}\n", 32, 1), 0);
        log_file_close(&file);
        for (unsigned i = 0; i < 99000; i += 701) {
                char id[EXPLAIN_ID_LEN + 1];

                snprintf(id, sizeof(id), "%016u", i);
                snprintf(text, sizeof(text), "{\"id\":\"%016u\",\"n\":%u,\"x\":\"%050u\"}", i, i, 7u);
                if (log_scan(&file, id, line) < 0)
                        fail_msg("%s was not found", id);
                assert_string_equal(line, text);
        }
        assert_int_equal(log_scan(&file, "0000000000099000", line), 0);
        assert_string_equal(line, "{\"id\":\"0000000000099000\",\"n\":1}");
        assert_int_equal(log_scan(&file, "0000000000100000", line), -ENOENT);
}

static void test_recent(void **state)
{
        struct log_recent *recent = log_recent_new(64);
        struct msg_log record = { .kind = MSG_LOG_RCPT };
        char id[EXPLAIN_ID_LEN + 1];

        assert_non_null(recent);
        log_recent_add(recent, &record); /* has no id: ignored */
        for (unsigned i = 0; i < 1000; i++) {
                snprintf(id, sizeof(id), "%016u", i);
                memcpy(record.id, id, sizeof(record.id));
                record.score = (int32_t)i;
                log_recent_add(recent, &record);
        }
        for (unsigned i = 0; i < 1000; i++) {
                const struct msg_log *got;

                snprintf(id, sizeof(id), "%016u", i);
                got = log_recent_lookup(recent, id);
                if (i < 1000 - 64) {
                        assert_null(got);
                } else {
                        assert_non_null(got);
                        assert_int_equal(got->score, i);
                }
        }
        log_recent_free(recent);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_rotation, make_dir, remove_dir),
                cmocka_unit_test_setup_teardown(test_torn_line, make_dir, remove_dir),
                cmocka_unit_test_setup_teardown(test_no_space, make_dir, remove_dir),
                cmocka_unit_test_setup_teardown(test_unwritable, make_dir, remove_dir),
                cmocka_unit_test_setup_teardown(test_reopen, make_dir, remove_dir),
                cmocka_unit_test_setup_teardown(test_scan, make_dir, remove_dir),
                cmocka_unit_test(test_recent),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
