/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/smtp/machine.h"

#include <string.h>

#include "dataplane/smtp/ascii.h"
#include "dataplane/smtp/command.h"

enum {
        FLAG_EHLO = 0x01,         /* the accepted greeting was EHLO; smtp_is_ehlo() knows this bit */
        FLAG_PENDING_EHLO = 0x02, /* the one that waits for its decision is EHLO */
        FLAG_DISCARD = 0x04,      /* throwing a line away up to its CR LF */
        FLAG_DISCARD_MUTE = 0x08, /* and the reply to it was given already */
        FLAG_TLS = 0x10,          /* STARTTLS was accepted; smtp_is_tls() knows this bit */
};

#define IN(state) (1u << (state))

/* Which states may follow which. */
static const uint16_t moves[SMTP_ST_USED] = {
        [SMTP_ST_CONNECT] = IN(SMTP_ST_GREETED) | IN(SMTP_ST_REFUSED) | IN(SMTP_ST_CLOSED),
        [SMTP_ST_GREETED] = IN(SMTP_ST_HELLO) | IN(SMTP_ST_CLOSED),
        [SMTP_ST_HELLO] = IN(SMTP_ST_HELLO) | IN(SMTP_ST_MAIL) | IN(SMTP_ST_GREETED) | IN(SMTP_ST_CLOSED),
        [SMTP_ST_MAIL] = IN(SMTP_ST_RCPT) | IN(SMTP_ST_HELLO) | IN(SMTP_ST_CLOSED),
        [SMTP_ST_RCPT] = IN(SMTP_ST_RCPT) | IN(SMTP_ST_DATA) | IN(SMTP_ST_HELLO) | IN(SMTP_ST_CLOSED),
        [SMTP_ST_DATA] = IN(SMTP_ST_HELLO) | IN(SMTP_ST_CLOSED),
        [SMTP_ST_REFUSED] = IN(SMTP_ST_CLOSED),
        [SMTP_ST_CLOSED] = IN(SMTP_ST_CLOSED),
};

/* Where an accepted action leads, and the usual words for it. */
static const struct accepted {
        uint8_t state;
        enum smtp_reply reply;
} accepted[] = {
        [SMTP_ACT_HELLO] = { SMTP_ST_HELLO, SMTP_REPLY_HELO },
        [SMTP_ACT_MAIL] = { SMTP_ST_MAIL, SMTP_REPLY_MAIL_OK },
        [SMTP_ACT_RCPT] = { SMTP_ST_RCPT, SMTP_REPLY_RCPT_OK },
        [SMTP_ACT_DATA] = { SMTP_ST_DATA, SMTP_REPLY_DATA_GO },
        [SMTP_ACT_STARTTLS] = { SMTP_ST_GREETED, SMTP_REPLY_TLS_GO },
};

static const char *const state_names[SMTP_ST_USED] = {
        [SMTP_ST_CONNECT] = "connect", [SMTP_ST_GREETED] = "greeted", [SMTP_ST_HELLO] = "hello",
        [SMTP_ST_MAIL] = "mail",       [SMTP_ST_RCPT] = "rcpt",       [SMTP_ST_DATA] = "data",
        [SMTP_ST_REFUSED] = "refused", [SMTP_ST_CLOSED] = "closed",
};

const char *smtp_state_name(enum smtp_state state)
{
        return (unsigned int)state < SMTP_ST_USED ? state_names[state] : "?";
}

void smtp_conf_init(struct smtp_conf *conf)
{
        *conf = (struct smtp_conf){
                .ext = SMTP_EXT_DEFAULT,
                .rcpt_max = SMTP_RCPT_MAX,
                .errors_max = SMTP_ERRORS_MAX,
                .idle_commands_max = SMTP_IDLE_COMMANDS_MAX,
        };
}

void smtp_init(struct smtp_machine *machine)
{
        *machine = (struct smtp_machine){ .state = SMTP_ST_CONNECT };
}

/* The only writer of ->state. */
static void move(struct smtp_machine *m, enum smtp_state to)
{
        BUG_ON((moves[m->state] & IN(to)) == 0);
        m->state = (uint8_t)to;
}

static bool in_transaction(const struct smtp_machine *m)
{
        return m->state == SMTP_ST_MAIL || m->state == SMTP_ST_RCPT;
}

static void count_u8(uint8_t *counter)
{
        if (*counter < UINT8_MAX)
                (*counter)++;
}

void smtp_greet(struct smtp_machine *machine, enum smtp_decision decision)
{
        if (machine->state != SMTP_ST_CONNECT)
                return;
        if (decision == SMTP_ACCEPT)
                move(machine, SMTP_ST_GREETED);
        else
                move(machine, decision == SMTP_CLOSE ? SMTP_ST_CLOSED : SMTP_ST_REFUSED);
}

void smtp_close(struct smtp_machine *machine)
{
        machine->pending = SMTP_ACT_NONE;
        move(machine, SMTP_ST_CLOSED);
}

void smtp_drop_transaction(struct smtp_machine *machine)
{
        if (in_transaction(machine))
                move(machine, SMTP_ST_HELLO);
}

static enum smtp_reply accept_pending(struct smtp_machine *m, enum smtp_act act)
{
        enum smtp_reply reply = accepted[act].reply;

        move(m, (enum smtp_state)accepted[act].state);
        if (act == SMTP_ACT_HELLO) {
                /* 4.1.4: this clears all buffers as RSET does; the recipients are counted anew from MAIL on. */
                m->flags &= (uint8_t)~FLAG_EHLO;
                if (m->flags & FLAG_PENDING_EHLO) {
                        m->flags |= FLAG_EHLO;
                        reply = SMTP_REPLY_EHLO;
                }
        } else if (act == SMTP_ACT_MAIL) {
                m->rcpts = 0;
                m->rcpts_refused = 0;
        } else if (act == SMTP_ACT_RCPT) {
                m->rcpts++;
        } else if (act == SMTP_ACT_STARTTLS) {
                /* RFC 3207 4.2: nothing that the client has said before counts, its EHLO included. */
                m->flags = FLAG_TLS;
        }
        return reply;
}

enum smtp_reply smtp_decide(struct smtp_machine *machine, enum smtp_decision decision)
{
        enum smtp_act act = (enum smtp_act)machine->pending;

        if (act == SMTP_ACT_NONE)
                return SMTP_REPLY_NONE;
        machine->pending = SMTP_ACT_NONE;
        switch (decision) {
        case SMTP_ACCEPT:
                /* The state may have lost its transaction while the decision was waited for. */
                if (act == SMTP_ACT_NON_SMTP || (moves[machine->state] & IN(accepted[act].state)) == 0)
                        return SMTP_REPLY_NONE;
                return accept_pending(machine, act);
        case SMTP_REFUSE_ERROR:
                count_u8(&machine->errors);
                /* fall through */
        case SMTP_REFUSE:
                if (act == SMTP_ACT_RCPT && machine->rcpts_refused < UINT16_MAX)
                        machine->rcpts_refused++;
                return SMTP_REPLY_NONE;
        case SMTP_CLOSE:
                break;
        }
        move(machine, SMTP_ST_CLOSED);
        return SMTP_REPLY_NONE;
}

enum smtp_reply smtp_data_end(struct smtp_machine *machine, enum smtp_decision decision)
{
        if (machine->state != SMTP_ST_DATA)
                return SMTP_REPLY_NONE;
        move(machine, decision == SMTP_CLOSE ? SMTP_ST_CLOSED : SMTP_ST_HELLO);
        machine->idle_commands = 0;
        if (decision == SMTP_REFUSE_ERROR)
                count_u8(&machine->errors);
        return decision == SMTP_ACCEPT ? SMTP_REPLY_DATA_OK : SMTP_REPLY_NONE;
}

/* Why a known command is out of order now, in words that say what to send first. */
static enum smtp_reply sequence_reply(const struct smtp_machine *m, enum smtp_act act)
{
        if (m->state == SMTP_ST_REFUSED)
                return SMTP_REPLY_ONLY_QUIT;
        if (m->state == SMTP_ST_GREETED)
                return SMTP_REPLY_HELLO_FIRST;
        if (act == SMTP_ACT_MAIL)
                return SMTP_REPLY_MAIL_TWICE;
        if (act == SMTP_ACT_STARTTLS)
                return SMTP_REPLY_TLS_LATE;
        if (m->state != SMTP_ST_MAIL)
                return SMTP_REPLY_MAIL_FIRST;
        /* RFC 5321 3.3: 554 or 503 where no recipient was accepted. */
        return m->rcpts_refused ? SMTP_REPLY_NO_VALID_RCPT : SMTP_REPLY_RCPT_FIRST;
}

/* "Subject:", "Host:": a mail or HTTP header where a command should be. */
static bool is_header_line(const char *line, size_t verb_len)
{
        if (verb_len < 2 || line[verb_len - 1] != ':')
                return false;
        for (size_t i = 0; i < verb_len - 1; i++)
                if (!ascii_is_alnum(line[i]) && line[i] != '-')
                        return false;
        return true;
}

static void unknown_command(const struct smtp_machine *m, const char *line, size_t verb_len,
                            struct smtp_action *ret)
{
        if (m->state == SMTP_ST_REFUSED) {
                smtp_command_fail(ret, SMTP_REPLY_ONLY_QUIT, SMTP_FAULT_SEQUENCE);
        } else if (is_header_line(line, verb_len)) {
                smtp_command_fail_non_smtp(ret);
        } else {
                smtp_command_fail(ret, SMTP_REPLY_UNKNOWN_COMMAND, SMTP_FAULT_UNKNOWN);
        }
}

/* What this client may use: parameters are for those who said EHLO (RFC 5321 4.1.1.2 and 2.2.1). */
static struct smtp_conf client_conf(const struct smtp_machine *m, const struct smtp_conf *conf)
{
        struct smtp_conf allowed = *conf;

        allowed.ext &= (m->flags & FLAG_EHLO) ? SMTP_EXT_IMPLEMENTED : 0;
        if (m->flags & FLAG_TLS) {
                allowed.ext &= ~(uint32_t)SMTP_EXT_STARTTLS;
                allowed.tls_down = false;
        }
        return allowed;
}

/* Limits that hold whatever the recipient is. Rejecting additional ones, never those accepted (4.5.3.1.8). */
static bool too_many_rcpts(const struct smtp_machine *m, const struct smtp_conf *conf)
{
        return m->rcpts >= conf->rcpt_max || m->rcpts_refused >= 2u * conf->rcpt_max;
}

/* Must this command wait for TLS? */
static bool wants_tls(const struct smtp_machine *m, const struct smtp_conf *conf, const struct smtp_command *command)
{
        return conf->tls_required && (m->flags & FLAG_TLS) == 0 && m->state != SMTP_ST_REFUSED &&
               (command->flags & SMTP_COMMAND_CLEAR) == 0;
}

/* What the state says to a command that has been parsed. */
static void check_order(const struct smtp_machine *m, const struct smtp_conf *conf, const struct smtp_command *command,
                        struct smtp_action *ret)
{
        if (wants_tls(m, conf, command)) {
                smtp_command_fail(ret, conf->ext & SMTP_EXT_STARTTLS ? SMTP_REPLY_TLS_REQUIRED
                                                                     : SMTP_REPLY_TLS_UNAVAILABLE,
                                  SMTP_FAULT_TLS);
        } else if ((command->legal_in & IN(m->state)) == 0 ||
                   (ret->act == SMTP_ACT_STARTTLS && in_transaction(m))) {
                /* Order before syntax: the client learns what to send first, and the session sees no address. */
                smtp_command_fail(ret, sequence_reply(m, ret->act), SMTP_FAULT_SEQUENCE);
        } else if (ret->act == SMTP_ACT_RCPT && too_many_rcpts(m, conf)) {
                smtp_command_fail(ret, SMTP_REPLY_RCPT_LIMIT, SMTP_FAULT_RCPTS);
        } else if (ret->reply == SMTP_REPLY_NOT_IMPLEMENTED && (m->flags & FLAG_TLS) &&
                   command->flags & SMTP_COMMAND_TLS) {
                smtp_command_fail(ret, SMTP_REPLY_TLS_TWICE, SMTP_FAULT_SEQUENCE);
        }
}

/* Run one whole line, its CR LF already cut off. */
static void run_line(struct smtp_machine *m, const struct smtp_conf *conf, const char *line, size_t len,
                     bool more, struct smtp_action *ret)
{
        struct smtp_conf allowed = client_conf(m, conf);
        const struct smtp_command *command;
        size_t verb_len, at;

        for (size_t i = 0; i < len; i++) {
                if (ascii_is_control(line[i])) {
                        smtp_command_fail(ret, SMTP_REPLY_BAD_LINE, SMTP_FAULT_LINE);
                        return;
                }
        }
        command = smtp_command_lookup(line, len, &verb_len);
        if (!command) {
                unknown_command(m, line, verb_len, ret);
                return;
        }
        at = verb_len;
        /* 4.1.1: "SMTP receivers SHOULD tolerate trailing white space before the terminating <CRLF>" */
        while (at < len && line[at] == ' ')
                at++;
        if (len + 2 > SMTP_COMMAND_MAX && (command->flags & SMTP_COMMAND_LONG) == 0) {
                smtp_command_fail(ret, SMTP_REPLY_LINE_TOO_LONG, SMTP_FAULT_LINE);
                return;
        }
        command->parse(&allowed, line + at, len - at, ret);
        ret->early =
            more && ((command->flags & SMTP_COMMAND_LAST) || (allowed.ext & SMTP_EXT_PIPELINING) == 0);
        check_order(m, conf, command, ret);
        if (command->flags & SMTP_COMMAND_IDLE)
                count_u8(&m->idle_commands);
}

static void close_with(struct smtp_machine *m, enum smtp_reply reply, struct smtp_action *ret)
{
        ret->act = SMTP_ACT_CLOSE;
        ret->reply = reply;
        ret->fault = SMTP_FAULT_ERRORS;
        move(m, SMTP_ST_CLOSED);
}

/* Count, apply the limits of a session, and remember what waits. */
static void settle(struct smtp_machine *m, const struct smtp_conf *conf, struct smtp_action *ret)
{
        if (ret->act == SMTP_ACT_QUIT) {
                move(m, SMTP_ST_CLOSED);
                return;
        }
        if (ret->fault != SMTP_FAULT_NONE && ret->fault != SMTP_FAULT_SIZE && ret->fault != SMTP_FAULT_RCPTS)
                count_u8(&m->errors);
        /* Those over the recipient limit are normal up to a point (4.5.3.1.10), and endless ones are not. */
        if (ret->fault == SMTP_FAULT_RCPTS && m->rcpts_refused < UINT16_MAX &&
            ++m->rcpts_refused > SMTP_RCPT_OVERSHOOT_MAX)
                count_u8(&m->errors);
        if (m->errors && m->errors >= conf->errors_max) {
                close_with(m, SMTP_REPLY_ERROR_LIMIT, ret);
                return;
        }
        if (m->idle_commands && m->idle_commands >= conf->idle_commands_max) {
                close_with(m, SMTP_REPLY_COMMAND_LIMIT, ret);
                return;
        }
        switch (ret->act) {
        case SMTP_ACT_HELLO:
                m->flags &= (uint8_t)~FLAG_PENDING_EHLO;
                m->flags |= ret->is_ehlo ? FLAG_PENDING_EHLO : 0;
                /* fall through */
        case SMTP_ACT_MAIL:
        case SMTP_ACT_RCPT:
        case SMTP_ACT_DATA:
        case SMTP_ACT_STARTTLS:
        case SMTP_ACT_NON_SMTP:
                m->pending = (uint8_t)ret->act;
                break;
        case SMTP_ACT_RSET:
                smtp_drop_transaction(m);
                break;
        default:
                break;
        }
}

/* The CR LF in len octets: the offset behind it, or 0. A LF without its CR ends nothing (2.3.8). */
static size_t find_line_end(const uint8_t *bytes, size_t len)
{
        size_t at = 0;

        while (at < len) {
                const uint8_t *lf = memchr(bytes + at, '\n', len - at);

                if (!lf)
                        return 0;
                at = (size_t)(lf - bytes) + 1;
                if (at >= 2 && bytes[at - 2] == '\r')
                        return at;
        }
        return 0;
}

/*
 * Throw away what came of a line that is refused, up to its CR LF; the reply comes there. A CR at the end stays,
 * since it may be half of it.
 */
static size_t discard(struct smtp_machine *m, const uint8_t *bytes, size_t len, struct smtp_action *ret)
{
        size_t room = SMTP_DISCARD_MAX - m->discarded;
        size_t seen = MIN(len, room);
        size_t used = find_line_end(bytes, seen);

        if (used) {
                if ((m->flags & FLAG_DISCARD_MUTE) == 0)
                        smtp_command_fail(ret, SMTP_REPLY_LINE_TOO_LONG, SMTP_FAULT_LINE);
                m->flags &= (uint8_t) ~(FLAG_DISCARD | FLAG_DISCARD_MUTE);
                return used;
        }
        if (seen == room) {
                close_with(m, SMTP_REPLY_ERROR_LIMIT, ret);
                return seen;
        }
        if (seen && bytes[seen - 1] == '\r')
                seen--;
        m->discarded = (uint16_t)(m->discarded + seen);
        return seen;
}

static size_t start_discard(struct smtp_machine *m, uint8_t flags, size_t used)
{
        m->flags |= FLAG_DISCARD | flags;
        m->discarded = (uint16_t)used;
        return used;
}

/* A first octet that no command line has: TLS, a binary protocol. It may never send a CR LF, so say so at once. */
static bool is_binary(uint8_t byte)
{
        return (ascii_is_control((char)byte) || (byte & 0x80u)) && byte != '\r' && byte != '\n' &&
               byte != '\t';
}

/* Only what has a meaning without an action: the texts are long and need no clearing. */
static void clear_action(struct smtp_action *ret)
{
        memset(ret, 0, offsetof(struct smtp_action, path));
        ret->path.len = ret->path.local_len = ret->path.domain_len = 0;
        ret->path.flags = 0;
        ret->path.text[0] = '\0';
        ret->name_len = 0;
        ret->name[0] = '\0';
}

static bool is_parsing(const struct smtp_machine *m)
{
        return m->pending == SMTP_ACT_NONE && m->state != SMTP_ST_CONNECT && m->state != SMTP_ST_DATA &&
               m->state != SMTP_ST_CLOSED;
}

size_t smtp_input(struct smtp_machine *machine, const struct smtp_conf *conf, const uint8_t *bytes,
                  size_t len, struct smtp_action *ret)
{
        size_t used;

        clear_action(ret);
        if (!is_parsing(machine) || len == 0)
                return 0;
        if (machine->flags & FLAG_DISCARD) {
                used = discard(machine, bytes, len, ret);
                if (ret->act == SMTP_ACT_REPLY)
                        settle(machine, conf, ret);
                return used;
        }
        if (is_binary(bytes[0]) && machine->state != SMTP_ST_REFUSED) {
                used = start_discard(machine, FLAG_DISCARD_MUTE, 1);
                smtp_command_fail_non_smtp(ret);
                settle(machine, conf, ret);
                return used;
        }
        used = find_line_end(bytes, MIN(len, (size_t)SMTP_LINE_MAX));
        if (used == 0) {
                /* Without the last octet, which may be the CR of a CR LF. */
                return len < SMTP_LINE_MAX ? 0 : start_discard(machine, 0, SMTP_LINE_MAX - 1);
        }
        run_line(machine, conf, (const char *)bytes, used - 2, len > used, ret);
        settle(machine, conf, ret);
        return used;
}
