/* SPDX-License-Identifier: Apache-2.0 */
/* From values of the tree to fields of the image, by the rows of the schema. */
#include <string.h>

#include "control/policy/compile.h"
#include "control/policy/value.h"

static bool is_plain(const struct schema_row *row)
{
        return row->type < SCHEMA_INTERFACES;
}

static void store(void *field, uint8_t width, int64_t value)
{
        const uint8_t v8 = (uint8_t)value;
        const uint16_t v16 = (uint16_t)value;
        const uint32_t v32 = (uint32_t)value;

        switch (width) {
        case 0: /* checked, but not part of the image */
                break;
        case 1:
                memcpy(field, &v8, width);
                break;
        case 2:
                memcpy(field, &v16, width);
                break;
        case 4:
                memcpy(field, &v32, width);
                break;
        default:
                BUG_ON(width != 8);
                memcpy(field, &value, width);
        }
}

static bool read_number(const struct schema_row *row, const char *text, int64_t *ret)
{
        int64_t value;

        switch (row->type) {
        case SCHEMA_INTEGER:
                if (!value_integer(text, &value))
                        return false;
                break;
        case SCHEMA_COUNT:
                if (!value_count(text, &value))
                        return false;
                break;
        case SCHEMA_SIZE:
                if (!value_size(text, &value))
                        return false;
                break;
        default:
                if (!value_duration(text, &value) || (row->type == SCHEMA_TIME_SEC && value % 1000 != 0))
                        return false;
                if (row->type == SCHEMA_TIME_SEC)
                        value /= 1000;
        }
        if (value < row->min || value > row->max)
                return false;
        *ret = value;
        return true;
}

static bool read_enum(const struct schema_row *row, const char *text, int64_t *ret)
{
        for (unsigned i = 0; row->names[i]; i++) {
                if (strcmp(row->names[i], text) == 0 &&
                    (row->allowed == 0 || (row->allowed & 1u << i) != 0)) {
                        *ret = i;
                        return true;
                }
        }
        return false;
}

static bool is_valid_text(const struct schema_row *row, const char *text, char lower[256])
{
        size_t len = strlen(text);

        switch (row->type) {
        case SCHEMA_NAME:
                return value_is_name(text);
        case SCHEMA_HOSTNAME:
                return value_hostname(text, lower);
        case SCHEMA_ASCII:
                return (int64_t)len >= row->min && value_is_ascii(text, (size_t)row->max);
        default:
                return len > 0 && len < 4000; /* SCHEMA_PATH */
        }
}

/* One value into its field. False: it does not fit the row, and nothing was written. */
static bool decode_value(struct compile *compile, const struct schema_row *row, const char *text, void *field)
{
        char lower[256];
        int64_t number;
        bool is_set;

        switch (row->type) {
        case SCHEMA_BOOL:
                if (!value_bool(text, &is_set))
                        return false;
                store(field, row->width, is_set);
                return true;
        case SCHEMA_INTEGER:
        case SCHEMA_COUNT:
        case SCHEMA_SIZE:
        case SCHEMA_TIME_MS:
        case SCHEMA_TIME_SEC:
                if (!read_number(row, text, &number))
                        return false;
                store(field, row->width, number);
                return true;
        case SCHEMA_ENUM:
                if (!read_enum(row, text, &number))
                        return false;
                store(field, row->width, number);
                return true;
        case SCHEMA_ADDRESS:
                return addr_parse(text, field) == 0;
        case SCHEMA_ENHANCED:
                return value_enhanced(text, field);
        default:
                if (!is_valid_text(row, text, lower))
                        return false;
                *(struct image_text *)field =
                    compile_text(compile, row->type == SCHEMA_HOSTNAME ? lower : text);
                return true;
        }
}

void decode_defaults(struct compile *compile, const struct schema *schema, void *base)
{
        for (unsigned i = 0; i < schema->count; i++) {
                const struct schema_row *row = &schema->rows[i];

                if (row->type == SCHEMA_MAP) {
                        decode_defaults(compile, row->below, base);
                } else if (is_plain(row) && row->fallback) {
                        bool is_valid =
                            decode_value(compile, row, row->fallback, (uint8_t *)base + row->offset);

                        BUG_ON(!is_valid);
                }
        }
}

bool decode_is_locked(const struct compile *compile)
{
        if (compile->locked_from == 0 || !compile->locked)
                return false;
        for (uint32_t i = 0; i < compile->locked->count; i++) {
                const struct tree_node *item = compile->locked->items[i];

                if (item->kind == TREE_SCALAR &&
                    strcmp(item->text, compile->path + compile->locked_from) == 0)
                        return true;
        }
        return false;
}

static void unknown_key(struct compile *compile, const struct schema *schema, const struct tree_node *key)
{
        const char *nearest = schema_nearest(schema, key->text);
        char known[160];
        size_t len = 0;

        if (nearest) {
                compile_error(compile, key, "unknown key; expected \"%s\"?", nearest);
                return;
        }
        known[0] = '\0';
        for (unsigned i = 0; i < schema->count && len < sizeof(known); i++)
                len += (size_t)snprintf(known + len, sizeof(known) - len, "%s%s", i > 0 ? ", " : "",
                                        schema->rows[i].key);
        compile_error(compile, key, "unknown key; expected one of %s", known);
}

static void decode_row(struct compile *compile, const struct schema_row *row, const struct tree_node *key,
                       const struct tree_node *value, void *base)
{
        if (decode_is_locked(compile)) {
                compile_error(compile, key, "expected only in policy default, which locks it");
        } else if (row->type == SCHEMA_MAP) {
                decode_map(compile, row->below, value, base);
        } else if (is_plain(row)) {
                if (value->kind != TREE_SCALAR ||
                    !decode_value(compile, row, value->text, (uint8_t *)base + row->offset))
                        compile_misfit(compile, row, value);
        }
}

void decode_map(struct compile *compile, const struct schema *schema, const struct tree_node *map, void *base)
{
        if (map->kind != TREE_MAP && !tree_is_nothing(map)) {
                compile_error(compile, map, "expected a mapping of keys; found %s",
                              map->kind == TREE_LIST ? "a list" : "a value");
                return;
        }
        for (uint32_t i = 0; i < map->count; i++) {
                const char *key = map->keys[i]->text;
                const struct schema_row *row = schema_find(schema, key);
                size_t mark = compile_enter(compile, key);

                if (row)
                        decode_row(compile, row, map->keys[i], map->items[i], base);
                else
                        unknown_key(compile, schema, map->keys[i]);
                compile_leave(compile, mark);
        }
        for (unsigned i = 0; i < schema->count; i++) {
                const struct schema_row *row = &schema->rows[i];
                char expected[160];
                size_t mark;

                if (!row->is_required || tree_get(map, row->key))
                        continue;
                mark = compile_enter(compile, row->key);
                compile_error(compile, map, "missing; expected %s",
                              schema_expected(row, expected, sizeof(expected)));
                compile_leave(compile, mark);
        }
}
