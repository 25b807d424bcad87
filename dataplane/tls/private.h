/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of tls/ share: set.c (certificates), ticket.c (keys of tickets), conn.c (pools, connections). */
#ifndef GREYLINE_TLS_PRIVATE_H
#define GREYLINE_TLS_PRIVATE_H

#include <stdatomic.h>

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
};

struct tls_conn {
        struct tls_pool *pool;
        struct tls_set *set;
        SSL *ssl;
        const uint8_t *in; /* during tls_input(): what is left of the caller's bytes */
        size_t in_len;
        uint8_t state; /* enum tls_state */
        uint8_t fault; /* enum tls_fault */
        uint16_t plain_at, plain_len;
        uint8_t plain[TLS_PLAIN_MAX];
};

/* The context for a client that names no host. */
SSL_CTX *set_context(const struct tls_set *set);

/* For SSL_CTX_set_tlsext_ticket_key_evp_cb(). */
int ticket_callback(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                    EVP_MAC_CTX *mac, int is_new);

#endif
