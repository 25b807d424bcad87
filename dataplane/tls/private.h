/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of tls/ share: set.c (certificates), sign.c (keys that others hold), ticket.c (keys of tickets), conn.c (pools, connections). */
#ifndef GREYLINE_TLS_PRIVATE_H
#define GREYLINE_TLS_PRIVATE_H

#include <stdatomic.h>

#include <openssl/async.h>
#include <openssl/ssl.h>

#include "dataplane/tls/tls.h"

#define TICKET_EPOCH_SEC 3600u /* a ticket key is made with for so long */
#define TICKET_LIFE_SEC  7200u /* and a ticket is taken for so long */
#define TICKET_SLOTS     4u    /* the two hours before, this one, and the next: a node's clock may be ahead */
#define TICKET_NAME      16u

struct ticket_key {
        uint64_t epoch;
        bool is_made;
        uint8_t name[TICKET_NAME];
        uint8_t cipher[32], mac[32];
};

struct ticket_keys {
        struct secret secret;
        struct ticket_key key[TICKET_SLOTS]; /* by epoch modulo their number */
};

enum slot_state {
        SLOT_FREE,
        SLOT_NEW,      /* its request waits for tls_next_request() */
        SLOT_ASKED,
        SLOT_ANSWERED, /* the handshake goes on with the next tls_input() */
};

/* A signature that a handshake waits for. */
struct sign_slot {
        uint32_t conn; /* index in the pool */
        uint8_t state; /* enum slot_state */
        struct keys_request request;
        struct keys_answer answer;
};

struct tls_pool {
        struct tls_conn *conn;
        uint32_t conns_max, used;
        uint32_t *free_conn; /* stack of free indices */
        BIO_METHOD *method;
        uint64_t wall_sec;
        struct ticket_keys keys;
        const struct tls_conn *writer; /* whose output is in the buffer */
        size_t out_len;
        uint8_t out[TLS_OUTPUT_MAX];
        ASYNC_WAIT_CTX *wait_context; /* OpenSSL wants one; nothing is in it */
        uint32_t sequence;            /* of requests */
        unsigned waiting;             /* slots in use */
        struct sign_slot slot[KEYS_IN_FLIGHT];
};

#define SLOT_NONE UINT8_MAX

struct tls_conn {
        struct tls_pool *pool;
        struct tls_set *set;
        SSL *ssl;
        const uint8_t *in; /* during tls_input(): what is left of the caller's bytes */
        size_t in_len;
        uint8_t state; /* enum tls_state */
        uint8_t fault; /* enum tls_fault */
        uint8_t slot;  /* of the signature that the handshake waits for, SLOT_NONE */
        bool is_signed;
        ASYNC_JOB *job; /* the handshake, suspended; NULL: not under way */
        uint16_t plain_at, plain_len;
        uint8_t plain[TLS_PLAIN_MAX];
};

/* The context for a client that names no host. */
SSL_CTX *set_context(const struct tls_set *set);

/*
 * A key for OpenSSL whose signatures are made by greyline-keys. public: of a certificate; only read. Main only.
 * NULL: of a type or size that greyline-keys does not sign with, or memory is short.
 */
EVP_PKEY *key_stub(EVP_PKEY *public);

bool key_fingerprint(EVP_PKEY *key, uint8_t ret[KEYS_FINGERPRINT]) MUST_CHECK;

/*
 * Suspend the handshake that is under way on this thread until its signature is there. request: algorithm, digest and key.
 * room: of signature. False: there is none, the handshake fails.
 */
bool conn_sign(const struct keys_request *request, uint8_t *signature, size_t *ret_len, size_t room);

/* For SSL_CTX_set_tlsext_ticket_key_evp_cb(). */
int ticket_callback(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                    EVP_MAC_CTX *mac, int is_new);

#endif
