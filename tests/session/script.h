/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A script of client and server lines, read whole.
 *
 *      # what it shows
 *      set NAME VALUE     a setting, see set() in script.c
 *      C: text            the client sends text CR LF
 *      C*N: text          the same, N times
 *      c: text            the client sends text as it is; \r \n \0 \t \\ and \xNN are understood
 *      S: text            the server's next line, exactly; "..." at its end stands for any rest
 *      S: (closed)        the server closed
 *      B: text            the next line that went to a backend as message
 */
#ifndef GREYLINE_TESTS_SESSION_SCRIPT_H
#define GREYLINE_TESTS_SESSION_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>

#include "dataplane/smtp/data.h"
#include "dataplane/smtp/machine.h"

#define SCRIPT_TEXT_MAX  (512 * 1024)
#define SCRIPT_TURNS_MAX 4096

struct text {
        size_t len;
        char byte[SCRIPT_TEXT_MAX];
};

/* One turn of the dialogue: what the client sends, and the server's lines that must follow at once. */
struct turn {
        size_t client_end; /* offsets into the script's texts, behind this turn */
        size_t server_end;
};

struct script {
        char name[256];
        struct smtp_conf conf;
        struct smtp_data_conf data_conf;
        enum smtp_decision greet;
        bool refuses_early;
        bool dialogue_only; /* the replies depend on what lies behind a command */
        struct text client;
        struct text server;  /* expected lines, LF between them */
        struct text backend; /* expected lines, LF between them */
        size_t n_turns;
        struct turn turns[SCRIPT_TURNS_MAX];
};

/* Append; ends the program when the text is longer than any script needs. */
void script_add(struct text *to, const char *bytes, size_t len);

/* Read DIR/NAME. Returns false, with a line on stderr, when it cannot be read or is not a script. */
bool script_read(struct script *ret, const char *dir, const char *name);

#endif
