/* SPDX-License-Identifier: Apache-2.0 */
#include "control/dns/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/dns/conf.h"

#define INDEX_SLOTS  (2 * DNS_QUESTIONS_MAX)
#define SHARE_SLOTS  (4 * DNS_QUESTIONS_MAX)
#define SHARE_V4_LEN 24
#define SHARE_V6_LEN 48

int dns_clients_init(struct dns_clients *clients, const struct siphash_key *key)
{
        memset(clients, 0, sizeof(*clients));
        clients->key = *key;
        clients->limit = DNS_QUESTIONS_MAX;
        clients->share_max = DNS_QUESTIONS_MAX;
        clients->questions = calloc(DNS_QUESTIONS_MAX, sizeof(*clients->questions));
        clients->index = malloc(INDEX_SLOTS * sizeof(*clients->index));
        clients->shares = calloc(SHARE_SLOTS, sizeof(*clients->shares));
        clients->askers = calloc(DNS_ASKERS_MAX, sizeof(*clients->askers));
        if (!clients->questions || !clients->index || !clients->shares || !clients->askers) {
                dns_clients_done(clients);
                return -ENOMEM;
        }
        memset(clients->index, 0xff, INDEX_SLOTS * sizeof(*clients->index));
        for (uint32_t i = 0; i < DNS_QUESTIONS_MAX; i++)
                clients->questions[i].next = i + 1 < DNS_QUESTIONS_MAX ? i + 1 : CLIENTS_NONE;
        for (uint32_t i = 0; i < DNS_ASKERS_MAX; i++)
                clients->askers[i].next = i + 1 < DNS_ASKERS_MAX ? i + 1 : CLIENTS_NONE;
        for (unsigned i = 0; i < DNS_QUEUE_USED; i++)
                clients->first[i] = clients->last[i] = CLIENTS_NONE;
        clients->oldest = clients->youngest = CLIENTS_NONE;
        clients->done_first = clients->done_last = CLIENTS_NONE;
        return 0;
}

void dns_clients_done(struct dns_clients *clients)
{
        for (uint32_t i = 0; clients->questions != NULL && i < DNS_QUESTIONS_MAX; i++)
                free(clients->questions[i].names);
        free(clients->questions);
        free(clients->index);
        free(clients->shares);
        free(clients->askers);
        memset(clients, 0, sizeof(*clients));
}

static uint32_t *chain_of(struct dns_clients *clients, const struct addr *client)
{
        return &clients->index[siphash(&clients->key, client, sizeof(*client)) & (INDEX_SLOTS - 1)];
}

static uint16_t *share_of(struct dns_clients *clients, const struct addr *client)
{
        struct addr network = addr_network(client, SHARE_V4_LEN, SHARE_V6_LEN);

        return &clients->shares[siphash(&clients->key, &network, sizeof(network)) & (SHARE_SLOTS - 1)];
}

uint32_t dns_clients_asker(struct dns_clients *clients, const struct addr *client, uint32_t worker,
                           uint64_t serial)
{
        uint32_t i = clients->free_asker;

        if (i == CLIENTS_NONE)
                return CLIENTS_NONE;
        clients->free_asker = clients->askers[i].next;
        clients->askers[i] =
            (struct dns_asker){ .client = *client, .worker = worker, .serial = serial, .next = CLIENTS_NONE };
        return i;
}

/* The youngest question of a network that never passed and of which nothing was sent yet. */
static uint32_t somebody_to_push_out(const struct dns_clients *clients)
{
        if (clients->last[DNS_QUEUE_REFRESH] != CLIENTS_NONE &&
            clients->questions[clients->last[DNS_QUEUE_REFRESH]].parts == 0)
                return clients->last[DNS_QUEUE_REFRESH];
        for (uint32_t i = clients->last[DNS_QUEUE_NEW]; i != CLIENTS_NONE; i = clients->questions[i].prev)
                if (clients->questions[i].parts == 0)
                        return i;
        return CLIENTS_NONE;
}

/* Somebody more important asks about the same client. */
static void promote(struct dns_clients *clients, uint32_t i, enum dns_queue home)
{
        struct dns_question *question = &clients->questions[i];

        if (home >= question->home)
                return;
        if (question->queue == question->home)
                dns_clients_queue(clients, i, home, false);
        question->home = (uint8_t)home;
}

enum dns_join dns_clients_join(struct dns_clients *clients, const struct addr *client, bool known,
                               uint32_t *ret_question, uint32_t *ret_pushed)
{
        uint32_t *chain = chain_of(clients, client);
        uint16_t *share = share_of(clients, client);
        struct dns_question *question;
        uint32_t i;

        *ret_pushed = CLIENTS_NONE;
        for (i = *chain; i != CLIENTS_NONE; i = clients->questions[i].hash_next) {
                if (!addr_is_equal(&clients->questions[i].client, client))
                        continue;
                *ret_question = i;
                promote(clients, i, known ? DNS_QUEUE_KNOWN : DNS_QUEUE_NEW);
                return DNS_JOIN_OLD;
        }
        if (*share >= clients->share_max)
                return DNS_JOIN_SHARE;
        if (clients->used >= clients->limit) {
                *ret_pushed = known ? somebody_to_push_out(clients) : CLIENTS_NONE;
                if (*ret_pushed == CLIENTS_NONE)
                        return DNS_JOIN_FULL;
                /* One more than the limit, until the caller has ended the other; the pool has the room. */
        }
        i = clients->free_question;
        if (i == CLIENTS_NONE)
                return DNS_JOIN_FULL;
        question = &clients->questions[i];
        clients->free_question = question->next;
        memset(question, 0, sizeof(*question));
        question->client = *client;
        question->used = true;
        question->new_expire_sec = UINT32_MAX;
        question->queue = DNS_QUEUE_NONE;
        question->home = known ? DNS_QUEUE_KNOWN : DNS_QUEUE_NEW;
        question->askers = CLIENTS_NONE;
        question->prev = question->next = question->older = question->younger = CLIENTS_NONE;
        question->hash_next = *chain;
        *chain = i;
        *share += 1;
        clients->used++;
        *ret_question = i;
        return DNS_JOIN_NEW;
}

void dns_clients_wait(struct dns_clients *clients, uint32_t i, uint32_t asker, uint64_t now_us)
{
        struct dns_question *question = &clients->questions[i];

        clients->askers[asker].next = question->askers;
        question->askers = asker;
        if (question->waiting)
                return;
        question->waiting = true;
        question->asked_us = now_us;
        question->older = clients->youngest;
        question->younger = CLIENTS_NONE;
        if (clients->youngest != CLIENTS_NONE)
                clients->questions[clients->youngest].younger = i;
        else
                clients->oldest = i;
        clients->youngest = i;
}

static void leave_queue(struct dns_clients *clients, struct dns_question *question)
{
        if (question->queue == DNS_QUEUE_NONE)
                return;
        if (question->prev != CLIENTS_NONE)
                clients->questions[question->prev].next = question->next;
        else
                clients->first[question->queue] = question->next;
        if (question->next != CLIENTS_NONE)
                clients->questions[question->next].prev = question->prev;
        else
                clients->last[question->queue] = question->prev;
        question->prev = question->next = CLIENTS_NONE;
        question->queue = DNS_QUEUE_NONE;
}

void dns_clients_queue(struct dns_clients *clients, uint32_t i, enum dns_queue queue, bool front)
{
        struct dns_question *question = &clients->questions[i];
        uint32_t *end, other;

        leave_queue(clients, question);
        if (queue == DNS_QUEUE_NONE)
                return;
        end = front ? &clients->first[queue] : &clients->last[queue];
        other = *end;
        question->queue = (uint8_t)queue;
        if (front)
                question->next = other;
        else
                question->prev = other;
        if (other == CLIENTS_NONE)
                clients->first[queue] = clients->last[queue] = i;
        else if (front)
                clients->questions[other].prev = i;
        else
                clients->questions[other].next = i;
        *end = i;
}

uint32_t dns_clients_oldest(const struct dns_clients *clients)
{
        return clients->oldest;
}

void dns_clients_release_asker(struct dns_clients *clients, uint32_t i, bool complete)
{
        clients->askers[i].complete = complete;
        clients->askers[i].next = CLIENTS_NONE;
        if (clients->done_last != CLIENTS_NONE)
                clients->askers[clients->done_last].next = i;
        else
                clients->done_first = i;
        clients->done_last = i;
}

void dns_clients_release(struct dns_clients *clients, uint32_t i, bool complete)
{
        struct dns_question *question = &clients->questions[i];

        while (question->askers != CLIENTS_NONE) {
                uint32_t asker = question->askers;

                question->askers = clients->askers[asker].next;
                dns_clients_release_asker(clients, asker, complete);
        }
        if (!question->waiting)
                return;
        question->waiting = false;
        if (question->older != CLIENTS_NONE)
                clients->questions[question->older].younger = question->younger;
        else
                clients->oldest = question->younger;
        if (question->younger != CLIENTS_NONE)
                clients->questions[question->younger].older = question->older;
        else
                clients->youngest = question->older;
        question->older = question->younger = CLIENTS_NONE;
}

void dns_clients_remove(struct dns_clients *clients, uint32_t i)
{
        struct dns_question *question = &clients->questions[i];
        uint32_t *at = chain_of(clients, &question->client);

        BUG_ON(!question->used || question->waiting || question->parts > 0);
        leave_queue(clients, question);
        while (*at != i)
                at = &clients->questions[*at].hash_next;
        *at = question->hash_next;
        *share_of(clients, &question->client) -= 1;
        free(question->names);
        question->names = NULL;
        question->used = false;
        question->next = clients->free_question;
        clients->free_question = i;
        clients->used--;
}

bool dns_clients_next_done(struct dns_clients *clients, struct dns_asker *ret)
{
        uint32_t i = clients->done_first;

        if (i == CLIENTS_NONE)
                return false;
        *ret = clients->askers[i];
        clients->done_first = clients->askers[i].next;
        if (clients->done_first == CLIENTS_NONE)
                clients->done_last = CLIENTS_NONE;
        clients->askers[i].next = clients->free_asker;
        clients->free_asker = i;
        return true;
}
