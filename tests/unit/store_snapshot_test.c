/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "control/store/snapshot.h"

#define NOW     1800000000u
#define ENTRIES 20000u /* more than one block */

static const struct siphash_key key = { { 51, 52 } };
static const struct grey_params params = { .block_sec = 240, .window_sec = 21600, .life_sec = 36 * 86400 };
static char dir[64], path[96], other_path[96], snapshot[96];
static struct grey_table table, other;

static void unlink_in_dir(const char *name)
{
        char file[96];

        snprintf(file, sizeof(file), "%s/%s", dir, name);
        unlink(file);
}

static uint64_t number(uint64_t i)
{
        return siphash(&key, &i, sizeof(i)) | 1;
}

static int set_up(void **state)
{
        strcpy(dir, "/dev/shm/store_snapshot_test.XXXXXX");
        assert_non_null(mkdtemp(dir));
        snprintf(path, sizeof(path), "%s/grey", dir);
        snprintf(other_path, sizeof(other_path), "%s/other", dir);
        snprintf(snapshot, sizeof(snapshot), "%s/snapshot", dir);
        assert_int_equal(grey_table_open(&table, path, 2 * ENTRIES, &key, NULL), 0);
        for (uint64_t i = 0; i < ENTRIES; i++) {
                grey_table_record(&table, number(i), GREY_KIND_NETWORK, GREY_EVENT_FIRST, &params,
                                  NOW - 1000 - (uint32_t)i % 500);
                if (i % 3 == 0)
                        grey_table_record(&table, number(i), GREY_KIND_NETWORK, GREY_EVENT_PASS, &params,
                                          NOW - (uint32_t)i % 500);
        }
        /* of another size, so that nothing can depend on the layout */
        return grey_table_open(&other, other_path, 3 * ENTRIES + 17, &key, NULL);
}

static int tear_down(void **state)
{
        grey_table_close(&table);
        grey_table_close(&other);
        unlink_in_dir("grey");
        unlink_in_dir("other");
        unlink_in_dir("lock");
        unlink_in_dir("snapshot");
        return rmdir(dir);
}

static struct grey_facts facts_of(const struct grey_table *of, uint64_t which)
{
        struct grey_query query = { .key = which };

        grey_table_lookup(of, &query, 1);
        return query.facts;
}

static unsigned count_equal(void)
{
        unsigned equal = 0;

        for (uint64_t i = 0; i < ENTRIES; i++) {
                struct grey_facts a = facts_of(&table, number(i)), b = facts_of(&other, number(i));

                if (b.kind == GREY_KIND_NONE)
                        continue;
                assert_int_equal(a.first_sec, b.first_sec);
                assert_int_equal(a.last_pass_sec, b.last_pass_sec);
                assert_int_equal(a.passes, b.passes);
                assert_int_equal(a.kind, b.kind);
                equal++;
        }
        return equal;
}

static void test_there_and_back(void **state)
{
        struct snapshot_stats saved, loaded;

        assert_int_equal(snapshot_load(&other, snapshot, &params, NOW, &loaded), -ENOENT);
        assert_int_equal(snapshot_save(&table, snapshot, &params, NOW, &saved), 0);
        assert_in_range(saved.entries, ENTRIES - 50, ENTRIES); /* the table may have evicted a few */
        assert_int_equal(saved.made_sec, NOW);
        assert_int_equal(access(snapshot, R_OK), 0);
        assert_int_equal(snapshot_load(&other, snapshot, &params, NOW, &loaded), 0);
        assert_int_equal(loaded.entries, saved.entries);
        assert_int_equal(loaded.bytes, saved.bytes);
        assert_int_equal(loaded.refused + loaded.dead + loaded.no_room, 0);
        assert_int_equal(count_equal(), saved.entries);
        /* a second time changes nothing */
        assert_int_equal(snapshot_load(&other, snapshot, &params, NOW, &loaded), 0);
        assert_int_equal(count_equal(), saved.entries);
}

static void test_dead_and_future(void **state)
{
        struct snapshot_stats saved, loaded;

        /* much later: those that still wait have no use any more, the passed ones are remembered */
        assert_int_equal(snapshot_save(&table, snapshot, &params, NOW + 86400, &saved), 0);
        assert_in_range(saved.entries, ENTRIES / 3 - 50, ENTRIES / 3 + 1);
        assert_int_equal(snapshot_load(&other, snapshot, &params, NOW + 40 * 86400, &loaded), 0);
        assert_int_equal(loaded.entries, 0);
        assert_int_equal(loaded.dead, saved.entries);
        /* a clock that stands a month early believes none of it */
        assert_int_equal(snapshot_load(&other, snapshot, &params, NOW - 30 * 86400, &loaded), 0);
        assert_int_equal(loaded.entries, 0);
        assert_int_equal(loaded.refused, saved.entries);
        assert_int_equal(count_equal(), 0);
}

static void test_other_secret(void **state)
{
        static const struct siphash_key secret = { { 51, 53 } };
        struct snapshot_stats stats;

        assert_int_equal(snapshot_save(&table, snapshot, &params, NOW, &stats), 0);
        grey_table_close(&other);
        unlink(other_path);
        assert_int_equal(grey_table_open(&other, other_path, ENTRIES, &secret, NULL), 0);
        assert_int_equal(snapshot_load(&other, snapshot, &params, NOW, &stats), -EKEYREJECTED);
        assert_int_equal(stats.entries, 0);
}

/* Every kind of damage: said, never believed; what lies before it is taken. */
static void test_damage(void **state)
{
        struct snapshot_stats saved, stats;
        struct stat st;
        char *bytes;
        int fd;

        assert_int_equal(snapshot_save(&table, snapshot, &params, NOW, &saved), 0);
        assert_int_equal(stat(snapshot, &st), 0);
        bytes = malloc((size_t)st.st_size);
        fd = open(snapshot, O_RDWR);
        assert_int_equal(read(fd, bytes, (size_t)st.st_size), st.st_size);
        for (unsigned round = 0; round < 120; round++) {
                off_t at = round < 80 ? (off_t)round : (off_t)(number(round) % (uint64_t)st.st_size);
                char wrong = (char)(bytes[at] ^ (1 << round % 8));
                int r;

                assert_int_equal(pwrite(fd, &wrong, 1, at), 1);
                r = snapshot_load(&other, snapshot, &params, NOW, &stats);
                if (r != -EBADMSG && r != -EKEYREJECTED)
                        fail_msg("byte %ld: got %d", (long)at, r);
                count_equal(); /* what was taken is true */
                assert_int_equal(pwrite(fd, &bytes[at], 1, at), 1);
        }
        /* cut short anywhere, the very last byte included */
        for (unsigned round = 0; round < 40; round++) {
                off_t len = round == 0 ? st.st_size - 1 : (off_t)(number(round) % (uint64_t)st.st_size);

                assert_int_equal(ftruncate(fd, len), 0);
                assert_int_equal(snapshot_load(&other, snapshot, &params, NOW, &stats), -EBADMSG);
                assert_true(stats.entries < saved.entries || round == 0);
                assert_int_equal(pwrite(fd, bytes, (size_t)st.st_size, 0), st.st_size);
        }
        free(bytes);
        close(fd);
}

static void test_failing_disk(void **state)
{
        struct snapshot_stats saved, stats;

        assert_int_equal(snapshot_save(&table, "/nonexistent/snapshot", &params, NOW, &saved), -ENOENT);
        /* what cannot be written leaves the earlier file alone */
        assert_int_equal(snapshot_save(&table, snapshot, &params, NOW, &saved), 0);
        {
                char new_path[112];

                snprintf(new_path, sizeof(new_path), "%s.new", snapshot);
                assert_int_equal(mkdir(new_path, 0700), 0); /* in the way of the new file */
                assert_true(snapshot_save(&table, snapshot, &params, NOW, &stats) < 0);
                rmdir(new_path);
        }
        assert_int_equal(snapshot_load(&other, snapshot, &params, NOW, &stats), 0);
        assert_int_equal(stats.entries, saved.entries);
}

int main(void)
{
#define WITH_TABLES(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                WITH_TABLES(test_there_and_back), WITH_TABLES(test_dead_and_future),
                WITH_TABLES(test_other_secret),   WITH_TABLES(test_damage),
                WITH_TABLES(test_failing_disk),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
