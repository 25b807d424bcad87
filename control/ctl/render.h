/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers for people: tables, and lists of names and values. Whatever a mail client sent is shown without its
 * control characters, so that nothing in a log can steer the reader's terminal.
 */
#ifndef GREYLINE_CONTROL_CTL_RENDER_H
#define GREYLINE_CONTROL_CTL_RENDER_H

#include <jansson.h>
#include <stdio.h>

struct render_column {
        const char *title;
        const char *key; /* of the row's object */
};

/* One line a row, columns as wide as their contents. empty: what to say when there is no row. */
void render_table(FILE *out, const json_t *rows, const struct render_column *columns, unsigned columns_used,
                  const char *empty);

/* One line a member: "name   value"; members that are objects follow indented. Nulls are left out. */
void render_object(FILE *out, const json_t *object, int indent);

/* A text as it may go to a terminal; newlines and tabs are kept. */
void render_text(FILE *out, const char *text);

#endif
