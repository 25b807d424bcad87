/* SPDX-License-Identifier: Apache-2.0 */
#include "control/dns/dns.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/dns/engine.h"
#include "control/dns/hostname.h"
#include "dataplane/shared/link.h"

#define REPLIES_A_TURN 1000u
#define TICK_US        1000000u
#define TICK_MAX_MS    1000
#define HOT_A_TICK     64u   /* refreshes begun a tick, at most */
#define SWEEP_LINES    4096u /* of the client table, a turn */
#define SWEEP_ADDRS    512u

int dns_new(struct dns **ret, struct client_table *table, const struct siphash_key *key)
{
        struct dns *dns = calloc(1, sizeof(*dns));
        int r = -ENOMEM;

        if (dns == NULL)
                return -ENOMEM;
        dns->table = table;
        dns->key = *key;
        dns->psl = dns_hostname_suffixes();
        dns->queries = calloc(RESOLVER_WINDOW, sizeof(*dns->queries));
        if (dns->queries == NULL || dns_clients_init(&dns->clients, key) < 0 ||
            dns_hot_init(&dns->hot, key) < 0)
                goto out;
        for (uint32_t i = 0; i < RESOLVER_WINDOW; i++)
                dns->queries[i].next_free = i + 1 < RESOLVER_WINDOW ? i + 1 : CLIENTS_NONE;
        for (unsigned i = 0; i < IMAGE_ZONES_MAX; i++)
                dns->order[i] = (uint8_t)i;
        r = dns_resolver_new(&dns->resolver);
        if (r < 0)
                goto out;
        *ret = dns;
        dns = NULL;
out:
        dns_free(dns);
        return r;
}

void dns_free(struct dns *dns)
{
        if (dns == NULL)
                return;
        dns_resolver_free(dns->resolver);
        if (dns->clients.questions != NULL)
                dns_clients_done(&dns->clients);
        dns_hot_done(&dns->hot);
        free(dns->queries);
        free(dns->conf);
        free(dns);
}

/* ---- settings ------------------------------------------------------------------------------------------ */

static int place_of_domain(const struct dns *dns, const char *domain)
{
        for (unsigned place = 0; place < IMAGE_ZONES_MAX; place++)
                if (dns->zones[place].used && strcmp(dns->zones[place].domain, domain) == 0)
                        return (int)place;
        return -1;
}

static int free_place(const struct dns *dns)
{
        for (unsigned place = 0; place < IMAGE_ZONES_MAX; place++)
                if (!dns->zones[place].used)
                        return (int)place;
        return -1;
}

static void read_list(struct dns *dns, unsigned number, struct dns_now now)
{
        const struct dns_list *list = &dns->conf->lists[number];
        int place = place_of_domain(dns, list->domain);
        struct dns_zone *zone;

        if (place < 0) {
                place = free_place(dns);
                BUG_ON(place < 0); /* there are as many places as lists */
                dns_zone_init(&dns->zones[place], list->domain, now.wall_sec);
                dns->zones[place].generation = ++dns->zone_generation;
        }
        zone = &dns->zones[place];
        zone->numbers |= 1u << number;
        zone->ipv4 = zone->ipv4 || list->ipv4;
        zone->ipv6 = zone->ipv6 || list->ipv6;
        dns->place_of[number] = (uint8_t)place;
}

/* Is it what people know by this number, or has the number gone to another list? */
static bool is_same_list(const struct dns_conf *before, const struct dns_conf *conf, unsigned number)
{
        const struct dns_list *a = &before->lists[number], *b = &conf->lists[number];

        return a->used && b->used && strcmp(a->domain, b->domain) == 0 && a->codes_used == b->codes_used &&
               memcmp(&before->codes[a->codes_first], &conf->codes[b->codes_first],
                      b->codes_used * sizeof(conf->codes[0])) == 0;
}

static void set_zones(struct dns *dns, struct dns_now now)
{
        bool wanted[IMAGE_ZONES_MAX] = { false };

        for (unsigned number = 0; number < IMAGE_ZONES_MAX; number++) {
                int place = dns->conf->lists[number].used
                                ? place_of_domain(dns, dns->conf->lists[number].domain)
                                : -1;

                if (place >= 0)
                        wanted[place] = true;
        }
        for (unsigned place = 0; place < IMAGE_ZONES_MAX; place++) {
                struct dns_zone *zone = &dns->zones[place];

                zone->used = wanted[place];
                zone->numbers = 0;
                zone->ipv4 = zone->ipv6 = false;
        }
        for (unsigned number = 0; number < IMAGE_ZONES_MAX; number++) {
                if (dns->conf->lists[number].used)
                        read_list(dns, number, now);
        }
}

int dns_set_conf(struct dns *dns, const struct dns_conf *conf, struct dns_now now)
{
        struct dns_conf *copy = malloc(sizeof(*copy));
        int r;

        if (copy == NULL)
                return -ENOMEM;
        r = dns_resolver_configure(dns->resolver, &conf->resolver, now.mono_us);
        if (r < 0) {
                free(copy);
                return r;
        }
        *copy = *conf;
        for (unsigned number = 0; dns->conf != NULL && number < IMAGE_ZONES_MAX; number++)
                if (!is_same_list(dns->conf, copy, number))
                        dns->lists[number] = (struct dns_list_stats){ 0 };
        free(dns->conf);
        dns->conf = copy;
        dns->clients.limit = conf->queue_max;
        dns->clients.share_max = conf->share_max;
        set_zones(dns, now);
        dns->unpark = true;
        return 0;
}

int dns_configure(struct dns *dns, const struct image *image, struct dns_now now)
{
        struct dns_conf *conf = malloc(sizeof(*conf));
        int r;

        if (conf == NULL)
                return -ENOMEM;
        dns_conf_from_image(conf, image);
        r = dns_set_conf(dns, conf, now);
        free(conf);
        return r;
}

/* ---- questions ----------------------------------------------------------------------------------------- */

static void abandon(struct dns *dns, uint32_t i)
{
        struct dns_question *question = &dns->clients.questions[i];

        question->zones_todo = 0;
        question->ptr_todo = false;
        dns_clients_queue(&dns->clients, i, DNS_QUEUE_NONE, false);
        dns_clients_release(&dns->clients, i, false);
        if (question->parts == 0 && !question->forward_todo)
                dns_clients_remove(&dns->clients, i);
        else if (question->forward_todo)
                dns_clients_queue(&dns->clients, i, question->home, true);
}

static void begin(struct dns *dns, uint32_t i, const struct dns_question *plan)
{
        struct dns_question *question = &dns->clients.questions[i];

        question->zones_todo = plan->zones_todo;
        question->ptr_todo = plan->ptr_todo;
        question->old_clear = plan->old_clear;
        question->old_listed = plan->old_listed;
        dns_clients_queue(&dns->clients, i, question->home, false);
}

static void set_gauges(struct dns *dns)
{
        dns->counters.open_now = dns->clients.used;
        dns->counters.in_flight_now = dns_resolver_in_flight(dns->resolver);
}

static bool is_question(const struct dns *dns, const struct msg_ask *ask)
{
        static const struct addr nobody;

        return dns->conf != NULL && ask->kind == MSG_ASK_CLIENT && ask->worker < LINK_WORKERS_MAX &&
               !addr_is_equal(&ask->client, &nobody);
}

bool dns_ask_client(struct dns *dns, const struct msg_ask *ask, struct dns_now now)
{
        struct dns_question plan = { .client = ask->client };
        uint32_t asker, question, pushed;

        dns->counters.asked++;
        if (!is_question(dns, ask)) {
                dns->counters.invalid++;
                return false;
        }
        asker = dns_clients_asker(&dns->clients, &ask->client, ask->worker, ask->serial);
        if (asker == CLIENTS_NONE) {
                dns->counters.shed_askers++;
                return false;
        }
        if (!dns_plan(dns, &plan, now, 0)) {
                dns->counters.from_table++;
                dns_clients_release_asker(&dns->clients, asker, true);
                return true;
        }
        switch (dns_clients_join(&dns->clients, &ask->client, ask->known_before == 1, &question, &pushed)) {
        case DNS_JOIN_OLD:
                dns->counters.joined++;
                dns_clients_wait(&dns->clients, question, asker, now.mono_us);
                break;
        case DNS_JOIN_NEW:
                dns_clients_wait(&dns->clients, question, asker, now.mono_us);
                begin(dns, question, &plan);
                if (pushed != CLIENTS_NONE) {
                        dns->counters.shed_full++;
                        abandon(dns, pushed);
                }
                break;
        case DNS_JOIN_SHARE:
                dns->counters.shed_share++;
                dns_clients_release_asker(&dns->clients, asker, false);
                break;
        case DNS_JOIN_FULL:
                dns->counters.shed_full++;
                dns_clients_release_asker(&dns->clients, asker, false);
                break;
        }
        set_gauges(dns);
        return true;
}

bool dns_next_answer(struct dns *dns, struct dns_finished *ret)
{
        struct dns_asker asker;

        if (!dns_clients_next_done(&dns->clients, &asker))
                return false;
        *ret = (struct dns_finished){ .client = asker.client,
                                      .serial = asker.serial,
                                      .worker = asker.worker,
                                      .complete = asker.complete };
        return true;
}

/* ---- turns --------------------------------------------------------------------------------------------- */

static uint64_t deadline_us(const struct dns *dns, uint32_t question)
{
        return dns->clients.questions[question].asked_us + dns->conf->deadline_ms * 1000ull;
}

static void end_late(struct dns *dns, struct dns_now now)
{
        uint32_t oldest;

        while ((oldest = dns_clients_oldest(&dns->clients)) != CLIENTS_NONE &&
               now.mono_us >= deadline_us(dns, oldest)) {
                dns->counters.deadline++;
                abandon(dns, oldest);
        }
}

/* The zone with the most unique hits a question first. Few and seldom: an insertion sort. */
static void sort_by_yield(struct dns *dns)
{
        uint64_t yield[IMAGE_ZONES_MAX] = { 0 };

        for (unsigned place = 0; place < IMAGE_ZONES_MAX; place++) {
                const struct dns_zone *zone = &dns->zones[place];

                for (uint32_t left = zone->numbers; zone->used && left != 0; left &= left - 1)
                        yield[place] += dns->lists[__builtin_ctz(left)].unique_hits;
                yield[place] = yield[place] * 1000 / MAX(zone->stats.queries, 1);
        }
        for (unsigned i = 1; i < IMAGE_ZONES_MAX; i++)
                for (unsigned k = i; k > 0 && yield[dns->order[k]] > yield[dns->order[k - 1]]; k--) {
                        uint8_t place = dns->order[k];

                        dns->order[k] = dns->order[k - 1];
                        dns->order[k - 1] = place;
                }
}

static void refresh_hot(struct dns *dns, struct dns_now now)
{
        struct addr client;
        uint32_t ahead_sec, question, pushed;

        for (unsigned i = 0; i < HOT_A_TICK; i++) {
                struct dns_question plan = { 0 };

                if (!dns_hot_next(&dns->hot, HOT_SETS * HOT_WAYS / 4, now.wall_sec, &client, &ahead_sec))
                        return;
                plan.client = client;
                if (!dns_plan(dns, &plan, now, ahead_sec) ||
                    dns_clients_join(&dns->clients, &client, false, &question, &pushed) != DNS_JOIN_NEW)
                        continue;
                dns->counters.refreshed++;
                dns->clients.questions[question].refresh = true;
                dns->clients.questions[question].asked_us = now.mono_us;
                dns->clients.questions[question].home = DNS_QUEUE_REFRESH;
                begin(dns, question, &plan);
        }
}

/* Take the listings of a zone that was caught lying out of the table, some lines a turn. */
static void sweep(struct dns *dns, struct dns_now now)
{
        struct client_answers answers;
        struct addr client;
        uint32_t numbers;

        for (unsigned i = 0; dns->sweep_numbers != 0 && i < SWEEP_ADDRS; i++) {
                if (!client_table_next(dns->table, &dns->sweep_cursor, SWEEP_LINES, &client)) {
                        if (client_table_at_end(dns->table, dns->sweep_cursor))
                                dns->sweep_numbers = 0;
                        return;
                }
                client_table_lookup(dns->table, &client, now.wall_sec, &answers);
                numbers = answers.zones_listed & dns->sweep_numbers;
                for (uint32_t left = numbers; left != 0; left &= left - 1) {
                        uint32_t number = left & -left;
                        uint32_t expire_sec = answers.zones_expire_sec[number > 0xffff];

                        if (expire_sec > now.wall_sec)
                                client_table_write_zones(dns->table, &client, number, CLIENT_ZONE_ERROR,
                                                         expire_sec, now.wall_sec);
                }
        }
}

void dns_turn(struct dns *dns, struct dns_now now)
{
        struct dns_reply reply;

        if (dns->conf == NULL)
                return;
        dns->sends_left = DNS_SENDS_MAX;
        dns_resolver_turn(dns->resolver, now.mono_us);
        for (unsigned i = 0; i < REPLIES_A_TURN && dns_resolver_next(dns->resolver, &reply); i++)
                dns_take_reply(dns, &reply, now);
        end_late(dns, now);
        if (now.mono_us - dns->tick_us >= TICK_US) {
                dns->tick_us = now.mono_us;
                sort_by_yield(dns);
                refresh_hot(dns, now);
        }
        dns_send_probes(dns, now);
        dns_send(dns, now);
        sweep(dns, now);
        set_gauges(dns);
}

int dns_fd(const struct dns *dns)
{
        return dns_resolver_fd(dns->resolver);
}

static int until_ms(uint64_t due_us, struct dns_now now, int before_ms)
{
        uint64_t wait_ms = due_us > now.mono_us ? (due_us - now.mono_us + 999) / 1000 : 0;

        return wait_ms < (uint64_t)before_ms ? (int)wait_ms : before_ms;
}

int dns_timeout_ms(const struct dns *dns, struct dns_now now)
{
        int resolver_ms = dns_resolver_timeout_ms(dns->resolver),
            wait_ms = until_ms(dns->tick_us + TICK_US, now, TICK_MAX_MS);
        uint32_t oldest = dns_clients_oldest(&dns->clients);

        if (dns->conf == NULL)
                return -1;
        if (resolver_ms >= 0)
                wait_ms = MIN(wait_ms, resolver_ms);
        if (oldest != CLIENTS_NONE)
                wait_ms = until_ms(deadline_us(dns, oldest), now, wait_ms);
        for (unsigned place = 0; place < IMAGE_ZONES_MAX; place++)
                if (dns->zones[place].used && dns->zones[place].probes_open == 0)
                        wait_ms = until_ms(dns->zones[place].probe_due_us, now, wait_ms);
        if (dns->clients.first[DNS_QUEUE_KNOWN] != CLIENTS_NONE ||
            dns->clients.first[DNS_QUEUE_NEW] != CLIENTS_NONE || dns->unpark || dns->sweep_numbers != 0)
                /* Questions that find no room wait for a reply, which wakes us; a spent turn goes on at once. */
                wait_ms = dns->sends_left == 0 || dns->unpark || dns_resolver_in_flight(dns->resolver) == 0
                              ? 0
                          : dns->sweep_numbers != 0 ? MIN(wait_ms, 5)
                                                    : wait_ms;
        return wait_ms;
}

/* ---- for metrics and people ---------------------------------------------------------------------------- */

const struct dns_counters *dns_counters(const struct dns *dns)
{
        return &dns->counters;
}

const struct dns_list *dns_list_at(const struct dns *dns, uint32_t number)
{
        if (dns->conf == NULL || number >= IMAGE_ZONES_MAX || !dns->conf->lists[number].used)
                return NULL;
        return &dns->conf->lists[number];
}

const struct dns_zone *dns_list_zone(const struct dns *dns, uint32_t number)
{
        return dns_list_at(dns, number) ? &dns->zones[dns->place_of[number]] : NULL;
}

const struct dns_list_stats *dns_list_stats(const struct dns *dns, uint32_t number)
{
        return dns_list_at(dns, number) ? &dns->lists[number] : NULL;
}

const char *dns_next_event(struct dns *dns)
{
        const char *event;

        if (dns->events_used == 0)
                return NULL;
        event = dns->events[dns->events_first];
        dns->events_first = (dns->events_first + 1) % DNS_EVENTS_MAX;
        dns->events_used--;
        return event;
}
