/* SPDX-License-Identifier: Apache-2.0 */
/* From YAML by way of the image to what DNS goes by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "control/dns/conf.h"
#include "control/policy/policy.h"

#define BASE                                                                                                 \
        "node: {hostname: mx.example.net}\n"                                                                 \
        "ports: [{name: a, device: x, addresses: [192.0.2.25/24]}]\n"                                        \
        "listeners: [{name: mx, front: [192.0.2.25]}]\n"                                                     \
        "pools: {a: {servers: [{address: 192.0.2.40}]}}\n"                                                   \
        "domains: {example.org: {pool: a}}\n"

static void read_conf(const char *yaml, struct dns_conf *ret)
{
        const struct policy_options options = { .generation = 1, .now_sec = 1795500000 };
        static struct policy_errors errors;
        void *image;
        size_t len;

        if (policy_compile_text("test.yaml", yaml, strlen(yaml), NULL, &options, &errors, &image, &len) < 0)
                fail_msg("%s", errors.text[0]);
        dns_conf_from_image(ret, image);
        free(image);
}

static void test_zones(void **state)
{
        static struct dns_conf conf;
        const struct dns_list *sbl, *pbl, *allow;

        read_conf(
            BASE
            "zones: [{zone: Zen.Example, name: sbl, listed: [\"127.0.0.2-3\", 127.0.0.9], ttl_min: 2m},\n"
            "        {zone: zen.example, name: pbl, listed: [\"127.0.0.10-11\"], ipv6: false},\n"
            "        {zone: wl.example, kind: allow, ipv4: false, ttl_max: 1h}]\n",
            &conf);
        sbl = &conf.lists[0];
        pbl = &conf.lists[1];
        allow = &conf.lists[2];
        assert_true(sbl->used && pbl->used && allow->used && !conf.lists[3].used);
        assert_string_equal(sbl->name, "sbl");
        assert_string_equal(sbl->domain, "zen.example");
        assert_string_equal(pbl->domain, sbl->domain);
        assert_true(sbl->ipv4 && sbl->ipv6 && pbl->ipv4 && !pbl->ipv6 && !allow->ipv4 && allow->ipv6);
        assert_int_equal(sbl->kind, IMAGE_ZONE_BLOCK);
        assert_int_equal(allow->kind, IMAGE_ZONE_ALLOW);
        assert_int_equal(sbl->ttl_min_sec, 120);
        assert_int_equal(allow->ttl_max_sec, 3600);
        assert_int_equal(sbl->codes_used, 2);
        assert_int_equal(conf.codes[sbl->codes_first].from, 0x7f000002);
        assert_int_equal(conf.codes[sbl->codes_first].to, 0x7f000003);
        assert_int_equal(conf.codes[sbl->codes_first + 1].from, 0x7f000009);
        assert_int_equal(pbl->codes_used, 1);
        assert_int_equal(conf.codes[pbl->codes_first].to, 0x7f00000b);
}

static void test_numbers(void **state)
{
        static const struct {
                const char *yaml;
                uint32_t want_deadline_ms, want_resolver_ms, want_queue, want_share, want_outstanding;
        } cases[] = {
                { BASE
                  "dns: {deadline: 3s, timeout: 500ms, queue: 1000, network_share: 5, outstanding: 100}\n",
                  3000, 3000, 1000, 50, 100 },
                /* A session that does not wait still fills the table. */
                { BASE "dns: {deadline: 0s, timeout: 2s}\n", 100, 2000, DNS_QUESTIONS_MAX,
                  DNS_QUESTIONS_MAX / 20, 500 },
                /* More than this part can do is cut to what it can; a share is never nothing. */
                { BASE "dns: {queue: 10M, outstanding: 65536, network_share: 100}\n", 5000, 5000,
                  DNS_QUESTIONS_MAX, DNS_QUESTIONS_MAX, RESOLVER_WINDOW },
                { BASE "dns: {queue: 1, outstanding: 1, network_share: 1}\n", 5000, 5000, 1, 1, 8 },
        };
        static struct dns_conf conf;

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                read_conf(cases[i].yaml, &conf);
                if (conf.deadline_ms != cases[i].want_deadline_ms ||
                    conf.resolver.deadline_ms != cases[i].want_resolver_ms ||
                    conf.queue_max != cases[i].want_queue || conf.share_max != cases[i].want_share ||
                    conf.outstanding_max != cases[i].want_outstanding)
                        fail_msg("case %u: deadline %u, resolver %u, queue %u, share %u, outstanding %u", i,
                                 conf.deadline_ms, conf.resolver.deadline_ms, conf.queue_max, conf.share_max,
                                 conf.outstanding_max);
        }
}

static void test_resolvers(void **state)
{
        static struct dns_conf conf;
        char text[ADDR_TEXT_MAX];

        read_conf(BASE "dns: {resolvers: [\"127.0.0.1:5353\", \"::1\"]}\n", &conf);
        assert_int_equal(conf.resolver.servers_used, 2);
        assert_string_equal(addr_text(&conf.resolver.servers[0].addr, text), "127.0.0.1");
        assert_int_equal(conf.resolver.servers[0].port, 5353);
        assert_string_equal(addr_text(&conf.resolver.servers[1].addr, text), "::1");
        assert_int_equal(conf.resolver.servers[1].port, 53);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_zones),
                cmocka_unit_test(test_numbers),
                cmocka_unit_test(test_resolvers),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
