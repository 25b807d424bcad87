/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/session/ask.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/session/indices.h"
#include "dataplane/shared/bug.h"
#include "dataplane/tcp/ilist.h"

#define ASK_AGAIN_US 1000000u

struct question {
        struct addr addr;
        uint64_t asked_us;
        uint32_t first;         /* waiter */
        uint32_t next;          /* question in the same bucket */
        struct ilist_node open; /* all questions, oldest first */
};

/* Free ones have no session. */
struct waiter {
        uint32_t session; /* one more than its number, 0: none */
        uint32_t question;
        uint32_t next, prev;
};

struct asks {
        struct siphash_key key;
        uint32_t buckets; /* a power of two */
        uint32_t *bucket; /* one more than a question's number, 0: none */
        struct indices questions, waiters; /* as many of both: a waiter can always have a question of its own */
        struct question *question;
        struct waiter *waiter;
        struct ilist open;
};

struct asks *asks_new(uint32_t waiters, const struct siphash_key *key)
{
        struct asks *asks = calloc(1, sizeof(*asks));

        if (asks == NULL)
                return NULL;
        asks->key = *key;
        asks->buckets = 64;
        while (asks->buckets < waiters)
                asks->buckets *= 2;
        asks->bucket = pages_take(asks->buckets * sizeof(*asks->bucket));
        asks->question = pages_take(waiters * sizeof(*asks->question));
        asks->waiter = pages_take(waiters * sizeof(*asks->waiter));
        if (!indices_init(&asks->questions, waiters) || !indices_init(&asks->waiters, waiters) ||
            asks->bucket == NULL || asks->question == NULL || asks->waiter == NULL) {
                asks_free(asks);
                return NULL;
        }
        ilist_init(&asks->open, &asks->question[0].open, sizeof(*asks->question));
        return asks;
}

void asks_free(struct asks *asks)
{
        if (asks == NULL)
                return;
        pages_give(asks->bucket, asks->buckets * sizeof(*asks->bucket));
        pages_give(asks->question, asks->questions.max * sizeof(*asks->question));
        pages_give(asks->waiter, asks->questions.max * sizeof(*asks->waiter));
        indices_done(&asks->questions);
        indices_done(&asks->waiters);
        free(asks);
}

static uint32_t *bucket_of(const struct asks *asks, const struct addr *addr)
{
        return &asks->bucket[siphash(&asks->key, addr->bytes, sizeof(addr->bytes)) & (asks->buckets - 1)];
}

static uint32_t find(const struct asks *asks, const struct addr *addr)
{
        uint32_t at = *bucket_of(asks, addr);

        while (at != 0 && !addr_is_equal(&asks->question[at - 1].addr, addr))
                at = asks->question[at - 1].next;
        return at == 0 ? ASK_NONE : at - 1;
}

static uint32_t open_question(struct asks *asks, const struct addr *addr)
{
        uint32_t at = indices_take(&asks->questions), *bucket = bucket_of(asks, addr);
        struct question *question = &asks->question[at];

        BUG_ON_HOT(at == INDEX_NONE); /* one per waiter at most, and a waiter was free */
        *question = (struct question){ .addr = *addr, .first = ASK_NONE, .next = *bucket };
        *bucket = at + 1;
        ilist_push(&asks->open, at);
        return at;
}

static void close_question(struct asks *asks, uint32_t at)
{
        struct question *question = &asks->question[at];
        uint32_t *link = bucket_of(asks, &question->addr);

        while (*link != at + 1)
                link = &asks->question[*link - 1].next;
        *link = question->next;
        ilist_remove(&asks->open, at);
        indices_give(&asks->questions, at);
}

static void leave(struct asks *asks, uint32_t at)
{
        struct waiter *waiter = &asks->waiter[at];
        struct question *question = &asks->question[waiter->question];

        if (waiter->next != ASK_NONE)
                asks->waiter[waiter->next].prev = waiter->prev;
        if (waiter->prev != ASK_NONE)
                asks->waiter[waiter->prev].next = waiter->next;
        else
                question->first = waiter->next;
        if (question->first == ASK_NONE)
                close_question(asks, waiter->question);
        waiter->session = 0;
        indices_give(&asks->waiters, at);
}

/* The oldest question and all who wait for it. Returns how many they were. */
static uint32_t forget_oldest(struct asks *asks)
{
        uint32_t at = asks->open.head, forgotten = 0, waiter;

        do {
                waiter = asks->question[at].first;
                leave(asks, waiter);
                forgotten++;
        } while (asks->open.head == at);
        return forgotten;
}

bool asks_wait(struct asks *asks, uint32_t *waiter, uint32_t session, const struct addr *addr, uint64_t now_us,
               uint32_t *ret_forgotten)
{
        uint32_t place = indices_take(&asks->waiters), at;
        struct question *question;
        bool is_new;

        BUG_ON_HOT(asks_is_waiting(asks, *waiter, session));
        *ret_forgotten = 0;
        if (place == INDEX_NONE) {
                *ret_forgotten = forget_oldest(asks);
                place = indices_take(&asks->waiters);
        }
        at = find(asks, addr);
        is_new = at == ASK_NONE;
        if (is_new)
                at = open_question(asks, addr);
        question = &asks->question[at];
        asks->waiter[place] = (struct waiter){
                .session = session + 1, .question = at, .next = question->first, .prev = ASK_NONE,
        };
        if (question->first != ASK_NONE)
                asks->waiter[question->first].prev = place;
        question->first = place;
        *waiter = place;
        if (!is_new && now_us - question->asked_us < ASK_AGAIN_US)
                return false;
        question->asked_us = now_us;
        return true;
}

bool asks_is_waiting(const struct asks *asks, uint32_t waiter, uint32_t session)
{
        return waiter != ASK_NONE && asks->waiter[waiter].session == session + 1;
}

void asks_leave(struct asks *asks, uint32_t waiter, uint32_t session)
{
        if (asks_is_waiting(asks, waiter, session))
                leave(asks, waiter);
}

uint32_t asks_first(const struct asks *asks, const struct addr *addr)
{
        uint32_t at = find(asks, addr);

        return at == ASK_NONE ? ASK_NONE : asks->waiter[asks->question[at].first].session - 1;
}

uint32_t asks_waiting(const struct asks *asks)
{
        return indices_used(&asks->waiters);
}
