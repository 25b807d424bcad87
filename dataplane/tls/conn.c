/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pools and connections. OpenSSL reads from the bytes of the call that is under way and writes into the pool's
 * output buffer, by a BIO of our own: a memory BIO would copy everything once more and keep its buffers while the
 * connection is idle.
 *
 * A handshake runs as an OpenSSL job, on a stack of its own, so that it can be left in the middle of a signature. The
 * number of those that wait is bounded (KEYS_IN_FLIGHT), and with it that of stacks.
 */
#include "dataplane/tls/private.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/sslerr.h>

/* --- the BIO ------------------------------------------------------------------------------------------------------ */

static int bio_read(BIO *bio, char *buf, int len)
{
        struct tls_conn *conn = BIO_get_data(bio);
        size_t n = MIN(conn->in_len, (size_t)MAX(len, 0));

        BIO_clear_retry_flags(bio);
        if (n == 0) {
                BIO_set_retry_read(bio);
                return -1;
        }
        memcpy(buf, conn->in, n);
        conn->in += n;
        conn->in_len -= n;
        return (int)n;
}

static int bio_write(BIO *bio, const char *buf, int len)
{
        const struct tls_conn *conn = BIO_get_data(bio);
        struct tls_pool *pool = conn->pool;

        BIO_clear_retry_flags(bio);
        /* Ours: whoever made output for another connection has not taken it. */
        BUG_ON(pool->out_len != 0 && pool->writer != conn);
        if (len <= 0 || (size_t)len > sizeof(pool->out) - pool->out_len) {
                BIO_set_retry_write(bio);
                return -1;
        }
        pool->writer = conn;
        memcpy(pool->out + pool->out_len, buf, (size_t)len);
        pool->out_len += (size_t)len;
        return len;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
        return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP;
}

static int bio_create(BIO *bio)
{
        BIO_set_init(bio, 1);
        return 1;
}

static BIO_METHOD *make_method(void)
{
        BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "greyline");

        if (method && BIO_meth_set_read(method, bio_read) == 1 &&
            BIO_meth_set_write(method, bio_write) == 1 && BIO_meth_set_ctrl(method, bio_control) == 1 &&
            BIO_meth_set_create(method, bio_create) == 1)
                return method;
        BIO_meth_free(method);
        return NULL;
}

/* --- pools ---------------------------------------------------------------------------------------------------------- */

struct tls_pool *tls_pool_new(uint32_t conns_max, const struct secret *secret)
{
        struct tls_pool *pool = calloc(1, sizeof(*pool));

        if (pool == NULL)
                return NULL;
        /* Now, while the process may still open whatever the library wants to read. */
        if (OPENSSL_init_ssl(0, NULL) != 1 || RAND_status() != 1) {
                free(pool);
                return NULL;
        }
        pool->conns_max = conns_max;
        pool->keys.secret = *secret;
        pool->conn = calloc(conns_max, sizeof(*pool->conn));
        pool->free_conn = calloc(conns_max, sizeof(*pool->free_conn));
        pool->method = make_method();
        pool->wait_context = ASYNC_WAIT_CTX_new();
        if (pool->conn == NULL || pool->free_conn == NULL || pool->method == NULL || pool->wait_context == NULL ||
            !ASYNC_is_capable()) {
                tls_pool_free(pool);
                return NULL;
        }
        for (uint32_t i = 0; i < conns_max; i++)
                pool->free_conn[i] = conns_max - 1 - i;
        return pool;
}

void tls_pool_free(struct tls_pool *pool)
{
        if (pool == NULL)
                return;
        BUG_ON(pool->used != 0 || pool->waiting != 0);
        BIO_meth_free(pool->method);
        ASYNC_WAIT_CTX_free(pool->wait_context);
        free(pool->conn);
        free(pool->free_conn);
        OPENSSL_cleanse(&pool->keys, sizeof(pool->keys));
        free(pool);
}

void tls_pool_time(struct tls_pool *pool, uint64_t wall_sec)
{
        pool->wall_sec = wall_sec;
}

uint32_t tls_pool_used(const struct tls_pool *pool)
{
        return pool->used;
}

uint32_t tls_conn_index(const struct tls_conn *conn)
{
        return (uint32_t)(conn - conn->pool->conn);
}

struct tls_conn *tls_conn_at(const struct tls_pool *pool, uint32_t index)
{
        return &pool->conn[index];
}

/* --- handshakes ------------------------------------------------------------------------------------------------------------ */

static enum tls_fault fault_of(unsigned long error)
{
        int why = ERR_GET_REASON(error);

        if (ERR_GET_LIB(error) != ERR_LIB_SSL)
                return why == ERR_R_MALLOC_FAILURE ? TLS_FAULT_LOCAL : TLS_FAULT_PROTOCOL;
        if (why > SSL_AD_REASON_OFFSET && why < SSL_AD_REASON_OFFSET + 256)
                return TLS_FAULT_ALERT;
        switch (why) {
        case SSL_R_UNSUPPORTED_PROTOCOL:
        case SSL_R_VERSION_TOO_LOW:
                return TLS_FAULT_VERSION;
        case SSL_R_NO_SHARED_CIPHER:
        case SSL_R_NO_SHARED_GROUPS:
        case SSL_R_NO_SUITABLE_KEY_SHARE:
        case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
        case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
                return TLS_FAULT_NO_SHARED;
        case ERR_R_MALLOC_FAILURE:
                return TLS_FAULT_LOCAL;
        default:
                return TLS_FAULT_PROTOCOL;
        }
}

/* After a call that gave no bytes: go on waiting, or what the end is. */
static void settle(struct tls_conn *conn, int result)
{
        switch (SSL_get_error(conn->ssl, result)) {
        case SSL_ERROR_WANT_READ:
                return;
        case SSL_ERROR_ZERO_RETURN:
                conn->state = TLS_ST_CLOSED;
                return;
        case SSL_ERROR_SSL:
                if (conn->fault == TLS_FAULT_NONE)
                        conn->fault = (uint8_t)fault_of(ERR_peek_error());
                break;
        default: /* no room for output */
                conn->fault = TLS_FAULT_LOCAL;
                break;
        }
        conn->state = TLS_ST_FAILED;
        ERR_clear_error();
}

/* The connection whose handshake runs on this thread now. */
static _Thread_local struct tls_conn *shaking;

static int shake(void *arg)
{
        struct tls_conn *conn = *(struct tls_conn **)arg;

        return SSL_do_handshake(conn->ssl);
}

/* One step: to where the client's bytes end, to a signature, or to the handshake's end. */
static void step(struct tls_conn *conn)
{
        int result = -1, job = ASYNC_FINISH;

        shaking = conn;
        if (conn->is_signed)
                result = SSL_do_handshake(conn->ssl);
        else
                job = ASYNC_start_job(&conn->job, conn->pool->wait_context, &result, shake, &conn, sizeof(conn));
        shaking = NULL;
        if (job == ASYNC_PAUSE)
                return;
        conn->job = NULL;
        if (job != ASYNC_FINISH) { /* no memory for a stack */
                conn->state = TLS_ST_FAILED;
                conn->fault = TLS_FAULT_LOCAL;
        } else if (result == 1) {
                conn->state = TLS_ST_OPEN;
        } else {
                settle(conn, result);
        }
}

bool conn_sign(const struct keys_request *request, uint8_t *signature, size_t *ret_len, size_t room)
{
        struct tls_conn *conn = shaking;
        struct tls_pool *pool = conn ? conn->pool : NULL;
        struct sign_slot *slot;
        bool done;

        /* Ours: tls_input() begins no handshake without a slot, and each signs once. */
        if (conn == NULL || ASYNC_get_current_job() == NULL || conn->slot != SLOT_NONE || tls_is_signed(conn) ||
            tls_is_busy(pool))
                return false;
        for (conn->slot = 0; pool->slot[conn->slot].state != SLOT_FREE;)
                conn->slot++;
        slot = &pool->slot[conn->slot];
        slot->conn = (uint32_t)(conn - pool->conn);
        slot->request = *request;
        slot->request.serial = (uint64_t)pool->sequence++ << 8 | conn->slot;
        slot->state = SLOT_NEW;
        pool->waiting++;
        /* step() lets it go on only when there is an answer; a library that does not suspend must not be a hang. */
        done = ASYNC_pause_job() == 1 && slot->state == SLOT_ANSWERED && slot->answer.status == KEYS_DONE &&
               slot->answer.len != 0 && slot->answer.len <= room;
        if (done) {
                memcpy(signature, slot->answer.signature, slot->answer.len);
                *ret_len = slot->answer.len;
        } else {
                conn->fault = TLS_FAULT_KEY;
        }
        slot->state = SLOT_FREE;
        pool->waiting--;
        conn->slot = SLOT_NONE;
        conn->is_signed = true;
        return done;
}

/* Bring a suspended handshake to its end: its stack is given back only so. */
static void give_up(struct tls_conn *conn)
{
        if (conn->job == NULL)
                return;
        conn->pool->slot[conn->slot].answer.status = KEYS_FAILED;
        conn->pool->slot[conn->slot].state = SLOT_ANSWERED;
        ERR_clear_error();
        step(conn);
        BUG_ON(conn->job != NULL);
        if (conn->pool->writer == conn)
                conn->pool->out_len = 0; /* nobody sends what it had to say */
}

bool tls_is_waiting(const struct tls_conn *conn)
{
        return conn->job != NULL && conn->pool->slot[conn->slot].state != SLOT_ANSWERED;
}

bool tls_is_signed(const struct tls_conn *conn)
{
        return conn->is_signed || tls_is_resumed(conn);
}

bool tls_is_busy(const struct tls_pool *pool)
{
        return pool->waiting == KEYS_IN_FLIGHT;
}

bool tls_next_request(struct tls_pool *pool, struct keys_request *ret)
{
        for (unsigned i = 0; pool->waiting != 0 && i < KEYS_IN_FLIGHT; i++) {
                if (pool->slot[i].state == SLOT_NEW) {
                        pool->slot[i].state = SLOT_ASKED;
                        *ret = pool->slot[i].request;
                        return true;
                }
        }
        return false;
}

struct tls_conn *tls_answer(struct tls_pool *pool, const struct keys_answer *answer)
{
        struct sign_slot *slot = &pool->slot[(answer->serial & 0xff) % KEYS_IN_FLIGHT];

        if (slot->state != SLOT_ASKED || slot->request.serial != answer->serial)
                return NULL;
        slot->answer = *answer;
        if (answer->len > sizeof(answer->signature))
                slot->answer.status = KEYS_FAILED;
        slot->state = SLOT_ANSWERED;
        return &pool->conn[slot->conn];
}

void tls_pool_stop(struct tls_pool *pool)
{
        for (unsigned i = 0; i < KEYS_IN_FLIGHT; i++) {
                if (pool->slot[i].state != SLOT_FREE)
                        give_up(&pool->conn[pool->slot[i].conn]);
        }
}

/* --- opening and closing ---------------------------------------------------------------------------------------------- */

struct tls_conn *tls_open(struct tls_pool *pool, struct tls_set *set)
{
        struct tls_conn *conn;
        BIO *bio;

        if (pool->used == pool->conns_max)
                return NULL;
        conn = &pool->conn[pool->free_conn[pool->conns_max - pool->used - 1]];
        ERR_clear_error();
        conn->ssl = SSL_new(set_context(set));
        bio = BIO_new(pool->method);
        if (conn->ssl == NULL || bio == NULL) {
                SSL_free(conn->ssl);
                BIO_free(bio);
                conn->ssl = NULL;
                return NULL;
        }
        BIO_set_data(bio, conn);
        SSL_set_bio(conn->ssl, bio, bio);
        SSL_set_app_data(conn->ssl, conn);
        SSL_set_accept_state(conn->ssl);
        conn->pool = pool;
        conn->set = tls_set_take(set);
        conn->state = TLS_ST_HANDSHAKE;
        conn->fault = TLS_FAULT_NONE;
        conn->slot = SLOT_NONE;
        conn->is_signed = false;
        conn->job = NULL;
        conn->plain_at = conn->plain_len = 0;
        conn->in = NULL;
        conn->in_len = 0;
        pool->used++;
        return conn;
}

void tls_close(struct tls_conn *conn)
{
        struct tls_pool *pool;

        if (conn == NULL)
                return;
        pool = conn->pool;
        give_up(conn);
        if (pool->writer == conn)
                pool->out_len = 0;
        /* Without this OpenSSL would take the session for broken, and not resume it. */
        SSL_set_shutdown(conn->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        SSL_free(conn->ssl);
        conn->ssl = NULL;
        tls_set_give(conn->set);
        conn->set = NULL;
        OPENSSL_cleanse(conn->plain, sizeof(conn->plain));
        pool->used--;
        pool->free_conn[pool->conns_max - pool->used - 1] = (uint32_t)(conn - pool->conn);
}

/* --- bytes -------------------------------------------------------------------------------------------------------------- */

/* Decrypt into what is free of the buffer. */
static void fill(struct tls_conn *conn)
{
        if (conn->plain_at != 0) {
                memmove(conn->plain, conn->plain + conn->plain_at, conn->plain_len);
                conn->plain_at = 0;
        }
        while (conn->state == TLS_ST_OPEN && conn->plain_len < sizeof(conn->plain)) {
                int room = (int)sizeof(conn->plain) - conn->plain_len;
                int got = SSL_read(conn->ssl, conn->plain + conn->plain_len, room);

                if (got <= 0) {
                        settle(conn, got);
                        return;
                }
                conn->plain_len = (uint16_t)(conn->plain_len + got);
        }
}

size_t tls_input(struct tls_conn *conn, const uint8_t *bytes, size_t len)
{
        if (conn->state == TLS_ST_HANDSHAKE &&
            (tls_is_waiting(conn) || (!tls_is_signed(conn) && conn->job == NULL && tls_is_busy(conn->pool))))
                return 0;
        conn->in = bytes;
        conn->in_len = len;
        ERR_clear_error();
        if (conn->state == TLS_ST_HANDSHAKE)
                step(conn);
        if (conn->state == TLS_ST_OPEN)
                fill(conn);
        len -= conn->in_len;
        conn->in = NULL;
        conn->in_len = 0;
        return len;
}

void tls_input_end(struct tls_conn *conn)
{
        if (conn->state == TLS_ST_HANDSHAKE || conn->state == TLS_ST_OPEN)
                conn->state = TLS_ST_TRUNCATED;
}

const uint8_t *tls_peek(struct tls_conn *conn, uint32_t *ret_len)
{
        if (conn->state == TLS_ST_OPEN && conn->plain_len < sizeof(conn->plain) &&
            SSL_has_pending(conn->ssl)) {
                ERR_clear_error();
                fill(conn);
        }
        *ret_len = conn->plain_len;
        return conn->plain_len == 0 ? NULL : conn->plain + conn->plain_at;
}

void tls_consume(struct tls_conn *conn, uint32_t len)
{
        len = MIN(len, conn->plain_len);
        conn->plain_at = (uint16_t)(conn->plain_at + len);
        conn->plain_len = (uint16_t)(conn->plain_len - len);
}

/* A client that has said its last, in order or not, may still want to hear what becomes of its message. */
static bool may_write(const struct tls_conn *conn)
{
        return conn->state != TLS_ST_FAILED && SSL_is_init_finished(conn->ssl);
}

bool tls_write(struct tls_conn *conn, const void *bytes, size_t len)
{
        int result;

        if (!may_write(conn) || len == 0 || len > 16384)
                return false;
        ERR_clear_error();
        result = SSL_write(conn->ssl, bytes, (int)len);
        if (result == (int)len)
                return true;
        settle(conn, result);
        if (conn->state != TLS_ST_FAILED) {
                conn->state = TLS_ST_FAILED;
                conn->fault = TLS_FAULT_LOCAL;
        }
        return false;
}

void tls_shutdown(struct tls_conn *conn)
{
        if (!may_write(conn))
                return;
        ERR_clear_error();
        (void)!SSL_shutdown(conn->ssl); /* 0: said, and the client's is not awaited */
        ERR_clear_error();
}

const uint8_t *tls_output(struct tls_conn *conn, size_t *ret_len)
{
        const struct tls_pool *pool = conn->pool;

        *ret_len = pool->writer == conn ? pool->out_len : 0;
        return pool->out;
}

void tls_output_done(struct tls_conn *conn)
{
        if (conn->pool->writer == conn)
                conn->pool->out_len = 0;
}

/* --- about -------------------------------------------------------------------------------------------------------------- */

enum tls_state tls_state(const struct tls_conn *conn)
{
        return (enum tls_state)conn->state;
}

enum tls_fault tls_fault(const struct tls_conn *conn)
{
        return (enum tls_fault)conn->fault;
}

bool tls_is_resumed(const struct tls_conn *conn)
{
        return SSL_session_reused(conn->ssl) == 1;
}

const char *tls_version(const struct tls_conn *conn)
{
        return SSL_get_version(conn->ssl);
}

const char *tls_cipher(const struct tls_conn *conn)
{
        return SSL_get_cipher_name(conn->ssl);
}
