/* SPDX-License-Identifier: Apache-2.0 */
/* Built with the source itself, so that a line can be left as a killed control leaves it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "dataplane/shared/client_table.c"

#define NOW 1800000000u

static const struct siphash_key key = { { 0xcccc, 0xdddd } };
static char dir[64], path[96];
static struct client_table table;

static int set_up(void **state)
{
        strcpy(dir, "/dev/shm/client_table_test.XXXXXX");
        assert_non_null(mkdtemp(dir));
        snprintf(path, sizeof(path), "%s/client", dir);
        return client_table_open(&table, path, CLIENT_TABLE_ENTRIES_MIN, &key, NULL);
}

static int tear_down(void **state)
{
        char lock[96];

        client_table_close(&table);
        unlink(path);
        snprintf(lock, sizeof(lock), "%s/lock", dir);
        unlink(lock);
        return rmdir(dir);
}

static struct addr addr_of(uint32_t number)
{
        return addr_from_v4_be(__builtin_bswap32(0x0a000000u + number));
}

static bool has_writer; /* another thread writes: two looks may differ */

/* In steps, from whatever hint: the same as at once. */
static void same_from(uint32_t hint, const struct addr *addr, uint32_t now_sec, const struct client_answers *want)
{
        struct client_answers got;
        uint32_t line = hint;

        client_table_prefetch_near(&table, hint);
        assert_int_equal(client_table_lookup_near(&table, addr, now_sec, &line, &got), want->found);
        assert_int_equal(line != CLIENT_LINE_NONE, want->found);
        assert_int_equal(got.name_len, 0);
        client_table_name(&table, addr, line, &got);
        assert_string_equal(got.name, want->name);
        assert_int_equal(got.name_len, want->name_len);
        assert_int_equal(got.ptr, want->ptr);
        assert_int_equal(got.pool, want->pool);
        assert_int_equal(got.zones_known, want->zones_known);
        assert_int_equal(got.zones_listed, want->zones_listed);
        assert_int_equal(got.zones_error, want->zones_error);
        assert_int_equal(got.zones_stale, want->zones_stale);
        if (hint != line && want->found)
                same_from(line, addr, now_sec, want);
}

static struct client_answers answers_of(const struct addr *addr, uint32_t now_sec)
{
        struct client_answers answers;
        bool found;

        client_table_prefetch(&table, addr);
        found = client_table_lookup(&table, addr, now_sec, &answers);
        assert_int_equal(found, answers.found);
        if (has_writer)
                return answers;
        same_from(CLIENT_LINE_NONE, addr, now_sec, &answers);
        same_from(0, addr, now_sec, &answers);
        same_from(CLIENT_LINE_NONE - 1, addr, now_sec, &answers);
        return answers;
}

static void test_zones(void **state)
{
        struct addr addr = addr_of(1), other = addr_of(2);
        struct client_answers got = answers_of(&addr, NOW);

        assert_false(got.found);
        assert_int_equal(client_answers_zone(&got, 3), CLIENT_ZONE_UNKNOWN);
        client_table_write_zones(&table, &addr, 1u << 3 | 1u << 20, CLIENT_ZONE_LISTED, NOW + 100, NOW);
        client_table_write_zones(&table, &addr, 1u << 0 | 1u << 15, CLIENT_ZONE_CLEAR, NOW + 50, NOW);
        client_table_write_zones(&table, &addr, 1u << 31, CLIENT_ZONE_ERROR, NOW + 300, NOW);
        got = answers_of(&addr, NOW + 49);
        assert_true(got.found);
        assert_int_equal(got.zones_known, 1u << 0 | 1u << 3 | 1u << 15 | 1u << 20 | 1u << 31);
        assert_int_equal(got.zones_listed, 1u << 3 | 1u << 20);
        assert_int_equal(got.zones_error, 1u << 31);
        assert_int_equal(got.zones_stale, 0);
        assert_int_equal(got.zones_expire_sec[0], NOW + 50);
        assert_int_equal(got.zones_expire_sec[1], NOW + 100);
        assert_int_equal(client_answers_zone(&got, 3), CLIENT_ZONE_LISTED);
        assert_int_equal(client_answers_zone(&got, 15), CLIENT_ZONE_CLEAR);
        assert_int_equal(client_answers_zone(&got, 31), CLIENT_ZONE_ERROR);
        assert_int_equal(client_answers_zone(&got, 30), CLIENT_ZONE_UNKNOWN);
        /* past its expiry an answer is still there, and says so */
        got = answers_of(&addr, NOW + 50);
        assert_int_equal(got.zones_stale, 1u << 0 | 1u << 3 | 1u << 15);
        assert_int_equal(client_answers_zone(&got, 3), CLIENT_ZONE_LISTED);
        /* the first answer after that forgets the others of its sixteen */
        client_table_write_zones(&table, &addr, 1u << 7, CLIENT_ZONE_CLEAR, NOW + 500, NOW + 60);
        got = answers_of(&addr, NOW + 60);
        assert_int_equal(got.zones_known, 1u << 7 | 1u << 20 | 1u << 31);
        assert_int_equal(got.zones_expire_sec[0], NOW + 500);
        /* a changed answer replaces the one before */
        client_table_write_zones(&table, &addr, 1u << 7, CLIENT_ZONE_LISTED, NOW + 500, NOW + 60);
        got = answers_of(&addr, NOW + 60);
        assert_int_equal(client_answers_zone(&got, 7), CLIENT_ZONE_LISTED);
        assert_false(answers_of(&other, NOW).found);
        assert_true(client_table_remove(&table, &addr));
        assert_false(client_table_remove(&table, &addr));
        assert_false(answers_of(&addr, NOW).found);
}

static void test_ptr(void **state)
{
        struct addr addr = addr_of(1);
        char long_name[200];
        struct client_answers got;

        memset(long_name, 'x', sizeof(long_name));
        client_table_write_ptr(&table, &addr, CLIENT_PTR_CONFIRMED, 0x1234567890abcdef, "mail.example.org",
                               16, NOW + 100, NOW);
        got = answers_of(&addr, NOW);
        assert_int_equal(got.ptr, CLIENT_PTR_CONFIRMED);
        assert_int_equal(got.pool, 0x1234567890abcdef);
        assert_string_equal(got.name, "mail.example.org");
        assert_int_equal(got.name_len, 16);
        assert_false(got.ptr_stale);
        assert_true(answers_of(&addr, NOW + 100).ptr_stale);
        /* name and pool belong to a confirmed name only */
        client_table_write_ptr(&table, &addr, CLIENT_PTR_UNCONFIRMED, 99, "mail.example.org", 16, NOW + 100,
                               NOW);
        got = answers_of(&addr, NOW);
        assert_int_equal(got.ptr, CLIENT_PTR_UNCONFIRMED);
        assert_int_equal(got.pool, 0);
        assert_int_equal(got.name_len, 0);
        client_table_write_ptr(&table, &addr, CLIENT_PTR_CONFIRMED, 0, long_name, CLIENT_NAME_MAX, NOW + 100,
                               NOW);
        assert_int_equal(answers_of(&addr, NOW).name_len, CLIENT_NAME_MAX);
        client_table_write_ptr(&table, &addr, CLIENT_PTR_CONFIRMED, 0, long_name, CLIENT_NAME_MAX + 1,
                               NOW + 100, NOW);
        got = answers_of(&addr, NOW);
        assert_int_equal(got.ptr, CLIENT_PTR_CONFIRMED);
        assert_int_equal(got.name_len, 0);
        assert_string_equal(got.name, "");
}

/* IPv6 neighbours answer for themselves, and "::" is no client. */
static void test_whole_address(void **state)
{
        struct addr one, two, none = { 0 };

        assert_int_equal(addr_parse("2001:db8::1", &one), 0);
        assert_int_equal(addr_parse("2001:db8::2", &two), 0);
        client_table_write_ptr(&table, &one, CLIENT_PTR_NONE, 0, "", 0, NOW + 100, NOW);
        assert_int_equal(answers_of(&one, NOW).ptr, CLIENT_PTR_NONE);
        assert_false(answers_of(&two, NOW).found);
        client_table_write_zones(&table, &none, 1, CLIENT_ZONE_CLEAR, NOW + 100, NOW);
        assert_false(answers_of(&none, NOW).found);
}

/* A full set gives up the line that expires first; what is found is always the address's own. */
static void test_eviction(void **state)
{
        unsigned evicted = 0, found = 0, lines = 0;
        uint64_t cursor = 0;
        struct addr addr;

        for (uint32_t i = 1; i <= 1000; i++) {
                addr = addr_of(i);
                evicted += client_table_write_zones(&table, &addr, 1u << i % 32, CLIENT_ZONE_LISTED,
                                                    NOW + 1000 + i, NOW) == CLIENT_WRITE_EVICTED;
        }
        for (uint32_t i = 1; i <= 1000; i++) {
                struct client_answers got;

                addr = addr_of(i);
                got = answers_of(&addr, NOW);
                found += got.found;
                if (got.found)
                        assert_int_equal(got.zones_listed, 1u << i % 32);
        }
        while (client_table_next(&table, &cursor, ~0ull, &addr))
                lines++;
        assert_true(client_table_at_end(&table, cursor));
        assert_int_equal(lines, found);
        assert_int_equal(found + evicted, 1000);
        assert_int_equal(found, table.sets * CLIENT_LINE_WAYS);
        /* those with the latest expiry are the ones that stayed: the last one certainly */
        addr = addr_of(1000);
        assert_true(answers_of(&addr, NOW).found);
        /* in a table of stale answers nobody is missed */
        addr = addr_of(5000);
        assert_int_equal(
            client_table_write_zones(&table, &addr, 1, CLIENT_ZONE_CLEAR, NOW + 9000, NOW + 5000),
            CLIENT_WRITE_DONE);
}

/* Control was killed in the middle of giving a line to another address, at any step, or tore a name. */
static void test_half_written(void **state)
{
        struct addr old = addr_of(1), new = addr_of(2);
        struct client_answers got;
        int64_t line;

        client_table_write_zones(&table, &old, UINT32_MAX, CLIENT_ZONE_LISTED, NOW + 100, NOW);
        client_table_write_ptr(&table, &old, CLIENT_PTR_CONFIRMED, 77, "old.example.org", 15, NOW + 100, NOW);
        line = find_line(&table, &old, hash_address(&table, &old));
        assert_true(line >= 0);
        /* the last step alone was done: nothing of the former tenant is believed */
        client_table_write_ptr(&table, &new, CLIENT_PTR_NONE, 0, "", 0, NOW + 100, NOW);
        client_table_remove(&table, &new);
        table.line[first_line(&table, hash_address(&table, &new)) + 7] = table.line[line];
        table.name[first_line(&table, hash_address(&table, &new)) + 7] = table.name[line];
        table.line[first_line(&table, hash_address(&table, &new)) + 7].address = address_word(&new);
        got = answers_of(&new, NOW);
        assert_true(got.found);
        assert_int_equal(got.zones_known, 0);
        assert_int_equal(got.ptr, CLIENT_PTR_UNKNOWN);
        assert_int_equal(got.pool, 0);
        assert_int_equal(got.name_len, 0);
        /* its own state, but the name of another, or a torn one */
        client_table_write_ptr(&table, &new, CLIENT_PTR_CONFIRMED, 78, "new.example.org", 15, NOW + 100, NOW);
        assert_string_equal(answers_of(&new, NOW).name, "new.example.org");
        table.name[first_line(&table, hash_address(&table, &new)) + 7] = table.name[line];
        got = answers_of(&new, NOW);
        assert_int_equal(got.ptr, CLIENT_PTR_CONFIRMED);
        assert_int_equal(got.name_len, 0);
        table.name[line].text[3] = '?';
        assert_int_equal(answers_of(&old, NOW).name_len, 0);
        table.name[line].len = 255;
        assert_int_equal(answers_of(&old, NOW).name_len, 0);
}

/* While control gives lines to other addresses all the time, a reader never sees one address's answers as
 * another's: zones, pool and name all follow from the address here. */
static _Atomic bool stop;

static void *write_all_the_time(void *arg)
{
        for (uint32_t i = 0; !stop; i = (i + 7) % 4096) {
                struct addr addr = addr_of(i);
                char name[64];
                int len = snprintf(name, sizeof(name), "host-%u.example.org", i);

                client_table_write_zones(&table, &addr, i + 1, CLIENT_ZONE_LISTED, NOW + 1000 + i % 13, NOW);
                client_table_write_ptr(&table, &addr, CLIENT_PTR_CONFIRMED, i + 1, name, (size_t)len,
                                       NOW + 1000, NOW);
        }
        return NULL;
}

static void test_reader_beside_writer(void **state)
{
        unsigned found = 0, named = 0;
        pthread_t thread;

        stop = false;
        has_writer = true;
        assert_int_equal(pthread_create(&thread, NULL, write_all_the_time, NULL), 0);
        for (uint32_t i = 0; found < 20000 || named < 5000; i = (i + 1) % 4096) {
                struct addr addr = addr_of(i);
                struct client_answers got = answers_of(&addr, NOW);
                char name[64];

                if (!got.found)
                        continue;
                found++;
                /* sixteen zones at a time: each half is whole or not there yet */
                if (got.zones_known & 0xffff)
                        assert_int_equal(got.zones_listed & 0xffff, (i + 1) & 0xffff);
                if (got.ptr == CLIENT_PTR_CONFIRMED)
                        assert_int_equal(got.pool, i + 1);
                if (got.name_len > 0) {
                        snprintf(name, sizeof(name), "host-%u.example.org", i);
                        assert_string_equal(got.name, name);
                        named++;
                }
        }
        stop = true;
        pthread_join(thread, NULL);
        has_writer = false;
}

static void test_open(void **state)
{
        static const struct siphash_key other = { { 1, 1 } };
        struct addr addr = addr_of(9);
        struct client_table again;
        bool made = true;

        client_table_write_zones(&table, &addr, 1, CLIENT_ZONE_LISTED, NOW + 100, NOW);
        assert_int_equal(client_table_open(&again, path, 100000, &key, &made), 0);
        assert_false(made);
        assert_int_equal(again.sets, table.sets);
        client_table_close(&again);
        /* another secret: a cache is made anew, not refused */
        assert_int_equal(client_table_open(&again, path, 64, &other, &made), 0);
        assert_true(made);
        client_table_close(&again);
        assert_int_equal(client_table_open(&again, path, 1, &other, &made), -22);
}

int main(void)
{
#define WITH_TABLE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                WITH_TABLE(test_zones),
                WITH_TABLE(test_ptr),
                WITH_TABLE(test_whole_address),
                WITH_TABLE(test_eviction),
                WITH_TABLE(test_reader_beside_writer),
                WITH_TABLE(test_open),
                WITH_TABLE(test_half_written),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
