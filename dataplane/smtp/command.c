/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/smtp/command.h"

#include <string.h>

#include "dataplane/smtp/ascii.h"

#define IN(state) (1u << (state))

#define IN_SESSION (IN(SMTP_ST_GREETED) | IN(SMTP_ST_HELLO) | IN(SMTP_ST_MAIL) | IN(SMTP_ST_RCPT))

void smtp_command_fail(struct smtp_action *ret, enum smtp_reply reply, enum smtp_fault fault)
{
        ret->act = SMTP_ACT_REPLY;
        ret->reply = reply;
        ret->fault = fault;
}

void smtp_command_fail_non_smtp(struct smtp_action *ret)
{
        smtp_command_fail(ret, SMTP_REPLY_NON_SMTP, SMTP_FAULT_NON_SMTP);
        ret->act = SMTP_ACT_NON_SMTP;
}

static void answer(struct smtp_action *ret, enum smtp_act act, enum smtp_reply reply)
{
        ret->act = act;
        ret->reply = reply;
}

static void fail_argument(struct smtp_action *ret)
{
        smtp_command_fail(ret, SMTP_REPLY_BAD_ARGUMENT, SMTP_FAULT_SYNTAX);
}

/* Without the argument that the client must not give (RFC 5321 4.1.1: RSET, DATA, QUIT). */
static void parse_bare(size_t len, enum smtp_act act, enum smtp_reply reply, struct smtp_action *ret)
{
        if (len)
                fail_argument(ret);
        else
                answer(ret, act, reply);
}

static void parse_hello(bool is_ehlo, const char *arg, size_t len, struct smtp_action *ret)
{
        const char *space = memchr(arg, ' ', len);

        /* RFC 5321 4.1.1.1: be prepared for text behind the name, which nobody has to read. */
        if (space)
                len = (size_t)(space - arg);
        if (len == 0 || len > SMTP_DOMAIN_MAX) {
                fail_argument(ret);
                return;
        }
        for (size_t i = 0; i < len; i++) {
                if (!ascii_is_print(arg[i])) {
                        fail_argument(ret);
                        return;
                }
        }
        ret->act = SMTP_ACT_HELLO;
        ret->is_ehlo = is_ehlo;
        ret->name_len = (uint16_t)len;
        memcpy(ret->name, arg, len);
        ret->name[len] = '\0';
}

static void parse_ehlo(const struct smtp_conf *conf, const char *arg, size_t len, struct smtp_action *ret)
{
        parse_hello(true, arg, len, ret);
}

static void parse_helo(const struct smtp_conf *conf, const char *arg, size_t len, struct smtp_action *ret)
{
        parse_hello(false, arg, len, ret);
}

/* "FROM:<path>" or "TO:<path>". Returns the octets used, 0 after the action was made an error. */
static size_t parse_path(const char *word, unsigned int may_be, enum smtp_reply bad, const char *arg,
                         size_t len, struct smtp_action *ret)
{
        size_t at = strlen(word);
        size_t used = 0;

        if (len < at || !ascii_is_word(arg, at, word)) {
                fail_argument(ret);
                return 0;
        }
        /* 3.3 forbids a space here; so many clients send one that refusing it would only lose mail. */
        while (at < len && arg[at] == ' ')
                at++;
        switch (smtp_path_parse(arg + at, len - at, may_be, &ret->path, &used)) {
        case SMTP_PATH_OK:
                if (at + used == len || arg[at + used] == ' ')
                        return at + used;
                smtp_command_fail(ret, bad, SMTP_FAULT_SYNTAX);
                return 0;
        case SMTP_PATH_TOO_LONG:
                smtp_command_fail(ret, SMTP_REPLY_PATH_TOO_LONG, SMTP_FAULT_SYNTAX);
                return 0;
        case SMTP_PATH_NON_ASCII:
                smtp_command_fail(ret, SMTP_REPLY_NON_ASCII, SMTP_FAULT_SYNTAX);
                return 0;
        case SMTP_PATH_BAD:
                break;
        }
        smtp_command_fail(ret, bad, SMTP_FAULT_SYNTAX);
        return 0;
}

/* One parameter: esmtp-keyword ["=" esmtp-value] (4.1.2). */
struct parameter {
        const char *name;
        size_t name_len;
        const char *value; /* NULL where there is no '=' */
        size_t value_len;
};

/* Take the next parameter from the rest of a line. Returns 1, 0 at the end, or -1 where it is malformed. */
static int next_parameter(const char **at, const char *end, struct parameter *ret)
{
        const char *start, *stop;

        while (*at < end && **at == ' ')
                (*at)++;
        if (*at == end)
                return 0;
        start = *at;
        stop = memchr(start, ' ', (size_t)(end - start));
        if (!stop)
                stop = end;
        *at = stop;
        ret->name = start;
        ret->value = memchr(start, '=', (size_t)(stop - start));
        ret->name_len = (size_t)((ret->value ? ret->value : stop) - start);
        if (ret->value)
                ret->value++;
        ret->value_len = ret->value ? (size_t)(stop - ret->value) : 0;
        if (ret->name_len == 0 || !ascii_is_alnum(ret->name[0]) || (ret->value && ret->value_len == 0))
                return -1;
        for (size_t i = 0; i < ret->name_len; i++)
                if (!ascii_is_alnum(ret->name[i]) && ret->name[i] != '-')
                        return -1;
        for (size_t i = 0; i < ret->value_len; i++)
                if (!ascii_is_print(ret->value[i]) || ret->value[i] == '=')
                        return -1;
        return 1;
}

/* size-value = 1*20DIGIT; twenty nines do not fit into 64 bits, and mean "too big" all the same. */
static bool parse_size(const struct parameter *p, uint64_t *ret)
{
        uint64_t size = 0;

        if (p->value_len == 0 || p->value_len > SMTP_SIZE_DIGITS_MAX)
                return false;
        for (size_t i = 0; i < p->value_len; i++) {
                if (!ascii_is_digit(p->value[i]))
                        return false;
                if (__builtin_mul_overflow(size, 10u, &size) ||
                    __builtin_add_overflow(size, (uint64_t)(p->value[i] - '0'), &size))
                        size = UINT64_MAX;
        }
        *ret = size;
        return true;
}

/* Take one MAIL parameter into the action. Returns the reply that refuses it, or SMTP_REPLY_NONE. */
static enum smtp_reply take_mail_parameter(const struct smtp_conf *conf, const struct parameter *p,
                                           struct smtp_action *ret)
{
        if (ascii_is_word(p->name, p->name_len, "size") && (conf->ext & SMTP_EXT_SIZE)) {
                if (ret->has_size || !parse_size(p, &ret->size))
                        return SMTP_REPLY_BAD_ARGUMENT;
                ret->has_size = true;
                return SMTP_REPLY_NONE;
        }
        if (ascii_is_word(p->name, p->name_len, "body") && (conf->ext & SMTP_EXT_8BITMIME)) {
                if (ret->has_body)
                        return SMTP_REPLY_BAD_ARGUMENT;
                ret->has_body = true;
                ret->is_8bit = ascii_is_word(p->value, p->value_len, "8bitmime");
                /* BINARYMIME belongs to CHUNKING (RFC 3030), which is not offered. */
                return ret->is_8bit || ascii_is_word(p->value, p->value_len, "7bit")
                           ? SMTP_REPLY_NONE
                           : SMTP_REPLY_BAD_ARGUMENT;
        }
        return SMTP_REPLY_UNKNOWN_PARAMETER;
}

static void parse_mail(const struct smtp_conf *conf, const char *arg, size_t len, struct smtp_action *ret)
{
        size_t used = parse_path("from:", SMTP_PATH_MAY_BE_NULL | SMTP_PATH_MAY_BE_LONG,
                                 SMTP_REPLY_BAD_SENDER, arg, len, ret);
        const char *at = arg + used;
        struct parameter parameter;
        int more;

        if (used == 0)
                return;
        while ((more = next_parameter(&at, arg + len, &parameter)) > 0) {
                enum smtp_reply reply = take_mail_parameter(conf, &parameter, ret);

                if (reply != SMTP_REPLY_NONE) {
                        smtp_command_fail(ret, reply, SMTP_FAULT_SYNTAX);
                        return;
                }
        }
        if (more < 0) {
                fail_argument(ret);
        } else if (conf->size_max && ret->size > conf->size_max) {
                /* RFC 1870, 6.1 */
                smtp_command_fail(ret, SMTP_REPLY_SIZE_LIMIT, SMTP_FAULT_SIZE);
                ret->number = conf->size_max;
        } else {
                ret->act = SMTP_ACT_MAIL;
        }
}

static void parse_rcpt(const struct smtp_conf *conf, const char *arg, size_t len, struct smtp_action *ret)
{
        size_t used = parse_path("to:", SMTP_PATH_MAY_BE_POSTMASTER, SMTP_REPLY_BAD_RCPT, arg, len, ret);
        const char *at = arg + used;
        struct parameter parameter;
        int more;

        if (used == 0)
                return;
        more = next_parameter(&at, arg + len, &parameter);
        /* No extension that is implemented has a parameter for RCPT. */
        if (more > 0)
                smtp_command_fail(ret, SMTP_REPLY_UNKNOWN_PARAMETER, SMTP_FAULT_SYNTAX);
        else if (more < 0)
                fail_argument(ret);
        else
                ret->act = SMTP_ACT_RCPT;
}

static void parse_data(const struct smtp_conf *conf, const char *arg, size_t len, struct smtp_action *ret)
{
        parse_bare(len, SMTP_ACT_DATA, SMTP_REPLY_NONE, ret);
}

static void parse_rset(const struct smtp_conf *conf, const char *arg, size_t len, struct smtp_action *ret)
{
        parse_bare(len, SMTP_ACT_RSET, SMTP_REPLY_OK, ret);
}

static void parse_quit(const struct smtp_conf *conf, const char *arg, size_t len, struct smtp_action *ret)
{
        parse_bare(len, SMTP_ACT_QUIT, SMTP_REPLY_QUIT, ret);
}

/* RFC 3207, 4: no parameters; offered only where conf says so. */
static void parse_starttls(const struct smtp_conf *conf, const char *arg, size_t len, struct smtp_action *ret)
{
        if ((conf->ext & SMTP_EXT_STARTTLS) == 0 && conf->tls_down)
                smtp_command_fail(ret, SMTP_REPLY_TLS_UNAVAILABLE, SMTP_FAULT_TLS);
        else if ((conf->ext & SMTP_EXT_STARTTLS) == 0)
                smtp_command_fail(ret, SMTP_REPLY_NOT_IMPLEMENTED, SMTP_FAULT_UNKNOWN);
        else
                parse_bare(len, SMTP_ACT_STARTTLS, SMTP_REPLY_NONE, ret);
}

/* 4.1.1.9: an argument is allowed and ignored. */
static void parse_noop(const struct smtp_conf *conf, const char *arg, size_t len, struct smtp_action *ret)
{
        answer(ret, SMTP_ACT_REPLY, SMTP_REPLY_OK);
}

static void parse_vrfy(const struct smtp_conf *conf, const char *arg, size_t len, struct smtp_action *ret)
{
        if (len == 0)
                fail_argument(ret);
        else
                answer(ret, SMTP_ACT_REPLY, SMTP_REPLY_VRFY);
}

static void parse_help(const struct smtp_conf *conf, const char *arg, size_t len, struct smtp_action *ret)
{
        answer(ret, SMTP_ACT_REPLY, SMTP_REPLY_HELP);
}

/* 4.2.4: 502 for a command that is known and not implemented, 500 for one that is not known. */
static void parse_known(const struct smtp_conf *conf, const char *arg, size_t len, struct smtp_action *ret)
{
        smtp_command_fail(ret, SMTP_REPLY_NOT_IMPLEMENTED, SMTP_FAULT_UNKNOWN);
}

static void parse_http(const struct smtp_conf *conf, const char *arg, size_t len, struct smtp_action *ret)
{
        smtp_command_fail_non_smtp(ret);
}

static const struct smtp_command commands[] = {
        { "ehlo", IN_SESSION, SMTP_COMMAND_LAST | SMTP_COMMAND_IDLE | SMTP_COMMAND_CLEAR, parse_ehlo },
        { "helo", IN_SESSION, SMTP_COMMAND_LAST | SMTP_COMMAND_IDLE | SMTP_COMMAND_CLEAR, parse_helo },
        { "mail", IN(SMTP_ST_HELLO), SMTP_COMMAND_LONG, parse_mail },
        { "rcpt", IN(SMTP_ST_MAIL) | IN(SMTP_ST_RCPT), 0, parse_rcpt },
        { "data", IN(SMTP_ST_RCPT), SMTP_COMMAND_LAST, parse_data },
        { "rset", IN_SESSION, SMTP_COMMAND_IDLE | SMTP_COMMAND_CLEAR, parse_rset },
        { "noop", IN_SESSION, SMTP_COMMAND_LAST | SMTP_COMMAND_IDLE | SMTP_COMMAND_CLEAR, parse_noop },
        { "quit", IN_SESSION | IN(SMTP_ST_REFUSED), SMTP_COMMAND_LAST | SMTP_COMMAND_CLEAR, parse_quit },
        { "vrfy", IN_SESSION, SMTP_COMMAND_LAST | SMTP_COMMAND_IDLE, parse_vrfy },
        { "help", IN_SESSION, SMTP_COMMAND_IDLE, parse_help },
        { "expn", IN_SESSION, SMTP_COMMAND_LAST, parse_known },
        { "starttls", IN_SESSION, SMTP_COMMAND_LAST | SMTP_COMMAND_IDLE | SMTP_COMMAND_CLEAR | SMTP_COMMAND_TLS,
          parse_starttls },
        { "auth", IN_SESSION, SMTP_COMMAND_LAST, parse_known },
        { "bdat", IN_SESSION, 0, parse_known },
        { "etrn", IN_SESSION, SMTP_COMMAND_LAST, parse_known },
        { "turn", IN_SESSION, SMTP_COMMAND_LAST, parse_known },
        { "send", IN_SESSION, 0, parse_known },
        { "soml", IN_SESSION, 0, parse_known },
        { "saml", IN_SESSION, 0, parse_known },
        { "xclient", IN_SESSION, SMTP_COMMAND_LAST, parse_known },
        { "xforward", IN_SESSION, 0, parse_known },
        { "get", IN_SESSION, SMTP_COMMAND_CLEAR, parse_http },
        { "post", IN_SESSION, SMTP_COMMAND_CLEAR, parse_http },
        { "put", IN_SESSION, SMTP_COMMAND_CLEAR, parse_http },
        { "head", IN_SESSION, SMTP_COMMAND_CLEAR, parse_http },
        { "connect", IN_SESSION, SMTP_COMMAND_CLEAR, parse_http },
        { "options", IN_SESSION, SMTP_COMMAND_CLEAR, parse_http },
        { "delete", IN_SESSION, SMTP_COMMAND_CLEAR, parse_http },
};

const struct smtp_command *smtp_command_lookup(const char *line, size_t len, size_t *ret_verb_len)
{
        const char *space = memchr(line, ' ', len);
        size_t verb_len = space ? (size_t)(space - line) : len;

        *ret_verb_len = verb_len;
        for (size_t i = 0; i < ARRAY_LEN(commands); i++)
                if (ascii_is_word(line, verb_len, commands[i].name))
                        return &commands[i];
        return NULL;
}
