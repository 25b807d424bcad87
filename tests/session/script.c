/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/session/script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void script_add(struct text *to, const char *bytes, size_t len)
{
        if (to->len + len > sizeof(to->byte)) {
                fprintf(stderr, "text too long\n");
                exit(2);
        }
        memcpy(to->byte + to->len, bytes, len);
        to->len += len;
}

static bool begins(const char *text, const char *with)
{
        return strncmp(text, with, strlen(with)) == 0;
}

static bool set(struct script *s, const char *name, const char *value)
{
        unsigned long number = strtoul(value, NULL, 10);

        if (strcmp(name, "size_max") == 0)
                s->conf.size_max = s->data_conf.size_max = number;
        else if (strcmp(name, "rcpt_max") == 0)
                s->conf.rcpt_max = (uint16_t)number;
        else if (strcmp(name, "errors_max") == 0)
                s->conf.errors_max = (uint8_t)number;
        else if (strcmp(name, "idle_commands_max") == 0)
                s->conf.idle_commands_max = (uint8_t)number;
        else if (strcmp(name, "line_max") == 0)
                s->data_conf.line_max = (uint32_t)number;
        else if (strcmp(name, "received_max") == 0)
                s->data_conf.received_max = (uint16_t)number;
        else if (strcmp(name, "ext") == 0 && strcmp(value, "none") == 0)
                s->conf.ext = 0;
        else if (strcmp(name, "tls") == 0 && strcmp(value, "offered") == 0)
                s->conf.ext |= SMTP_EXT_STARTTLS;
        else if (strcmp(name, "tls") == 0 && strcmp(value, "required") == 0)
                s->conf.tls_required = true;
        else if (strcmp(name, "bare_newline") == 0 && strcmp(value, "reject") == 0)
                s->data_conf.bare_newline = SMTP_BARE_REJECT;
        else if (strcmp(name, "greet") == 0 && strcmp(value, "refuse") == 0)
                s->greet = SMTP_REFUSE;
        else if (strcmp(name, "greet") == 0 && strcmp(value, "close") == 0)
                s->greet = SMTP_CLOSE;
        else if (strcmp(name, "early") == 0 && strcmp(value, "refuse") == 0)
                s->refuses_early = s->dialogue_only = true;
        else
                return false;
        return true;
}

static void add_escaped(struct text *to, const char *text)
{
        for (; *text; text++) {
                char c = *text;

                if (c == '\\') {
                        unsigned int byte;

                        c = *++text;
                        if (c == 'x' && sscanf(text + 1, "%2x", &byte) == 1) {
                                c = (char)byte;
                                text += 2;
                        } else {
                                c = (char)(c == 'r'   ? '\r'
                                           : c == 'n' ? '\n'
                                           : c == 't' ? '\t'
                                           : c == '0' ? '\0'
                                                      : c);
                        }
                }
                script_add(to, &c, 1);
        }
}

/* One line of a script. after_server: the line before was the server's. */
static bool read_line(struct script *s, char *line, bool *after_server)
{
        char name[32], value[32];
        unsigned int times = 1;
        int used = 0;

        if (line[0] == '#' || line[0] == '\0')
                return true;
        if (sscanf(line, "set %31s %31s", name, value) == 2)
                return set(s, name, value);
        if (begins(line, "S: ") || begins(line, "B: ") || strcmp(line, "B:") == 0) {
                struct text *to = line[0] == 'S' ? &s->server : &s->backend;

                if (line[2])
                        script_add(to, line + 3, strlen(line + 3));
                script_add(to, "\n", 1);
                if (s->n_turns == 0)
                        s->turns[s->n_turns++].client_end = 0;
                s->turns[s->n_turns - 1].server_end = s->server.len;
                *after_server = true;
                return true;
        }
        if (sscanf(line, "C*%u:%n", &times, &used) == 1 && used)
                memmove(line, line + used - 2, strlen(line + used - 2) + 1);
        else if (!begins(line, "c: ") && !begins(line, "C:"))
                return false;
        if (*after_server || s->n_turns == 0)
                s->n_turns++;
        *after_server = false;
        for (unsigned int i = 0; i < times; i++) {
                const char *text = line[2] ? line + 3 : "";

                if (line[0] == 'c') {
                        add_escaped(&s->client, text);
                        continue;
                }
                script_add(&s->client, text, strlen(text));
                script_add(&s->client, "\r\n", 2);
        }
        s->turns[s->n_turns - 1].client_end = s->client.len;
        s->turns[s->n_turns - 1].server_end = s->server.len;
        return s->n_turns < SCRIPT_TURNS_MAX;
}

bool script_read(struct script *ret, const char *dir, const char *name)
{
        static char line[64 * 1024];
        char path[1024];
        bool after_server = false;
        int number = 0;
        FILE *file;

        memset(ret, 0, sizeof(*ret));
        snprintf(ret->name, sizeof(ret->name), "%s", name);
        smtp_conf_init(&ret->conf);
        smtp_data_conf_init(&ret->data_conf);
        ret->greet = SMTP_ACCEPT;
        snprintf(path, sizeof(path), "%s/%s", dir, name);
        file = fopen(path, "r");
        if (!file) {
                perror(path);
                return false;
        }
        while (fgets(line, sizeof(line), file)) {
                number++;
                line[strcspn(line, "\n")] = '\0';
                if (!read_line(ret, line, &after_server)) {
                        fprintf(stderr, "%s:%d: not a script line: %s\n", path, number, line);
                        fclose(file);
                        return false;
                }
        }
        fclose(file);
        return true;
}
