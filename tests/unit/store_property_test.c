/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The property that makes several nodes one greylist, over random histories from a seed (printed when one
 * fails; give it as argument to replay it): three nodes with tables of their own, clocks up to 30 s off, and
 * messages between them that are late, repeated, out of order, lost for as long as a partition lasts, or old
 * states sent again at any time. Clients try at any node, new ones and old ones, some much too late.
 *
 *   1. Nobody passes before his own block period: a client that passes made a try, refused by some node, at
 *      least the block period before (less what the two nodes' clocks differ), and no longer ago than the
 *      window; or a delivery of his was accepted within the life.
 *   2. A client that keeps retrying (each 5 to 20 minutes, at any node) passes within 5 tries, partition or
 *      not, unless an operator takes it back meanwhile.
 *   3. When everything was delivered in the end, all nodes say the same about every entry, in whatever order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "control/store/merge.h"
#include "dataplane/shared/grey_table.h"

#define START_SEC 1800000000u
#define NODES     3u
#define CLIENTS   40u
#define STEADY    10u /* of them */
#define STEPS     4000u
#define MESSAGES  512u
#define SKEW_MAX  30
#define HISTORY   400u

static const struct siphash_key key = { { 41, 42 } };
static const struct grey_params params = { .block_sec = 240, .window_sec = 21600, .life_sec = 86400 };

struct message {
        unsigned to;
        struct grey_row row;
};

struct client {
        uint64_t key;
        uint32_t refused_sec[HISTORY]; /* true time of refused tries, the latest last */
        unsigned refused;
        uint32_t delivered_sec; /* true time of the last delivery, 0: none */
        bool steady;            /* keeps retrying: property 2 */
        uint32_t next_sec;      /* of a steady one */
        unsigned tries;         /* refused in a row */
};

struct world {
        struct grey_table table[NODES];
        int skew[NODES];
        struct message message[MESSAGES]; /* under way; kept for repeats after delivery */
        unsigned messages;
        unsigned cut_from; /* a partition: this node gets and sends nothing; NODES: none */
        struct client client[CLIENTS];
        uint32_t now_sec; /* true time */
        uint64_t random;
};

static struct world world;
static char dir[64];
static uint64_t seed_now, seed_only;

static uint64_t any(uint64_t below)
{
        world.random ^= world.random << 13;
        world.random ^= world.random >> 7;
        world.random ^= world.random << 17;
        return (world.random >> 11) % below;
}

static uint32_t clock_of(unsigned node)
{
        return (uint32_t)((int64_t)world.now_sec + world.skew[node]);
}

static struct grey_facts facts_of(unsigned node, uint64_t which)
{
        struct grey_query query = { .key = which };

        grey_table_lookup(&world.table[node], &query, 1);
        return query.facts;
}

/* Send what a node holds about a key to another: into a random place of the messages under way. */
static void send_state(unsigned from, unsigned to, uint64_t which)
{
        struct message *message;

        if (from == world.cut_from || to == world.cut_from)
                return; /* lost: what is marked is sent again when the partition ends */
        message = &world.message[world.messages < MESSAGES ? world.messages++ : any(MESSAGES)];
        message->to = to;
        message->row.key = which;
        message->row.facts = facts_of(from, which);
}

static void send_to_all(unsigned from, uint64_t which)
{
        for (unsigned to = 0; to < NODES; to++) {
                if (to != from && any(4) != 0) /* some are lost outright; the sweep at the end mends it */
                        send_state(from, to, which);
        }
}

/* As control does with what comes in; through the text form. */
static void deliver(const struct message *message)
{
        struct grey_facts facts;
        char text[MERGE_TEXT_MAX];
        size_t len = merge_build_text(&message->row.facts, text);

        assert_int_equal(merge_parse_text(text, len, &facts), 0);
        if (facts.kind != GREY_KIND_NONE && merge_check(&facts, clock_of(message->to)) == MERGE_OK)
                grey_table_merge(&world.table[message->to], message->row.key, &facts, &params,
                                 clock_of(message->to));
}

static bool may_pass(const struct client *client, unsigned node)
{
        uint32_t slack = 2 * SKEW_MAX + 4; /* clocks, and last_pass rounded up */

        if (client->delivered_sec && world.now_sec - client->delivered_sec < params.life_sec + slack)
                return true;
        for (unsigned i = 0; i < client->refused; i++) {
                uint32_t age = world.now_sec - client->refused_sec[i];

                if (age + slack >= params.block_sec && age <= params.window_sec + slack)
                        return true;
        }
        return false;
}

/* A wait begins, or goes on. */
static void note_refused(struct client *client)
{
        if (client->refused == HISTORY) {
                memmove(client->refused_sec, client->refused_sec + 1, (HISTORY - 1) * sizeof(uint32_t));
                client->refused--;
        }
        client->refused_sec[client->refused++] = world.now_sec;
}

static void attempt(struct client *client, unsigned node)
{
        struct grey_facts facts = facts_of(node, client->key);
        uint32_t wait_sec, clock = clock_of(node);
        enum grey_verdict verdict = grey_judge(&facts, &params, clock, &wait_sec);

        if (verdict == GREY_PASS || verdict == GREY_KNOWN) {
                if (!may_pass(client, node))
                        fail_msg("seed %lu: passed too early", (unsigned long)seed_now);
                client->delivered_sec = world.now_sec;
                client->tries = 0;
                grey_table_record(&world.table[node], client->key, GREY_KIND_NETWORK, GREY_EVENT_PASS,
                                  &params, clock);
        } else {
                note_refused(client);
                if (client->steady && ++client->tries > 5)
                        fail_msg("seed %lu: refused %u times in a row", (unsigned long)seed_now,
                                 client->tries);
                if (verdict == GREY_NEW || verdict == GREY_RESTART)
                        grey_table_record(&world.table[node], client->key, GREY_KIND_NETWORK,
                                          GREY_EVENT_FIRST, &params, clock);
        }
        send_to_all(node, client->key);
}

/* Time goes on to then_sec; the steady clients try when it is their time, not later. */
static void advance(uint32_t then_sec)
{
        for (;;) {
                struct client *next = &world.client[0];

                for (unsigned i = 1; i < STEADY; i++) {
                        if (world.client[i].next_sec < next->next_sec)
                                next = &world.client[i];
                }
                if (next->next_sec > then_sec)
                        break;
                world.now_sec = next->next_sec;
                attempt(next, (unsigned)any(NODES));
                next->next_sec = world.now_sec + 300 + (uint32_t)any(900);
        }
        world.now_sec = then_sec;
}

static void one_step(void)
{
        struct client *client = &world.client[any(CLIENTS)];

        advance(world.now_sec + (uint32_t)(any(50) ? any(40) : any(30000)));
        switch (any(8)) {
        case 0:
                if (!client->steady)
                        attempt(client, (unsigned)any(NODES));
                break;
        case 1: /* a partition begins or ends; at its end the marks are worked off */
                if (any(20) != 0)
                        break;
                if (world.cut_from < NODES) {
                        unsigned back = world.cut_from;

                        world.cut_from = NODES;
                        for (unsigned i = 0; i < CLIENTS; i++) {
                                for (unsigned other = 0; other < NODES; other++) {
                                        send_state(back, other, world.client[i].key);
                                        send_state(other, back, world.client[i].key);
                                }
                        }
                } else {
                        world.cut_from = (unsigned)any(NODES);
                }
                break;
        case 2: /* an operator takes a pass back: from then on it is as after a refused try */
                if (!client->steady && any(10) == 0) {
                        unsigned node = (unsigned)any(NODES);

                        grey_table_record(&world.table[node], client->key, GREY_KIND_NETWORK,
                                          GREY_EVENT_REMOVE, &params, clock_of(node));
                        note_refused(client);
                }
                break;
        default: /* some message arrives, any of them, perhaps not for the last time */
                if (world.messages > 0) {
                        unsigned which = (unsigned)any(world.messages);

                        deliver(&world.message[which]);
                        if (any(3) != 0)
                                world.message[which] = world.message[--world.messages];
                }
        }
}

/* Everything arrives: once more from everybody to everybody, in random order, then all must agree. */
static void check_agreement(void)
{
        world.cut_from = NODES;
        for (unsigned round = 0; round < 2; round++) {
                world.messages = 0;
                for (unsigned i = 0; i < CLIENTS; i++) {
                        for (unsigned pair = 0; pair < NODES * NODES; pair++)
                                send_state(pair / NODES, pair % NODES, world.client[i].key);
                }
                while (world.messages > 0) {
                        unsigned which = (unsigned)any(world.messages);

                        deliver(&world.message[which]);
                        world.message[which] = world.message[--world.messages];
                }
        }
        for (unsigned i = 0; i < CLIENTS; i++) {
                struct grey_facts a = facts_of(0, world.client[i].key);

                for (unsigned node = 1; node < NODES; node++) {
                        struct grey_facts b = facts_of(node, world.client[i].key);
                        uint32_t wait_sec;

                        /* an entry that is dead by some clock need not be everywhere */
                        if (grey_judge(&a, &params, world.now_sec + SKEW_MAX, &wait_sec) == GREY_NEW ||
                            grey_judge(&a, &params, world.now_sec + SKEW_MAX, &wait_sec) == GREY_RESTART)
                                continue;
                        if (a.first_sec != b.first_sec || a.last_pass_sec != b.last_pass_sec ||
                            a.passes != b.passes || a.kind != b.kind)
                                fail_msg("seed %lu: nodes 0 and %u differ about client %u",
                                         (unsigned long)seed_now, node, i);
                }
        }
}

static void run_history(uint64_t seed)
{
        char path[96];

        memset(&world, 0, sizeof(world));
        seed_now = seed;
        world.random = seed * 0x9e3779b97f4a7c15ull | 1;
        world.now_sec = START_SEC;
        world.cut_from = NODES;
        for (unsigned node = 0; node < NODES; node++) {
                snprintf(path, sizeof(path), "%s/node%u", dir, node);
                unlink(path);
                assert_int_equal(grey_table_open(&world.table[node], path, 1000, &key, NULL), 0);
                world.skew[node] = (int)any(2 * SKEW_MAX + 1) - SKEW_MAX;
        }
        for (unsigned i = 0; i < CLIENTS; i++) {
                world.client[i].key = siphash(&key, &i, sizeof(i)) | 1;
                world.client[i].steady = i < STEADY;
                world.client[i].next_sec = START_SEC + (uint32_t)any(100000);
        }
        for (unsigned step = 0; step < STEPS; step++)
                one_step();
        check_agreement();
        for (unsigned node = 0; node < NODES; node++)
                grey_table_close(&world.table[node]);
}

static int tear_down(void **state)
{
        char path[96];

        for (unsigned node = 0; node < NODES; node++) {
                grey_table_close(&world.table[node]);
                snprintf(path, sizeof(path), "%s/node%u", dir, node);
                unlink(path);
        }
        snprintf(path, sizeof(path), "%s/lock", dir);
        unlink(path);
        return rmdir(dir);
}

static void test_histories(void **state)
{
        strcpy(dir, "/dev/shm/store_property_test.XXXXXX");
        assert_non_null(mkdtemp(dir));
        if (seed_only) {
                run_history(seed_only);
                return;
        }
        for (uint64_t seed = 1; seed <= 100; seed++)
                run_history(seed);
}

int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test_teardown(test_histories, tear_down) };

        if (argc > 1)
                seed_only = strtoull(argv[1], NULL, 10);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
