/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From YAML to the image and back: values arrive where lookups find them; policies inherit and lock; zones keep
 * their numbers; a site file supplies what is missing. What is refused is in policy_invalid_test.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <errno.h>
#include <unistd.h>

#include "control/policy/policy.h"

#define NOW 1795500000u
#define DAY 86400u

#define NODE  "node: {hostname: MX1.Example.net}\n"
#define PORTS "ports: [{name: a, device: x, addresses: [192.0.2.25/24], gateway: 192.0.2.1}]\n"
#define REST                                                                                                 \
        "listeners: [{name: mx, front: 192.0.2.25}]\n"                                                       \
        "pools: {main: {servers: [{address: 198.51.100.40}]}}\n"                                             \
        "domains: {example.org: {}}\n"
#define BASE NODE PORTS REST

static struct policy_errors errors;

static struct image *try_compile(const char *yaml, const char *site_path, struct policy_zone_book *zones,
                                 uint64_t now_sec)
{
        const struct policy_options options = { .generation = 5, .now_sec = now_sec, .zones = zones };
        void *image = NULL;
        size_t len = 0;

        if (policy_compile_text("test.yaml", yaml, strlen(yaml), site_path, &options, &errors, &image, &len) <
            0)
                return NULL;
        assert_int_equal(len, ((struct image *)image)->bytes);
        return image;
}

static struct image *compile(const char *yaml)
{
        struct image *image = try_compile(yaml, NULL, NULL, NOW);

        if (!image)
                fail_msg("%s", errors.text[0]);
        return image;
}

static const struct image_policy *policy_named(const struct image *image, const char *name)
{
        for (uint32_t i = 0; i < image->policies.count; i++) {
                if (strcmp(image_string(image, image_policy(image, i)->name), name) == 0)
                        return image_policy(image, i);
        }
        fail_msg("no policy %s", name);
        return NULL;
}

static void test_defaults(void **state)
{
        struct image *image = compile(BASE);
        const struct image_policy *policy = image_policy(image, 0);
        const struct image_greylist *grey = &policy->greylist;
        char text[ADDR_TEXT_MAX];

        assert_int_equal(image->generation, 5);
        assert_int_equal(image->compiled_sec, NOW);
        assert_string_equal(image_string(image, image->node.hostname), "mx1.example.net");
        assert_string_equal(image_string(image, image->node.name), "mx1");
        assert_int_equal(image->policies.count, 1);
        assert_string_equal(image_string(image, policy->name), "default");
        assert_int_equal(grey->enabled, 1);
        assert_int_equal(grey->block_sec, 4 * 60);
        assert_int_equal(grey->window_sec, 360 * 60);
        assert_int_equal(grey->life_sec, 36 * DAY);
        assert_int_equal(grey->exempt_after, 5);
        assert_int_equal(grey->v4_prefix, 24);
        assert_int_equal(grey->v6_prefix, 64);
        assert_int_equal(grey->reply.code, 451);
        assert_memory_equal(grey->reply.enhanced, ((uint8_t[]){ 4, 7, 1 }), 3);
        assert_int_equal(policy->reject.code, 554);
        assert_string_equal(image_string(image, policy->reject.text),
                            "Sending address not accepted due to spam filter");
        assert_int_equal(policy->on_dns_failure, IMAGE_DNS_FAILURE_GREYLIST);
        assert_int_equal(image->limits.recipients_max, 100);
        assert_int_equal(image->limits.connections_per_network, 50);
        assert_int_equal(image->dns.deadline_ms, 5000);
        assert_int_equal(image->dns.resolvers.count, 1);
        assert_string_equal(addr_text(&image_resolver(image, 0)->addr, text), "127.0.0.1");
        assert_int_equal(image_resolver(image, 0)->port, 53);
        assert_int_equal(image->store.redis.enabled, 0);
        assert_int_equal(image_pool(image, 0)->identity, IMAGE_IDENTITY_XCLIENT);
        assert_int_equal(image_pool(image, 0)->end_timeout_ms, 600000);
        assert_int_equal(image_listener(image, 0)->greet_delay_ms, 2000);
        assert_string_equal(image_string(image, image_listener(image, 0)->hostname), "mx1.example.net");
        free(image);
}

static void test_places(void **state)
{
        struct image *image = compile(
            NODE
            "ports:\n"
            "  - {name: front, device: 'net_tap0,iface=x', addresses: [192.0.2.25/24, 2001:db8::25/64],\n"
            "     gateway: [192.0.2.1, fe80::1], vlan: 7, mtu: 9000}\n"
            "  - {name: back, device: y, addresses: 198.51.100.25/24}\n"
            "listeners:\n"
            "  - {name: mx, front: [192.0.2.25, '2001:db8::25'], hostname: mx.example.net}\n"
            "  - {name: other, front: [198.51.100.25], port: 2525, policy: open, greet_delay: 500ms, teaser: "
            "yes}\n"
            "pools:\n"
            "  a: {identity: proxy, balance: hash, down_code: 421, servers: [{address: 198.51.100.40, "
            "weight: 3},\n"
            "      {address: 198.51.100.41, port: 10025, connections: 7}]}\n"
            "  b: {identity: none, servers: [{address: '2001:db8::50'}]}\n"
            "domains: {example.org: {pool: b}, example.net: {pool: a, policy: open}}\n"
            "policies: {open: {greylist: {enabled: false}}}\n"
            "networks: {deny: 203.0.113.0/24, deny_action: drop}\n"
            "dns: {resolvers: ['127.0.0.1:5353', '[2001:db8::53]:54'], deadline: 1500ms}\n"
            "store: {redis: {host: 127.0.0.1, port: 7000}, snapshot_interval: 0, grey_entries: 2M}\n"
            "limits: {message_size: 20MB}\n"
            "log: {privacy: hashed}\n");
        const struct image_listener *listener;
        struct addr addr;
        uint16_t policy, pool;

        assert_int_equal(image->ports.count, 2);
        assert_int_equal(image_port(image, 0)->vlan, 7);
        assert_int_equal(image_port(image, 0)->mtu, 9000);
        assert_int_equal(image_port(image, 0)->gateway_v6.bytes[0], 0xfe);
        assert_string_equal(image_string(image, image_port(image, 0)->device), "net_tap0,iface=x");
        assert_int_equal(addr_parse("198.51.100.25", &addr), 0);
        assert_int_equal(image_lookup_address(image, &addr)->port, 1);
        assert_int_equal(image_lookup_address(image, &addr)->prefix_len, 120);
        assert_null(image_lookup_listener(image, &addr, 25));
        listener = image_lookup_listener(image, &addr, 2525);
        assert_non_null(listener);
        assert_int_equal(listener->greet_delay_ms, 500);
        assert_int_equal(listener->teaser, 1);
        assert_string_equal(image_string(image, image_policy(image, listener->policy)->name), "open");
        assert_int_equal(addr_parse("2001:db8::25", &addr), 0);
        assert_string_equal(image_string(image, image_lookup_listener(image, &addr, 25)->hostname),
                            "mx.example.net");
        assert_int_equal(addr_parse("192.0.2.26", &addr), 0);
        assert_null(image_lookup_address(image, &addr));

        assert_int_equal(image_pool(image, 0)->balance, IMAGE_BALANCE_HASH);
        assert_int_equal(image_pool(image, 0)->down_code, 421);
        assert_int_equal(image_pool(image, 1)->servers.first, 2);
        assert_int_equal(image_server(image, 0)->weight, 3);
        assert_int_equal(image_server(image, 1)->tcp_port, 10025);
        assert_int_equal(image_server(image, 1)->connections_max, 7);
        assert_int_equal(image_server(image, 2)->pool, 1);
        assert_true(image_lookup_domain(image, "example.net", 11, &policy, &pool));
        assert_int_equal(pool, 0);
        assert_int_equal(image_policy(image, policy)->greylist.enabled, 0);
        assert_int_equal(image->networks.deny_action, IMAGE_ACTION_DROP);
        assert_int_equal(image_resolver(image, 0)->port, 5353);
        assert_int_equal(image_resolver(image, 1)->port, 54);
        assert_int_equal(image->dns.deadline_ms, 1500);
        assert_int_equal(image->store.redis.enabled, 1);
        assert_int_equal(image->store.redis.port, 7000);
        assert_int_equal(image->store.grey_entries, 2000000);
        assert_int_equal(image->store.snapshot_interval_sec, 0);
        assert_int_equal(image->limits.message_bytes_max, 20 << 20);
        assert_int_equal(image->log.privacy, IMAGE_PRIVACY_HASHED);
        free(image);
}

static void test_domains(void **state)
{
        static const struct {
                const char *name;
                const char *want_pool; /* NULL: not ours */
        } cases[] = {
                { "example.org", "a" },
                { "EXAMPLE.ORG", "a" },
                { "sub.example.org", "b" },
                { "x.y.example.org", "b" },
                { "deep.example.org", "c" },
                { "x.deep.example.org", "c" },
                { "example.net", NULL },
                { "x.example.net", "c" },
                { "org", NULL },
                { "notexample.org", NULL },
                { ".example.org", NULL },
                { "example.org.", NULL },
                { "*.example.org", NULL },
                { "", NULL },
                { ".", NULL },
                { "..", NULL },
                { "[192.0.2.1]", NULL },
        };
        struct image *image = compile(
            NODE PORTS
            "listeners: [{name: mx, front: 192.0.2.25}]\n"
            "pools: {a: {servers: [{address: 192.0.2.40}]}, b: {servers: [{address: 192.0.2.41}]},\n"
            "        c: {servers: [{address: 192.0.2.42}]}}\n"
            "domains: {Example.ORG: {pool: a}, '*.example.org': {pool: b}, deep.example.org: {pool: c},\n"
            "          '*.Deep.example.org': {pool: c}, '*.example.net': {pool: c}}\n");
        char long_name[300];

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                uint16_t policy = 9, pool = 9;
                bool got = image_lookup_domain(image, cases[i].name, strlen(cases[i].name), &policy, &pool);

                if (got != (cases[i].want_pool != NULL))
                        fail_msg("%s: got %d", cases[i].name, got);
                if (got)
                        assert_string_equal(image_string(image, image_pool(image, pool)->name),
                                            cases[i].want_pool);
                else
                        assert_true(policy == 9 && pool == 9);
        }
        memset(long_name, 'a', sizeof(long_name));
        memcpy(long_name + sizeof(long_name) - 12, ".example.org", 12);
        assert_false(
            image_lookup_domain(image, long_name, sizeof(long_name), &(uint16_t){ 0 }, &(uint16_t){ 0 }));
        assert_true(image_lookup_domain(image, long_name + sizeof(long_name) - 253, 253, &(uint16_t){ 0 },
                                        &(uint16_t){ 0 }));
        free(image);
}

static void test_many_domains(void **state)
{
        const unsigned count = 100000;
        char *yaml = malloc(64 * count + 4096), name[64];
        size_t len =
            (size_t)sprintf(yaml, NODE PORTS "listeners: [{name: mx, front: 192.0.2.25}]\n"
                                             "pools: {main: {servers: [{address: 192.0.2.40}]}}\ndomains:\n");
        struct image *image;
        uint16_t policy, pool;

        assert_non_null(yaml);
        for (unsigned i = 0; i < count; i++)
                len +=
                    (size_t)sprintf(yaml + len, i % 2 ? "  '*.d%u.example': {}\n" : "  d%u.example: {}\n", i);
        image = compile(yaml);
        for (unsigned i = 0; i < count; i++) {
                int name_len = snprintf(name, sizeof(name), "%sd%u.example", i % 2 ? "mail." : "", i);

                if (!image_lookup_domain(image, name, (size_t)name_len, &policy, &pool))
                        fail_msg("%s was not found", name);
                if (image_lookup_domain(image, name + 1, (size_t)name_len - 1, &policy, &pool) && i % 2 == 0)
                        fail_msg("%s was found", name + 1);
        }
        free(image);
        free(yaml);
}

static void test_inherit(void **state)
{
        struct image *image =
            compile(BASE "zones: [{name: n, zone: bl.example.com, score: 5, smtp_blocking: true},\n"
                         "        {zone: wl.example.com, kind: allow, score: -7}]\n"
                         "policies:\n"
                         "  grandchild: {inherit: child, greylist: {window: 2h}, zones: {n: {score: 9}}}\n"
                         "  child: {greylist: {block: 1m}, reverse_dns: {missing: defer}, zones: {n: "
                         "{smtp_blocking: no},\n"
                         "          wl.example.com: {enabled: false}}}\n"
                         "  default: {greylist: {block: 2m}, scores: {low: 1}}\n"
                         "  beside: {scores: {high: 99}}\n"
                         "  without: {zones: {n: {enabled: false}}}\n");
        const struct image_policy *usual = image_policy(image, 0), *child = policy_named(image, "child"),
                                  *grandchild = policy_named(image, "grandchild"),
                                  *beside = policy_named(image, "beside");

        assert_string_equal(image_string(image, usual->name), "default");
        assert_int_equal(usual->greylist.block_sec, 120);
        assert_int_equal(child->greylist.block_sec, 60);
        assert_int_equal(child->greylist.window_sec, 360 * 60);
        assert_int_equal(grandchild->greylist.block_sec, 60);
        assert_int_equal(grandchild->greylist.window_sec, 7200);
        assert_int_equal(beside->greylist.block_sec, 120);
        assert_int_equal(grandchild->ptr_missing.action, IMAGE_ACTION_DEFER);
        assert_int_equal(beside->ptr_missing.action, IMAGE_ACTION_REJECT);
        assert_int_equal(grandchild->score[IMAGE_LEVEL_LOW].threshold, 1);
        assert_int_equal(beside->score[IMAGE_LEVEL_HIGH].threshold, 99);

        assert_int_equal(usual->zones_used, 3);
        assert_int_equal(usual->zones_blocking, 1);
        assert_int_equal(usual->zone_points[0], 5);
        assert_int_equal(usual->zone_points[1], -7);
        assert_int_equal(child->zones_used, 1);
        assert_int_equal(child->zones_blocking, 0);
        assert_int_equal(grandchild->zones_used, 1);
        assert_int_equal(grandchild->zone_points[0], 9);
        assert_int_equal(beside->zones_used, 3);
        /* A zone that counts for nothing cannot block either. */
        assert_int_equal(policy_named(image, "without")->zones_used, 2);
        assert_int_equal(policy_named(image, "without")->zones_blocking, 0);
        free(image);
}

static void test_locked(void **state)
{
        static const struct {
                const char *child;
                const char *want_key; /* NULL: taken */
        } cases[] = {
                { "{greylist: {block: 1m}}", "policies.child.greylist.block" },
                { "{greylist: {window: 2h}}", NULL },
                { "{helo: {ours: ignore}}", "policies.child.helo" },
                { "{zones: {bl.example.com: {score: 1}}}", "policies.child.zones.bl.example.com" },
                { "{zones: {wl.example.com: {score: -1}}}", NULL },
                { "{inherit: other, bare_newline: normalize}", "policies.child.bare_newline" },
                { "{locked: []}", "policies.child.locked" },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                char yaml[2048];
                struct image *image;

                snprintf(yaml, sizeof(yaml),
                         BASE "zones: [{zone: bl.example.com}, {zone: wl.example.com, kind: allow}]\n"
                              "policies:\n"
                              "  child: %s\n"
                              "  other: {}\n"
                              "  default: {bare_newline: reject, locked: [greylist.block, helo, "
                              "zones.bl.example.com, bare_newline]}\n",
                         cases[i].child);
                image = try_compile(yaml, NULL, NULL, NOW);
                if ((image == NULL) != (cases[i].want_key != NULL))
                        fail_msg("%s: %s", cases[i].child, image ? "taken" : errors.text[0]);
                if (!image) {
                        assert_int_equal(errors.count, 1);
                        assert_non_null(strstr(errors.text[0], cases[i].want_key));
                }
                free(image);
        }
}

static int number_of(const struct image *image, const char *zone)
{
        for (uint32_t i = 0; i < image->zones.count; i++) {
                if (strcmp(image_string(image, image_zone(image, i)->name), zone) == 0)
                        return image_zone(image, i)->number;
        }
        return -1;
}

static void test_zone_numbers(void **state)
{
        struct policy_zone_book book = { 0 };
        struct image *image;

        image = try_compile(BASE "zones: [{zone: a.test}, {zone: b.test}]\n", NULL, &book, NOW);
        assert_non_null(image);
        assert_int_equal(number_of(image, "a.test"), 0);
        assert_int_equal(number_of(image, "b.test"), 1);
        free(image);
        /* Another order, one gone, one with other answers (another meaning, so another number). */
        image = try_compile(BASE "zones: [{zone: c.test}, {zone: b.test, score: 3}, {name: a2, zone: a.test, "
                                 "listed: 127.0.0.9}]\n",
                            NULL, &book, NOW);
        assert_non_null(image);
        assert_int_equal(number_of(image, "b.test"), 1);
        assert_int_equal(number_of(image, "c.test"), 2);
        assert_int_equal(number_of(image, "a2"), 3);
        assert_int_equal(image_lookup_zone(image, 1)->points, 3);
        assert_null(image_lookup_zone(image, 0));
        free(image);
        image = try_compile(BASE "zones: [{zone: a.test}]\n", NULL, &book, NOW);
        assert_non_null(image);
        assert_int_equal(number_of(image, "a.test"), 0);
        free(image);
}

static void test_zone_numbers_used_up(void **state)
{
        static const struct {
                uint64_t unused_since; /* of number 7; all others are in use */
                bool want;
        } cases[] = {
                { 0, false },
                { NOW - 7 * DAY, false },
                { NOW - 9 * DAY, true },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct policy_zone_book book = { 0 }, before;
                struct image *image;

                for (unsigned k = 0; k < IMAGE_ZONES_MAX; k++)
                        book.entry[k].key = 1000 + k;
                book.entry[7].unused_since_sec = cases[i].unused_since;
                before = book;
                image = try_compile(BASE "zones: [{zone: new.test}]\n", NULL, &book, NOW);
                assert_int_equal(image != NULL, cases[i].want);
                if (image) {
                        assert_int_equal(number_of(image, "new.test"), 7);
                        assert_string_equal(book.entry[7].name, "new.test");
                } else {
                        assert_memory_equal(&book, &before, sizeof(book));
                }
                free(image);
        }
}

static void test_site(void **state)
{
        char path[] = "/tmp/greyline-site-XXXXXX";
        const char site[] = NODE PORTS REST "store: {grey_entries: 5k, redis: {host: 192.0.2.60}}\n"
                                            "dns: {resolvers: 192.0.2.53}\nlimits: {errors: 3}\n"
                                            "policies: {default: {greylist: {block: 9m}}}\n";
        int fd = mkstemp(path);
        char text[ADDR_TEXT_MAX];
        struct image *image;
        uint16_t policy, pool;

        assert_true(fd >= 0);
        assert_int_equal(write(fd, site, sizeof(site) - 1), sizeof(site) - 1);
        close(fd);
        image = try_compile("node: {workers: 3}\n"
                            "pools: {other: {servers: [{address: 192.0.2.41}]}}\n"
                            "domains: {example.com: {pool: other}}\n"
                            "store: {client_entries: 6k, redis: {port: 7}}\n"
                            "policies: {default: {reject_at: banner}}\n",
                            path, NULL, NOW);
        if (!image)
                fail_msg("%s", errors.text[0]);
        /* Single keys of node and store come from both; what else the policy has stays whole. */
        assert_int_equal(image->node.workers, 3);
        assert_string_equal(image_string(image, image->node.hostname), "mx1.example.net");
        assert_int_equal(image->store.grey_entries, 5000);
        assert_int_equal(image->store.client_entries, 6000);
        assert_string_equal(image_string(image, image->store.redis.host), "192.0.2.60");
        assert_int_equal(image->store.redis.port, 7);
        assert_string_equal(addr_text(&image_resolver(image, 0)->addr, text), "192.0.2.53");
        assert_int_equal(image->limits.errors_max, 3);
        assert_int_equal(image->pools.count, 1);
        assert_int_equal(image_policy(image, 0)->greylist.block_sec, 240);
        assert_false(image_lookup_domain(image, "example.org", 11, &policy, &pool));
        assert_true(image_lookup_domain(image, "example.com", 11, &policy, &pool));
        free(image);
        /* An error in the site file names the site file. */
        assert_null(try_compile("listeners: [{name: mx, front: 192.0.2.99}]\nnode: {hostname: a}\nports: 5\n",
                                path, NULL, NOW));
        assert_non_null(strstr(errors.text[0], "test.yaml:3:8: ports: expected a list"));
        assert_null(try_compile("pools: {main: {}}\n", path, NULL, NOW));
        unlink(path);
        assert_null(try_compile(BASE, path, NULL, NOW));
        assert_non_null(strstr(errors.text[0], "cannot be read"));
}

static void test_fill(void **state)
{
        static const struct {
                const char *text;
                const char *want;
        } cases[] = {
                { "try again in {seconds} seconds", "try again in 240 seconds" },
                { "{client}/{host}", "192.0.2.1/" },
                { "no {placeholders", "no {placeholders" },
                { "{seconds}{seconds}", "240240" },
        };
        const struct image_values values = { .seconds = 240, .client = "192.0.2.1", .zone = "a\r\nb" };
        _Alignas(64) uint8_t bytes[256] = { 0 };
        const struct image *image = (const void *)bytes;
        char buf[64];

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct image_text text = { .offset = 64, .len = (uint32_t)strlen(cases[i].text) };

                strcpy((char *)bytes + 64, cases[i].text);
                assert_int_equal(image_fill(image, text, &values, buf, sizeof(buf)), strlen(cases[i].want));
                assert_string_equal(buf, cases[i].want);
                /* Cut, never beyond the buffer. */
                memset(buf, 'x', sizeof(buf));
                assert_int_equal(image_fill(image, text, &values, buf, 6), 5);
                assert_memory_equal(buf, cases[i].want, 5);
                assert_true(buf[5] == '\0' && buf[6] == 'x');
        }
        strcpy((char *)bytes + 64, "{zone}");
        image_fill(image, (struct image_text){ 64, 6 }, &values, buf, sizeof(buf));
        assert_string_equal(buf, "a??b"); /* nothing ends a reply line early */
        assert_int_equal(image_fill(image, (struct image_text){ 0, 0 }, &values, buf, sizeof(buf)), 0);
}

static void test_many_errors(void **state)
{
        char yaml[8192];
        size_t len = (size_t)sprintf(yaml, BASE "limits:\n");
        char text[20000];

        for (unsigned i = 0; i < 30; i++)
                len += (size_t)sprintf(yaml + len, "  wrong%u: 1\n", i);
        assert_null(try_compile(yaml, NULL, NULL, NOW));
        assert_int_equal(errors.count, POLICY_ERRORS_MAX);
        assert_int_equal(errors.dropped, 30 - POLICY_ERRORS_MAX);
        policy_errors_text(&errors, text, sizeof(text));
        assert_non_null(strstr(text, "test.yaml:7:3: limits.wrong0: unknown key; expected"));
        assert_non_null(strstr(text, "... and 10 more\n"));
        assert_int_equal(policy_errors_text(&errors, text, 10), 9);
}

static void test_sizing(void **state)
{
        struct image *image = compile(
            BASE
            "zones: [{zone: a.test}, {zone: b.test, ipv6: false}]\n"
            "dns: {deadline: 9s}\nstore: {grey_entries: 1M}\n"
            "policies: {slow: {greylist: {block: 10m}}, off: {greylist: {enabled: false, block: 20m}}}\n");
        struct policy_sizing sizing;

        policy_sizing(image, &sizing);
        assert_int_equal(sizing.grey_table_bytes, 24000000);
        assert_int_equal(sizing.dns_queries_v4, 4);
        assert_int_equal(sizing.dns_queries_v6, 3);
        assert_int_equal(sizing.greeting_delay_ms, 9000);
        assert_int_equal(sizing.greylist_delay_sec, 600);
        assert_int_equal(sizing.hugepages_2m, 128);
        free(image);
        /* Two lists read the answers of one zone: one question. */
        image = compile(
            BASE
            "zones: [{name: x, zone: a.test}, {name: y, zone: a.test, listed: 127.0.0.20, ipv6: false}]\n");
        policy_sizing(image, &sizing);
        assert_int_equal(sizing.dns_queries_v4, 3);
        assert_int_equal(sizing.dns_queries_v6, 3);
        free(image);
}

static void test_does_not_fit(void **state)
{
        const char text[] = BASE;
        const struct policy_options options = { .generation = 1, .now_sec = NOW, .memory_bytes = 100 << 20 };
        void *image = NULL;
        size_t len;

        assert_int_equal(
            policy_compile_text("test.yaml", text, strlen(text), NULL, &options, &errors, &image, &len),
            -EINVAL);
        assert_int_equal(errors.count, 1);
        assert_non_null(strstr(errors.text[0], "need at most 100 MB"));
        assert_true(policy_machine_bytes() > 100 << 20);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_defaults),     cmocka_unit_test(test_places),
                cmocka_unit_test(test_domains),      cmocka_unit_test(test_many_domains),
                cmocka_unit_test(test_inherit),      cmocka_unit_test(test_locked),
                cmocka_unit_test(test_zone_numbers), cmocka_unit_test(test_zone_numbers_used_up),
                cmocka_unit_test(test_site),         cmocka_unit_test(test_fill),
                cmocka_unit_test(test_many_errors),  cmocka_unit_test(test_sizing),
                cmocka_unit_test(test_does_not_fit),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
