/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's side of SMTP: bytes in, actions out. One machine a client session; it holds no text, no
 * pointer and no partial line, knows no clock and no packet, and never allocates.
 *
 * The caller owns the receive queue. It offers the contiguous unread octets; the machine says how many it has
 * consumed and gives at most one action. After an action that wants a decision (HELLO, MAIL, RCPT, DATA,
 * NON_SMTP) the machine consumes nothing until smtp_decide() was called, so what a client pipelined stays in
 * the queue and replies keep their order. Data follows a DATA that was accepted: those octets go to data.h
 * until its end, then smtp_data_end() brings the machine back.
 *
 *      for (;;) {
 *              used = smtp_input(&m, &conf, bytes, len, &action);
 *              drop `used` octets from the queue;
 *              if (action.act == SMTP_ACT_NONE && used == 0)
 *                      break;      (wait for more)
 *              act on it; stop when a decision must wait for somebody else
 *      }
 *
 * RFC 5321 4.1.4 (order of commands), 4.5.3.1 (limits), 2.3.8 (a line ends with CR LF and with nothing else).
 */
#ifndef GREYLINE_SMTP_MACHINE_H
#define GREYLINE_SMTP_MACHINE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/shared/bug.h"
#include "dataplane/smtp/ext.h"
#include "dataplane/smtp/limits.h"
#include "dataplane/smtp/path.h"
#include "dataplane/smtp/reply.h"

enum smtp_state {
        SMTP_ST_CONNECT, /* before the greeting: nothing is parsed */
        SMTP_ST_GREETED, /* 220 was sent */
        SMTP_ST_HELLO,   /* HELO or EHLO accepted, no transaction open */
        SMTP_ST_MAIL,    /* a sender accepted */
        SMTP_ST_RCPT,    /* at least one recipient accepted */
        SMTP_ST_DATA,    /* 354 was sent: octets are the message's */
        SMTP_ST_REFUSED, /* refused at the greeting: waits for QUIT (RFC 5321 3.1) */
        SMTP_ST_CLOSED,  /* nothing more is parsed */
        SMTP_ST_USED,
};

/* What a listener allows. Owner: the caller; only read; may change between calls. */
struct smtp_conf {
        uint64_t size_max;         /* octets of a message, 0: no limit; compared with SIZE= */
        uint32_t ext;              /* enum smtp_ext, what EHLO offers */
        uint16_t rcpt_max;         /* accepted recipients of one message, SMTP_RCPT_MAX or more */
        uint8_t errors_max;        /* protocol errors before 421 */
        uint8_t idle_commands_max; /* commands that move nothing before 421 */
        bool tls_required;         /* no mail in clear: 530, or 454 where ext has no STARTTLS (RFC 3207 4) */
        bool tls_down;             /* STARTTLS is offered here, but cannot be had now: 454 instead of 502 (RFC 3207 4) */
};

/* The defaults: SMTP_EXT_DEFAULT, limits.h, no size limit. */
void smtp_conf_init(struct smtp_conf *conf);

/* One session's state. Caller's memory; nothing to free. The fields are the machine's own. */
struct smtp_machine {
        uint8_t state;          /* enum smtp_state; one writer: move() in machine.c */
        uint8_t pending;        /* the action that waits for a decision, enum smtp_act; 0: none */
        uint8_t flags;          /* SMTP_M_* of machine.c */
        uint8_t errors;         /* protocol errors so far */
        uint8_t idle_commands;  /* commands that moved nothing since the last message */
        uint8_t discard_fault;  /* enum smtp_fault of the line being thrown away */
        uint16_t rcpts;         /* recipients accepted in this transaction */
        uint16_t rcpts_refused; /* and refused */
        uint16_t discarded;     /* octets thrown away of the present line */
};
static_assert(sizeof(struct smtp_machine) <= 12, "an idle session stays small");

enum smtp_act {
        SMTP_ACT_NONE,     /* a whole line is not there yet, or nothing may be parsed now */
        SMTP_ACT_REPLY,    /* send reply; nothing to decide (NOOP, VRFY, HELP, every error) */
        SMTP_ACT_RSET,     /* drop the transaction, send reply */
        SMTP_ACT_QUIT,     /* send reply, then close */
        SMTP_ACT_CLOSE,    /* too much of something: send reply, then close */
        SMTP_ACT_HELLO,    /* decide: name, is_ehlo. An open transaction is dropped when accepted */
        SMTP_ACT_MAIL,     /* decide: path, size, is_8bit, has_body */
        SMTP_ACT_RCPT,     /* decide: path */
        SMTP_ACT_DATA,     /* decide: accept only when 354 may be sent */
        SMTP_ACT_STARTTLS, /* decide: once accepted, send the reply, throw away what has come, and let the next octets
                              of the client be those of TLS. The session is then as after its greeting */
        SMTP_ACT_NON_SMTP, /* decide: HTTP, TLS or a mail header where a command should be; reply is the
                              default. Accepting means going on after that reply */
};

/* Why an action of the kind REPLY, CLOSE or NON_SMTP came up: for counters and the log. */
enum smtp_fault {
        SMTP_FAULT_NONE,
        SMTP_FAULT_SYNTAX,   /* malformed command, argument, path or parameter */
        SMTP_FAULT_SEQUENCE, /* a known command out of order */
        SMTP_FAULT_UNKNOWN,  /* no such command, or one that is not implemented */
        SMTP_FAULT_LINE,     /* line too long, or not ended by CR LF alone */
        SMTP_FAULT_SIZE,     /* declared size over the limit */
        SMTP_FAULT_RCPTS,    /* too many recipients */
        SMTP_FAULT_ERRORS,   /* too many errors, or too many commands without a message */
        SMTP_FAULT_NON_SMTP,
        SMTP_FAULT_TLS,      /* a command that wants TLS first */
};

struct smtp_action {
        enum smtp_act act;
        enum smtp_reply reply; /* what to send for REPLY, RSET, QUIT, CLOSE, NON_SMTP; else NONE */
        enum smtp_fault fault;
        bool early;      /* octets lay behind a command that must be the last of its group (RFC 2920 3.1), or
                            behind any command though PIPELINING was not offered to this client */
        bool is_ehlo;    /* HELLO: EHLO rather than HELO */
        bool is_8bit;    /* MAIL: BODY=8BITMIME */
        bool has_body;   /* MAIL: BODY= was given, whatever its value */
        bool has_size;   /* MAIL: SIZE= was given */
        uint64_t size;   /* MAIL: its value; 0 where none */
        uint64_t number; /* the {number} of reply */
        struct smtp_path path; /* MAIL, RCPT */
        uint16_t name_len;     /* HELLO: octets of name */
        char name[SMTP_DOMAIN_MAX +
                  1]; /* HELLO: as given, printable ASCII, NUL-ended; judged by helo.h, not here */
};

enum smtp_decision {
        SMTP_ACCEPT,       /* the state moves on */
        SMTP_REFUSE,       /* 4xx or 5xx: the state stays */
        SMTP_REFUSE_ERROR, /* the same, and it counts as an error of the client */
        SMTP_CLOSE,        /* a last reply is sent, then the connection closes */
};

/* A new session, before its greeting. */
void smtp_init(struct smtp_machine *machine);

/* The greeting was decided: ACCEPT after 220, REFUSE after 554 (then only QUIT counts), CLOSE after 421. */
void smtp_greet(struct smtp_machine *machine, enum smtp_decision decision);

/*
 * Take one command.
 * bytes, len  contiguous unread octets; only read. A line that is not complete consumes nothing and gives NONE:
 *             call again when there is more. Where the queue holds more than this contiguous piece, copy
 *             SMTP_LINE_MAX octets of it (or all) into one buffer and offer that: with SMTP_LINE_MAX octets
 *             there is always progress.
 * ret         always set.
 * Returns the octets consumed, 0 to len; NONE may come with some (an overlong line is thrown away).
 * Safe on a worker.
 */
size_t smtp_input(struct smtp_machine *machine, const struct smtp_conf *conf, const uint8_t *bytes,
                  size_t len, struct smtp_action *ret);

/*
 * Decide the action that waits. Returns the usual reply where the decision is ACCEPT (MAIL_OK, RCPT_OK,
 * DATA_GO, HELO, EHLO, TLS_GO; the session may send a backend's own words instead), else SMTP_REPLY_NONE: the session
 * says why. Calling it when nothing waits does nothing.
 */
enum smtp_reply smtp_decide(struct smtp_machine *machine, enum smtp_decision decision);

/*
 * The message ended (data.h gave SMTP_DATA_END) and was answered: the transaction is over either way.
 * Returns DATA_OK for ACCEPT, else SMTP_REPLY_NONE.
 */
enum smtp_reply smtp_data_end(struct smtp_machine *machine, enum smtp_decision decision);

/* Drop the transaction without the client having asked (the backend was lost): its next RCPT or DATA gets
 * 503. */
void smtp_drop_transaction(struct smtp_machine *machine);

/* The session ends: nothing more is parsed. */
void smtp_close(struct smtp_machine *machine);

static inline enum smtp_state smtp_state(const struct smtp_machine *machine)
{
        return (enum smtp_state)machine->state;
}

/* The action that waits for smtp_decide(), or SMTP_ACT_NONE. */
static inline enum smtp_act smtp_pending(const struct smtp_machine *machine)
{
        return (enum smtp_act)machine->pending;
}

static inline bool smtp_is_ehlo(const struct smtp_machine *machine)
{
        return (machine->flags & 1u) != 0; /* SMTP_M_EHLO */
}

static inline bool smtp_is_tls(const struct smtp_machine *machine)
{
        return (machine->flags & 16u) != 0; /* FLAG_TLS */
}

/* The state's name, for the log and the tests. */
const char *smtp_state_name(enum smtp_state state);

#endif
