/* SPDX-License-Identifier: Apache-2.0 */
#include "control/store/merge.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

#define LAST_PASS_ROUNDED_SEC 3 /* last_pass is kept in steps of four seconds, rounded up */

enum merge_verdict merge_check(const struct grey_facts *facts, uint32_t now_sec)
{
        uint64_t latest = (uint64_t)now_sec + MERGE_AHEAD_MAX_SEC;

        if (facts->kind == GREY_KIND_NONE || facts->kind > GREY_KIND_EXEMPT)
                return MERGE_GARBAGE;
        if (facts->first_sec < GREY_EPOCH_SEC || facts->passes > GREY_PASSES_MAX)
                return MERGE_GARBAGE;
        if (facts->last_pass_sec != 0 && facts->last_pass_sec < GREY_EPOCH_SEC)
                return MERGE_GARBAGE;
        /* An operator's "remove" starts the new wait behind a rounded last_pass. */
        if (facts->first_sec > latest + LAST_PASS_ROUNDED_SEC + 1)
                return MERGE_FUTURE;
        if (facts->last_pass_sec > latest + LAST_PASS_ROUNDED_SEC)
                return MERGE_FUTURE;
        return MERGE_OK;
}

struct grey_facts merge_facts(const struct grey_facts *a, const struct grey_facts *b)
{
        return (struct grey_facts){
                .first_sec = MAX(a->first_sec, b->first_sec),
                .last_pass_sec = MAX(a->last_pass_sec, b->last_pass_sec),
                .passes = MAX(a->passes, b->passes),
                .kind = MAX(a->kind, b->kind),
        };
}

size_t merge_build_text(const struct grey_facts *facts, char ret[MERGE_TEXT_MAX])
{
        return (size_t)snprintf(ret, MERGE_TEXT_MAX, "%" PRIu32 " %" PRIu32 " %u %u", facts->first_sec,
                                facts->last_pass_sec, facts->passes, facts->kind);
}

/* One decimal number up to max, without sign or needless zeros. Returns the bytes read, 0 for none. */
static size_t parse_number(const char *text, size_t len, uint64_t max, uint64_t *ret)
{
        uint64_t number = 0;
        size_t at = 0;

        while (at < len && text[at] >= '0' && text[at] <= '9') {
                number = number * 10 + (uint64_t)(text[at] - '0');
                if (number > max)
                        return 0;
                at++;
                if (number == 0)
                        break;
        }
        *ret = number;
        return at;
}

int merge_parse_text(const char *text, size_t len, struct grey_facts *ret)
{
        static const uint64_t max[] = { UINT32_MAX, UINT32_MAX, UINT8_MAX, UINT8_MAX };
        uint64_t number[ARRAY_LEN(max)] = { 0 };
        size_t at = 0, used;

        for (unsigned i = 0; i < ARRAY_LEN(max); i++) {
                if (i > 0 && (at >= len || text[at++] != ' '))
                        return -EBADMSG;
                used = parse_number(text + at, len - at, max[i], &number[i]);
                if (used == 0)
                        return -EBADMSG;
                at += used;
        }
        if (at != len)
                return -EBADMSG;
        *ret = (struct grey_facts){ (uint32_t)number[0], (uint32_t)number[1], (uint8_t)number[2],
                                    (uint8_t)number[3] };
        return 0;
}

void merge_build_key(uint64_t key, char ret[MERGE_KEY_LEN + 1])
{
        snprintf(ret, MERGE_KEY_LEN + 1, "%016" PRIx64, key);
}

int merge_parse_key(const char *text, size_t len, uint64_t *ret)
{
        uint64_t key = 0;

        if (len != MERGE_KEY_LEN)
                return -EBADMSG;
        for (size_t i = 0; i < len; i++) {
                char c = text[i];

                if (c >= '0' && c <= '9')
                        key = key << 4 | (uint64_t)(c - '0');
                else if (c >= 'a' && c <= 'f')
                        key = key << 4 | (uint64_t)(c - 'a' + 10);
                else
                        return -EBADMSG;
        }
        if (key == 0)
                return -EBADMSG;
        *ret = key;
        return 0;
}
