/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/shared/grey_tokens.h"

#include <string.h>

#include "dataplane/shared/bug.h"

/* Small tables still take a burst of mail; small networks still take a mailing list's first round. */
#define TABLE_BURST_MIN   512.0
#define NETWORK_BURST_MIN 256.0

void grey_tokens_init(struct grey_tokens *tokens, uint64_t entries, uint32_t window_sec, uint32_t workers,
                      uint32_t now_sec)
{
        double burst, network_burst;

        BUG_ON(window_sec == 0 || workers == 0);
        memset(tokens, 0, sizeof(*tokens));
        /* What one window can add at most, burst and all, is three quarters of what the table is sized for.
         */
        burst = MAX((double)entries / 4, TABLE_BURST_MIN);
        network_burst = MAX((double)entries / 256, NETWORK_BURST_MIN);
        tokens->burst = burst / workers;
        tokens->rate = (double)entries / (2.0 * window_sec) / workers;
        tokens->level = tokens->burst;
        tokens->network_burst = (float)(network_burst / workers);
        tokens->network_rate = (float)(4 * network_burst / window_sec / workers);
        tokens->at_sec = now_sec;
}

static float network_level(const struct grey_tokens *tokens, const struct grey_tokens_network *cell,
                           uint32_t now_sec)
{
        float level = cell->level;

        if (cell->network == 0)
                return tokens->network_burst;
        if (now_sec > cell->at_sec)
                level += tokens->network_rate * (float)(now_sec - cell->at_sec);
        return MIN(level, tokens->network_burst);
}

/* The network's bucket; where it has none, that of the fullest in its set, which has the least to remember.
 */
static struct grey_tokens_network *find_network(struct grey_tokens *tokens, uint64_t network,
                                                uint32_t now_sec)
{
        struct grey_tokens_network *set = tokens->network[network % GREY_TOKENS_SETS], *fullest = &set[0];
        float level, fullest_level = -1;

        for (unsigned way = 0; way < GREY_TOKENS_WAYS; way++) {
                if (set[way].network == network)
                        return &set[way];
                level = network_level(tokens, &set[way], now_sec);
                if (level > fullest_level) {
                        fullest = &set[way];
                        fullest_level = level;
                }
        }
        fullest->network = network;
        fullest->level = tokens->network_burst;
        fullest->at_sec = now_sec;
        return fullest;
}

bool grey_tokens_take(struct grey_tokens *tokens, uint64_t network, bool passed_before, uint32_t now_sec)
{
        struct grey_tokens_network *cell = find_network(tokens, network, now_sec);
        double floor = 0;

        if (now_sec > tokens->at_sec)
                tokens->level += tokens->rate * (now_sec - tokens->at_sec);
        tokens->level = MIN(tokens->level, tokens->burst);
        tokens->at_sec = now_sec;
        cell->level = network_level(tokens, cell, now_sec);
        cell->at_sec = now_sec;
        if (!passed_before) {
                if (cell->level < 1)
                        return false;
                floor = tokens->burst / (cell->level < tokens->network_burst / 2 ? 2 : 4);
        }
        if (tokens->level < floor + 1)
                return false;
        tokens->level -= 1;
        cell->level = MAX(cell->level - 1, 0);
        return true;
}
