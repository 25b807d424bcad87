/* SPDX-License-Identifier: Apache-2.0 */
/* The checksum against the plain definition of RFC 1071, over every length and cut. */
#include "tests/unit/ip_rig.h"

#include "dataplane/port/checksum.h"

/* RFC 1071 as it stands there: 16-bit words in network order, an odd end padded with zero. */
static uint16_t plain(const uint8_t *bytes, unsigned len)
{
        uint32_t sum = 0;

        for (unsigned i = 0; i < len; i++)
                sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
        while (sum >> 16)
                sum = (sum & 0xffff) + (sum >> 16);
        return (uint16_t)sum;
}

static uint16_t host_order(uint16_t folded)
{
        uint8_t bytes[2];

        memcpy(bytes, &folded, 2);
        return wire_load16(bytes);
}

static void fill(uint8_t *bytes, unsigned len, uint32_t seed)
{
        for (unsigned i = 0; i < len; i++)
                bytes[i] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
}

static void test_every_length(void **state)
{
        uint8_t bytes[300];

        fill(bytes, sizeof(bytes), 7);
        for (unsigned len = 0; len < sizeof(bytes); len++)
                assert_int_equal(host_order(checksum_fold(checksum_add(0, bytes, len))), plain(bytes, len));
        memset(bytes, 0xff, sizeof(bytes)); /* the most carries there can be */
        for (unsigned len = 1; len < sizeof(bytes); len++)
                assert_int_equal(host_order(checksum_fold(checksum_add(0, bytes, len))), plain(bytes, len));
}

static void test_chains(void **state)
{
        uint8_t bytes[64];

        fill(bytes, sizeof(bytes), 9);
        for (unsigned first = 1; first < 40; first++) {
                for (unsigned second = 1; second < 24; second++) {
                        struct packet *packet = rig_packet(bytes, (uint16_t)first);

                        assert_true(packet_chain(packet, rig_packet(bytes + first, (uint16_t)second)));
                        assert_true(packet_chain(packet, rig_packet(bytes + first + second, 1)));
                        assert_int_equal(host_order(checksum_fold(checksum_packet(0, packet))),
                                         plain(bytes, first + second + 1));
                        packet_free(packet);
                }
        }
        assert_int_equal(rte_mempool_in_use_count(rig_pool), 0);
}

/* RFC 1071 section 3 gives this sum. */
static void test_known(void **state)
{
        const uint8_t bytes[] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7 };

        assert_int_equal(host_order(checksum_fold(checksum_add(0, bytes, sizeof(bytes)))), 0xddf2);
        assert_int_equal(host_order(checksum_finish(checksum_add(0, bytes, sizeof(bytes)))), 0x220d);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_length),
                cmocka_unit_test(test_chains),
                cmocka_unit_test(test_known),
        };

        return cmocka_run_group_tests(tests, rig_start, NULL);
}
