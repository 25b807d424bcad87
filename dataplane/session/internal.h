/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of session/ share. session.c opens, times and ends sessions; greet.c brings them to the
 * banner; command.c acts on what the client says; wire.c is the client's bytes, starttls.c how they come to be
 * encrypted; leg.c runs the backend connection; stream.c moves messages;
 * crowd.c ends some of them when there are too many; say.c makes replies and record.c log records.
 *
 * A phase says whom the session waits for. It has one writer, session_phase(), which also arms the timer, so
 * that no phase is without a deadline.
 */
#ifndef GREYLINE_SESSION_INTERNAL_H
#define GREYLINE_SESSION_INTERNAL_H

#include "dataplane/policy/client.h"
#include "dataplane/policy/grey.h"
#include "dataplane/relay/dialogue.h"
#include "dataplane/session/ask.h"
#include "dataplane/session/indices.h"
#include "dataplane/session/session.h"
#include "dataplane/session/slab.h"
#include "dataplane/shared/counters.h"
#include "dataplane/shared/explain_id.h"
#include "dataplane/shared/poison.h"
#include "dataplane/smtp/data.h"
#include "dataplane/smtp/machine.h"
#include "dataplane/tcp/ilist.h"
#include "dataplane/tcp/wheel.h"
#include "dataplane/tls/tls.h"

#define NONE                UINT32_MAX
#define WINDOW_COMMANDS     8192u          /* receive window until a message is taken */
#define WINDOW_DATA         (256u * 1024u) /* and while it streams */
#define REPLY_ROOM          2048u          /* send room wanted before a command is read: every reply fits twice */
#define REPLIES_MAX         16384u         /* of replies not taken yet: more are not made */
#define DUES_MAX            128u           /* recipients of one message kept for the greylist: see leg_accepted() */
#define JUDGE_BATCH         32u
#define PROBES_MAX          16u

enum session_phase {
        PHASE_FREE,
        PHASE_GREET,     /* waits for the greet delay, and for answers where the banner depends on them */
        PHASE_COMMAND,   /* waits for the client's next command */
        PHASE_ANSWERS,   /* a recipient waits for answers about the client */
        PHASE_GREY,      /* a recipient waits for the greylist pass of this turn */
        PHASE_BACKEND,   /* a command waits for the backend */
        PHASE_DATA,      /* a message streams */
        PHASE_DISCARD,   /* a message that is refused already is read to its end */
        PHASE_END,       /* the final dot was passed on: the backend's word is awaited */
        PHASE_HELD,      /* refused at the banner: waits for QUIT */
        PHASE_TLS,       /* STARTTLS was said: waits for the client's handshake */
        PHASES,
};

/*
 * What a client said in HELO and MAIL, in the length that it has: a block of sessions.kept. An idle session holds
 * this and nothing else of its client's words.
 */
struct texts {
        uint64_t size;          /* MAIL SIZE= */
        uint16_t sender_len;    /* without its NUL */
        uint16_t sender_local_len;
        uint8_t sender_flags;   /* SMTP_PATH_* */
        uint8_t helo_len;       /* without its NUL */
        bool is_ehlo : 1;
        bool has_size : 1, has_body : 1, is_8bit : 1; /* of MAIL */
        char text[];            /* HELO name, NUL, sender, NUL */
};

/*
 * The recipient that is being decided, and what is known about it: from RCPT to its answer, in a pool. What an accepted
 * one leaves behind is the leg's.
 */
struct decision {
        struct smtp_path recipient;
        uint16_t policy, pool; /* index in the image of this turn */
        bool has_due;
        struct client_verdict verdict;
        struct grey_answer grey;
        struct grey_due due;
};

/*
 * Two cache lines. Times are the low 32 bits of milliseconds: nothing that is compared lasts 24 days. What only some
 * sessions need at some times lies in pools, by index: texts from HELO on, a decision, a backend connection, TLS.
 */
struct session {
        struct tcp_handle client;
        struct wheel_node timer;
        uint32_t due_ms;         /* the phase's deadline; the timer may be early */
        uint32_t opened_ms;
        struct smtp_machine smtp;
        uint8_t phase;           /* enum session_phase */
        uint8_t class;           /* enum image_class */
        uint8_t failed;          /* CLIENT_FAILED_* */
        bool eof : 1;            /* the client has said its last */
        bool closing : 1;        /* a last reply was given: close when this turn of the client is over */
        bool client_gone : 1;    /* only the backend's last word is awaited */
        bool transaction_dead : 1; /* the backend was lost: 451 to everything until RSET, MAIL or EHLO */
        bool answered : 1;       /* control has said all it can about the client */
        bool at_deadline : 1;    /* its answers did not come in time */
        bool mark_header : 1;    /* the score goes into the message's header */
        bool tls_ended : 1;      /* close_notify, or the end of bytes, or altered ones: said and counted */
        uint32_t texts;          /* block of kept, NONE before HELO */
        uint32_t leg;            /* index, NONE without a backend */
        uint32_t decision;       /* index, NONE while no recipient is being decided */
        uint32_t tls;            /* index in the pool, NONE: in clear */
        uint64_t id;             /* of the log's records */
        struct addr peer, front;
        uint16_t peer_port, front_port;
        uint32_t ask;            /* its place in asks, see there */
        uint32_t limits_slot;
        uint32_t client_line;    /* where its answers lay in the client table: a hint */
        uint32_t accepted_end;   /* where the last 250 to a message ends in our bytes to the client, low 32 bits */
        uint16_t messages;       /* accepted; stays at its maximum */
        bool has_accepted;       /* accepted_end is set */
};
static_assert(sizeof(struct session) <= 128, "an idle session is two lines, docs/PERFORMANCE.md");

/* A backend connection and the transaction on it. */
struct leg {
        struct tcp_handle conn;
        bool is_used;            /* nothing touches the memory of a leg that never was: there are many, of 7 kB */
        uint32_t session;        /* its owner */
        uint16_t backend;        /* index in backends */
        uint16_t pool;           /* index in the image of `generation` */
        uint32_t generation;
        uint64_t tried;          /* servers of the pool that failed this opening, by place */
        uint8_t tries;           /* and how many times one was tried: only the first 64 places have a bit */
        uint64_t began_us;       /* the present message, the time aside in which the backend took nothing */
        uint8_t identity;        /* enum image_identity */
        bool connected, ready;
        bool in_transaction;     /* MAIL was accepted */
        bool mail_refused;       /* the reply to a pipelined RCPT still comes, mail_text answers it */
        uint16_t down_code, fall;
        uint32_t connect_timeout_ms, reply_timeout_ms, end_timeout_ms;
        uint16_t recipients;     /* accepted in this transaction */
        uint16_t dues;
        bool bare_reject, long_reject; /* the policy of any of them refuses bare CR and LF, or long lines */
        uint16_t policy;         /* of the recipient accepted last */
        int32_t score;           /* of its verdict */
        uint16_t discard_reply;  /* enum smtp_reply for the end of a discarded message, 0: discard_code */
        uint16_t discard_code;   /* the backend's, when it ended a message early */
        uint8_t discard_rule;
        struct smtp_data data;
        struct smtp_data_conf data_conf;
        uint64_t stalled_us;     /* since when the backend takes no more, 0: it takes */
        uint16_t mail_code;
        uint16_t mail_len;
        uint16_t recipient_len;
        char recipient[SMTP_PATH_MAX + 4]; /* accepted last: for the message's record */
        char mail_text[SMTP_ANSWER_TEXT_MAX + 1];
        struct dialogue dialogue;
        struct grey_due due[DUES_MAX];
};

/* A TLS connection that may wait for its turn to take a step of its handshake. */
struct handshake {
        struct ilist_node node;
        uint32_t session;
        bool is_signed; /* while it waits: in which queue */
};

/* A health check of one backend: a dialogue without a client. */
struct probe {
        struct tcp_handle conn;
        struct dialogue dialogue;
        uint64_t due_us;
        uint16_t backend;
        uint16_t fall;
        uint8_t identity;
        bool is_used;
};

struct judged {
        uint32_t session;
        struct grey_ask ask;
        struct client_verdict verdict;
};

struct sessions {
        unsigned worker, workers;
        struct tcp *tcp;
        const struct steer *steer;
        struct grey_table *grey;
        const struct client_table *clients;
        struct limits *limits;
        struct backends *backends;
        struct ring ask_ring, log_ring;
        uint64_t *counters;
        const struct runtime *runtime;
        const struct image *image; /* runtime's, of this turn */
        uint32_t generation;       /* of the image that listens */
        uint64_t now_us, wall_us;
        uint32_t wall_sec;
        bool draining;
        uint8_t node_id;
        bool asked, logged;        /* something was committed to the ring since the last publish */
        uint32_t sequence;         /* of explain ids */
        uint16_t next_port;        /* where the search for a local port goes on */

        struct indices opens, legs, decisions; /* which are in use of: */
        struct session *session;
        struct leg *leg;
        struct decision *decision;
        struct slab *kept;         /* texts */
        uint32_t held;             /* sessions in PHASE_HELD */
        uint32_t crowd_hand;       /* the session that crowd.c looks at next */
        uint32_t crowd_ms;         /* when it last looked */
        struct wheel wheel;
        struct tls_pool *tls;      /* NULL: no TLS at all */
        uint32_t tls_max;
        struct handshake *handshake; /* tls_max of them, by index of the TLS connection */
        struct ilist beginning;    /* whose client has sent a part of its handshake, first come first: before our signature, */
        struct ilist finishing;    /* and behind it, or with no need of one */
        bool began;                /* the last step was of beginning */
        bool has_keys_ring;
        struct ring keys_ring;     /* what is to be signed */
        const _Atomic uint64_t *keys_beat_ms;
        struct asks *asks;
        struct grey_tokens tokens;
        struct probe probe[PROBES_MAX];
        struct judged judged[JUDGE_BATCH];
        unsigned n_judged;
        struct addr listening[IMAGE_ADDRESSES_MAX];
        uint16_t listening_port[IMAGE_ADDRESSES_MAX];
        unsigned n_listening;
};

/* The owner cookies of tcp connections: kind in the high half, index in the low half. */
enum owner_kind {
        OWNER_CLIENT = 1,
        OWNER_LEG,
        OWNER_PROBE,
};

static inline uint64_t owner_cookie(enum owner_kind kind, uint32_t index)
{
        return (uint64_t)kind << 32 | index;
}

static inline uint32_t index_of(const struct sessions *ss, const struct session *s)
{
        return (uint32_t)(s - ss->session);
}

static inline struct leg *leg_of(struct sessions *ss, const struct session *s)
{
        return s->leg == NONE ? NULL : &ss->leg[s->leg];
}

static inline struct decision *decision_of(struct sessions *ss, const struct session *s)
{
        return s->decision == NONE ? NULL : &ss->decision[s->decision];
}

static inline struct tls_conn *tls_of(const struct sessions *ss, const struct session *s)
{
        return s->tls == NONE ? NULL : tls_conn_at(ss->tls, s->tls);
}

/* How long it has been open. */
static inline uint32_t session_age_ms(const struct sessions *ss, const struct session *s)
{
        return (uint32_t)(ss->now_us / 1000) - s->opened_ms;
}

/* How long its recipients may still wait for answers about the client; 0: no longer. */
static inline uint32_t session_answers_left_ms(const struct sessions *ss, const struct session *s)
{
        uint32_t age_ms = session_age_ms(ss, s), deadline_ms = ss->image->dns.deadline_ms;

        return age_ms < deadline_ms ? deadline_ms - age_ms : 0;
}

/* A free leg keeps only the fields that say so. */
static inline void leg_poison(struct leg *leg)
{
        size_t kept = offsetof(struct leg, session) + sizeof(leg->session);

        POISON((uint8_t *)leg + kept, sizeof(*leg) - kept);
}

static inline void count(struct sessions *ss, enum counter counter)
{
        counter_inc(ss->counters, counter);
}

/* --- session.c ------------------------------------------------------------------------------------------------ */

/* Enter a phase that lasts at most timeout_ms from now. The only writer of session.phase. */
void session_phase(struct sessions *ss, struct session *s, enum session_phase phase, uint64_t timeout_ms);

/* Enter PHASE_COMMAND with the policy's timeout. */
void session_await_command(struct sessions *ss, struct session *s);

/*
 * The session is over: give up the client (after what was said, or at once), and the backend. Afterwards *s is
 * free: the caller returns. The only place that frees.
 */
void session_end(struct sessions *ss, struct session *s, enum rule rule, bool at_once);

/* Ask control about the client unless it is known or asked already. */
void session_ask(struct sessions *ss, struct session *s);

/* The listener that the session came in by; NULL when a push has taken it away. */
const struct image_listener *session_listener(const struct sessions *ss, const struct session *s);

/* Index of the policy before a recipient names its own. */
uint16_t session_policy(const struct sessions *ss, const struct session *s);

const char *session_hostname(const struct sessions *ss, const struct session *s);

/* Everything known about the client now but its name. answers is filled and referred to by the result. */
struct client_facts session_facts(struct sessions *ss, struct session *s, struct client_answers *answers);

/* --- crowd.c ---------------------------------------------------------------------------------------------------- */

/* While sessions run short, end some that wait for their clients too long. */
void crowd_turn(struct sessions *ss);

/* When that has something to do; UINT64_MAX: never. */
uint64_t crowd_due_us(const struct sessions *ss);

/* --- texts.c ---------------------------------------------------------------------------------------------------- */

/*
 * Keep a greeting, in place of what was kept before; then a sender beside it. False: there is no room (see slab.h), and
 * what was kept before still is.
 */
bool texts_keep_hello(struct sessions *ss, struct session *s, const struct smtp_action *action) MUST_CHECK;
bool texts_keep_mail(struct sessions *ss, struct session *s, const struct smtp_action *action) MUST_CHECK;
void texts_forget(struct sessions *ss, struct session *s);

/* What is kept, NULL before HELO. Valid until the next of the calls above for this session. */
static inline struct texts *texts_of(const struct sessions *ss, const struct session *s)
{
        return s->texts == NONE ? NULL : slab_at(ss->kept, s->texts);
}

/* NUL-ended. */
static inline const char *texts_helo(const struct texts *texts)
{
        return texts->text;
}

static inline const char *texts_sender(const struct texts *texts)
{
        return texts->text + texts->helo_len + 1;
}

/* The sender as smtp_path_parse() gave it. */
void texts_sender_path(const struct texts *texts, struct smtp_path *ret);

/* --- greet.c ---------------------------------------------------------------------------------------------------- */

/* A client's handshake is complete. Returns its session, which may be over already; NULL when it got none. */
struct session *greet_open(struct sessions *ss, const struct tcp_event *event);
void greet_continue(struct sessions *ss, struct session *s);
void greet_input(struct sessions *ss, struct session *s);

/* --- command.c -------------------------------------------------------------------------------------------------- */

/* Read commands while the phase allows it. May end the session. */
void command_run(struct sessions *ss, struct session *s);

/* The recipient that waits for answers: look again. */
void command_judge_recipient(struct sessions *ss, struct session *s);

/* The greylist has decided about the recipient. */
void command_grey(struct sessions *ss, struct judged *judged, const struct grey_answer *answer);

/* The command that waits in phase BACKEND was answered by the backend's words, or by a reply of ours. */
void command_backend_said(struct sessions *ss, struct session *s, uint16_t code, const char *text, size_t len);
void command_backend_lost(struct sessions *ss, struct session *s, enum smtp_reply reply, enum rule rule);

/* The recipient was answered. Does nothing when none is being decided. */
void decision_end(struct sessions *ss, struct session *s);

/* --- starttls.c --------------------------------------------------------------------------------------------------- */

/*
 * What EHLO offers this client, whether it must use TLS before it gives us mail, and whether STARTTLS would be offered but
 * cannot be had now.
 */
uint32_t starttls_ext(const struct sessions *ss, const struct session *s, bool *ret_required, bool *ret_down);

/* The client has said STARTTLS. True: the handshake began, or the session is over; false: it was told that it cannot. */
bool starttls_begin(struct sessions *ss, struct session *s);

/* Something has come, or the end, while the handshake is on: one of the next turns will look at it. */
void starttls_input(struct sessions *ss, struct session *s);

/* The session ends. */
void starttls_leave(struct sessions *ss, struct session *s);

/* One step of one handshake. */
void starttls_turn(struct sessions *ss);

/* Would starttls_turn() have something to do? */
bool starttls_is_due(const struct sessions *ss);

/* The handshake has taken too long: the client, or greyline-keys. */
void starttls_expired(struct sessions *ss, struct session *s);

/* --- leg.c ------------------------------------------------------------------------------------------------------ */

/*
 * Bring the recipient being decided to a backend of this pool. Returns SMTP_REPLY_NONE when the answer will come by
 * command_backend_*(), or the refusal when no backend can be tried.
 */
enum smtp_reply leg_recipient(struct sessions *ss, struct session *s, uint16_t pool);
void leg_data(struct sessions *ss, struct session *s);
void leg_reset(struct sessions *ss, struct session *s);
void leg_event(struct sessions *ss, struct leg *leg, const struct tcp_event *event);
void leg_timeout(struct sessions *ss, struct session *s);

/* Give the backend up: in order (QUIT) or at once (RST, so that it throws a half message away). */
void leg_close(struct sessions *ss, struct session *s, bool at_once);

/*
 * The recipient that was decided is accepted: keep what its message will need, which obeys the strictest policy of all
 * that were accepted, and what the greylist is due when the message is.
 */
void leg_accepted(struct sessions *ss, struct session *s, const struct decision *decision);

/* --- probe.c ---------------------------------------------------------------------------------------------------- */

void probe_run(struct sessions *ss);
void probe_event(struct sessions *ss, struct probe *probe, const struct tcp_event *event);

/* A local address and port for a connection to a server that comes back to this worker. Opens it. */
int backend_connect(struct sessions *ss, uint16_t backend, uint64_t owner, struct tcp_handle *ret);

/* --- stream.c --------------------------------------------------------------------------------------------------- */

void stream_begin(struct sessions *ss, struct session *s);
void stream_run(struct sessions *ss, struct session *s);

/* From now on the message is read to its end and then answered with this. */
void stream_discard(struct sessions *ss, struct session *s, enum smtp_reply reply, uint16_t code, enum rule rule);

/* The backend has answered the final dot, or was lost after it (code 0). */
void stream_ended(struct sessions *ss, struct session *s, uint16_t code, const char *text, size_t len);

/* --- say.c ------------------------------------------------------------------------------------------------------ */

/* What a reply says beyond its table row. All optional. */
struct say {
        const struct image_reply *override; /* of the policy */
        int zone;                           /* number, -1: none */
        uint64_t number;
        const char *text;
        size_t text_len;
};

/* The last reply made: for the record. */
struct said {
        uint16_t code;
        uint16_t len; /* without CR LF */
        bool has_id;
        char id[EXPLAIN_ID_LEN];
        char line[SMTP_REPLY_LINE_MAX];
};

/* Send a reply of ours; a refusal gets an explain id for rule. ret may be NULL. */
void say_reply(struct sessions *ss, struct session *s, enum smtp_reply reply, enum rule rule, const struct say *say,
               struct said *ret);

/* Send a backend's words as ours. */
void say_backend(struct sessions *ss, struct session *s, uint16_t code, const char *text, size_t len, enum rule rule,
                 struct said *ret);

void say_ehlo(struct sessions *ss, struct session *s, uint32_t ext, uint64_t size_max);

/* --- record.c --------------------------------------------------------------------------------------------------- */

struct record {
        enum msg_log_kind kind;
        enum rule rule;
        const struct said *said; /* or NULL */
        const struct decision *decision; /* or NULL: of MSG_LOG_RCPT, whose policy counts then */
        const struct client_verdict *verdict; /* or NULL; decision has its own */
        const struct leg *leg;   /* or NULL: of MSG_LOG_DATA, whose policy and recipient count then */
        uint16_t policy;
        uint64_t bytes;
        uint8_t flags; /* MSG_LOG_* beyond those that the session tells */
        const char *detail;
        size_t detail_len;
};

/* Write one record about a session to the log ring; counted when there is no room. */
void record_write(struct sessions *ss, const struct session *s, const struct record *record);

/* A backend went up or down. */
void record_backend(struct sessions *ss, const struct backend *backend, bool is_up, const char *detail);

/* A new explain id. */
void record_id(struct sessions *ss, enum rule rule, char id[EXPLAIN_ID_LEN]);
uint64_t record_session_id(struct sessions *ss);

#endif
