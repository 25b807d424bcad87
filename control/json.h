/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes JSON (RFC 8259) into one growing buffer with a bound. Strings may hold any bytes: NUL and what is
 * not UTF-8 become U+FFFD, and control characters (C0, DEL, C1) are written as \u00xx, so that one object
 * stays one line and nothing a mail client sent can steer a terminal. Reading JSON is left to jansson.
 *
 * A key of NULL is for values in an array and for the outermost one.
 */
#ifndef GREYLINE_CONTROL_JSON_H
#define GREYLINE_CONTROL_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json {
        char *text; /* not ended by NUL */
        size_t len;
        size_t size;
        size_t limit;
        bool is_failed; /* the bound or the memory was reached: the text is incomplete */
        bool is_first;  /* no comma before the next value */
};

/* limit_bytes bounds the text. Allocates only when written to. json_done() frees. */
void json_init(struct json *json, size_t limit_bytes);
void json_done(struct json *json);

/* Begin anew and keep the buffer. */
void json_reset(struct json *json);

void json_object_open(struct json *json, const char *key);
void json_object_close(struct json *json);
void json_array_open(struct json *json, const char *key);
void json_array_close(struct json *json);

void json_put_string(struct json *json, const char *key, const char *text); /* NULL writes null */
void json_put_string_len(struct json *json, const char *key, const void *bytes, size_t len);
void json_put_uint(struct json *json, const char *key, uint64_t value);
void json_put_int(struct json *json, const char *key, int64_t value);
void json_put_bool(struct json *json, const char *key, bool value);

/* A value that is JSON already, without a newline. */
void json_put_raw(struct json *json, const char *key, const char *text, size_t len);

/* A time as RFC 3339 text in UTC, "2026-11-24T04:05:06.123456Z"; us since 1970. */
void json_put_time_us(struct json *json, const char *key, uint64_t us);
void json_put_time_sec(struct json *json, const char *key, uint64_t sec); /* without a fraction */

/* End one object of a stream of lines. */
void json_newline(struct json *json);

#endif
