/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proof that a policy image is one: every offset, count, enum and string, once, so that no lookup has to
 * doubt it. The bytes may be anyone's. Order matters: sections before what they hold, texts before names.
 */
#include "dataplane/shared/image.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "dataplane/shared/client_table.h"
#include "dataplane/shared/grey_table.h"

#define TEXT_MAX   4096u
#define DOMAIN_MAX 255u /* a name of 253 bytes behind "*." */
#define ANY_REPLY  0u   /* reply of either class */

struct check {
        const struct image *image;
        size_t len;
        char *reason;
};

PRINTF(2, 3)
static bool fail(const struct check *check, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        vsnprintf(check->reason, IMAGE_REASON_MAX, format, args);
        va_end(args);
        return false;
}

static const void *table(const struct check *check, struct image_section section)
{
        return (const uint8_t *)check->image + section.offset;
}

static bool is_section(const struct check *check, const char *name, struct image_section section, size_t each,
                       uint32_t min, uint32_t max)
{
        if (section.count < min || section.count > max)
                return fail(check, "%s: %u entries, not %u to %u", name, section.count, min, max);
        if (section.offset % IMAGE_ALIGN != 0 || section.offset < sizeof(struct image))
                return fail(check, "%s: offset %u", name, section.offset);
        if (section.offset > check->len || (uint64_t)section.count * each > check->len - section.offset)
                return fail(check, "%s: %u entries reach beyond the end", name, section.count);
        return true;
}

static bool is_slice(const struct check *check, const char *name, struct image_slice slice,
                     struct image_section of, uint32_t min)
{
        if (slice.count < min || slice.first > of.count || slice.count > of.count - slice.first)
                return fail(check, "%s: entries %u and %u more of %u", name, slice.first, slice.count,
                            of.count);
        return true;
}

static bool is_text(const struct check *check, const char *name, struct image_text text, uint32_t min,
                    uint32_t max)
{
        const struct image_section *texts = &check->image->texts;
        const uint8_t *bytes;

        if (text.len < min || text.len > max)
                return fail(check, "%s: %u bytes, not %u to %u", name, text.len, min, max);
        if (text.len == 0)
                return true;
        if (text.offset < texts->offset || text.offset - texts->offset >= texts->count ||
            text.len >= texts->count - (text.offset - texts->offset))
                return fail(check, "%s: outside the texts", name);
        bytes = (const uint8_t *)check->image + text.offset;
        if (bytes[text.len] != '\0')
                return fail(check, "%s: no end", name);
        for (uint32_t i = 0; i < text.len; i++) {
                if (bytes[i] < ' ' || bytes[i] == 0x7f)
                        return fail(check, "%s: control character", name);
        }
        return true;
}

/* Printable ASCII: what may be part of a reply line. */
static bool is_printable(const struct check *check, const char *name, struct image_text text, uint32_t min,
                         uint32_t max)
{
        const uint8_t *bytes = (const uint8_t *)check->image + text.offset;

        if (!is_text(check, name, text, min, max))
                return false;
        for (uint32_t i = 0; i < text.len; i++) {
                if (bytes[i] > '~')
                        return fail(check, "%s: not ASCII", name);
        }
        return true;
}

static bool is_name(const struct check *check, const char *name, struct image_text text)
{
        const uint8_t *bytes = (const uint8_t *)check->image + text.offset;

        if (!is_printable(check, name, text, 1, DOMAIN_MAX))
                return false;
        for (uint32_t i = 0; i < text.len; i++) {
                if ((bytes[i] >= 'A' && bytes[i] <= 'Z') || bytes[i] == ' ')
                        return fail(check, "%s: not in lower case", name);
        }
        return true;
}

static bool is_number(const struct check *check, const char *name, uint64_t value, uint64_t min, uint64_t max)
{
        if (value < min || value > max)
                return fail(check, "%s: %llu, not %llu to %llu", name, (unsigned long long)value,
                            (unsigned long long)min, (unsigned long long)max);
        return true;
}

/* allowed: bit per enum image_action. */
static bool is_action(const struct check *check, const char *name, uint32_t action, uint32_t allowed)
{
        if (action >= IMAGE_ACTION_USED || (allowed & 1u << action) == 0)
                return fail(check, "%s: action %u", name, action);
        return true;
}

static bool is_reply(const struct check *check, const char *name, const struct image_reply *reply,
                     unsigned code_class)
{
        unsigned got_class = reply->code / 100u;

        if (reply->code < 400 || reply->code > 599 || (code_class != ANY_REPLY && got_class != code_class))
                return fail(check, "%s: code %u", name, reply->code);
        if (reply->enhanced[0] != got_class)
                return fail(check, "%s: enhanced code %u beside %u", name, reply->enhanced[0], reply->code);
        return is_printable(check, name, reply->text, 1, IMAGE_REPLY_TEXT_MAX);
}

static bool check_header(const struct check *check, int *ret_error)
{
        const struct image *image = check->image;

        *ret_error = -EPROTO;
        if (check->len < sizeof(*image))
                return fail(check, "%zu bytes are too short for an image", check->len);
        if (image->magic != IMAGE_MAGIC)
                return fail(check, "not a policy image");
        if (image->layout != IMAGE_LAYOUT)
                return fail(check, "layout %u, this program reads %u", image->layout, IMAGE_LAYOUT);
        *ret_error = -EBADMSG;
        if (image->bytes != check->len || image->bytes > IMAGE_BYTES_MAX)
                return fail(check, "%zu bytes, the header says %llu", check->len,
                            (unsigned long long)image->bytes);
        if (image->checksum != image_checksum(image))
                return fail(check, "the checksum does not match");
        *ret_error = -EINVAL;
        return is_number(check, "generation", image->generation, 1, UINT32_MAX);
}

static bool check_sections(const struct check *check)
{
        const struct image *image = check->image;
        const struct image_networks *networks = &image->networks;

#define SECTION(name, type, min, max) is_section(check, #name, image->name, sizeof(type), min, max)
        return SECTION(texts, uint8_t, 1, UINT32_MAX) &&
               SECTION(ports, struct image_port, 0, IMAGE_PORTS_MAX) &&
               SECTION(addresses, struct image_address, 0, IMAGE_ADDRESSES_MAX) &&
               SECTION(listeners, struct image_listener, 0, IMAGE_LISTENERS_MAX) &&
               SECTION(fronts, struct image_address, 0, IMAGE_ADDRESSES_MAX) &&
               SECTION(certificates, struct image_certificate, 0, IMAGE_CERTIFICATES_MAX) &&
               SECTION(pools, struct image_pool, 0, IMAGE_POOLS_MAX) &&
               SECTION(servers, struct image_server, 0, IMAGE_SERVERS_MAX) &&
               SECTION(zones, struct image_zone, 0, IMAGE_ZONES_MAX) &&
               SECTION(codes, struct image_codes, 0, IMAGE_CODES_MAX) &&
               SECTION(policies, struct image_policy, 1, IMAGE_POLICIES_MAX) &&
               SECTION(domains, struct image_domain, 0, IMAGE_DOMAINS_MAX) &&
               SECTION(domain_slots, uint32_t, 1, IMAGE_DOMAINS_MAX * 32) &&
               SECTION(dns.resolvers, struct image_resolver, 0, IMAGE_RESOLVERS_MAX) &&
               SECTION(networks.v4_starts, uint32_t, 1, IMAGE_STARTS_MAX) &&
               SECTION(networks.v6_starts, struct image_v6, 1, IMAGE_STARTS_MAX) &&
               SECTION(networks.v4_classes, uint8_t, networks->v4_starts.count, networks->v4_starts.count) &&
               SECTION(networks.v6_classes, uint8_t, networks->v6_starts.count, networks->v6_starts.count) &&
               is_number(check, "networks.v4_index_bits", networks->v4_index_bits, 0,
                         IMAGE_NETWORK_BITS_MAX) &&
               SECTION(networks.v4_index, uint32_t, (1u << networks->v4_index_bits) + 1,
                       (1u << networks->v4_index_bits) + 1);
#undef SECTION
}

static bool check_node(const struct check *check)
{
        const struct image_node *node = &check->image->node;

        return is_printable(check, "node.name", node->name, 1, DOMAIN_MAX) &&
               is_name(check, "node.hostname", node->hostname) &&
               is_number(check, "node.node_id", node->node_id, 0, 63) &&
               is_number(check, "node.workers", node->workers, 1, 64) &&
               is_number(check, "node.idle", node->idle, 0, IMAGE_IDLE_USED - 1) &&
               is_number(check, "node.hugepages", node->hugepages, 0, IMAGE_HUGEPAGES_USED - 1) &&
               is_number(check, "node.memory", node->packet_memory_bytes, 1u << 20, 1ull << 42);
}

static bool check_addresses(const struct check *check, const char *name, struct image_section section)
{
        const struct image_address *address = table(check, section);

        for (uint32_t i = 0; i < section.count; i++) {
                if (!is_number(check, name, address[i].prefix_len, 0, 128) ||
                    address[i].port >= check->image->ports.count)
                        return fail(check, "%s %u: prefix or port", name, i);
        }
        return true;
}

static bool check_ports(const struct check *check)
{
        const struct image *image = check->image;

        for (uint32_t i = 0; i < image->ports.count; i++) {
                const struct image_port *port = image_port(image, i);

                if (!is_printable(check, "port name", port->name, 1, DOMAIN_MAX) ||
                    !is_printable(check, "port device", port->device, 1, 1024) ||
                    !is_slice(check, "port addresses", port->addresses, image->addresses, 0) ||
                    !is_number(check, "port vlan", port->vlan, 0, 4094) ||
                    !is_number(check, "port mtu", port->mtu, 1280, 9000))
                        return false;
        }
        return check_addresses(check, "address", image->addresses) &&
               check_addresses(check, "front", image->fronts);
}

/* What main will open: paths of files. */
static bool check_certificates(const struct check *check)
{
        const struct image *image = check->image;

        for (uint32_t i = 0; i < image->certificates.count; i++) {
                const struct image_certificate *certificate = image_certificate(image, i);

                if (!is_text(check, "certificate", certificate->cert, 1, TEXT_MAX) ||
                    !is_text(check, "certificate key", certificate->key, 1, TEXT_MAX))
                        return false;
                if (*image_string(image, certificate->cert) != '/' || *image_string(image, certificate->key) != '/')
                        return fail(check, "certificate %u: no absolute path", i);
        }
        return true;
}

static bool check_listener_tls(const struct check *check, const struct image_listener *listener)
{
        if (!is_number(check, "listener tls", listener->tls, 0, IMAGE_TLS_USED - 1) ||
            !is_slice(check, "listener certificates", listener->certificates, check->image->certificates,
                      listener->tls == IMAGE_TLS_REQUIRED))
                return false;
        return is_number(check, "listener certificates", listener->certificates.count, 0,
                         IMAGE_LISTENER_CERTIFICATES_MAX);
}

static bool check_listeners(const struct check *check)
{
        const struct image *image = check->image;

        for (uint32_t i = 0; i < image->listeners.count; i++) {
                const struct image_listener *listener = image_listener(image, i);

                if (!is_printable(check, "listener name", listener->name, 1, DOMAIN_MAX) ||
                    !is_name(check, "listener hostname", listener->hostname) ||
                    !is_slice(check, "listener fronts", listener->fronts, image->fronts, 1) ||
                    !is_number(check, "listener port", listener->tcp_port, 1, 65535) ||
                    !is_number(check, "listener policy", listener->policy, 0, image->policies.count - 1) ||
                    !is_number(check, "listener greet_delay", listener->greet_delay_ms, 0, 60000) ||
                    !is_number(check, "listener teaser", listener->teaser, 0, 1) ||
                    !check_listener_tls(check, listener))
                        return false;
        }
        return check_certificates(check);
}

static bool check_classes(const struct check *check, struct image_section section)
{
        const uint8_t *classes = table(check, section);

        for (uint32_t i = 0; i < section.count; i++) {
                if (classes[i] >= IMAGE_CLASS_USED || (i > 0 && classes[i] == classes[i - 1]))
                        return fail(check, "networks: class of piece %u", i);
        }
        return true;
}

/* The index is proved by walking the pieces beside it: each slot must name the piece that holds its start. */
static bool check_index(const struct check *check)
{
        const struct image_networks *networks = &check->image->networks;
        const uint32_t *starts = table(check, networks->v4_starts);
        const uint32_t *index = table(check, networks->v4_index);
        uint32_t slots = 1u << networks->v4_index_bits;
        uint32_t piece = 0;

        for (uint32_t i = 0; i < slots; i++) {
                uint64_t start = (uint64_t)i << (32 - networks->v4_index_bits);

                while (piece + 1 < networks->v4_starts.count && starts[piece + 1] <= start)
                        piece++;
                if (index[i] != piece)
                        return fail(check, "networks: index slot %u", i);
        }
        if (index[slots] != networks->v4_starts.count - 1)
                return fail(check, "networks: end of the index");
        return true;
}

static bool check_networks(const struct check *check)
{
        const struct image_networks *networks = &check->image->networks;
        const uint32_t *v4 = table(check, networks->v4_starts);
        const struct image_v6 *v6 = table(check, networks->v6_starts);

        if (v4[0] != 0 || v6[0].high != 0 || v6[0].low != 0)
                return fail(check, "networks: the first piece does not begin at zero");
        for (uint32_t i = 1; i < networks->v4_starts.count; i++) {
                if (v4[i] <= v4[i - 1])
                        return fail(check, "networks: IPv4 piece %u is out of order", i);
        }
        for (uint32_t i = 1; i < networks->v6_starts.count; i++) {
                if (v6[i].high < v6[i - 1].high ||
                    (v6[i].high == v6[i - 1].high && v6[i].low <= v6[i - 1].low))
                        return fail(check, "networks: IPv6 piece %u is out of order", i);
        }
        return check_classes(check, networks->v4_classes) && check_classes(check, networks->v6_classes) &&
               check_index(check) &&
               is_action(check, "networks.deny_action", networks->deny_action,
                         1u << IMAGE_ACTION_REJECT | 1u << IMAGE_ACTION_DROP);
}

/* Can a lookup find domain i? It stops at the first empty slot and after IMAGE_PROBES_MAX. */
static bool is_reachable(const struct check *check, uint32_t i)
{
        const struct image *image = check->image;
        const struct image_domain *domain = image_domain(image, i);
        const uint32_t *slots = table(check, image->domain_slots);
        uint32_t mask = image->domain_slots.count - 1;
        uint32_t slot = (uint32_t)image_domain_hash(image_string(image, domain->name), domain->name.len);

        for (unsigned k = 0; k < IMAGE_PROBES_MAX && slots[slot & mask] != 0; k++, slot++) {
                if (slots[slot & mask] == i + 1)
                        return true;
        }
        return false;
}

static bool check_domains(const struct check *check)
{
        const struct image *image = check->image;
        const uint32_t *slots = table(check, image->domain_slots);
        uint32_t used = 0;

        if ((image->domain_slots.count & (image->domain_slots.count - 1)) != 0)
                return fail(check, "domains: %u slots are no power of two", image->domain_slots.count);
        for (uint32_t i = 0; i < image->domain_slots.count; i++) {
                if (slots[i] > image->domains.count)
                        return fail(check, "domains: slot %u", i);
                used += slots[i] != 0;
        }
        if (used != image->domains.count)
                return fail(check, "domains: %u slots used by %u", used, image->domains.count);
        for (uint32_t i = 0; i < image->domains.count; i++) {
                const struct image_domain *domain = image_domain(image, i);

                if (!is_name(check, "domain", domain->name) ||
                    !is_number(check, "domain policy", domain->policy, 0, image->policies.count - 1))
                        return false;
                if (domain->pool >= image->pools.count)
                        return fail(check, "domain %u: pool %u", i, domain->pool);
                if (!is_reachable(check, i))
                        return fail(check, "domain %u cannot be found by its name", i);
        }
        return true;
}

static bool check_pools(const struct check *check)
{
        const struct image *image = check->image;

        for (uint32_t i = 0; i < image->pools.count; i++) {
                const struct image_pool *pool = image_pool(image, i);

                if (!is_printable(check, "pool name", pool->name, 1, DOMAIN_MAX) ||
                    !is_slice(check, "pool servers", pool->servers, image->servers, 1) ||
                    !is_number(check, "pool identity", pool->identity, 0, IMAGE_IDENTITY_USED - 1) ||
                    !is_number(check, "pool balance", pool->balance, 0, IMAGE_BALANCE_USED - 1) ||
                    !is_number(check, "pool fall", pool->fall, 1, 100) ||
                    !is_number(check, "pool check_interval", pool->check_interval_ms, 100, 3600000) ||
                    !is_number(check, "pool connect_timeout", pool->connect_timeout_ms, 100, 600000) ||
                    !is_number(check, "pool reply_timeout", pool->reply_timeout_ms, 100, 3600000) ||
                    !is_number(check, "pool end_timeout", pool->end_timeout_ms, 1000, 3600000) ||
                    !is_number(check, "pool idle_connections", pool->idle_max, 0, 1000))
                        return false;
                if (pool->down_code != 421 && pool->down_code != 451)
                        return fail(check, "pool down_code: %u", pool->down_code);
        }
        for (uint32_t i = 0; i < image->servers.count; i++) {
                const struct image_server *server = image_server(image, i);

                if (server->pool >= image->pools.count)
                        return fail(check, "server %u: pool %u", i, server->pool);
                if (!is_number(check, "server port", server->tcp_port, 1, 65535) ||
                    !is_number(check, "server weight", server->weight, 1, 1000) ||
                    !is_number(check, "server connections", server->connections_max, 1, 1000000))
                        return false;
        }
        return true;
}

static bool check_zones(const struct check *check, uint32_t *ret_numbers)
{
        const struct image *image = check->image;
        uint32_t numbers = 0;

        for (uint32_t i = 0; i < image->zones.count; i++) {
                const struct image_zone *zone = image_zone(image, i);

                if (!is_printable(check, "zone name", zone->name, 1, DOMAIN_MAX) ||
                    !is_name(check, "zone domain", zone->domain) ||
                    !is_slice(check, "zone codes", zone->codes, image->codes, 1) ||
                    !is_number(check, "zone number", zone->number, 0, IMAGE_ZONES_MAX - 1) ||
                    !is_number(check, "zone kind", zone->kind, 0, IMAGE_ZONE_USED - 1) ||
                    !is_number(check, "zone ttl", zone->ttl_min_sec, 1, zone->ttl_max_sec) ||
                    !is_number(check, "zone flags", zone->ipv4 | zone->ipv6 | zone->smtp_blocking, 0, 1))
                        return false;
                if (numbers & 1u << zone->number)
                        return fail(check, "zone number %u is there twice", zone->number);
                numbers |= 1u << zone->number;
        }
        for (uint32_t i = 0; i < image->codes.count; i++) {
                const struct image_codes *codes = image_codes(image, i);

                if (codes->from > codes->to || codes->from >> 24 != 127 || codes->to >> 24 != 127)
                        return fail(check, "zone codes %u: outside 127.0.0.0/8", i);
        }
        *ret_numbers = numbers;
        return true;
}

static bool check_greylist(const struct check *check, const struct image_greylist *grey)
{
        return is_number(check, "greylist.enabled", grey->enabled, 0, 1) &&
               is_number(check, "greylist.v4_prefix", grey->v4_prefix, 8, 32) &&
               is_number(check, "greylist.v6_prefix", grey->v6_prefix, 16, 128) &&
               is_number(check, "greylist.exempt_after", grey->exempt_after, 0, 15) &&
               is_number(check, "greylist.life", grey->life_sec, 1, 1u << 29) &&
               is_number(check, "greylist.window", grey->window_sec, 1, grey->life_sec) &&
               is_number(check, "greylist.block", grey->block_sec, 0, grey->window_sec - 1) &&
               is_reply(check, "greylist.text", &grey->reply, 4);
}

static bool check_policy(const struct check *check, const struct image_policy *policy, uint32_t numbers)
{
        const uint32_t rule_actions = 1u << IMAGE_ACTION_IGNORE | 1u << IMAGE_ACTION_SCORE |
                                      1u << IMAGE_ACTION_DEFER | 1u << IMAGE_ACTION_REJECT;
        const uint32_t score_actions = 1u << IMAGE_ACTION_IGNORE | 1u << IMAGE_ACTION_HEADER |
                                       1u << IMAGE_ACTION_SUBJECT | 1u << IMAGE_ACTION_DEFER |
                                       1u << IMAGE_ACTION_REJECT;
        const struct image_rule rules[] = {
                policy->ptr_missing, policy->ptr_unconfirmed, policy->pregreet, policy->helo_syntax,
                policy->helo_ours,   policy->helo_bare_ip,    policy->non_smtp, policy->pipelining,
        };

        for (unsigned i = 0; i < ARRAY_LEN(rules); i++) {
                if (!is_action(check, "policy check", rules[i].action, rule_actions))
                        return false;
        }
        for (unsigned i = 0; i < IMAGE_LEVEL_USED; i++) {
                if (!is_action(check, "policy scores", policy->score[i].action, score_actions))
                        return false;
                if (i > 0 && policy->score[i].threshold < policy->score[i - 1].threshold)
                        return fail(check, "policy scores: out of order");
        }
        if ((policy->zones_used & ~numbers) != 0 || (policy->zones_blocking & ~policy->zones_used) != 0)
                return fail(check, "policy zones: a number without a zone");
        return is_printable(check, "policy name", policy->name, 1, DOMAIN_MAX) &&
               check_greylist(check, &policy->greylist) &&
               is_number(check, "on_dns_failure", policy->on_dns_failure, 0, IMAGE_DNS_FAILURE_USED - 1) &&
               is_number(check, "reject_at", policy->reject_at, 0, IMAGE_REJECT_AT_USED - 1) &&
               is_number(check, "bare_newline", policy->bare_newline, 0, IMAGE_BARE_NEWLINE_USED - 1) &&
               is_number(check, "long_lines", policy->long_lines, 0, IMAGE_LONG_LINES_USED - 1) &&
               is_number(check, "postmaster_open", policy->postmaster_open, 0, 1) &&
               is_reply(check, "reject.text", &policy->reject, ANY_REPLY) &&
               is_printable(check, "header_name", policy->header_name, 1, 64) &&
               is_text(check, "subject_prefix", policy->subject_prefix, 0, 64);
}

static bool check_limits(const struct check *check)
{
        const struct image_limits *limits = &check->image->limits;

        return is_number(check, "sessions", limits->sessions_max, 1, 100000000) &&
               is_number(check, "limits.v4_prefix", limits->v4_prefix, 8, 32) &&
               is_number(check, "limits.v6_prefix", limits->v6_prefix, 16, 128) &&
               is_number(check, "recipients", limits->recipients_max, 1, 10000) &&
               is_number(check, "message_size", limits->message_bytes_max, 1024, 1ull << 40) &&
               is_number(check, "errors", limits->errors_max, 1, 10000) &&
               is_number(check, "commands", limits->commands_max, 1, 1000000) &&
               is_number(check, "messages", limits->messages_max, 1, 1000000) &&
               is_number(check, "hops", limits->hops_max, 1, 10000) &&
               is_number(check, "header_size", limits->header_bytes_max, 0, 16u << 20) &&
               is_number(check, "command_timeout", limits->command_timeout_ms, 100, 3600000) &&
               is_number(check, "data_timeout", limits->data_timeout_ms, 100, 3600000) &&
               is_number(check, "session_timeout", limits->session_timeout_ms, 1000, 86400000) &&
               is_number(check, "hold_timeout", limits->hold_timeout_ms, 0, 600000);
}

static bool check_dns(const struct check *check)
{
        const struct image_dns *dns = &check->image->dns;

        for (uint32_t i = 0; i < dns->resolvers.count; i++) {
                if (!is_number(check, "resolver port", image_resolver(check->image, i)->port, 1, 65535))
                        return false;
        }
        return is_number(check, "dns.deadline", dns->deadline_ms, 0, 60000) &&
               is_number(check, "dns.timeout", dns->timeout_ms, 50, 60000) &&
               is_number(check, "dns.queue", dns->queue_max, 1, 10000000) &&
               is_number(check, "dns.outstanding", dns->outstanding_max, 1, 65536) &&
               is_number(check, "dns.network_share", dns->network_share, 1, 100) &&
               is_number(check, "dns.ptr_ttl", dns->ptr_ttl_min_sec, 1, dns->ptr_ttl_max_sec) &&
               is_number(check, "dns.probe_interval", dns->probe_interval_sec, 1, 86400);
}

static bool check_store(const struct check *check)
{
        const struct image_store *store = &check->image->store;
        const struct image_redis *redis = &store->redis;
        const struct image_log *log = &check->image->log;

        return is_number(check, "grey_entries", store->grey_entries, GREY_TABLE_ENTRIES_MIN,
                         GREY_TABLE_ENTRIES_MAX) &&
               is_number(check, "client_entries", store->client_entries, CLIENT_TABLE_ENTRIES_MIN,
                         CLIENT_TABLE_ENTRIES_MAX) &&
               is_text(check, "snapshot", store->snapshot_path, 0, TEXT_MAX) &&
               is_text(check, "journal", store->journal_path, 0, TEXT_MAX) &&
               is_number(check, "redis.enabled", redis->enabled, 0, 1) &&
               is_text(check, "redis.host", redis->host, 0, DOMAIN_MAX) &&
               is_text(check, "redis.unix", redis->unix_path, 0, TEXT_MAX) &&
               is_text(check, "redis.user", redis->user, 0, DOMAIN_MAX) &&
               is_text(check, "redis.auth_file", redis->auth_file, 0, TEXT_MAX) &&
               is_text(check, "redis.prefix", redis->prefix, 0, DOMAIN_MAX) &&
               is_text(check, "log.file", log->file, 0, TEXT_MAX) &&
               is_number(check, "log.privacy", log->privacy, 0, IMAGE_PRIVACY_USED - 1);
}

int image_check(const void *bytes, size_t len, char reason[IMAGE_REASON_MAX])
{
        const struct check check = { .image = bytes, .len = len, .reason = reason };
        uint32_t numbers = 0;
        int error;

        if ((uintptr_t)bytes % IMAGE_ALIGN != 0) {
                fail(&check, "not aligned to %u bytes", IMAGE_ALIGN);
                return -EINVAL;
        }
        if (!check_header(&check, &error))
                return error;
        if (!check_sections(&check) || !check_node(&check) || !check_ports(&check) ||
            !check_listeners(&check) || !check_networks(&check) || !check_pools(&check) ||
            !check_zones(&check, &numbers) || !check_domains(&check) || !check_limits(&check) ||
            !check_dns(&check) || !check_store(&check))
                return -EINVAL;
        for (uint32_t i = 0; i < check.image->policies.count; i++) {
                if (!check_policy(&check, image_policy(check.image, i), numbers))
                        return -EINVAL;
        }
        return 0;
}
