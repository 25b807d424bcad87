/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control's whole DNS side with a client table in a file of its own and a DNS server in this process. Time is
 * the machine's plus what a test skips; what is in flight is always waited for by events.
 */
#ifndef GREYLINE_TESTS_DNS_RIG_H
#define GREYLINE_TESTS_DNS_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "control/dns/dns.h"
#include "dataplane/shared/client_table.h"
#include "tests/fake/dns_server.h"

#define RIG_TURNS_MAX 20000
#define RIG_WALL_SEC  1795000000u

/* How long the resolver tries. Where an answer is to come, a loaded machine must not turn it into none. */
#define RIG_PATIENT_MS   60000
#define RIG_IMPATIENT_MS 210

struct rig {
        struct fake_dns *fake;
        struct dns *dns;
        struct client_table table;
        struct dns_conf conf;
        uint64_t skipped_us;
        char path[64];
};

static inline struct dns_now rig_now(const struct rig *rig)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (struct dns_now){ .mono_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000 +
                                            rig->skipped_us,
                                 .wall_sec = RIG_WALL_SEC + (uint32_t)(rig->skipped_us / 1000000) };
}

static inline void rig_skip(struct rig *rig, uint32_t seconds)
{
        rig->skipped_us += seconds * 1000000ull;
}

static inline struct addr rig_addr(const char *text)
{
        struct addr addr;

        assert_int_equal(addr_parse(text, &addr), 0);
        return addr;
}

/* A list of all codes from 127.0.0.from to 127.0.0.to. */
static inline void rig_list(struct rig *rig, unsigned number, const char *domain, uint8_t from, uint8_t to,
                            enum image_zone_kind kind)
{
        struct dns_list *list = &rig->conf.lists[number];

        *list = (struct dns_list){ .used = true,
                                   .ipv4 = true,
                                   .ipv6 = true,
                                   .kind = kind,
                                   .ttl_min_sec = 30,
                                   .ttl_max_sec = 3600,
                                   .codes_first = number,
                                   .codes_used = 1 };
        snprintf(list->name, sizeof(list->name), "%s", domain);
        snprintf(list->domain, sizeof(list->domain), "%s", domain);
        rig->conf.codes[number] = (struct image_codes){ 0x7f000000u + from, 0x7f000000u + to };
}

/* What RFC 5782 demands of a zone. */
static inline void rig_test_entry(struct rig *rig, const char *domain)
{
        char name[300];

        snprintf(name, sizeof(name), "2.0.0.127.%s", domain);
        fake_dns_record(rig->fake, name, 1, "127.0.0.2", 60);
}

static inline void rig_start(struct rig *rig, uint32_t deadline_ms)
{
        static const struct siphash_key key = { { 11, 22 } };
        bool made;

        memset(rig, 0, sizeof(*rig));
        rig->fake = fake_dns_new();
        snprintf(rig->path, sizeof(rig->path), "/tmp/greyline-dns-test.XXXXXX");
        assert_non_null(mkdtemp(rig->path));
        strcat(rig->path, "/client");
        assert_int_equal(client_table_open(&rig->table, rig->path, 4096, &key, &made), 0);
        assert_int_equal(dns_new(&rig->dns, &rig->table, &key), 0);
        rig->conf.deadline_ms = deadline_ms;
        rig->conf.queue_max = DNS_QUESTIONS_MAX;
        rig->conf.share_max = DNS_QUESTIONS_MAX;
        rig->conf.outstanding_max = RESOLVER_WINDOW;
        rig->conf.ptr_ttl_min_sec = 30;
        rig->conf.ptr_ttl_max_sec = 3600;
        rig->conf.probe_interval_sec = 1800;
        rig->conf.resolver = (struct dns_resolver_conf){ .servers_used = 1,
                                                         .timeout_ms = 5000,
                                                         .deadline_ms = RIG_PATIENT_MS };
        rig->conf.resolver.servers[0] =
            (struct dns_server){ rig_addr("127.0.0.1"), fake_dns_port(rig->fake) };
}

static inline void rig_push(struct rig *rig)
{
        assert_int_equal(dns_set_conf(rig->dns, &rig->conf, rig_now(rig)), 0);
}

static inline void rig_patience(struct rig *rig, uint32_t deadline_ms)
{
        rig->conf.resolver.deadline_ms = deadline_ms;
        rig_push(rig);
}

static inline void rig_stop(struct rig *rig)
{
        dns_free(rig->dns);
        client_table_close(&rig->table);
        unlink(rig->path);
        strcpy(strrchr(rig->path, '/'), "/lock");
        unlink(rig->path);
        *strrchr(rig->path, '/') = '\0';
        assert_int_equal(rmdir(rig->path), 0);
        fake_dns_free(rig->fake);
}

static inline bool rig_ask(struct rig *rig, const char *client, uint64_t serial, bool known)
{
        struct msg_ask ask = { .kind = MSG_ASK_CLIENT,
                               .worker = 1,
                               .client = rig_addr(client),
                               .serial = serial,
                               .known_before = known };

        return dns_ask_client(rig->dns, &ask, rig_now(rig));
}

static inline void rig_turn(struct rig *rig)
{
        fake_dns_turn(rig->fake, dns_timeout_ms(rig->dns, rig_now(rig)), dns_fd(rig->dns));
        dns_turn(rig->dns, rig_now(rig));
}

/* Wait for the next answer. */
static inline struct dns_finished rig_answer(struct rig *rig)
{
        struct dns_finished got;

        for (unsigned turn = 0; turn < RIG_TURNS_MAX; turn++) {
                if (dns_next_answer(rig->dns, &got))
                        return got;
                rig_turn(rig);
        }
        fail_msg("no answer");
        return got;
}

/* Ask about one client and wait. */
static inline struct dns_finished rig_ask_wait(struct rig *rig, const char *client)
{
        assert_true(rig_ask(rig, client, 4711, false));
        return rig_answer(rig);
}

static inline struct client_answers rig_lookup(struct rig *rig, const char *client)
{
        struct client_answers answers;
        struct addr addr = rig_addr(client);

        client_table_lookup(&rig->table, &addr, rig_now(rig).wall_sec, &answers);
        return answers;
}

/* Turn until the zone of a list is in a state. */
static inline void rig_wait_state(struct rig *rig, unsigned number, enum dns_zone_state want)
{
        for (unsigned turn = 0; turn < RIG_TURNS_MAX; turn++) {
                if (dns_list_zone(rig->dns, number)->state == want)
                        return;
                rig_turn(rig);
        }
        fail_msg("list %u: state is %s", number, dns_zone_state_text(dns_list_zone(rig->dns, number)->state));
}

/* Turn until nothing is open or in flight. */
static inline void rig_settle(struct rig *rig)
{
        for (unsigned turn = 0; turn < RIG_TURNS_MAX; turn++) {
                const struct dns_counters *counters = dns_counters(rig->dns);

                if (counters->open_now == 0 && counters->in_flight_now == 0)
                        return;
                rig_turn(rig);
        }
        fail_msg("does not come to rest");
}

#endif
