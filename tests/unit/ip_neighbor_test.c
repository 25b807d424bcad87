/* SPDX-License-Identifier: Apache-2.0 */
/* Neighbours: asked, answered, asked again, given up, evicted; who is believed. ARP and ND answers byte by byte. */
#include "tests/unit/ip_rig.h"

static enum ip_verdict send_to(struct rig *rig, const char *to, uint64_t now_us)
{
        struct packet *packet = rig_packet("a packet", 8);
        struct addr addr = rig_addr(to);
        enum ip_verdict got = neighbor_send(rig->ip, 0, &addr, packet, now_us);

        if (got != IP_SENT)
                packet_free(packet);
        return got;
}

static struct neighbor *entry_of(struct rig *rig, const char *text)
{
        struct addr addr = rig_addr(text);

        return neighbor_lookup(&rig->ip->neighbors, 0, &addr);
}

static void learn(struct rig *rig, const char *text, uint8_t mac_end, unsigned what, uint64_t now_us)
{
        const uint8_t mac[6] = { 2, 0, 0, 0, 0, mac_end };
        struct addr addr = rig_addr(text);

        neighbor_learn(rig->ip, 0, &addr, mac, what, now_us);
}

static void test_questions_are_answered(void **state)
{
        static const struct {
                const char *frame, *want;
        } cases[] = {
                { "arp_request", "arp_request_reply" },
                { "arp_probe", "arp_probe_reply" },
                { "arp_other", NULL },
                { "ns", "ns_reply" },
                { "ns_link_local", "ns_link_local_reply" },
                { "ns_dad", "ns_dad_reply" },
                { "ns_other", NULL },
                { "ns_hops", NULL },
                { "ns_mapped", NULL },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct rig rig;

                rig_init(&rig, 0);
                rig_input(&rig, cases[i].frame, RIG_NOW_US);
                rig_expect(&rig, 0, cases[i].want);
                rig_expect(&rig, 0, NULL);
                rig_done(&rig);
        }
}

/* Whoever merely speaks to us takes no room in the table. */
static void test_strangers_are_not_learned(void **state)
{
        static const char *const frames[] = { "arp_request", "arp_gratuitous", "arp_answer", "ns",
                                              "na_answer" };

        for (unsigned i = 0; i < ARRAY_LEN(frames); i++) {
                struct rig rig;
                uint64_t before;

                rig_init(&rig, 0);
                before = rig.counters[COUNTER_neighbors_used];
                rig_input(&rig, frames[i], RIG_NOW_US);
                assert_null(entry_of(&rig, "198.18.0.77"));
                assert_null(entry_of(&rig, "2001:2::77"));
                assert_int_equal(rig.counters[COUNTER_neighbors_used], before);
                rig_done(&rig);
        }
}

static void test_ask_and_answer(void **state)
{
        struct rig rig;

        rig_init(&rig, 0);
        assert_int_equal(send_to(&rig, "198.18.0.77", RIG_NOW_US), IP_SENT);
        rig_expect(&rig, 0, "arp_ask");
        assert_int_equal(send_to(&rig, "198.18.0.77", RIG_NOW_US), IP_SENT);
        rig_expect(&rig, 0, NULL); /* one question is enough */
        rig_input(&rig, "arp_answer", RIG_NOW_US);
        assert_int_equal(rig_drain(&rig, 0), 2);
        assert_int_equal(entry_of(&rig, "198.18.0.77")->state, NEIGHBOR_REACHABLE);
        assert_int_equal(send_to(&rig, "198.18.0.77", RIG_NOW_US + NEIGHBOR_REACHABLE_US), IP_SENT);
        assert_int_equal(rig_drain(&rig, 0), 1);
        rig_done(&rig);
}

/* The answer reaches every worker as a copy; one that has asked too learns from it. */
static void test_learning_copy(void **state)
{
        const struct ip_frame *frame = rig_frame("arp_answer");
        struct rig rig;

        rig_init(&rig, 0);
        assert_int_equal(send_to(&rig, "198.18.0.77", RIG_NOW_US), IP_SENT);
        rig_expect(&rig, 0, "arp_ask");
        assert_int_equal(
            rig_input_bytes(&rig, frame->bytes, frame->len, PACKET_LEARN_ONLY, RIG_NOW_US, NULL, NULL),
            IP_DONE);
        assert_int_equal(rig_drain(&rig, 0), 1);
        rig_done(&rig);
}

static void test_only_few_wait(void **state)
{
        struct rig rig;

        rig_init(&rig, 0);
        for (unsigned i = 0; i < 10; i++)
                assert_int_equal(send_to(&rig, "198.18.0.77", RIG_NOW_US), IP_SENT);
        assert_int_equal(rig.counters[COUNTER_ip_drop_unresolved], 10 - NEIGHBOR_WAITING_MAX);
        rig_drain(&rig, 0);
        rig_input(&rig, "arp_answer", RIG_NOW_US);
        assert_int_equal(rig_drain(&rig, 0), NEIGHBOR_WAITING_MAX);
        rig_done(&rig);
}

/* Three questions a second apart, then the waiting packets are dropped, and nobody asks for a while. */
static void test_no_answer(void **state)
{
        uint64_t now_us = RIG_NOW_US;
        struct rig rig;

        rig_init(&rig, 0);
        ip_tick(rig.ip, now_us); /* the gateways */
        rig_drain(&rig, 0);
        learn(&rig, "198.18.0.1", 0xfe, NEIGHBOR_ANSWERS, now_us);
        learn(&rig, "2001:2::1", 0xfe, NEIGHBOR_ANSWERS, now_us);

        assert_int_equal(send_to(&rig, "198.18.0.77", now_us), IP_SENT);
        rig_expect(&rig, 0, "arp_ask");
        for (unsigned i = 1; i < NEIGHBOR_TRIES; i++) {
                ip_tick(rig.ip, now_us + NEIGHBOR_RETRY_US - 1);
                rig_expect(&rig, 0, NULL);
                now_us += NEIGHBOR_RETRY_US;
                assert_in_range(ip_next_due_us(rig.ip), 0, now_us);
                ip_tick(rig.ip, now_us);
                rig_expect(&rig, 0, "arp_ask");
        }
        now_us += NEIGHBOR_RETRY_US;
        ip_tick(rig.ip, now_us);
        rig_expect(&rig, 0, NULL);
        assert_int_equal(rig.counters[COUNTER_neighbor_failed], 1);
        assert_int_equal(rig.counters[COUNTER_ip_drop_unresolved], 1);

        assert_int_equal(send_to(&rig, "198.18.0.77", now_us), IP_DROP_UNRESOLVED);
        rig_expect(&rig, 0, NULL);
        assert_int_equal(send_to(&rig, "198.18.0.77", now_us + IP_SECOND_US),
                         IP_SENT); /* the first hold is a second */
        rig_expect(&rig, 0, "arp_ask");
        for (unsigned i = 0; i < NEIGHBOR_TRIES; i++)
                ip_tick(rig.ip, now_us + (i + 2) * IP_SECOND_US);
        rig_drain(&rig, 0);
        now_us += 4 * IP_SECOND_US;
        assert_int_equal(send_to(&rig, "198.18.0.77", now_us + IP_SECOND_US),
                         IP_DROP_UNRESOLVED); /* the second, two */
        assert_int_equal(send_to(&rig, "198.18.0.77", now_us + 2 * IP_SECOND_US), IP_SENT);
        rig_drain(&rig, 0);
        rig_done(&rig);
}

/* An old entry is used while it is asked about by unicast, and given up when nobody answers. */
static void test_refresh(void **state)
{
        uint64_t now_us = RIG_NOW_US;
        struct rig rig;

        rig_init(&rig, 0);
        send_to(&rig, "198.18.0.77", now_us);
        rig_input(&rig, "arp_answer", now_us);
        rig_drain(&rig, 0);
        now_us += NEIGHBOR_REACHABLE_US + 1;
        assert_int_equal(send_to(&rig, "198.18.0.77", now_us), IP_SENT);
        rig_expect(&rig, 0, "arp_ask_again");
        assert_int_equal(rig_drain(&rig, 0), 1);
        rig_input(&rig, "arp_answer", now_us);
        assert_int_equal(entry_of(&rig, "198.18.0.77")->state, NEIGHBOR_REACHABLE);

        now_us += NEIGHBOR_REACHABLE_US + 1;
        assert_int_equal(send_to(&rig, "198.18.0.77", now_us), IP_SENT);
        for (unsigned i = 1; i <= NEIGHBOR_TRIES; i++)
                ip_tick(rig.ip, now_us + i * NEIGHBOR_RETRY_US);
        rig_drain(&rig, 0);
        assert_int_equal(entry_of(&rig, "198.18.0.77")->state, NEIGHBOR_FAILED);
        /* Known until a moment ago: asked for again at once, by broadcast. */
        assert_int_equal(send_to(&rig, "198.18.0.77", now_us + NEIGHBOR_TRIES * NEIGHBOR_RETRY_US), IP_SENT);
        rig_expect(&rig, 0, "arp_ask");
        rig_done(&rig);
}

static void test_forgotten(void **state)
{
        uint64_t now_us = RIG_NOW_US;
        struct rig rig;

        rig_init(&rig, 0);
        send_to(&rig, "198.18.0.77", now_us);
        rig_input(&rig, "arp_answer", now_us);
        rig_drain(&rig, 0);
        assert_int_equal(send_to(&rig, "198.18.0.77", now_us + NEIGHBOR_FORGET_US + 1), IP_SENT);
        rig_expect(&rig, 0, "arp_ask");
        rig_expect(&rig, 0, NULL); /* the packet waits: the old MAC address is not used any more */
        rig_done(&rig);
}

/* Who may change the MAC address of a known neighbour, and how often. */
static void test_moves(void **state)
{
        static const struct {
                const char *name;
                unsigned what;
                uint64_t after_us; /* of a first move; 0: none */
                uint8_t want_mac_end;
        } cases[] = {
                { "an answer that overrides", NEIGHBOR_ANSWERS | NEIGHBOR_OVERRIDES, 0, 0xbb },
                { "gratuitous", NEIGHBOR_OVERRIDES, 0, 0xbb },
                { "an answer that does not override", NEIGHBOR_ANSWERS, 0, 0xaa },
                { "soon after a move", NEIGHBOR_OVERRIDES, NEIGHBOR_MOVE_US - 1, 0xcc },
                { "later", NEIGHBOR_OVERRIDES, NEIGHBOR_MOVE_US, 0xbb },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                uint64_t now_us = RIG_NOW_US;
                struct rig rig;

                rig_init(&rig, 0);
                send_to(&rig, "198.18.0.77", now_us);
                learn(&rig, "198.18.0.77", 0xaa, NEIGHBOR_ANSWERS, now_us);
                if (cases[i].after_us) {
                        learn(&rig, "198.18.0.77", 0xcc, NEIGHBOR_OVERRIDES, now_us);
                        now_us += cases[i].after_us;
                }
                learn(&rig, "198.18.0.77", 0xbb, cases[i].what, now_us);
                if (entry_of(&rig, "198.18.0.77")->mac[5] != cases[i].want_mac_end)
                        fail_msg("%s: got %02x", cases[i].name, entry_of(&rig, "198.18.0.77")->mac[5]);
                rig_drain(&rig, 0);
                rig_done(&rig);
        }
}

/* What somebody merely says is tried, and asked about at the next use. */
static void test_unasked_move_is_verified(void **state)
{
        struct rig rig;

        rig_init(&rig, 0);
        send_to(&rig, "198.18.0.77", RIG_NOW_US);
        rig_input(&rig, "arp_answer", RIG_NOW_US);
        rig_drain(&rig, 0);
        rig_input(&rig, "arp_gratuitous", RIG_NOW_US + 1);
        assert_int_equal(entry_of(&rig, "198.18.0.77")->mac[5], 0xbb);
        assert_int_equal(send_to(&rig, "198.18.0.77", RIG_NOW_US + 2), IP_SENT);
        assert_int_equal(entry_of(&rig, "198.18.0.77")->state, NEIGHBOR_PROBING);
        assert_int_equal(rig_drain(&rig, 0), 2); /* the question and the packet */
        rig_done(&rig);
}

/* Nor is an answer that nobody asked for believed as one. */
static void test_unasked_answer_is_verified(void **state)
{
        struct rig rig;

        rig_init(&rig, 0);
        send_to(&rig, "198.18.0.77", RIG_NOW_US);
        rig_input(&rig, "arp_answer", RIG_NOW_US);
        rig_drain(&rig, 0);
        learn(&rig, "198.18.0.77", 0xbb, NEIGHBOR_ANSWERS | NEIGHBOR_OVERRIDES, RIG_NOW_US + 1);
        assert_int_equal(entry_of(&rig, "198.18.0.77")->mac[5], 0xbb);
        assert_int_equal(send_to(&rig, "198.18.0.77", RIG_NOW_US + 2), IP_SENT);
        assert_int_equal(entry_of(&rig, "198.18.0.77")->state, NEIGHBOR_PROBING);
        learn(&rig, "198.18.0.77", 0xbb, NEIGHBOR_ANSWERS, RIG_NOW_US + 3); /* now it is one */
        assert_int_equal(entry_of(&rig, "198.18.0.77")->state, NEIGHBOR_REACHABLE);
        rig_drain(&rig, 0);
        send_to(&rig, "198.18.0.77", RIG_NOW_US + 4);
        assert_int_equal(rig_drain(&rig, 0), 1); /* the packet, and no question */
        rig_done(&rig);
}

/* A table that is far too small: the packets that waited in evicted entries are gone and counted, the gateway stays. */
static void test_eviction(void **state)
{
        struct rig rig;
        unsigned kept = 0;

        rig_init(&rig, 64);
        learn(&rig, "198.18.0.1", 0xfe, NEIGHBOR_ANSWERS, RIG_NOW_US);
        for (unsigned i = 0; i < 900; i++) {
                char text[32];

                snprintf(text, sizeof(text), "198.18.%u.%u", 1 + i / 200, 1 + i % 200);
                assert_int_equal(send_to(&rig, text, RIG_NOW_US + i), IP_SENT);
        }
        assert_int_equal(rig.counters[COUNTER_neighbors_used], 64);
        for (unsigned i = 0; i < 900; i++) {
                char text[32];

                snprintf(text, sizeof(text), "198.18.%u.%u", 1 + i / 200, 1 + i % 200);
                kept += entry_of(&rig, text) != NULL;
        }
        assert_int_equal(kept, 62); /* and the two gateways */
        assert_int_equal(rig.counters[COUNTER_neighbor_evicted], 900 - kept);
        assert_int_equal(rig.counters[COUNTER_ip_drop_unresolved], 900 - kept);
        assert_int_equal(entry_of(&rig, "198.18.0.1")->state, NEIGHBOR_REACHABLE);
        assert_non_null(entry_of(&rig, "198.18.5.100")); /* the newest */
        rig_drain(&rig, 0);
        rig_done(&rig);
}

/* Neighbours that answer and are in use outlast a storm of new ones, and where they fill a set nobody new gets in. */
static void test_storm(void **state)
{
        struct rig rig;

        rig_init(&rig, 64);
        for (unsigned i = 1; i <= 40; i++) {
                char text[32];

                snprintf(text, sizeof(text), "198.18.9.%u", i);
                assert_int_equal(send_to(&rig, text, RIG_NOW_US), IP_SENT);
                learn(&rig, text, (uint8_t)i, NEIGHBOR_ANSWERS, RIG_NOW_US);
        }
        assert_int_equal(rig.counters[COUNTER_neighbors_used], 42); /* and the two gateways */
        for (unsigned i = 0; i < 900; i++) {
                char text[32];

                snprintf(text, sizeof(text), "198.18.%u.%u", 1 + i / 200, 1 + i % 200);
                (void)send_to(&rig, text, RIG_NOW_US + NEIGHBOR_KEEP_US - 1);
        }
        for (unsigned i = 1; i <= 40; i++) {
                char text[32];

                snprintf(text, sizeof(text), "198.18.9.%u", i);
                if (!entry_of(&rig, text) || entry_of(&rig, text)->state != NEIGHBOR_REACHABLE)
                        fail_msg("%s has gone", text);
        }
        for (unsigned i = 0; i < 900; i++) { /* out of use: now they make room */
                char text[32];

                snprintf(text, sizeof(text), "198.18.%u.%u", 11 + i / 200, 1 + i % 200);
                (void)send_to(&rig, text, RIG_NOW_US + NEIGHBOR_KEEP_US + IP_SECOND_US + i * NEIGHBOR_ASK_INTERVAL_US);
        }
        assert_true(rig.counters[COUNTER_neighbor_evicted] > 0);
        assert_non_null(entry_of(&rig, "198.18.0.1"));
        rig_drain(&rig, 0);
        rig_done(&rig);
}

/* Questions are metered, but not the gateways'. */
static void test_question_rate(void **state)
{
        unsigned sent = 0;
        struct rig rig;

        rig_init(&rig, 8192);
        for (unsigned i = 0; i < 3000; i++) {
                char text[32];

                snprintf(text, sizeof(text), "198.18.%u.%u", 1 + i / 200, 1 + i % 200);
                sent += send_to(&rig, text, RIG_NOW_US) == IP_SENT;
        }
        assert_int_equal(sent, NEIGHBOR_ASK_BURST);
        rig_drain(&rig, 0);
        ip_tick(rig.ip, RIG_NOW_US);
        assert_int_equal(rig_drain(&rig, 0), 2);
        rig_done(&rig);
}

/* The packets of all neighbours together are bounded too. */
static void test_waiting_is_bounded(void **state)
{
        unsigned sent = 0;
        struct rig rig;

        rig_init(&rig, 8192);
        for (unsigned i = 0; i < 900; i++) {
                char text[32];

                snprintf(text, sizeof(text), "198.18.%u.%u", 1 + i / 200, 1 + i % 200);
                for (unsigned j = 0; j < NEIGHBOR_WAITING_MAX; j++)
                        sent += send_to(&rig, text, RIG_NOW_US) == IP_SENT;
        }
        assert_int_equal(sent, NEIGHBORS_WAITING_MAX);
        assert_int_equal(rig.ip->neighbors.n_waiting, NEIGHBORS_WAITING_MAX);
        rig_drain(&rig, 0);
        rig_done(&rig);
}

/* A gateway is asked for before anybody needs it, kept fresh, and never given up. */
static void test_gateway(void **state)
{
        uint64_t now_us = RIG_NOW_US;
        struct rig rig;

        rig_init(&rig, 0);
        for (unsigned i = 0; i < 20; i++) {
                ip_tick(rig.ip, now_us);
                assert_in_range(ip_next_due_us(rig.ip), now_us, now_us + IP_SECOND_US);
                now_us += IP_SECOND_US;
        }
        assert_in_range(rig_drain(&rig, 0), 2 * 15, 2 * 20);
        learn(&rig, "198.18.0.1", 0xfe, NEIGHBOR_ANSWERS, now_us);
        learn(&rig, "2001:2::1", 0xfe, NEIGHBOR_ANSWERS, now_us);
        ip_tick(rig.ip, now_us + NEIGHBOR_REACHABLE_US);
        assert_int_equal(rig_drain(&rig, 0), 0);
        ip_tick(rig.ip, now_us + NEIGHBOR_REACHABLE_US + IP_SECOND_US + 1);
        assert_int_equal(rig_drain(&rig, 0), 2);
        rig_done(&rig);
}

/* Somebody else claims our address: counted and defended, but not every time. */
static void test_conflict(void **state)
{
        static const char *const frames[] = { "arp_conflict", "na_claim" };

        for (unsigned i = 0; i < ARRAY_LEN(frames); i++) {
                struct rig rig;

                rig_init(&rig, 0);
                assert_int_equal(rig_input(&rig, frames[i], RIG_NOW_US), IP_DONE);
                assert_int_equal(rig.counters[COUNTER_ip_address_conflicts], 1);
                assert_in_range(rig_drain(&rig, 0), 1, 10);
                assert_int_equal(rig_input(&rig, frames[i], RIG_NOW_US + IP_SECOND_US), IP_DONE);
                assert_int_equal(rig.counters[COUNTER_ip_address_conflicts], 2);
                assert_int_equal(rig_drain(&rig, 0), 0);
                rig_drain(&rig, 1);
                rig_done(&rig);
        }
}

/* The IPv4-mapped form of an address is not for ND: it neither claims an IPv4 address of ours nor moves a neighbour's. */
static void test_mapped_targets(void **state)
{
        struct rig rig;

        rig_init(&rig, 0);
        rig_know_peers(&rig, RIG_NOW_US);
        rig_input(&rig, "na_claim_mapped", RIG_NOW_US);
        assert_int_equal(rig.counters[COUNTER_ip_address_conflicts], 0);
        rig_input(&rig, "na_move_mapped", RIG_NOW_US);
        assert_int_equal(rig.counters[COUNTER_neighbor_changed], 0);
        assert_memory_equal(entry_of(&rig, "198.18.0.77")->mac, rig_peer_mac, 6);
        rig_expect(&rig, 0, NULL);
        rig_done(&rig);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_questions_are_answered),
                cmocka_unit_test(test_strangers_are_not_learned),
                cmocka_unit_test(test_ask_and_answer),
                cmocka_unit_test(test_learning_copy),
                cmocka_unit_test(test_only_few_wait),
                cmocka_unit_test(test_no_answer),
                cmocka_unit_test(test_refresh),
                cmocka_unit_test(test_forgotten),
                cmocka_unit_test(test_moves),
                cmocka_unit_test(test_unasked_move_is_verified),
                cmocka_unit_test(test_unasked_answer_is_verified),
                cmocka_unit_test(test_eviction),
                cmocka_unit_test(test_storm),
                cmocka_unit_test(test_question_rate),
                cmocka_unit_test(test_waiting_is_bounded),
                cmocka_unit_test(test_gateway),
                cmocka_unit_test(test_conflict),
                cmocka_unit_test(test_mapped_targets),
        };

        return cmocka_run_group_tests(tests, rig_start, NULL);
}
