/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/shared/grey_table.h"

enum grey_verdict grey_judge(const struct grey_facts *facts, const struct grey_params *params,
                             uint32_t now_sec, uint32_t *ret_wait_sec)
{
        uint32_t waited;

        *ret_wait_sec = MAX(params->block_sec, 1);
        if (facts->kind == GREY_KIND_NONE)
                return GREY_NEW;
        if (grey_is_passed(facts))
                return grey_age(now_sec, facts->last_pass_sec) < params->life_sec ? GREY_KNOWN : GREY_NEW;
        waited = grey_age(now_sec, facts->first_sec);
        if (waited > params->window_sec)
                return GREY_RESTART;
        if (waited >= params->block_sec)
                return GREY_PASS;
        *ret_wait_sec = params->block_sec - waited;
        return GREY_WAIT;
}

bool grey_is_exempt(const struct grey_facts *facts, const struct grey_params *params, uint32_t exempt_after,
                    uint32_t now_sec)
{
        uint32_t span;

        if (exempt_after == 0 || facts->kind != GREY_KIND_EXEMPT || !grey_is_passed(facts))
                return false;
        if (facts->passes < MIN(exempt_after, GREY_PASSES_MAX))
                return false;
        /*
         * One delivery an hour is counted, so this many take so long from the first. The counter itself can
         * only rise; what an operator took back (first is late then) must be earned again.
         */
        span = (MIN(exempt_after, GREY_PASSES_MAX) - 1) * GREY_LAST_PASS_STEP;
        return grey_age(facts->last_pass_sec, facts->first_sec) >= span &&
               grey_age(now_sec, facts->last_pass_sec) < params->life_sec;
}
