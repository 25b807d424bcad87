/* SPDX-License-Identifier: Apache-2.0 */
/* Questions in, client table and answers out. */
#include "tests/unit/dns_rig.h"

/* Block zone bl.test read by lists 0 (codes 2 to 9) and 20 (10 to 11), block zone bl2.test, allow zone wl.test. */
static void start_zones(struct rig *rig, uint32_t deadline_ms)
{
        rig_start(rig, deadline_ms);
        rig_list(rig, 0, "bl.test", 2, 9, IMAGE_ZONE_BLOCK);
        rig_list(rig, 20, "bl.test", 10, 11, IMAGE_ZONE_BLOCK);
        rig_list(rig, 1, "bl2.test", 2, 2, IMAGE_ZONE_BLOCK);
        rig_list(rig, 2, "wl.test", 2, 5, IMAGE_ZONE_ALLOW);
        rig_test_entry(rig, "bl.test");
        rig_test_entry(rig, "bl2.test");
        rig_test_entry(rig, "wl.test");
        rig_push(rig);
}

#define B(number) (1u << (number))
#define ALL_LISTS (B(0) | B(1) | B(2) | B(20))

static void test_zones(void **state)
{
        static const struct {
                const char *client;
                const char *name, *code; /* one name in one zone */
                enum fake_dns_kind kind;
                unsigned number;
                uint32_t want_listed, want_error;
        } cases[] = {
                { "192.0.2.1", "1.2.0.192.bl.test", "127.0.0.2", FAKE_DNS_RECORDS, 0, B(0), 0 },
                { "192.0.2.2", "2.2.0.192.bl.test", "127.0.0.10", FAKE_DNS_RECORDS, 0, B(20), 0 },
                { "192.0.2.3", "3.2.0.192.wl.test", "127.0.0.5", FAKE_DNS_RECORDS, 0, B(2), 0 },
                { "192.0.2.4", "4.2.0.192.bl.test", NULL, FAKE_DNS_NONE, 0, 0, 0 },
                { "192.0.2.5", "5.2.0.192.bl.test", "127.0.0.77", FAKE_DNS_RECORDS, 0, 0, B(0) | B(20) },
                { "192.0.2.6", "6.2.0.192.bl.test", "127.255.255.254", FAKE_DNS_RECORDS, 0, 0, B(0) | B(20) },
                { "192.0.2.7", "7.2.0.192.wl.test", "127.255.255.255", FAKE_DNS_RECORDS, 0, 0, B(2) },
                { "192.0.2.8", "8.2.0.192.bl2.test", "198.51.100.1", FAKE_DNS_RECORDS, 0, 0, B(1) },
                { "192.0.2.9", "9.2.0.192.bl2.test", NULL, FAKE_DNS_RCODE, 2, 0, B(1) },
                { "192.0.2.10", "10.2.0.192.bl2.test", NULL, FAKE_DNS_SILENT, 0, 0, B(1) },
                { "192.0.2.11", "11.2.0.192.bl2.test", "127.0.0.2", FAKE_DNS_BY_TCP, 0, B(1), 0 },
                { "192.0.2.12", "12.2.0.192.bl2.test", NULL, FAKE_DNS_MANY, 1000, 0, B(1) },
                { "192.0.2.13", "13.2.0.192.bl2.test", NULL, FAKE_DNS_LOOP, 0, 0, B(1) },
                { "192.0.2.14", "14.2.0.192.bl2.test", NULL, FAKE_DNS_GARBAGE, 200, 0, B(1) },
                { "2001:db8::1", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl2.test",
                  "127.0.0.2", FAKE_DNS_RECORDS, 0, B(1), 0 },
        };
        struct rig rig;

        start_zones(&rig, 5000);
        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct client_answers got;

                fake_dns_script(rig.fake, cases[i].name, cases[i].kind, 600, cases[i].number);
                if (cases[i].code != NULL)
                        fake_dns_record(rig.fake, cases[i].name, 1, cases[i].code, 600);
                rig_patience(&rig, cases[i].kind == FAKE_DNS_SILENT ? RIG_IMPATIENT_MS : RIG_PATIENT_MS);
                assert_int_equal(rig_ask_wait(&rig, cases[i].client).complete, cases[i].want_error == 0);
                got = rig_lookup(&rig, cases[i].client);
                if (got.zones_known != ALL_LISTS || got.zones_listed != cases[i].want_listed ||
                    got.zones_error != cases[i].want_error)
                        fail_msg("%s: known %x, listed %x, error %x", cases[i].client, got.zones_known,
                                 got.zones_listed, got.zones_error);
                assert_int_equal(got.ptr, CLIENT_PTR_NONE);
        }
        assert_int_equal(dns_list_stats(rig.dns, 0)->hits, 1);
        assert_int_equal(dns_list_stats(rig.dns, 0)->unique_hits, 1);
        assert_int_equal(dns_list_stats(rig.dns, 1)->hits, 3 - 1);
        assert_int_equal(dns_list_zone(rig.dns, 0)->stats.queries, ARRAY_LEN(cases));
        assert_int_equal(dns_list_zone(rig.dns, 1)->stats.readings[DNS_READING_TIMEOUT], 1);
        rig_stop(&rig);
}

/* Times to live: within the bounds of the list, absences from the SOA. */
static void test_ttl(void **state)
{
        static const struct {
                const char *client, *name;
                uint32_t ttl_sec;
                bool listed;
                uint32_t want_sec;
        } cases[] = {
                { "192.0.2.1", "1.2.0.192.bl.test", 300, true, 300 },
                { "192.0.2.2", "2.2.0.192.bl.test", 1, true, 30 },
                { "192.0.2.3", "3.2.0.192.bl.test", 999999, true, 3600 },
                { "192.0.2.4", "4.2.0.192.bl.test", 120, false, 120 },
                { "192.0.2.5", "5.2.0.192.bl.test", 2, false, 30 },
        };
        struct rig rig;

        rig_start(&rig, 5000);
        rig_list(&rig, 0, "bl.test", 2, 9, IMAGE_ZONE_BLOCK);
        rig_test_entry(&rig, "bl.test");
        rig_push(&rig);
        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                fake_dns_script(rig.fake, cases[i].name, cases[i].listed ? FAKE_DNS_RECORDS : FAKE_DNS_NONE,
                                cases[i].ttl_sec, 0);
                if (cases[i].listed)
                        fake_dns_record(rig.fake, cases[i].name, 1, "127.0.0.2", cases[i].ttl_sec);
                rig_ask_wait(&rig, cases[i].client);
                assert_int_equal(rig_lookup(&rig, cases[i].client).zones_expire_sec[0],
                                 RIG_WALL_SEC + cases[i].want_sec);
        }
        rig_stop(&rig);
}

static void test_reverse(void **state)
{
        /* The reverse answer, then what the names lead to. */
        static const struct {
                const char *client, *reverse;
                enum fake_dns_kind kind;
                const char *names[3];
                const char *forward[3]; /* NULL: does not exist; "fail": SERVFAIL */
                enum client_ptr want;
                const char *want_name;
                bool want_pool;
        } cases[] = {
                { "192.0.2.1",
                  "1.2.0.192.in-addr.arpa",
                  FAKE_DNS_NONE,
                  { NULL },
                  { NULL },
                  CLIENT_PTR_NONE,
                  "",
                  false },
                { "192.0.2.2",
                  "2.2.0.192.in-addr.arpa",
                  FAKE_DNS_NODATA,
                  { NULL },
                  { NULL },
                  CLIENT_PTR_NONE,
                  "",
                  false },
                { "192.0.2.3",
                  "3.2.0.192.in-addr.arpa",
                  FAKE_DNS_RCODE,
                  { NULL },
                  { NULL },
                  CLIENT_PTR_ERROR,
                  "",
                  false },
                { "192.0.2.4",
                  "4.2.0.192.in-addr.arpa",
                  FAKE_DNS_SILENT,
                  { NULL },
                  { NULL },
                  CLIENT_PTR_ERROR,
                  "",
                  false },
                { "192.0.2.5",
                  "5.2.0.192.in-addr.arpa",
                  FAKE_DNS_RECORDS,
                  { "mail5.example.com" },
                  { "192.0.2.5" },
                  CLIENT_PTR_CONFIRMED,
                  "mail5.example.com",
                  true },
                { "192.0.2.6",
                  "6.2.0.192.in-addr.arpa",
                  FAKE_DNS_RECORDS,
                  { "mail6.example.com" },
                  { "192.0.2.66" },
                  CLIENT_PTR_UNCONFIRMED,
                  "",
                  false },
                { "192.0.2.7",
                  "7.2.0.192.in-addr.arpa",
                  FAKE_DNS_RECORDS,
                  { "mail7.example.com" },
                  { NULL },
                  CLIENT_PTR_UNCONFIRMED,
                  "",
                  false },
                { "192.0.2.8",
                  "8.2.0.192.in-addr.arpa",
                  FAKE_DNS_RECORDS,
                  { "mail8.example.com" },
                  { "fail" },
                  CLIENT_PTR_ERROR,
                  "",
                  false },
                { "192.0.2.9",
                  "9.2.0.192.in-addr.arpa",
                  FAKE_DNS_RECORDS,
                  { "a9.example.com", "b9.example.com" },
                  { "192.0.2.99", "192.0.2.9" },
                  CLIENT_PTR_CONFIRMED,
                  "b9.example.com",
                  true },
                { "192.0.2.10",
                  "10.2.0.192.in-addr.arpa",
                  FAKE_DNS_RECORDS,
                  { "a10.example.com", "b10.example.com" },
                  { "fail", "192.0.2.10" },
                  CLIENT_PTR_CONFIRMED,
                  "b10.example.com",
                  true },
                { "192.0.2.11",
                  "11.2.0.192.in-addr.arpa",
                  FAKE_DNS_RECORDS,
                  { "localhost" },
                  { "192.0.2.11" },
                  CLIENT_PTR_UNCONFIRMED,
                  "",
                  false },
                { "192.0.2.12",
                  "12.2.0.192.in-addr.arpa",
                  FAKE_DNS_RECORDS,
                  { "192-0-2-12.example.com" },
                  { "192.0.2.12" },
                  CLIENT_PTR_CONFIRMED,
                  "192-0-2-12.example.com",
                  false },
                { "2001:db8::25",
                  "5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
                  FAKE_DNS_RECORDS,
                  { "six.example.com" },
                  { "2001:db8::25" },
                  CLIENT_PTR_CONFIRMED,
                  "six.example.com",
                  true },
        };
        struct rig rig;

        rig_start(&rig, 5000);
        rig_push(&rig);
        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct client_answers got;

                fake_dns_script(rig.fake, cases[i].reverse, cases[i].kind, 60, 2);
                for (unsigned k = 0; k < 3 && cases[i].names[k] != NULL; k++) {
                        const char *forward = cases[i].forward[k];

                        fake_dns_record(rig.fake, cases[i].reverse, 12, cases[i].names[k], 60);
                        if (forward != NULL && strcmp(forward, "fail") == 0)
                                fake_dns_script(rig.fake, cases[i].names[k], FAKE_DNS_RCODE, 60, 2);
                        else if (forward != NULL)
                                fake_dns_record(rig.fake, cases[i].names[k], strchr(forward, ':') ? 28 : 1,
                                                forward, 60);
                }
                rig_patience(&rig, cases[i].kind == FAKE_DNS_SILENT ? RIG_IMPATIENT_MS : RIG_PATIENT_MS);
                rig_ask_wait(&rig, cases[i].client);
                got = rig_lookup(&rig, cases[i].client);
                if (got.ptr != cases[i].want || strcmp(got.name, cases[i].want_name) != 0 ||
                    (got.pool != 0) != cases[i].want_pool)
                        fail_msg("%s: got ptr %u, name '%s', pool %lx", cases[i].client, got.ptr, got.name,
                                 (unsigned long)got.pool);
        }
        /* Two hosts of one domain are one pool. */
        assert_true(rig_lookup(&rig, "192.0.2.5").pool == rig_lookup(&rig, "192.0.2.9").pool);
        rig_stop(&rig);
}

static void test_single_flight(void **state)
{
        struct rig rig;
        bool seen[200] = { false };

        start_zones(&rig, 5000);
        for (unsigned i = 0; i < 200; i++)
                assert_true(rig_ask(&rig, "192.0.2.1", i, false));
        for (unsigned i = 0; i < 200; i++) {
                struct dns_finished got = rig_answer(&rig);

                assert_true(got.complete && got.worker == 1 && got.serial < 200 && !seen[got.serial]);
                seen[got.serial] = true;
        }
        assert_int_equal(fake_dns_seen(rig.fake, "1.2.0.192.bl.test"), 1);
        assert_int_equal(fake_dns_seen(rig.fake, "1.2.0.192.bl2.test"), 1);
        assert_int_equal(fake_dns_seen(rig.fake, "1.2.0.192.wl.test"), 1);
        assert_int_equal(fake_dns_seen(rig.fake, "1.2.0.192.in-addr.arpa"), 1);
        assert_int_equal(dns_counters(rig.dns)->joined, 199);
        /* The table holds it now: nobody is asked again until it expires. */
        assert_true(rig_ask_wait(&rig, "192.0.2.1").complete);
        assert_int_equal(fake_dns_seen(rig.fake, "1.2.0.192.bl.test"), 1);
        assert_int_equal(dns_counters(rig.dns)->from_table, 1);
        rig_skip(&rig, 61);
        rig_ask_wait(&rig, "192.0.2.1");
        assert_int_equal(fake_dns_seen(rig.fake, "1.2.0.192.bl.test"), 2);
        rig_stop(&rig);
}

static void test_deadline(void **state)
{
        struct dns_finished got;
        struct rig rig;

        start_zones(&rig, 5000);
        rig_wait_state(&rig, 0, DNS_ZONE_UP);
        rig_wait_state(&rig, 1, DNS_ZONE_UP);
        rig_wait_state(&rig, 2, DNS_ZONE_UP);
        rig_patience(&rig, RIG_IMPATIENT_MS);
        fake_dns_script(rig.fake, "1.2.0.192.bl2.test", FAKE_DNS_SILENT, 0, 0);
        fake_dns_record(rig.fake, "1.2.0.192.bl.test", 1, "127.0.0.2", 60);
        assert_true(rig_ask(&rig, "192.0.2.1", 1, false));
        while (rig_lookup(&rig, "192.0.2.1").zones_known != (ALL_LISTS & ~B(1)))
                rig_turn(&rig);
        /* One zone is still out; the others are in the table already, and nobody is told yet. */
        assert_false(dns_next_answer(rig.dns, &got));
        rig_skip(&rig, 5);
        dns_turn(rig.dns, rig_now(&rig));
        assert_true(dns_next_answer(rig.dns, &got));
        assert_false(got.complete);
        assert_int_equal(rig_lookup(&rig, "192.0.2.1").zones_listed, B(0));
        assert_int_equal(dns_counters(rig.dns)->deadline, 1);
        rig_settle(&rig);
        assert_int_equal(rig_lookup(&rig, "192.0.2.1").zones_error, B(1));
        rig_stop(&rig);
}

static void test_shedding(void **state)
{
        struct rig rig;
        unsigned complete = 0;
        char client[32];

        rig_start(&rig, 5000);
        rig.conf.queue_max = 40;
        rig.conf.share_max = 10;
        rig_push(&rig);
        for (unsigned i = 0; i < 100; i++) {
                snprintf(client, sizeof(client), "192.0.%u.%u", i / 20, i % 20 + 1);
                assert_true(rig_ask(&rig, client, i, false));
        }
        /* Ten of each /24 until the queue is full: 40 are asked, 60 are answered at once. */
        assert_int_equal(dns_counters(rig.dns)->shed_share, 40);
        assert_int_equal(dns_counters(rig.dns)->shed_full, 20);
        /* One whose network passed before takes the place of a stranger. */
        assert_true(rig_ask(&rig, "198.51.100.1", 1000, true));
        assert_int_equal(dns_counters(rig.dns)->shed_full, 21);
        for (unsigned i = 0; i < 101; i++) {
                struct dns_finished got = rig_answer(&rig);

                complete += got.complete;
                if (got.serial == 1000)
                        assert_true(got.complete);
        }
        assert_int_equal(complete, 40);
        rig_settle(&rig);
        assert_int_equal(dns_counters(rig.dns)->open_now, 0);
        rig_stop(&rig);
}

static void test_known_go_first(void **state)
{
        struct rig rig;
        char client[32];

        rig_start(&rig, 5000);
        rig.conf.outstanding_max = 8; /* four reverse lookups at a time */
        rig_push(&rig);
        for (unsigned i = 0; i < 50; i++) {
                snprintf(client, sizeof(client), "192.0.2.%u", i + 1);
                assert_true(rig_ask(&rig, client, i, false));
        }
        dns_turn(rig.dns, rig_now(&rig));
        assert_int_equal(dns_counters(rig.dns)->in_flight_now, 4);
        assert_true(rig_ask(&rig, "198.51.100.1", 1000, true));
        for (unsigned i = 0;; i++) {
                assert_true(i < 9);
                if (rig_answer(&rig).serial == 1000)
                        break;
        }
        for (unsigned i = 0; i < 50; i++)
                if (dns_counters(rig.dns)->finished < 51)
                        rig_answer(&rig);
        rig_settle(&rig);
        assert_int_equal(dns_counters(rig.dns)->finished, 51);
        rig_stop(&rig);
}

static void test_not_a_question(void **state)
{
        struct rig rig;
        struct msg_ask ask = { .kind = MSG_ASK_CLIENT, .client = rig_addr("192.0.2.1") }, bad;
        struct dns_finished got;

        rig_start(&rig, 5000);
        assert_false(dns_ask_client(rig.dns, &ask, rig_now(&rig))); /* no setting yet */
        assert_int_equal(dns_timeout_ms(rig.dns, rig_now(&rig)), -1);
        dns_turn(rig.dns, rig_now(&rig));
        rig_push(&rig);
        bad = ask;
        bad.kind = 77;
        assert_false(dns_ask_client(rig.dns, &bad, rig_now(&rig)));
        bad = ask;
        bad.worker = 64;
        assert_false(dns_ask_client(rig.dns, &bad, rig_now(&rig)));
        bad = ask;
        memset(&bad.client, 0, sizeof(bad.client));
        assert_false(dns_ask_client(rig.dns, &bad, rig_now(&rig)));
        bad = ask;
        bad.known_before = 0xdeadbeef;
        assert_true(dns_ask_client(rig.dns, &bad, rig_now(&rig)));
        assert_int_equal(dns_counters(rig.dns)->invalid, 4);
        got = rig_answer(&rig);
        assert_true(addr_is_equal(&got.client, &ask.client));
        rig_stop(&rig);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_zones),          cmocka_unit_test(test_ttl),
                cmocka_unit_test(test_reverse),        cmocka_unit_test(test_single_flight),
                cmocka_unit_test(test_deadline),       cmocka_unit_test(test_shedding),
                cmocka_unit_test(test_known_go_first), cmocka_unit_test(test_not_a_question),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
