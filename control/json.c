/* SPDX-License-Identifier: Apache-2.0 */
#include "control/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dataplane/shared/bug.h"

void json_init(struct json *json, size_t limit_bytes)
{
        memset(json, 0, sizeof(*json));
        json->limit = limit_bytes;
        json->is_first = true;
}

void json_done(struct json *json)
{
        free(json->text);
        json_init(json, json->limit);
}

void json_reset(struct json *json)
{
        json->len = 0;
        json->is_failed = false;
        json->is_first = true;
}

static void put(struct json *json, const char *bytes, size_t len)
{
        if (json->is_failed)
                return;
        if (len > json->limit - json->len) {
                json->is_failed = true;
                return;
        }
        if (len > json->size - json->len) {
                size_t size = MIN(json->limit, MAX(2 * json->size, json->len + len + 512));
                char *text = realloc(json->text, size);

                if (text == NULL) {
                        json->is_failed = true;
                        return;
                }
                json->text = text;
                json->size = size;
        }
        memcpy(json->text + json->len, bytes, len);
        json->len += len;
}

/*
 * Bytes of the UTF-8 character at the start (Unicode 15, table 3-7: no overlong form, no surrogate, nothing
 * above U+10FFFF), or 0 when there is none.
 */
static size_t utf8_len(const uint8_t *bytes, size_t len)
{
        uint8_t low = 0x80, high = 0xbf;
        size_t want;

        if (bytes[0] < 0x80)
                return 1;
        if (bytes[0] >= 0xc2 && bytes[0] <= 0xdf) {
                want = 2;
        } else if (bytes[0] >= 0xe0 && bytes[0] <= 0xef) {
                want = 3;
                low = bytes[0] == 0xe0 ? 0xa0 : 0x80;
                high = bytes[0] == 0xed ? 0x9f : 0xbf;
        } else if (bytes[0] >= 0xf0 && bytes[0] <= 0xf4) {
                want = 4;
                low = bytes[0] == 0xf0 ? 0x90 : 0x80;
                high = bytes[0] == 0xf4 ? 0x8f : 0xbf;
        } else {
                return 0;
        }
        if (len < want || bytes[1] < low || bytes[1] > high)
                return 0;
        for (size_t i = 2; i < want; i++) {
                if ((bytes[i] & 0xc0) != 0x80)
                        return 0;
        }
        return want;
}

static void put_escaped(struct json *json, const uint8_t *bytes, size_t len)
{
        size_t i = 0;

        while (i < len) {
                size_t plain = i;
                char escape[8];
                size_t n;

                while (plain < len && bytes[plain] >= 0x20 && bytes[plain] < 0x7f && bytes[plain] != '"' &&
                       bytes[plain] != '\\')
                        plain++;
                put(json, (const char *)bytes + i, plain - i);
                i = plain;
                if (i == len)
                        break;
                n = utf8_len(bytes + i, len - i);
                if (n == 0 || bytes[i] == '\0') { /* readers in C take no NUL, escaped or not */
                        put(json, "\\ufffd", 6);
                        n = 1;
                } else if (n == 2 && bytes[i] == 0xc2 && bytes[i + 1] < 0xa0) {
                        put(json, escape,
                            (size_t)snprintf(escape, sizeof(escape), "\\u00%02x", bytes[i + 1]));
                } else if (n > 1) {
                        put(json, (const char *)bytes + i, n);
                } else if (bytes[i] == '"' || bytes[i] == '\\') {
                        put(json, (const char[]){ '\\', (char)bytes[i] }, 2);
                } else {
                        put(json, escape, (size_t)snprintf(escape, sizeof(escape), "\\u00%02x", bytes[i]));
                }
                i += n;
        }
}

static void begin(struct json *json, const char *key)
{
        if (!json->is_first)
                put(json, ",", 1);
        json->is_first = false;
        if (key == NULL)
                return;
        put(json, "\"", 1);
        put_escaped(json, (const uint8_t *)key, strlen(key));
        put(json, "\":", 2);
}

void json_object_open(struct json *json, const char *key)
{
        begin(json, key);
        put(json, "{", 1);
        json->is_first = true;
}

void json_object_close(struct json *json)
{
        put(json, "}", 1);
        json->is_first = false;
}

void json_array_open(struct json *json, const char *key)
{
        begin(json, key);
        put(json, "[", 1);
        json->is_first = true;
}

void json_array_close(struct json *json)
{
        put(json, "]", 1);
        json->is_first = false;
}

void json_put_string_len(struct json *json, const char *key, const void *bytes, size_t len)
{
        begin(json, key);
        put(json, "\"", 1);
        put_escaped(json, bytes, len);
        put(json, "\"", 1);
}

void json_put_string(struct json *json, const char *key, const char *text)
{
        if (text) {
                json_put_string_len(json, key, text, strlen(text));
                return;
        }
        begin(json, key);
        put(json, "null", 4);
}

void json_put_uint(struct json *json, const char *key, uint64_t value)
{
        char text[24];

        begin(json, key);
        put(json, text, (size_t)snprintf(text, sizeof(text), "%" PRIu64, value));
}

void json_put_int(struct json *json, const char *key, int64_t value)
{
        char text[24];

        begin(json, key);
        put(json, text, (size_t)snprintf(text, sizeof(text), "%" PRId64, value));
}

void json_put_bool(struct json *json, const char *key, bool value)
{
        begin(json, key);
        put(json, value ? "true" : "false", value ? 4 : 5);
}

void json_put_raw(struct json *json, const char *key, const char *text, size_t len)
{
        begin(json, key);
        put(json, text, len);
}

static void put_time(struct json *json, const char *key, uint64_t sec, int us)
{
        time_t at = (time_t)MIN(sec, 253402300799u); /* the end of the year 9999 */
        char text[40];
        struct tm utc;
        size_t len;

        gmtime_r(&at, &utc);
        len = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
        if (us >= 0)
                len += (size_t)snprintf(text + len, sizeof(text) - len, ".%06d", us);
        text[len++] = 'Z';
        json_put_string_len(json, key, text, len);
}

void json_put_time_us(struct json *json, const char *key, uint64_t us)
{
        put_time(json, key, us / 1000000u, (int)(us % 1000000u));
}

void json_put_time_sec(struct json *json, const char *key, uint64_t sec)
{
        put_time(json, key, sec, -1);
}

void json_newline(struct json *json)
{
        put(json, "\n", 1);
        json->is_first = true;
}
