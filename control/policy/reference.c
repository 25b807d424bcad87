/* SPDX-License-Identifier: Apache-2.0 */
/*
 * greyline-reference yaml|markdown: writes yaml/reference.yaml or docs/CONFIG.md from the schema to standard
 * output. A test compares what it writes with what is in the tree.
 */
#include <stdio.h>
#include <string.h>

#include "control/policy/schema.h"

static const char intro_yaml[] =
    "# Every key of a policy with its default, made from control/policy/schema_*.c: do not edit.\n"
    "#\n"
    "# A policy needs only what minimal.yaml has. A key behind \"# \" has no constant default; what stands "
    "there is\n"
    "# an example. Times: 500ms 30s 4m 2h 36d. Sizes: 64kB 20MB 1GB, of 1024. Counts: 500 20k 1M, of 1000.\n"
    "\n";

static const char intro_markdown[] =
    "# Configuration\n"
    "\n"
    "Made from `control/policy/schema_*.c` by `greyline-reference markdown`: do not edit. The same keys with "
    "their\n"
    "defaults, as a policy that can be pushed, are in `yaml/reference.yaml`; the least that a policy needs "
    "is in\n"
    "`yaml/minimal.yaml`.\n"
    "\n"
    "- `greylinectl policy check FILE` says what is wrong, and what a policy costs; `policy push FILE` makes "
    "it the\n"
    "  running one. An error is one line, `file:line:column: key: what was expected`; up to 20 are shown.\n"
    "- **Times** are written `500ms`, `30s`, `4m`, `2h`, `36d`; **sizes** `64kB`, `20MB`, `1GB` (1 kB is "
    "1024 bytes);\n"
    "  **counts** `500`, `20k`, `1M` (1 k is 1000).\n"
    "- Where a list is expected a single value may stand for a list of one.\n"
    "- A **site file** (`--site FILE`) supplies what the policy lacks: whole keys of the first level, and "
    "single keys\n"
    "  of `node`, `limits`, `dns`, `store` and `log`. What the policy says itself always wins.\n"
    "- A list of **networks** may name files: `deny: [192.0.2.0/24, {file: deny.txt}]`, a prefix a line, `#` "
    "begins a\n"
    "  remark, looked for beside the policy. The longest prefix that holds a client decides; of equal ones "
    "`trusted`\n"
    "  before `allow` before `deny`. IPv6 prefixes say nothing about IPv4 clients, not even `::/0`.\n"
    "- A **domain** is written `example.org`, or `\"*.example.org\"` for every name below it (not itself). "
    "The exact\n"
    "  name wins, then the longest wildcard. Mail to `<postmaster>` without a domain goes to the pool of the "
    "first.\n"
    "- A **policy** stands on `default`, or on the one named by `inherit`, and says only what differs. Keys "
    "in\n"
    "  `policies.default.locked` are refused in every other policy.\n"
    "- **Zones** are known by number in the tables; a zone keeps its number for life (`STATE/policy/zones`). "
    "32 can be\n"
    "  in use; a number is given to another zone after 8 days out of use.\n"
    "- `ports`, `node.workers`, `node.memory` and the sizes of the tables take effect at the next start, all "
    "else at a\n"
    "  push.\n";

/* The name that stands for the operator's own below a key. */
static const char *sample_name(const char *key)
{
        static const char *const samples[][2] = {
                { "domains", "example.org" },
                { "pools", "main" },
                { "policies", "default" },
                { "zones", "bl.example.com" },
        };

        for (unsigned i = 0; i < ARRAY_LEN(samples); i++) {
                if (strcmp(samples[i][0], key) == 0)
                        return samples[i][1];
        }
        return "name";
}

static void indent(unsigned depth, bool is_off)
{
        printf("%*s%s", (int)(2 * depth), "", is_off ? "# " : "");
}

/* The value follows at once, so the example of an error message would only repeat it. */
static void cut_example(char *text, const struct schema_row *row)
{
        char *example = row->fallback ? strstr(text, ", such as ") : NULL;

        if (example)
                *example = '\0';
}

static void yaml_value(const struct schema_row *row, unsigned depth, bool is_off)
{
        const char *value = row->fallback ? row->fallback : row->example ? row->example : "";
        const char *quote = row->type == SCHEMA_ASCII && *value != '"' ? "\"" : "";
        char expected[400];

        indent(depth, false);
        printf("# %s\n", row->help);
        indent(depth, false);
        schema_expected(row, expected, sizeof(expected));
        cut_example(expected, row);
        printf("# (%s%s%s%s)\n", expected, row->is_required ? "; required" : "",
               row->says ? "; default: " : "", row->says ? row->says : "");
        indent(depth, is_off || (!row->fallback && !row->is_required));
        printf("%s:%s%s%s%s\n", row->key, *value ? " " : "", quote, value, quote);
}

static void yaml_rows(const struct schema *schema, unsigned depth, bool is_off)
{
        for (unsigned i = 0; i < schema->count; i++) {
                const struct schema_row *row = &schema->rows[i];
                bool below_is_off = is_off || row->says;

                if (depth == 0)
                        printf("\n");
                if (row->type < SCHEMA_MAP) {
                        yaml_value(row, depth, is_off);
                        continue;
                }
                indent(depth, false);
                printf("# %s%s\n", row->help, row->is_required ? " (required)" : "");
                indent(depth, below_is_off);
                printf("%s:\n", row->key);
                if (row->type == SCHEMA_LIST) {
                        indent(depth + 1, below_is_off);
                        printf("-\n");
                } else if (row->type == SCHEMA_NAMED) {
                        indent(depth + 1, below_is_off);
                        printf("%s:\n", sample_name(row->key));
                }
                yaml_rows(row->below, depth + (row->type == SCHEMA_MAP ? 1 : 2), below_is_off);
        }
}

/* Help and defaults hold '|' nowhere; '*' and '<' would be taken for markup. */
static void markdown_text(const char *text)
{
        for (; *text != '\0'; text++)
                printf("%s%c", *text == '*' || *text == '<' ? "\\" : "", *text);
}

static void markdown_rows(const struct schema *schema, const char *path)
{
        char expected[400];

        printf("\n| key | value | default | |\n|---|---|---|---|\n");
        for (unsigned i = 0; i < schema->count; i++) {
                const struct schema_row *row = &schema->rows[i];

                printf("| `%s` | ", row->key);
                markdown_text(schema_expected(row, expected, sizeof(expected)));
                if (row->is_required)
                        printf(" | required | ");
                else if (row->fallback)
                        printf(" | `%s` | ", row->fallback);
                else
                        printf(" | %s | ", row->says ? row->says : "");
                markdown_text(row->help);
                printf(" |\n");
        }
        for (unsigned i = 0; i < schema->count; i++) {
                const struct schema_row *row = &schema->rows[i];
                char below[256];

                if (row->type < SCHEMA_MAP)
                        continue;
                snprintf(below, sizeof(below), "%s%s%s%s", path, *path ? "." : "", row->key,
                         row->type == SCHEMA_LIST    ? "[]"
                         : row->type == SCHEMA_NAMED ? ".NAME"
                                                     : "");
                printf("\n## `%s`\n\n", below);
                markdown_text(row->help);
                printf("\n");
                markdown_rows(row->below, below);
        }
}

int main(int argc, char **argv)
{
        if (argc == 2 && strcmp(argv[1], "yaml") == 0) {
                fputs(intro_yaml, stdout);
                yaml_rows(&schema_root, 0, false);
                return 0;
        }
        if (argc == 2 && strcmp(argv[1], "markdown") == 0) {
                fputs(intro_markdown, stdout);
                markdown_rows(&schema_root, "");
                return 0;
        }
        fprintf(stderr, "usage: greyline-reference yaml|markdown\n");
        return 2;
}
