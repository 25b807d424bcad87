/* SPDX-License-Identifier: Apache-2.0 */
/* YAML from anyone: an image that passes image_check(), or errors with a place; never a crash. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control/policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct policy_zone_book zones = { 0 };
        const struct policy_options options = { .generation = 1, .now_sec = 1795500000, .zones = &zones };
        static struct policy_errors errors;
        char reason[IMAGE_REASON_MAX];
        void *image;
        size_t image_len;
        int r = policy_compile_text("fuzz.yaml", (const char *)data, len, NULL, &options, &errors, &image,
                                    &image_len);

        if (r < 0) {
                BUG_ON(r == -EBADMSG || errors.count == 0);
                for (unsigned i = 0; i < errors.count; i++)
                        BUG_ON(strncmp(errors.text[i], "fuzz.yaml:", 10) != 0);
                return 0;
        }
        BUG_ON(errors.count != 0 || image_check(image, image_len, reason) < 0);
        free(image);
        return 0;
}
