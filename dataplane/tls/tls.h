/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's side of TLS, for STARTTLS: bytes in, bytes out. No socket, no packet, no session, no clock.
 *
 * A set holds what a listener presents: certificates, made by main from files and never changed; workers share it. The
 * private keys are elsewhere (shared/keys.h): a handshake that needs a signature is suspended, tls_next_request() gives
 * what is to be signed, and tls_answer() brings the signature. A suspended handshake is a stack of 32 kB, which belongs
 * to the thread that began it. A pool is one worker's: a bounded number of connections, the ticket keys of this hour, and the
 * buffer through which output leaves. A connection keeps its set alive, so certificates can be exchanged while
 * handshakes are under way.
 *
 * Every call that can make output (tls_input, tls_peek, tls_write, tls_shutdown) is followed by tls_output() and
 * tls_output_done() before any call for another connection of the pool: there is one output buffer a pool.
 *
 * TLS 1.2 and 1.3, AEAD ciphers with forward secrecy, X25519 first; no renegotiation, no compression, no early data.
 * Sessions are resumed by tickets whose keys are derived from the cluster secret and the hour: workers and nodes
 * share them without talking.
 *
 * What OpenSSL itself does: it allocates an SSL object at tls_open(), much during a handshake, and one 16 kB buffer
 * each for reading and writing while a record is under way (given back when it is empty). It takes uncontended locks
 * for reference counts in a handshake. It makes no system call but what its random generator needs to reseed.
 */
#ifndef GREYLINE_TLS_TLS_H
#define GREYLINE_TLS_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/shared/bug.h"
#include "dataplane/shared/keys.h"
#include "dataplane/shared/secret.h"

#define TLS_ERROR_MAX  256u
#define TLS_PLAIN_MAX  1024u /* decrypted bytes that a connection keeps: more than the longest command line */
#define TLS_OUTPUT_MAX 65536u /* of one call: a handshake flight with its certificates, or a record */
#define TLS_CERTS_MAX  16u    /* of one set */

struct tls_set;
struct tls_pool;
struct tls_conn;

/* --- sets: main only ------------------------------------------------------------------------------------------ */

struct tls_files {
        const char *cert; /* PEM: the certificate, then its chain */
        const char *key;  /* PEM, without a passphrase: for greyline-keys, not read here */
};

/*
 * Read certificates; no key is held yet. The first is presented to clients that name no host, or none of ours; one of another
 * key type for the same name stands beside it.
 * name    of the listener: tickets of one set are not taken by a set of another name
 * files   n of them, 1 to TLS_CERTS_MAX
 * May block and allocate. Returns NULL with one line for people in reterr.
 */
struct tls_set *tls_set_new(const char *name, const struct tls_files *files, unsigned n,
                            char reterr[TLS_ERROR_MAX]) MUST_CHECK;

/* One user more; gives set back. NULL stays NULL. Any thread. */
struct tls_set *tls_set_take(struct tls_set *set);

/* One user less: the last one frees it. NULL is fine. Any thread. */
void tls_set_give(struct tls_set *set);

/* Was the set made for this name from these files, and are they the same still? May block (stat). */
bool tls_set_is_current(const struct tls_set *set, const char *name, const struct tls_files *files,
                        unsigned n);

/* The keys that its certificates need: n, and one by its index. The strings are the set's. */
struct tls_key {
        uint8_t key[KEYS_FINGERPRINT];
        const char *path;
};
unsigned tls_set_keys(const struct tls_set *set);
void tls_set_key(const struct tls_set *set, unsigned index, struct tls_key *ret);

/* greyline-keys holds that key now, or does so no more. Main; workers see it by tls_set_is_valid(). */
void tls_set_hold(struct tls_set *set, unsigned index, bool is_held);

/* Is one of its certificates valid at this time (seconds since 1970), with a key that is held? Safe on a worker. */
bool tls_set_is_valid(const struct tls_set *set, uint64_t wall_sec);

/* When the first of its certificates ends, seconds since 1970. */
uint64_t tls_set_expires_sec(const struct tls_set *set);

/* --- pools: one worker each ----------------------------------------------------------------------------------- */

/* secret: of the cluster, for ticket keys. Allocates; NULL when memory is short. */
struct tls_pool *tls_pool_new(uint32_t conns_max, const struct secret *secret);

/* Only when all its connections are closed. NULL is fine. */
void tls_pool_free(struct tls_pool *pool);

/* The wall clock of what follows, for tickets. */
void tls_pool_time(struct tls_pool *pool, uint64_t wall_sec);

uint32_t tls_pool_used(const struct tls_pool *pool);

/* --- connections: of one worker, none of these blocks --------------------------------------------------------- */

enum tls_state {
        TLS_ST_HANDSHAKE, /* wants more bytes of the client */
        TLS_ST_OPEN,
        TLS_ST_CLOSED,    /* the client said close_notify: nothing more will come */
        TLS_ST_TRUNCATED, /* the client's bytes ended without it */
        TLS_ST_FAILED,    /* over; an alert may be in the output */
};

/* Why it failed. */
enum tls_fault {
        TLS_FAULT_NONE,
        TLS_FAULT_PROTOCOL,  /* what came is no TLS, or was altered */
        TLS_FAULT_VERSION,   /* older than TLS 1.2 */
        TLS_FAULT_NO_SHARED, /* no cipher, group or signature in common */
        TLS_FAULT_ALERT,     /* the client gave up with an alert */
        TLS_FAULT_LOCAL,     /* memory, output room: our side */
        TLS_FAULT_KEY,       /* greyline-keys would not sign */
        TLS_FAULTS,
};

/* A connection that awaits a client's handshake; NULL: the pool is used up, or memory is short. */
struct tls_conn *tls_open(struct tls_pool *pool, struct tls_set *set);

/*
 * Give it up; says nothing to the client (see tls_shutdown()). NULL is fine. On the thread that called tls_input(): a
 * handshake that waits for its signature has to be brought to its end.
 */
void tls_close(struct tls_conn *conn);

/*
 * Bytes of the client, in order; none to let a handshake go on whose signature has come. While the handshake is on they
 * may cost a key exchange: 0.1 to 0.2 ms. Decrypts no more than the connection's buffer takes.
 * Returns how many were taken, which can be fewer than len; 0 when the buffer is full, when the state is final, while
 * tls_is_waiting(), and in a handshake that would have to wait while tls_is_busy().
 */
size_t tls_input(struct tls_conn *conn, const uint8_t *bytes, size_t len);

/* The client's bytes have ended, and all were given: TLS_ST_TRUNCATED unless it said close_notify. */
void tls_input_end(struct tls_conn *conn);

/* Decrypted bytes, *ret_len of them that lie together; NULL and 0 for none. Valid until the next tls_peek/input. */
const uint8_t *tls_peek(struct tls_conn *conn, uint32_t *ret_len);

/* Done with the first len of them. */
void tls_consume(struct tls_conn *conn, uint32_t len);

/* Encrypt len bytes, at most 16384, into the output, all or nothing. False: no handshake yet, or it failed. */
bool tls_write(struct tls_conn *conn, const void *bytes, size_t len) MUST_CHECK;

/* Say close_notify. */
void tls_shutdown(struct tls_conn *conn);

/* What is to be sent to the client now; tls_output_done() when it was taken. */
const uint8_t *tls_output(struct tls_conn *conn, size_t *ret_len);
void tls_output_done(struct tls_conn *conn);

/* A connection's place in its pool, 0 to conns_max - 1, for whoever wants to keep 32 bits instead of a pointer. */
uint32_t tls_conn_index(const struct tls_conn *conn);
struct tls_conn *tls_conn_at(const struct tls_pool *pool, uint32_t index);

/* --- signatures ------------------------------------------------------------------------------------------------- */

/* Does the handshake wait for a signature? */
bool tls_is_waiting(const struct tls_conn *conn);

/* Has it had its signature, or does it need none, as its session is resumed? Then it goes on even while tls_is_busy(). */
bool tls_is_signed(const struct tls_conn *conn);

/* Do KEYS_IN_FLIGHT handshakes of the pool wait already? */
bool tls_is_busy(const struct tls_pool *pool);

/* Something to be signed that was not given out yet; asked_ms is the caller's to set. False: nothing. */
bool tls_next_request(struct tls_pool *pool, struct keys_request *ret);

/*
 * What greyline-keys says, unchecked. Returns the connection whose handshake can go on now, by tls_input(); NULL when
 * nobody waits for this: given up since, or never asked.
 */
struct tls_conn *tls_answer(struct tls_pool *pool, const struct keys_answer *answer);

/* End all handshakes that wait, as failed. On the thread that runs them, when it will run no more. */
void tls_pool_stop(struct tls_pool *pool);

/* --- about -------------------------------------------------------------------------------------------------------- */

enum tls_state tls_state(const struct tls_conn *conn);
enum tls_fault tls_fault(const struct tls_conn *conn);
bool tls_is_resumed(const struct tls_conn *conn);

/* "TLSv1.3", "TLS_AES_256_GCM_SHA384": of an open connection, static strings. */
const char *tls_version(const struct tls_conn *conn);
const char *tls_cipher(const struct tls_conn *conn);

#endif
