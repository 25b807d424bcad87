/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/shared/rule.h"

#include <assert.h>

static_assert(RULE_USED <= 256, "a rule's number has one byte in an explain id");

const struct rule_info rule_infos[RULE_USED] = {
#define RULE(name, help) [RULE_##name] = { #name, help },
#include "dataplane/shared/rules.def"
#undef RULE
};
