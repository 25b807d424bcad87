/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every row of the schema: its default, each value of an enum, both limits and the values just beyond them, and
 * that what is read lands in the field of the row and nowhere else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <inttypes.h>

#include "control/policy/compile.h"

#define FILLER     0xa5
#define STRUCT_MAX 2048 /* larger than any struct with rows */

static unsigned rows_seen;

/* Decode { key: text } by the schema into ret. Returns whether the value was taken. */
static bool decode_one(const struct schema *schema, const struct schema_row *row, const char *text,
                       uint8_t ret[STRUCT_MAX])
{
        static struct policy_errors errors;
        const struct policy_options options = { .generation = 1 };
        struct compile compile = { .options = &options };
        struct tree_node key = { .kind = TREE_SCALAR, .text = row->key, .line = 1, .column = 1 };
        struct tree_node value = {
                .kind = TREE_SCALAR, .text = text, .line = 1, .column = 1, .quoted = true
        };
        struct tree_node *keys[] = { &key }, *items[] = { &value };
        struct tree_node map = {
                .kind = TREE_MAP, .count = 1, .keys = keys, .items = items, .line = 1, .column = 1
        };
        bool is_taken = true;

        tree_init(&compile.tree, &errors);
        compile.tree.files[0] = "test.yaml";
        memset(ret, FILLER, STRUCT_MAX);
        decode_map(&compile, schema, &map, ret);
        for (unsigned i = 0; i < errors.count; i++) {
                /* Other keys that are required are missing: not what is tested here. */
                if (!strstr(errors.text[i], ": missing; ")) {
                        assert_non_null(strstr(errors.text[i], "test.yaml:1:1: "));
                        assert_non_null(strstr(errors.text[i], "; found \""));
                        is_taken = false;
                }
        }
        free(compile.texts);
        tree_done(&compile.tree);
        return is_taken;
}

static int64_t field_of(const uint8_t *base, const struct schema_row *row)
{
        int8_t v8;
        int16_t v16;
        int32_t v32;
        int64_t v64;

        switch (row->width) {
        case 1:
                memcpy(&v8, base + row->offset, 1);
                return row->min < 0 ? (int64_t)v8 : (int64_t)(uint8_t)v8;
        case 2:
                memcpy(&v16, base + row->offset, 2);
                return row->min < 0 ? (int64_t)v16 : (int64_t)(uint16_t)v16;
        case 4:
                memcpy(&v32, base + row->offset, 4);
                return row->min < 0 ? (int64_t)v32 : (int64_t)(uint32_t)v32;
        default:
                memcpy(&v64, base + row->offset, 8);
                return v64;
        }
}

static void assert_only_field(const uint8_t *base, const struct schema_row *row)
{
        for (unsigned i = 0; i < STRUCT_MAX; i++) {
                if ((i < row->offset || i >= row->offset + row->width) && base[i] != FILLER)
                        fail_msg("%s: byte %u was written", row->key, i);
        }
}

static void check_taken(const struct schema *schema, const struct schema_row *row, const char *text,
                        int64_t want)
{
        uint8_t base[STRUCT_MAX];

        if (!decode_one(schema, row, text, base))
                fail_msg("%s: \"%s\" was refused", row->key, text);
        assert_only_field(base, row);
        if (row->width > 0 && field_of(base, row) != want)
                fail_msg("%s: \"%s\" became %" PRId64, row->key, text, field_of(base, row));
}

static void check_refused(const struct schema *schema, const struct schema_row *row, const char *text)
{
        uint8_t base[STRUCT_MAX];

        if (decode_one(schema, row, text, base))
                fail_msg("%s: \"%s\" was taken", row->key, text);
        for (unsigned i = 0; i < STRUCT_MAX; i++)
                assert_int_equal(base[i], FILLER);
}

static const char *number_text(const struct schema_row *row, int64_t value, char buf[32])
{
        snprintf(buf, 32, "%" PRId64 "%s", value,
                 row->type == SCHEMA_TIME_MS    ? "ms"
                 : row->type == SCHEMA_TIME_SEC ? "s"
                                                : "");
        return buf;
}

static void check_limits(const struct schema *schema, const struct schema_row *row)
{
        int64_t field_max = row->width == 8 ? INT64_MAX : (1ll << (8 * row->width - (row->min < 0))) - 1;
        char text[32];

        assert_true(row->min < row->max);
        assert_true(row->max <= field_max);
        check_taken(schema, row, number_text(row, row->min, text), row->min);
        check_taken(schema, row, number_text(row, row->max, text), row->max);
        check_refused(schema, row, number_text(row, row->min - 1, text));
        check_refused(schema, row, number_text(row, row->max + 1, text));
        check_refused(schema, row, "many");
        check_refused(schema, row, "");
}

static void check_enum(const struct schema *schema, const struct schema_row *row)
{
        unsigned taken = 0;

        for (unsigned i = 0; row->names[i]; i++) {
                if (row->allowed == 0 || (row->allowed & 1u << i) != 0) {
                        check_taken(schema, row, row->names[i], i);
                        taken++;
                } else {
                        check_refused(schema, row, row->names[i]);
                }
        }
        assert_true(taken > 0);
        check_refused(schema, row, "");
        check_refused(schema, row, "perhaps");
}

static void check_text(const struct schema *schema, const struct schema_row *row)
{
        char text[4100];
        uint8_t base[STRUCT_MAX];
        size_t max = row->type == SCHEMA_ASCII ? (size_t)row->max : row->type == SCHEMA_PATH ? 3999 : 63;

        memset(text, 'a', sizeof(text));
        text[max] = '\0';
        if (!decode_one(schema, row, text, base))
                fail_msg("%s: %zu letters were refused", row->key, max);
        assert_int_equal(((const struct image_text *)(void *)(base + row->offset))->len, max);
        assert_only_field(base, row);
        text[max] = 'a';
        text[max + 1] = '\0';
        check_refused(schema, row, text);
        check_refused(schema, row, "");
        if (row->type != SCHEMA_PATH)
                check_refused(schema, row, "m\xc3\xbcller");
}

static void check_row(const struct schema *schema, const struct schema_row *row)
{
        switch (row->type) {
        case SCHEMA_BOOL:
                check_taken(schema, row, "true", 1);
                check_taken(schema, row, "no", 0);
                check_refused(schema, row, "2");
                break;
        case SCHEMA_INTEGER:
        case SCHEMA_COUNT:
        case SCHEMA_SIZE:
        case SCHEMA_TIME_MS:
        case SCHEMA_TIME_SEC:
                check_limits(schema, row);
                break;
        case SCHEMA_ENUM:
                check_enum(schema, row);
                break;
        case SCHEMA_NAME:
        case SCHEMA_HOSTNAME:
        case SCHEMA_ASCII:
        case SCHEMA_PATH:
                check_text(schema, row);
                break;
        case SCHEMA_ADDRESS:
                check_refused(schema, row, "localhost");
                break;
        case SCHEMA_ENHANCED:
                check_refused(schema, row, "4.7");
                break;
        default:
                break;
        }
}

static void check_schema(const struct schema *schema)
{
        for (unsigned i = 0; i < schema->count; i++) {
                const struct schema_row *row = &schema->rows[i];
                uint8_t base[STRUCT_MAX];

                rows_seen++;
                assert_non_null(row->help);
                assert_ptr_equal(schema_find(schema, row->key), row);
                if (row->type >= SCHEMA_MAP)
                        check_schema(row->below);
                else
                        check_row(schema, row);
                /* What is optional and has no constant default says what stands in its place. */
                if (row->type < SCHEMA_MAP && !row->is_required && !row->fallback)
                        assert_non_null(row->says);
                if (row->type < SCHEMA_INTERFACES && row->fallback &&
                    !decode_one(schema, row, row->fallback, base))
                        fail_msg("%s: its default is refused", row->key);
                if (row->type < SCHEMA_INTERFACES && row->example && *row->example != '"' &&
                    !decode_one(schema, row, row->example, base))
                        fail_msg("%s: its example is refused", row->key);
        }
}

static void test_rows(void **state)
{
        rows_seen = 0;
        check_schema(&schema_root);
        assert_in_range(rows_seen, 120, 1000);
}

static void test_nearest(void **state)
{
        static const struct {
                const char *key;
                const char *want; /* NULL: none is near */
        } cases[] = {
                { "greylst", "greylist" },
                { "grey_list", "greylist" },
                { "reverse-dns", "reverse_dns" },
                { "scroes", "scores" },
                { "zone", "zones" },
                { "colour", NULL },
                { "x", NULL },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                const char *got = schema_nearest(&schema_policy, cases[i].key);

                if ((got == NULL) != (cases[i].want == NULL) || (got && strcmp(got, cases[i].want) != 0))
                        fail_msg("%s: got %s", cases[i].key, got ? got : "none");
        }
}

static void test_policy_keys(void **state)
{
        assert_true(schema_is_policy_key("greylist"));
        assert_true(schema_is_policy_key("greylist.block"));
        assert_true(schema_is_policy_key("zones.bl.example.com.score"));
        assert_false(schema_is_policy_key(""));
        assert_false(schema_is_policy_key("greylist.blok"));
        assert_false(schema_is_policy_key("bare_newline.x"));
        assert_false(schema_is_policy_key("greylist."));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_rows),
                cmocka_unit_test(test_nearest),
                cmocka_unit_test(test_policy_keys),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
