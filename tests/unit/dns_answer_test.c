/* SPDX-License-Identifier: Apache-2.0 */
/* Messages are written by hand, since what no server sends matters most here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "control/dns/answer.h"

struct builder {
        uint8_t bytes[20000];
        size_t len;
};

static void add(struct builder *b, const void *bytes, size_t len)
{
        memcpy(b->bytes + b->len, bytes, len);
        b->len += len;
}

static void add_u16(struct builder *b, unsigned value)
{
        add(b, (uint8_t[2]){ (uint8_t)(value >> 8), (uint8_t)value }, 2);
}

static void add_u32(struct builder *b, uint32_t value)
{
        add_u16(b, value >> 16);
        add_u16(b, value & 0xffff);
}

static void add_name(struct builder *b, const char *name)
{
        while (*name != '\0') {
                size_t len = strcspn(name, ".");

                add(b, (uint8_t[1]){ (uint8_t)len }, 1);
                add(b, name, len);
                name += len + (name[len] == '.');
        }
        add(b, "", 1);
}

/* Header and question. */
static void begin(struct builder *b, unsigned flags, unsigned answers, unsigned authority, const char *name,
                  unsigned type)
{
        b->len = 0;
        add_u16(b, 0x1234);
        add_u16(b, flags);
        add_u16(b, 1);
        add_u16(b, answers);
        add_u16(b, authority);
        add_u16(b, 0);
        add_name(b, name);
        add_u16(b, type);
        add_u16(b, 1);
}

static void add_head(struct builder *b, const char *owner, unsigned type, uint32_t ttl_sec, unsigned data_len)
{
        if (owner == NULL)
                add_u16(b, 0xc00c); /* the name of the question */
        else
                add_name(b, owner);
        add_u16(b, type);
        add_u16(b, 1);
        add_u32(b, ttl_sec);
        add_u16(b, data_len);
}

static void add_a(struct builder *b, const char *owner, uint32_t ttl_sec, const char v4[4])
{
        add_head(b, owner, 1, ttl_sec, 4);
        add(b, v4, 4);
}

static void add_named(struct builder *b, const char *owner, unsigned type, uint32_t ttl_sec,
                      const char *target)
{
        add_head(b, owner, type, ttl_sec, (unsigned)strlen(target) + 2);
        add_name(b, target);
}

static void add_soa(struct builder *b, uint32_t ttl_sec, uint32_t minimum_sec)
{
        add_head(b, "test", 6, ttl_sec, 6 + 6 + 20);
        add_name(b, "test");
        add_name(b, "host");
        for (unsigned i = 0; i < 4; i++)
                add_u32(b, 1);
        add_u32(b, minimum_sec);
}

#define QUERY "2.0.0.127.bl.test"

static void build_listed(struct builder *b)
{
        begin(b, 0x8180, 2, 0, QUERY, 1);
        add_a(b, NULL, 300, "\x7f\0\0\2");
        add_a(b, "2.0.0.127.BL.test", 120, "\x7f\0\0\4");
}

static void build_none(struct builder *b)
{
        begin(b, 0x8183, 0, 1, QUERY, 1);
        add_soa(b, 900, 77);
}

static void build_none_short_soa(struct builder *b)
{
        begin(b, 0x8183, 0, 1, QUERY, 1);
        add_soa(b, 50, 77);
}

static void build_none_no_soa(struct builder *b)
{
        begin(b, 0x8183, 0, 0, QUERY, 1);
}

static void build_nodata(struct builder *b)
{
        begin(b, 0x8180, 0, 1, QUERY, 1);
        add_soa(b, 900, 60);
}

static void build_servfail(struct builder *b)
{
        begin(b, 0x8182, 0, 0, QUERY, 1);
}

static void build_truncated(struct builder *b)
{
        begin(b, 0x8380, 1, 0, QUERY, 1);
        add_a(b, NULL, 300, "\x7f\0\0\2");
}

static void build_query(struct builder *b)
{
        begin(b, 0x0100, 0, 0, QUERY, 1);
}

static void build_other_question(struct builder *b)
{
        begin(b, 0x8180, 1, 0, "3.0.0.127.bl.test", 1);
        add_a(b, NULL, 300, "\x7f\0\0\2");
}

static void build_other_type(struct builder *b)
{
        begin(b, 0x8180, 1, 0, QUERY, 28);
        add_a(b, NULL, 300, "\x7f\0\0\2");
}

static void build_other_owner(struct builder *b)
{
        begin(b, 0x8180, 1, 1, QUERY, 1);
        add_a(b, "evil.test", 300, "\x7f\0\0\2");
        add_soa(b, 900, 61);
}

static void build_alias(struct builder *b)
{
        begin(b, 0x8180, 2, 0, QUERY, 1);
        add_named(b, NULL, 5, 40, "real.test");
        add_a(b, "REAL.test", 300, "\x7f\0\0\2");
}

static void build_alias_behind(struct builder *b)
{
        begin(b, 0x8180, 2, 0, QUERY, 1);
        add_a(b, "real.test", 300, "\x7f\0\0\2");
        add_named(b, NULL, 5, 400, "real.test");
}

static void build_alias_loop(struct builder *b)
{
        begin(b, 0x8180, 2, 0, QUERY, 1);
        add_named(b, NULL, 5, 40, "real.test");
        add_named(b, "real.test", 5, 40, QUERY);
}

static void build_short_a(struct builder *b)
{
        begin(b, 0x8180, 1, 0, QUERY, 1);
        add_head(b, NULL, 1, 300, 3);
        add(b, "\x7f\0\0", 3);
}

static void build_pointer_to_itself(struct builder *b)
{
        begin(b, 0x8180, 1, 0, QUERY, 1);
        add_u16(b, 0xc000u | (unsigned)b->len);
        add_u16(b, 1);
        add_u16(b, 1);
        add_u32(b, 300);
        add_u16(b, 4);
        add(b, "\x7f\0\0\2", 4);
}

static void build_reserved_label(struct builder *b)
{
        begin(b, 0x8180, 1, 0, QUERY, 1);
        add(b, "\x80", 1);
        add_u32(b, 0);
        add_u32(b, 0);
        add_u32(b, 0);
}

static void build_missing_records(struct builder *b)
{
        begin(b, 0x8180, 9, 0, QUERY, 1);
        add_a(b, NULL, 300, "\x7f\0\0\2");
}

static void build_negative_ttl(struct builder *b)
{
        begin(b, 0x8180, 1, 0, QUERY, 1);
        add_a(b, NULL, 0x80000001u, "\x7f\0\0\2");
}

static void build_many(struct builder *b)
{
        begin(b, 0x8180, 1000, 0, QUERY, 1);
        for (unsigned i = 0; i < 1000; i++)
                add_a(b, NULL, 300, "\x7f\0\0\2");
}

static void test_addresses(void **state)
{
        static const struct {
                const char *name;
                void (*build)(struct builder *b);
                enum dns_status want_status;
                uint32_t want_ttl_sec; /* checked with FOUND and NONE */
                unsigned want_addrs;
                bool want_cut;
        } cases[] = {
                { "two codes", build_listed, DNS_FOUND, 120, 2, false },
                { "NXDOMAIN", build_none, DNS_NONE, 77, 0, false },
                { "NXDOMAIN, SOA lives shorter", build_none_short_soa, DNS_NONE, 50, 0, false },
                { "NXDOMAIN without SOA", build_none_no_soa, DNS_NONE, DNS_TTL_NONE_DEFAULT, 0, false },
                { "no data", build_nodata, DNS_NONE, 60, 0, false },
                { "SERVFAIL", build_servfail, DNS_FAILED, 0, 0, false },
                { "truncated", build_truncated, DNS_FAILED, 0, 0, false },
                { "a question", build_query, DNS_MALFORMED, 0, 0, false },
                { "another question's answer", build_other_question, DNS_MALFORMED, 0, 0, false },
                { "another type's answer", build_other_type, DNS_MALFORMED, 0, 0, false },
                { "records of another owner", build_other_owner, DNS_NONE, 61, 0, false },
                { "alias", build_alias, DNS_FOUND, 40, 1, false },
                { "alias behind its target", build_alias_behind, DNS_FOUND, 300, 1, false },
                { "alias loop", build_alias_loop, DNS_MALFORMED, 0, 0, false },
                { "A of three bytes", build_short_a, DNS_MALFORMED, 0, 0, false },
                { "pointer to itself", build_pointer_to_itself, DNS_MALFORMED, 0, 0, false },
                { "reserved label type", build_reserved_label, DNS_MALFORMED, 0, 0, false },
                { "fewer records than said", build_missing_records, DNS_MALFORMED, 0, 0, false },
                { "negative TTL is zero", build_negative_ttl, DNS_FOUND, 0, 1, false },
                { "1000 records", build_many, DNS_FOUND, 300, DNS_ADDRS_MAX, true },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct builder b;
                struct dns_answer got;

                cases[i].build(&b);
                dns_answer_parse(b.bytes, b.len, QUERY, DNS_TYPE_A, &got);
                if (got.status != cases[i].want_status)
                        fail_msg("%s: got status %d", cases[i].name, got.status);
                if (got.status != DNS_FOUND && got.status != DNS_NONE)
                        continue;
                if (got.ttl_sec != cases[i].want_ttl_sec || got.addrs_used != cases[i].want_addrs ||
                    got.cut != cases[i].want_cut)
                        fail_msg("%s: got ttl %u, %u addresses, cut %d", cases[i].name, got.ttl_sec,
                                 got.addrs_used, got.cut);
        }
}

static void test_addresses_are_kept(void **state)
{
        struct builder b;
        struct dns_answer got;
        char text[ADDR_TEXT_MAX];

        build_listed(&b);
        dns_answer_parse(b.bytes, b.len, QUERY, DNS_TYPE_A, &got);
        assert_string_equal(addr_text(&got.addrs[0], text), "127.0.0.2");
        assert_string_equal(addr_text(&got.addrs[1], text), "127.0.0.4");

        begin(&b, 0x8180, 1, 0, "mx.test", 28);
        add_head(&b, NULL, 28, 60, 16);
        add(&b, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\7", 16);
        dns_answer_parse(b.bytes, b.len, "mx.test", DNS_TYPE_AAAA, &got);
        assert_int_equal(got.status, DNS_FOUND);
        assert_string_equal(addr_text(&got.addrs[0], text), "2001:db8::7");
}

static void test_reverse_names(void **state)
{
        static const struct {
                const char *target;
                const char *want_name; /* NULL: refused */
        } cases[] = {
                { "Mail.Example.org", "mail.example.org" },
                { "mail_1.example.org", "mail_1.example.org" },
                { "localhost", NULL },
                { "-bad.example.org", NULL },
                { "192.0.2.1", NULL },
                { "a b.example.org", NULL },
                { "x\r\nY.example.org", NULL },
                { "", NULL },
        };
        struct builder b;
        struct dns_answer got;

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                begin(&b, 0x8180, 1, 0, "1.2.0.192.in-addr.arpa", 12);
                add_head(&b, NULL, 12, 60, (unsigned)strlen(cases[i].target) + (cases[i].target[0] ? 2 : 1));
                add_name(&b, cases[i].target);
                dns_answer_parse(b.bytes, b.len, "1.2.0.192.in-addr.arpa", DNS_TYPE_PTR, &got);
                assert_int_equal(got.status, DNS_FOUND);
                assert_int_equal(got.names_used, cases[i].want_name != NULL);
                assert_int_equal(got.names_refused, cases[i].want_name == NULL);
                if (cases[i].want_name != NULL)
                        assert_string_equal(got.names[0], cases[i].want_name);
        }
        /* A dot inside a label is not the end of one: as text it would pass for another name. */
        begin(&b, 0x8180, 1, 0, "1.2.0.192.in-addr.arpa", 12);
        add_head(&b, NULL, 12, 60, 14);
        add(&b, "\7a.b.org\4test", 14);
        dns_answer_parse(b.bytes, b.len, "1.2.0.192.in-addr.arpa", DNS_TYPE_PTR, &got);
        assert_int_equal(got.status, DNS_FOUND);
        assert_int_equal(got.names_refused, 1);
        /* RFC 2317: the reverse zone hangs behind an alias. Six names, five are kept. */
        begin(&b, 0x8180, 7, 0, "1.2.0.192.in-addr.arpa", 12);
        add_named(&b, NULL, 5, 30, "1.0-63.2.0.192.in-addr.arpa");
        for (unsigned i = 0; i < 6; i++)
                add_named(&b, "1.0-63.2.0.192.in-addr.arpa", 12, 60, "mail.example.org");
        dns_answer_parse(b.bytes, b.len, "1.2.0.192.in-addr.arpa", DNS_TYPE_PTR, &got);
        assert_int_equal(got.status, DNS_FOUND);
        assert_int_equal(got.ttl_sec, 30);
        assert_int_equal(got.names_used, DNS_PTRS_MAX);
        assert_true(got.cut);
}

/* Every prefix, and many messages with bytes changed: nothing to expect but that it ends and stays inside. */
static void test_damage(void **state)
{
        static void (*const builds[])(struct builder * b) = { build_listed, build_none, build_alias,
                                                              build_alias_loop, build_other_owner };
        uint64_t random = 0x9e3779b97f4a7c15u;
        struct dns_answer got;

        for (unsigned i = 0; i < ARRAY_LEN(builds); i++) {
                struct builder b;

                builds[i](&b);
                for (size_t len = 0; len < b.len; len++) {
                        uint8_t *copy = malloc(len + 1); /* so that a sanitizer sees a read behind the end */

                        memcpy(copy, b.bytes, len);
                        dns_answer_parse(copy, len, QUERY, DNS_TYPE_A, &got);
                        assert_int_not_equal(got.status, DNS_FOUND);
                        free(copy);
                }
                for (unsigned round = 0; round < 20000; round++) {
                        struct builder hurt = b;

                        for (unsigned k = 0; k < 1 + round % 4; k++) {
                                random ^= random << 13;
                                random ^= random >> 7;
                                random ^= random << 17;
                                hurt.bytes[random % hurt.len] = (uint8_t)(random >> 32);
                        }
                        dns_answer_parse(hurt.bytes, hurt.len, QUERY, DNS_TYPE_A, &got);
                        assert_true(got.addrs_used <= DNS_ADDRS_MAX);
                        assert_int_not_equal(got.status, DNS_TIMEOUT);
                }
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_addresses),
                cmocka_unit_test(test_addresses_are_kept),
                cmocka_unit_test(test_reverse_names),
                cmocka_unit_test(test_damage),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
