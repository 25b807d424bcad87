/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image_check() against images with one thing wrong each (the checksum set right again, as whoever can write an
 * image can do), and against every word of an image replaced by values that offsets, counts and enums break on:
 * what it still takes must survive every lookup. Lookups of good images: policy_compile_test, policy_networks_test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <errno.h>

#include "control/policy/policy.h"

static const char yaml[] =
    "node: {hostname: mx.example.net}\n"
    "ports: [{name: a, device: x, addresses: [192.0.2.25/24, \"2001:db8::25/64\"]}]\n"
    "listeners: [{name: mx, front: [192.0.2.25, \"2001:db8::25\"], tls: {mode: required,\n"
    "  certificates: [{cert: /a.crt, key: /a.key}, {cert: /b.crt, key: /b.key}]}}]\n"
    "pools: {a: {servers: [{address: 192.0.2.40}, {address: 192.0.2.41}]}, b: {servers: [{address: "
    "192.0.2.42}]}}\n"
    "domains: {example.org: {pool: a}, '*.example.org': {pool: b, policy: strict}, example.net: {pool: b}}\n"
    "zones: [{zone: bl.example.com, smtp_blocking: true}, {zone: wl.example.com, kind: allow, score: -5}]\n"
    "networks: {deny: [10.0.0.0/8, 192.0.2.128/25, 2001:db8:1::/48], allow: [10.1.0.0/16, 10.2.3.4],\n"
    "           trusted: [10.1.2.0/24, 2001:db8:1:2::/64, 198.51.100.0/24, 203.0.113.7]}\n"
    "policies: {strict: {greylist: {block: 1h}}}\n";

static struct image *good;

/* A private copy in memory of exactly its length. */
static struct image *copy(void)
{
        struct image *image = aligned_alloc(IMAGE_ALIGN, good->bytes);

        assert_non_null(image);
        return memcpy(image, good, good->bytes);
}

#define AT(image, type, section) ((type *)(void *)((uint8_t *)(image) + (image)->section.offset))

/* ---- one thing wrong -------------------------------------------------------------------------------- */

#define WRONG(name, change)                                                                                  \
        static void wrong_##name(struct image *i)                                                            \
        {                                                                                                    \
                change;                                                                                      \
        }

WRONG(generation, i->generation = 0)
WRONG(count, i->ports.count = IMAGE_PORTS_MAX + 1)
WRONG(no_policy, i->policies.count = 0)
WRONG(misaligned, i->pools.offset += 4)
WRONG(in_header, i->pools.offset = 64)
WRONG(beyond, i->domains.offset = (uint32_t)i->bytes)
WRONG(far_beyond, i->domains.offset = 0xffffffc0u)
WRONG(texts_short, i->texts.count = 10)
WRONG(text_outside, i->node.hostname.offset = (uint32_t)i->bytes)
WRONG(text_in_header, i->node.hostname.offset = 0)
WRONG(text_long, i->node.hostname.len = 0xffffffff)
WRONG(text_empty, i->node.hostname.len = 0)
WRONG(text_no_end, i->node.hostname.len -= 1)
WRONG(text_control, *((char *)i + i->node.hostname.offset) = '\n')
WRONG(text_upper, *((char *)i + i->node.hostname.offset) = 'M')
WRONG(node_id, i->node.node_id = 64)
WRONG(workers, i->node.workers = 0)
WRONG(idle, i->node.idle = IMAGE_IDLE_USED)
WRONG(hugepages, i->node.hugepages = IMAGE_HUGEPAGES_USED)
WRONG(port_slice, AT(i, struct image_port, ports)->addresses.count = 3)
WRONG(port_slice_wraps, AT(i, struct image_port, ports)->addresses.first = 0xffffffff)
WRONG(port_vlan, AT(i, struct image_port, ports)->vlan = 4095)
WRONG(port_mtu, AT(i, struct image_port, ports)->mtu = 1279)
WRONG(address_prefix, AT(i, struct image_address, addresses)->prefix_len = 129)
WRONG(address_port, AT(i, struct image_address, fronts)->port = 1)
WRONG(listener_policy, AT(i, struct image_listener, listeners)->policy = 2)
WRONG(listener_fronts, AT(i, struct image_listener, listeners)->fronts.count = 0)
WRONG(listener_port, AT(i, struct image_listener, listeners)->tcp_port = 0)
WRONG(listener_tls, AT(i, struct image_listener, listeners)->tls = IMAGE_TLS_USED)
WRONG(listener_no_certificates, AT(i, struct image_listener, listeners)->certificates.count = 0)
WRONG(listener_certificates, AT(i, struct image_listener, listeners)->certificates.count = 3)
WRONG(certificate_empty, AT(i, struct image_certificate, certificates)->key.len = 0)
WRONG(certificate_relative, *((char *)i + AT(i, struct image_certificate, certificates)[1].cert.offset) = 'a')
WRONG(piece_start, AT(i, uint32_t, networks.v4_starts)[0] = 1)
WRONG(piece_order, AT(i, uint32_t, networks.v4_starts)[2] = 5)
WRONG(piece_order6, AT(i, struct image_v6, networks.v6_starts)[2].high = 0)
WRONG(piece_class, AT(i, uint8_t, networks.v4_classes)[1] = IMAGE_CLASS_USED)
WRONG(piece_same, AT(i, uint8_t, networks.v6_classes)[1] = IMAGE_CLASS_NONE)
WRONG(classes_short, i->networks.v4_classes.count -= 1)
WRONG(index_bits, i->networks.v4_index_bits = 17)
WRONG(index_count, i->networks.v4_index_bits += 1)
WRONG(index_low, AT(i, uint32_t, networks.v4_index)[0] = 1)
WRONG(index_end, AT(i, uint32_t, networks.v4_index)[1u << i->networks.v4_index_bits] += 1)
WRONG(deny_action, i->networks.deny_action = IMAGE_ACTION_SCORE)
WRONG(pool_identity, AT(i, struct image_pool, pools)->identity = IMAGE_IDENTITY_USED)
WRONG(pool_balance, AT(i, struct image_pool, pools)->balance = IMAGE_BALANCE_USED)
WRONG(pool_servers, AT(i, struct image_pool, pools)->servers.count = 0)
WRONG(pool_code, AT(i, struct image_pool, pools)->down_code = 550)
WRONG(server_pool, AT(i, struct image_server, servers)->pool = 2)
WRONG(server_weight, AT(i, struct image_server, servers)->weight = 0)
WRONG(zone_number, AT(i, struct image_zone, zones)->number = 32)
WRONG(zone_number_twice, AT(i, struct image_zone, zones)->number = 1)
WRONG(zone_kind, AT(i, struct image_zone, zones)->kind = IMAGE_ZONE_USED)
WRONG(zone_codes, AT(i, struct image_zone, zones)->codes.first = 2)
WRONG(zone_ttl, AT(i, struct image_zone, zones)->ttl_min_sec = 1u << 31)
WRONG(code_outside, AT(i, struct image_codes, codes)->to = 0x80000000)
WRONG(code_order, AT(i, struct image_codes, codes)->to = 0x7f000001)
WRONG(domain_policy, AT(i, struct image_domain, domains)->policy = 2)
WRONG(domain_pool, AT(i, struct image_domain, domains)->pool = 2)
WRONG(slots_count, i->domain_slots.count = 7)
WRONG(slot_high, AT(i, uint32_t, domain_slots)[0] = 4)
WRONG(slot_empty, memset(AT(i, uint32_t, domain_slots), 0, 4 * i->domain_slots.count))
WRONG(greylist_window, AT(i, struct image_policy, policies)->greylist.block_sec = 21600)
WRONG(greylist_prefix, AT(i, struct image_policy, policies)->greylist.v4_prefix = 33)
WRONG(greylist_code, AT(i, struct image_policy, policies)->greylist.reply.code = 554)
WRONG(reply_class, AT(i, struct image_policy, policies)->reject.enhanced[0] = 4)
WRONG(reply_text, AT(i, struct image_policy, policies)->reject.text.len = 0)
WRONG(rule_action, AT(i, struct image_policy, policies)[1].helo_ours.action = IMAGE_ACTION_HEADER)
WRONG(score_action, AT(i, struct image_policy, policies)->score[2].action = IMAGE_ACTION_DROP)
WRONG(score_order, AT(i, struct image_policy, policies)->score[2].threshold = -1)
WRONG(zones_used, AT(i, struct image_policy, policies)->zones_used = 4)
WRONG(zones_blocking, AT(i, struct image_policy, policies)->zones_used = 2)
WRONG(dns_failure, AT(i, struct image_policy, policies)->on_dns_failure = IMAGE_DNS_FAILURE_USED)
WRONG(reject_at, AT(i, struct image_policy, policies)->reject_at = IMAGE_REJECT_AT_USED)
WRONG(bare_newline, AT(i, struct image_policy, policies)->bare_newline = IMAGE_BARE_NEWLINE_USED)
WRONG(long_lines, AT(i, struct image_policy, policies)->long_lines = IMAGE_LONG_LINES_USED)
WRONG(recipients, i->limits.recipients_max = 0)
WRONG(limits_prefix, i->limits.v6_prefix = 129)
WRONG(resolver_port, AT(i, struct image_resolver, dns.resolvers)->port = 0)
WRONG(deadline, i->dns.deadline_ms = 60001)
WRONG(grey_entries, i->store.grey_entries = 0)
WRONG(redis_host, i->store.redis.host = ((struct image_text){ 0xfffffff0, 8 }))
WRONG(privacy, i->log.privacy = IMAGE_PRIVACY_USED)

static void test_one_thing_wrong(void **state)
{
        static const struct {
                void (*change)(struct image *image);
                const char *want; /* in the reason */
        } cases[] = {
                { wrong_generation, "generation" },
                { wrong_count, "ports: 33 entries" },
                { wrong_no_policy, "policies: 0 entries" },
                { wrong_misaligned, "pools: offset" },
                { wrong_in_header, "pools: offset" },
                { wrong_beyond, "domains: 3 entries reach beyond" },
                { wrong_far_beyond, "domains: 3 entries reach beyond" },
                { wrong_texts_short, "outside the texts" },
                { wrong_text_outside, "node.hostname: outside" },
                { wrong_text_in_header, "node.hostname: outside" },
                { wrong_text_long, "node.hostname: 4294967295 bytes" },
                { wrong_text_empty, "node.hostname: 0 bytes" },
                { wrong_text_no_end, "node.hostname: no end" },
                { wrong_text_control, "node.hostname: control" },
                { wrong_text_upper, "node.hostname: not in lower case" },
                { wrong_node_id, "node.node_id: 64" },
                { wrong_workers, "node.workers: 0" },
                { wrong_idle, "node.idle" },
                { wrong_hugepages, "node.hugepages" },
                { wrong_port_slice, "port addresses" },
                { wrong_port_slice_wraps, "port addresses" },
                { wrong_port_vlan, "port vlan" },
                { wrong_port_mtu, "port mtu" },
                { wrong_address_prefix, "address" },
                { wrong_address_port, "front 0" },
                { wrong_listener_policy, "listener policy" },
                { wrong_listener_fronts, "listener fronts" },
                { wrong_listener_port, "listener port" },
                { wrong_listener_tls, "listener tls: 3" },
                { wrong_listener_no_certificates, "listener certificates" },
                { wrong_listener_certificates, "listener certificates" },
                { wrong_certificate_empty, "certificate key: 0 bytes" },
                { wrong_certificate_relative, "certificate 1: no absolute path" },
                { wrong_piece_start, "does not begin at zero" },
                { wrong_piece_order, "IPv4 piece" },
                { wrong_piece_order6, "IPv6 piece" },
                { wrong_piece_class, "class of piece" },
                { wrong_piece_same, "class of piece" },
                { wrong_classes_short, "networks.v4_classes" },
                { wrong_index_bits, "v4_index_bits" },
                { wrong_index_count, "networks.v4_index" },
                { wrong_index_low, "index slot 0" },
                { wrong_index_end, "end of the index" },
                { wrong_deny_action, "deny_action" },
                { wrong_pool_identity, "pool identity" },
                { wrong_pool_balance, "pool balance" },
                { wrong_pool_servers, "pool servers" },
                { wrong_pool_code, "pool down_code" },
                { wrong_server_pool, "server 0: pool" },
                { wrong_server_weight, "server weight" },
                { wrong_zone_number, "zone number" },
                { wrong_zone_number_twice, "there twice" },
                { wrong_zone_kind, "zone kind" },
                { wrong_zone_codes, "zone codes" },
                { wrong_zone_ttl, "zone ttl" },
                { wrong_code_outside, "zone codes 0" },
                { wrong_code_order, "zone codes 0" },
                { wrong_domain_policy, "domain policy" },
                { wrong_domain_pool, "domain 0: pool" },
                { wrong_slots_count, "no power of two" },
                { wrong_slot_high, "domains: slot" },
                { wrong_slot_empty, "slots used" },
                { wrong_greylist_window, "greylist.block" },
                { wrong_greylist_prefix, "greylist.v4_prefix" },
                { wrong_greylist_code, "greylist.text: code" },
                { wrong_reply_class, "reject.text: enhanced" },
                { wrong_reply_text, "reject.text: 0 bytes" },
                { wrong_rule_action, "policy check: action" },
                { wrong_score_action, "policy scores: action" },
                { wrong_score_order, "policy scores: out of order" },
                { wrong_zones_used, "policy zones" },
                { wrong_zones_blocking, "policy zones" },
                { wrong_dns_failure, "on_dns_failure" },
                { wrong_reject_at, "reject_at" },
                { wrong_bare_newline, "bare_newline" },
                { wrong_long_lines, "long_lines" },
                { wrong_recipients, "recipients" },
                { wrong_limits_prefix, "limits.v6_prefix" },
                { wrong_resolver_port, "resolver port" },
                { wrong_deadline, "dns.deadline" },
                { wrong_grey_entries, "grey_entries" },
                { wrong_redis_host, "redis.host: outside" },
                { wrong_privacy, "log.privacy" },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct image *image = copy();
                char reason[IMAGE_REASON_MAX] = "";
                int got;

                cases[i].change(image);
                image->checksum = image_checksum(image);
                got = image_check(image, good->bytes, reason);
                if (got != -EINVAL || !strstr(reason, cases[i].want))
                        fail_msg("case \"%s\": got %d \"%s\"", cases[i].want, got, reason);
                free(image);
        }
}

static void test_whole(void **state)
{
        struct image *image = copy();
        char reason[IMAGE_REASON_MAX] = "untouched";

        assert_int_equal(image_check(image, image->bytes, reason), 0);
        assert_string_equal(reason, "untouched");
        assert_int_equal(image_check(image, image->bytes - IMAGE_ALIGN, reason), -EBADMSG);
        assert_int_equal(image_check(image, sizeof(*image) - 1, reason), -EPROTO);
        assert_int_equal(image_check(image, 0, reason), -EPROTO);
        assert_int_equal(image_check((uint8_t *)image + 8, image->bytes - 8, reason), -EINVAL);
        image->magic++;
        assert_int_equal(image_check(image, good->bytes, reason), -EPROTO);
        image->magic--;
        image->layout++;
        assert_int_equal(image_check(image, good->bytes, reason), -EPROTO);
        assert_non_null(strstr(reason, "layout 3, this program reads 2"));
        free(image);
}

/* A change of any byte is damage that the checksum shows. */
static void test_every_byte(void **state)
{
        struct image *image = copy();
        char reason[IMAGE_REASON_MAX];

        for (size_t i = 0; i < good->bytes; i++) {
                ((uint8_t *)image)[i] ^= 0x10;
                if (image_check(image, good->bytes, reason) == 0)
                        fail_msg("byte %zu", i);
                ((uint8_t *)image)[i] ^= 0x10;
        }
        assert_int_equal(image_check(image, good->bytes, reason), 0);
        free(image);
}

static void look_up(const struct image *image)
{
        static const char *const names[] = { "example.org", "a.b.example.org", "example.net", "..", "x" };
        static const char *const addresses[] = { "0.0.0.0", "10.1.2.3", "255.255.255.255",
                                                 "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" };
        uint16_t policy = 0, pool = 0;
        char buf[600];

        for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
                if (image_lookup_domain(image, names[i], strlen(names[i]), &policy, &pool))
                        assert_true(policy < image->policies.count && pool < image->pools.count);
        }
        for (unsigned i = 0; i < ARRAY_LEN(addresses); i++) {
                struct addr addr;

                assert_int_equal(addr_parse(addresses[i], &addr), 0);
                assert_true(image_lookup_network(image, &addr) < IMAGE_CLASS_USED);
                (void)image_lookup_address(image, &addr);
                (void)image_lookup_listener(image, &addr, 25);
        }
        for (uint32_t i = 0; i < image->policies.count; i++)
                image_fill(image, image_policy(image, i)->reject.text, &(struct image_values){ 0 }, buf,
                           sizeof(buf));
        (void)image_lookup_zone(image, 31);
}

static void test_every_word(void **state)
{
        static const uint32_t values[] = { 0,   1,     2,          63,         64,         255,
                                           256, 65535, 0x7fffffff, 0x80000000, 0xffffffc0, 0xffffffff };
        struct image *image = copy();
        char reason[IMAGE_REASON_MAX];
        unsigned taken = 0, refused = 0;

        for (size_t at = 0; at + 4 <= good->bytes; at += 4) {
                for (unsigned i = 0; i < ARRAY_LEN(values); i++) {
                        memcpy((uint8_t *)image + at, &values[i], 4);
                        image->bytes = good->bytes;
                        image->checksum = image_checksum(image);
                        if (image_check(image, good->bytes, reason) == 0) {
                                look_up(image);
                                taken++;
                        } else {
                                refused++;
                        }
                        memcpy(image, good, good->bytes);
                }
        }
        assert_true(taken > 1000 && refused > 1000);
        free(image);
}

static int make_good(void **state)
{
        const struct policy_options options = { .generation = 7, .now_sec = 1795500000 };
        static struct policy_errors errors;
        void *image;
        size_t len;

        if (policy_compile_text("base.yaml", yaml, sizeof(yaml) - 1, NULL, &options, &errors, &image, &len) <
            0) {
                fprintf(stderr, "%s\n", errors.text[0]);
                return -1;
        }
        good = image;
        return 0;
}

static int free_good(void **state)
{
        free(good);
        return 0;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_whole),
                cmocka_unit_test(test_one_thing_wrong),
                cmocka_unit_test(test_every_byte),
                cmocka_unit_test(test_every_word),
        };

        return cmocka_run_group_tests(tests, make_good, free_good);
}
