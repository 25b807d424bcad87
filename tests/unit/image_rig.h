/* SPDX-License-Identifier: Apache-2.0 */
/* For tests that need a policy image: YAML in, a checked image out. Include after cmocka. */
#ifndef GREYLINE_TESTS_IMAGE_RIG_H
#define GREYLINE_TESTS_IMAGE_RIG_H

#include <stdlib.h>
#include <string.h>

#include "control/policy/policy.h"

/* What every policy needs and most tests do not care about; front 198.18.0.25, back 198.19.0.25. */
#define IMAGE_RIG_SITE                                                                                       \
        "node: {hostname: mx.greyline.test}\n"                                                               \
        "ports: [{name: front, device: x, addresses: [198.18.0.25/16]},\n"                                   \
        "        {name: back, device: y, addresses: [198.19.0.25/16]}]\n"                                    \
        "dns: {resolvers: [127.0.0.1]}\n"

/* Compile, or fail the test with the first error. free() the result. */
static inline struct image *image_rig_compile(const char *yaml, uint32_t generation)
{
        static struct policy_errors errors;
        const struct policy_options options = { .generation = generation, .now_sec = 1795500000u };
        void *image = NULL;
        size_t len = 0;

        if (policy_compile_text("test.yaml", yaml, strlen(yaml), NULL, &options, &errors, &image, &len) < 0)
                fail_msg("%s", errors.text[0]);
        return image;
}

#endif
