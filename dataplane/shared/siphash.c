/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/shared/siphash.h"

#include <string.h>

#define ROTATE(x, bits) (((x) << (bits)) | ((x) >> (64 - (bits))))

struct state {
        uint64_t v0, v1, v2, v3;
};

static inline void sip_round(struct state *s)
{
        s->v0 += s->v1;
        s->v1 = ROTATE(s->v1, 13) ^ s->v0;
        s->v0 = ROTATE(s->v0, 32);
        s->v2 += s->v3;
        s->v3 = ROTATE(s->v3, 16) ^ s->v2;
        s->v0 += s->v3;
        s->v3 = ROTATE(s->v3, 21) ^ s->v0;
        s->v2 += s->v1;
        s->v1 = ROTATE(s->v1, 17) ^ s->v2;
        s->v2 = ROTATE(s->v2, 32);
}

static inline void compress(struct state *s, uint64_t word)
{
        s->v3 ^= word;
        sip_round(s);
        s->v0 ^= word;
}

uint64_t siphash(const struct siphash_key *key, const void *bytes, size_t len)
{
        const uint8_t *at = bytes;
        struct state s = {
                .v0 = key->word[0] ^ 0x736f6d6570736575ull,
                .v1 = key->word[1] ^ 0x646f72616e646f6dull,
                .v2 = key->word[0] ^ 0x6c7967656e657261ull,
                .v3 = key->word[1] ^ 0x7465646279746573ull,
        };
        uint64_t word;

        for (size_t left = len; left >= 8; left -= 8, at += 8) {
                memcpy(&word, at, 8);
                compress(&s, word);
        }
        word = 0;
        memcpy(&word, at, len & 7);
        compress(&s, word | (uint64_t)(len & 0xff) << 56);
        s.v2 ^= 0xff;
        sip_round(&s);
        sip_round(&s);
        sip_round(&s);
        return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
