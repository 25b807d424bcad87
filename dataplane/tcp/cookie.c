/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/tcp/cookie.h"

#include "dataplane/tcp/conn.h"

#define BIT_EPOCH   0x01u
#define BIT_SACK    0x02u
#define SHIFT_MSS   2
#define SHIFT_SCALE 5

/* What real clients send; index 0 of the scales is "not offered". */
static const uint16_t mss_values[8] = { TCP_MSS_MIN_V4, 536, 1200, 1360, 1400, 1440, 1452, 1460 };
static const uint8_t scale_values[8] = { 0, 0, 1, 2, 4, 6, 7, 8 };

/* Everything that must not be altered goes in: who, the peer's ISN, the options, the time. */
static uint32_t hash(const struct siphash_key *key, const struct tcp_tuple *tuple, uint32_t irs, uint8_t bits,
                     uint64_t epoch)
{
        struct {
                struct tcp_tuple tuple;
                uint32_t irs;
                uint64_t epoch_bits;
        } input;

        static_assert(sizeof(input) == 48, "hashed as bytes: no padding");
        input.tuple = *tuple;
        input.irs = irs;
        input.epoch_bits = epoch << 8 | bits;
        return (uint32_t)siphash(key, &input, sizeof(input)) & 0xffffff00u;
}

static uint8_t bits_of(const struct cookie_options *options)
{
        unsigned mss = 7, scale = 0;

        while (mss > 0 && mss_values[mss] > options->mss)
                mss--;
        if (options->has_scale) {
                scale = 7;
                while (scale > 1 && scale_values[scale] > options->scale)
                        scale--;
        }
        return (uint8_t)(scale << SHIFT_SCALE | mss << SHIFT_MSS | (options->has_sack ? BIT_SACK : 0));
}

uint32_t cookie_build(const struct siphash_key *key, const struct tcp_tuple *tuple, uint32_t irs,
                      const struct cookie_options *options, uint64_t now_ms)
{
        uint64_t epoch = now_ms / TCP_COOKIE_EPOCH_MS;
        uint8_t bits = bits_of(options) | (epoch & 1 ? BIT_EPOCH : 0);
        uint32_t isn = hash(key, tuple, irs, bits, epoch);

        return isn | (bits ^ isn >> 24);
}

bool cookie_check(const struct siphash_key *key, const struct tcp_tuple *tuple, uint32_t irs, uint32_t isn,
                  uint64_t now_ms, struct cookie_options *ret)
{
        uint64_t epoch = now_ms / TCP_COOKIE_EPOCH_MS;
        uint8_t bits = (uint8_t)(isn ^ isn >> 24);

        if ((epoch & 1) != (bits & BIT_EPOCH)) {
                if (epoch == 0)
                        return false;
                epoch--;
        }
        if (hash(key, tuple, irs, bits, epoch) != (isn & 0xffffff00u))
                return false;
        ret->mss = mss_values[bits >> SHIFT_MSS & 7];
        ret->has_scale = bits >> SHIFT_SCALE != 0;
        ret->scale = scale_values[bits >> SHIFT_SCALE];
        ret->has_sack = bits & BIT_SACK;
        return true;
}
