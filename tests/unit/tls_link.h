/* SPDX-License-Identifier: Apache-2.0 */
/* A connection of dataplane/tls and an OpenSSL client, joined in memory. Included by each test program, after cmocka. */
#ifndef GREYLINE_TESTS_TLS_LINK_H
#define GREYLINE_TESTS_TLS_LINK_H

#include "tests/unit/tls_rig.h"

#define WALL_SEC  1795500000ull
#define CONNS_MAX 64u

static const struct secret secret = { { 1, 2, 3 } };

struct link {
        struct tls_pool *pool;
        struct tls_set *set;
        struct tls_conn *conn;
        struct tls_client client;
        size_t piece;   /* bytes given to the server at a time */
        bool is_unsigned; /* nobody signs */
        char got[4096]; /* plaintext at the server */
        size_t got_len;
};

static inline struct tls_set *make_set(const char *name, const char *cert)
{
        char crt[64], key[64], error[TLS_ERROR_MAX] = "";
        struct tls_files files = { 0 };
        struct tls_set *set;

        snprintf(crt, sizeof(crt), "%s.crt", cert);
        snprintf(key, sizeof(key), "%s.key", cert);
        files.cert = tls_rig_path(crt);
        files.key = tls_rig_path(key);
        set = tls_set_new(name, &files, 1, error);
        if (set == NULL)
                fail_msg("%s", error);
        tls_rig_hold(set);
        return set;
}

static inline void take_output(struct link *link)
{
        size_t len;
        const uint8_t *bytes = tls_output(link->conn, &len);

        if (len > 0)
                assert_int_equal(BIO_write(link->client.in, bytes, (int)len), (int)len);
        tls_output_done(link->conn);
}

static inline void read_plain(struct link *link)
{
        for (;;) {
                uint32_t len;
                const uint8_t *bytes = tls_peek(link->conn, &len);

                if (len == 0)
                        break;
                assert_true(link->got_len + len <= sizeof(link->got));
                memcpy(link->got + link->got_len, bytes, len);
                link->got_len += len;
                tls_consume(link->conn, len);
        }
        take_output(link);
}

/* Give the server bytes in pieces, signing what it wants signed and reading what they decrypt to. */
static inline void give(struct link *link, const uint8_t *bytes, size_t len)
{
        unsigned done;

        do {
                size_t part = link->piece && link->piece < len ? link->piece : len;
                size_t used = tls_input(link->conn, bytes, part);

                take_output(link);
                read_plain(link);
                done = link->is_unsigned ? 0 : tls_rig_sign(link->pool);
                if (used == 0 && done == 0 &&
                    (link->is_unsigned || (tls_state(link->conn) != TLS_ST_OPEN && tls_state(link->conn) != TLS_ST_HANDSHAKE)))
                        return; /* final: the rest is nobody's */
                bytes += used;
                len -= used;
        } while (len > 0 || done != 0);
}

static inline void client_to_server(struct link *link)
{
        uint8_t bytes[32768];
        int len;

        while ((len = BIO_read(link->client.out, bytes, sizeof(bytes))) > 0)
                give(link, bytes, (size_t)len);
}

/* Both sides go on until neither has anything to say. Returns the client's last SSL_get_error(). */
static inline int handshake(struct link *link)
{
        int error = SSL_ERROR_NONE;

        for (unsigned i = 0; i < 10; i++) {
                int result = SSL_do_handshake(link->client.ssl);

                error = SSL_get_error(link->client.ssl, result);
                client_to_server(link);
                if (error == SSL_ERROR_NONE && BIO_pending(link->client.in) == 0)
                        break;
        }
        return error;
}

static inline void link_open(struct link *link, int version, const char *host)
{
        memset(link, 0, sizeof(*link));
        link->pool = tls_pool_new(CONNS_MAX, &secret);
        assert_non_null(link->pool);
        tls_pool_time(link->pool, WALL_SEC);
        link->set = make_set("mx", "ec");
        link->conn = tls_open(link->pool, link->set);
        assert_non_null(link->conn);
        tls_client_init(&link->client, version, host);
}

static inline void link_close(struct link *link)
{
        tls_close(link->conn);
        tls_client_done(&link->client);
        tls_set_give(link->set);
        assert_int_equal(tls_pool_used(link->pool), 0);
        tls_pool_free(link->pool);
}

/* A client's words arrive, and the server's answer. */
static inline void talk(struct link *link, const char *words, const char *answer)
{
        char got[256];
        int len;

        link->got_len = 0;
        assert_int_equal(SSL_write(link->client.ssl, words, (int)strlen(words)), (int)strlen(words));
        client_to_server(link);
        assert_int_equal(link->got_len, strlen(words));
        assert_memory_equal(link->got, words, strlen(words));
        assert_true(tls_write(link->conn, answer, strlen(answer)));
        take_output(link);
        len = SSL_read(link->client.ssl, got, sizeof(got));
        assert_int_equal(len, (int)strlen(answer));
        assert_memory_equal(got, answer, strlen(answer));
}

#endif
