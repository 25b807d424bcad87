/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring between two threads (also under ThreadSanitizer) and between two processes of which either is
 * killed; and what happens when the other side writes nonsense where it may write.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "dataplane/shared/bug.h"
#include "dataplane/shared/ring.h"

#define SLOTS 16u
#define TIMES 300000u

struct message {
        uint64_t number;
        uint64_t check; /* number times an odd constant: a half-written slot would show */
};

static struct message message_of(uint64_t number)
{
        return (struct message){ number, number * 0x9e3779b97f4a7c15ull };
}

static void *new_memory(void)
{
        void *memory = mmap(NULL, ring_bytes(SLOTS, sizeof(struct message)), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        assert_ptr_not_equal(memory, MAP_FAILED);
        ring_format(memory, SLOTS, sizeof(struct message));
        return memory;
}

static void free_memory(void *memory)
{
        munmap(memory, ring_bytes(SLOTS, sizeof(struct message)));
}

static struct ring writer_of(void *memory)
{
        struct ring ring;

        assert_int_equal(ring_attach_writer(&ring, memory, SLOTS, sizeof(struct message)), 0);
        return ring;
}

static struct ring reader_of(void *memory)
{
        struct ring ring;

        assert_int_equal(ring_attach_reader(&ring, memory, SLOTS, sizeof(struct message)), 0);
        return ring;
}

static bool write_one(struct ring *ring, uint64_t number)
{
        struct message *slot = ring_write_slot(ring);

        if (!slot)
                return false;
        *slot = message_of(number);
        ring_write_commit(ring);
        return true;
}

/* The number read, or UINT64_MAX when there is nothing. */
static uint64_t read_one(struct ring *ring)
{
        const struct message *slot = ring_read_slot(ring);
        struct message copy;

        if (!slot)
                return UINT64_MAX;
        copy = *slot;
        assert_int_equal(copy.check, message_of(copy.number).check);
        ring_read_release(ring);
        return copy.number;
}

static void test_order_and_bounds(void **state)
{
        void *memory = new_memory();
        struct ring writer = writer_of(memory), reader = reader_of(memory);
        uint64_t written = 0, read = 0;

        assert_int_equal(read_one(&reader), UINT64_MAX);
        for (unsigned round = 0; round < 100; round++) {
                unsigned burst = round % (SLOTS + 1);

                for (unsigned i = 0; i < burst; i++)
                        assert_true(write_one(&writer, written++));
                assert_null(read == written ? NULL : ring_read_slot(&reader)); /* not published yet */
                assert_false(ring_write_publish(&writer));
                for (unsigned i = 0; i < burst; i++)
                        assert_int_equal(read_one(&reader), read++);
                assert_int_equal(read_one(&reader), UINT64_MAX);
        }
        for (unsigned i = 0; i < SLOTS; i++)
                assert_true(write_one(&writer, i));
        assert_false(write_one(&writer, 99)); /* full */
        ring_write_publish(&writer);
        assert_int_equal(read_one(&reader), 0);
        assert_true(write_one(&writer, 100));
        assert_false(write_one(&writer, 101));
        free_memory(memory);
}

static void test_sleep(void **state)
{
        void *memory = new_memory();
        struct ring writer = writer_of(memory), reader = reader_of(memory);

        assert_true(ring_read_may_sleep(&reader));
        write_one(&writer, 1);
        assert_true(ring_write_publish(&writer)); /* ring the bell once */
        write_one(&writer, 2);
        assert_false(ring_write_publish(&writer));
        assert_false(ring_read_may_sleep(&reader)); /* something came in */
        assert_int_equal(read_one(&reader), 1);
        assert_int_equal(read_one(&reader), 2);
        assert_true(ring_read_may_sleep(&reader));
        ring_read_awake(&reader);
        write_one(&writer, 3);
        assert_false(ring_write_publish(&writer));
        free_memory(memory);
}

/* Whoever attaches anew goes on where the ring says. */
static void test_reattach(void **state)
{
        void *memory = new_memory();
        struct ring writer = writer_of(memory), reader = reader_of(memory);

        for (unsigned i = 0; i < 5; i++)
                write_one(&writer, i);
        ring_write_publish(&writer);
        write_one(&writer, 77); /* never published: lost with its writer */
        assert_int_equal(read_one(&reader), 0);
        writer = writer_of(memory);
        reader = reader_of(memory);
        write_one(&writer, 5);
        ring_write_publish(&writer);
        for (unsigned i = 1; i <= 5; i++)
                assert_int_equal(read_one(&reader), i);
        assert_int_equal(read_one(&reader), UINT64_MAX);
        assert_int_equal(ring_attach_writer(&writer, memory, 2 * SLOTS, sizeof(struct message)), -EPROTO);
        assert_int_equal(ring_attach_reader(&reader, memory, SLOTS, 8), -EPROTO);
        free_memory(memory);
}

/*
 * The other side writes any index: no slot outside the ring is ever given out, and nothing that would look
 * like more messages than the ring has room for.
 */
static void test_corrupted(void **state)
{
        static const uint64_t values[] = {
                0, 1, SLOTS, SLOTS + 1, 1000, UINT64_MAX, UINT64_MAX - SLOTS, 1ull << 63
        };
        size_t bytes = ring_bytes(SLOTS, sizeof(struct message));

        for (unsigned v = 0; v < ARRAY_LEN(values); v++) {
                for (size_t at = 0; at + 8 <= 256 && at + 8 <= bytes; at += 8) {
                        uint8_t *memory = new_memory();
                        struct ring writer = writer_of(memory), reader = reader_of(memory), late;
                        unsigned reads = 0, writes = 0;
                        const uint8_t *slot;

                        write_one(&writer, 1);
                        ring_write_publish(&writer);
                        memcpy(memory + at, &values[v], 8);
                        while (reads <= SLOTS && (slot = ring_read_slot(&reader)) != NULL) {
                                assert_true(slot >= memory &&
                                            slot + sizeof(struct message) <= memory + bytes);
                                ring_read_release(&reader);
                                reads++;
                        }
                        assert_true(reads <= SLOTS);
                        memcpy(memory + at, &values[v], 8);
                        while (writes <= 2 * SLOTS && (slot = ring_write_slot(&writer)) != NULL) {
                                assert_true(slot >= memory &&
                                            slot + sizeof(struct message) <= memory + bytes);
                                ring_write_commit(&writer);
                                writes++;
                        }
                        assert_true(writes <= 2 * SLOTS);
                        memcpy(memory + at, &values[v], 8);
                        if (ring_attach_reader(&late, memory, SLOTS, sizeof(struct message)) == 0) {
                                for (reads = 0; reads <= SLOTS && ring_read_slot(&late); reads++)
                                        ring_read_release(&late);
                                assert_true(reads <= SLOTS);
                        }
                        free_memory(memory);
                }
        }
}

static void *write_many(void *memory)
{
        struct ring writer = writer_of(memory);

        for (uint64_t number = 0; number < TIMES;) {
                unsigned burst = number % 5 + 1;

                while (burst-- > 0 && number < TIMES && write_one(&writer, number))
                        number++;
                ring_write_publish(&writer);
                if (ring_write_slot(&writer) == NULL)
                        sched_yield();
        }
        return NULL;
}

static void test_two_threads(void **state)
{
        void *memory = new_memory();
        struct ring reader = reader_of(memory);
        pthread_t thread;

        assert_int_equal(pthread_create(&thread, NULL, write_many, memory), 0);
        for (uint64_t want = 0; want < TIMES;) {
                uint64_t got = read_one(&reader);

                if (got == UINT64_MAX) {
                        sched_yield();
                        continue;
                }
                assert_int_equal(got, want);
                want++;
        }
        pthread_join(thread, NULL);
        free_memory(memory);
}

/*
 * The writer is killed again and again and its successor goes on: what was published arrives in order and
 * once. Each writer numbers from what its predecessor had published, which only the ring knows.
 */
static void test_killed_writer(void **state)
{
        void *memory = new_memory();
        struct ring reader = reader_of(memory);
        uint64_t want = 0, random = 12345;

        for (unsigned round = 0; round < 50; round++) {
                uint64_t until = want + 500;
                pid_t pid = fork();

                if (pid == 0) {
                        struct ring writer;

                        prctl(PR_SET_PDEATHSIG, SIGKILL);
                        writer = writer_of(memory);
                        for (;;) {
                                /* the writer's own index is the number of what it writes next */
                                if (write_one(&writer, writer.own))
                                        ring_write_publish(&writer);
                                else
                                        sched_yield();
                        }
                }
                assert_true(pid > 0);
                random = random * 6364136223846793005ull + 1442695040888963407ull;
                for (until += random >> 56; want < until;) {
                        uint64_t got = read_one(&reader);

                        if (got == UINT64_MAX) {
                                sched_yield();
                                continue;
                        }
                        assert_int_equal(got, want);
                        want++;
                }
                kill(pid, SIGKILL);
                waitpid(pid, NULL, 0);
        }
        free_memory(memory);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_order_and_bounds), cmocka_unit_test(test_sleep),
                cmocka_unit_test(test_reattach),         cmocka_unit_test(test_corrupted),
                cmocka_unit_test(test_two_threads),      cmocka_unit_test(test_killed_writer),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
