/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/policy/client.h"

static uint32_t zones_asked(const struct image *image, const struct image_policy *policy, bool is_v4)
{
        uint32_t asked = 0;

        for (uint32_t i = 0; i < image->zones.count; i++) {
                const struct image_zone *zone = image_zone(image, i);

                if (is_v4 ? zone->ipv4 : zone->ipv6)
                        asked |= 1u << zone->number;
        }
        return asked & policy->zones_used;
}

static bool ptr_matters(const struct image_policy *policy)
{
        return policy->ptr_missing.action != IMAGE_ACTION_IGNORE ||
               policy->ptr_unconfirmed.action != IMAGE_ACTION_IGNORE;
}

static bool ptr_is_known(const struct client_answers *answers)
{
        return answers->ptr != CLIENT_PTR_UNKNOWN;
}

bool client_is_complete(const struct image *image, const struct image_policy *policy,
                        const struct client_facts *facts)
{
        uint32_t asked = zones_asked(image, policy, facts->is_v4);

        return (asked & ~facts->answers->zones_known) == 0 &&
               (ptr_is_known(facts->answers) || !ptr_matters(policy));
}

/* Take a failed check into account: an action that refuses alone wins if none did before. */
static void apply_rule(struct client_verdict *verdict, const struct image_rule *check, enum rule rule)
{
        enum client_action action = CLIENT_PASS;

        if (check->action == IMAGE_ACTION_SCORE)
                verdict->score += check->points;
        else if (check->action == IMAGE_ACTION_DEFER)
                action = CLIENT_DEFER;
        else if (check->action == IMAGE_ACTION_REJECT)
                action = CLIENT_REJECT;
        else if (check->action == IMAGE_ACTION_DROP)
                action = CLIENT_DROP;
        /* The stricter action wins; between equals the one found first. */
        if (action > verdict->action) {
                verdict->action = action;
                verdict->rule = rule;
        }
}

static void apply_zones(struct client_verdict *verdict, const struct image_policy *policy)
{
        uint32_t blocking = verdict->zones_listed & policy->zones_blocking;

        for (uint32_t left = verdict->zones_listed; left != 0; left &= left - 1)
                verdict->score += policy->zone_points[__builtin_ctz(left)];
        if (blocking != 0) {
                verdict->action = CLIENT_REJECT;
                verdict->rule = RULE_dnsbl;
                verdict->zone = __builtin_ctz(blocking);
        }
}

static void apply_ptr(struct client_verdict *verdict, const struct image_policy *policy,
                      const struct client_answers *answers)
{
        if (answers->ptr == CLIENT_PTR_NONE)
                apply_rule(verdict, &policy->ptr_missing, RULE_ptr_missing);
        else if (answers->ptr == CLIENT_PTR_UNCONFIRMED)
                apply_rule(verdict, &policy->ptr_unconfirmed, RULE_ptr_unconfirmed);
}

static void apply_behaviour(struct client_verdict *verdict, const struct image_policy *policy, uint32_t failed)
{
        const struct {
                uint32_t bit;
                const struct image_rule *check;
                enum rule rule;
        } checks[] = {
                { CLIENT_FAILED_PREGREET, &policy->pregreet, RULE_pregreet },
                { CLIENT_FAILED_HELO_SYNTAX, &policy->helo_syntax, RULE_helo },
                { CLIENT_FAILED_HELO_OURS, &policy->helo_ours, RULE_helo },
                { CLIENT_FAILED_HELO_IP, &policy->helo_bare_ip, RULE_helo },
                { CLIENT_FAILED_NON_SMTP, &policy->non_smtp, RULE_syntax },
                { CLIENT_FAILED_PIPELINING, &policy->pipelining, RULE_sequence },
        };

        for (unsigned i = 0; i < ARRAY_LEN(checks); i++) {
                if (failed & checks[i].bit)
                        apply_rule(verdict, checks[i].check, checks[i].rule);
        }
}

static void apply_score(struct client_verdict *verdict, const struct image_policy *policy)
{
        static const enum rule rules[IMAGE_LEVEL_USED] = {
                [IMAGE_LEVEL_LOW] = RULE_score_low,
                [IMAGE_LEVEL_MEDIUM] = RULE_score_medium,
                [IMAGE_LEVEL_HIGH] = RULE_score_high,
        };

        for (int level = IMAGE_LEVEL_USED - 1; level >= 0; level--) {
                const struct image_score *score = &policy->score[level];

                if (verdict->score < score->threshold)
                        continue;
                if (score->action == IMAGE_ACTION_HEADER || score->action == IMAGE_ACTION_SUBJECT)
                        verdict->mark_header = true;
                if (score->action == IMAGE_ACTION_DEFER)
                        verdict->action = CLIENT_DEFER;
                if (score->action == IMAGE_ACTION_REJECT)
                        verdict->action = CLIENT_REJECT;
                if (verdict->action != CLIENT_PASS)
                        verdict->rule = rules[level];
                return; /* the highest level reached is the one that acts */
        }
}

static void apply_missing(struct client_verdict *verdict, const struct image_policy *policy)
{
        verdict->may_exempt = false;
        if (policy->on_dns_failure == IMAGE_DNS_FAILURE_DEFER) {
                verdict->action = CLIENT_DEFER;
                verdict->rule = RULE_dns_deadline;
        } else if (policy->on_dns_failure == IMAGE_DNS_FAILURE_PASS) {
                verdict->skip_greylist = true;
        }
}

struct client_verdict client_judge(const struct image *image, const struct image_policy *policy,
                                   const struct client_facts *facts)
{
        const struct client_answers *answers = facts->answers;
        uint32_t asked = zones_asked(image, policy, facts->is_v4);
        struct client_verdict verdict = {
                .action = CLIENT_PASS,
                .rule = RULE_accepted,
                .zone = -1,
                .may_exempt = true,
                .zones_listed = asked & answers->zones_listed,
                .zones_unknown = asked & (~answers->zones_known | answers->zones_error),
        };
        bool complete = client_is_complete(image, policy, facts);

        if (facts->class == IMAGE_CLASS_TRUSTED || facts->class == IMAGE_CLASS_ALLOW) {
                verdict.rule = facts->class == IMAGE_CLASS_TRUSTED ? RULE_trusted : RULE_allow_list;
                verdict.skip_greylist = true;
                return verdict;
        }
        if (facts->class == IMAGE_CLASS_DENY) {
                verdict.action = image->networks.deny_action == IMAGE_ACTION_DROP ? CLIENT_DROP : CLIENT_REJECT;
                verdict.rule = RULE_deny_list;
                return verdict;
        }
        apply_zones(&verdict, policy);
        apply_ptr(&verdict, policy, answers);
        apply_behaviour(&verdict, policy, facts->failed);
        if (verdict.action != CLIENT_PASS)
                return verdict;
        if (!complete && !facts->at_deadline) {
                verdict.action = CLIENT_WAIT;
                return verdict;
        }
        apply_score(&verdict, policy);
        if (verdict.action != CLIENT_PASS)
                return verdict;
        if (!complete || (ptr_matters(policy) && answers->ptr == CLIENT_PTR_ERROR))
                apply_missing(&verdict, policy);
        return verdict;
}
