/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reply table as docs/SMTP.md shows it. Without an argument it prints the table; with the document's path it
 * checks that every row is in it, and says which is not.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/smtp/reply.h"

static void write_row(enum smtp_reply reply, char *row, size_t size)
{
        snprintf(row, size, "| %s | %u | %s | %s |", smtp_reply_name(reply), smtp_reply_code(reply),
                 smtp_reply_enhanced(reply), smtp_reply_text(reply));
}

static bool has_line(FILE *file, const char *want)
{
        char line[1024];

        rewind(file);
        while (fgets(line, sizeof(line), file)) {
                line[strcspn(line, "\n")] = '\0';
                if (strcmp(line, want) == 0)
                        return true;
        }
        return false;
}

int main(int argc, char **argv)
{
        FILE *file = argc > 1 ? fopen(argv[1], "r") : NULL;
        int missing = 0;

        if (argc > 1 && !file) {
                perror(argv[1]);
                return 2;
        }
        for (int i = SMTP_REPLY_NONE + 1; i < SMTP_REPLY_USED; i++) {
                char row[1024];

                write_row((enum smtp_reply)i, row, sizeof(row));
                if (file && has_line(file, row))
                        continue;
                if (file)
                        fprintf(stderr, "%s: missing row: ", argv[1]);
                puts(row);
                missing += file != NULL;
        }
        return missing != 0;
}
