/* SPDX-License-Identifier: Apache-2.0 */
#include "control/dns/hot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define AHEAD_MIN_SEC 5u

int dns_hot_init(struct dns_hot *hot, const struct siphash_key *key)
{
        hot->key = *key;
        hot->cursor = 0;
        hot->entries = calloc(HOT_SETS * HOT_WAYS, sizeof(*hot->entries));
        return hot->entries ? 0 : -ENOMEM;
}

void dns_hot_done(struct dns_hot *hot)
{
        free(hot->entries);
        hot->entries = NULL;
}

static struct dns_hot_entry *set_of(struct dns_hot *hot, const struct addr *client)
{
        return &hot->entries[(siphash(&hot->key, client, sizeof(*client)) & (HOT_SETS - 1)) * HOT_WAYS];
}

static struct dns_hot_entry *find(struct dns_hot_entry *set, const struct addr *client)
{
        for (unsigned way = 0; way < HOT_WAYS; way++)
                if (addr_is_equal(&set[way].client, client))
                        return &set[way];
        return NULL;
}

/* The one with the fewest refreshes left; among equals the one whose answers expire first. */
static struct dns_hot_entry *cheapest(struct dns_hot_entry *set)
{
        struct dns_hot_entry *best = set;

        for (unsigned way = 1; way < HOT_WAYS; way++)
                if (set[way].credits < best->credits ||
                    (set[way].credits == best->credits && set[way].expire_sec < best->expire_sec))
                        best = &set[way];
        return best;
}

static void set_times(struct dns_hot_entry *entry, uint32_t expire_sec, uint32_t now_sec)
{
        uint32_t life_sec = expire_sec > now_sec ? expire_sec - now_sec : 0;

        entry->expire_sec = expire_sec;
        /* A life too short to be renewed in time is not: the session asks as ever. */
        entry->due_sec =
            life_sec > 2 * AHEAD_MIN_SEC ? expire_sec - MAX(life_sec / 10, AHEAD_MIN_SEC) : UINT32_MAX;
}

void dns_hot_asked(struct dns_hot *hot, const struct addr *client, uint32_t expire_sec, uint32_t now_sec)
{
        struct dns_hot_entry *set = set_of(hot, client), *entry = find(set, client);
        uint32_t life_sec = expire_sec > now_sec ? expire_sec - now_sec : 0;

        if (entry == NULL) {
                entry = cheapest(set);
                if (entry->credits > 0 && entry->expire_sec > now_sec)
                        return; /* all four are better known than this one */
                memset(entry, 0, sizeof(*entry));
                entry->client = *client;
        } else if (entry->expire_sec <= now_sec && now_sec - entry->expire_sec <= life_sec) {
                entry->bought = (uint8_t)MIN(MAX(entry->bought * 2, 1), (int)HOT_CREDITS_MAX);
                entry->credits = entry->bought;
        }
        set_times(entry, expire_sec, now_sec);
}

void dns_hot_refreshed(struct dns_hot *hot, const struct addr *client, uint32_t expire_sec, uint32_t now_sec)
{
        struct dns_hot_entry *entry = find(set_of(hot, client), client);

        if (entry != NULL)
                set_times(entry, expire_sec, now_sec);
}

bool dns_hot_next(struct dns_hot *hot, uint32_t look, uint32_t now_sec, struct addr *ret,
                  uint32_t *ret_ahead_sec)
{
        for (uint32_t i = 0; i < look; i++) {
                struct dns_hot_entry *entry = &hot->entries[hot->cursor++ % (HOT_SETS * HOT_WAYS)];

                if (entry->credits == 0 || entry->due_sec > now_sec || entry->expire_sec <= now_sec)
                        continue;
                entry->credits--;
                *ret = entry->client;
                *ret_ahead_sec = entry->expire_sec - now_sec;
                entry->due_sec = UINT32_MAX; /* until it was refreshed */
                return true;
        }
        return false;
}
