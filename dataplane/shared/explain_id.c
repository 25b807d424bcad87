/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/shared/explain_id.h"

#include <errno.h>
#include <string.h>

static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

void explain_id_build(const struct explain_id *id, char text[EXPLAIN_ID_LEN])
{
        uint64_t high, low; /* 40 bits each */
        uint64_t time = (id->time_sec - EXPLAIN_EPOCH_SEC) & 0x3fffffffu;

        high = (uint64_t)(id->node & 0x3fu) << 34 | time << 4 | (id->worker & 0x3fu) >> 2;
        low = (uint64_t)(id->worker & 3u) << 38 | (uint64_t)(id->sequence & 0x3ffffu) << 20 |
              (uint64_t)(id->policy_version & 0xfffu) << 8 | id->rule;
        for (unsigned i = 0; i < 8; i++) {
                text[i] = digits[high >> (35 - 5 * i) & 31];
                text[8 + i] = digits[low >> (35 - 5 * i) & 31];
        }
}

static int digit_value(char c)
{
        const char *at;

        if (c >= 'a' && c <= 'z')
                c = (char)(c - 'a' + 'A');
        if (c == 'I' || c == 'L')
                return 1;
        if (c == 'O')
                return 0;
        at = c == '\0' ? NULL : strchr(digits, c);
        return at ? (int)(at - digits) : -1;
}

int explain_id_parse(const char text[EXPLAIN_ID_LEN], struct explain_id *ret)
{
        uint64_t half[2] = { 0, 0 };

        for (unsigned i = 0; i < EXPLAIN_ID_LEN; i++) {
                int value = digit_value(text[i]);

                if (value < 0)
                        return -EINVAL;
                half[i / 8] = half[i / 8] << 5 | (unsigned)value;
        }
        ret->node = (uint8_t)(half[0] >> 34);
        ret->time_sec = (uint32_t)(half[0] >> 4 & 0x3fffffffu) + EXPLAIN_EPOCH_SEC;
        ret->worker = (uint8_t)((half[0] & 0xfu) << 2 | half[1] >> 38);
        ret->sequence = (uint32_t)(half[1] >> 20 & 0x3ffffu);
        ret->policy_version = (uint16_t)(half[1] >> 8 & 0xfffu);
        ret->rule = (uint8_t)half[1];
        return 0;
}
