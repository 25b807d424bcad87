/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two processes write and read one small table as fast as they can, on tmpfs and on hugetlbfs, and one of them
 * is killed at 100 random moments. Every entry says by its key what the rest of it must be, so a torn one is
 * seen; the one process notes in a ledger what it has written, so a lost one is seen.
 *
 * Built a second time with the vector load replaced by two loads of eight bytes (GREY_TABLE_TORN_LOAD): that
 * one must fail, or this test would show nothing. It needs two cores for that.
 *
 * Two kinds of keys: many that wait, all of them in eight buckets (they push each other out all the time, so
 * that slots change hands while they are read), and some that pass (never pushed out by those), whose last_pass
 * moves on by more than an hour each time. Built with the source itself, to find out where a key belongs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "dataplane/shared/grey_table.c"

#define KILLS   100u
#define WAITING 60000u /* indices below it may wait: those in the hot buckets do */
#define HOT     8u     /* buckets */
#ifdef GREY_TABLE_TORN_LOAD
#define ROUND_US 300000u /* it must be found, also where others keep the cores busy */
#else
#define ROUND_US 30000u
#endif
#define PASSING    32u /* of each process */
#define START_SEC  (GREY_EPOCH_SEC + 1000000u)
#define STEP_SEC   3604u
#define INDEX_MASK 0xffffu
#define PAGES      2 /* huge pages to ask for */
#define PAGES_FILE "/proc/sys/vm/nr_hugepages"

static const struct siphash_key key = { { 31, 32 } };
static const struct grey_params params = { .block_sec = 240, .window_sec = 21600, .life_sec = 36 * 86400 };
static struct grey_table table;
static char dir[64], path[96];
static uint32_t waiting[WAITING]; /* indices of the keys that belong into hot buckets */
static unsigned waiting_used;
static pid_t other; /* 0: none */
static bool mounted;
static long pages = -1; /* huge pages before, -1: untouched */

/* In memory that both processes share: last_pass as recorded, written after the call has returned. */
static volatile uint32_t *ledger;

/* The index in the lowest bits, a hash of it above. Waiting keys come first, then both sets of passing ones. */
static uint64_t key_of(uint64_t index)
{
        return (siphash(&key, &index, sizeof(index)) & ~(uint64_t)INDEX_MASK) | (index + 1);
}

static uint32_t first_of(uint64_t index)
{
        return START_SEC + (uint32_t)(key_of(index) >> 20) % 20000;
}

static void one_waiting(uint64_t random)
{
        uint64_t index = waiting[random % waiting_used];

        grey_table_record(&table, key_of(index), GREY_KIND_NETWORK, GREY_EVENT_FIRST, &params,
                          first_of(index));
}

/* A delivery for one of a process's passing keys; the first one also sets first_sec. */
static void one_passing(unsigned process, uint64_t random)
{
        uint64_t place = process * PASSING + random % PASSING, index = WAITING + place;
        uint32_t at_sec = ledger[place] ? ledger[place] + STEP_SEC : first_of(index) & ~3u;

        grey_table_record(&table, key_of(index), GREY_KIND_POOL, GREY_EVENT_PASS, &params, at_sec);
        __atomic_store_n(&ledger[place], at_sec, __ATOMIC_SEQ_CST);
}

static uint64_t next_random(uint64_t *state)
{
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        return *state >> 8;
}

/* What an entry must be by its key. Returns NULL when it is. */
static const char *check_row(const struct grey_row *row)
{
        uint64_t index = (row->key & INDEX_MASK) - 1;
        const struct grey_facts *facts = &row->facts;

        if (index >= WAITING + 2 * PASSING || key_of(index) != row->key)
                return "no key of ours";
        if (index < WAITING)
                return facts->first_sec == first_of(index) && facts->last_pass_sec == 0 &&
                               facts->passes == 0 && facts->kind == GREY_KIND_NETWORK
                           ? NULL
                           : "a waiting key with another's facts";
        return facts->first_sec == (first_of(index) & ~3u) && facts->last_pass_sec >= facts->first_sec &&
                       (facts->last_pass_sec - facts->first_sec) % STEP_SEC == 0 && facts->passes > 0 &&
                       facts->kind == GREY_KIND_POOL
                   ? NULL
                   : "a passing key with another's facts";
}

static void find_waiting(void)
{
        uint64_t bucket[2];

        waiting_used = 0;
        for (uint32_t index = 0; index < WAITING; index++) {
                candidate_buckets(&table, key_of(index), bucket);
                if (bucket[0] < HOT && bucket[1] < HOT)
                        waiting[waiting_used++] = index;
        }
        assert_true(waiting_used > 100);
}

static void check_buckets(uint64_t buckets)
{
        struct grey_row row[GREY_BUCKET_ENTRIES];

        for (uint64_t bucket = 0; bucket < buckets; bucket++) {
                unsigned n = grey_table_read_bucket(&table, bucket, row);

                for (unsigned i = 0; i < n; i++) {
                        const char *wrong = check_row(&row[i]);

                        if (wrong)
                                fail_msg("torn entry: %s: key %016lx first %u last_pass %u passes %u kind %u",
                                         wrong, (unsigned long)row[i].key, row[i].facts.first_sec,
                                         row[i].facts.last_pass_sec, row[i].facts.passes, row[i].facts.kind);
                }
        }
}

/* What a process has noted is there; at most the one write that was in flight is ahead of the ledger. */
static void check_ledger(unsigned process)
{
        unsigned in_flight = 0;

        for (uint64_t place = process * PASSING; place < (process + 1) * PASSING; place++) {
                uint32_t noted = ledger[place];
                struct grey_query query = { .key = key_of(WAITING + place) };

                grey_table_lookup(&table, &query, 1);
                if (noted == 0 && query.facts.kind == GREY_KIND_NONE)
                        continue;
                if (query.facts.last_pass_sec < noted)
                        fail_msg("lost: %u noted, %u in the table", noted, query.facts.last_pass_sec);
                in_flight += query.facts.last_pass_sec > noted;
                /* the successor goes on from what is there */
                ledger[place] = query.facts.last_pass_sec;
        }
        assert_true(in_flight <= 1);
}

static pid_t start_other(uint64_t seed)
{
        pid_t pid;

        fflush(NULL);
        pid = fork();
        if (pid != 0)
                return pid;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
                one_waiting(next_random(&seed));
                one_waiting(next_random(&seed));
                one_waiting(next_random(&seed));
                one_passing(1, next_random(&seed));
        }
}

static uint64_t clock_us(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* The processes take turns in time by chance; the moment of the kill is random. */
static void hammer(void)
{
        uint64_t random = clock_us() | 1, until_us, checks = 0;

        assert_int_equal(grey_table_open(&table, path, GREY_TABLE_ENTRIES_MIN, &key, NULL), 0);
        find_waiting();
        ledger = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert_ptr_not_equal(ledger, MAP_FAILED);
        for (unsigned kill_number = 0; kill_number < KILLS; kill_number++) {
                other = start_other(next_random(&random) | 1);
                assert_true(other > 0);
                until_us = clock_us() + next_random(&random) % ROUND_US;
                while (clock_us() < until_us) {
                        for (unsigned times = 0; times < 10; times++)
                                check_buckets(HOT);
                        check_buckets(table.buckets);
                        one_waiting(next_random(&random));
                        one_passing(0, next_random(&random));
                        checks++;
                }
                kill(other, SIGKILL);
                assert_int_equal(waitpid(other, NULL, 0), other);
                other = 0;
                check_ledger(0);
                check_ledger(1);
        }
        print_message("%s: %lu looks through the table, %u kills\n", path, (unsigned long)checks, KILLS);
        munmap((void *)(uintptr_t)ledger, 4096);
}

static long read_number(const char *file_path)
{
        FILE *file = fopen(file_path, "re");
        long number = -1;

        if (file) {
                if (fscanf(file, "%ld", &number) != 1)
                        number = -1;
                fclose(file);
        }
        return number;
}

static void write_number(const char *file_path, long number)
{
        FILE *file = fopen(file_path, "we");

        if (file) {
                fprintf(file, "%ld\n", number);
                fclose(file);
        }
}

/* What a failed test leaves behind, too. */
static int tear_down(void **state)
{
        char lock[96];

        if (other > 0) {
                kill(other, SIGKILL);
                waitpid(other, NULL, 0);
                other = 0;
        }
        grey_table_close(&table);
        unlink(path);
        snprintf(lock, sizeof(lock), "%s/lock", dir);
        unlink(lock);
        if (mounted)
                umount2(dir, MNT_DETACH);
        mounted = false;
        rmdir(dir);
        if (pages >= 0 && read_number(PAGES_FILE) >= pages + PAGES)
                write_number(PAGES_FILE, read_number(PAGES_FILE) - PAGES);
        pages = -1;
        return 0;
}

static void make_dir(const char *template)
{
        strcpy(dir, template);
        assert_non_null(mkdtemp(dir));
        snprintf(path, sizeof(path), "%s/grey", dir);
}

static void test_tmpfs(void **state)
{
        make_dir("/dev/shm/grey_hammer.XXXXXX");
        hammer();
}

static void test_hugetlbfs(void **state)
{
        make_dir("/tmp/grey_hammer.XXXXXX");
        pages = read_number(PAGES_FILE);
        if (pages >= 0)
                write_number(PAGES_FILE, pages + PAGES); /* only root may; given back by tear_down() */
        mounted = mount("none", dir, "hugetlbfs", 0, "size=4M") == 0;
        if (mounted && read_number(PAGES_FILE) >= pages + PAGES)
                hammer();
        else
                print_message("skipped: no huge pages to be had here (not root, or none free)\n");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_teardown(test_tmpfs, tear_down),
                cmocka_unit_test_teardown(test_hugetlbfs, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
