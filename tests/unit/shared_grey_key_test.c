/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "dataplane/shared/grey_key.h"

static const struct siphash_key key = { { 0x1111, 0x2222 } };

struct text_case {
        const char *path;
        const char *want;
};

static void check(const struct text_case *cases, size_t n, size_t (*normal)(const char *, size_t, char *))
{
        char got[GREY_PATH_MAX + 1];

        for (size_t i = 0; i < n; i++) {
                size_t len = normal(cases[i].path, strlen(cases[i].path), got);

                got[len] = '\0';
                if (strcmp(got, cases[i].want) != 0)
                        fail_msg("%s: got %s, want %s", cases[i].path, got, cases[i].want);
        }
}

static void test_sender(void **state)
{
        static const struct text_case cases[] = {
                { "", "" },
                { "user@Example.ORG", "user@example.org" },
                { "User@example.org.", "User@example.org" },
                { "user+list@example.org", "user@example.org" },
                { "+list@example.org", "+list@example.org" },
                { "\"a@b\"@Example.org", "\"a@b\"@example.org" },
                /* BATV: the tag changes every day */
                { "prvs=0123abcdef=user@example.org", "user@example.org" },
                { "PRVS=4567ABCDEF=user@example.org", "user@example.org" },
                { "prvs=user=0123abcdef@example.org", "user@example.org" },
                { "prvs=0123abcdeg=user@example.org", "prvs=0123abcdeg=user@example.org" },
                { "prvs=0123abcde=user@example.org", "prvs=#=user@example.org" },
                { "prvs=user@example.org", "prvs=user@example.org" },
                { "prvs=0123abcdef=user+x@example.org", "user@example.org" },
                /* SRS: hash and time stamp change */
                { "SRS0=HHHH=TT=Example.net=user@Forward.example", "srs0=example.net=user@forward.example" },
                { "srs0+abcd=XY=example.net=user@forward.example", "srs0=example.net=user@forward.example" },
                { "SRS0=HHHH=TT=example.net=user+tag@f.example", "srs0=example.net=user@f.example" },
                { "SRS1=HHHH=first.example==AAAA=TT=example.net=user@f.example",
                  "srs1=first.example==example.net=user@f.example" },
                { "SRS1=HHHH=first.example=+AAAA=TT=example.net=user@f.example",
                  "srs1=first.example==example.net=user@f.example" },
                { "SRS0=HHHH=TT=user@f.example", "SRS0=HHHH=TT=user@f.example" },
                { "SRS0@f.example", "SRS0@f.example" },
                { "srs1=h=x@f.example", "srs1=h=x@f.example" },
                /* VERP and counters */
                { "bounce-12345@list.example", "bounce-#@list.example" },
                { "bounce-12345-77@list.example", "bounce-#-#@list.example" },
                { "list-return-42-user=example.org@list.example",
                  "list-return-#-user=example.org@list.example" },
                { "b.5f3c2a9b77@list.example", "b.#@list.example" },
                { "user7@example.org", "user7@example.org" },
                { "12345@example.org", "12345@example.org" },
                { "12345", "12345" },
                { "deadbeef.x@example.org", "deadbeef.x@example.org" },
        };

        check(cases, ARRAY_LEN(cases), grey_key_sender);
}

static void test_recipient(void **state)
{
        static const struct text_case cases[] = {
                { "User@Example.ORG", "User@example.org" },
                { "user+folder@example.org", "user@example.org" },
                { "user-12345@example.org", "user-12345@example.org" },
                { "prvs=0123abcdef=user@example.org", "prvs=0123abcdef=user@example.org" },
                { "Postmaster", "postmaster" },
                { "user@[192.0.2.1]", "user@[192.0.2.1]" },
        };

        check(cases, ARRAY_LEN(cases), grey_key_recipient);
}

/* Any bytes of any length stay inside the buffer; the sanitizers watch. */
static void test_hostile(void **state)
{
        static const char pieces[] = "srsSRS0011=+-@prvs=abcdef0123456789.==";
        char path[2 * GREY_PATH_MAX], *got;
        uint64_t random = 88172645463325252ull;

        for (unsigned round = 0; round < 20000; round++) {
                size_t len = random % sizeof(path), used;

                for (size_t i = 0; i < len; i++) {
                        random ^= random << 13;
                        random ^= random >> 7;
                        random ^= random << 17;
                        path[i] = round % 3 ? pieces[random % (sizeof(pieces) - 1)] : (char)random;
                }
                if (round % 3 == 1 && len > 5)
                        memcpy(path, round % 2 ? "SRS0=" : "SRS1=", 5);
                got = malloc(GREY_PATH_MAX);
                used = grey_key_sender(path, len, got);
                assert_true(used <= MIN(len, GREY_PATH_MAX));
                used = grey_key_recipient(path, len, got);
                assert_true(used <= MIN(len, GREY_PATH_MAX));
                free(got);
                assert_int_not_equal(grey_key_pool(&key, random, path, len, path, len), 0);
                random += len;
        }
}

static uint64_t key_of(const char *network, const char *sender, const char *recipient)
{
        struct addr addr;

        assert_int_equal(addr_parse(network, &addr), 0);
        return grey_key_network(&key, &addr, sender, strlen(sender), recipient, strlen(recipient));
}

static void test_identity(void **state)
{
        uint64_t base = key_of("192.0.2.0", "a@example.net", "bc@example.org");
        static const struct {
                const char *network, *sender, *recipient;
                bool want_same;
        } cases[] = {
                { "192.0.2.0", "a@EXAMPLE.net", "bc+x@example.ORG", true },
                { "192.0.3.0", "a@example.net", "bc@example.org", false },
                { "192.0.2.0", "b@example.net", "bc@example.org", false },
                { "192.0.2.0", "a@example.net", "cb@example.org", false },
                { "192.0.2.0", "a@example.netb", "c@example.org", false },
                { "192.0.2.0", "", "bc@example.org", false },
        };
        static const struct siphash_key other = { { 0x1111, 0x2223 } };
        struct addr addr;

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++)
                assert_int_equal(base == key_of(cases[i].network, cases[i].sender, cases[i].recipient),
                                 cases[i].want_same);
        assert_int_equal(addr_parse("192.0.2.0", &addr), 0);
        assert_int_not_equal(grey_key_network(&other, &addr, "a@example.net", 13, "bc@example.org", 14),
                             base);
        assert_int_equal(grey_key_network(&key, &addr, "a@example.net", 13, "bc@example.org", 14), base);
        assert_int_equal(grey_key_pool_domain(&key, "Example.org.", 12),
                         grey_key_pool_domain(&key, "example.org", 11));
        assert_int_not_equal(grey_key_pool_domain(&key, "example.org", 11),
                             grey_key_pool_domain(&key, "example.net", 11));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_sender),
                cmocka_unit_test(test_recipient),
                cmocka_unit_test(test_hostile),
                cmocka_unit_test(test_identity),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
