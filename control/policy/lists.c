/* SPDX-License-Identifier: Apache-2.0 */
/* Ports, listeners, pools, resolvers and lists of networks: what is more than a mapping of values. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/policy/compile.h"
#include "control/policy/value.h"

#define LIST_LINE_MAX   512
#define LIST_ERRORS_MAX 5 /* then the file is probably no list at all */

/* A single value stands for a list of one. */
static uint32_t item_count(const struct tree_node *node)
{
        if (!node || tree_is_nothing(node))
                return 0;
        return node->kind == TREE_LIST ? node->count : 1;
}

static const struct tree_node *item_at(const struct tree_node *node, uint32_t i)
{
        return node->kind == TREE_LIST ? node->items[i] : node;
}

/* The list behind a key of map, or NULL when there is none or (an error was added) it is something else. */
static const struct tree_node *list_behind(struct compile *compile, const struct tree_node *map,
                                           const char *key)
{
        const struct tree_node *node = tree_get(map, key);
        size_t mark;

        if (!node || tree_is_nothing(node) || node->kind == TREE_LIST)
                return node && node->kind == TREE_LIST ? node : NULL;
        mark = compile_enter(compile, key);
        compile_error(compile, node, "expected a list; found a %s",
                      node->kind == TREE_MAP ? "mapping" : "value");
        compile_leave(compile, mark);
        return NULL;
}

/* ---- ports ------------------------------------------------------------------------------------------ */

static void port_addresses(struct compile *compile, const struct tree_node *map, uint32_t port_number)
{
        const struct schema_row *row = schema_find(&schema_port, "addresses");
        const struct tree_node *list = tree_get(map, row->key);
        struct image_port *port = COMPILE_ITEM(compile, ports, struct image_port, port_number);
        size_t mark = compile_enter(compile, row->key);

        port->addresses.first = compile->addresses.count;
        for (uint32_t i = 0; i < item_count(list); i++) {
                const struct tree_node *item = item_at(list, i);
                struct image_address read = { .port = (uint16_t)port_number }, *address;

                if (item->kind != TREE_SCALAR || !value_interface(item->text, &read.addr, &read.prefix_len)) {
                        compile_misfit(compile, row, item);
                        continue;
                }
                address = compile_table_add(compile, &compile->addresses, item);
                if (address)
                        *address = read;
        }
        port->addresses.count = compile->addresses.count - port->addresses.first;
        if (list && port->addresses.count == 0 && item_count(list) == 0)
                compile_misfit(compile, row, list);
        compile_leave(compile, mark);
}

static void port_gateways(struct compile *compile, const struct tree_node *map, struct image_port *port)
{
        const struct schema_row *row = schema_find(&schema_port, "gateway");
        const struct tree_node *list = tree_get(map, row->key);
        size_t mark = compile_enter(compile, row->key);

        for (uint32_t i = 0; i < item_count(list); i++) {
                static const struct addr none;
                const struct tree_node *item = item_at(list, i);
                struct addr addr, *gateway;

                if (item->kind != TREE_SCALAR || addr_parse(item->text, &addr) < 0) {
                        compile_misfit(compile, row, item);
                        continue;
                }
                gateway = addr_is_v4(&addr) ? &port->gateway_v4 : &port->gateway_v6;
                if (!addr_is_equal(gateway, &none))
                        compile_error(compile, item, "expected one gateway a family; found a second");
                *gateway = addr;
        }
        compile_leave(compile, mark);
}

void compile_ports(struct compile *compile)
{
        const struct tree_node *list = list_behind(compile, compile->root, "ports");
        size_t mark = compile_enter(compile, "ports");

        for (uint32_t i = 0; list && i < list->count; i++) {
                size_t item_mark = compile_enter_item(compile, i);
                struct image_port *port = compile_table_add(compile, &compile->ports, list->items[i]);

                if (port) {
                        decode_defaults(compile, &schema_port, port);
                        decode_map(compile, &schema_port, list->items[i], port);
                        port_addresses(compile, list->items[i], i);
                        port_gateways(compile, list->items[i], port);
                }
                compile_leave(compile, item_mark);
        }
        compile_leave(compile, mark);
}

/* ---- listeners -------------------------------------------------------------------------------------- */

static const struct image_address *find_address(const struct compile *compile, const struct addr *addr)
{
        for (uint32_t i = 0; i < compile->addresses.count; i++) {
                const struct image_address *address =
                    COMPILE_ITEM(compile, addresses, struct image_address, i);

                if (addr_is_equal(&address->addr, addr))
                        return address;
        }
        return NULL;
}

static void listener_fronts(struct compile *compile, const struct tree_node *map,
                            struct image_listener *listener)
{
        const struct schema_row *row = schema_find(&schema_listener, "front");
        const struct tree_node *list = tree_get(map, row->key);
        size_t mark = compile_enter(compile, row->key);

        listener->fronts.first = compile->fronts.count;
        for (uint32_t i = 0; i < item_count(list); i++) {
                const struct tree_node *item = item_at(list, i);
                const struct image_address *address;
                struct image_address *front;
                struct addr addr;

                if (item->kind != TREE_SCALAR || addr_parse(item->text, &addr) < 0) {
                        compile_misfit(compile, row, item);
                        continue;
                }
                address = find_address(compile, &addr);
                if (!address && compile->addresses.count == 0)
                        continue; /* said already: there are no ports */
                if (!address) {
                        compile_error(compile, item,
                                      "expected an address of one of the ports; found \"%.60s\"", item->text);
                        continue;
                }
                front = compile_table_add(compile, &compile->fronts, item);
                if (front)
                        *front = *address;
        }
        listener->fronts.count = compile->fronts.count - listener->fronts.first;
        if (list && item_count(list) == 0)
                compile_misfit(compile, row, list);
        compile_leave(compile, mark);
}

static void listener_policy(struct compile *compile, const struct tree_node *map,
                            struct image_listener *listener)
{
        const struct tree_node *node = tree_get(map, "policy");
        int found =
            node && node->kind == TREE_SCALAR ? compile_find(compile, &compile->policies, node->text) : -1;
        size_t mark;

        if (!node)
                return;
        mark = compile_enter(compile, "policy");
        if (found < 0)
                compile_misfit(compile, schema_find(&schema_listener, "policy"), node);
        else
                listener->policy = (uint16_t)found;
        compile_leave(compile, mark);
}

/* The dataplane opens the file, and not from where the policy lies. */
static void absolute(struct compile *compile, const struct tree_node *map, const char *key, struct image_text path)
{
        size_t mark = compile_enter(compile, key);

        if (path.len > 0 && *compile_string(compile, path) != '/')
                compile_error(compile, tree_get(map, key), "expected an absolute path; found \"%.60s\"",
                              compile_string(compile, path));
        compile_leave(compile, mark);
}

static void listener_certificates(struct compile *compile, const struct tree_node *map,
                                  struct image_listener *listener)
{
        size_t mark = compile_enter(compile, "tls"), list_mark;
        const struct tree_node *tls = tree_get(map, "tls");
        const struct tree_node *list = tls ? list_behind(compile, tls, "certificates") : NULL;

        list_mark = compile_enter(compile, "certificates");
        listener->certificates.first = compile->certificates.count;
        for (uint32_t i = 0; list && i < list->count; i++) {
                size_t item_mark = compile_enter_item(compile, i);
                struct image_certificate read = { 0 }, *certificate;

                decode_map(compile, &schema_certificate, list->items[i], &read);
                absolute(compile, list->items[i], "cert", read.cert);
                absolute(compile, list->items[i], "key", read.key);
                certificate = compile_table_add(compile, &compile->certificates, list->items[i]);
                if (certificate)
                        *certificate = read;
                compile_leave(compile, item_mark);
        }
        listener->certificates.count = compile->certificates.count - listener->certificates.first;
        if (list && list->count > IMAGE_LISTENER_CERTIFICATES_MAX)
                compile_error(compile, list, "expected at most %u", IMAGE_LISTENER_CERTIFICATES_MAX);
        compile_leave(compile, list_mark);
        if (listener->tls == IMAGE_TLS_REQUIRED && listener->certificates.count == 0)
                compile_error(compile, tls, "expected certificates, since mode is required");
        compile_leave(compile, mark);
}

void compile_listeners(struct compile *compile)
{
        const struct tree_node *list = list_behind(compile, compile->root, "listeners");
        size_t mark = compile_enter(compile, "listeners");

        for (uint32_t i = 0; list && i < list->count; i++) {
                size_t item_mark = compile_enter_item(compile, i);
                struct image_listener *listener =
                    compile_table_add(compile, &compile->listeners, list->items[i]);

                if (listener) {
                        decode_defaults(compile, &schema_listener, listener);
                        listener->hostname = compile->image.node.hostname;
                        decode_map(compile, &schema_listener, list->items[i], listener);
                        listener_fronts(compile, list->items[i], listener);
                        listener_policy(compile, list->items[i], listener);
                        listener_certificates(compile, list->items[i], listener);
                }
                compile_leave(compile, item_mark);
        }
        compile_leave(compile, mark);
}

/* ---- pools ------------------------------------------------------------------------------------------ */

static void pool_servers(struct compile *compile, const struct tree_node *map, uint32_t pool_number)
{
        const struct tree_node *list = list_behind(compile, map, "servers");
        struct image_pool *pool = COMPILE_ITEM(compile, pools, struct image_pool, pool_number);
        size_t mark = compile_enter(compile, "servers");

        pool->servers.first = compile->servers.count;
        for (uint32_t i = 0; list && i < list->count; i++) {
                size_t item_mark = compile_enter_item(compile, i);
                struct image_server *server = compile_table_add(compile, &compile->servers, list->items[i]);

                if (server) {
                        server->pool = (uint16_t)pool_number;
                        decode_defaults(compile, &schema_server, server);
                        decode_map(compile, &schema_server, list->items[i], server);
                }
                compile_leave(compile, item_mark);
        }
        pool->servers.count = compile->servers.count - pool->servers.first;
        if (tree_get(map, "servers") && (!list || list->count == 0))
                compile_error(compile, tree_get(map, "servers"), "expected at least one server");
        compile_leave(compile, mark);
}

void compile_pools(struct compile *compile)
{
        const struct tree_node *pools = tree_get(compile->root, "pools");
        size_t mark = compile_enter(compile, "pools");

        if (pools && pools->kind != TREE_MAP) {
                compile_misfit(compile, schema_find(&schema_root, "pools"), pools);
                pools = NULL;
        }
        for (uint32_t i = 0; pools && i < pools->count; i++) {
                size_t name_mark = compile_enter(compile, pools->keys[i]->text);
                struct image_pool *pool = compile_table_add(compile, &compile->pools, pools->items[i]);

                if (pool) {
                        if (!value_is_name(pools->keys[i]->text))
                                compile_error(compile, pools->keys[i],
                                              "expected a name of letters, digits, '-', '_' and '.'");
                        pool->name = compile_text(compile, pools->keys[i]->text);
                        decode_defaults(compile, &schema_pool, pool);
                        decode_map(compile, &schema_pool, pools->items[i], pool);
                        pool_servers(compile, pools->items[i], i);
                }
                compile_leave(compile, name_mark);
        }
        compile_leave(compile, mark);
}

/* ---- resolvers -------------------------------------------------------------------------------------- */

void compile_resolvers(struct compile *compile)
{
        const struct schema_row *row = schema_find(schema_find(&schema_root, "dns")->below, "resolvers");
        const struct tree_node *list = tree_get(tree_get(compile->root, "dns"), row->key);
        size_t mark = compile_enter(compile, "dns");
        struct image_resolver *resolver;

        compile_enter(compile, row->key);
        for (uint32_t i = 0; i < item_count(list); i++) {
                const struct tree_node *item = item_at(list, i);
                struct image_resolver read = { 0 };

                if (item->kind != TREE_SCALAR ||
                    !value_address_port(item->text, 53, &read.addr, &read.port)) {
                        compile_misfit(compile, row, item);
                        continue;
                }
                resolver = compile_table_add(compile, &compile->resolvers, item);
                if (resolver)
                        *resolver = read;
        }
        if (item_count(list) == 0) {
                resolver = compile_table_add(compile, &compile->resolvers, compile->root);
                if (resolver) {
                        resolver->addr = addr_from_v4_be(htobe32(0x7f000001));
                        resolver->port = 53;
                }
        }
        compile_leave(compile, mark);
}

/* ---- networks --------------------------------------------------------------------------------------- */

static void add_network(struct compile *compile, const struct tree_node *at, const struct addr *addr,
                        uint8_t prefix_len, enum image_class class)
{
        int r = networks_add(&compile->networks, addr, prefix_len, class);

        if (r == -ENOMEM)
                compile->tree.no_memory = true;
        else if (r < 0)
                compile_error(compile, at, "expected at most %u prefixes in all lists", POLICY_LIST_MAX);
}

/*
 * Lines of a list: a prefix each, after # a remark. A message never shows what a line holds: the file may be
 * one that the operator did not mean, and its text none of the reader's business.
 */
static void read_list(struct compile *compile, const struct tree_node *at, const char *path, FILE *file,
                      enum image_class class)
{
        char line[LIST_LINE_MAX];
        const struct policy_errors *errors = compile->tree.errors;
        unsigned stop = errors->count + errors->dropped + LIST_ERRORS_MAX;
        uint32_t number = 0;

        while (!compile->tree.no_memory && errors->count + errors->dropped < stop &&
               fgets(line, sizeof(line), file)) {
                size_t start = strspn(line, " \t"), len = strcspn(line + start, " \t\r\n#");
                size_t after = start + len + strspn(line + start + len, " \t\r\n");
                uint8_t prefix_len;
                struct addr addr;

                number++;
                if (len == 0 && (line[after] == '#' || line[after] == '\0') && strchr(line, '\n'))
                        continue;
                if (len == 0 && line[after] == '\0' && feof(file))
                        continue;
                if (line[after] != '#' && line[after] != '\0') {
                        tree_error_at(&compile->tree, path, number, (uint32_t)after + 1, compile->path,
                                      "expected one prefix a line");
                        continue;
                }
                line[start + len] = '\0';
                if (addr_parse_prefix(line + start, &addr, &prefix_len) < 0)
                        tree_error_at(&compile->tree, path, number, (uint32_t)start + 1, compile->path,
                                      "expected a prefix such as 192.0.2.0/24, without bits beyond it");
                else
                        add_network(compile, at, &addr, prefix_len, class);
        }
}

static void open_list(struct compile *compile, const struct tree_node *node, enum image_class class)
{
        const char *policy_path = compile->tree.files[node->file];
        const char *slash = strrchr(policy_path, '/');
        int dir_len = node->text[0] != '/' && slash ? (int)(slash - policy_path) + 1 : 0;
        char path[4400];
        struct stat st;
        FILE *file;
        int fd;

        snprintf(path, sizeof(path), "%.*s%.4000s", MIN(dir_len, 380), policy_path, node->text);
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        file = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? fdopen(fd, "r") : NULL;
        if (!file) {
                compile_error(compile, node, "expected a readable file; found \"%.100s\"", node->text);
                if (fd >= 0)
                        close(fd);
                return;
        }
        read_list(compile, node, path, file, class);
        fclose(file);
}

static void network_item(struct compile *compile, const struct schema_row *row, const struct tree_node *item,
                         enum image_class class)
{
        const struct tree_node *path = tree_get(item, "file");
        uint8_t prefix_len;
        struct addr addr;

        if (path && item->count == 1 && path->kind == TREE_SCALAR && path->text[0] != '\0')
                open_list(compile, path, class);
        else if (item->kind == TREE_SCALAR && addr_parse_prefix(item->text, &addr, &prefix_len) == 0)
                add_network(compile, item, &addr, prefix_len, class);
        else
                compile_misfit(compile, row, item);
}

void compile_networks(struct compile *compile)
{
        static const struct {
                const char *key;
                enum image_class class;
        } lists[] = {
                { "deny", IMAGE_CLASS_DENY },
                { "allow", IMAGE_CLASS_ALLOW },
                { "trusted", IMAGE_CLASS_TRUSTED },
        };
        const struct schema *schema = schema_find(&schema_root, "networks")->below;
        size_t mark = compile_enter(compile, "networks");

        for (unsigned k = 0; k < ARRAY_LEN(lists); k++) {
                const struct tree_node *list = tree_get(tree_get(compile->root, "networks"), lists[k].key);
                size_t list_mark = compile_enter(compile, lists[k].key);

                for (uint32_t i = 0; i < item_count(list); i++)
                        network_item(compile, schema_find(schema, lists[k].key), item_at(list, i),
                                     lists[k].class);
                compile_leave(compile, list_mark);
        }
        compile_leave(compile, mark);
        compile->image.networks.entries = compile->networks.count;
        if (networks_flatten(&compile->networks, &compile->flat) < 0)
                compile->tree.no_memory = true;
}
