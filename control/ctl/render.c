/* SPDX-License-Identifier: Apache-2.0 */
#include "control/ctl/render.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/shared/bug.h"

#define CELL_MAX       512
#define COLUMNS_MAX    16u
#define NAME_WIDTH     20
#define INDENT_MAX     8
#define CELL_WIDTH_MAX 60

/* Characters, not bytes; the text is valid UTF-8, since it came as JSON. */
static int width_of(const char *text)
{
        int width = 0;

        for (; *text; text++)
                width += ((unsigned char)*text & 0xc0) != 0x80;
        return width;
}

/* Control characters (C0, DEL, and C1 as UTF-8) become question marks. */
static void clean(char *text, const char *keep)
{
        unsigned char *at = (unsigned char *)text;

        for (; *at; at++) {
                bool is_c1 = at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0;

                if ((*at < 0x20 && strchr(keep, *at) == NULL) || *at == 0x7f)
                        *at = '?';
                if (is_c1)
                        at[0] = at[1] = '?';
        }
}

void render_text(FILE *out, const char *text)
{
        char *copy = strdup(text);

        if (copy == NULL)
                return;
        clean(copy, "\n\t");
        fputs(copy, out);
        free(copy);
}

static void join(const json_t *array, char *cell)
{
        size_t i, len = 0;
        json_t *value;

        cell[0] = '\0';
        json_array_foreach(array, i, value)
        {
                const char *text = json_string_value(value);

                if (text && len < CELL_MAX)
                        len += (size_t)snprintf(cell + len, CELL_MAX - len, "%s%s", i ? " " : "", text);
        }
}

static void cell_of(const json_t *value, char cell[CELL_MAX])
{
        if (json_is_string(value))
                snprintf(cell, CELL_MAX, "%s", json_string_value(value));
        else if (json_is_integer(value))
                snprintf(cell, CELL_MAX, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        else if (json_is_boolean(value))
                snprintf(cell, CELL_MAX, "%s", json_is_true(value) ? "yes" : "no");
        else if (json_is_array(value))
                join(value, cell);
        else
                snprintf(cell, CELL_MAX, "-");
        clean(cell, "");
}

static void print_cell(FILE *out, const char *cell, int width, bool is_last)
{
        fputs(cell, out);
        if (!is_last)
                fprintf(out, "%*s", MAX(width - width_of(cell), 0) + 2, "");
}

void render_table(FILE *out, const json_t *rows, const struct render_column *columns, unsigned columns_used,
                  const char *empty)
{
        int widths[COLUMNS_MAX];
        char cell[CELL_MAX];
        const json_t *row;
        size_t i;

        BUG_ON(columns_used > COLUMNS_MAX);
        if (json_array_size(rows) == 0) {
                fprintf(out, "%s\n", empty);
                return;
        }
        for (unsigned c = 0; c < columns_used; c++)
                widths[c] = width_of(columns[c].title);
        json_array_foreach(rows, i, row)
        {
                for (unsigned c = 0; c < columns_used; c++) {
                        cell_of(json_object_get(row, columns[c].key), cell);
                        widths[c] = MAX(widths[c], MIN(width_of(cell), CELL_WIDTH_MAX));
                }
        }
        for (unsigned c = 0; c < columns_used; c++)
                print_cell(out, columns[c].title, widths[c], c + 1 == columns_used);
        fputc('\n', out);
        json_array_foreach(rows, i, row)
        {
                for (unsigned c = 0; c < columns_used; c++) {
                        cell_of(json_object_get(row, columns[c].key), cell);
                        print_cell(out, cell, widths[c], c + 1 == columns_used);
                }
                fputc('\n', out);
        }
}

void render_object(FILE *out, const json_t *object, int indent)
{
        char cell[CELL_MAX], name[64];
        const char *key;
        json_t *value;

        json_object_foreach((json_t *)object, key, value)
        {
                if (json_is_null(value))
                        continue;
                snprintf(name, sizeof(name), "%s", key);
                clean(name, "");
                for (char *at = name; *at; at++)
                        *at = *at == '_' ? ' ' : *at;
                if (json_is_object(value) && indent < INDENT_MAX) {
                        fprintf(out, "%*s%s\n", indent, "", name);
                        render_object(out, value, indent + 2);
                        continue;
                }
                cell_of(value, cell);
                fprintf(out, "%*s%-*s %s\n", indent, "", NAME_WIDTH - indent, name, cell);
        }
}
