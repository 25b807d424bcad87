/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions at their edges: a backend connection used again for what it was not opened for, replies that cannot be
 * said or are not taken, a client that goes between two steps, listeners exchanged by a push.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "dataplane/session/internal.h"
#include "tests/unit/session_rig.h"

#define POLICY                                                                                               \
        IMAGE_RIG_SITE "listeners: [{name: mx, front: [198.18.0.25], greet_delay: 0s}]\n"                   \
        "pools: {main: {identity: xclient, servers: [{address: 198.19.0.10}]}}\n"                            \
        "domains: {example.org: {pool: main}, open.org: {pool: main, policy: open}}\n"                       \
        "policies:\n"                                                                                        \
        "  default: {greylist: {block: 4m}}\n"                                                               \
        "  open: {greylist: {enabled: false}}\n"

static struct rig_client *greeted(struct rig *rig)
{
        struct rig_client *c;

        rig_know(rig, "198.18.1.1", 0, CLIENT_PTR_CONFIRMED);
        c = rig_connect(rig, "198.18.1.1");
        rig_expect(rig, c, "220 ");
        rig_say(rig, c, "EHLO c.test\r\n");
        rig_expect(rig, c, "250 ENHANCEDSTATUSCODES");
        return c;
}

/* Up to the recipient's reply. */
static void envelope(struct rig *rig, struct rig_client *c, const char *parameters)
{
        char line[128];

        snprintf(line, sizeof(line), "MAIL FROM:<a@s.test>%s\r\nRCPT TO:<u@open.org>\r\n", parameters);
        rig_say(rig, c, line);
        rig_expect(rig, c, "250 2.1.0");
        rig_expect(rig, c, "250 2.1.5");
}

static void message(struct rig *rig, struct rig_client *c, const char *parameters)
{
        envelope(rig, c, parameters);
        rig_say(rig, c, "DATA\r\n");
        rig_expect(rig, c, "354 ");
        rig_say(rig, c, "x\r\n.\r\n");
        rig_expect(rig, c, "250 2.0.0 kept");
}

/* The only session, and its backend connection. */
static struct session *session_of_rig(struct rig *rig)
{
        assert_int_equal(sessions_open(rig->sessions), 1);
        for (uint32_t i = 0; i < rig->sessions->opens.fresh; i++) {
                if (rig->sessions->session[i].phase != PHASE_FREE)
                        return &rig->sessions->session[i];
        }
        fail_msg("no session");
        return NULL;
}

/* Nothing is left to keep a name, a sender or a recipient in: 451, the state stays, and later it works. */
static void test_no_room(void **state)
{
        static const struct {
                bool takes_texts; /* else decisions */
                const char *say;
                const char *want; /* once there is room */
                enum counter want_counter;
        } cases[] = {
                { true, "EHLO other.test\r\n", "250 ENHANCEDSTATUSCODES",
                  COUNTER_texts_refused },
                { true, "MAIL FROM:<a@s.test>\r\n", "250 2.1.0",
                  COUNTER_texts_refused },
                { false, "RCPT TO:<u@open.org>\r\n", "250 2.1.5",
                  COUNTER_decisions_refused },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                static uint32_t block[65536 / 32 + 1];
                struct rig *rig = rig_new(POLICY);
                struct rig_client *c = greeted(rig);
                uint32_t texts = session_of_rig(rig)->texts;
                unsigned n = 0;

                if (!cases[i].takes_texts) {
                        rig_say(rig, c, "MAIL FROM:<a@s.test>\r\n");
                        rig_expect(rig, c, "250 2.1.0");
                }
                if (cases[i].takes_texts)
                        while ((block[n] = slab_take(rig->sessions->kept, 1)) != SLAB_NONE)
                                n++;
                else
                        while ((block[n] = indices_take(&rig->sessions->decisions)) != INDEX_NONE)
                                n++;
                rig_say(rig, c, cases[i].say);
                rig_expect(rig, c, "451 4.3.2 ");
                assert_int_equal(rig->counters[0][cases[i].want_counter], 1);
                if (i == 0) {
                        /* What was kept before still is. */
                        assert_int_equal(session_of_rig(rig)->texts, texts);
                        assert_string_equal(texts_helo(texts_of(rig->sessions, session_of_rig(rig))), "c.test");
                }
                while (n-- > 0) {
                        if (cases[i].takes_texts)
                                slab_give(rig->sessions->kept, block[n]);
                        else
                                indices_give(&rig->sessions->decisions, block[n]);
                }
                rig_say(rig, c, cases[i].say);
                rig_expect(rig, c, cases[i].want);
                rig_say(rig, c, "QUIT\r\n");
                rig_expect(rig, c, "221 ");
                assert_int_equal(sessions_open(rig->sessions), 0);
                assert_int_equal(slab_used_bytes(rig->sessions->kept), 0);
                assert_int_equal(indices_used(&rig->sessions->decisions), 0);
                rig_free(rig);
        }
}

/* The server was chosen for a message without BODY. One that has it goes elsewhere, and is not refused for good. */
static void test_keyword_of_second_message(void **state)
{
        static const struct {
                const char *parameters;
                uint32_t lacks;
                unsigned want_connections;
        } cases[] = {
                { "", SMTP_EXT_8BITMIME | SMTP_EXT_SIZE, 1 },
                { " BODY=8BITMIME", SMTP_EXT_SIZE, 1 },
                { " BODY=8BITMIME", SMTP_EXT_8BITMIME, 2 },
                { " BODY=7BIT", SMTP_EXT_8BITMIME, 2 },
                { " SIZE=1", SMTP_EXT_SIZE, 2 },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct rig *rig = rig_new(POLICY);
                struct rig_client *c = greeted(rig);

                message(rig, c, "");
                rig->sessions->leg[session_of_rig(rig)->leg].dialogue.ext &= ~cases[i].lacks;
                message(rig, c, cases[i].parameters);
                assert_int_equal(rig->backends_used, cases[i].want_connections);
                assert_int_equal(rig->kept, 2);
                rig_quiet(rig);
                rig_free(rig);
        }
}

/* The backend hears the name that the client gives, also the second one. */
static void test_second_ehlo(void **state)
{
        struct rig *rig = rig_new(POLICY);
        struct rig_client *c = greeted(rig);

        message(rig, c, "");
        assert_non_null(strstr(rig->kept_log, "HELO=c.test\n"));
        rig_say(rig, c, "EHLO other.test\r\n");
        rig_expect(rig, c, "250 ENHANCEDSTATUSCODES");
        message(rig, c, "");
        assert_non_null(strstr(rig->kept_log, "HELO=other.test\n"));
        rig_quiet(rig);
        rig_free(rig);
}

/* The client goes while DATA waits for its 354: what is said now would be the message's. */
static void test_gone_before_354(void **state)
{
        struct rig *rig = rig_new(POLICY);
        struct rig_client *c = greeted(rig);
        struct tcp_info info;

        envelope(rig, c, "");
        rig->fault_stage = RIG_STAGE_DATA;
        rig->fault = RIG_FAULT_HANG;
        rig_say(rig, c, "DATA\r\n");
        assert_int_equal(session_of_rig(rig)->phase, PHASE_BACKEND);
        tcp_abort(rig->client_tcp, c->conn);
        rig_pump(rig);
        assert_int_equal(sessions_open(rig->sessions), 0);
        /* Reset, and nothing behind DATA. */
        if (tcp_info(rig->backend_tcp, rig->backend[0].conn, &info)) {
                assert_int_equal(info.state, TCP_ST_CLOSED);
                assert_int_equal(info.recv_bytes, 0);
        }
        rig_quiet(rig);
        rig_free(rig);
}

/* A client that pipelines and takes no replies gets a bounded number; all of them, in order, when it goes on. */
static void test_unread_replies(void **state)
{
        enum { RECIPIENTS = 300 };
        struct rig *rig = rig_new(POLICY);
        struct rig_client *c = greeted(rig);
        static const char rcpt[] = "RCPT TO:<u@example.org>\r\n";
        char *text = calloc(RECIPIENTS, sizeof(rcpt));
        struct tcp_info info;
        unsigned greylisted = 0, limited = 0;
        const char *reply;

        rig_say(rig, c, "MAIL FROM:<a@s.test>\r\n");
        rig_expect(rig, c, "250 2.1.0");
        for (unsigned i = 0; i < RECIPIENTS; i++)
                strcat(text, rcpt);
        assert_true(tcp_send_copy(rig->client_tcp, c->conn, text, (uint32_t)strlen(text)));
        rig_deliver(rig, rig->client_tcp);
        rig_turn(rig);
        assert_true(tcp_info(rig->ours, session_of_rig(rig)->client, &info));
        assert_in_range(info.unsent_bytes + info.unacked_bytes, REPLIES_MAX, REPLIES_MAX + REPLY_ROOM);
        rig_pump(rig);
        while ((reply = rig_reply(c)) != NULL) {
                if (strncmp(reply, "451 4.7.1", 9) == 0 && limited == 0)
                        greylisted++;
                else if (strncmp(reply, "452 4.5.3", 9) == 0)
                        limited++;
                else
                        fail_msg("%s", reply);
        }
        assert_int_equal(greylisted, 200);
        assert_int_equal(limited, RECIPIENTS - 200);
        free(text);
        rig_quiet(rig);
        rig_free(rig);
}

/*
 * What the backend sends comes to us, but is not looked at yet. Returns its packet with a reference of the test's,
 * so that reading it does not give it back to the pool.
 */
static struct packet *backend_turn(struct rig *rig)
{
        struct tcp_event event;
        struct packet *sent, *held;

        rig_deliver(rig, rig->client_tcp);
        rig_turn(rig);
        rig_deliver(rig, rig->ours);
        while (tcp_next_event(rig->backend_tcp, &event))
                rig_backend_event(rig, &event);
        assert_int_equal(tcp_output(rig->backend_tcp, &sent, 1, rig->now_us), 1);
        held = (struct packet *)rte_pktmbuf_copy(&sent->mbuf, rig_pool, 0, UINT32_MAX);
        assert_non_null(held);
        *packet_meta(held) = *packet_meta(sent);
        packet_free(sent);
        rte_mbuf_refcnt_update(&held->mbuf, 1);
        sent = held;
        tcp_input(rig->ours, &sent, 1, rig->now_us);
        return held;
}

/* A turn in which there is no packet left, and none comes back. */
static void starved_turn(struct rig *rig)
{
        static struct rte_mbuf *all[16384];
        unsigned n = 0;

        while (n < ARRAY_LEN(all) && (all[n] = rte_pktmbuf_alloc(rig_pool)) != NULL)
                n++;
        rig_turn(rig);
        while (n > 0)
                rte_pktmbuf_free(all[--n]);
}

static void test_no_packet_for_354(void **state)
{
        struct rig *rig = rig_new(POLICY);
        struct rig_client *c = greeted(rig);
        struct packet *held;

        envelope(rig, c, "");
        assert_true(tcp_send_copy(rig->client_tcp, c->conn, "DATA\r\n", 6));
        held = backend_turn(rig);
        starved_turn(rig);
        packet_free(held);
        assert_int_equal(rig->counters[0][COUNTER_replies_lost], 1);
        assert_int_equal(sessions_open(rig->sessions), 0); /* it would wait for a message that never comes */
        rig_quiet(rig);
        assert_int_equal(rig->kept, 0);
        rig_free(rig);
}

/* The backend has the message and the client is not told: counted, however it came to that. */
static void test_ambiguous(void **state)
{
        enum { SEEN, NO_PACKET, LEFT_BEFORE, LEFT_AFTER, HALF_CLOSED } way;

        for (way = SEEN; way <= HALF_CLOSED; way++) {
                struct rig *rig = rig_new(POLICY);
                struct rig_client *c = greeted(rig);
                struct packet *held;

                envelope(rig, c, "");
                rig_say(rig, c, "DATA\r\n");
                rig_expect(rig, c, "354 ");
                assert_true(tcp_send_copy(rig->client_tcp, c->conn, "x\r\n.\r\n", 6));
                held = backend_turn(rig);
                assert_int_equal(session_of_rig(rig)->phase, PHASE_END);
                assert_int_equal(rig->kept, 1);
                if (way == LEFT_BEFORE) {
                        tcp_abort(rig->client_tcp, c->conn);
                        rig_deliver(rig, rig->client_tcp);
                }
                if (way == HALF_CLOSED) { /* it says no QUIT: nobody waits for what becomes of the 250 */
                        tcp_shutdown(rig->client_tcp, c->conn);
                        rig_deliver(rig, rig->client_tcp);
                }
                if (way == NO_PACKET)
                        starved_turn(rig);
                else
                        rig_turn(rig);
                packet_free(held);
                if (way == LEFT_AFTER) { /* the 250 is on its way */
                        tcp_abort(rig->client_tcp, c->conn);
                        rig_deliver(rig, rig->client_tcp);
                        rig_turn(rig);
                }
                rig_pump(rig);
                assert_int_equal(rig->counters[0][COUNTER_messages_ambiguous], way == SEEN ? 0 : 1);
                if (way == SEEN) {
                        rig_expect(rig, c, "250 2.0.0 kept");
                        rig_pass(rig, 1000000); /* its delayed acknowledgement */
                        tcp_abort(rig->client_tcp, c->conn);
                        rig_pump(rig);
                        assert_int_equal(rig->counters[0][COUNTER_messages_ambiguous], 0);
                }
                assert_int_equal(rig->counters[0][COUNTER_messages_accepted], 1);
                rig_quiet(rig);
                rig_free(rig);
        }
}

/* More addresses before and after than the endpoint takes together. */
static void test_listeners_exchanged(void **state)
{
        enum { FRONTS = 40 };
        static const char rest[] = "pools: {main: {servers: [{address: 198.19.0.10}]}}\n"
                                   "domains: {example.org: {pool: main}}\n";
        char yaml[2][8192];
        struct rig *rig;

        for (unsigned i = 0; i < 2; i++) {
                size_t used;

                used = (size_t)snprintf(yaml[i], sizeof(yaml[i]), "%s",
                                        "node: {hostname: mx.greyline.test}\ndns: {resolvers: [127.0.0.1]}\n"
                                        "ports: [{name: back, device: y, addresses: [198.19.0.25/16]},\n"
                                        "        {name: front, device: x, addresses: [198.18.0.25/16");
                for (unsigned f = 0; f < FRONTS; f++)
                        used += (size_t)snprintf(yaml[i] + used, sizeof(yaml[i]) - used, ", 198.18.%u.%u/16", i + 1, f + 1);
                used += (size_t)snprintf(yaml[i] + used, sizeof(yaml[i]) - used,
                                         "]}]\nlisteners: [{name: mx, front: [198.18.0.25");
                for (unsigned f = 0; f < FRONTS; f++)
                        used += (size_t)snprintf(yaml[i] + used, sizeof(yaml[i]) - used, ", 198.18.%u.%u", i + 1, f + 1);
                snprintf(yaml[i] + used, sizeof(yaml[i]) - used, "], greet_delay: 0s}]\n%s", rest);
        }
        rig = rig_new(yaml[0]);
        rig_pump(rig);
        rig_policy(rig, yaml[1], 2);
        rig_pump(rig);
        assert_int_equal(rig->counters[0][COUNTER_listen_failed], 0);
        assert_int_equal(rig->sessions->n_listening, FRONTS + 1);
        rig_expect(rig, rig_connect(rig, "198.18.1.1"), "220 ");
        rig_quiet(rig);
        rig_free(rig);
}

/* Nobody listens at any of a pool's servers, which are more than a leg remembers: the client gets its answer. */
static void test_large_pool(void **state)
{
        char yaml[8192];
        size_t used;
        struct rig *rig;
        struct rig_client *c;

        used = (size_t)snprintf(yaml, sizeof(yaml), "%s",
                                IMAGE_RIG_SITE "listeners: [{name: mx, front: [198.18.0.25], greet_delay: 0s}]\n"
                                               "domains: {open.org: {pool: main}}\n"
                                               "policies: {default: {greylist: {enabled: false}}}\n"
                                               "pools: {main: {fall: 20, servers: [{address: 198.19.1.1}");
        for (unsigned i = 2; i <= 80; i++)
                used += (size_t)snprintf(yaml + used, sizeof(yaml) - used, ", {address: 198.19.1.%u}", i);
        snprintf(yaml + used, sizeof(yaml) - used, "]}}\n");
        rig = rig_new(yaml);
        c = greeted(rig);
        rig_say(rig, c, "MAIL FROM:<a@s.test>\r\nRCPT TO:<u@open.org>\r\n");
        rig_expect(rig, c, "250 2.1.0");
        rig_expect(rig, c, "451 ");
        assert_int_equal(rig->counters[0][COUNTER_backend_connects], 64);
        rig_quiet(rig);
        rig_free(rig);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_no_room),
                cmocka_unit_test(test_keyword_of_second_message),
                cmocka_unit_test(test_second_ehlo),
                cmocka_unit_test(test_gone_before_354),
                cmocka_unit_test(test_unread_replies),
                cmocka_unit_test(test_no_packet_for_354),
                cmocka_unit_test(test_ambiguous),
                cmocka_unit_test(test_listeners_exchanged),
                cmocka_unit_test(test_large_pool),
        };

        if (rig_eal() < 0)
                return 1;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
