/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the dataplane and greyline-keys share: the file "link" in the keys directory, and FIFOs as bells beside it.
 *
 * The dataplane has certificates, greyline-keys their private keys. Main writes down which key files are wanted,
 * greyline-keys reads them and says which it holds; a worker's handshake that needs a signature writes a request (which
 * key, which algorithm, the digest) to its ring and goes on with other work until the answer lies in the other one.
 * A key is named by the fingerprint of its public half, so a certificate and its key cannot disagree.
 *
 * The dataplane makes a new file at each start (rename over the old one), greyline-keys finds it by its generation. It may
 * die at any time: requests wait in the rings, and its successor reads the list again and goes on. Neither side trusts the
 * other: what is read is copied, then checked.
 *
 * The directory belongs to the user of greyline-keys and nobody else may enter it; the dataplane opens everything in it
 * before it gives up root.
 */
#ifndef GREYLINE_SHARED_KEYS_H
#define GREYLINE_SHARED_KEYS_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "dataplane/shared/bug.h"
#include "dataplane/shared/ring.h"

#define KEYS_VERSION       2u
#define KEYS_WORKERS_MAX   64u  /* as LINK_WORKERS_MAX */
#define KEYS_FINGERPRINT   32u  /* SHA-256 of the DER of the public key (SubjectPublicKeyInfo) */
#define KEYS_DIGEST_MAX    64u
#define KEYS_SIGNATURE_MAX 512u /* RSA of 4096 bits */
#define KEYS_BITS_MAX      4096u
#define KEYS_PATH_MAX      512u
#define KEYS_REASON_MAX    160u
#define KEYS_LIST_MAX      512u /* of the policy in force and the one to come: twice IMAGE_CERTIFICATES_MAX */

#define KEYS_SLOTS       64u   /* of a ring: a power of two, at least twice KEYS_IN_FLIGHT */
#define KEYS_IN_FLIGHT   32u   /* signatures that one worker waits for at a time */
#define KEYS_WAIT_MS     2000u /* no handshake waits longer for one, and none older is made */
#define KEYS_DOWN_MS     2000u /* without a sign of life for so long greyline-keys counts as down */
#define KEYS_BEAT_MS     500u  /* it gives one at least so often */

/* --- messages ------------------------------------------------------------------------------------------------- */

/* What is signed: always a digest with the padding that TLS wants for it, never bytes as they are. */
enum keys_algorithm {
        KEYS_RSA_PKCS1_SHA256 = 1, /* RFC 8446 4.2.3; TLS 1.2 only */
        KEYS_RSA_PKCS1_SHA384,
        KEYS_RSA_PKCS1_SHA512,
        KEYS_RSA_PSS_SHA256, /* salt as long as the digest, the mask with the same hash */
        KEYS_RSA_PSS_SHA384,
        KEYS_RSA_PSS_SHA512,
        KEYS_ECDSA_SHA256,
        KEYS_ECDSA_SHA384,
        KEYS_ECDSA_SHA512,
        KEYS_ALGORITHMS,
};

/* Worker to greyline-keys. */
struct keys_request {
        uint64_t serial;    /* the worker's own number, returned unread */
        uint32_t asked_ms;  /* monotonic clock, the low 32 bits */
        uint16_t algorithm; /* enum keys_algorithm */
        uint16_t digest_len;
        uint8_t key[KEYS_FINGERPRINT];
        uint8_t digest[KEYS_DIGEST_MAX];
        uint8_t unused[16];
};
static_assert(sizeof(struct keys_request) == 128, "two cache lines");

enum keys_status {
        KEYS_DONE = 1,
        KEYS_UNKNOWN, /* no such key is held */
        KEYS_REFUSED, /* algorithm, digest and key do not go together */
        KEYS_FAILED,  /* the library could not sign */
        KEYS_STATUSES,
};

/* greyline-keys to the worker that asked. */
struct keys_answer {
        uint64_t serial;
        uint16_t status; /* enum keys_status */
        uint16_t len;    /* of the signature, with KEYS_DONE */
        uint32_t unused;
        uint8_t signature[KEYS_SIGNATURE_MAX];
        uint8_t unused1[48];
};
static_assert(sizeof(struct keys_answer) == 576, "whole cache lines");

/* --- the list of keys ----------------------------------------------------------------------------------------- */

/* A key that a certificate needs. Writer: main. */
struct keys_wanted {
        uint8_t key[KEYS_FINGERPRINT];
        char path[KEYS_PATH_MAX]; /* ends with NUL */
};

/* What became of it. Writer: greyline-keys. */
struct keys_state {
        _Atomic uint32_t is_held;
        char reason[KEYS_REASON_MAX]; /* why not, for people; written before list_done */
};

/* The start of the file. Each field says who writes it; the other side only reads, and checks. */
struct keys_page {
        uint32_t magic;
        uint32_t version;
        uint64_t generation; /* random, new at every start of the dataplane */

        /* dataplane: rw, greyline-keys: ro */
        _Alignas(64) _Atomic uint32_t list_version; /* counts up with every new list, after it was written */
        _Atomic uint32_t list_count;
        _Atomic uint32_t workers; /* rings in use */
        struct keys_wanted wanted[KEYS_LIST_MAX];

        /* greyline-keys: rw, dataplane: ro */
        _Alignas(64) _Atomic uint64_t beat_ms; /* monotonic clock of its last turn, 0: never was here */
        _Atomic uint32_t list_done;            /* the list_version that state[] is about */
        struct keys_state state[KEYS_LIST_MAX];
};

/* --- the file ------------------------------------------------------------------------------------------------- */

/* One side's view. Private; caller's memory. */
struct keys_link {
        struct keys_page *page; /* NULL: not there */
        size_t bytes;
        uint64_t generation;
        uint8_t *rings;
};

/*
 * Make the file and map it (the dataplane, at its start), for KEYS_WORKERS_MAX workers. The directory is made when it is
 * not there; what is made in it belongs to its owner. As root, since nobody else may enter; without root when all run as
 * one user. Returns 0 or a negative errno. keys_done() unmaps.
 */
int keys_create(struct keys_link *link, const char *dir) MUST_CHECK;

/* Map the file that is there (greyline-keys). Returns 0, -ENOENT, -EPROTO for another version, or another errno. */
int keys_attach(struct keys_link *link, const char *dir) MUST_CHECK;

/* Is the file in the directory another one than this mapping? */
bool keys_is_stale(const struct keys_link *link, const char *dir);

void keys_done(struct keys_link *link);

/* Memory of a worker's rings for ring_attach_*(): KEYS_SLOTS of the message's size. worker: below KEYS_WORKERS_MAX. */
void *keys_request_ring(const struct keys_link *link, uint32_t worker);
void *keys_answer_ring(const struct keys_link *link, uint32_t worker);

/*
 * Open the bell "keys" (greyline-keys reads it) or "worker.N" in the directory, making it when it is not there, with the
 * directory's owner. Returns a descriptor as link_bell_open() does, or a negative errno.
 */
int keys_bell_open(const char *dir, const char *name) MUST_CHECK;

/* Has greyline-keys given a sign of life lately? beat_ms: of the page; NULL is down. */
static inline bool keys_is_up(const _Atomic uint64_t *beat_ms, uint64_t now_ms)
{
        uint64_t beat = beat_ms ? atomic_load_explicit(beat_ms, memory_order_relaxed) : 0;

        /* A beat of the future is one that was given between the two readings of the clock. */
        return beat != 0 && (beat >= now_ms || now_ms - beat < KEYS_DOWN_MS);
}

/* Octets of the digest that an algorithm signs, 0 for none that there is. */
uint16_t keys_digest_len(uint16_t algorithm);

#endif
