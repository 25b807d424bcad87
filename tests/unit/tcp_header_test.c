/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "dataplane/tcp/header.h"

static void test_parse(void **state)
{
        static const struct {
                const char *name;
                uint8_t options[40];
                uint8_t options_len; /* a multiple of 4 */
                uint8_t flags;
                enum tcp_parse want;
                uint16_t want_mss;
                int want_scale; /* -1: none */
                bool want_sack, want_timestamp;
                uint8_t want_blocks;
        } cases[] = {
                { "none", { 0 }, 0, TCP_FLAG_SYN, TCP_PARSE_OK, 0, -1, false, false, 0 },
                { "MSS", { 2, 4, 5, 0xb4 }, 4, TCP_FLAG_SYN, TCP_PARSE_OK, 1460, -1, false, false, 0 },
                { "MSS without SYN is ignored", { 2, 4, 5, 0xb4 }, 4, TCP_FLAG_ACK, TCP_PARSE_OK, 0, -1, false, false, 0 },
                { "as Linux sends them",
                  { 2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7 },
                  20, TCP_FLAG_SYN, TCP_PARSE_OK, 1460, 7, true, true, 0 },
                { "odd offsets", { 1, 2, 4, 5, 0xb4, 3, 3, 4 }, 8, TCP_FLAG_SYN, TCP_PARSE_OK, 1460, 4, false, false, 0 },
                { "scale above 14", { 3, 3, 200, 0 }, 4, TCP_FLAG_SYN, TCP_PARSE_OK, 0, 14, false, false, 0 },
                { "unknown kinds are skipped", { 77, 3, 9, 2, 4, 5, 0xb4, 0 }, 8, TCP_FLAG_SYN, TCP_PARSE_OK, 1460, -1, false, false, 0 },
                { "after the end nothing counts", { 0, 2, 4, 5, 0xb4, 0, 0, 0 }, 8, TCP_FLAG_SYN, TCP_PARSE_OK, 0, -1, false, false, 0 },
                { "known kind, wrong length", { 2, 3, 5, 1, 8, 4, 0, 0 }, 8, TCP_FLAG_SYN, TCP_PARSE_OK, 0, -1, false, false, 0 },
                { "length 0", { 9, 0, 0, 0 }, 4, TCP_FLAG_SYN, TCP_PARSE_BAD_OPTION, 0, -1, false, false, 0 },
                { "length 1", { 9, 1, 0, 0 }, 4, TCP_FLAG_SYN, TCP_PARSE_BAD_OPTION, 0, -1, false, false, 0 },
                { "length past the header", { 1, 2, 4, 5 }, 4, TCP_FLAG_SYN, TCP_PARSE_BAD_OPTION, 0, -1, false, false, 0 },
                { "kind in the last byte", { 1, 1, 1, 2 }, 4, TCP_FLAG_SYN, TCP_PARSE_BAD_OPTION, 0, -1, false, false, 0 },
                { "two SACK blocks",
                  { 1, 1, 5, 18, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4 },
                  20, TCP_FLAG_ACK, TCP_PARSE_OK, 0, -1, false, false, 2 },
                { "SACK of no whole block", { 1, 1, 5, 6, 0, 0, 0, 1 }, 8, TCP_FLAG_ACK, TCP_PARSE_OK, 0, -1, false, false, 0 },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                uint8_t bytes[60] = { 0x10, 0, 0, 25, 1, 2, 3, 4, 5, 6, 7, 8 };
                size_t len = 20u + cases[i].options_len;
                struct tcp_header got;
                enum tcp_parse r;

                bytes[12] = (uint8_t)(len / 4 << 4);
                bytes[13] = cases[i].flags;
                memcpy(bytes + 20, cases[i].options, cases[i].options_len);
                r = tcp_header_parse(bytes, len, &got);
                if (r != cases[i].want)
                        fail_msg("%s: got %d", cases[i].name, r);
                /* Every cut is refused, and reads nothing beyond it (a copy of that size lets a sanitizer see). */
                for (size_t cut = 0; cut < len; cut++) {
                        uint8_t *copy = malloc(cut ? cut : 1);
                        struct tcp_header unused;

                        memcpy(copy, bytes, cut);
                        assert_int_equal(tcp_header_parse(copy, cut, &unused), TCP_PARSE_TRUNCATED);
                        free(copy);
                }
                if (r != TCP_PARSE_OK)
                        continue;
                assert_int_equal(got.seq, 0x01020304);
                assert_int_equal(got.ack, 0x05060708);
                if (got.mss != cases[i].want_mss || (got.has_scale ? got.scale : -1) != cases[i].want_scale ||
                    got.has_sack_permitted != cases[i].want_sack || got.has_timestamp != cases[i].want_timestamp ||
                    got.blocks != cases[i].want_blocks)
                        fail_msg("%s", cases[i].name);
        }
}

/* Whatever is built is read back the same, in every combination of options. */
static void test_build(void **state)
{
        for (unsigned options = 0; options < 256; options++) {
                struct tcp_header in = {
                        .seq = 0xdeadbeef,
                        .ack = 0xcafe0000,
                        .src_port = 25,
                        .dst_port = 40000,
                        .window = 0x1234,
                        .flags = (uint8_t)(TCP_FLAG_ACK | (options & 0x0f ? TCP_FLAG_SYN : 0)),
                        .mss = options & 1 ? 1460 : 0,
                        .has_scale = options & 2,
                        .scale = 7,
                        .has_sack_permitted = options & 4,
                        .has_timestamp = options & 8,
                        .ts_value = 0x11223344,
                        .ts_echo = 0x55667788,
                        .blocks = (uint8_t)(options >> 4 & 7) > 4 ? 4 : (uint8_t)(options >> 4 & 7),
                        .block = { { 1, 2 }, { 3, 4 }, { 5, 6 }, { 7, 8 } },
                };
                uint8_t bytes[TCP_HEADER_MAX];
                struct tcp_header got;
                uint8_t len = tcp_header_build(&in, bytes);

                assert_int_equal(len, tcp_header_len(&in));
                assert_true(len <= TCP_HEADER_MAX && len % 4 == 0);
                assert_int_equal(tcp_header_parse(bytes, len, &got), TCP_PARSE_OK);
                assert_int_equal(got.seq, in.seq);
                assert_int_equal(got.ack, in.ack);
                assert_int_equal(got.window, in.window);
                assert_int_equal(got.flags, in.flags);
                assert_int_equal(got.mss, in.mss);
                assert_int_equal(got.has_scale, in.has_scale);
                assert_int_equal(got.has_sack_permitted, in.has_sack_permitted);
                assert_int_equal(got.has_timestamp, in.has_timestamp);
                assert_true(got.blocks <= in.blocks && (in.flags & TCP_FLAG_SYN || in.has_timestamp || got.blocks == in.blocks));
                assert_memory_equal(got.block, in.block, got.blocks * sizeof(got.block[0]));
        }
}

/* The sum over pieces is the sum over the whole, at every cut, also an odd one. */
static void test_checksum(void **state)
{
        uint8_t bytes[301];
        struct addr v4 = addr_from_v4_be(0x010012c6), other = addr_from_v4_be(0x020012c6);

        for (unsigned i = 0; i < sizeof(bytes); i++)
                bytes[i] = (uint8_t)(i * 37 + (i >> 3));
        for (unsigned len = 0; len <= sizeof(bytes); len += 7) {
                uint32_t slow = 0;
                uint16_t want;

                for (unsigned i = 0; i < len; i++)
                        slow += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
                while (slow >> 16)
                        slow = (slow & 0xffff) + (slow >> 16);
                want = __builtin_bswap16((uint16_t)slow);
                for (unsigned cut = 0; cut <= len; cut++) {
                        uint64_t sum = tcp_sum_add(0, bytes, cut, false);

                        sum = tcp_sum_add(sum, bytes + cut, len - cut, cut & 1);
                        assert_int_equal(tcp_sum_fold(sum), want);
                }
        }
        /* 198.18.0.1, 198.18.0.2, protocol 6, length 20: c612 + 0001 + c612 + 0002 + 0006 + 0014 */
        assert_int_equal(tcp_sum_fold(tcp_sum_pseudo(&v4, &other, 20)), __builtin_bswap16(0x8c42));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_parse),
                cmocka_unit_test(test_build),
                cmocka_unit_test(test_checksum),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
