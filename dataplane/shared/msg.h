/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every message between the dataplane and control: fixed sizes, plain bytes, no pointers. What arrives is
 * checked by the receiver as if a stranger had sent it. A change of any layout here bumps LINK_VERSION.
 */
#ifndef GREYLINE_SHARED_MSG_H
#define GREYLINE_SHARED_MSG_H

#include <assert.h>
#include <stdint.h>

#include "dataplane/shared/addr.h"

#define LINK_VERSION 1u

/* --- worker to control: questions ------------------------------------------------------------------- */

enum msg_ask_kind {
        MSG_ASK_CLIENT = 1, /* what do DNS zones and reverse DNS say about this address? */
};

struct msg_ask {
        uint32_t kind;         /* enum msg_ask_kind */
        uint32_t worker;       /* who asks: the answer goes to its ring */
        struct addr client;    /* the full client address */
        uint64_t serial;       /* the worker's own number for the question, returned unread */
        uint32_t known_before; /* 1 when some network key of this client has passed before: served first */
        uint32_t unused[7];
};
static_assert(sizeof(struct msg_ask) == 64, "one cache line");

/* --- control to worker: answers ---------------------------------------------------------------------- */

enum msg_answer_kind {
        MSG_ANSWER_CLIENT = 1, /* the client table now holds what is known about this address */
};

struct msg_answer {
        uint32_t kind; /* enum msg_answer_kind */
        uint32_t unused0;
        struct addr client;
        uint64_t serial; /* of the question */
        uint32_t unused[8];
};
static_assert(sizeof(struct msg_answer) == 64, "one cache line");

/* --- worker to control: what happened ---------------------------------------------------------------- */

enum msg_log_kind {
        MSG_LOG_CONNECT = 1, /* a client was refused, held or cut off before it named a recipient */
        MSG_LOG_MAIL,        /* MAIL was refused */
        MSG_LOG_RCPT,        /* the verdict about one recipient, accepted or not */
        MSG_LOG_DATA,        /* the end of one message: the backend's reply, or why there was none */
        MSG_LOG_SESSION,     /* a session ended */
        MSG_LOG_BACKEND,     /* a backend went up or down */
};

/* How far the greylist had come when a recipient was judged. */
enum msg_grey {
        MSG_GREY_NONE,      /* not asked */
        MSG_GREY_NEW,       /* first seen now: 451 */
        MSG_GREY_WAIT,      /* retried before the block period ended: 451 */
        MSG_GREY_PASS,      /* passed by a retry in the window */
        MSG_GREY_KNOWN,     /* passed earlier and remembered */
        MSG_GREY_RESTART,   /* retried after the window: 451, the wait starts again */
        MSG_GREY_EXEMPT,    /* the network is exempt */
        MSG_GREY_NO_TOKEN,  /* new, but no token to store it: 451, nothing written */
        MSG_GREY_FULL,      /* both buckets full of passed entries: let through */
};

#define MSG_LOG_TEXT_MAX 872

/*
 * The texts lie one after another in text[], without NUL: helo, sender, recipient, reply, host, detail.
 * reply is the whole reply line as sent, without CR LF. host is the client's confirmed name, when known.
 * detail is free text for people (a backend's reply, why a connection ended).
 */
struct msg_log {
        uint32_t kind;            /* enum msg_log_kind */
        uint16_t reply_code;      /* 250, 451, 554 ...; 0 when none was sent */
        uint16_t rule;            /* enum rule (rule.h): which rule decided */
        uint64_t session;         /* groups the records of one session: explain id of its start, low 64 bits */
        uint8_t id[16];           /* the explain id as text, without NUL; all zero when the reply had none */
        uint64_t at_us;           /* wall clock, microseconds since 1970 */
        struct addr client;
        struct addr front;        /* the address that the client reached */
        struct addr backend;      /* the backend used; all zero when none */
        uint16_t client_port;
        uint16_t backend_port;
        uint16_t worker;
        uint16_t policy;          /* index of the policy in the image */
        uint32_t policy_version;  /* generation of the image that decided */
        int32_t score;
        uint32_t zones_listed;    /* bit per zone number: listed */
        uint32_t zones_unknown;   /* bit per zone number: no answer in time */
        uint8_t ptr;              /* enum client_ptr */
        uint8_t grey;             /* enum msg_grey */
        uint8_t flags;            /* MSG_LOG_* below */
        uint8_t unused;
        uint32_t grey_wait_sec;   /* seconds until a retry passes */
        uint64_t grey_key;        /* key of the triplet in the greylist table, 0 when none */
        uint64_t bytes;           /* message bytes received (DATA) */
        uint32_t duration_ms;     /* since the session began */
        uint16_t helo_len, sender_len, recipient_len, reply_len, host_len, detail_len;
        uint8_t text[MSG_LOG_TEXT_MAX];
};
static_assert(sizeof(struct msg_log) == 1024, "a fixed slot of the log ring");

#define MSG_LOG_TRUSTED    0x01u /* the client is in networks.trusted */
#define MSG_LOG_ALLOWED    0x02u /* the client is in networks.allow */
#define MSG_LOG_AMBIGUOUS  0x04u /* accepted by the backend, but the client may not have seen the 250 (RFC 1047) */
#define MSG_LOG_DEADLINE   0x08u /* the answers about the client did not come in time */
#define MSG_LOG_TRUNCATED  0x10u /* a text did not fit and was cut */

#endif
