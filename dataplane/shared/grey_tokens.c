/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/shared/grey_tokens.h"

#include <string.h>

#include "dataplane/shared/bug.h"

/* Small tables still take a burst of mail; small networks still take a mailing list's first round. */
#define TABLE_BURST_MIN   512.0
#define NETWORK_BURST_MIN 256.0

/*
 * A network that asked for so many lately has to leave half of the table's bucket (above KEPT) to others: few
 * where the table is small, a thirty-second part of its burst where it is large.
 */
#define ASKED_HALF_MIN 8.0
#define ASKED_HALF     (1.0 / 32)

/* What only networks that passed before may use, as a share of the table's bucket. */
#define KEPT 0.125

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
        tokens->fade = 4.0f / (float)window_sec;
        tokens->at_sec = now_sec;
}

static float asked_lately(const struct grey_tokens *tokens, const struct grey_tokens_network *cell,
                          uint32_t now_sec)
{
        if (now_sec <= cell->at_sec)
                return cell->asked;
        return cell->asked / (1 + tokens->fade * (float)(now_sec - cell->at_sec));
}

/* The network's cell; where it has none, that of the quietest in its set, which has the least to remember. */
static struct grey_tokens_network *find_network(struct grey_tokens *tokens, uint64_t network,
                                                uint32_t now_sec)
{
        struct grey_tokens_network *set = tokens->network[network % GREY_TOKENS_SETS], *quietest = &set[0];
        float asked, least = -1;

        for (unsigned way = 0; way < GREY_TOKENS_WAYS; way++) {
                if (set[way].network == network)
                        return &set[way];
                asked = asked_lately(tokens, &set[way], now_sec);
                if (least < 0 || asked < least) {
                        quietest = &set[way];
                        least = asked;
                }
        }
        *quietest = (struct grey_tokens_network){ .network = network, .at_sec = now_sec };
        return quietest;
}

bool grey_tokens_take(struct grey_tokens *tokens, uint64_t network, bool passed_before, uint32_t now_sec)
{
        struct grey_tokens_network *cell = find_network(tokens, network, now_sec);
        double asked = asked_lately(tokens, cell, now_sec), half, leave = 0;

        if (now_sec > tokens->at_sec)
                tokens->level += tokens->rate * (now_sec - tokens->at_sec);
        tokens->level = MIN(tokens->level, tokens->burst);
        tokens->at_sec = now_sec;
        /* Asking counts, also in vain: a flood stays busy while it goes on. */
        cell->asked = (float)MIN(asked + 1, tokens->network_burst);
        cell->at_sec = now_sec;
        if (!passed_before) {
                if (asked + 1 > tokens->network_burst)
                        return false;
                half = MAX(tokens->network_burst * ASKED_HALF, ASKED_HALF_MIN);
                leave = tokens->burst * (KEPT + (1 - KEPT) * asked / (asked + half));
        }
        if (tokens->level < leave + 1)
                return false;
        tokens->level -= 1;
        return true;
}
