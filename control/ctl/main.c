/* SPDX-License-Identifier: Apache-2.0 */
/*
 * greylinectl: the operator's command. A table of commands says what each takes; control does the work, but
 * for "policy check", which compiles the file here and needs no daemon.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/ctl/ask.h"
#include "control/ctl/print.h"
#include "control/policy/policy.h"
#include "control/taken.h"
#include "dataplane/shared/paths.h"

#define OPTIONS_MAX 6

struct option_row {
        const char *name; /* without the dashes; NULL ends the list */
        bool is_number;
};

struct command {
        const char *name;
        const char *argument; /* name of the one plain argument in args; NULL: none */
        bool is_optional;     /* the plain argument may be missing */
        bool is_number;       /* the plain argument is a number */
        struct option_row options[OPTIONS_MAX];
        ctl_print_fn print;
        const char *help;
};

#define TRIPLET                                                                                              \
        {                                                                                                    \
                { "client" }, { "sender" }, { "recipient" }, { "key" },                                      \
                {                                                                                            \
                        NULL                                                                                 \
                }                                                                                            \
        }

static const struct command commands[] = {
        { "status", NULL, false, false, { { NULL } }, ctl_print_object, "how the appliance is" },
        { "policy check",
          "file",
          false,
          false,
          { { "site" }, { NULL } },
          NULL,
          "check a policy file and say what it costs; needs no daemon" },
        { "policy push",
          "file",
          false,
          false,
          { { NULL } },
          ctl_print_push,
          "bring a policy file into force" },
        { "policy versions",
          NULL,
          false,
          false,
          { { NULL } },
          ctl_print_versions,
          "list the stored versions" },
        { "policy rollback",
          "version",
          true,
          true,
          { { NULL } },
          ctl_print_push,
          "bring an older version into force; without a number the one before" },
        { "policy show", "version", true, true, { { NULL } }, ctl_print_yaml, "print the YAML of a version" },
        { "grey list",
          NULL,
          false,
          false,
          { { "domain" }, { "sender" }, { "recipient" }, { "client" }, { "limit", true }, { NULL } },
          ctl_print_grey_list,
          "list triplets, newest first; --domain of sender or recipient" },
        { "grey show", NULL, false, false, TRIPLET, ctl_print_object,
          "what the greylist knows about a triplet" },
        { "grey pass", NULL, false, false, TRIPLET, ctl_print_object, "let a triplet pass from now on" },
        { "grey remove", NULL, false, false, TRIPLET, ctl_print_object,
          "take a pass back: the wait of a triplet starts now" },
        { "client show",
          "address",
          false,
          false,
          { { NULL } },
          ctl_print_client,
          "what DNS says about a client" },
        { "zones", NULL, false, false, { { NULL } }, ctl_print_zones, "DNS zones, their health and hits" },
        { "backends", NULL, false, false, { { NULL } }, ctl_print_backends, "backends and their health" },
        { "explain",
          "id",
          false,
          false,
          { { NULL } },
          ctl_print_explain,
          "why a client got the reply with this id in brackets" },
        { "counters",
          NULL,
          false,
          false,
          { { NULL } },
          ctl_print_counters,
          "every counter, all workers together" },
        { "drain",
          NULL,
          false,
          false,
          { { NULL } },
          ctl_print_object,
          "take no new sessions, let the open ones end" },
        { "undrain", NULL, false, false, { { NULL } }, ctl_print_object, "take new sessions again" },
};

static void print_usage(FILE *out)
{
        fputs("usage: greylinectl [--run-dir DIR] [--json] COMMAND ...\n\n", out);
        for (unsigned i = 0; i < ARRAY_LEN(commands); i++) {
                const struct command *command = &commands[i];
                char line[200];
                int len = snprintf(line, sizeof(line), "%s", command->name);

                if (command->argument)
                        len += snprintf(line + len, sizeof(line) - (size_t)len,
                                        command->is_optional ? " [%s]" : " %s", command->argument);
                for (unsigned o = 0; command->options[o].name; o++)
                        len += snprintf(line + len, sizeof(line) - (size_t)len, " [--%s X]",
                                        command->options[o].name);
                fprintf(out, "  %s\n      %s\n", line, command->help);
        }
}

struct call {
        const char *run_dir;
        bool is_json;
        const struct command *command;
        const char *argument;
        json_t *args;
};

static void complain(const char *text)
{
        fputs("greylinectl: ", stderr);
        ctl_print_safe(stderr, text);
        fputc('\n', stderr);
}

/* Report a failure as the caller wants to read it. Returns the exit code. */
static int fail(const struct call *call, const char *error)
{
        if (call->is_json) {
                json_t *root = json_pack("{s:b, s:s}", "ok", 0, "error", error);

                json_dumpf(root, stdout, JSON_COMPACT);
                fputc('\n', stdout);
                json_decref(root);
        } else {
                complain(error);
        }
        return 1;
}

/* ---- the command line ------------------------------------------------------------------------------- */

static const struct command *find_command(int argc, char **argv, int *at)
{
        for (unsigned i = 0; i < ARRAY_LEN(commands); i++) {
                const char *name = commands[i].name;
                const char *space = strchr(name, ' ');
                size_t len = space ? (size_t)(space - name) : strlen(name);

                if (strlen(argv[*at]) != len || memcmp(argv[*at], name, len) != 0)
                        continue;
                if (space && (*at + 1 >= argc || strcmp(argv[*at + 1], space + 1) != 0))
                        continue;
                *at += space ? 2 : 1;
                return &commands[i];
        }
        return NULL;
}

static int set_value(json_t *args, const char *name, bool is_number, const char *text)
{
        char *end;
        long long number;

        if (!is_number)
                return json_object_set_new(args, name, json_string(text));
        errno = 0;
        number = strtoll(text, &end, 10);
        if (*text == '\0' || *end != '\0' || errno != 0)
                return -1;
        return json_object_set_new(args, name, json_integer(number));
}

/* One word after the command. Returns how many words it took, or -1. */
static int parse_word(struct call *call, int left, char **words)
{
        const struct command *command = call->command;

        if (words[0][0] != '-' || words[0][1] != '-') {
                if (command->argument == NULL || call->argument)
                        return -1;
                call->argument = words[0];
                return set_value(call->args, command->argument, command->is_number, words[0]) == 0 ? 1 : -1;
        }
        for (unsigned o = 0; command->options[o].name; o++) {
                const struct option_row *option = &command->options[o];

                if (strcmp(words[0] + 2, option->name) != 0)
                        continue;
                if (left < 2)
                        return -1;
                return set_value(call->args, option->name, option->is_number, words[1]) == 0 ? 2 : -1;
        }
        return -1;
}

static int parse(int argc, char **argv, struct call *call)
{
        int at = 1;

        while (at < argc) {
                int took = 1;

                if (strcmp(argv[at], "--json") == 0) {
                        call->is_json = true;
                } else if (strcmp(argv[at], "--run-dir") == 0 && at + 1 < argc) {
                        call->run_dir = argv[at + 1];
                        took = 2;
                } else if (strcmp(argv[at], "--help") == 0) {
                        print_usage(stdout);
                        exit(0);
                } else if (call->command == NULL) {
                        call->command = find_command(argc, argv, &at);
                        if (call->command == NULL)
                                return -1;
                        continue;
                } else {
                        took = parse_word(call, argc - at, argv + at);
                        if (took < 0)
                                return -1;
                }
                at += took;
        }
        return call->command &&
                       (call->argument || call->command->argument == NULL || call->command->is_optional)
                   ? 0
                   : -1;
}

/* ---- policy check ----------------------------------------------------------------------------------- */

static void print_check(const struct image *image, bool is_json)
{
        struct policy_sizing sizing;
        char text[2048];
        json_t *root;

        policy_sizing(image, &sizing);
        if (!is_json) {
                policy_sizing_text(&sizing, text, sizeof(text));
                fputs(text, stdout);
                return;
        }
        root = json_pack("{s:b, s:I, s:I, s:I, s:i, s:i, s:i}", "ok", 1, "image_bytes",
                         (json_int_t)sizing.image_bytes, "total_bytes", (json_int_t)sizing.total_bytes,
                         "packet_bytes", (json_int_t)sizing.packet_bytes, "hugepages_2m",
                         (int)sizing.hugepages_2m, "dns_queries_v4", (int)sizing.dns_queries_v4,
                         "greeting_delay_ms", (int)sizing.greeting_delay_ms);
        json_dumpf(root, stdout, JSON_COMPACT);
        fputc('\n', stdout);
        json_decref(root);
}

static int run_check(const struct call *call)
{
        const char *site = json_string_value(json_object_get(call->args, "site"));
        struct policy_options options = { .generation = 1,
                                          .now_sec = (uint64_t)time(NULL),
                                          .memory_bytes = policy_machine_bytes() };
        static struct policy_errors errors; /* large, and used once */
        void *image = NULL;
        char text[POLICY_ERRORS_MAX * POLICY_ERROR_TEXT_MAX + 100];
        size_t len;
        int r;

        r = policy_compile_file(call->argument, site, &options, &errors, &image, &len);
        if (r < 0) {
                if (r == -EINVAL)
                        policy_errors_text(&errors, text, sizeof(text));
                else
                        snprintf(text, sizeof(text), "%s: %s", call->argument, strerror(-r));
                if (call->is_json)
                        return fail(call, text);
                ctl_print_safe(stderr, text);
                if (text[0] && text[strlen(text) - 1] != '\n')
                        fputc('\n', stderr);
                return 1;
        }
        print_check(image, call->is_json);
        free(image);
        return 0;
}

/* ---- everything else -------------------------------------------------------------------------------- */

/* Put the file's content and its full path into the request. */
static int add_file(const struct call *call)
{
        char *path = realpath(call->argument, NULL);
        char *text = NULL;
        json_t *content;
        char error[600];
        size_t len;
        int r = path ? taken_read_file(path, 6u << 20, &text, &len) : -errno;

        if (r < 0) {
                snprintf(error, sizeof(error), "%s cannot be read: %s", call->argument, strerror(-r));
                free(path);
                return fail(call, error);
        }
        content = json_stringn(text, len);
        free(text);
        json_object_del(call->args, "file");
        r = json_object_set_new(call->args, "path", json_string(path));
        free(path);
        if (content == NULL || r < 0)
                return fail(call, "the file is not valid UTF-8");
        json_object_set_new(call->args, "content", content);
        return 0;
}

static int run_remote(const struct call *call)
{
        json_t *answer, *result;
        const char *text;
        char error[512];
        int r = 0;

        if (strcmp(call->command->name, "policy push") == 0 && add_file(call) != 0)
                return 1;
        if (ctl_ask(call->run_dir, call->command->name, json_incref(call->args), &answer, error,
                    sizeof(error)) < 0)
                return fail(call, error);
        result = json_object_get(answer, "result");
        text = json_string_value(json_object_get(answer, "error"));
        if (!json_is_true(json_object_get(answer, "ok")) || result == NULL) {
                r = fail(call, text ? text : "greyline-control gave no reason");
        } else if (call->is_json) {
                json_dumpf(result, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
                fputc('\n', stdout);
        } else {
                call->command->print(stdout, result);
        }
        json_decref(answer);
        return r;
}

int main(int argc, char **argv)
{
        struct call call = { .run_dir = PATHS_RUN_DIR, .args = json_object() };
        int r;

        if (call.args == NULL)
                return 1;
        if (parse(argc, argv, &call) < 0) {
                print_usage(stderr);
                json_decref(call.args);
                return 2;
        }
        r = strcmp(call.command->name, "policy check") == 0 ? run_check(&call) : run_remote(&call);
        json_decref(call.args);
        return r;
}
