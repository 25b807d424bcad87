/* SPDX-License-Identifier: Apache-2.0 */
/* Who is asked, when, and what a push changes while questions are in flight. */
#include "tests/unit/dns_rig.h"

static void start_one(struct rig *rig)
{
        rig_start(rig, 5000);
        rig_list(rig, 0, "bl.test", 2, 9, IMAGE_ZONE_BLOCK);
        rig_test_entry(rig, "bl.test");
        rig_push(rig);
}

/* Nobody is asked about before the zone was tested; then the question goes on by itself. */
static void test_untested_zone_waits(void **state)
{
        struct rig rig;

        start_one(&rig);
        fake_dns_record(rig.fake, "1.2.0.192.bl.test", 1, "127.0.0.2", 60);
        assert_true(rig_ask(&rig, "192.0.2.1", 1, false));
        dns_turn(rig.dns, rig_now(&rig)); /* sends probe and reverse lookup, and parks the rest */
        fake_dns_turn(rig.fake, 0, -1);
        assert_int_equal(fake_dns_seen(rig.fake, "1.0.0.127.bl.test"), 1);
        assert_int_equal(fake_dns_seen(rig.fake, "1.2.0.192.in-addr.arpa"), 1);
        assert_int_equal(fake_dns_seen(rig.fake, "1.2.0.192.bl.test"), 0);
        assert_true(rig_answer(&rig).complete);
        assert_int_equal(rig_lookup(&rig, "192.0.2.1").zones_listed, 1);
        rig_stop(&rig);
}

static void test_probe_at_start(void **state)
{
        static const struct {
                const char *listed[2]; /* names below the zone */
                enum dns_zone_state want;
        } cases[] = {
                { { "2.0.0.127.bl.test", NULL }, DNS_ZONE_UP },
                { { NULL, NULL }, DNS_ZONE_UNTESTED },
                { { "2.0.0.127.bl.test", "1.0.0.127.bl.test" }, DNS_ZONE_LYING },
                { { "2.0.0.127.bl.test",
                    "1.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.bl.test" },
                  DNS_ZONE_LYING },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct rig rig;

                rig_start(&rig, 5000);
                rig_list(&rig, 0, "bl.test", 2, 9, IMAGE_ZONE_BLOCK);
                for (unsigned k = 0; k < 2 && cases[i].listed[k] != NULL; k++)
                        fake_dns_record(rig.fake, cases[i].listed[k], 1, "127.0.0.2", 60);
                rig_push(&rig);
                rig_wait_state(&rig, 0, cases[i].want);
                /* Each is asked for once, and again only when its time has come. */
                assert_int_equal(fake_dns_seen(rig.fake, "2.0.0.127.bl.test"), 1);
                rig_settle(&rig);
                assert_int_equal(fake_dns_seen(rig.fake, "2.0.0.127.bl.test"), 1);
                rig_skip(&rig, cases[i].want == DNS_ZONE_UP ? 1800 : 30);
                dns_turn(rig.dns, rig_now(&rig));
                rig_settle(&rig);
                assert_int_equal(fake_dns_seen(rig.fake, "2.0.0.127.bl.test"), 2);
                rig_stop(&rig);
        }
}

static void test_family(void **state)
{
        struct rig rig;

        rig_start(&rig, 5000);
        rig_list(&rig, 0, "four.test", 2, 9, IMAGE_ZONE_BLOCK);
        rig.conf.lists[0].ipv6 = false;
        rig_list(&rig, 1, "six.test", 2, 9, IMAGE_ZONE_BLOCK);
        rig.conf.lists[1].ipv4 = false;
        rig_test_entry(&rig, "four.test");
        fake_dns_record(rig.fake, "2.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.six.test",
                        1, "127.0.0.2", 60);
        rig_push(&rig);
        rig_ask_wait(&rig, "192.0.2.1");
        rig_ask_wait(&rig, "2001:db8::1");
        assert_int_equal(rig_lookup(&rig, "192.0.2.1").zones_known, 1);
        assert_int_equal(rig_lookup(&rig, "2001:db8::1").zones_known, 2);
        rig_stop(&rig);
}

/* A zone that takes long may hold a quarter of the window; the others and reverse DNS go on beside it. */
static void test_slow_zone_holds_its_share(void **state)
{
        char client[32];
        struct rig rig;

        rig_start(&rig, 5000);
        rig.conf.outstanding_max = 40;
        rig_list(&rig, 0, "slow.test", 2, 9, IMAGE_ZONE_BLOCK);
        rig_list(&rig, 1, "fast.test", 2, 9, IMAGE_ZONE_BLOCK);
        rig_test_entry(&rig, "slow.test");
        rig_test_entry(&rig, "fast.test");
        rig_push(&rig);
        rig_wait_state(&rig, 0, DNS_ZONE_UP);
        rig_wait_state(&rig, 1, DNS_ZONE_UP);
        rig_patience(&rig, RIG_IMPATIENT_MS);
        fake_dns_default(rig.fake, "slow.test", FAKE_DNS_SILENT, 0, 0);
        for (unsigned i = 0; i < 30; i++) {
                snprintf(client, sizeof(client), "192.0.2.%u", i + 1);
                assert_true(rig_ask(&rig, client, i, false));
        }
        while (fake_dns_seen_below(rig.fake, "fast.test") < 2 + 1 + 30) {
                rig_turn(&rig);
                assert_true(dns_list_zone(rig.dns, 0)->in_flight <= 10);
        }
        for (unsigned i = 0; i < 30; i++)
                rig_answer(&rig);
        assert_int_equal(rig_lookup(&rig, "192.0.2.30").zones_known & 2, 2);
        rig_stop(&rig);
}

/* What waited for a place in a zone's share is sent as soon as a reply makes one. */
static void test_share_is_given_back(void **state)
{
        char client[32];
        struct rig rig;

        rig_start(&rig, 5000);
        rig.conf.outstanding_max = 16; /* four for the zone */
        rig_list(&rig, 0, "bl.test", 2, 9, IMAGE_ZONE_BLOCK);
        rig_test_entry(&rig, "bl.test");
        rig_push(&rig);
        rig_wait_state(&rig, 0, DNS_ZONE_UP);
        for (unsigned i = 0; i < 50; i++) {
                snprintf(client, sizeof(client), "192.0.2.%u", i + 1);
                assert_true(rig_ask(&rig, client, i, false));
        }
        for (unsigned i = 0; i < 50; i++)
                assert_true(rig_answer(&rig).complete);
        assert_int_equal(dns_list_zone(rig.dns, 0)->stats.readings[DNS_READING_CLEAR], 50);
        rig_stop(&rig);
}

/* The resolver is gone: after a while nobody waits for it any more, and one try a second finds it back. */
static void test_dead_resolver(void **state)
{
        char client[32];
        unsigned seen;
        struct rig rig;

        start_one(&rig);
        rig_wait_state(&rig, 0, DNS_ZONE_UP);
        rig_patience(&rig, RIG_IMPATIENT_MS);
        fake_dns_deaf(rig.fake, true);
        for (unsigned i = 0; i < 8; i++) {
                snprintf(client, sizeof(client), "192.0.2.%u", i + 1);
                assert_true(rig_ask(&rig, client, i, false));
        }
        for (unsigned i = 0; i < 8; i++)
                assert_false(rig_answer(&rig).complete);
        assert_int_equal(dns_list_zone(rig.dns, 0)->state, DNS_ZONE_SILENT);
        rig_settle(&rig);
        assert_true(rig_ask(&rig, "198.51.100.1", 1, false)); /* the try */
        dns_turn(rig.dns, rig_now(&rig));
        seen = dns_counters(rig.dns)->queries;
        for (unsigned i = 0; i < 100; i++) {
                struct dns_finished got;

                snprintf(client, sizeof(client), "203.0.113.%u", i + 1);
                assert_true(rig_ask(&rig, client, 100 + i, false));
                dns_turn(rig.dns, rig_now(&rig));
                assert_true(dns_next_answer(rig.dns, &got)); /* at once */
                assert_int_equal(got.serial, 100 + i);
                assert_false(got.complete);
                assert_int_equal(rig_lookup(&rig, client).ptr, CLIENT_PTR_ERROR);
        }
        assert_int_equal(dns_counters(rig.dns)->queries, seen);
        assert_false(rig_answer(&rig).complete);
        fake_dns_deaf(rig.fake, false);
        rig_skip(&rig, 6);
        assert_int_equal(rig_ask_wait(&rig, "198.51.100.9").serial, 4711);
        rig_wait_state(&rig, 0, DNS_ZONE_UP);
        assert_true(rig_ask_wait(&rig, "198.51.100.10").complete);
        rig_stop(&rig);
}

/* A push while questions are in flight: zones may go, come and change their codes; nothing is lost or mixed up. */
static void test_push_in_flight(void **state)
{
        struct client_answers got;
        struct rig rig;
        uint64_t queries;

        start_one(&rig);
        rig_wait_state(&rig, 0, DNS_ZONE_UP);
        fake_dns_record(rig.fake, "1.2.0.192.bl.test", 1, "127.0.0.7", 60);
        fake_dns_record(rig.fake, "9.2.0.192.bl.test", 1, "127.0.0.7", 60);
        rig_ask_wait(&rig, "192.0.2.9");
        assert_int_equal(dns_list_stats(rig.dns, 0)->hits, 1);
        assert_true(rig_ask(&rig, "192.0.2.1", 1, false));
        dns_turn(rig.dns, rig_now(&rig));
        assert_int_equal(dns_list_zone(rig.dns, 0)->in_flight, 1);
        rig_push(&rig); /* a push that changes nothing here */
        assert_int_equal(dns_list_stats(rig.dns, 0)->hits, 1);
        queries = dns_list_zone(rig.dns, 0)->stats.queries;
        /* bl.test is now read by list 3, which takes other codes; new.test takes the number 0. */
        rig_list(&rig, 0, "new.test", 2, 9, IMAGE_ZONE_BLOCK);
        rig_list(&rig, 3, "bl.test", 7, 7, IMAGE_ZONE_BLOCK);
        rig_test_entry(&rig, "new.test");
        rig_push(&rig);
        assert_int_equal(dns_list_zone(rig.dns, 3)->state, DNS_ZONE_UP); /* its health was kept */
        assert_int_equal(dns_list_zone(rig.dns, 3)->stats.queries, queries);
        assert_int_equal(dns_list_zone(rig.dns, 0)->state, DNS_ZONE_STARTING);
        assert_int_equal(dns_list_stats(rig.dns, 0)->hits, 0); /* the number is another list's now */
        assert_int_equal(rig_answer(&rig).serial, 1);
        got = rig_lookup(&rig, "192.0.2.1");
        assert_int_equal(got.zones_listed, 1u << 3);
        assert_int_equal(client_answers_zone(&got, 0), CLIENT_ZONE_UNKNOWN);
        /* A zone that goes while it is asked: its answer is nobody's any more. */
        fake_dns_record(rig.fake, "2.2.0.192.bl.test", 1, "127.0.0.7", 60);
        rig_wait_state(&rig, 0, DNS_ZONE_UP);
        assert_true(rig_ask(&rig, "192.0.2.2", 2, false));
        dns_turn(rig.dns, rig_now(&rig));
        rig.conf.lists[3].used = false;
        rig_push(&rig);
        rig_list(&rig, 5, "third.test", 2, 9, IMAGE_ZONE_BLOCK);
        rig_test_entry(&rig, "third.test");
        rig_push(&rig);
        assert_int_equal(rig_answer(&rig).serial, 2);
        assert_int_equal(rig_lookup(&rig, "192.0.2.2").zones_listed, 0);
        rig_settle(&rig);
        assert_int_equal(dns_list_zone(rig.dns, 5)->in_flight, 0);
        assert_null(dns_list_at(rig.dns, 3));
        assert_null(dns_list_zone(rig.dns, 3));
        assert_null(dns_list_at(rig.dns, 32));
        rig_stop(&rig);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_untested_zone_waits),
                cmocka_unit_test(test_probe_at_start),
                cmocka_unit_test(test_family),
                cmocka_unit_test(test_slow_zone_holds_its_share),
                cmocka_unit_test(test_share_is_given_back),
                cmocka_unit_test(test_dead_resolver),
                cmocka_unit_test(test_push_in_flight),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
