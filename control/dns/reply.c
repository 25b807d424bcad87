/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an answer means, and where it is written. A failure never overwrites what is known: an old answer is
 * kept on for a while, since the alternative is to know nothing.
 */
#include "control/dns/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/dns/hostname.h"
#include "dataplane/shared/grey_key.h"

static uint32_t expiry(uint32_t ttl_sec, uint32_t min_sec, uint32_t max_sec, struct dns_now now)
{
        return now.wall_sec + MIN(MAX(ttl_sec, min_sec), max_sec);
}

/* Write the result of some lists of one client, or keep it for the end of a refresh. */
static void keep_zones(struct dns *dns, struct dns_question *question, uint32_t numbers,
                       enum client_zone result, uint32_t expire_sec, struct dns_now now)
{
        if (numbers == 0)
                return;
        if (question->refresh) {
                question->new_listed |= result == CLIENT_ZONE_LISTED ? numbers : 0;
                question->new_clear |= result == CLIENT_ZONE_CLEAR ? numbers : 0;
                question->new_expire_sec = MIN(question->new_expire_sec, expire_sec);
        } else if (client_table_write_zones(dns->table, &question->client, numbers, result, expire_sec,
                                            now.wall_sec) == CLIENT_WRITE_EVICTED) {
                dns->counters.table_full++;
        }
}

void dns_zone_changed(struct dns *dns, struct dns_zone *zone)
{
        unsigned i = (dns->events_first + dns->events_used) % DNS_EVENTS_MAX;

        dns->unpark = true;
        if (zone->state == DNS_ZONE_LYING) {
                dns->sweep_numbers |= zone->numbers;
                dns->sweep_cursor = 0;
        }
        if (dns->events_used == DNS_EVENTS_MAX)
                dns->events_first = (dns->events_first + 1) % DNS_EVENTS_MAX; /* the oldest is lost */
        else
                dns->events_used++;
        snprintf(dns->events[i], DNS_EVENT_BYTES, "zone %s is %s: %s", zone->domain,
                 dns_zone_state_text(zone->state), zone->reason);
}

void dns_zone_failed(struct dns *dns, struct dns_question *question, const struct dns_zone *zone,
                     bool skipped, struct dns_now now)
{
        uint32_t numbers = dns_numbers_for(dns, zone, &question->client), old;

        old = numbers & (question->old_clear | question->old_listed);
        if (old != 0)
                dns->counters.stale++;
        /* A listing by a zone that was caught lying is worth nothing. */
        if (zone->state != DNS_ZONE_LYING)
                keep_zones(dns, question, numbers & question->old_listed, CLIENT_ZONE_LISTED,
                           now.wall_sec + DNS_STALE_SEC, now);
        keep_zones(dns, question, numbers & question->old_clear, CLIENT_ZONE_CLEAR,
                   now.wall_sec + DNS_STALE_SEC, now);
        if ((numbers & ~old) == 0)
                return;
        question->failed = true;
        /* Of a zone that is down nothing is written: the answers of the others would expire with it. */
        if (!skipped && !question->refresh)
                keep_zones(dns, question, numbers & ~old, CLIENT_ZONE_ERROR, now.wall_sec + DNS_FAILED_SEC,
                           now);
}

static void count_hits(struct dns *dns, uint32_t listed)
{
        for (; listed != 0; listed &= listed - 1)
                dns->lists[__builtin_ctz(listed)].hits++;
}

static void take_zone(struct dns *dns, struct dns_question *question, struct dns_zone *zone,
                      const struct dns_reply *reply, struct dns_now now)
{
        uint32_t numbers = dns_numbers_for(dns, zone, &question->client), listed;
        enum dns_reading reading = dns_zone_read(zone, dns->conf, &reply->answer, &listed);

        if (dns_zone_outcome(zone, reading, reply->took_us, &question->client, now.mono_us, now.wall_sec))
                dns_zone_changed(dns, zone);
        if (!dns_zone_is_up(zone) || reading == DNS_READING_LIE || reading == DNS_READING_TIMEOUT ||
            reading == DNS_READING_FAILED) {
                dns_zone_failed(dns, question, zone, false, now);
                return;
        }
        if (reading == DNS_READING_ODD)
                question->failed = true;
        listed &= numbers;
        count_hits(dns, listed);
        question->hits |= listed;
        for (uint32_t left = numbers; left != 0; left &= left - 1) {
                const struct dns_list *list = &dns->conf->lists[__builtin_ctz(left)];
                uint32_t number = left & -left;
                enum client_zone result = reading == DNS_READING_ODD ? CLIENT_ZONE_ERROR
                                          : listed & number          ? CLIENT_ZONE_LISTED
                                                                     : CLIENT_ZONE_CLEAR;

                keep_zones(dns, question, number, result,
                           expiry(reply->answer.ttl_sec, list->ttl_min_sec, list->ttl_max_sec, now), now);
        }
}

/* ---- reverse DNS --------------------------------------------------------------------------------------- */

static void write_ptr(struct dns *dns, const struct dns_question *question, enum client_ptr ptr,
                      const char *name, uint32_t expire_sec, struct dns_now now)
{
        const char *domain = NULL;
        uint64_t pool = 0;

        if (ptr == CLIENT_PTR_CONFIRMED) {
                domain = dns_hostname_pool(dns->psl, name, &question->client);
                if (domain != NULL)
                        pool = grey_key_pool_domain(&dns->key, domain, strlen(domain));
        }
        if (client_table_write_ptr(dns->table, &question->client, ptr, pool, name, strlen(name), expire_sec,
                                   now.wall_sec) == CLIENT_WRITE_EVICTED)
                dns->counters.table_full++;
}

static uint32_t ptr_expiry(const struct dns *dns, uint32_t ttl_sec, struct dns_now now)
{
        return expiry(ttl_sec, dns->conf->ptr_ttl_min_sec, dns->conf->ptr_ttl_max_sec, now);
}

void dns_ptr_failed(struct dns *dns, struct dns_question *question, uint32_t for_sec, struct dns_now now)
{
        struct client_answers answers;

        dns->counters.ptr_failed++;
        client_table_lookup(dns->table, &question->client, now.wall_sec, &answers);
        if (answers.ptr == CLIENT_PTR_UNKNOWN || answers.ptr == CLIENT_PTR_ERROR) {
                question->failed = true;
                write_ptr(dns, question, CLIENT_PTR_ERROR, "", now.wall_sec + for_sec, now);
        } else if (answers.ptr_stale) {
                dns->counters.stale++;
                write_ptr(dns, question, (enum client_ptr)answers.ptr, answers.name,
                          now.wall_sec + DNS_STALE_SEC, now);
        }
}

/* The next name, or the verdict when none is left. */
static void confirm_next(struct dns *dns, uint32_t i, struct dns_now now)
{
        struct dns_question *question = &dns->clients.questions[i];
        struct dns_names *names = question->names;

        /* Far past the deadline nobody waits for the rest any more, and a place is held. */
        if (names->next < names->used &&
            now.mono_us - question->asked_us < 2000ull * dns->conf->deadline_ms) {
                question->forward_todo = true;
                dns_clients_queue(&dns->clients, i, question->home, true);
                return;
        }
        if (names->failed || names->next < names->used) {
                dns_ptr_failed(dns, question, DNS_FAILED_SEC, now);
        } else {
                dns->counters.ptr_unconfirmed++;
                write_ptr(dns, question, CLIENT_PTR_UNCONFIRMED, "", ptr_expiry(dns, names->ttl_sec, now),
                          now);
        }
}

static void take_ptr(struct dns *dns, uint32_t i, const struct dns_reply *reply, struct dns_now now)
{
        struct dns_question *question = &dns->clients.questions[i];
        const struct dns_answer *answer = &reply->answer;

        dns->reverse_history = dns->reverse_history << 1 | (answer->status == DNS_TIMEOUT);
        if (answer->status == DNS_NONE) {
                dns->counters.ptr_none++;
                write_ptr(dns, question, CLIENT_PTR_NONE, "", ptr_expiry(dns, answer->ttl_sec, now), now);
                return;
        }
        if (answer->status != DNS_FOUND) {
                dns_ptr_failed(dns, question, DNS_FAILED_SEC, now);
                return;
        }
        free(question->names);
        question->names = calloc(1, sizeof(*question->names));
        if (question->names == NULL) {
                dns_ptr_failed(dns, question, DNS_FAILED_SEC, now);
                return;
        }
        memcpy(question->names->names, answer->names, sizeof(answer->names));
        question->names->used =
            answer->names_used; /* none: only names that no host can have, thus unconfirmed */
        question->names->ttl_sec = answer->ttl_sec;
        confirm_next(dns, i, now);
}

static void take_forward(struct dns *dns, uint32_t i, const struct dns_reply *reply, struct dns_now now)
{
        struct dns_question *question = &dns->clients.questions[i];
        const struct dns_answer *answer = &reply->answer;
        struct dns_names *names = question->names;

        names->ttl_sec = MIN(names->ttl_sec, answer->ttl_sec);
        for (unsigned k = 0; answer->status == DNS_FOUND && k < answer->addrs_used; k++) {
                if (!addr_is_equal(&answer->addrs[k], &question->client))
                        continue;
                dns->counters.ptr_confirmed++;
                write_ptr(dns, question, CLIENT_PTR_CONFIRMED, names->names[names->next],
                          ptr_expiry(dns, names->ttl_sec, now), now);
                return;
        }
        if ((answer->status != DNS_FOUND && answer->status != DNS_NONE) || answer->cut)
                names->failed = true;
        names->next++;
        confirm_next(dns, i, now);
}

/* ---- the end of a question ----------------------------------------------------------------------------- */

/* A hit is unique when no other list of its kind names the client. */
static void count_unique(struct dns *dns, const struct dns_question *question, uint32_t listed)
{
        for (unsigned kind = 0; kind < IMAGE_ZONE_USED; kind++) {
                uint32_t of_kind = 0;

                for (uint32_t left = listed; left != 0; left &= left - 1)
                        if (dns->conf->lists[__builtin_ctz(left)].kind == kind)
                                of_kind |= left & -left;
                if (of_kind != 0 && (of_kind & (of_kind - 1)) == 0 && (of_kind & question->hits) != 0)
                        dns->lists[__builtin_ctz(of_kind)].unique_hits++;
        }
}

static void finish_zones(struct dns *dns, struct dns_question *question, struct dns_now now)
{
        struct client_answers answers;
        uint32_t expire_sec;

        if (question->refresh && !question->failed && (question->new_clear | question->new_listed) != 0)
                client_table_set_zones(dns->table, &question->client, question->new_clear,
                                       question->new_listed, question->new_expire_sec, now.wall_sec);
        client_table_lookup(dns->table, &question->client, now.wall_sec, &answers);
        count_unique(dns, question, answers.zones_listed);
        expire_sec = answers.ptr_expire_sec;
        for (unsigned cell = 0; cell < 2; cell++)
                if (answers.zones_expire_sec[cell] != 0)
                        expire_sec = MIN(expire_sec, answers.zones_expire_sec[cell]);
        if (question->refresh)
                dns_hot_refreshed(&dns->hot, &question->client, expire_sec, now.wall_sec);
        else if (!question->failed)
                dns_hot_asked(&dns->hot, &question->client, expire_sec, now.wall_sec);
}

void dns_finish(struct dns *dns, uint32_t i, struct dns_now now)
{
        struct dns_question *question = &dns->clients.questions[i];

        if (question->parts > 0 || question->zones_todo != 0 || question->ptr_todo || question->forward_todo)
                return;
        finish_zones(dns, question, now);
        if (question->waiting)
                dns->counters.finished++;
        dns_clients_release(&dns->clients, i, !question->failed);
        dns_clients_remove(&dns->clients, i);
}

void dns_take_reply(struct dns *dns, const struct dns_reply *reply, struct dns_now now)
{
        struct query query = dns->queries[reply->tag];
        struct dns_zone *zone = &dns->zones[query.place];
        bool is_same_zone = zone->used && zone->generation == query.zone_generation;

        dns->queries[reply->tag].next_free = dns->free_query;
        dns->free_query = (uint32_t)reply->tag;
        dns->counters.malformed += reply->answer.status == DNS_MALFORMED;
        if (query.kind == QUERY_PROBE) {
                if (is_same_zone &&
                    dns_zone_probe_result(zone, query.probe, &reply->answer, dns->conf->probe_interval_sec,
                                          now.mono_us, now.wall_sec))
                        dns_zone_changed(dns, zone);
                return;
        }
        dns->clients.questions[query.question].parts--;
        if (query.kind == QUERY_ZONE) {
                if (is_same_zone) {
                        if (zone->in_flight-- == dns_zone_share(dns))
                                dns->unpark = true;
                        take_zone(dns, &dns->clients.questions[query.question], zone, reply, now);
                }
        } else {
                if (dns->reverse_in_flight-- == dns_reverse_share(dns))
                        dns->unpark = true;
                if (query.kind == QUERY_PTR)
                        take_ptr(dns, query.question, reply, now);
                else
                        take_forward(dns, query.question, reply, now);
        }
        dns_finish(dns, query.question, now);
}
