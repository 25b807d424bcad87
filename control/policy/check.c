/* SPDX-License-Identifier: Apache-2.0 */
/* What no single value shows: keys that must fit each other. */
#include <stdarg.h>
#include <string.h>

#include "control/policy/compile.h"

/* An error at key (two levels where below is not NULL) of map, or at map when the key is not written there. */
PRINTF(5, 6)
static void error_at(struct compile *compile, const struct tree_node *map, const char *key, const char *below,
                     const char *format, ...)
{
        const struct tree_node *node = tree_get(map, key);
        const struct tree_node *inner = below ? tree_get(node, below) : node;
        size_t mark = compile_enter(compile, key);
        char message[200];
        va_list args;

        if (below)
                compile_enter(compile, below);
        va_start(args, format);
        vsnprintf(message, sizeof(message), format, args);
        va_end(args);
        compile_error(compile, inner ? inner : node ? node : map, "%s", message);
        compile_leave(compile, mark);
}

static bool is_none(const struct addr *addr)
{
        static const struct addr none;

        return addr_is_equal(addr, &none);
}

static bool is_inside(const struct addr *addr, const struct image_address *network)
{
        struct addr a = addr_mask(addr, network->prefix_len),
                    b = addr_mask(&network->addr, network->prefix_len);

        return addr_is_v4(addr) == addr_is_v4(&network->addr) && addr_is_equal(&a, &b);
}

static bool is_link_local(const struct addr *addr)
{
        return addr->bytes[0] == 0xfe && (addr->bytes[1] & 0xc0) == 0x80;
}

/* Is an address in one of the networks of a port? */
static bool is_on_port(const struct compile *compile, const struct image_port *port, const struct addr *addr)
{
        for (uint32_t i = 0; i < port->addresses.count; i++) {
                const struct image_address *network =
                    COMPILE_ITEM(compile, addresses, struct image_address, port->addresses.first + i);

                if (is_inside(addr, network))
                        return true;
        }
        return false;
}

static void check_gateway(struct compile *compile, uint32_t i, const struct addr *gateway)
{
        const struct image_port *port = COMPILE_ITEM(compile, ports, struct image_port, i);

        if (!is_none(gateway) && !is_link_local(gateway) && !is_on_port(compile, port, gateway))
                error_at(compile, compile->ports.nodes[i], "gateway", NULL,
                         "expected an address in one of the port's networks");
}

static void check_ports(struct compile *compile)
{
        size_t mark = compile_enter(compile, "ports");

        for (uint32_t i = 0; i < compile->ports.count; i++) {
                const struct image_port *port = COMPILE_ITEM(compile, ports, struct image_port, i);
                size_t item_mark = compile_enter_item(compile, i);

                check_gateway(compile, i, &port->gateway_v4);
                check_gateway(compile, i, &port->gateway_v6);
                if (compile_find(compile, &compile->ports, compile_string(compile, port->name)) != (int)i)
                        error_at(compile, compile->ports.nodes[i], "name", NULL, "expected each name once");
                compile_leave(compile, item_mark);
        }
        compile_leave(compile, mark);
        for (uint32_t i = 0; i < compile->addresses.count; i++) {
                for (uint32_t k = 0; k < i; k++) {
                        if (addr_is_equal(&COMPILE_ITEM(compile, addresses, struct image_address, i)->addr,
                                          &COMPILE_ITEM(compile, addresses, struct image_address, k)->addr)) {
                                mark = compile_enter(compile, "ports");
                                compile_error(compile, compile->addresses.nodes[i],
                                              "expected each address once");
                                compile_leave(compile, mark);
                                break;
                        }
                }
        }
}

static bool is_same_front(const struct compile *compile, const struct image_listener *a,
                          const struct image_listener *b)
{
        for (uint32_t i = 0; a->tcp_port == b->tcp_port && i < a->fronts.count; i++) {
                for (uint32_t k = 0; k < b->fronts.count; k++) {
                        if (addr_is_equal(
                                &COMPILE_ITEM(compile, fronts, struct image_address, a->fronts.first + i)
                                     ->addr,
                                &COMPILE_ITEM(compile, fronts, struct image_address, b->fronts.first + k)
                                     ->addr))
                                return true;
                }
        }
        return false;
}

static void check_listeners(struct compile *compile)
{
        const struct tree_node *list = tree_get(compile->root, "listeners");
        size_t mark = compile_enter(compile, "listeners");

        if (list && list->kind == TREE_LIST && list->count == 0)
                compile_error(compile, list, "expected at least one listener");
        for (uint32_t i = 0; i < compile->listeners.count; i++) {
                const struct image_listener *listener =
                    COMPILE_ITEM(compile, listeners, struct image_listener, i);

                for (uint32_t k = 0; k < i; k++) {
                        if (is_same_front(compile, listener,
                                          COMPILE_ITEM(compile, listeners, struct image_listener, k))) {
                                size_t item_mark = compile_enter_item(compile, i);

                                error_at(compile, compile->listeners.nodes[i], "front", NULL,
                                         "expected addresses and port that no other listener has");
                                compile_leave(compile, item_mark);
                                break;
                        }
                }
        }
        compile_leave(compile, mark);
}

/* Can a port reach this address, by its own network or by a gateway? */
static bool is_reachable(const struct compile *compile, const struct addr *addr)
{
        for (uint32_t i = 0; i < compile->ports.count; i++) {
                const struct image_port *port = COMPILE_ITEM(compile, ports, struct image_port, i);

                if (is_on_port(compile, port, addr) ||
                    !is_none(addr_is_v4(addr) ? &port->gateway_v4 : &port->gateway_v6))
                        return true;
        }
        return false;
}

static void check_pools(struct compile *compile)
{
        const struct tree_node *pools = tree_get(compile->root, "pools");
        size_t mark = compile_enter(compile, "pools");

        if (compile->pools.count == 0 && pools && (pools->kind == TREE_MAP || tree_is_nothing(pools)))
                compile_error(compile, pools, "expected at least one pool");
        for (uint32_t i = 0; i < compile->pools.count; i++) {
                const struct image_pool *pool = COMPILE_ITEM(compile, pools, struct image_pool, i);
                size_t pool_mark = compile_enter(compile, compile_string(compile, pool->name));

                if (pool->down_code != 421 && pool->down_code != 451)
                        error_at(compile, compile->pools.nodes[i], "down_code", NULL,
                                 "expected 451 or 421; found %u", pool->down_code);
                compile_enter(compile, "servers");
                for (uint32_t k = 0; k < pool->servers.count; k++) {
                        uint32_t number = pool->servers.first + k;
                        const struct image_server *server =
                            COMPILE_ITEM(compile, servers, struct image_server, number);
                        size_t item_mark = compile_enter_item(compile, k);

                        if (compile->ports.count > 0 && !is_none(&server->addr) &&
                            !is_reachable(compile, &server->addr))
                                error_at(compile, compile->servers.nodes[number], "address", NULL,
                                         "expected an address in the network of a port, or a gateway for it");
                        compile_leave(compile, item_mark);
                }
                compile_leave(compile, pool_mark);
        }
        compile_leave(compile, mark);
}

static void check_zones(struct compile *compile)
{
        size_t mark = compile_enter(compile, "zones");

        for (uint32_t i = 0; i < compile->zones.count; i++) {
                const struct image_zone *zone = COMPILE_ITEM(compile, zones, struct image_zone, i);
                const struct tree_node *node = compile->zones.nodes[i];
                size_t item_mark = compile_enter_item(compile, i);

                if (zone->kind == IMAGE_ZONE_BLOCK && zone->points < 0)
                        error_at(compile, node, "score", NULL, "expected no points below 0 for kind block");
                if (zone->kind == IMAGE_ZONE_ALLOW && zone->points > 0)
                        error_at(compile, node, "score", NULL, "expected no points above 0 for kind allow");
                if (zone->kind == IMAGE_ZONE_ALLOW && zone->smtp_blocking)
                        error_at(compile, node, "smtp_blocking", NULL, "expected only with kind block");
                if (zone->ttl_min_sec > zone->ttl_max_sec)
                        error_at(compile, node, "ttl_min", NULL, "expected at most ttl_max");
                if (compile_find(compile, &compile->zones, compile_string(compile, zone->name)) != (int)i)
                        error_at(compile, node, "name", NULL,
                                 "expected each name once; the usual name is the zone");
                compile_leave(compile, item_mark);
        }
        compile_leave(compile, mark);
}

/* Every brace must begin a placeholder that the reply knows. */
static void check_placeholders(struct compile *compile, const struct tree_node *map, const char *key,
                               struct image_text text, const char *const *known)
{
        for (const char *at = strchr(compile_string(compile, text), '{'); at; at = strchr(at + 1, '{')) {
                unsigned i = 0;

                while (known[i] && strncmp(at, known[i], strlen(known[i])) != 0)
                        i++;
                if (known[i])
                        continue;
                error_at(compile, map, key, "text", "expected no placeholders but %s, %s and %s", known[0],
                         known[1], known[2]);
                return;
        }
}

static void check_reply(struct compile *compile, const struct tree_node *map, const char *key,
                        const struct image_reply *reply, const uint16_t *codes, const char *codes_text)
{
        unsigned i = 0;

        while (codes[i] != 0 && codes[i] != reply->code)
                i++;
        if (codes[i] == 0)
                error_at(compile, map, key, "code", "expected %s; found %u", codes_text, reply->code);
        else if (reply->enhanced[0] != reply->code / 100)
                error_at(compile, map, key, "enhanced", "expected class %u, as code %u has; found %u.%u.%u",
                         reply->code / 100u, reply->code, reply->enhanced[0], reply->enhanced[1],
                         reply->enhanced[2]);
}

static void check_policy(struct compile *compile, const struct image_policy *policy,
                         const struct tree_node *map)
{
        static const uint16_t grey_codes[] = { 421, 450, 451, 0 },
                              reject_codes[] = { 421, 450, 451, 550, 554, 0 };
        static const char *const grey_known[] = { "{seconds}", "{client}", "{host}", NULL };
        static const char *const reject_known[] = { "{zone}", "{client}", "{host}", NULL };
        const struct image_greylist *grey = &policy->greylist;
        const struct image_score *score = policy->score;

        if (grey->block_sec >= grey->window_sec)
                error_at(compile, map, "greylist", "block", "expected less than window (%us)",
                         grey->window_sec);
        if (grey->window_sec > grey->life_sec)
                error_at(compile, map, "greylist", "window", "expected at most life (%us)", grey->life_sec);
        if (score[IMAGE_LEVEL_MEDIUM].threshold < score[IMAGE_LEVEL_LOW].threshold)
                error_at(compile, map, "scores", "medium", "expected at least low (%d)",
                         score[IMAGE_LEVEL_LOW].threshold);
        if (score[IMAGE_LEVEL_HIGH].threshold < score[IMAGE_LEVEL_MEDIUM].threshold)
                error_at(compile, map, "scores", "high", "expected at least medium (%d)",
                         score[IMAGE_LEVEL_MEDIUM].threshold);
        check_reply(compile, map, "greylist", &grey->reply, grey_codes, "451, 450 or 421");
        check_reply(compile, map, "reject", &policy->reject, reject_codes, "554, 550, 451, 450 or 421");
        check_placeholders(compile, map, "greylist", grey->reply.text, grey_known);
        check_placeholders(compile, map, "reject", policy->reject.text, reject_known);
}

static void check_policies(struct compile *compile)
{
        size_t mark = compile_enter(compile, "policies");

        for (uint32_t i = 0; i < compile->policies.count; i++) {
                const struct image_policy *policy = COMPILE_ITEM(compile, policies, struct image_policy, i);
                size_t name_mark = compile_enter(compile, compile_string(compile, policy->name));

                check_policy(compile, policy, compile->policies.nodes[i]);
                compile_leave(compile, name_mark);
        }
        compile_leave(compile, mark);
}

static void check_rest(struct compile *compile)
{
        struct image *image = &compile->image;
        const struct tree_node *store = tree_get(compile->root, "store");
        const struct image_redis *redis = &image->store.redis;
        size_t mark = compile_enter(compile, "dns");

        if (image->dns.ptr_ttl_min_sec > image->dns.ptr_ttl_max_sec)
                error_at(compile, tree_get(compile->root, "dns"), "ptr_ttl_min", NULL,
                         "expected at most ptr_ttl_max");
        compile_leave(compile, mark);
        mark = compile_enter(compile, "store");
        if (redis->host.len > 0 && redis->unix_path.len > 0)
                error_at(compile, store, "redis", "unix", "expected host or unix, not both");
        if (tree_get(store, "redis") && redis->host.len == 0 && redis->unix_path.len == 0)
                error_at(compile, store, "redis", NULL, "expected host or unix");
        compile_leave(compile, mark);
        image->store.redis.enabled = redis->host.len > 0 || redis->unix_path.len > 0;
        if (image->node.name.len == 0) {
                char name[64];

                snprintf(name, sizeof(name), "%.63s", compile_string(compile, image->node.hostname));
                name[strcspn(name, ".")] = '\0';
                image->node.name = compile_text(compile, name);
        }
}

void compile_check(struct compile *compile)
{
        check_ports(compile);
        check_listeners(compile);
        check_pools(compile);
        check_zones(compile);
        check_policies(compile);
        check_rest(compile);
}
