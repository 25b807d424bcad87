/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "control/dns/zone.h"

#define SEC 1000000ull

static struct addr address(const char *text)
{
        struct addr addr;

        assert_int_equal(addr_parse(text, &addr), 0);
        return addr;
}

static void test_names(void **state)
{
        static const struct {
                const char *addr, *want, *want_reverse;
        } cases[] = {
                { "192.0.2.99", "99.2.0.192.bl.test", "99.2.0.192.in-addr.arpa" },
                { "2001:db8:1:2:3:4:567:89ab",
                  "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.bl.test",
                  "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa" },
        };
        struct addr must_not = address("127.0.0.1");
        char name[DNS_NAME_MAX], domain[DNS_NAME_MAX];

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct addr addr = address(cases[i].addr);

                assert_int_equal(dns_zone_name("bl.test", &addr, name), 0);
                assert_string_equal(name, cases[i].want);
                dns_reverse_name(&addr, name);
                assert_string_equal(name, cases[i].want_reverse);
        }
        /* RFC 5782, 5: IPv6 lists have their test entries at ::FFFF:7F00:1 and 2. */
        assert_int_equal(dns_zone_probe_name("bl.test", DNS_PROBE_V6_CLEAR, &must_not, name), 0);
        assert_string_equal(name, "1.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.bl.test");
        memset(domain, 'a', sizeof(domain) - 1);
        domain[sizeof(domain) - 1] = '\0';
        assert_int_equal(dns_zone_name(domain, &must_not, name), -36 /* ENAMETOOLONG */);
}

/* List 0 takes 127.0.0.2 to 11 but 10, list 5 takes 127.0.0.10 and 127.0.1.0/24 of the same zone. */
static void make_conf(struct dns_conf *conf, struct dns_zone *zone)
{
        static const struct image_codes codes[] = {
                { 0x7f000002, 0x7f000009 },
                { 0x7f00000b, 0x7f00000b },
                { 0x7f00000a, 0x7f00000a },
                { 0x7f000100, 0x7f0001ff },
        };

        memset(conf, 0, sizeof(*conf));
        memcpy(conf->codes, codes, sizeof(codes));
        conf->lists[0] = (struct dns_list){ .used = true, .ipv4 = true, .codes_first = 0, .codes_used = 2 };
        conf->lists[5] = (struct dns_list){ .used = true, .ipv4 = true, .codes_first = 2, .codes_used = 2 };
        dns_zone_init(zone, "bl.test", 1000);
        zone->numbers = 1u << 0 | 1u << 5;
        zone->ipv4 = true;
}

static void test_read(void **state)
{
        static const struct {
                const char *addrs[3];
                enum dns_status status;
                enum dns_reading want;
                uint32_t want_listed;
        } cases[] = {
                { { NULL }, DNS_NONE, DNS_READING_CLEAR, 0 },
                { { NULL }, DNS_TIMEOUT, DNS_READING_TIMEOUT, 0 },
                { { NULL }, DNS_FAILED, DNS_READING_FAILED, 0 },
                { { NULL }, DNS_MALFORMED, DNS_READING_FAILED, 0 },
                { { NULL }, DNS_FOUND, DNS_READING_LIE, 0 },
                { { "127.0.0.2" }, DNS_FOUND, DNS_READING_LISTED, 1 },
                { { "127.0.0.9" }, DNS_FOUND, DNS_READING_LISTED, 1 },
                { { "127.0.0.10" }, DNS_FOUND, DNS_READING_LISTED, 1u << 5 },
                { { "127.0.0.11" }, DNS_FOUND, DNS_READING_LISTED, 1 },
                { { "127.0.1.255" }, DNS_FOUND, DNS_READING_LISTED, 1u << 5 },
                { { "127.0.0.2", "127.0.0.10" }, DNS_FOUND, DNS_READING_LISTED, 1 | 1u << 5 },
                { { "127.0.0.1" }, DNS_FOUND, DNS_READING_ODD, 0 },
                { { "127.0.0.12" }, DNS_FOUND, DNS_READING_ODD, 0 },
                { { "127.0.0.2", "127.0.0.12" }, DNS_FOUND, DNS_READING_ODD, 0 },
                { { "127.255.255.254" }, DNS_FOUND, DNS_READING_LIE, 0 },
                { { "127.255.255.0" }, DNS_FOUND, DNS_READING_LIE, 0 },
                { { "127.255.254.2" }, DNS_FOUND, DNS_READING_ODD, 0 },
                { { "192.0.2.1" }, DNS_FOUND, DNS_READING_LIE, 0 },
                { { "126.0.0.2" }, DNS_FOUND, DNS_READING_LIE, 0 },
                { { "2001:db8::2" }, DNS_FOUND, DNS_READING_LIE, 0 },
                { { "127.0.0.2", "127.255.255.254" }, DNS_FOUND, DNS_READING_LIE, 0 },
        };
        static struct dns_conf conf;
        struct dns_zone zone;

        make_conf(&conf, &zone);
        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct dns_answer answer = { .status = cases[i].status };
                uint32_t got_listed;
                enum dns_reading got;

                for (unsigned k = 0; k < 3 && cases[i].addrs[k] != NULL; k++)
                        answer.addrs[answer.addrs_used++] = address(cases[i].addrs[k]);
                got = dns_zone_read(&zone, &conf, &answer, &got_listed);
                if (got != cases[i].want || got_listed != cases[i].want_listed)
                        fail_msg("case %u: got reading %d, listed %x", i, got, got_listed);
                answer.cut = true;
                if (cases[i].status == DNS_FOUND)
                        assert_int_equal(dns_zone_read(&zone, &conf, &answer, &got_listed), DNS_READING_LIE);
        }
}

/* One probe; each answer as a letter: l listed, n none, t timeout, f failed, r 127.255.255.254. */
static void probe(struct dns_zone *zone, const char *answers, uint64_t now_us)
{
        struct addr addrs[ZONE_CONTROLS + 4];
        enum dns_probe kinds[ZONE_CONTROLS + 4];
        unsigned count;

        assert_true(dns_zone_probe_due(zone, now_us));
        count = dns_zone_probe_begin(zone, addrs, kinds);
        assert_int_equal(count, strlen(answers));
        for (unsigned i = 0; i < count; i++) {
                struct dns_answer answer = { .status = DNS_NONE };

                assert_false(dns_zone_probe_due(zone, now_us));
                if (answers[i] == 'l' || answers[i] == 'r') {
                        answer.status = DNS_FOUND;
                        answer.addrs_used = 1;
                        answer.addrs[0] = address(answers[i] == 'l' ? "127.0.0.2" : "127.255.255.254");
                } else if (answers[i] == 't') {
                        answer.status = DNS_TIMEOUT;
                } else if (answers[i] == 'f') {
                        answer.status = DNS_FAILED;
                }
                dns_zone_probe_result(zone, kinds[i], &answer, 1800, now_us, 2000);
        }
}

static void test_probe(void **state)
{
        static const struct {
                enum dns_zone_state before;
                bool ipv4, ipv6;
                const char *answers; /* 127.0.0.2, 127.0.0.1, then the IPv6 form of the latter */
                enum dns_zone_state want;
                uint64_t want_again_sec;
        } cases[] = {
                { DNS_ZONE_STARTING, true, false, "ln", DNS_ZONE_UP, 1800 },
                { DNS_ZONE_STARTING, true, true, "lnn", DNS_ZONE_UP, 1800 },
                { DNS_ZONE_STARTING, true, true, "lnl", DNS_ZONE_LYING, 30 },
                { DNS_ZONE_STARTING, false, true, "ln", DNS_ZONE_UP, 1800 },
                { DNS_ZONE_STARTING, false, true, "nn", DNS_ZONE_UNTESTED, 30 },
                { DNS_ZONE_STARTING, true, false, "ll", DNS_ZONE_LYING, 30 },
                { DNS_ZONE_STARTING, true, false, "nn", DNS_ZONE_UNTESTED, 30 },
                { DNS_ZONE_STARTING, true, false, "nl", DNS_ZONE_LYING, 30 },
                { DNS_ZONE_STARTING, true, false, "rn", DNS_ZONE_LYING, 30 },
                { DNS_ZONE_STARTING, true, false, "rr", DNS_ZONE_LYING, 30 },
                { DNS_ZONE_STARTING, true, false, "tt", DNS_ZONE_SILENT, 5 },
                { DNS_ZONE_STARTING, true, false, "ff", DNS_ZONE_FAILING, 5 },
                { DNS_ZONE_UP, true, false, "tt", DNS_ZONE_UP, 10 },
                { DNS_ZONE_UP, true, false, "tl", DNS_ZONE_LYING, 30 },
                { DNS_ZONE_UP, true, false, "nn", DNS_ZONE_UNTESTED, 30 },
                { DNS_ZONE_SILENT, true, false, "ln", DNS_ZONE_UP, 1800 },
                { DNS_ZONE_LYING, true, false, "ln", DNS_ZONE_UP, 1800 },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct dns_zone zone;

                dns_zone_init(&zone, "bl.test", 1000);
                zone.ipv4 = cases[i].ipv4;
                zone.ipv6 = cases[i].ipv6;
                zone.state = cases[i].before;
                probe(&zone, cases[i].answers, 100 * SEC);
                if (zone.state != cases[i].want)
                        fail_msg("case %u: got %s (%s)", i, dns_zone_state_text(zone.state), zone.reason);
                assert_int_equal(zone.since_sec, cases[i].want == cases[i].before ? 1000 : 2000);
                assert_false(dns_zone_probe_due(&zone, (100 + cases[i].want_again_sec) * SEC - 1));
                assert_true(dns_zone_probe_due(&zone, (100 + cases[i].want_again_sec) * SEC));
        }
}

static void test_health(void **state)
{
        /* c clear, l listed, o odd, x lie, t timeout, f failed; the state after all of them. */
        static const struct {
                const char *readings;
                enum dns_zone_state want;
        } cases[] = {
                { "ttttttt", DNS_ZONE_UP },
                { "tttttttt", DNS_ZONE_SILENT },
                { "ffffffff", DNS_ZONE_FAILING },
                { "tttttttctttttttc", DNS_ZONE_UP },
                { "tttttttctttttttctttttttcttt", DNS_ZONE_SILENT },
                { "xx", DNS_ZONE_UP },
                { "xxcxxcxx", DNS_ZONE_UP },
                { "xxx", DNS_ZONE_LYING },
                { "oooooooooooooooo", DNS_ZONE_UP },
                { "clclclclclcl", DNS_ZONE_UP },
        };
        struct addr client = address("192.0.2.1");

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct dns_zone zone;

                dns_zone_init(&zone, "bl.test", 1000);
                zone.state = DNS_ZONE_UP;
                for (const char *at = cases[i].readings; *at != '\0'; at++) {
                        enum dns_reading reading = *at == 'c'   ? DNS_READING_CLEAR
                                                   : *at == 'l' ? DNS_READING_LISTED
                                                   : *at == 'o' ? DNS_READING_ODD
                                                   : *at == 'x' ? DNS_READING_LIE
                                                   : *at == 't' ? DNS_READING_TIMEOUT
                                                                : DNS_READING_FAILED;

                        dns_zone_outcome(&zone, reading, 1500, &client, SEC, 2000);
                }
                if (zone.state != cases[i].want)
                        fail_msg("%s: got %s", cases[i].readings, dns_zone_state_text(zone.state));
        }
}

static struct addr numbered(unsigned i)
{
        return addr_from_v4_be(__builtin_bswap32(0x0a000000u + i * 0x10001u));
}

/* A zone that suddenly lists nearly everybody is believed or not by what it says of those it had cleared. */
static void test_lists_the_world(void **state)
{
        static const struct {
                unsigned base_listed_of_10; /* in its history */
                const char *probe;          /* with controls; NULL: there is no suspicion */
                enum dns_zone_state want;
        } cases[] = {
                { 1, "lnllllllllllllllll", DNS_ZONE_LYING },
                { 1, "lnllllllllnnnnnnnn", DNS_ZONE_LYING },
                { 1, "lnlllllllnnnnnnnnn", DNS_ZONE_UP }, /* a wave of spam: those who were clear still are */
                { 9, NULL, DNS_ZONE_UP },                 /* nothing new for this zone */
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct dns_zone zone;
                struct addr client;
                unsigned n = 0;

                dns_zone_init(&zone, "bl.test", 1000);
                zone.state = DNS_ZONE_UP;
                zone.ipv4 = true;
                zone.probe_due_us = 1000 * SEC;
                for (; n < 256 * 5; n++) {
                        client = numbered(n);
                        dns_zone_outcome(&zone,
                                         n % 10 < cases[i].base_listed_of_10 ? DNS_READING_LISTED
                                                                             : DNS_READING_CLEAR,
                                         900, &client, SEC, 2000);
                }
                assert_int_equal(zone.controls_used, ZONE_CONTROLS);
                for (unsigned k = 0; k < 256; k++, n++) {
                        client = numbered(n);
                        dns_zone_outcome(&zone, k % 64 == 0 ? DNS_READING_CLEAR : DNS_READING_LISTED, 900,
                                         &client, SEC, 2000);
                }
                assert_int_equal(zone.suspect, cases[i].probe != NULL);
                if (cases[i].probe != NULL)
                        probe(&zone, cases[i].probe, 2 * SEC);
                assert_int_equal(zone.state, cases[i].want);
                if (zone.state != DNS_ZONE_LYING)
                        continue;
                /* Out of it only when the controls are clear again. */
                probe(&zone, "lnllllllllllllllll", 2 * SEC + 30 * SEC);
                assert_int_equal(zone.state, DNS_ZONE_LYING);
                probe(&zone, "lnnnnnnnnnnnnnnnnn", 2 * SEC + 60 * SEC);
                assert_int_equal(zone.state, DNS_ZONE_UP);
        }
}

static void test_latency(void **state)
{
        static const struct {
                uint32_t took_us;
                unsigned want_bucket;
        } cases[] = { { 0, 0 },    { 999, 0 },      { 1000, 1 },     { 1999, 1 },
                      { 2000, 2 }, { 1023999, 10 }, { 1024000, 11 }, { UINT32_MAX, 11 } };
        struct addr client = address("192.0.2.1");

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct dns_zone zone;

                dns_zone_init(&zone, "bl.test", 1000);
                dns_zone_outcome(&zone, DNS_READING_CLEAR, cases[i].took_us, &client, SEC, 2000);
                assert_int_equal(zone.stats.latency[cases[i].want_bucket], 1);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names),           cmocka_unit_test(test_read),
                cmocka_unit_test(test_probe),           cmocka_unit_test(test_health),
                cmocka_unit_test(test_lists_the_world), cmocka_unit_test(test_latency),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
