/* SPDX-License-Identifier: Apache-2.0 */
#include "control/log/recent.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/shared/bug.h"

struct log_recent {
        uint32_t records; /* a power of two */
        uint32_t next;    /* the slot to use now */
        uint32_t *heads;  /* per hash value: slot + 1, 0: none */
        uint32_t *links;  /* per slot: the next of the same hash value, slot + 1 */
        struct msg_log *slots;
};

struct log_recent *log_recent_new(uint32_t records)
{
        struct log_recent *recent = calloc(1, sizeof(*recent));

        BUG_ON(records == 0 || (records & (records - 1)) != 0);
        if (recent == NULL)
                return NULL;
        recent->records = records;
        recent->heads = calloc(records, sizeof(*recent->heads));
        recent->links = calloc(records, sizeof(*recent->links));
        recent->slots = calloc(records, sizeof(*recent->slots));
        if (recent->heads == NULL || recent->links == NULL || recent->slots == NULL) {
                log_recent_free(recent);
                return NULL;
        }
        return recent;
}

void log_recent_free(struct log_recent *recent)
{
        if (recent == NULL)
                return;
        free(recent->heads);
        free(recent->links);
        free(recent->slots);
        free(recent);
}

/* Ids are ours (node, time, worker, sequence), so a plain mix spreads them well enough. */
static uint32_t hash(const struct log_recent *recent, const void *id)
{
        uint64_t half[2];

        memcpy(half, id, sizeof(half));
        return (uint32_t)((half[0] * 0x9e3779b97f4a7c15u ^ half[1] * 0xc2b2ae3d27d4eb4fu) >> 32) &
               (recent->records - 1);
}

static void forget(struct log_recent *recent, uint32_t slot)
{
        static const uint8_t none[EXPLAIN_ID_LEN];
        uint32_t *link;

        if (memcmp(recent->slots[slot].id, none, sizeof(none)) == 0)
                return;
        link = &recent->heads[hash(recent, recent->slots[slot].id)];
        while (*link != slot + 1)
                link = &recent->links[*link - 1];
        *link = recent->links[slot];
}

void log_recent_add(struct log_recent *recent, const struct msg_log *record)
{
        static const uint8_t none[EXPLAIN_ID_LEN];
        uint32_t slot = recent->next, *head;

        if (memcmp(record->id, none, sizeof(none)) == 0)
                return;
        forget(recent, slot);
        recent->slots[slot] = *record;
        head = &recent->heads[hash(recent, record->id)];
        recent->links[slot] = *head;
        *head = slot + 1;
        recent->next = (slot + 1) & (recent->records - 1);
}

const struct msg_log *log_recent_lookup(const struct log_recent *recent, const char id[EXPLAIN_ID_LEN])
{
        uint32_t link = recent->heads[hash(recent, id)];

        while (link != 0) {
                if (memcmp(recent->slots[link - 1].id, id, EXPLAIN_ID_LEN) == 0)
                        return &recent->slots[link - 1];
                link = recent->links[link - 1];
        }
        return NULL;
}
