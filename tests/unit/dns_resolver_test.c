/* SPDX-License-Identifier: Apache-2.0 */
/* The resolver against a DNS server in this process; every wait ends at an event or at the resolver's own timeout. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <cmocka.h>

#include "control/dns/resolver.h"
#include "tests/fake/dns_server.h"

#define TURNS_MAX 20000

static uint64_t now_us(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void configure(struct dns_resolver *resolver, const struct fake_dns *fake, uint32_t deadline_ms)
{
        struct dns_resolver_conf conf = { .servers_used = 1, .timeout_ms = 5000, .deadline_ms = deadline_ms };

        conf.servers[0] =
            (struct dns_server){ addr_from_v4_be(__builtin_bswap32(0x7f000001)), fake_dns_port(fake) };
        assert_int_equal(dns_resolver_configure(resolver, &conf, now_us()), 0);
}

static struct dns_resolver *start(const struct fake_dns *fake, uint32_t deadline_ms)
{
        struct dns_resolver *resolver;

        assert_int_equal(dns_resolver_new(&resolver), 0);
        configure(resolver, fake, deadline_ms);
        return resolver;
}

static void wait_reply(struct dns_resolver *resolver, struct fake_dns *fake, struct dns_reply *ret)
{
        for (unsigned turn = 0; turn < TURNS_MAX; turn++) {
                if (dns_resolver_next(resolver, ret))
                        return;
                assert_true(dns_resolver_timeout_ms(resolver) >= 0);
                fake_dns_turn(fake, dns_resolver_timeout_ms(resolver), dns_resolver_fd(resolver));
                dns_resolver_turn(resolver, now_us());
        }
        fail_msg("no reply");
}

static void test_answers(void **state)
{
        static const struct {
                const char *name;
                enum fake_dns_kind kind;
                unsigned number;
                const char *record;
                enum dns_status want;
                unsigned want_addrs;
                unsigned want_tcp;
        } cases[] = {
                { "listed.test", FAKE_DNS_RECORDS, 0, "127.0.0.2", DNS_FOUND, 1, 0 },
                { "none.test", FAKE_DNS_NONE, 0, NULL, DNS_NONE, 0, 0 },
                { "nodata.test", FAKE_DNS_NODATA, 0, NULL, DNS_NONE, 0, 0 },
                { "servfail.test", FAKE_DNS_RCODE, 2, NULL, DNS_FAILED, 0, 0 },
                { "refused.test", FAKE_DNS_RCODE, 5, NULL, DNS_FAILED, 0, 0 },
                { "tcp.test", FAKE_DNS_BY_TCP, 0, "127.0.0.3", DNS_FOUND, 1, 1 },
                { "many.test", FAKE_DNS_MANY, 1000, NULL, DNS_FOUND, DNS_ADDRS_MAX, 1 },
                { "loop.test", FAKE_DNS_LOOP, 0, NULL, DNS_MALFORMED, 0, 0 },
                { "garbage.test", FAKE_DNS_GARBAGE, 300, NULL, DNS_MALFORMED, 0, 0 },
                { "empty.test", FAKE_DNS_GARBAGE, 0, NULL, DNS_MALFORMED, 0, 0 },
                { "silent.test", FAKE_DNS_SILENT, 0, NULL, DNS_TIMEOUT, 0, 0 },
                { "wrong-id.test", FAKE_DNS_WRONG_ID, 0, "127.0.0.2", DNS_TIMEOUT, 0, 0 },
        };
        struct fake_dns *fake = fake_dns_new();
        struct dns_resolver *resolver = start(fake, 210);

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct dns_reply got;
                unsigned tcp = fake_dns_seen_by_tcp(fake);

                /* Only where no answer is to come is there a short time: a loaded machine must change nothing. */
                configure(resolver, fake, cases[i].want == DNS_TIMEOUT ? 210 : 60000);
                fake_dns_script(fake, cases[i].name, cases[i].kind, 77, cases[i].number);
                if (cases[i].record != NULL)
                        fake_dns_record(fake, cases[i].name, 1, cases[i].record, 60);
                assert_int_equal(dns_resolver_ask(resolver, DNS_TYPE_A, cases[i].name, 1000 + i, now_us()),
                                 0);
                wait_reply(resolver, fake, &got);
                if (got.answer.status != cases[i].want || got.answer.addrs_used != cases[i].want_addrs ||
                    fake_dns_seen_by_tcp(fake) - tcp != cases[i].want_tcp)
                        fail_msg("%s: got status %d, %u addresses", cases[i].name, got.answer.status,
                                 got.answer.addrs_used);
                assert_int_equal(got.tag, 1000 + i);
                if (got.answer.status == DNS_NONE)
                        assert_int_equal(got.answer.ttl_sec, 77);
        }
        assert_int_equal(dns_resolver_in_flight(resolver), 0);
        dns_resolver_free(resolver);
        fake_dns_free(fake);
}

static void test_window(void **state)
{
        struct fake_dns *fake = fake_dns_new();
        struct dns_resolver *resolver = start(fake, 300);
        struct dns_reply got;
        char name[64];
        unsigned asked = 0;

        /* Nobody answers: the window fills and then refuses. */
        fake_dns_deaf(fake, true);
        for (;; asked++) {
                snprintf(name, sizeof(name), "n%u.test", asked);
                if (dns_resolver_ask(resolver, DNS_TYPE_A, name, asked, now_us()) < 0)
                        break;
        }
        assert_int_equal(asked, RESOLVER_WINDOW);
        assert_int_equal(dns_resolver_room(resolver), 0);
        for (unsigned i = 0; i < RESOLVER_WINDOW; i++) {
                wait_reply(resolver, fake, &got);
                assert_int_equal(got.answer.status, DNS_TIMEOUT);
        }
        assert_int_equal(dns_resolver_room(resolver), RESOLVER_WINDOW);
        assert_int_equal(fake_dns_ports_seen(fake), RESOLVER_CHANNELS);
        dns_resolver_free(resolver);
        fake_dns_free(fake);
}

static void test_names(void **state)
{
        struct fake_dns *fake = fake_dns_new();
        struct dns_resolver *resolver = start(fake, 300);
        struct dns_reply got;
        char name[DNS_NAME_MAX + 10];

        memset(name, 'a', sizeof(name) - 1);
        name[sizeof(name) - 1] = '\0';
        assert_int_equal(dns_resolver_ask(resolver, DNS_TYPE_A, name, 1, now_us()), -22);
        assert_int_equal(dns_resolver_ask(resolver, DNS_TYPE_A, "", 1, now_us()), -22);
        /* A label that is too long is found out later: a reply as any other. */
        name[100] = '\0';
        assert_int_equal(dns_resolver_ask(resolver, DNS_TYPE_A, name, 1, now_us()), 0);
        wait_reply(resolver, fake, &got);
        assert_int_equal(got.answer.status, DNS_FAILED);
        dns_resolver_free(resolver);
        fake_dns_free(fake);
}

/* A push while questions are in flight: the old server's answers still count, new questions go to the new one. */
static void test_configure_in_flight(void **state)
{
        struct fake_dns *before = fake_dns_new(), *after = fake_dns_new();
        struct dns_resolver *resolver = start(before, 5000);
        struct dns_resolver_conf conf = { .servers_used = 1, .timeout_ms = 5000, .deadline_ms = 5000 };
        struct dns_reply got;
        unsigned failed = 0;

        fake_dns_record(before, "a.test", 1, "127.0.0.2", 60);
        fake_dns_record(after, "a.test", 1, "127.0.0.9", 60);
        assert_int_equal(dns_resolver_ask(resolver, DNS_TYPE_A, "a.test", 1, now_us()), 0);
        conf.servers[0] =
            (struct dns_server){ addr_from_v4_be(__builtin_bswap32(0x7f000001)), fake_dns_port(after) };
        assert_int_equal(dns_resolver_configure(resolver, &conf, now_us()), 0);
        assert_int_equal(dns_resolver_ask(resolver, DNS_TYPE_A, "a.test", 2, now_us()), 0);
        wait_reply(resolver, before, &got);
        assert_int_equal(got.tag, 1);
        assert_int_equal(got.answer.addrs[0].bytes[15], 2);
        wait_reply(resolver, after, &got);
        assert_int_equal(got.tag, 2);
        assert_int_equal(got.answer.addrs[0].bytes[15], 9);
        /* Pushes without end leave no descriptors behind, and no question without a reply. */
        fake_dns_deaf(before, true);
        fake_dns_deaf(after, true);
        for (unsigned i = 0; i < 100; i++) {
                assert_int_equal(dns_resolver_ask(resolver, DNS_TYPE_A, "a.test", 100 + i, now_us()), 0);
                conf.servers[0].port = fake_dns_port(i & 1 ? after : before);
                assert_int_equal(dns_resolver_configure(resolver, &conf, now_us()), 0);
        }
        conf.servers_used = 0;
        assert_int_equal(dns_resolver_configure(resolver, &conf, now_us()), 0);
        assert_int_equal(dns_resolver_ask(resolver, DNS_TYPE_A, "a.test", 999, now_us()), 0);
        /* All have ended as failed but one for each channel that still waits for its time, 32 at most. */
        while (dns_resolver_next(resolver, &got)) {
                assert_int_equal(got.answer.status, DNS_FAILED);
                failed++;
        }
        assert_true(failed >= 101 - 32);
        assert_int_equal(dns_resolver_in_flight(resolver), 101 - failed);
        dns_resolver_free(resolver);
        fake_dns_free(before);
        fake_dns_free(after);
}

/* A refused connection (nobody listens) fails at once, without waiting for a timeout of seconds. */
static void test_nobody_there(void **state)
{
        struct fake_dns *fake = fake_dns_new(), *idle = fake_dns_new();
        struct dns_resolver *resolver = start(fake, 60000);
        struct dns_reply got;

        fake_dns_free(fake);
        assert_int_equal(dns_resolver_ask(resolver, DNS_TYPE_A, "a.test", 1, now_us()), 0);
        wait_reply(resolver, idle, &got);
        assert_int_equal(got.answer.status, DNS_FAILED);
        dns_resolver_free(resolver);
        fake_dns_free(idle);
}

static void test_source_ports_change(void **state)
{
        struct fake_dns *fake = fake_dns_new();
        struct dns_resolver *resolver = start(fake, 5000);
        struct dns_reply got;
        uint64_t later_us = 0;

        fake_dns_record(fake, "a.test", 1, "127.0.0.2", 60);
        for (unsigned round = 0; round < 3; round++) {
                for (unsigned i = 0; i < 2 * RESOLVER_CHANNELS; i++) {
                        assert_int_equal(
                            dns_resolver_ask(resolver, DNS_TYPE_A, "a.test", i, now_us() + later_us), 0);
                        wait_reply(resolver, fake, &got);
                        assert_int_equal(got.answer.status, DNS_FOUND);
                }
                later_us += (RESOLVER_RENEW_MS + 1) * 1000ull;
                dns_resolver_turn(resolver, now_us() + later_us);
        }
        assert_true(fake_dns_ports_seen(fake) > RESOLVER_CHANNELS);
        dns_resolver_free(resolver);
        fake_dns_free(fake);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_answers),      cmocka_unit_test(test_window),
                cmocka_unit_test(test_names),        cmocka_unit_test(test_configure_in_flight),
                cmocka_unit_test(test_nobody_there), cmocka_unit_test(test_source_ports_change),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
