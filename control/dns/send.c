/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked next. Clients whose network passed before go first, then others, then refreshes. Of one
 * client reverse DNS goes first, then the zones by what they brought so far.
 */
#include "control/dns/engine.h"

#include <errno.h>
#include <string.h>

#define TRIAL_US 1000000u /* while the resolver seems dead one reverse lookup a second tries it */

uint32_t dns_numbers_for(const struct dns *dns, const struct dns_zone *zone, const struct addr *client)
{
        bool is_v4 = addr_is_v4(client);
        uint32_t numbers = 0;

        for (uint32_t left = zone->numbers; left != 0; left &= left - 1) {
                const struct dns_list *list = &dns->conf->lists[__builtin_ctz(left)];

                if (is_v4 ? list->ipv4 : list->ipv6)
                        numbers |= left & -left;
        }
        return numbers;
}

bool dns_plan(const struct dns *dns, struct dns_question *question, struct dns_now now, uint32_t ahead_sec)
{
        struct client_answers answers;
        uint32_t fresh = 0;

        client_table_lookup(dns->table, &question->client, now.wall_sec, &answers);
        for (unsigned cell = 0; cell < 2; cell++)
                if (answers.zones_expire_sec[cell] > now.wall_sec + ahead_sec)
                        fresh |= answers.zones_known & (cell == 0 ? 0xffffu : 0xffff0000u);
        question->zones_todo = 0;
        for (unsigned place = 0; place < IMAGE_ZONES_MAX; place++) {
                const struct dns_zone *zone = &dns->zones[place];

                if (zone->used && (dns_numbers_for(dns, zone, &question->client) & ~fresh) != 0)
                        question->zones_todo |= 1u << place;
        }
        question->old_listed = answers.zones_listed & ~fresh;
        question->old_clear = answers.zones_known & ~answers.zones_listed & ~answers.zones_error & ~fresh;
        question->ptr_todo =
            answers.ptr == CLIENT_PTR_UNKNOWN || answers.ptr_expire_sec <= now.wall_sec + ahead_sec;
        return question->zones_todo != 0 || question->ptr_todo;
}

static bool has_room(const struct dns *dns)
{
        return dns->sends_left > 0 && dns->free_query != CLIENTS_NONE &&
               dns_resolver_room(dns->resolver) > 0 &&
               dns_resolver_in_flight(dns->resolver) < dns->conf->outstanding_max;
}

/* Returns false when there is no room. A name that cannot be asked counts as sent and failed. */
static bool ask(struct dns *dns, const struct query *query, enum dns_type type, const char *name,
                struct dns_now now)
{
        uint32_t i = dns->free_query, next;

        if (!has_room(dns))
                return false;
        next = dns->queries[i].next_free;
        dns->queries[i] = *query;
        if (dns_resolver_ask(dns->resolver, type, name, i, now.mono_us) < 0) {
                dns->queries[i].next_free = next;
                return false;
        }
        dns->free_query = next;
        dns->sends_left--;
        dns->counters.queries++;
        return true;
}

/* No zone answers, and reverse DNS does not either: it is the resolver, not some distant server. */
static bool is_resolver_dead(const struct dns *dns)
{
        bool silent = false;

        for (unsigned place = 0; place < IMAGE_ZONES_MAX; place++) {
                if (!dns->zones[place].used)
                        continue;
                if (dns->zones[place].state != DNS_ZONE_SILENT)
                        return false;
                silent = true;
        }
        return silent && (dns->reverse_history & 0xffu) == 0xffu;
}

enum sent {
        SENT_ALL,
        SENT_PARK, /* the rest has to wait for something other than room */
        SENT_FULL, /* no room */
};

static enum sent send_reverse(struct dns *dns, uint32_t i, struct dns_now now)
{
        struct dns_question *question = &dns->clients.questions[i];
        struct query query = { .question = i };
        char name[DNS_NAME_MAX];
        enum dns_type type = DNS_TYPE_PTR;

        if (!question->ptr_todo && !question->forward_todo)
                return SENT_ALL;
        if (question->ptr_todo && is_resolver_dead(dns)) {
                if (now.mono_us - dns->reverse_trial_us < TRIAL_US) {
                        question->ptr_todo = false;
                        dns_ptr_failed(dns, question, DNS_FAILED_SEC / 2, now);
                        return SENT_ALL;
                }
                dns->reverse_trial_us = now.mono_us;
        }
        if (dns->reverse_in_flight >= dns_reverse_share(dns))
                return SENT_PARK;
        query.kind = question->ptr_todo ? QUERY_PTR : QUERY_FORWARD;
        if (question->ptr_todo) {
                dns_reverse_name(&question->client, name);
        } else {
                memcpy(name, question->names->names[question->names->next], sizeof(name));
                type = addr_is_v4(&question->client) ? DNS_TYPE_A : DNS_TYPE_AAAA;
        }
        if (!ask(dns, &query, type, name, now))
                return SENT_FULL;
        dns->reverse_in_flight++;
        question->parts++;
        if (question->ptr_todo)
                question->ptr_todo = false;
        else
                question->forward_todo = false;
        return SENT_ALL;
}

static enum sent send_zone(struct dns *dns, uint32_t i, unsigned place, struct dns_now now)
{
        struct dns_question *question = &dns->clients.questions[i];
        struct dns_zone *zone = &dns->zones[place];
        struct query query = {
                .kind = QUERY_ZONE, .question = i, .place = place, .zone_generation = zone->generation
        };
        char name[DNS_NAME_MAX];

        if (zone->used && zone->state == DNS_ZONE_STARTING)
                return SENT_PARK;
        if (!zone->used || dns_numbers_for(dns, zone, &question->client) == 0) {
                question->zones_todo &= ~(1u << place);
                return SENT_ALL;
        }
        if (!dns_zone_is_up(zone) || dns_zone_name(zone->domain, &question->client, name) < 0) {
                question->zones_todo &= ~(1u << place);
                zone->stats.skipped++;
                dns_zone_failed(dns, question, zone, true, now);
                return SENT_ALL;
        }
        if (zone->in_flight >= dns_zone_share(dns))
                return SENT_PARK;
        if (!ask(dns, &query, DNS_TYPE_A, name, now))
                return SENT_FULL;
        question->zones_todo &= ~(1u << place);
        question->parts++;
        zone->in_flight++;
        zone->stats.queries++;
        return SENT_ALL;
}

static enum sent send_question(struct dns *dns, uint32_t i, struct dns_now now)
{
        struct dns_question *question = &dns->clients.questions[i];
        enum sent sent = send_reverse(dns, i, now), worst = sent;

        for (unsigned k = 0; k < IMAGE_ZONES_MAX && sent != SENT_FULL; k++) {
                if ((question->zones_todo & 1u << dns->order[k]) == 0)
                        continue;
                sent = send_zone(dns, i, dns->order[k], now);
                worst = MAX(worst, sent);
        }
        return worst;
}

static void unpark(struct dns *dns)
{
        struct dns_clients *clients = &dns->clients;
        uint32_t i;

        dns->unpark = false;
        while ((i = clients->last[DNS_QUEUE_PARKED]) != CLIENTS_NONE)
                dns_clients_queue(clients, i, clients->questions[i].home, true);
}

void dns_send(struct dns *dns, struct dns_now now)
{
        struct dns_clients *clients = &dns->clients;

        if (dns->unpark)
                unpark(dns);
        for (unsigned queue = DNS_QUEUE_KNOWN; queue <= DNS_QUEUE_REFRESH;) {
                uint32_t i = clients->first[queue];
                enum sent sent;

                if (i == CLIENTS_NONE) {
                        queue++;
                        continue;
                }
                sent = send_question(dns, i, now);
                if (sent == SENT_FULL)
                        return;
                dns_clients_queue(clients, i, sent == SENT_PARK ? DNS_QUEUE_PARKED : DNS_QUEUE_NONE, false);
                if (sent == SENT_ALL)
                        dns_finish(dns, i, now);
        }
}

void dns_send_probes(struct dns *dns, struct dns_now now)
{
        for (unsigned place = 0; place < IMAGE_ZONES_MAX; place++) {
                struct dns_zone *zone = &dns->zones[place];
                struct addr addrs[ZONE_CONTROLS + 4];
                enum dns_probe kinds[ZONE_CONTROLS + 4];
                struct dns_answer none = { .status = DNS_TIMEOUT };
                char name[DNS_NAME_MAX];
                unsigned count;

                if (!dns_zone_probe_due(zone, now.mono_us))
                        continue;
                count = dns_zone_probe_begin(zone, addrs, kinds);
                for (unsigned i = 0; i < count; i++) {
                        struct query query = { .kind = QUERY_PROBE,
                                               .probe = kinds[i],
                                               .place = place,
                                               .zone_generation = zone->generation };

                        if (dns_zone_probe_name(zone->domain, kinds[i], &addrs[i], name) == 0 &&
                            ask(dns, &query, DNS_TYPE_A, name, now))
                                continue;
                        if (dns_zone_probe_result(zone, kinds[i], &none, dns->conf->probe_interval_sec,
                                                  now.mono_us, now.wall_sec))
                                dns_zone_changed(dns, zone);
                }
        }
}
