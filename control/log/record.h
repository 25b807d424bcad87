/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One log record of a worker: checked as a stranger's bytes, then made into one JSON object with names that
 * people know. Pure functions.
 */
#ifndef GREYLINE_CONTROL_LOG_RECORD_H
#define GREYLINE_CONTROL_LOG_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/json.h"
#include "control/log/names.h"
#include "dataplane/shared/msg.h"
#include "dataplane/shared/siphash.h"

#define LOG_RECORD_JSON_MAX                                                                                  \
        16384u /* no record becomes longer: six bytes for each byte of text, and the fields */

enum log_text {
        LOG_TEXT_HELO,
        LOG_TEXT_SENDER,
        LOG_TEXT_RECIPIENT,
        LOG_TEXT_REPLY,
        LOG_TEXT_HOST,
        LOG_TEXT_DETAIL,
        LOG_TEXT_USED,
};

struct log_context {
        const struct log_names *names;
        const char *node;
        bool is_hashed;              /* local parts are written as keyed hashes */
        struct siphash_key hash_key; /* for that */
};

/* Are kinds, lengths and enums what they may be? The record must be a private copy. */
bool log_record_check(const struct msg_log *record);

/* A text of a checked record; not ended by NUL. */
const char *log_record_text(const struct msg_log *record, enum log_text text, size_t *ret_len);

/* Write a checked record as one object, without a newline. */
void log_record_json(struct json *json, const char *key, const struct msg_log *record,
                     const struct log_context *context);

/* The names of enum msg_grey and enum client_ptr, as logs and tools show them. */
const char *log_grey_name(uint32_t grey);
const char *log_ptr_name(uint32_t ptr);

#endif
