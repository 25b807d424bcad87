/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/session/wire.h"

#include <string.h>

bool wire_flush(struct sessions *ss, struct session *s)
{
        struct tls_conn *tls = tls_of(ss, s);
        size_t len;
        const uint8_t *bytes = tls_output(tls, &len);
        bool is_sent = len == 0 || tcp_send_copy(ss->tcp, s->client, bytes, (uint32_t)len);

        tls_output_done(tls);
        if (!is_sent)
                s->closing = s->eof = true; /* a record is missing: the client could read no other */
        return is_sent;
}

/* Has TLS come to an end? Then the client has said its last. */
static void look_for_end(struct sessions *ss, struct session *s)
{
        struct tls_conn *tls = tls_of(ss, s);

        if (s->eof && tls_state(tls) == TLS_ST_OPEN && tcp_recv_bytes(ss->tcp, s->client) == 0)
                tls_input_end(tls);
        switch (tls_state(tls)) {
        case TLS_ST_TRUNCATED:
                if (!s->tls_ended)
                        count(ss, COUNTER_tls_truncated);
                break;
        case TLS_ST_FAILED:
                if (!s->tls_ended)
                        count(ss, COUNTER_tls_broken);
                break;
        case TLS_ST_CLOSED:
                break;
        case TLS_ST_OPEN:
        case TLS_ST_HANDSHAKE:
                return;
        }
        s->tls_ended = s->eof = true;
}

/* Decrypt what has come, as far as the connection's buffer takes it. */
static const uint8_t *decrypt(struct sessions *ss, struct session *s, uint32_t *ret_len)
{
        struct tls_conn *tls = tls_of(ss, s);
        const uint8_t *plain = tls_peek(tls, ret_len);

        while (*ret_len < TLS_PLAIN_MAX && tls_state(tls) == TLS_ST_OPEN) {
                uint32_t len;
                const uint8_t *bytes = tcp_recv_peek(ss->tcp, s->client, &len);
                size_t used = len == 0 ? 0 : tls_input(tls, bytes, len);

                tcp_recv_consume(ss->tcp, s->client, (uint32_t)used);
                plain = tls_peek(tls, ret_len);
                if (used == 0)
                        break;
        }
        (void)wire_flush(ss,
                         s); /* alerts, KeyUpdate; the session learns by its flags when there is no room */
        if (*ret_len < TLS_PLAIN_MAX)
                look_for_end(ss, s);
        return plain;
}

const uint8_t *wire_peek(struct sessions *ss, struct session *s, uint32_t *ret_len)
{
        return s->tls != NONE ? decrypt(ss, s, ret_len) : tcp_recv_peek(ss->tcp, s->client, ret_len);
}

uint32_t wire_bytes(struct sessions *ss, struct session *s)
{
        uint32_t len;

        if (s->tls == NONE)
                return tcp_recv_bytes(ss->tcp, s->client);
        (void)decrypt(ss, s, &len);
        return len;
}

uint32_t wire_copy(struct sessions *ss, struct session *s, void *bytes, uint32_t len)
{
        const uint8_t *plain;
        uint32_t there;

        if (s->tls == NONE)
                return tcp_recv_copy(ss->tcp, s->client, bytes, len);
        plain = decrypt(ss, s, &there);
        len = MIN(len, there);
        if (len > 0)
                memcpy(bytes, plain, len);
        return len;
}

void wire_consume(struct sessions *ss, struct session *s, uint32_t len)
{
        if (s->tls != NONE)
                tls_consume(tls_of(ss, s), len);
        else
                tcp_recv_consume(ss->tcp, s->client, len);
}

uint32_t wire_move(struct sessions *ss, struct session *s, struct tcp_handle to, uint32_t len)
{
        const uint8_t *plain;
        uint32_t there;

        if (s->tls == NONE)
                return tcp_send_move(ss->tcp, s->client, to, len);
        plain = tls_peek(tls_of(ss, s), &there);
        (void)wire_flush(ss, s); /* what was behind the plaintext could want an answer */
        len = MIN(len, there);
        if (len == 0 || !tcp_send_copy(ss->tcp, to, plain, len))
                return 0;
        tls_consume(tls_of(ss, s), len);
        return len;
}

bool wire_send(struct sessions *ss, struct session *s, const void *bytes, uint32_t len)
{
        bool is_written;

        if (s->tls == NONE)
                return tcp_send_copy(ss->tcp, s->client, bytes, len);
        is_written = tls_write(tls_of(ss, s), bytes, len);
        return wire_flush(ss, s) && is_written;
}

void wire_close(struct sessions *ss, struct session *s, bool at_once)
{
        if (s->tls != NONE && !at_once) {
                tls_shutdown(tls_of(ss, s));
                (void)wire_flush(ss, s);
        }
        tls_close(tls_of(ss, s));
        s->tls = NONE;
        if (at_once)
                tcp_abort(ss->tcp, s->client);
        else
                tcp_close(ss->tcp, s->client);
}
