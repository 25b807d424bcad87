/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole sessions over bad networks, in simulated time: what was acknowledged was kept, once and unchanged.
 *
 *   session_sim_test seeds [FIRST [COUNT]]  scripts made from seeds; 10,000 where GREYLINE_LONG is set
 *   session_sim_test masks WINDOW           a session, once for every set of losses among 12 of its packets: client,
 *                                           message, server or acceptance say which; without GREYLINE_LONG the sets
 *                                           of up to three losses, and every sixteenth of the others
 *   session_sim_test seed N | mask WINDOW N one of them, with a trace of every packet
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

#define MASK_PACKETS 12

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
        script->no_greylist = dice_below(&dice, 8) == 0;
        if (!is_calm) {
                script->client_faults = dice_below(&dice, 600);
                script->backend_faults = dice_below(&dice, 700);
                script->deaths = dice_below(&dice, 2) ? 0 : 300;
                script->outages = dice_below(&dice, 3) == 0;
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

/* The places of a session where losses are tried, packet by packet. */
static const struct {
        const char *name;
        bool is_back;
        uint64_t after;
} windows[] = {
        { "client", false, 0 },     /* the client's handshake, the greeting, the first commands */
        { "message", false, 9 },    /* its message, and the end */
        { "server", true, 0 },      /* the server's handshake, and the identity */
        { "acceptance", true, 12 }, /* the message there, and the word about it */
};

/* One client, one small message, no faults: whatever is lost of twelve packets, it arrives; mostly at once. */
static bool run_mask(unsigned window, uint64_t mask, bool trace, struct totals *totals)
{
        static struct sim_result result;
        struct sim_script script = {
                .seed = 3,
                .front = { .delay_us = 5000 },
                .back = { .delay_us = 1000 },
                .clients = 1,
                .messages = 1,
                .message_bytes = 3000,
                .packets_held = 4000,
                .legs = 4,
                .no_greylist = true,
                .must_deliver = true,
                .trace = trace,
        };
        struct link_profile *profile = windows[window].is_back ? &script.back : &script.front;

        profile->drop_mask = mask;
        profile->drop_after = windows[window].after;
        sim_run(pool, dir, &script, &result);
        totals->runs++;
        totals->messages += result.messages;
        totals->delivered += result.delivered;
        totals->attempts += result.attempts;
        totals->kept += result.kept;
        totals->packets += result.packets;
        if (!result.wrong && (result.attempts == 0 || result.kept != 1))
                result.wrong = "one message was not kept once";
        /* It takes five lost SYN-ACKs, or answers to them, to lose a handshake. */
        if (!result.wrong && result.attempts > 1 && __builtin_popcountll(mask) < 5)
                result.wrong = "it took more than one attempt";
        if (!result.wrong && !trace)
                return true;
        printf("mask %s %" PRIu64 ": %s%s%s; %u attempts, %u kept, %.1f s, %" PRIu64 " packets\n",
               windows[window].name, mask, result.wrong ? result.wrong : "fine", result.detail[0] ? ": " : "",
               result.detail, result.attempts, result.kept, (double)result.sim_us / 1e6, result.packets);
        if (!trace)
                printf("replay: session_sim_test mask %s %" PRIu64 "\n", windows[window].name, mask);
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

/* Is this set of losses left to the long suite? */
static bool mask_is_for_long(uint64_t mask)
{
        return !getenv("GREYLINE_LONG") && __builtin_popcountll(mask) > 3 && mask % 16 != 0;
}

static unsigned window_of(const char *name)
{
        for (unsigned i = 0; i < ARRAY_LEN(windows); i++)
                if (strcmp(windows[i].name, name) == 0)
                        return i;
        printf("no such window\n");
        exit(2);
}

int main(int argc, char **argv)
{
        const char *what = argc > 1 ? argv[1] : "seeds";
        bool is_one = strcmp(what, "seed") == 0 || strcmp(what, "mask") == 0,
             is_mask = strncmp(what, "mask", 4) == 0;
        const char *numbers = is_mask ? (is_one && argc > 3 ? argv[3] : "0") : argc > 2 ? argv[2] : "0";
        uint64_t first = strtoull(numbers, NULL, 10), count = getenv("GREYLINE_LONG") ? 10000 : 400;
        unsigned window = is_mask ? window_of(argc > 2 ? argv[2] : "client") : 0;
        struct totals totals = { 0 };

        if (is_mask)
                count = 1u << MASK_PACKETS;
        else if (argc > 3)
                count = strtoull(argv[3], NULL, 10);
        if (is_one)
                count = 1;
        start();
        for (uint64_t i = first; i < first + count && totals.failed < 5; i++) {
                if (is_mask && !is_one && mask_is_for_long(i))
                        continue;
                totals.failed +=
                    !(is_mask ? run_mask(window, i, is_one, &totals) : run_seed(i, is_one, &totals));
        }
        remove_files();
        printf("%" PRIu64 " runs, %" PRIu64 " of %" PRIu64 " messages delivered, %" PRIu64
               " attempts, %" PRIu64 " kept, %" PRIu64 " of them in the window of RFC 1047, %" PRIu64
               " packets, %" PRIu64 " runs failed\n",
               totals.runs, totals.delivered, totals.messages, totals.attempts, totals.kept, totals.unsure,
               totals.packets, totals.failed);
        /* A simulation in which nothing happens shows nothing. */
        if (!is_mask && count >= 100 && (totals.delivered < totals.messages / 3 || totals.unsure == 0))
                return 1;
        return totals.failed ? 1 : 0;
}
