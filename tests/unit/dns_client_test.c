/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "control/dns/client.h"
#include "control/dns/conf.h"

static const struct siphash_key key = { { 1, 2 } };

static struct addr address(const char *text)
{
        struct addr addr;

        assert_int_equal(addr_parse(text, &addr), 0);
        return addr;
}

static struct addr numbered(unsigned i)
{
        return addr_from_v4_be(__builtin_bswap32(0x0a000000u + i * 256)); /* each in a /24 of its own */
}

static enum dns_join ask(struct dns_clients *clients, struct addr client, bool known, uint64_t serial,
                         uint32_t *ret_pushed)
{
        uint32_t asker = dns_clients_asker(clients, &client, 0, serial), question, pushed;
        enum dns_join join = dns_clients_join(clients, &client, known, &question, &pushed);

        if (join == DNS_JOIN_NEW || join == DNS_JOIN_OLD)
                dns_clients_wait(clients, question, asker, serial);
        else
                dns_clients_release_asker(clients, asker, false);
        if (join == DNS_JOIN_NEW)
                dns_clients_queue(clients, question, clients->questions[question].home, false);
        if (ret_pushed != NULL)
                *ret_pushed = pushed;
        return join;
}

static void test_single_flight(void **state)
{
        struct dns_clients clients;
        struct dns_asker asker;
        bool seen[50] = { false };
        uint32_t question;

        assert_int_equal(dns_clients_init(&clients, &key), 0);
        for (unsigned i = 0; i < 50; i++)
                assert_int_equal(ask(&clients, address("192.0.2.1"), false, i, NULL),
                                 i ? DNS_JOIN_OLD : DNS_JOIN_NEW);
        assert_int_equal(clients.used, 1);
        question = dns_clients_oldest(&clients);
        assert_int_equal(clients.questions[question].asked_us, 0);
        assert_false(dns_clients_next_done(&clients, &asker));
        dns_clients_release(&clients, question, true);
        assert_int_equal(dns_clients_oldest(&clients), CLIENTS_NONE);
        dns_clients_remove(&clients, question);
        for (unsigned i = 0; i < 50; i++) {
                assert_true(dns_clients_next_done(&clients, &asker));
                assert_true(asker.complete && !seen[asker.serial]);
                seen[asker.serial] = true;
        }
        assert_false(dns_clients_next_done(&clients, &asker));
        assert_int_equal(ask(&clients, address("192.0.2.1"), false, 7, NULL), DNS_JOIN_NEW);
        dns_clients_done(&clients);
}

static void test_share(void **state)
{
        static const struct {
                const char *client;
                enum dns_join want;
        } cases[] = {
                { "192.0.2.1", DNS_JOIN_NEW },       { "192.0.2.2", DNS_JOIN_NEW },
                { "192.0.2.3", DNS_JOIN_SHARE },     { "192.0.2.1", DNS_JOIN_OLD },
                { "192.0.3.3", DNS_JOIN_NEW },       { "2001:db8:1::1", DNS_JOIN_NEW },
                { "2001:db8:1:9::1", DNS_JOIN_NEW }, { "2001:db8:1:ffff::", DNS_JOIN_SHARE },
                { "2001:db8:2::1", DNS_JOIN_NEW },
        };
        struct dns_clients clients;
        uint32_t oldest;

        assert_int_equal(dns_clients_init(&clients, &key), 0);
        clients.share_max = 2;
        for (unsigned i = 0; i < ARRAY_LEN(cases); i++)
                if (ask(&clients, address(cases[i].client), true, i, NULL) != cases[i].want)
                        fail_msg("%s: not as wanted", cases[i].client);
        /* One of the network ends: there is a place again. */
        oldest = dns_clients_oldest(&clients);
        dns_clients_release(&clients, oldest, true);
        dns_clients_remove(&clients, oldest);
        assert_int_equal(ask(&clients, address("192.0.2.3"), true, 99, NULL), DNS_JOIN_NEW);
        dns_clients_done(&clients);
}

static void test_full(void **state)
{
        struct dns_clients clients;
        uint32_t pushed;

        assert_int_equal(dns_clients_init(&clients, &key), 0);
        clients.limit = 3;
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(ask(&clients, numbered(i), i == 0, i, NULL), DNS_JOIN_NEW);
        /* A stranger is refused; one who passed before pushes out the youngest stranger. */
        assert_int_equal(ask(&clients, numbered(3), false, 3, &pushed), DNS_JOIN_FULL);
        assert_int_equal(pushed, CLIENTS_NONE);
        assert_int_equal(ask(&clients, numbered(4), true, 4, &pushed), DNS_JOIN_NEW);
        assert_int_not_equal(pushed, CLIENTS_NONE);
        assert_true(clients.questions[pushed].client.bytes[14] == 2);
        dns_clients_release(&clients, pushed, false);
        dns_clients_remove(&clients, pushed);
        assert_int_equal(clients.used, 3);
        /* What was sent in part is not pushed out: its queries are paid for. */
        clients.questions[clients.first[DNS_QUEUE_NEW]].parts = 1;
        assert_int_equal(ask(&clients, numbered(5), true, 5, &pushed), DNS_JOIN_FULL);
        assert_int_equal(pushed, CLIENTS_NONE);
        clients.questions[clients.first[DNS_QUEUE_NEW]].parts = 0;
        dns_clients_done(&clients);
}

static void test_order(void **state)
{
        struct dns_clients clients;
        uint32_t first;

        assert_int_equal(dns_clients_init(&clients, &key), 0);
        ask(&clients, numbered(1), false, 1, NULL);
        ask(&clients, numbered(2), false, 2, NULL);
        ask(&clients, numbered(3), true, 3, NULL);
        assert_int_equal(clients.questions[clients.first[DNS_QUEUE_KNOWN]].client.bytes[14], 3);
        assert_int_equal(clients.questions[clients.first[DNS_QUEUE_NEW]].client.bytes[14], 1);
        /* A session of a network that passed joins a stranger's question: it moves up. */
        ask(&clients, numbered(2), true, 4, NULL);
        assert_int_equal(clients.questions[clients.last[DNS_QUEUE_KNOWN]].client.bytes[14], 2);
        assert_int_equal(clients.first[DNS_QUEUE_NEW], clients.last[DNS_QUEUE_NEW]);
        first = clients.first[DNS_QUEUE_NEW];
        dns_clients_queue(&clients, first, DNS_QUEUE_PARKED, false);
        assert_int_equal(clients.first[DNS_QUEUE_NEW], CLIENTS_NONE);
        dns_clients_queue(&clients, first, DNS_QUEUE_KNOWN, true);
        assert_int_equal(clients.first[DNS_QUEUE_KNOWN], first);
        assert_int_equal(clients.first[DNS_QUEUE_PARKED], CLIENTS_NONE);
        dns_clients_done(&clients);
}

static void test_askers_are_bounded(void **state)
{
        struct dns_clients clients;
        struct addr client = address("192.0.2.1");
        struct dns_asker asker;

        assert_int_equal(dns_clients_init(&clients, &key), 0);
        for (unsigned i = 0; i < DNS_ASKERS_MAX; i++)
                dns_clients_release_asker(&clients, dns_clients_asker(&clients, &client, 0, i), true);
        assert_int_equal(dns_clients_asker(&clients, &client, 0, 0), CLIENTS_NONE);
        assert_true(dns_clients_next_done(&clients, &asker));
        assert_int_equal(asker.serial, 0);
        assert_int_not_equal(dns_clients_asker(&clients, &client, 0, 0), CLIENTS_NONE);
        dns_clients_done(&clients);
}

/* Many come and go: no place is lost, none is given twice. */
static void test_churn(void **state)
{
        struct dns_clients clients;
        struct dns_asker asker;
        uint64_t random = 88172645463325252u;

        assert_int_equal(dns_clients_init(&clients, &key), 0);
        for (unsigned i = 0; i < 200000; i++) {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                if (random % 3 != 0) {
                        ask(&clients, numbered((random >> 20) % 20000), random & 64, i, NULL);
                } else if (dns_clients_oldest(&clients) != CLIENTS_NONE) {
                        uint32_t oldest = dns_clients_oldest(&clients);

                        dns_clients_release(&clients, oldest, true);
                        dns_clients_remove(&clients, oldest);
                }
                while (dns_clients_next_done(&clients, &asker))
                        ;
        }
        while (dns_clients_oldest(&clients) != CLIENTS_NONE) {
                uint32_t oldest = dns_clients_oldest(&clients);

                dns_clients_release(&clients, oldest, true);
                dns_clients_remove(&clients, oldest);
        }
        while (dns_clients_next_done(&clients, &asker))
                ;
        assert_int_equal(clients.used, 0);
        for (unsigned i = 0; i < DNS_QUESTIONS_MAX; i++)
                assert_int_equal(ask(&clients, numbered(i), false, i, NULL), DNS_JOIN_NEW);
        assert_int_equal(ask(&clients, numbered(DNS_QUESTIONS_MAX), false, 0, NULL), DNS_JOIN_FULL);
        dns_clients_done(&clients);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_single_flight),
                cmocka_unit_test(test_share),
                cmocka_unit_test(test_full),
                cmocka_unit_test(test_order),
                cmocka_unit_test(test_askers_are_bounded),
                cmocka_unit_test(test_churn),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
