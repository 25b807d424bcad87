/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of networks as a lookup sees them: against a reference that tries every prefix in turn, on random
 * lists that nest, touch and repeat, and with a million entries.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <unistd.h>

#include "control/policy/networks.h"
#include "control/policy/policy.h"

#define BASE                                                                                                 \
        "node: {hostname: mx.example.net}\n"                                                                 \
        "ports: [{name: a, device: x, addresses: [192.0.2.25/24]}]\n"                                        \
        "listeners: [{name: mx, front: [192.0.2.25]}]\n"                                                     \
        "pools: {a: {servers: [{address: 192.0.2.40}]}}\n"                                                   \
        "domains: {example.org: {}}\n"

static uint64_t random_next(uint64_t *state)
{
        *state = *state * 6364136223846793005ull + 1442695040888963407ull;
        return *state >> 33;
}

static struct image *compile(const char *yaml)
{
        const struct policy_options options = { .generation = 1, .now_sec = 1795500000 };
        static struct policy_errors errors;
        void *image = NULL;
        size_t len;

        if (policy_compile_text("test.yaml", yaml, strlen(yaml), NULL, &options, &errors, &image, &len) < 0)
                fail_msg("%s", errors.text[0]);
        return image;
}

static enum image_class class_of(const struct image *image, const char *text)
{
        struct addr addr;

        assert_int_equal(addr_parse(text, &addr), 0);
        return image_lookup_network(image, &addr);
}

static void test_rules(void **state)
{
        static const struct {
                const char *addr;
                enum image_class want;
        } cases[] = {
                { "9.255.255.255", IMAGE_CLASS_NONE },
                { "10.0.0.0", IMAGE_CLASS_DENY },
                { "10.1.0.0", IMAGE_CLASS_ALLOW },
                { "10.1.2.3", IMAGE_CLASS_DENY }, /* longer beats shorter, whatever the class */
                { "10.1.2.4", IMAGE_CLASS_ALLOW },
                { "10.2.0.0", IMAGE_CLASS_ALLOW },   /* equal: allow over deny */
                { "10.3.0.0", IMAGE_CLASS_TRUSTED }, /* equal: trusted over allow */
                { "10.4.0.0", IMAGE_CLASS_DENY },
                { "10.255.255.255", IMAGE_CLASS_DENY },
                { "11.0.0.0", IMAGE_CLASS_NONE },
                { "0.0.0.0", IMAGE_CLASS_ALLOW },
                { "255.255.255.255", IMAGE_CLASS_DENY },
                { "255.255.255.254", IMAGE_CLASS_NONE },
                { "2001:db8::", IMAGE_CLASS_DENY },
                { "2001:db8:1::1", IMAGE_CLASS_ALLOW },
                { "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", IMAGE_CLASS_DENY },
                { "2001:db9::", IMAGE_CLASS_TRUSTED }, /* ::/0 */
                { "::1", IMAGE_CLASS_TRUSTED },
                { "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", IMAGE_CLASS_DENY },
        };
        struct image *image =
            compile(BASE "networks:\n"
                         "  deny: [10.0.0.0/8, 10.1.2.3, 10.2.0.0/16, 255.255.255.255, 2001:db8::/32,\n"
                         "         'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff']\n"
                         "  allow: [10.1.0.0/16, 10.2.0.0/16, 10.3.0.0/16, 0.0.0.0, 2001:db8:1::/48]\n"
                         "  trusted: [10.3.0.0/16, '::/0']\n");

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                enum image_class got = class_of(image, cases[i].addr);

                if (got != cases[i].want)
                        fail_msg("%s: got %d, want %d", cases[i].addr, got, cases[i].want);
        }
        free(image);
}

/* The longest prefix that holds the address, of equal ones the highest class. */
static enum image_class naive(const struct network *entries, uint32_t count, const struct addr *addr)
{
        int best_len = -1;
        uint8_t best = IMAGE_CLASS_NONE;

        for (uint32_t i = 0; i < count; i++) {
                struct addr masked = addr_mask(addr, entries[i].prefix_len);

                if (!addr_is_equal(&masked, &entries[i].addr) ||
                    (addr_is_v4(addr) && entries[i].prefix_len < 96))
                        continue;
                if (entries[i].prefix_len > best_len ||
                    (entries[i].prefix_len == best_len && entries[i].class > best)) {
                        best_len = entries[i].prefix_len;
                        best = entries[i].class;
                }
        }
        return (enum image_class)best;
}

/* Addresses in a narrow space, so that prefixes nest, repeat and touch. */
static struct addr random_addr(uint64_t *state, bool is_v4)
{
        struct addr addr = { { 0x20, 0x01 } };
        uint32_t low =
            htonl((uint32_t)(random_next(state) % 4 == 0 ? random_next(state)
                                                         : 0x0a000000u | random_next(state) % 512));

        if (is_v4)
                return addr_from_v4_be(low);
        memcpy(addr.bytes + 4 * (random_next(state) % 4), &low, 4);
        return addr;
}

/* Look up in flattened pieces as the image does, without an image around them. */
static uint8_t class_in(const struct networks_flat *flat, const struct addr *addr)
{
        uint64_t high = 0, low = 0;
        uint32_t i = 0;

        if (addr_is_v4(addr)) {
                while (i + 1 < flat->v4_count && flat->v4_starts[i + 1] <= ntohl(addr_v4_be(addr)))
                        i++;
                return flat->v4_classes[i];
        }
        for (unsigned k = 0; k < 8; k++) {
                high = high << 8 | addr->bytes[k];
                low = low << 8 | addr->bytes[k + 8];
        }
        while (i + 1 < flat->v6_count &&
               (flat->v6_starts[i + 1].high < high ||
                (flat->v6_starts[i + 1].high == high && flat->v6_starts[i + 1].low <= low)))
                i++;
        return flat->v6_classes[i];
}

static void test_against_reference(void **state)
{
        for (uint64_t seed = 1; seed <= 300; seed++) {
                struct networks networks = { 0 };
                struct network entries[64];
                struct networks_flat flat;
                uint64_t random = seed;
                uint32_t count = (uint32_t)(random_next(&random) % ARRAY_LEN(entries));

                for (uint32_t i = 0; i < count; i++) {
                        bool is_v4 = random_next(&random) % 2;
                        struct addr addr = random_addr(&random, is_v4);
                        uint8_t len =
                            (uint8_t)(is_v4 ? 96 + random_next(&random) % 33 : random_next(&random) % 129);

                        entries[i].addr = addr_mask(&addr, len);
                        entries[i].prefix_len = len;
                        entries[i].class = (uint8_t)(1 + random_next(&random) % 3);
                        assert_int_equal(networks_add(&networks, &entries[i].addr, len, entries[i].class), 0);
                }
                assert_int_equal(networks_flatten(&networks, &flat), 0);
                for (unsigned i = 0; i < 400; i++) {
                        /* Edges of the entries as well as anywhere. */
                        struct addr addr = random_addr(&random, i % 2);

                        if (count > 0 && i % 4 == 0)
                                addr = entries[random_next(&random) % count].addr;
                        if (naive(entries, count, &addr) != class_in(&flat, &addr)) {
                                char text[ADDR_TEXT_MAX];

                                fail_msg("seed %llu: %s: got %u, want %u", (unsigned long long)seed,
                                         addr_text(&addr, text), class_in(&flat, &addr),
                                         naive(entries, count, &addr));
                        }
                }
                for (uint32_t i = 1; i < flat.v4_count; i++) {
                        assert_true(flat.v4_starts[i] > flat.v4_starts[i - 1]);
                        assert_int_not_equal(flat.v4_classes[i], flat.v4_classes[i - 1]);
                }
                networks_flat_done(&flat);
                networks_done(&networks);
        }
}

static void test_million(void **state)
{
        char dir[] = "/tmp/greyline-networks-XXXXXX", path[64], yaml[1024];
        struct image *image;
        FILE *file;

        assert_non_null(mkdtemp(dir));
        snprintf(path, sizeof(path), "%s/deny.txt", dir);
        file = fopen(path, "w");
        assert_non_null(file);
        fprintf(file, "# a million addresses, every other one\n\n");
        for (uint32_t i = 0; i < 1000000; i++)
                fprintf(file, "%u.%u.%u.%u%s\n", 20 + (i >> 23), i >> 15 & 255, i >> 7 & 255, i << 1 & 255,
                        i % 3 == 0 ? "/32 # remark" : "");
        fclose(file);
        snprintf(yaml, sizeof(yaml), "%snetworks: {deny: {file: %s}, allow: [20.0.0.0/30]}\n", BASE, path);
        image = compile(yaml);
        assert_int_equal(image->networks.entries, 1000001);
        assert_in_range(image->bytes, 8u << 20, 20u << 20);
        for (uint32_t i = 0; i < 2000000; i += 7) {
                struct addr addr = addr_from_v4_be(htonl((20u << 24) + i));
                enum image_class want = i % 2 == 0 ? IMAGE_CLASS_DENY
                                        : i < 4    ? IMAGE_CLASS_ALLOW
                                                   : IMAGE_CLASS_NONE;

                if (image_lookup_network(image, &addr) != want)
                        fail_msg("address %u", i);
        }
        assert_int_equal(class_of(image, "20.0.0.1"), IMAGE_CLASS_ALLOW);
        assert_int_equal(class_of(image, "19.255.255.255"), IMAGE_CLASS_NONE);
        assert_int_equal(class_of(image, "20.30.132.128"), IMAGE_CLASS_NONE); /* the one after the last */
        free(image);
        unlink(path);
        rmdir(dir);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_rules),
                cmocka_unit_test(test_against_reference),
                cmocka_unit_test(test_million),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
