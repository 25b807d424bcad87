/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/shared/counters.h"

const struct counter_info counter_infos[COUNTER_USED] = {
#define COUNTER(name, unit, help) [COUNTER_##name] = { #name, #unit, help },
#include "dataplane/shared/counters.def"
#undef COUNTER
};
