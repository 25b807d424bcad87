/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole sessions over bad networks, in simulated time: what was acknowledged was kept, once and unchanged.
 *
 *   session_sim_test seeds [FIRST [COUNT]]
 *   session_sim_test seed N                 one of them, with a trace of every packet
 *
 * A failure prints the command that replays it. The same number is the same run, on any machine.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_mempool.h>

#include "dataplane/port/pool.h"
#include "tests/sim/session_world.h"

static const struct {
        const char *name;
        struct link_profile profile;
        bool may_break; /* so bad that a message may not come through in as many attempts as a client makes */
} profiles[] = {
        { "clean", { .delay_us = 1000 }, false },
        { "lan", { .delay_us = 50, .jitter_us = 20 }, false },
        { "loss 2%", { .delay_us = 20000, .jitter_us = 1000, .loss = 20 }, false },
        { "loss 15%", { .delay_us = 5000, .jitter_us = 1000, .loss = 150 }, true },
        { "bursts",
          { .delay_us = 10000, .jitter_us = 1000, .good_to_bad = 10, .bad_to_good = 150, .bad_loss = 900 },
          true },
        { "reorder", { .delay_us = 10000, .jitter_us = 3000, .reorder = 150 }, false },
        { "duplicate", { .delay_us = 10000, .jitter_us = 500, .duplicate = 200 }, false },
        { "corrupt", { .delay_us = 10000, .jitter_us = 500, .corrupt = 50 }, false },
        { "everything",
          { .delay_us = 15000,
            .jitter_us = 10000,
            .loss = 30,
            .good_to_bad = 3,
            .bad_to_good = 300,
            .bad_loss = 900,
            .duplicate = 30,
            .reorder = 60,
            .corrupt = 20 },
          true },
};

static struct rte_mempool *pool;
static char dir[] = "/tmp/greyline-sim.XXXXXX";

/* Everything about a run follows from its seed. */
static void script_of(uint64_t seed, struct sim_script *script, const char **ret_front, const char **ret_back)
{
        struct dice dice = { .state = seed * 0x2545f4914f6cdd1dull + 3 };
        unsigned front = (unsigned)(seed % ARRAY_LEN(profiles));
        unsigned back = dice_below(&dice, 2) ? dice_below(&dice, 2) : dice_below(&dice, ARRAY_LEN(profiles));
        bool is_calm = dice_below(&dice, 4) == 0;

        memset(script, 0, sizeof(*script));
        script->seed = dice_roll(&dice);
        script->front = profiles[front].profile;
        script->back = profiles[back].profile;
        script->clients = 1 + dice_below(&dice, SIM_CLIENTS_MAX);
        script->message_bytes = dice_below(&dice, 3) ? 20000 : 150000;
        script->packets_held = is_calm || dice_below(&dice, 4) ? 4000 : 60;
        script->legs = is_calm || dice_below(&dice, 4) ? 32 : 2;
        script->greet_delay = dice_below(&dice, 2);
        if (!is_calm) {
                script->client_faults = dice_below(&dice, 600);
                script->backend_faults = dice_below(&dice, 700);
                script->deaths = dice_below(&dice, 2) ? 0 : 300;
        }
        script->must_deliver = is_calm && !profiles[front].may_break && !profiles[back].may_break;
        *ret_front = profiles[front].name;
        *ret_back = profiles[back].name;
}

struct totals {
        uint64_t runs, messages, delivered, attempts, kept, unsure, packets, failed;
};

static bool run_seed(uint64_t seed, bool trace, struct totals *totals)
{
        static struct sim_result result;
        const char *front, *back;
        struct sim_script script;

        script_of(seed, &script, &front, &back);
        script.trace = trace;
        sim_run(pool, dir, &script, &result);
        totals->runs++;
        totals->messages += result.messages;
        totals->delivered += result.delivered;
        totals->attempts += result.attempts;
        totals->kept += result.kept;
        totals->unsure += result.unsure;
        totals->packets += result.packets;
        if (!result.wrong && !trace)
                return true;
        printf("seed %" PRIu64
               " (%s / %s): %s%s%s; %u of %u messages, %u attempts, %u kept, %u unsure, %.0f s, %" PRIu64
               " packets, %" PRIu64 " lost\n",
               seed, front, back, result.wrong ? result.wrong : "fine", result.detail[0] ? ": " : "",
               result.detail, result.delivered, result.messages, result.attempts, result.kept, result.unsure,
               (double)result.sim_us / 1e6, result.packets, result.lost);
        if (!trace)
                printf("replay: session_sim_test seed %" PRIu64 "\n", seed);
        return result.wrong == NULL;
}

static void start(void)
{
        char *argv[] = { "session_sim_test", "--no-huge", "--no-shconf", "-m",          "128",  "--no-pci",
                         "--no-telemetry",   "-l",        "0",           "--log-level", "error" };

        if (rte_eal_init(ARRAY_LEN(argv), argv) < 0 || !mkdtemp(dir)) {
                printf("the EAL does not start, or there is no place for files\n");
                exit(2);
        }
        pool = pool_new("packets", 16383, 2048, -1);
        if (!pool) {
                printf("no memory for packets\n");
                exit(2);
        }
}

static void remove_files(void)
{
        static const char *const names[] = { "grey", "client", "link", "lock" };
        char path[64];

        for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
                snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
                (void)unlink(path);
        }
        if (rmdir(dir) < 0)
                perror(dir);
}

int main(int argc, char **argv)
{
        bool is_one = argc > 2 && strcmp(argv[1], "seed") == 0;
        uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
        uint64_t count = is_one ? 1 : argc > 3 ? strtoull(argv[3], NULL, 10) : 500;
        struct totals totals = { 0 };

        start();
        for (uint64_t i = first; i < first + count && totals.failed < 5; i++)
                totals.failed += !run_seed(i, is_one, &totals);
        remove_files();
        printf("%" PRIu64 " runs, %" PRIu64 " of %" PRIu64 " messages delivered, %" PRIu64
               " attempts, %" PRIu64 " kept, %" PRIu64 " of them in the window of RFC 1047, %" PRIu64
               " packets, %" PRIu64 " runs failed\n",
               totals.runs, totals.delivered, totals.messages, totals.attempts, totals.kept, totals.unsure,
               totals.packets, totals.failed);
        /* A simulation in which nothing happens shows nothing. */
        return totals.failed ||
                       (count >= 100 && (totals.delivered < totals.messages / 3 || totals.unsure == 0))
                   ? 1
                   : 0;
}
