/* SPDX-License-Identifier: Apache-2.0 */
/* The greylist as a recipient meets it: scenarios of tries and deliveries by a clock that the test sets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

#include "dataplane/policy/grey.h"
#include "tests/unit/image_rig.h"

#define START    1800000000u
#define MIN_SEC  60u
#define HOUR     3600u
#define DAY      86400u
#define POOL     77u
#define STEPS    24
#define ENTRIES  4096u

/* block 4 min, window 360 min, life 36 days, exempt after 5: the defaults of the design. */
static const char yaml[] = IMAGE_RIG_SITE
    "listeners: [{name: mx, front: [198.18.0.25]}]\n"
    "pools: {main: {servers: [{address: 198.19.0.10}]}}\n"
    "domains: {example.org: {pool: main}, short.org: {pool: main, policy: short},\n"
    "          strict.org: {pool: main, policy: strict}, host.org: {pool: main, policy: host}}\n"
    "policies:\n"
    "  short: {greylist: {block: 10s, window: 60s, life: 1h}}\n"
    "  strict: {greylist: {exempt_after: 0}}\n"
    "  host: {greylist: {v4_prefix: 32, v6_prefix: 128}}\n";

enum what {
        END,
        TRY,     /* a recipient is judged */
        DELIVER, /* and again, and its message accepted */
        NO_DNS,  /* a try whose client has answers missing */
};

struct step {
        enum what what;
        uint32_t at; /* seconds since the start */
        const char *client;
        uint64_t pool;
        const char *sender, *recipient;
        enum msg_grey want;
        uint32_t want_wait; /* when it does not pass */
};

#define A  "192.0.2.1"
#define A2 "192.0.2.200"  /* the same /24 */
#define B  "198.51.100.7"
#define S  "s@sender.test"
#define R  "r@example.org"

static const struct scenario {
        const char *name;
        struct step steps[STEPS];
} scenarios[] = {
        { "block, then the window, then known",
          { { TRY, 0, A, 0, S, R, MSG_GREY_NEW, 240 },
            { TRY, 1, A, 0, S, R, MSG_GREY_WAIT, 239 },
            { TRY, 239, A, 0, S, R, MSG_GREY_WAIT, 1 },
            { TRY, 240, A, 0, S, R, MSG_GREY_PASS, 0 },
            { TRY, 241, A, 0, S, R, MSG_GREY_PASS, 0 }, /* judged alone changes nothing */
            { DELIVER, 250, A, 0, S, R, MSG_GREY_PASS, 0 },
            { TRY, 251, A, 0, S, R, MSG_GREY_KNOWN, 0 } } },
        { "the last second of the window passes, the one behind starts again",
          { { TRY, 0, A, 0, S, R, MSG_GREY_NEW, 240 },
            { TRY, 360 * MIN_SEC, A, 0, S, R, MSG_GREY_PASS, 0 },
            { TRY, 360 * MIN_SEC + 1, A, 0, S, R, MSG_GREY_RESTART, 240 },
            { TRY, 360 * MIN_SEC + 2, A, 0, S, R, MSG_GREY_WAIT, 239 },
            { DELIVER, 364 * MIN_SEC + 1, A, 0, S, R, MSG_GREY_PASS, 0 } } },
        { "a pass lives 36 days from the last delivery, and each delivery renews it",
          { { TRY, 0, A, 0, S, R, MSG_GREY_NEW, 240 },
            { DELIVER, 300, A, 0, S, R, MSG_GREY_PASS, 0 },
            { TRY, 300 + 36 * DAY - 1, A, 0, S, R, MSG_GREY_KNOWN, 0 },
            { DELIVER, 300 + 35 * DAY, A, 0, S, R, MSG_GREY_KNOWN, 0 },
            { TRY, 300 + 71 * DAY - 1, A, 0, S, R, MSG_GREY_KNOWN, 0 },
            { TRY, 304 + 71 * DAY, A, 0, S, R, MSG_GREY_NEW, 240 },
            { TRY, 305 + 71 * DAY, A, 0, S, R, MSG_GREY_WAIT, 239 },
            { DELIVER, 304 + 71 * DAY + 240, A, 0, S, R, MSG_GREY_PASS, 0 },
            { TRY, 310 + 72 * DAY, A, 0, S, R, MSG_GREY_KNOWN, 0 } } },
        { "who is one sender to one recipient",
          { { TRY, 0, A, 0, S, R, MSG_GREY_NEW, 240 },
            { TRY, 10, A2, 0, S, R, MSG_GREY_WAIT, 230 },
            { TRY, 20, A, 0, "s@SENDER.test", "r+tag@Example.ORG", MSG_GREY_WAIT, 220 },
            { TRY, 30, A, 0, "prvs=0123456789=s@sender.test", R, MSG_GREY_WAIT, 210 },
            { TRY, 40, B, 0, S, R, MSG_GREY_NEW, 240 },
            { TRY, 50, A, 0, "other@sender.test", R, MSG_GREY_NEW, 240 },
            { TRY, 60, A, 0, S, "other@example.org", MSG_GREY_NEW, 240 },
            { TRY, 70, A, 0, "", R, MSG_GREY_NEW, 240 },
            { TRY, 80, A, 0, "", R, MSG_GREY_WAIT, 230 } } },
        { "IPv6: a /64 is one network",
          { { TRY, 0, "2001:db8:1:2::1", 0, S, R, MSG_GREY_NEW, 240 },
            { TRY, 10, "2001:db8:1:2:ffff::9", 0, S, R, MSG_GREY_WAIT, 230 },
            { TRY, 20, "2001:db8:1:3::1", 0, S, R, MSG_GREY_NEW, 240 } } },
        { "prefixes are the policy's",
          { { TRY, 0, A, 0, S, "r@host.org", MSG_GREY_NEW, 240 },
            { TRY, 1, A2, 0, S, "r@host.org", MSG_GREY_NEW, 240 },
            { TRY, 2, A, 0, S, "r@host.org", MSG_GREY_WAIT, 238 } } },
        { "times are the policy's",
          { { TRY, 0, A, 0, S, "r@short.org", MSG_GREY_NEW, 10 },
            { TRY, 3, A, 0, S, "r@short.org", MSG_GREY_WAIT, 7 },
            { TRY, 61, A, 0, S, "r@short.org", MSG_GREY_RESTART, 10 },
            { DELIVER, 71, A, 0, S, "r@short.org", MSG_GREY_PASS, 0 },
            { TRY, 70 + HOUR, A, 0, S, "r@short.org", MSG_GREY_KNOWN, 0 },
            { TRY, 76 + HOUR, A, 0, S, "r@short.org", MSG_GREY_NEW, 10 } } },
        { "a pool of senders: any of its hosts may retry",
          { { TRY, 0, A, POOL, S, R, MSG_GREY_NEW, 240 },
            { TRY, 100, B, POOL, S, R, MSG_GREY_WAIT, 140 },
            { DELIVER, 240, B, POOL, S, R, MSG_GREY_PASS, 0 },
            { TRY, 241, A, POOL, S, R, MSG_GREY_KNOWN, 0 },
            { TRY, 242, B, 0, S, R, MSG_GREY_KNOWN, 0 }, /* written for the network, so without proof too */
            { TRY, 243, "203.0.113.1", POOL, S, R, MSG_GREY_KNOWN, 0 },
            { TRY, 244, "203.0.113.1", POOL + 1, S, R, MSG_GREY_NEW, 240 } } },
        { "a proof that comes late: the pool's wait begins with it",
          { { TRY, 0, A, 0, S, R, MSG_GREY_NEW, 240 },
            { TRY, 100, A, POOL, S, R, MSG_GREY_WAIT, 140 },
            { TRY, 200, B, POOL, S, R, MSG_GREY_WAIT, 140 },
            { TRY, 240, A, 0, S, R, MSG_GREY_PASS, 0 },
            { TRY, 339, B, POOL, S, R, MSG_GREY_WAIT, 1 },
            { TRY, 340, B, POOL, S, R, MSG_GREY_PASS, 0 } } },
        { "a missing proof never undoes a pass",
          { { TRY, 0, A, POOL, S, R, MSG_GREY_NEW, 240 },
            { DELIVER, 300, A, POOL, S, R, MSG_GREY_PASS, 0 },
            { TRY, 400, A, 0, S, R, MSG_GREY_KNOWN, 0 },
            { TRY, 500, B, 0, S, R, MSG_GREY_NEW, 240 } } },
        { "exempt after five deliveries, at most one counted an hour",
          { { TRY, 0, A, 0, S, R, MSG_GREY_NEW, 240 },
            { DELIVER, 300, A, 0, S, R, MSG_GREY_PASS, 0 },
            { DELIVER, 400, A, 0, S, R, MSG_GREY_KNOWN, 0 }, /* within the hour: these do not count */
            { DELIVER, 500, A, 0, S, R, MSG_GREY_KNOWN, 0 },
            { DELIVER, 600, A, 0, S, R, MSG_GREY_KNOWN, 0 },
            { DELIVER, 700, A, 0, S, R, MSG_GREY_KNOWN, 0 },
            { TRY, 800, A, 0, S, "n1@example.org", MSG_GREY_NEW, 240 },
            { DELIVER, 300 + HOUR + 4, A, 0, S, R, MSG_GREY_KNOWN, 0 },
            { DELIVER, 300 + 2 * HOUR + 8, A, 0, S, R, MSG_GREY_KNOWN, 0 },
            { DELIVER, 300 + 3 * HOUR + 12, A, 0, S, R, MSG_GREY_KNOWN, 0 },
            { TRY, 300 + 3 * HOUR + 20, A, 0, S, "n2@example.org", MSG_GREY_NEW, 240 },
            { DELIVER, 300 + 4 * HOUR + 16, A, 0, S, R, MSG_GREY_KNOWN, 0 },
            { TRY, 300 + 4 * HOUR + 20, A2, 0, "x@y.test", "n3@example.org", MSG_GREY_EXEMPT, 0 },
            { TRY, 300 + 4 * HOUR + 21, B, 0, "x@y.test", "n3@example.org", MSG_GREY_NEW, 240 },
            { NO_DNS, 300 + 4 * HOUR + 22, A, 0, S, "n4@example.org", MSG_GREY_NEW, 240 },
            { NO_DNS, 300 + 4 * HOUR + 23, A, 0, S, R, MSG_GREY_KNOWN, 0 }, /* a live pass goes through */
            { TRY, 300 + 4 * HOUR + 24, A, 0, S, "r@strict.org", MSG_GREY_NEW, 240 },
            /* Nothing counted for as long as a record lives: greylisted again. */
            { TRY, 330 + 4 * HOUR + 36 * DAY, A, 0, S, "n5@example.org", MSG_GREY_NEW, 240 } } },
        { "a clock that goes back: ages below zero are zero",
          { { TRY, 1000, A, 0, S, R, MSG_GREY_NEW, 240 },
            { TRY, 500, A, 0, S, R, MSG_GREY_WAIT, 240 },
            { DELIVER, 1300, A, 0, S, R, MSG_GREY_PASS, 0 },
            { TRY, 100, A, 0, S, R, MSG_GREY_KNOWN, 0 } } },
};

struct fixture {
        char path[64];
        struct image *image;
        struct grey_table table;
        struct grey_tokens tokens;
};

static void begin(struct fixture *f)
{
        static unsigned number;
        const struct siphash_key key = { { 5, 6 } };

        snprintf(f->path, sizeof(f->path), "/tmp/greyline-grey.%d.%u", getpid(), number++);
        f->image = image_rig_compile(yaml, 1);
        assert_int_equal(grey_table_open(&f->table, f->path, ENTRIES, &key, NULL), 0);
        grey_tokens_init(&f->tokens, grey_table_entries(&f->table), 360 * MIN_SEC, 1, START);
}

static void end(struct fixture *f)
{
        grey_table_close(&f->table);
        unlink(f->path);
        free(f->image);
}

static uint16_t policy_of(const struct image *image, const char *recipient)
{
        const char *domain = strchr(recipient, '@') + 1;
        uint16_t policy = 0, pool;

        assert_true(image_lookup_domain(image, domain, strlen(domain), &policy, &pool));
        return policy;
}

static void ask(struct fixture *f, const struct step *step, struct grey_ask *ret)
{
        struct addr client;

        assert_int_equal(addr_parse(step->client, &client), 0);
        grey_ask_build(ret, &f->table, f->image, policy_of(f->image, step->recipient), &client, step->pool,
                       step->what != NO_DNS, step->sender, strlen(step->sender), step->recipient,
                       strlen(step->recipient));
}

/* As command.c and stream.c do it. */
static void deliver(struct fixture *f, const struct grey_ask *ask, const struct grey_answer *answer, uint32_t now_sec)
{
        const struct grey_due due = {
                .network_key = ask->network_key,
                .pool_key = ask->pool_key,
                .exempt_key = answer->by_exemption ? 0 : ask->exempt_key,
                .policy = ask->policy,
        };

        grey_due_record(&due, &f->table, f->image, now_sec);
}

static void test_scenarios(void **state)
{
        for (unsigned i = 0; i < ARRAY_LEN(scenarios); i++) {
                struct fixture f;

                begin(&f);
                for (const struct step *step = scenarios[i].steps; step->what != END; step++) {
                        uint32_t now_sec = START + step->at;
                        bool want_pass = step->want == MSG_GREY_PASS || step->want == MSG_GREY_KNOWN ||
                                         step->want == MSG_GREY_EXEMPT;
                        struct grey_answer answer;
                        struct grey_ask a;

                        ask(&f, step, &a);
                        answer = grey_ask_judge(&a, &f.table, &f.tokens, f.image, now_sec);
                        if (answer.state != step->want || answer.pass != want_pass ||
                            (!want_pass && answer.wait_sec != step->want_wait) ||
                            answer.by_exemption != (step->want == MSG_GREY_EXEMPT))
                                fail_msg("%s: step at %u: state %d, pass %d, wait %u", scenarios[i].name, step->at,
                                         answer.state, answer.pass, answer.wait_sec);
                        if (step->what == DELIVER)
                                deliver(&f, &a, &answer, now_sec);
                }
                end(&f);
        }
}

static const struct step first = { TRY, 0, A, POOL, S, R, MSG_GREY_NEW, 240 };

static bool is_there(const struct fixture *f, uint64_t key)
{
        struct grey_query query = { .key = key };

        grey_table_lookup(&f->table, &query, 1);
        return query.facts.kind != GREY_KIND_NONE;
}

/* Without a token the client waits as always, and nothing is written; with the next token it begins. */
static void test_no_token(void **state)
{
        struct grey_answer answer;
        struct fixture f;
        struct grey_ask a;

        begin(&f);
        f.tokens.level = 0;
        ask(&f, &first, &a);
        for (unsigned i = 0; i < 3; i++) {
                answer = grey_ask_judge(&a, &f.table, &f.tokens, f.image, START);
                assert_int_equal(answer.state, MSG_GREY_NO_TOKEN);
                assert_false(answer.pass);
                assert_int_equal(answer.wait_sec, 240);
                assert_false(is_there(&f, a.network_key) || is_there(&f, a.pool_key));
        }
        /* A network that passed before may take the bucket's last eighth, another may not. */
        f.tokens.level = f.tokens.burst / 16;
        assert_int_equal(grey_ask_judge(&a, &f.table, &f.tokens, f.image, START).state, MSG_GREY_NO_TOKEN);
        deliver(&f, &(struct grey_ask){ .network_key = 1, .exempt_key = a.exempt_key }, &(struct grey_answer){ 0 }, START);
        assert_int_equal(grey_ask_judge(&a, &f.table, &f.tokens, f.image, START).state, MSG_GREY_NEW);
        assert_true(is_there(&f, a.network_key) && is_there(&f, a.pool_key));
        end(&f);
}

/* A wait that has begun needs no token, nor does starting it again. */
static void test_token_once(void **state)
{
        struct fixture f;
        struct grey_ask a;
        double level;

        begin(&f);
        ask(&f, &first, &a);
        level = f.tokens.level;
        assert_int_equal(grey_ask_judge(&a, &f.table, &f.tokens, f.image, START).state, MSG_GREY_NEW);
        assert_true(f.tokens.level == level - 1);
        f.tokens.level = 0;
        assert_int_equal(grey_ask_judge(&a, &f.table, &f.tokens, f.image, START + 1).state, MSG_GREY_WAIT);
        assert_int_equal(grey_ask_judge(&a, &f.table, &f.tokens, f.image, START + 30000).state, MSG_GREY_RESTART);
        assert_int_equal(grey_ask_judge(&a, &f.table, &f.tokens, f.image, START + 30240).state, MSG_GREY_PASS);
        end(&f);
}

/* A push between RCPT and the final dot: the policy that judged may not be there any more. */
static void test_delivery_under_another_image(void **state)
{
        struct grey_answer answer = { 0 };
        struct fixture f;
        struct grey_ask a;

        begin(&f);
        ask(&f, &first, &a);
        a.policy = (uint16_t)f.image->policies.count;
        deliver(&f, &a, &answer, START);
        a.policy = 0;
        assert_int_equal(grey_ask_judge(&a, &f.table, &f.tokens, f.image, START + 1).state, MSG_GREY_KNOWN);
        end(&f);
}

/* A delivery by exemption passes on its triplet, but does not count for the network again. */
static void test_exempt_delivery(void **state)
{
        struct grey_query query = { 0 };
        struct grey_answer answer = { 0 };
        struct fixture f;
        struct grey_ask a;
        uint32_t now_sec = START;

        begin(&f);
        ask(&f, &first, &a);
        for (unsigned i = 0; i < 5; i++, now_sec += HOUR + 4)
                deliver(&f, &(struct grey_ask){ .network_key = 1 + i, .exempt_key = a.exempt_key }, &answer, now_sec);
        answer = grey_ask_judge(&a, &f.table, &f.tokens, f.image, now_sec);
        assert_int_equal(answer.state, MSG_GREY_EXEMPT);
        now_sec += DAY;
        deliver(&f, &a, &answer, now_sec);
        query.key = a.exempt_key;
        grey_table_lookup(&f.table, &query, 1);
        assert_int_equal(query.facts.passes, 5);
        assert_true(query.facts.last_pass_sec < now_sec - HOUR);
        a.may_exempt = false;
        assert_int_equal(grey_ask_judge(&a, &f.table, &f.tokens, f.image, now_sec).state, MSG_GREY_KNOWN);
        end(&f);
}

/* Both buckets full of passed triplets: the mail passes, and nobody's pass is lost. */
static void test_full(void **state)
{
        struct grey_params params = { .block_sec = 240, .window_sec = 21600, .life_sec = 36 * DAY };
        struct grey_answer answer;
        struct fixture f;
        struct grey_ask a;
        uint64_t key = 1;

        begin(&f);
        ask(&f, &first, &a);
        for (uint64_t filled = 0; filled < f.table.buckets * GREY_BUCKET_ENTRIES * 16; filled++) {
                key = key * 6364136223846793005ull + 1442695040888963407ull;
                grey_table_record(&f.table, key | 1, GREY_KIND_NETWORK, GREY_EVENT_FORCE_PASS, &params, START);
        }
        assert_int_equal(grey_table_fill(&f.table), 1000);
        answer = grey_ask_judge(&a, &f.table, &f.tokens, f.image, START);
        assert_int_equal(answer.state, MSG_GREY_FULL);
        assert_true(answer.pass);
        assert_false(answer.by_exemption);
        end(&f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_scenarios),
                cmocka_unit_test(test_no_token),
                cmocka_unit_test(test_token_once),
                cmocka_unit_test(test_delivery_under_another_image),
                cmocka_unit_test(test_exempt_delivery),
                cmocka_unit_test(test_full),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
