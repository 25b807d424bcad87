/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's side of SMTP towards one backend: what to say next, what its replies mean. Bytes in, bytes and
 * events out; knows no TCP, no clock and no session.
 *
 * It opens by itself: banner, EHLO, XCLIENT and the new greeting and EHLO where the pool's identity asks for
 * it (or a PROXY header ahead of everything), then DIALOGUE_EV_READY. From there the session gives the
 * commands. A backend that refuses before it knows our client's identity refuses us, not the client, so the
 * two kinds of failure are told apart (dialogue_is_known()). Identity is never downgraded.
 *
 * RFC 5321 4.1, 4.2; RFC 2920; XCLIENT: Postfix XCLIENT_README; PROXY protocol version 2: haproxy's
 * proxy-protocol.txt section 2.2.
 */
#ifndef GREYLINE_RELAY_DIALOGUE_H
#define GREYLINE_RELAY_DIALOGUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/shared/addr.h"
#include "dataplane/shared/image.h"
#include "dataplane/smtp/answer.h"
#include "dataplane/smtp/path.h"

#define DIALOGUE_OUT_MAX     1600u /* the longest that one step says: MAIL and RCPT together */
#define DIALOGUE_EXPECTS_MAX 4u

/* Who the client is, for the opening. All pointers are only read during dialogue_open() calls. */
struct dialogue_identity {
        enum image_identity mode;
        struct addr client;
        struct addr front;    /* the address that the client reached */
        uint16_t client_port;
        uint16_t front_port;
        bool is_ehlo;         /* the client said EHLO rather than HELO */
        const char *helo;     /* as the client gave it; NUL-ended */
        const char *host;     /* the client's confirmed host name, "" when none is known */
        const char *hostname; /* ours */
};

enum dialogue_state {
        DIALOGUE_ST_BANNER,
        DIALOGUE_ST_EHLO,    /* the first, in our own name where an XCLIENT follows */
        DIALOGUE_ST_XCLIENT,
        DIALOGUE_ST_EHLO_AGAIN,
        DIALOGUE_ST_OPEN,    /* greeted: transactions */
        DIALOGUE_ST_QUIT,
        DIALOGUE_ST_FAILED,
};

enum dialogue_step {
        DIALOGUE_STEP_NONE,
        DIALOGUE_STEP_MAIL,
        DIALOGUE_STEP_RCPT,
        DIALOGUE_STEP_DATA,
        DIALOGUE_STEP_END, /* the reply after the final dot */
        DIALOGUE_STEP_RSET,
        DIALOGUE_STEP_QUIT,
};

/* One backend connection's SMTP. Caller's memory; nothing to free. Fields are read by the session, written here. */
struct dialogue {
        uint8_t state;   /* enum dialogue_state */
        bool answered;   /* the reply in `answer` was given out: the next byte begins another */
        uint8_t expects; /* replies outstanding */
        uint8_t expect[DIALOGUE_EXPECTS_MAX]; /* enum dialogue_step, oldest first */
        uint32_t ext;    /* enum smtp_ext, of the last EHLO */
        uint64_t size_max; /* SIZE of the last EHLO, 0: none */
        struct smtp_answer answer; /* the reply that the last event is about */
        uint16_t out_len;
        char out[DIALOGUE_OUT_MAX]; /* what to send now */
};

enum dialogue_event {
        DIALOGUE_EV_MORE,   /* nothing to say yet */
        DIALOGUE_EV_READY,  /* the opening is over: give commands */
        DIALOGUE_EV_REPLY,  /* answer holds the reply to step *ret_step */
        DIALOGUE_EV_REFUSED, /* the opening was refused: answer holds the reply */
        DIALOGUE_EV_GARBAGE, /* not SMTP, or a reply to nothing: the connection is of no use */
};

/* The connection is up: start. What must be sent at once (a PROXY header) is in out. */
void dialogue_open(struct dialogue *dialogue, const struct dialogue_identity *identity);

/* Has the backend been told who the client is? From then on a refusal is the backend's answer to the client. */
bool dialogue_is_known(const struct dialogue *dialogue, enum image_identity mode);

/*
 * Take bytes from the backend; at most one event per call. Call again with the rest while *ret_consumed is
 * less than len. After each call, send what dialogue_out() gives.
 */
enum dialogue_event dialogue_input(struct dialogue *dialogue, const struct dialogue_identity *identity,
                                   const uint8_t *bytes, size_t len, size_t *ret_consumed,
                                   enum dialogue_step *ret_step);

/* The bytes to send now, taken out: *ret_len of them, 0 for none. Valid until the next call. */
const char *dialogue_out(struct dialogue *dialogue, size_t *ret_len);

/* Can this backend take a message with these parameters (RFC 1870, RFC 6152)? */
bool dialogue_may_take(const struct dialogue *dialogue, bool has_size, bool has_body);

/* --- commands, only in DIALOGUE_ST_OPEN ------------------------------------------------------------------ */

struct dialogue_mail {
        const struct smtp_path *sender;
        bool has_size, has_body, is_8bit;
        uint64_t size;
};

/* MAIL; with a recipient that follows in the same segment where the backend has PIPELINING. Returns whether it did. */
bool dialogue_mail(struct dialogue *dialogue, const struct dialogue_mail *mail, const struct smtp_path *recipient);
void dialogue_rcpt(struct dialogue *dialogue, const struct smtp_path *recipient);
void dialogue_data(struct dialogue *dialogue);
void dialogue_end(struct dialogue *dialogue); /* the final dot has been sent by the session: expect the reply */
void dialogue_rset(struct dialogue *dialogue);
void dialogue_quit(struct dialogue *dialogue);

#endif
