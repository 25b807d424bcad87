/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the endpoint against itself over a bad network, in simulated time.
 *
 *   sim_test seeds [FIRST [COUNT]]    scripts made from seeds; 10,000 where GREYLINE_LONG is set
 *   sim_test masks                    a short dialogue, once for every set of losses among its first 12 packets
 *   sim_test seed N | mask N          one of them, with a trace of every packet
 *
 * A failure prints the command that replays it. The same number is the same run, on any machine.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_mempool.h>

#include "dataplane/shared/counters.h"
#include "tests/sim/world.h"

#define MASK_PACKETS 12

static const struct {
        const char *name;
        struct link_profile profile;
        bool may_break; /* so bad that a handshake or a whole connection may fail in order */
} profiles[] = {
        { "clean", { .delay_us = 1000 }, false },
        { "lan", { .delay_us = 50, .jitter_us = 20 }, false },
        { "far", { .delay_us = 150000, .jitter_us = 5000 }, false },
        { "loss 1%", { .delay_us = 20000, .jitter_us = 1000, .loss = 10, .mark = 30 }, false },
        { "loss 5%", { .delay_us = 20000, .jitter_us = 1000, .loss = 50 }, false },
        { "loss 20%", { .delay_us = 5000, .jitter_us = 1000, .loss = 200 }, true },
        { "bursts",
          { .delay_us = 10000, .jitter_us = 1000, .good_to_bad = 10, .bad_to_good = 150, .bad_loss = 900 },
          true },
        { "reorder", { .delay_us = 10000, .jitter_us = 3000, .reorder = 150 }, false },
        { "duplicate", { .delay_us = 10000, .jitter_us = 500, .duplicate = 200 }, false },
        { "corrupt", { .delay_us = 10000, .jitter_us = 500, .corrupt = 50 }, false },
        { "narrow", { .delay_us = 10000, .jitter_us = 100, .bytes_ms = 200, .queue_ms = 60 }, false },
        { "everything",
          { .delay_us = 15000,
            .jitter_us = 10000,
            .loss = 30,
            .good_to_bad = 3,
            .bad_to_good = 300,
            .bad_loss = 900,
            .duplicate = 30,
            .reorder = 60,
            .corrupt = 20,
            .mark = 20 },
          true },
        { "path shrinks",
          { .delay_us = 10000, .jitter_us = 500, .loss = 5, .mtu_later = 1280, .mtu_later_us = 60000 },
          false },
        { "narrow path", { .delay_us = 5000, .jitter_us = 100, .mtu = 1300 }, false },
        { "a while deaf",
          { .delay_us = 10000,
            .jitter_us = 500,
            .mark = 100,
            .dead_from_us = 90000,
            .dead_until_us = 20000000,
            .dead_way = LINK_UP },
          true },
        { "dies",
          { .delay_us = 10000, .jitter_us = 500, .loss = 10, .dead_from_us = 250000, .dead_way = LINK_DOWN },
          true },
        { "black hole", { .delay_us = 10000, .mtu = 1300, .mtu_silent = true }, true },
};

static struct rte_mempool *pool;

/* Everything about a run follows from its seed. */
static unsigned script_of(uint64_t seed, struct world_script *script)
{
        struct dice dice = { .state = seed * 0x2545f4914f6cdd1dull + 1 };
        unsigned which = (unsigned)(seed % ARRAY_LEN(profiles));

        memset(script, 0, sizeof(*script));
        script->seed = dice_roll(&dice);
        script->profile = profiles[which].profile;
        script->profile.strip_sack = dice_below(&dice, 3) == 0;
        script->profile.strip_timestamp = dice_below(&dice, 4) == 0;
        script->profile.strip_scale = dice_below(&dice, 4) == 0;
        script->v6 = dice_below(&dice, 2);
        script->connections = 1 + dice_below(&dice, 6);
        script->close = WORLD_CLOSES;
        script->client_bytes = dice_below(&dice, 3) ? 3000 : 200000;
        script->server_bytes = dice_below(&dice, 3) ? 3000 : 200000;
        script->read_pause_us = dice_below(&dice, 3) ? 0 : 200000;
        script->window_bytes = dice_below(&dice, 2) ? 0 : 2000 + dice_below(&dice, 60000);
        script->syncache_max = dice_below(&dice, 4) ? 0 : 1;
        script->linear_only = dice_below(&dice, 4) == 0;
        return which;
}

static bool run_seed(uint64_t seed, bool trace, uint64_t *ret_whole, uint64_t *ret_broken)
{
        struct world_script script;
        static struct world_result result;
        unsigned which = script_of(seed, &script);

        script.trace = trace;
        world_run(pool, &script, &result);
        *ret_whole += result.whole;
        *ret_broken += result.broken;
        /* With a one-entry syncache a cookie carries most connections: whose last ACK is lost may wait in vain. */
        if (!result.wrong && result.broken && !profiles[which].may_break && script.syncache_max == 0)
                result.wrong = "a connection broke on a network that is not that bad";
        if (!result.wrong && !trace)
                return true;
        printf("seed %" PRIu64 " (%s%s): %s; %u whole, %u broken, %.1f s, %" PRIu64 " packets, %" PRIu64
               " lost\n",
               seed, profiles[which].name, script.v6 ? ", IPv6" : "", result.wrong ? result.wrong : "fine",
               result.whole, result.broken, (double)result.end_us / 1e6, result.link.packets,
               result.link.lost);
        if (!trace)
                printf("replay: sim_test seed %" PRIu64 "\n", seed);
        return result.wrong == NULL;
}

static bool run_mask(uint64_t mask, bool trace, uint64_t *ret_whole, uint64_t *ret_broken)
{
        static struct world_result result;
        struct world_script script = {
                .seed = 1,
                .profile = { .delay_us = 5000, .drop_mask = mask },
                .connections = 1,
                .close = WORLD_TALK,
                .trace = trace,
        };

        world_run(pool, &script, &result);
        *ret_whole += result.whole;
        *ret_broken += result.broken;
        /* It takes five lost SYN-ACKs or answers to them to lose a handshake. */
        if (!result.wrong && result.broken && __builtin_popcountll(mask) < 5)
                result.wrong = "the dialogue broke";
        if (!result.wrong && !trace)
                return true;
        printf("mask %" PRIu64 ": %s; %u whole, %.1f s, %" PRIu64 " packets\n", mask,
               result.wrong ? result.wrong : "fine", result.whole, (double)result.end_us / 1e6,
               result.link.packets);
        if (!trace)
                printf("replay: sim_test mask %" PRIu64 "\n", mask);
        return result.wrong == NULL;
}

static void start_eal(void)
{
        char *argv[] = { "sim_test",       "--no-huge", "--no-shconf", "-m",          "64",   "--no-pci",
                         "--no-telemetry", "-l",        "0",           "--log-level", "error" };

        if (rte_eal_init(ARRAY_LEN(argv), argv) < 0) {
                printf("the EAL does not start\n");
                exit(1);
        }
        pool = rte_pktmbuf_pool_create("packets", 8191, 0, PACKET_PRIV_BYTES, 2048 + PACKET_HEADROOM, 0);
        if (!pool) {
                printf("no memory for packets\n");
                exit(1);
        }
}

int main(int argc, char **argv)
{
        const char *what = argc > 1 ? argv[1] : "seeds";
        uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
        uint64_t count = argc > 3 ? strtoull(argv[3], NULL, 10) : getenv("GREYLINE_LONG") ? 10000 : 480;
        uint64_t whole = 0, broken = 0, failed = 0;

        start_eal();
        if (strcmp(what, "seed") == 0)
                return run_seed(first, true, &whole, &broken) ? 0 : 1;
        if (strcmp(what, "mask") == 0)
                return run_mask(first, true, &whole, &broken) ? 0 : 1;
        if (strcmp(what, "masks") == 0) {
                first = 0;
                count = 1u << MASK_PACKETS;
        }
        for (uint64_t i = first; i < first + count && failed < 5; i++)
                failed += !(strcmp(what, "masks") == 0 ? run_mask(i, false, &whole, &broken)
                                                       : run_seed(i, false, &whole, &broken));
        printf("%" PRIu64 " runs, %" PRIu64 " connections whole, %" PRIu64 " broken in order, %" PRIu64
               " runs failed\n",
               count, whole, broken, failed);
        return failed ? 1 : 0;
}
