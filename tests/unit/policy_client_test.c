/* SPDX-License-Identifier: Apache-2.0 */
/* What a policy says about a client: a row per combination of what is known and what the policy wants. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "dataplane/policy/client.h"
#include "tests/unit/image_rig.h"

/* Zone numbers: bl 0, score 1, wl 2. */
static const char yaml[] = IMAGE_RIG_SITE
    "listeners: [{name: mx, front: [198.18.0.25]}]\n"
    "pools: {main: {servers: [{address: 198.19.0.10}]}}\n"
    "domains: {example.org: {pool: main}, defer.org: {pool: main, policy: defer}, pass.org: {pool: main, policy: pass},\n"
    "          soft.org: {pool: main, policy: soft}}\n"
    "networks: {deny: [203.0.113.0/24]}\n"
    "zones:\n"
    "  - {zone: bl.test, smtp_blocking: true, score: 5}\n"
    "  - {zone: score.test, score: 12}\n"
    "  - {zone: wl.test, kind: allow, score: -15}\n"
    "policies:\n"
    "  default:\n"
    "    reverse_dns: {missing: reject, unconfirmed: score, unconfirmed_score: 10}\n"
    "    scores: {low: 10, medium: 20, high: 30}\n"
    "    on_dns_failure: greylist\n"
    "  defer: {on_dns_failure: defer}\n"
    "  pass: {on_dns_failure: pass}\n"
    "  soft: {reverse_dns: {missing: score, unconfirmed: ignore, missing_score: 30}}\n";

enum { ALL = 7 };

static const struct image_policy *policy_named(const struct image *image, const char *name)
{
        for (uint32_t i = 0; i < image->policies.count; i++) {
                if (strcmp(image_string(image, image_policy(image, i)->name), name) == 0)
                        return image_policy(image, i);
        }
        fail_msg("no policy %s", name);
        return NULL;
}

static void test_verdicts(void **state)
{
        static const struct {
                const char *name;
                const char *policy;
                enum image_class class;
                uint32_t known, listed, error;
                enum client_ptr ptr;
                bool at_deadline;
                enum client_action want;
                enum rule want_rule;
                int want_score;
                bool want_exempt, want_skip;
        } cases[] = {
                { "nothing against it", "default", 0, ALL, 0, 0, CLIENT_PTR_CONFIRMED, false, CLIENT_PASS,
                  RULE_accepted, 0, true, false },
                { "a blocking zone refuses alone", "default", 0, ALL, 1, 0, CLIENT_PTR_CONFIRMED, false,
                  CLIENT_REJECT, RULE_dnsbl, 5, true, false },
                { "also before the other answers", "default", 0, 1, 1, 0, CLIENT_PTR_UNKNOWN, false, CLIENT_REJECT,
                  RULE_dnsbl, 5, true, false },
                { "an allow zone does not save it", "default", 0, ALL, 5, 0, CLIENT_PTR_CONFIRMED, false,
                  CLIENT_REJECT, RULE_dnsbl, -10, true, false },
                { "points alone: between low and medium", "default", 0, ALL, 2, 0, CLIENT_PTR_CONFIRMED, false,
                  CLIENT_PASS, RULE_accepted, 12, true, false },
                { "an allow zone takes them away", "default", 0, ALL, 6, 0, CLIENT_PTR_CONFIRMED, false,
                  CLIENT_PASS, RULE_accepted, -3, true, false },
                { "no PTR", "default", 0, ALL, 0, 0, CLIENT_PTR_NONE, false, CLIENT_REJECT, RULE_ptr_missing, 0,
                  true, false },
                { "a PTR that fails for now is no missing PTR", "default", 0, ALL, 0, 0, CLIENT_PTR_ERROR, false,
                  CLIENT_PASS, RULE_accepted, 0, false, false },
                { "and defers where the policy says so", "defer", 0, ALL, 0, 0, CLIENT_PTR_ERROR, false,
                  CLIENT_DEFER, RULE_dns_deadline, 0, false, false },
                { "an unconfirmed PTR adds points", "default", 0, ALL, 0, 0, CLIENT_PTR_UNCONFIRMED, false,
                  CLIENT_PASS, RULE_accepted, 10, true, false },
                { "no PTR as points reaches high", "soft", 0, ALL, 0, 0, CLIENT_PTR_NONE, false, CLIENT_REJECT,
                  RULE_score_high, 30, true, false },
                { "an answer is missing", "default", 0, 3, 0, 0, CLIENT_PTR_CONFIRMED, false, CLIENT_WAIT,
                  RULE_accepted, 0, true, false },
                { "missing at the deadline: never exempt", "default", 0, 3, 0, 0, CLIENT_PTR_CONFIRMED, true,
                  CLIENT_PASS, RULE_accepted, 0, false, false },
                { "missing at the deadline: defer", "defer", 0, 3, 0, 0, CLIENT_PTR_CONFIRMED, true, CLIENT_DEFER,
                  RULE_dns_deadline, 0, false, false },
                { "missing at the deadline: pass", "pass", 0, 3, 0, 0, CLIENT_PTR_CONFIRMED, true, CLIENT_PASS,
                  RULE_accepted, 0, false, true },
                { "a zone in error drops out", "defer", 0, ALL, 0, 2, CLIENT_PTR_CONFIRMED, false, CLIENT_PASS,
                  RULE_accepted, 0, true, false },
                { "trusted: nothing is asked", "default", IMAGE_CLASS_TRUSTED, 0, 1, 0, CLIENT_PTR_NONE, false,
                  CLIENT_PASS, RULE_trusted, 0, true, true },
                { "allowed likewise", "default", IMAGE_CLASS_ALLOW, 0, 1, 0, CLIENT_PTR_NONE, false, CLIENT_PASS,
                  RULE_allow_list, 0, true, true },
                { "denied", "default", IMAGE_CLASS_DENY, ALL, 0, 0, CLIENT_PTR_CONFIRMED, false, CLIENT_REJECT,
                  RULE_deny_list, 0, true, false },
        };
        struct image *image = image_rig_compile(yaml, 1);

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct client_answers answers = {
                        .found = true,
                        .ptr = cases[i].ptr,
                        .zones_known = cases[i].known,
                        .zones_listed = cases[i].listed,
                        .zones_error = cases[i].error,
                };
                struct client_facts facts = {
                        .class = cases[i].class,
                        .is_v4 = true,
                        .at_deadline = cases[i].at_deadline,
                        .answers = &answers,
                };
                struct client_verdict got = client_judge(image, policy_named(image, cases[i].policy), &facts);

                if (got.action != cases[i].want || got.rule != cases[i].want_rule ||
                    got.score != cases[i].want_score || got.may_exempt != cases[i].want_exempt ||
                    got.skip_greylist != cases[i].want_skip)
                        fail_msg("%s: action %d rule %s score %d exempt %d skip %d", cases[i].name, got.action,
                                 rule_infos[got.rule].name, got.score, got.may_exempt, got.skip_greylist);
        }
        free(image);
}

static void test_behaviour(void **state)
{
        static const char behaviour[] = IMAGE_RIG_SITE
            "listeners: [{name: mx, front: [198.18.0.25]}]\n"
            "pools: {main: {servers: [{address: 198.19.0.10}]}}\n"
            "domains: {example.org: {pool: main}}\n"
            "policies:\n"
            "  default:\n"
            "    pregreet: {action: reject}\n"
            "    helo: {syntax: score, ours: reject, bare_ip: defer, syntax_score: 31}\n"
            "    scores: {low: 10, medium: 20, high: 30}\n";
        static const struct {
                uint32_t failed;
                enum client_action want;
                enum rule want_rule;
        } cases[] = {
                { 0, CLIENT_PASS, RULE_accepted },
                { CLIENT_FAILED_PREGREET, CLIENT_REJECT, RULE_pregreet },
                { CLIENT_FAILED_HELO_OURS, CLIENT_REJECT, RULE_helo },
                { CLIENT_FAILED_HELO_IP, CLIENT_DEFER, RULE_helo },
                { CLIENT_FAILED_HELO_SYNTAX, CLIENT_REJECT, RULE_score_high },
                { CLIENT_FAILED_HELO_IP | CLIENT_FAILED_PREGREET, CLIENT_REJECT, RULE_pregreet },
        };
        struct image *image = image_rig_compile(behaviour, 1);

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct client_answers answers = { .ptr = CLIENT_PTR_CONFIRMED };
                struct client_facts facts = { .is_v4 = true, .failed = cases[i].failed, .answers = &answers };
                struct client_verdict got = client_judge(image, image_policy(image, 0), &facts);

                if (got.action != cases[i].want || got.rule != cases[i].want_rule)
                        fail_msg("case %u: action %d rule %s", i, got.action, rule_infos[got.rule].name);
        }
        free(image);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_verdicts),
                cmocka_unit_test(test_behaviour),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
