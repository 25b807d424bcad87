/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policy images from a stranger: whatever image_check() takes must survive every lookup. An input is a list of
 * changes to a real image (so that most of it stays plausible); the checksum is set right afterwards, since
 * whoever can write an image can do that too. An input that begins with the magic is an image itself.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control/policy/policy.h"

#define IMAGE_MAX (64u << 10)

/* One change: 8 bytes of input. */
struct change {
        uint8_t how;   /* low 2 bits: width 1, 2, 4 or a cut of the end; bit 2: within the header */
        uint8_t value; /* see value_of() */
        uint16_t low;
        uint32_t offset;
};

static const char yaml[] =
    "node: {hostname: mx.example.net}\n"
    "ports: [{name: a, device: x, addresses: [192.0.2.25/24, \"2001:db8::25/64\"], gateway: 192.0.2.1}]\n"
    "listeners: [{name: mx, front: [192.0.2.25, \"2001:db8::25\"]}]\n"
    "pools: {a: {servers: [{address: 192.0.2.40}, {address: 192.0.2.41}]}, b: {servers: [{address: "
    "192.0.2.42}]}}\n"
    "domains: {example.org: {pool: a}, '*.example.org': {pool: b, policy: strict}, example.net: {pool: b}}\n"
    "zones: [{zone: bl.example.com, smtp_blocking: true}, {zone: wl.example.com, kind: allow, score: -5}]\n"
    "networks: {deny: [10.0.0.0/8, 192.0.2.128/25, 2001:db8:1::/48], allow: [10.1.0.0/16, 10.2.3.4],\n"
    "           trusted: [10.1.2.0/24, 2001:db8:1:2::/64, 198.51.100.0/24, 203.0.113.7]}\n"
    "policies: {strict: {greylist: {block: 1h, text: 'wait {seconds} {client}'}, reject: {text: '{zone} "
    "{host}'}}}\n";

static const struct image *base;
static size_t base_len;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void make_base(void)
{
        const struct policy_options options = { .generation = 7, .now_sec = 1795500000 };
        static struct policy_errors errors;
        void *image;

        if (policy_compile_text("base.yaml", yaml, sizeof(yaml) - 1, NULL, &options, &errors, &image,
                                &base_len) < 0) {
                fprintf(stderr, "%s\n", errors.text[0]);
                abort();
        }
        BUG_ON(base_len > IMAGE_MAX);
        base = image;
}

/* Values that offsets, counts and enums are likely to break on. */
static uint32_t value_of(const struct change *change)
{
        static const uint32_t special[] = { 0,   1,   2,   63,         64,         65,        127,
                                            128, 255, 256, 0x7fffffff, 0x80000000, 0xffffffff };

        return change->value < ARRAY_LEN(special) ? special[change->value] : change->low;
}

static size_t apply(uint8_t *image, size_t len, const struct change *change)
{
        size_t range = change->how & 4 ? MIN(len, sizeof(struct image)) : len;
        uint32_t value = value_of(change);
        size_t width = (change->how & 3) == 3 ? 0 : (size_t)1 << (change->how & 3);

        if (range == 0)
                return len;
        if (width == 0)
                return change->how & 8 ? change->offset % len : len;
        if (range >= width)
                memcpy(image + change->offset % (range - width + 1), &value, width);
        return len;
}

static void look_up_texts(const struct image *image)
{
        const struct image_values values = {
                .seconds = 240, .zone = "z", .client = "192.0.2.1", .host = NULL
        };
        char small[20], large[600];

        for (uint32_t i = 0; i < image->policies.count; i++) {
                const struct image_policy *policy = image_policy(image, i);

                image_fill(image, policy->greylist.reply.text, &values, large, sizeof(large));
                image_fill(image, policy->reject.text, &values, small, sizeof(small));
                BUG_ON(strlen(image_string(image, policy->name)) != policy->name.len);
        }
}

static void look_up(const struct image *image)
{
        static const char *const names[] = {
                "example.org", "a.b.example.org", "EXAMPLE.NET", ".", "..", "a.", "*.example.org", "x"
        };
        static const char *const addresses[] = { "0.0.0.0",
                                                 "10.1.2.3",
                                                 "255.255.255.255",
                                                 "192.0.2.130",
                                                 "::",
                                                 "2001:db8:1:2::9",
                                                 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" };
        uint16_t policy = 0, pool = 0;

        for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
                if (image_lookup_domain(image, names[i], strlen(names[i]), &policy, &pool))
                        BUG_ON(policy >= image->policies.count || pool >= image->pools.count);
        }
        for (uint32_t i = 0; i < image->domains.count; i++) {
                const struct image_text *name = &image_domain(image, i)->name;

                (void)image_lookup_domain(image, image_string(image, *name), name->len, &policy, &pool);
        }
        for (unsigned i = 0; i < ARRAY_LEN(addresses); i++) {
                struct addr addr;

                if (addr_parse(addresses[i], &addr) < 0)
                        abort();
                BUG_ON(image_lookup_network(image, &addr) >= IMAGE_CLASS_USED);
                (void)image_lookup_address(image, &addr);
                (void)image_lookup_listener(image, &addr, 25);
        }
        for (uint32_t i = 0; i < IMAGE_ZONES_MAX; i++)
                (void)image_lookup_zone(image, i);
        look_up_texts(image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        static _Alignas(IMAGE_ALIGN) uint8_t buf[IMAGE_MAX];
        const uint64_t magic = IMAGE_MAGIC;
        char reason[IMAGE_REASON_MAX];
        uint8_t *exact;
        size_t image_len;

        if (!base)
                make_base();
        if (len >= sizeof(magic) && len <= sizeof(buf) && memcmp(data, &magic, sizeof(magic)) == 0) {
                memcpy(buf, data, len);
                image_len = len;
        } else {
                memcpy(buf, base, base_len);
                image_len = base_len;
                for (; len >= sizeof(struct change);
                     data += sizeof(struct change), len -= sizeof(struct change)) {
                        struct change change;

                        memcpy(&change, data, sizeof(change));
                        image_len = apply(buf, image_len, &change);
                }
        }
        if (image_len < sizeof(struct image)) {
                BUG_ON(image_check(buf, image_len, reason) == 0);
                return 0;
        }
        ((struct image *)(void *)buf)->bytes = image_len;
        ((struct image *)(void *)buf)->checksum = image_checksum((struct image *)(void *)buf);
        /* Memory of exactly this length, so that a sanitizer sees a step beyond the end. */
        exact = aligned_alloc(IMAGE_ALIGN, (image_len + IMAGE_ALIGN - 1) / IMAGE_ALIGN * IMAGE_ALIGN);
        if (!exact)
                abort();
        memcpy(exact, buf, image_len);
        if (image_check(exact, image_len, reason) == 0)
                look_up((struct image *)(void *)exact);
        free(exact);
        return 0;
}
