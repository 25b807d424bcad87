/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole sessions in TLS: the session rig, with greyline-keys on its clock and clients that speak TLS. Included by each
 * test program (everything is static). Include after cmocka.
 */
#ifndef GREYLINE_TESTS_SESSION_SECURE_H
#define GREYLINE_TESTS_SESSION_SECURE_H

#include "control/keys/serve.h"
#include "dataplane/tls/tls.h"
#include "tests/unit/session_rig.h"
#include "tests/unit/tls_rig.h"

#define CLIENT "198.18.7.7"

#define POLICY(mode)                                                                                         \
        IMAGE_RIG_SITE                                                                                       \
        "listeners: [{name: mx, front: [198.18.0.25], greet_delay: 0, tls: {mode: " mode                     \
        ", certificates: [{cert: /x.crt, key: /x.key}]}}]\n"                                                 \
        "pools: {main: {servers: [{address: 198.19.0.10}]}}\n"                                               \
        "domains: {example.org: {}}\n"                                                                       \
        "policies: {default: {greylist: {enabled: false}, on_dns_failure: pass, reverse_dns: {missing: "     \
        "ignore, "                                                                                           \
        "unconfirmed: ignore}}}\n"

/* --- greyline-keys: the real one's turn, on the rig's clock ------------------------------------------------------------ */

static struct server holder;
static struct ring signatures; /* as the worker reads them */
static unsigned signed_max;    /* requests that it still answers */

static inline bool keys_turn(struct rig *rig)
{
        const void *slot;
        struct keys_answer answer;
        unsigned n = 0;

        if (signed_max != 0) {
                n = serve_turn(&holder, rig->now_us / 1000);
                signed_max -= MIN(n, signed_max);
        }
        slot = ring_read_slot(&signatures);
        if (slot == NULL)
                return n != 0;
        memcpy(&answer, slot, sizeof(answer));
        ring_read_release(&signatures);
        sessions_signed(rig->sessions, &answer);
        return true;
}

static inline void hold(struct tls_set *set)
{
        for (unsigned i = 0; i < tls_set_keys(set); i++) {
                char why[KEYS_REASON_MAX];
                struct tls_key key;

                tls_set_key(set, i, &key);
                if (!store_want(&holder.store, key.key, key.path, why))
                        fail_msg("%s: %s", key.path, why);
                tls_set_hold(set, i, true);
        }
}

/* A client in TLS: what it has decrypted lies in text as rig_client's does. */
struct secure {
        struct rig *rig;
        struct rig_client *c;
        struct tls_client tls;
        size_t fed;   /* of what the client received, given to its TLS */
        size_t piece; /* octets a segment, 0: as they come */
        struct rig_client plain;
};

static inline struct tls_set *make_set(const char *cert)
{
        char crt[64], key[64], error[TLS_ERROR_MAX] = "";
        struct tls_files files = { 0 };
        struct tls_set *set;

        snprintf(crt, sizeof(crt), "%s.crt", cert);
        snprintf(key, sizeof(key), "%s.key", cert);
        files.cert = tls_rig_path(crt);
        files.key = tls_rig_path(key);
        set = tls_set_new("mx", &files, 1, error);
        if (set == NULL)
                fail_msg("%s", error);
        hold(set);
        return set;
}

static inline struct rig *rig_secure(const char *yaml, uint32_t tls_max)
{
        struct rig *rig;

        rig_tls_max = tls_max;
        rig = rig_new(yaml);
        serve_init(&holder, rig->keys_dir);
        atomic_store(&rig->keys.page->workers, 1);
        assert_int_equal(ring_attach_reader(&signatures, keys_answer_ring(&rig->keys, 0), KEYS_SLOTS,
                                            sizeof(struct keys_answer)), 0);
        signed_max = UINT32_MAX;
        (void)serve_turn(&holder, rig->now_us / 1000); /* it takes the empty list, and up it is */
        rig->keys_turn = keys_turn;
        rig->runtime.tls[0] = make_set("ec");
        rig_know(rig, CLIENT, 0, CLIENT_PTR_CONFIRMED);
        return rig;
}

static inline void rig_secure_free(struct rig *rig)
{
        rig_quiet(rig);
        assert_int_equal(rig->counters[0][COUNTER_tls_open], 0);
        tls_set_give(rig->runtime.tls[0]);
        serve_done(&holder);
        rig_free(rig);
}

/* Bring octets both ways until nothing moves. */
static inline void exchange(struct secure *s)
{
        for (unsigned i = 0; i < 8; i++) {
                uint8_t bytes[32768];
                int len, got;

                if (s->c->len > s->fed) {
                        BIO_write(s->tls.in, s->c->text + s->fed, (int)(s->c->len - s->fed));
                        s->fed = s->c->len;
                }
                if (SSL_is_init_finished(s->tls.ssl)) {
                        while ((got = SSL_read(s->tls.ssl, s->plain.text + s->plain.len,
                                               (int)(RIG_TEXT - 1 - s->plain.len))) > 0)
                                s->plain.len += (size_t)got;
                        s->plain.text[s->plain.len] = '\0';
                } else {
                        SSL_do_handshake(s->tls.ssl);
                }
                while ((len = BIO_read(s->tls.out, bytes, s->piece ? (int)s->piece : (int)sizeof(bytes))) > 0)
                        rig_say_bytes(s->rig, s->c, (char *)bytes, (size_t)len);
                rig_pump(s->rig);
        }
        ERR_clear_error();
}

static inline void secure_say(struct secure *s, const char *text)
{
        assert_int_equal(SSL_write(s->tls.ssl, text, (int)strlen(text)), (int)strlen(text));
        exchange(s);
}

/* Up to the 220 that answers STARTTLS. */
static inline void secure_ask(struct secure *s, struct rig *rig, int version)
{
        memset(s, 0, sizeof(*s));
        s->rig = rig;
        s->c = rig_connect(rig, CLIENT);
        rig_expect(rig, s->c, "220 ");
        rig_say(rig, s->c, "EHLO client.test\r\n");
        rig_expect(rig, s->c, "250 STARTTLS");
        rig_say(rig, s->c, "STARTTLS\r\n");
        rig_expect(rig, s->c, "220 2.0.0 ");
        s->fed = s->c->len;
        tls_client_init(&s->tls, version, NULL);
}

static inline void secure_open(struct secure *s, struct rig *rig, int version)
{
        secure_ask(s, rig, version);
        exchange(s);
        assert_true(SSL_is_init_finished(s->tls.ssl));
}

static inline void to_data(struct secure *s)
{
        secure_say(s, "EHLO client.test\r\n");
        rig_expect(rig, &s->plain, "250 ENHANCEDSTATUSCODES");
        secure_say(s, "MAIL FROM:<a@client.test>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n");
        rig_expect(rig, &s->plain, "250 2.1.0");
        rig_expect(rig, &s->plain, "250 2.1.5");
        rig_expect(rig, &s->plain, "354");
}

enum end { END_FIN, END_RESET, END_NOTIFY, END_ALTERED, END_IN_RECORD };

static inline void end_with(struct secure *s, enum end end)
{
        uint8_t bytes[4096];
        int len = 0;

        switch (end) {
        case END_NOTIFY:
                SSL_shutdown(s->tls.ssl);
                exchange(s);
                return;
        case END_ALTERED:
        case END_IN_RECORD:
                assert_int_equal(SSL_write(s->tls.ssl, "end\r\n.\r\n", 8), 8);
                len = BIO_read(s->tls.out, bytes, sizeof(bytes));
                assert_true(len > 8);
                bytes[len - 1] ^= end == END_ALTERED;
                rig_say_bytes(s->rig, s->c, (char *)bytes, (size_t)len - (end == END_IN_RECORD));
                if (end == END_ALTERED)
                        return;
                break;
        case END_FIN:
        case END_RESET:
                break;
        }
        if (end == END_RESET)
                tcp_abort(s->rig->client_tcp, s->c->conn);
        else
                tcp_close(s->rig->client_tcp, s->c->conn);
        s->c->is_used = false;
        rig_pass(s->rig, 1000);
}

#endif
