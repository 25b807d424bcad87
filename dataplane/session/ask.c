/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/session/ask.h"

#include <stdlib.h>

#include "dataplane/shared/bug.h"

#define ASK_AGAIN_US 1000000u

/* Question i is open when first != ASK_NONE. There are as many as sessions, so there is always a free one. */
struct question {
        struct addr addr;
        uint64_t asked_us;
        uint32_t first; /* session */
        uint32_t next;  /* question in the same bucket, or in the free list */
};

struct waiter {
        uint32_t question; /* ASK_NONE: does not wait */
        uint32_t next, prev;
};

struct asks {
        struct siphash_key key;
        uint32_t buckets; /* a power of two */
        uint32_t *bucket;
        struct question *question;
        struct waiter *waiter;
        uint32_t free;
};

struct asks *asks_new(uint32_t sessions, const struct siphash_key *key)
{
        struct asks *asks = calloc(1, sizeof(*asks));

        if (asks == NULL)
                return NULL;
        asks->key = *key;
        asks->buckets = 64;
        while (asks->buckets < sessions)
                asks->buckets *= 2;
        asks->bucket = malloc(asks->buckets * sizeof(*asks->bucket));
        asks->question = calloc(sessions, sizeof(*asks->question));
        asks->waiter = calloc(sessions, sizeof(*asks->waiter));
        if (asks->bucket == NULL || asks->question == NULL || asks->waiter == NULL) {
                asks_free(asks);
                return NULL;
        }
        for (uint32_t i = 0; i < asks->buckets; i++)
                asks->bucket[i] = ASK_NONE;
        for (uint32_t i = 0; i < sessions; i++) {
                asks->question[i].first = ASK_NONE;
                asks->question[i].next = i + 1 < sessions ? i + 1 : ASK_NONE;
                asks->waiter[i].question = ASK_NONE;
        }
        return asks;
}

void asks_free(struct asks *asks)
{
        if (asks == NULL)
                return;
        free(asks->bucket);
        free(asks->question);
        free(asks->waiter);
        free(asks);
}

static uint32_t *bucket_of(const struct asks *asks, const struct addr *addr)
{
        return &asks->bucket[siphash(&asks->key, addr->bytes, sizeof(addr->bytes)) & (asks->buckets - 1)];
}

static uint32_t find(const struct asks *asks, const struct addr *addr)
{
        uint32_t at = *bucket_of(asks, addr);

        while (at != ASK_NONE && !addr_is_equal(&asks->question[at].addr, addr))
                at = asks->question[at].next;
        return at;
}

static uint32_t open_question(struct asks *asks, const struct addr *addr)
{
        uint32_t at = asks->free, *bucket = bucket_of(asks, addr);
        struct question *question = &asks->question[at];

        BUG_ON_HOT(at == ASK_NONE); /* one per session at most */
        asks->free = question->next;
        question->addr = *addr;
        question->first = ASK_NONE;
        question->next = *bucket;
        *bucket = at;
        return at;
}

static void close_question(struct asks *asks, uint32_t at)
{
        struct question *question = &asks->question[at];
        uint32_t *link = bucket_of(asks, &question->addr);

        while (*link != at)
                link = &asks->question[*link].next;
        *link = question->next;
        question->next = asks->free;
        asks->free = at;
}

bool asks_wait(struct asks *asks, uint32_t session, const struct addr *addr, uint64_t now_us)
{
        struct waiter *waiter = &asks->waiter[session];
        uint32_t at = find(asks, addr);
        bool is_new = at == ASK_NONE;
        struct question *question;

        BUG_ON_HOT(waiter->question != ASK_NONE);
        if (is_new)
                at = open_question(asks, addr);
        question = &asks->question[at];
        waiter->question = at;
        waiter->prev = ASK_NONE;
        waiter->next = question->first;
        if (question->first != ASK_NONE)
                asks->waiter[question->first].prev = session;
        question->first = session;
        if (!is_new && now_us - question->asked_us < ASK_AGAIN_US)
                return false;
        question->asked_us = now_us;
        return true;
}

void asks_leave(struct asks *asks, uint32_t session)
{
        struct waiter *waiter = &asks->waiter[session];
        struct question *question;

        if (waiter->question == ASK_NONE)
                return;
        question = &asks->question[waiter->question];
        if (waiter->next != ASK_NONE)
                asks->waiter[waiter->next].prev = waiter->prev;
        if (waiter->prev != ASK_NONE)
                asks->waiter[waiter->prev].next = waiter->next;
        else
                question->first = waiter->next;
        if (question->first == ASK_NONE)
                close_question(asks, waiter->question);
        waiter->question = ASK_NONE;
}

bool asks_is_waiting(const struct asks *asks, uint32_t session)
{
        return asks->waiter[session].question != ASK_NONE;
}

uint32_t asks_first(const struct asks *asks, const struct addr *addr)
{
        uint32_t at = find(asks, addr);

        return at == ASK_NONE ? ASK_NONE : asks->question[at].first;
}

uint32_t asks_next(const struct asks *asks, uint32_t session)
{
        return asks->waiter[session].next;
}
