/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of a compilation on one page (compile_run), and what all its files use: paths, errors, tables,
 * texts. Later steps go on after errors of earlier ones, so that an operator sees all of them at once.
 */
#include "control/policy/compile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const site_deep[] = { "node", "limits", "dns", "store", "log", NULL };

size_t compile_enter(struct compile *compile, const char *key)
{
        size_t mark = compile->path_len;
        size_t room = sizeof(compile->path) - mark;
        int len = snprintf(compile->path + mark, room, "%s%.100s", mark > 0 ? "." : "", key);

        compile->path_len += MIN((size_t)len, room - 1);
        return mark;
}

size_t compile_enter_item(struct compile *compile, uint32_t i)
{
        size_t mark = compile->path_len;
        size_t room = sizeof(compile->path) - mark;
        int len = snprintf(compile->path + mark, room, "[%u]", i);

        compile->path_len += MIN((size_t)len, room - 1);
        return mark;
}

void compile_leave(struct compile *compile, size_t mark)
{
        compile->path[mark] = '\0';
        compile->path_len = mark;
}

void compile_error(struct compile *compile, const struct tree_node *at, const char *format, ...)
{
        char message[200];
        va_list args;

        va_start(args, format);
        vsnprintf(message, sizeof(message), format, args);
        va_end(args);
        tree_error(&compile->tree, at, compile->path, "%s", message);
}

void compile_misfit(struct compile *compile, const struct schema_row *row, const struct tree_node *node)
{
        char expected[160];

        schema_expected(row, expected, sizeof(expected));
        if (node->kind == TREE_SCALAR && !tree_is_nothing(node))
                compile_error(compile, node, "expected %s; found \"%.60s\"", expected, node->text);
        else
                compile_error(compile, node, "expected %s; found %s", expected,
                              node->kind == TREE_LIST  ? "a list"
                              : node->kind == TREE_MAP ? "a mapping"
                                                       : "nothing");
}

void compile_table_init(struct compile_table *table, size_t each, uint32_t max)
{
        *table = (struct compile_table){ .each = each, .max = max };
}

void *compile_table_add(struct compile *compile, struct compile_table *table, const struct tree_node *node)
{
        if (table->count == table->max) {
                compile_error(compile, node, "expected at most %u", table->max);
                return NULL;
        }
        if (table->count == table->room) {
                uint32_t room = table->room ? table->room * 2 : 16;
                uint8_t *items = realloc(table->items, room * table->each);
                const struct tree_node **nodes;

                if (items)
                        table->items = items;
                nodes = items ? realloc(table->nodes, room * sizeof(*nodes)) : NULL;
                if (!nodes) {
                        compile->tree.no_memory = true;
                        return NULL;
                }
                table->nodes = nodes;
                table->room = room;
        }
        table->nodes[table->count] = node;
        return memset(table->items + table->each * table->count++, 0, table->each);
}

void compile_table_done(struct compile_table *table)
{
        free(table->items);
        free(table->nodes);
        *table = (struct compile_table){ 0 };
}

struct image_text compile_text(struct compile *compile, const char *text)
{
        size_t len = strlen(text);
        struct image_text ret = { .len = (uint32_t)len };

        if (len == 0)
                return ret;
        if (compile->texts_room - compile->texts_len < len + 1) {
                size_t room = MAX(compile->texts_room * 2, compile->texts_len + len + 4096);
                uint8_t *texts = room < IMAGE_BYTES_MAX ? realloc(compile->texts, room) : NULL;

                if (!texts) {
                        compile->tree.no_memory = true;
                        return (struct image_text){ 0 };
                }
                compile->texts = texts;
                compile->texts_room = room;
        }
        memcpy(compile->texts + compile->texts_len, text, len + 1);
        ret.offset = COMPILE_TEXTS_AT + (uint32_t)compile->texts_len;
        compile->texts_len += len + 1;
        return ret;
}

const char *compile_string(const struct compile *compile, struct image_text text)
{
        return text.len == 0 ? "" : (const char *)compile->texts + (text.offset - COMPILE_TEXTS_AT);
}

int compile_find(const struct compile *compile, const struct compile_table *table, const char *name)
{
        for (uint32_t i = 0; i < table->count; i++) {
                /* Every element that has a name begins with it. */
                const struct image_text *text = (const void *)(table->items + i * table->each);

                if (strcmp(compile_string(compile, *text), name) == 0)
                        return (int)i;
        }
        return -1;
}

static void compile_init(struct compile *compile, const struct policy_options *options,
                         struct policy_errors *errors)
{
        *compile = (struct compile){ .options = options };
        tree_init(&compile->tree, errors);
        compile_table_init(&compile->ports, sizeof(struct image_port), IMAGE_PORTS_MAX);
        compile_table_init(&compile->addresses, sizeof(struct image_address), IMAGE_ADDRESSES_MAX);
        compile_table_init(&compile->listeners, sizeof(struct image_listener), IMAGE_LISTENERS_MAX);
        compile_table_init(&compile->fronts, sizeof(struct image_address), IMAGE_ADDRESSES_MAX);
        compile_table_init(&compile->certificates, sizeof(struct image_certificate), IMAGE_CERTIFICATES_MAX);
        compile_table_init(&compile->pools, sizeof(struct image_pool), IMAGE_POOLS_MAX);
        compile_table_init(&compile->servers, sizeof(struct image_server), IMAGE_SERVERS_MAX);
        compile_table_init(&compile->zones, sizeof(struct image_zone), IMAGE_ZONES_MAX);
        compile_table_init(&compile->codes, sizeof(struct image_codes), IMAGE_CODES_MAX);
        compile_table_init(&compile->policies, sizeof(struct image_policy), IMAGE_POLICIES_MAX);
        compile_table_init(&compile->domains, sizeof(struct image_domain), IMAGE_DOMAINS_MAX);
        compile_table_init(&compile->resolvers, sizeof(struct image_resolver), IMAGE_RESOLVERS_MAX);
}

static void compile_done(struct compile *compile)
{
        struct compile_table *tables[] = {
                &compile->ports,    &compile->addresses, &compile->listeners, &compile->fronts,
                &compile->pools,    &compile->servers,   &compile->zones,     &compile->codes,
                &compile->policies, &compile->domains,   &compile->resolvers, &compile->certificates,
        };

        for (unsigned i = 0; i < ARRAY_LEN(tables); i++)
                compile_table_done(tables[i]);
        networks_done(&compile->networks);
        networks_flat_done(&compile->flat);
        free(compile->slots);
        free(compile->texts);
        tree_done(&compile->tree);
}

/* Refuse what this machine cannot hold: better now than when the tables are made. */
static bool does_fit(struct compile *compile, const struct image *image)
{
        struct policy_sizing sizing;

        policy_sizing(image, &sizing);
        if (compile->options->memory_bytes == 0 || sizing.total_bytes <= compile->options->memory_bytes)
                return true;
        compile_error(
            compile, tree_get(compile->root, "store"),
            "expected node.memory, store.grey_entries and store.client_entries that need at most %llu MB, "
            "what this machine has; they need %llu MB",
            (unsigned long long)compile->options->memory_bytes >> 20,
            (unsigned long long)sizing.total_bytes >> 20);
        return false;
}

/* The trees are read; compile what they say. */
static int compile_run(struct compile *compile, void **ret_image, size_t *ret_len)
{
        char reason[IMAGE_REASON_MAX];
        int r;

        decode_defaults(compile, &schema_root, &compile->image);
        decode_map(compile, &schema_root, compile->root, &compile->image);
        compile_resolvers(compile);
        compile_ports(compile);
        compile_pools(compile);
        compile_zones(compile);
        compile_policies(compile);
        compile_domains(compile);
        compile_listeners(compile);
        compile_networks(compile);
        compile_check(compile);
        if (compile->tree.no_memory)
                return -ENOMEM;
        if (compile->tree.errors->count > 0)
                return -EINVAL;
        r = compile_build(compile, ret_image, ret_len);
        if (r == -E2BIG)
                compile_error(compile, NULL, "expected a policy whose image is below %llu MB",
                              IMAGE_BYTES_MAX >> 20);
        if (r < 0)
                return r == -E2BIG ? -EINVAL : r;
        /* What the dataplane would refuse is our bug, but no reason to crash an operator's push. */
        if (image_check(*ret_image, *ret_len, reason) < 0) {
                compile_error(compile, NULL, "the image is not valid (a bug of this program): %.150s",
                              reason);
                free(*ret_image);
                return -EBADMSG;
        }
        if (!does_fit(compile, *ret_image)) {
                free(*ret_image);
                return -EINVAL;
        }
        if (compile->options->zones)
                *compile->options->zones = compile->zone_book;
        return 0;
}

/* The whole of a file, or an error among the others. */
static char *read_file(struct tree *tree, const char *path, size_t *ret_len)
{
        struct stat st;
        char *text = NULL;
        size_t len = 0;
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

        if (fd < 0 || fstat(fd, &st) < 0) {
                tree_error_at(tree, path, 1, 1, "", "cannot be read: %s", strerror(errno));
                goto out;
        }
        if (!S_ISREG(st.st_mode) || st.st_size > (off_t)POLICY_FILE_MAX) {
                tree_error_at(tree, path, 1, 1, "", "expected a regular file of at most %u MB",
                              POLICY_FILE_MAX >> 20);
                goto out;
        }
        text = malloc((size_t)st.st_size + 1);
        if (!text) {
                tree->no_memory = true;
                goto out;
        }
        while (len < (size_t)st.st_size) {
                ssize_t got = read(fd, text + len, (size_t)st.st_size - len);

                if (got <= 0)
                        break;
                len += (size_t)got;
        }
        *ret_len = len;
out:
        if (fd >= 0)
                close(fd);
        return text;
}

static int read_site(struct compile *compile, const char *site_path)
{
        struct tree *tree = &compile->tree;
        char *text;
        size_t len = 0;
        int r;

        if (!site_path)
                return 0;
        text = read_file(tree, site_path, &len);
        if (!text)
                return tree->no_memory ? -ENOMEM : -EINVAL;
        r = tree_read(tree, 1, site_path, text, len);
        free(text);
        if (r == 0)
                tree_merge(tree, tree->roots[0], tree->roots[1], site_deep);
        return r;
}

int policy_compile_text(const char *path, const char *yaml, size_t yaml_len, const char *site_path,
                        const struct policy_options *options, struct policy_errors *errors, void **ret_image,
                        size_t *ret_len)
{
        struct compile compile;
        void *image;
        size_t len;
        int r;

        compile_init(&compile, options, errors);
        r = tree_read(&compile.tree, 0, path, yaml, yaml_len);
        if (r == 0)
                r = read_site(&compile, site_path);
        if (r == 0) {
                compile.root = compile.tree.roots[0];
                r = compile_run(&compile, &image, &len);
        }
        compile_done(&compile);
        if (r < 0)
                return r;
        *ret_image = image;
        *ret_len = len;
        return 0;
}

int policy_compile_file(const char *path, const char *site_path, const struct policy_options *options,
                        struct policy_errors *errors, void **ret_image, size_t *ret_len)
{
        struct tree tree;
        size_t len = 0;
        char *text;
        int r;

        tree_init(&tree, errors);
        text = read_file(&tree, path, &len);
        if (!text)
                return tree.no_memory ? -ENOMEM : -EINVAL;
        r = policy_compile_text(path, text, len, site_path, options, errors, ret_image, ret_len);
        free(text);
        return r;
}

size_t policy_errors_text(const struct policy_errors *errors, char *buf, size_t size)
{
        size_t len = 0;

        if (size == 0)
                return 0;
        buf[0] = '\0';
        for (unsigned i = 0; i < errors->count && len < size; i++)
                len += (size_t)snprintf(buf + len, size - len, "%s\n", errors->text[i]);
        if (errors->dropped > 0 && len < size)
                len += (size_t)snprintf(buf + len, size - len, "... and %u more\n", errors->dropped);
        return MIN(len, size - 1);
}
