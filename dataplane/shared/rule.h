/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GREYLINE_SHARED_RULE_H
#define GREYLINE_SHARED_RULE_H

enum rule {
#define RULE(name, help) RULE_##name,
#include "dataplane/shared/rules.def"
#undef RULE
        RULE_USED,
};

struct rule_info {
        const char *name;
        const char *help;
};

extern const struct rule_info rule_infos[RULE_USED];

#endif
