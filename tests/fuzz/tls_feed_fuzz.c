/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client sends after STARTTLS: octet 0 says whether a real client shook hands before (bit 0), with which version
 * (bit 1), and whether what follows is its plaintext or octets of the wire (bit 2); octet 1 how it is cut. Keys are new
 * in each run, so only what must hold is checked: how much is taken, kept and said, and that an end is an end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/shared/bug.h"
#include "dataplane/tls/tls.h"
#include "tests/unit/tls_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static struct tls_pool *pool;
static struct tls_set *set;

static void prepare(void)
{
        static const struct secret secret = { { 1 } };
        const struct tls_files files = { tls_rig_path("ec.crt"), tls_rig_path("ec.key") };
        char error[TLS_ERROR_MAX];

        tls_rig_certificate("ec", "mx.test", false, 86400);
        pool = tls_pool_new(1, &secret);
        set = tls_set_new("mx", &files, 1, error);
        BUG_ON(pool == NULL || set == NULL);
        tls_rig_hold(set);
        tls_rig_done();
}

static void say(struct tls_conn *conn, struct tls_client *client)
{
        size_t len;
        const uint8_t *output = tls_output(conn, &len);

        BUG_ON(len > TLS_OUTPUT_MAX);
        if (client && len > 0)
                BIO_write(client->in, output, (int)len);
        tls_output_done(conn);
}

/* Read all that is decrypted. Returns how much. */
static size_t drain(struct tls_conn *conn, struct tls_client *client)
{
        size_t plain = 0;
        uint32_t there;

        for (;;) {
                (void)tls_peek(conn, &there);
                say(conn, client);
                BUG_ON(there > TLS_PLAIN_MAX);
                if (there == 0)
                        return plain;
                tls_consume(conn, there);
                plain += there;
        }
}

/* Returns the octets of plaintext that came of it. */
static size_t feed(struct tls_conn *conn, struct tls_client *client, const uint8_t *bytes, size_t len, size_t piece)
{
        size_t plain = 0;

        bool is_signed = false;

        while (len > 0 || is_signed) {
                enum tls_state before = tls_state(conn);
                size_t part = MIN(len, piece), used = tls_input(conn, bytes, part);
                size_t got;

                BUG_ON(used > part);
                BUG_ON(before > TLS_ST_OPEN && used != 0);
                say(conn, client);
                got = drain(conn, client);
                is_signed = tls_rig_sign(pool) != 0;
                BUG_ON(len > 0 && used == 0 && !is_signed && got == 0 && tls_state(conn) <= TLS_ST_OPEN);
                plain += got;
                if (used == 0 && !is_signed && tls_state(conn) > TLS_ST_OPEN)
                        break;
                bytes += used;
                len -= used;
        }
        return plain;
}

static size_t shake(struct tls_conn *conn, struct tls_client *client, size_t piece)
{
        uint8_t wire[32768];
        size_t plain = 0;
        int n;

        do {
                if (!SSL_is_init_finished(client->ssl))
                        SSL_do_handshake(client->ssl);
                n = BIO_read(client->out, wire, sizeof(wire));
                plain += feed(conn, client, wire, (size_t)MAX(n, 0), piece);
        } while (n > 0);
        return plain;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
        struct tls_conn *conn;
        struct tls_client client = { 0 };
        size_t piece, plain = 0;
        bool is_shaken;

        if (len < 2)
                return 0;
        if (pool == NULL)
                prepare();
        conn = tls_open(pool, set);
        BUG_ON(conn == NULL);
        piece = 1u + bytes[1];
        is_shaken = bytes[0] & 1;
        if (is_shaken) {
                tls_client_init(&client, bytes[0] & 2 ? TLS1_2_VERSION : TLS1_3_VERSION, NULL);
                shake(conn, &client, piece);
                BUG_ON(tls_state(conn) != TLS_ST_OPEN);
                BUG_ON(!tls_write(conn, "250 ok\r\n", 8));
                say(conn, &client);
        }
        if (is_shaken && bytes[0] & 4 && len > 2) {
                BUG_ON(SSL_write(client.ssl, bytes + 2, (int)(len - 2)) != (int)(len - 2));
                BUG_ON(shake(conn, &client, piece) != len - 2);
        } else {
                plain = feed(conn, is_shaken ? &client : NULL, bytes + 2, len - 2, piece);
                /* Nobody but the client has the keys. */
                BUG_ON(plain != 0);
        }
        tls_input_end(conn);
        BUG_ON(tls_state(conn) <= TLS_ST_OPEN);
        tls_close(conn);
        if (is_shaken)
                tls_client_done(&client);
        BUG_ON(tls_pool_used(pool) != 0);
        return 0;
}
