/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a full TLS 1.3 handshake costs a worker, with the private key at hand and with the real greyline-keys beside it.
 *
 *     handshake handshake [hugepages] [quick]
 *
 * The server's side only: the client's steps are not timed. The forms take turns, handshake by handshake. "local" is the
 * same code with the private key put into the context, so that OpenSSL signs at once; "worker" is all that the worker does
 * itself, the ring included; "bell" is the system call beside it that wakes greyline-keys, which is spared while that has
 * other requests to answer; "wait" is the time from the request to the answer, in which it does other work; "sign"
 * is the signature alone, which greyline-keys makes on another core.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/x509.h>

#include "control/keys/sign.h"
#include "dataplane/shared/link.h"
#include "dataplane/tls/private.h"
#include "tests/perf/figure.h"

#define WAIT_MAX_MS 2000u

static char dir[128];

enum figure { LOCAL, WORKER, BELL, WAIT, SIGN, FIGURES };

struct kind {
        const char *name;
        bool is_rsa;
        struct tls_set *local, *stub;
        struct tls_key key;
        struct samples samples[FIGURES];
};

static struct tls_pool *pool;
static struct keys_link page;
static struct ring requests, answers;
static int bell;
static struct store store;
static SSL_CTX *client_context;

#define MUST(what)                                                                                            \
        do {                                                                                                  \
                if (!(what))                                                                                  \
                        give_up("line %d: " #what, __LINE__);                                                 \
        } while (0)

/* --- certificates ------------------------------------------------------------------------------------------------- */

static void write_files(const char *crt, const char *key_path, EVP_PKEY *key)
{
        X509 *cert = X509_new();
        FILE *out;

        ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
        X509_gmtime_adj(X509_getm_notBefore(cert), -86400);
        X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
        X509_set_pubkey(cert, key);
        X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const unsigned char *)"mx.test", -1, -1, 0);
        X509_set_issuer_name(cert, X509_get_subject_name(cert));
        MUST(X509_sign(cert, key, EVP_sha256()) > 0);
        MUST((out = fopen(crt, "w")) && PEM_write_X509(out, cert) == 1 && fclose(out) == 0);
        MUST((out = fopen(key_path, "w")) && fchmod(fileno(out), 0400) == 0);
        MUST(PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) == 1 && fclose(out) == 0);
        X509_free(cert);
}

static void make_kind(struct kind *kind, size_t samples)
{
        EVP_PKEY *key = kind->is_rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
        char crt[160], key_path[160], reason[KEYS_REASON_MAX], error[TLS_ERROR_MAX];
        struct tls_files files = { crt, key_path };

        snprintf(crt, sizeof(crt), "%s/%s.crt", dir, kind->name);
        snprintf(key_path, sizeof(key_path), "%s/%s.key", dir, kind->name);
        write_files(crt, key_path, key);
        kind->stub = tls_set_new("mx", &files, 1, error);
        kind->local = tls_set_new("mx", &files, 1, error);
        MUST(kind->stub && kind->local);
        MUST(SSL_CTX_use_PrivateKey(set_context(kind->local), key) == 1);
        tls_set_key(kind->stub, 0, &kind->key);
        if (!store_want(&store, kind->key.key, kind->key.path, reason))
                give_up("%s", reason);
        for (unsigned i = 0; i < ARRAY_LEN(kind->samples); i++)
                kind->samples[i] = samples_new(samples);
        EVP_PKEY_free(key);
}

/* --- greyline-keys ------------------------------------------------------------------------------------------------ */

/* On the first or second of the cores that we may use: a worker shares its own with nobody. */
static void stay_on(int which)
{
        cpu_set_t may, chosen;

        MUST(sched_getaffinity(0, sizeof(may), &may) == 0 && CPU_COUNT(&may) >= 2);
        CPU_ZERO(&chosen);
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
                if (CPU_ISSET(cpu, &may) && which-- == 0)
                        CPU_SET(cpu, &chosen);
        }
        MUST(sched_setaffinity(0, sizeof(chosen), &chosen) == 0);
}

static pid_t start_keys(const char *self, struct kind *kinds, unsigned n)
{
        const char *slash = strrchr(self, '/');
        char program[512], keys_dir[160];
        struct keys_wanted *wanted;
        pid_t pid;

        snprintf(program, sizeof(program), "%.*s/../../control/keys/greyline-keys", slash ? (int)(slash - self) : 1,
                 slash ? self : ".");
        snprintf(keys_dir, sizeof(keys_dir), "%s/keys", dir);
        MUST(keys_create(&page, keys_dir) == 0);
        MUST(ring_attach_writer(&requests, keys_request_ring(&page, 0), KEYS_SLOTS, sizeof(struct keys_request)) == 0);
        MUST(ring_attach_reader(&answers, keys_answer_ring(&page, 0), KEYS_SLOTS, sizeof(struct keys_answer)) == 0);
        bell = keys_bell_open(keys_dir, "keys");
        MUST(bell >= 0);
        atomic_store(&page.page->workers, 1);
        for (unsigned i = 0; i < n; i++) {
                wanted = &page.page->wanted[i];
                memcpy(wanted->key, kinds[i].key.key, sizeof(wanted->key));
                snprintf(wanted->path, sizeof(wanted->path), "%s", kinds[i].key.path);
        }
        atomic_store(&page.page->list_count, n);
        atomic_store(&page.page->list_version, 1);
        pid = fork();
        if (pid == 0) {
                stay_on(1);
                dup2(STDERR_FILENO, STDOUT_FILENO);
                execl(program, program, "--keys-dir", keys_dir, (char *)NULL);
                give_up("%s: %s", program, strerror(errno));
        }
        MUST(pid > 0);
        for (unsigned i = 0; atomic_load(&page.page->list_done) != 1; i++) {
                MUST(i < WAIT_MAX_MS && waitpid(pid, NULL, WNOHANG) == 0);
                usleep(1000);
        }
        for (unsigned i = 0; i < n; i++)
                MUST(atomic_load(&page.page->state[i].is_held) == 1);
        return pid;
}

static uint32_t clock_ms(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint32_t)(now.tv_sec * 1000 + now.tv_nsec / 1000000);
}

/* As a worker does it at the end of its turn. */
static bool ask(const struct keys_request *request)
{
        struct keys_request *slot = ring_write_slot(&requests);

        MUST(slot);
        *slot = *request;
        ring_write_commit(&requests);
        return ring_write_publish(&requests);
}

static void wait_for_answer(uint64_t begun, struct keys_answer *ret)
{
        const void *slot;

        while ((slot = ring_read_slot(&answers)) == NULL)
                MUST(ticks() - begun < 20ull * 1000000000); /* some seconds */
        memcpy(ret, slot, sizeof(*ret));
        ring_read_release(&answers);
}

/* --- handshakes ----------------------------------------------------------------------------------------------------- */

struct client {
        SSL *ssl;
        BIO *in, *out;
};

static void client_init(struct client *client)
{
        client->ssl = SSL_new(client_context);
        client->in = BIO_new(BIO_s_mem());
        client->out = BIO_new(BIO_s_mem());
        BIO_set_mem_eof_return(client->in, -1);
        SSL_set_bio(client->ssl, client->in, client->out);
        SSL_set_connect_state(client->ssl);
}

static void give_client(struct client *client, struct tls_conn *conn)
{
        size_t len;
        const uint8_t *bytes = tls_output(conn, &len);

        if (len > 0)
                MUST(BIO_write(client->in, bytes, (int)len) == (int)len);
        tls_output_done(conn);
}

static void shake(struct tls_set *set, enum figure figure, uint64_t ret[FIGURES])
{
        struct client client;
        struct tls_conn *conn;
        uint64_t own = 0, begun = ticks();

        conn = tls_open(pool, set);
        own += ticks() - begun;
        MUST(conn);
        client_init(&client);
        while (tls_state(conn) != TLS_ST_OPEN) {
                struct keys_request request;
                struct keys_answer answer;
                uint8_t bytes[16384];
                bool is_asked;
                int len;

                (void)SSL_do_handshake(client.ssl);
                len = BIO_read(client.out, bytes, sizeof(bytes));
                MUST(len > 0 && tls_state(conn) == TLS_ST_HANDSHAKE);
                begun = ticks();
                MUST(tls_input(conn, bytes, (size_t)len) == (size_t)len);
                is_asked = tls_next_request(pool, &request);
                if (is_asked) {
                        bool is_asleep;
                        uint64_t asked;

                        request.asked_ms = clock_ms();
                        is_asleep = ask(&request);
                        asked = ticks();
                        own += asked - begun;
                        if (is_asleep)
                                link_bell_ring(bell);
                        begun = ticks();
                        ret[BELL] = begun - asked;
                        wait_for_answer(begun, &answer);
                        begun = ticks();
                        ret[WAIT] = begun - asked;
                        MUST(tls_answer(pool, &answer) == conn);
                        (void)tls_input(conn, NULL, 0);
                }
                own += ticks() - begun;
                if (is_asked) {
                        begun = ticks();
                        sign_request(&store, &request, &answer);
                        ret[SIGN] = ticks() - begun;
                        MUST(answer.status == KEYS_DONE);
                }
                give_client(&client, conn);
        }
        begun = ticks();
        tls_close(conn);
        own += ticks() - begun;
        SSL_free(client.ssl);
        ret[figure] = own;
}

static void run(struct kind *kinds, unsigned n, unsigned rounds)
{
        for (unsigned i = 0; i < rounds; i++) {
                for (unsigned k = 0; k < n; k++) {
                        uint64_t figures[FIGURES] = { 0 };

                        shake(kinds[k].local, LOCAL, figures);
                        MUST(figures[WAIT] == 0);
                        shake(kinds[k].stub, WORKER, figures);
                        MUST(figures[WAIT] != 0);
                        for (unsigned f = 0; i >= rounds / 10 && f < FIGURES; f++) /* before: warming up */
                                samples_add(&kinds[k].samples[f], (double)figures[f]);
                }
        }
}

static void print(struct kind *kind)
{
        static const char *const figures[FIGURES] = { "local", "worker", "bell", "wait", "sign" };
        char name[64];

        for (unsigned f = 0; f < FIGURES; f++) {
                snprintf(name, sizeof(name), "handshake.%s.%s", kind->name, figures[f]);
                figure_print(name, f <= WORKER ? "cycles/handshake" : "cycles", &kind->samples[f]);
        }
        snprintf(name, sizeof(name), "handshake.%s.worker/local", kind->name);
        figure_value(name, "ratio", samples_percentile(&kind->samples[WORKER], 50) /
                                        samples_percentile(&kind->samples[LOCAL], 50));
}

int main(int argc, char **argv)
{
        static struct kind kinds[] = { { .name = "ecdsa-p256" }, { .name = "rsa-2048", .is_rsa = true } };
        const struct secret secret = { { 1 } };
        unsigned rounds = argc > 1 && strcmp(argv[argc - 1], "quick") == 0 ? 500 : 3000;
        char command[192];
        pid_t pid;

        snprintf(dir, sizeof(dir), "/tmp/greyline-perf.XXXXXX");
        MUST(mkdtemp(dir));
        pool = tls_pool_new(4, &secret);
        client_context = SSL_CTX_new(TLS_client_method());
        MUST(pool && client_context);
        tls_pool_time(pool, (uint64_t)time(NULL));
        for (unsigned i = 0; i < ARRAY_LEN(kinds); i++)
                make_kind(&kinds[i], rounds);
        pid = start_keys(argv[0], kinds, ARRAY_LEN(kinds));
        stay_on(0);
        run(kinds, ARRAY_LEN(kinds), rounds);
        for (unsigned i = 0; i < ARRAY_LEN(kinds); i++)
                print(&kinds[i]);
        kill(pid, SIGTERM);
        waitpid(pid, NULL, 0);
        snprintf(command, sizeof(command), "rm -rf '%s'", dir);
        return system(command) == 0 ? 0 : 1;
}
