/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every key of the policy, one row each: type, bounds, default, place in the image, one line of help. The
 * compiler reads values by these rows, and yaml/reference.yaml, docs/CONFIG.md and yaml/schema.json are
 * written from them, so that a key cannot be known to one and not to the others.
 */
#ifndef GREYLINE_CONTROL_POLICY_SCHEMA_H
#define GREYLINE_CONTROL_POLICY_SCHEMA_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/shared/image.h"

enum schema_type {
        /* One value, read by decode.c into the field at offset. */
        SCHEMA_BOOL,
        SCHEMA_INTEGER,  /* may be negative */
        SCHEMA_COUNT,    /* 5000, 5k, 20M */
        SCHEMA_SIZE,     /* bytes: 64kB, 20MB */
        SCHEMA_TIME_MS,  /* a duration, kept in milliseconds */
        SCHEMA_TIME_SEC, /* a duration, kept in seconds */
        SCHEMA_ENUM,     /* one of names, those allowed */
        SCHEMA_NAME,
        SCHEMA_HOSTNAME,
        SCHEMA_ASCII, /* printable; min to max characters */
        SCHEMA_PATH,
        SCHEMA_ADDRESS,
        SCHEMA_ENHANCED, /* 4.7.1 */
        /* Values and lists that compile.c reads by code of their own. */
        SCHEMA_INTERFACES, /* addresses with prefix */
        SCHEMA_GATEWAYS,   /* one address, or one a family */
        SCHEMA_FRONTS,     /* addresses */
        SCHEMA_NETWORKS,   /* prefixes, {file: x} */
        SCHEMA_CODES,      /* 127.0.0.2-11 */
        SCHEMA_RESOLVERS,  /* address:port */
        SCHEMA_POOL,       /* the name of a pool */
        SCHEMA_POLICY,     /* the name of a policy */
        SCHEMA_KEYS,       /* keys of a policy */
        /* Containers. */
        SCHEMA_MAP,   /* the keys of below; the same struct */
        SCHEMA_LIST,  /* mappings with the keys of below */
        SCHEMA_NAMED, /* names the operator chooses, behind each a mapping with the keys of below */
};

struct schema;

struct schema_row {
        const char *key;
        enum schema_type type;
        uint16_t offset; /* of the field in the struct of the schema that has the row */
        uint8_t width;   /* bytes of an integer field */
        bool is_required;
        uint32_t allowed;         /* SCHEMA_ENUM: bit per value; 0: all of names */
        int64_t min, max;         /* in the unit of the field */
        const char *fallback;     /* the default, as it would be written; NULL: none, or as in says */
        const char *says;         /* the default in words, where it is no constant */
        const char *example;      /* where there is no default: a value for yaml/reference.yaml */
        const char *const *names; /* SCHEMA_ENUM: by value, ends with NULL */
        const struct schema *below;
        const char *help;
};

struct schema {
        const struct schema_row *rows;
        unsigned count;
};

/* The whole file; rows with a field: offset in struct image. */
extern const struct schema schema_root;

/* For compile.c, which walks lists itself. Offsets in the struct named. */
extern const struct schema schema_port;        /* struct image_port */
extern const struct schema schema_listener;    /* struct image_listener */
extern const struct schema schema_tls;         /* struct image_listener */
extern const struct schema schema_certificate; /* struct image_certificate */
extern const struct schema schema_pool;        /* struct image_pool */
extern const struct schema schema_server;      /* struct image_server */
extern const struct schema schema_zone;        /* struct image_zone */
extern const struct schema schema_policy;      /* struct image_policy */
extern const struct schema schema_policy_zone; /* struct schema_zone_override */
extern const struct schema schema_domain;      /* struct image_domain */

/* What a policy may say about a zone; there is no such struct in the image, only its effect. */
struct schema_zone_override {
        uint8_t enabled;
        uint8_t smtp_blocking;
        int16_t points;
};

/* The row of a key, or NULL. */
const struct schema_row *schema_find(const struct schema *schema, const char *key);

/* The key that was probably meant, or NULL. */
const char *schema_nearest(const struct schema *schema, const char *key);

/* "a duration from 0 to 1d, such as 4m": what a row expects, to buf; returns buf. */
const char *schema_expected(const struct schema_row *row, char *buf, size_t size);

/* Does a dotted path such as "greylist.block" name a key of a policy? */
bool schema_is_policy_key(const char *path);

#endif
