/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What may be believed of a greylist entry that comes from outside (another node, Redis, a snapshot), how two
 * states of one entry become one, and their text in Redis. Pure functions.
 *
 * An entry is three registers that only rise: start of the present wait, last accepted delivery, deliveries
 * counted. The maximum of each is taken, so neither order nor repeats nor a partition changes the outcome.
 * A design refused: merging the earliest first-seen, which would undo every new start of the wait.
 */
#ifndef GREYLINE_CONTROL_STORE_MERGE_H
#define GREYLINE_CONTROL_STORE_MERGE_H

#include <stddef.h>
#include <stdint.h>

#include "dataplane/shared/bug.h"
#include "dataplane/shared/grey_table.h"

#define MERGE_AHEAD_MAX_SEC 120u /* a time further ahead of our clock is not believed */
#define MERGE_TEXT_MAX      48   /* "4294967295 4294967295 15 3" and its NUL, with room */

enum merge_verdict {
        MERGE_OK,
        MERGE_FUTURE,  /* some time is too far ahead of our clock */
        MERGE_GARBAGE, /* no entry can say this */
};

enum merge_verdict merge_check(const struct grey_facts *facts, uint32_t now_sec);

/* The maximum of each register. Either may be GREY_KIND_NONE (nothing known). */
struct grey_facts merge_facts(const struct grey_facts *a, const struct grey_facts *b);

/* "first last_pass passes kind" in decimal, seconds since 1970. Returns the length without the NUL. */
size_t merge_build_text(const struct grey_facts *facts, char ret[MERGE_TEXT_MAX]);

/* The reverse; text is a stranger's. Returns 0, or -EBADMSG; what it means merge_check() must still say. */
int merge_parse_text(const char *text, size_t len, struct grey_facts *ret) MUST_CHECK;

/* A key as 16 hex digits. */
#define MERGE_KEY_LEN 16
void merge_build_key(uint64_t key, char ret[MERGE_KEY_LEN + 1]);
int merge_parse_key(const char *text, size_t len, uint64_t *ret) MUST_CHECK;

#endif
