/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of answers when a zone is down, lies, or comes back, and of old answers meanwhile. */
#include "tests/unit/dns_rig.h"

/* Lists 0 (bl.test) and 1 (other.test), both up. */
static void start_two(struct rig *rig)
{
        rig_start(rig, 5000);
        rig_list(rig, 0, "bl.test", 2, 9, IMAGE_ZONE_BLOCK);
        rig_list(rig, 1, "other.test", 2, 9, IMAGE_ZONE_BLOCK);
        rig_test_entry(rig, "bl.test");
        rig_test_entry(rig, "other.test");
        rig_push(rig);
        rig_wait_state(rig, 0, DNS_ZONE_UP);
        rig_wait_state(rig, 1, DNS_ZONE_UP);
        while (dns_next_event(rig->dns) != NULL)
                ;
}

/* Ask about eight clients of which bl.test says nothing in time, or whatever its default is. */
static void ask_eight(struct rig *rig)
{
        char client[32];

        for (unsigned i = 0; i < 8; i++) {
                snprintf(client, sizeof(client), "198.51.100.%u", i + 1);
                assert_true(rig_ask(rig, client, i, false));
        }
        for (unsigned i = 0; i < 8; i++)
                rig_answer(rig);
}

static void test_zone_drops_out_and_returns(void **state)
{
        static const struct {
                enum fake_dns_kind kind;
                enum dns_zone_state want;
                const char *want_event;
                uint32_t probe_sec;
        } cases[] = {
                { FAKE_DNS_SILENT, DNS_ZONE_SILENT, "zone bl.test is silent: does not answer in time", 5 },
                { FAKE_DNS_RCODE, DNS_ZONE_FAILING,
                  "zone bl.test is failing: cannot be asked or answers with errors", 5 },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct rig rig;
                unsigned seen;
                struct client_answers got;

                start_two(&rig);
                rig_patience(&rig, RIG_IMPATIENT_MS);
                fake_dns_default(rig.fake, "bl.test", cases[i].kind, 60, 2);
                ask_eight(&rig);
                assert_int_equal(dns_list_zone(rig.dns, 0)->state, cases[i].want);
                assert_string_equal(dns_next_event(rig.dns), cases[i].want_event);
                assert_null(dns_next_event(rig.dns));
                /* Down: nobody is asked, nobody waits, the other zone goes on, and nothing is said to be clear. */
                seen = fake_dns_seen_below(rig.fake, "bl.test");
                assert_false(rig_ask_wait(&rig, "192.0.2.1").complete);
                assert_int_equal(fake_dns_seen_below(rig.fake, "bl.test"), seen);
                got = rig_lookup(&rig, "192.0.2.1");
                assert_int_equal(client_answers_zone(&got, 0), CLIENT_ZONE_UNKNOWN);
                assert_int_equal(client_answers_zone(&got, 1), CLIENT_ZONE_CLEAR);
                assert_int_equal(dns_list_zone(rig.dns, 0)->stats.skipped, 1);
                /* It answers again, is probed, and is asked again, also about the client it was down for. */
                fake_dns_default(rig.fake, "bl.test", FAKE_DNS_NONE, 60, 0);
                rig_skip(&rig, cases[i].probe_sec);
                rig_wait_state(&rig, 0, DNS_ZONE_UP);
                assert_string_equal(dns_next_event(rig.dns), "zone bl.test is up: answers as it should");
                assert_true(rig_ask_wait(&rig, "192.0.2.1").complete);
                got = rig_lookup(&rig, "192.0.2.1");
                assert_int_equal(client_answers_zone(&got, 0), CLIENT_ZONE_CLEAR);
                rig_stop(&rig);
        }
}

/* A zone caught lying: its answers are no listings, and the listings it gave are taken back. */
static void test_lying_zone(void **state)
{
        struct client_answers got;
        struct rig rig;

        start_two(&rig);
        fake_dns_record(rig.fake, "1.2.0.192.bl.test", 1, "127.0.0.2", 3600);
        fake_dns_record(rig.fake, "1.2.0.192.other.test", 1, "127.0.0.2", 3600);
        rig_ask_wait(&rig, "192.0.2.1");
        assert_int_equal(rig_lookup(&rig, "192.0.2.1").zones_listed, 3);
        /* The zone is switched off by listing everybody, 127.0.0.1 too. */
        fake_dns_script(rig.fake, "1.0.0.127.bl.test", FAKE_DNS_RECORDS, 60, 0);
        fake_dns_record(rig.fake, "1.0.0.127.bl.test", 1, "127.0.0.2", 60);
        rig_skip(&rig, 1800);
        rig_wait_state(&rig, 0, DNS_ZONE_LYING);
        assert_string_equal(dns_next_event(rig.dns), "zone bl.test is lying: lists 127.0.0.1");
        for (unsigned turn = 0; turn < 100 && rig_lookup(&rig, "192.0.2.1").zones_listed == 3; turn++)
                rig_turn(&rig); /* the table is gone through a piece a turn */
        got = rig_lookup(&rig, "192.0.2.1");
        assert_int_equal(got.zones_listed, 2);
        assert_int_equal(client_answers_zone(&got, 0), CLIENT_ZONE_ERROR);
        /* No new listing either. */
        fake_dns_record(rig.fake, "2.2.0.192.bl.test", 1, "127.0.0.2", 60);
        rig_ask_wait(&rig, "192.0.2.2");
        assert_int_equal(rig_lookup(&rig, "192.0.2.2").zones_listed, 0);
        rig_stop(&rig);
}

/* "You may not ask" for three clients in a row takes the zone out, without one listing. */
static void test_refused_by_zone(void **state)
{
        struct rig rig;

        start_two(&rig);
        for (unsigned i = 1; i <= 3; i++) {
                char name[64], client[32];

                snprintf(name, sizeof(name), "%u.2.0.192.bl.test", i);
                snprintf(client, sizeof(client), "192.0.2.%u", i);
                fake_dns_record(rig.fake, name, 1, "127.255.255.254", 60);
                rig_ask_wait(&rig, client);
                assert_int_equal(rig_lookup(&rig, client).zones_listed, 0);
        }
        assert_int_equal(dns_list_zone(rig.dns, 0)->state, DNS_ZONE_LYING);
        assert_string_equal(dns_next_event(rig.dns),
                            "zone bl.test is lying: answers 127.255.255.x or outside 127.0.0.0/8");
        rig_stop(&rig);
}

/* Old answers are kept on while nobody can say better: by a zone that is down, and by one that misses a beat. */
static void test_stale(void **state)
{
        static const struct {
                bool down; /* before the question */
        } cases[] = { { true }, { false } };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct client_answers got;
                struct rig rig;

                start_two(&rig);
                fake_dns_record(rig.fake, "1.2.0.192.bl.test", 1, "127.0.0.2", 60);
                fake_dns_record(rig.fake, "1.2.0.192.in-addr.arpa", 12, "mail.example.com", 60);
                fake_dns_record(rig.fake, "mail.example.com", 1, "192.0.2.1", 60);
                rig_ask_wait(&rig, "192.0.2.1");
                assert_int_equal(rig_lookup(&rig, "192.0.2.1").ptr, CLIENT_PTR_CONFIRMED);
                rig_patience(&rig, RIG_IMPATIENT_MS);
                fake_dns_default(rig.fake, "bl.test", FAKE_DNS_SILENT, 0, 0);
                fake_dns_script(rig.fake, "1.2.0.192.bl.test", FAKE_DNS_SILENT, 0, 0);
                fake_dns_script(rig.fake, "1.2.0.192.in-addr.arpa", FAKE_DNS_RCODE, 0, 2);
                if (cases[i].down) {
                        ask_eight(&rig);
                        assert_int_equal(dns_list_zone(rig.dns, 0)->state, DNS_ZONE_SILENT);
                }
                rig_skip(&rig, 100);
                assert_int_equal(rig_lookup(&rig, "192.0.2.1").zones_stale & 1, 1);
                rig_ask_wait(&rig, "192.0.2.1");
                got = rig_lookup(&rig, "192.0.2.1");
                assert_int_equal(got.zones_listed, 1);
                assert_int_equal(got.zones_stale, 0);
                assert_int_equal(client_answers_zone(&got, 1), CLIENT_ZONE_CLEAR);
                assert_int_equal(got.ptr, CLIENT_PTR_CONFIRMED);
                assert_false(got.ptr_stale);
                assert_string_equal(got.name, "mail.example.com");
                assert_true(dns_counters(rig.dns)->stale >= 2);
                rig_stop(&rig);
        }
}

/* A client that returns after each expiry is asked about before the next one, without waiting for a session. */
static void test_refresh(void **state)
{
        struct client_answers got;
        struct rig rig;
        uint32_t expired_sec;

        start_two(&rig);
        fake_dns_record(rig.fake, "1.2.0.192.bl.test", 1, "127.0.0.2", 600);
        fake_dns_script(rig.fake, "1.2.0.192.other.test", FAKE_DNS_NONE, 600, 0);
        fake_dns_script(rig.fake, "1.2.0.192.in-addr.arpa", FAKE_DNS_NONE, 600, 0);
        rig_ask_wait(&rig, "192.0.2.1");
        rig_skip(&rig, 610);
        rig_ask_wait(&rig, "192.0.2.1");
        expired_sec = rig_lookup(&rig, "192.0.2.1").zones_expire_sec[0];
        assert_int_equal(dns_counters(rig.dns)->refreshed, 0);
        rig_skip(&rig, 545); /* in the last tenth of its life; the zone has changed its mind meanwhile */
        fake_dns_script(rig.fake, "1.2.0.192.bl.test", FAKE_DNS_NONE, 600, 0);
        for (unsigned turn = 0; turn < RIG_TURNS_MAX && dns_counters(rig.dns)->refreshed == 0; turn++)
                rig_turn(&rig);
        rig_settle(&rig);
        got = rig_lookup(&rig, "192.0.2.1");
        assert_int_equal(got.zones_known, 3);
        assert_int_equal(got.zones_listed, 0);
        assert_true(got.zones_expire_sec[0] > expired_sec + 500);
        assert_true(got.ptr_expire_sec > expired_sec + 500);
        assert_int_equal(fake_dns_seen(rig.fake, "1.2.0.192.bl.test"), 3);
        rig_stop(&rig);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_zone_drops_out_and_returns),
                cmocka_unit_test(test_lying_zone),
                cmocka_unit_test(test_refused_by_zone),
                cmocka_unit_test(test_stale),
                cmocka_unit_test(test_refresh),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
