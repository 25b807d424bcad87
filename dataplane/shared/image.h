/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy image: everything the operator's YAML says, as one flat piece of memory. Control makes it
 * (control/policy/compile.c), the dataplane reads it. Offsets instead of pointers, fixed sizes, no padding
 * that is not named, the byte order of the machine that made it.
 *
 * image_check() treats the bytes as a stranger's and proves every offset, count, enum and string once. Only
 * after it returned 0 may anything else here be called; the lookups then check nothing and cannot fail. An
 * image is never changed after the check, so check a private copy, not a file that others can write.
 *
 * Names and records are addressed by index: a session keeps indices and the generation, never a pointer.
 */
#ifndef GREYLINE_SHARED_IMAGE_H
#define GREYLINE_SHARED_IMAGE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/shared/addr.h"
#include "dataplane/shared/bug.h"

#define IMAGE_MAGIC  0x474d494c59455247ull /* "GREYLIMG" as bytes */
#define IMAGE_LAYOUT 2u                    /* bumped by every change of a struct here */
#define IMAGE_ALIGN  64u                   /* of the whole image in memory, and of each section in it */

#define IMAGE_BYTES_MAX      (1024ull << 20)
#define IMAGE_PORTS_MAX      32u
#define IMAGE_LISTENERS_MAX  64u
#define IMAGE_ADDRESSES_MAX  1024u
#define IMAGE_CERTIFICATES_MAX 256u
#define IMAGE_LISTENER_CERTIFICATES_MAX 16u
#define IMAGE_POOLS_MAX      256u
#define IMAGE_SERVERS_MAX    256u /* as LINK_BACKENDS_MAX: one slot of the link page each */
#define IMAGE_POLICIES_MAX   1024u
#define IMAGE_ZONES_MAX      32u
#define IMAGE_CODES_MAX      1024u
#define IMAGE_RESOLVERS_MAX  8u
#define IMAGE_DOMAINS_MAX    1000000u
#define IMAGE_STARTS_MAX     8000000u /* pieces of each address space */
#define IMAGE_REASON_MAX     256u
#define IMAGE_PROBES_MAX     64u /* of the domain table: no lookup looks further */
#define IMAGE_NETWORK_BITS_MAX 16u
#define IMAGE_REPLY_TEXT_MAX 400u /* so that a reply with its codes and id stays within 512 bytes (RFC 5321) */

/* A string in the blob: UTF-8 or ASCII, without control characters, always followed by one NUL. */
struct image_text {
        uint32_t offset; /* from the start of the image */
        uint32_t len;    /* without the NUL; 0: not set */
};

/* A table in the image. The size of an element is its type's. */
struct image_section {
        uint32_t offset; /* from the start of the image, a multiple of IMAGE_ALIGN */
        uint32_t count;
};

/* Some elements in a row of another table. */
struct image_slice {
        uint32_t first;
        uint32_t count;
};

/* ---- what is done about something ------------------------------------------------------------------- */

enum image_action {
        IMAGE_ACTION_IGNORE,  /* said in the log only */
        IMAGE_ACTION_SCORE,   /* adds its points */
        IMAGE_ACTION_HEADER,  /* add a header to the message */
        IMAGE_ACTION_SUBJECT, /* add a header and prefix the subject */
        IMAGE_ACTION_DEFER,   /* 4xx */
        IMAGE_ACTION_REJECT,  /* 5xx */
        IMAGE_ACTION_DROP,    /* no answer at all */
        IMAGE_ACTION_USED,
};

/* A check and what follows when it fails. */
struct image_rule {
        uint8_t action; /* enum image_action: ignore, score, defer or reject */
        uint8_t unused;
        int16_t points; /* added when action is score, and shown in the log otherwise */
};

/* A reply the operator worded: "451 4.7.1 text". */
struct image_reply {
        uint16_t code;        /* 4xx or 5xx, as the schema of its key says */
        uint8_t enhanced[3];  /* 4.7.1 as { 4, 7, 1 }; the class equals that of code */
        uint8_t unused[3];
        struct image_text text; /* at most IMAGE_REPLY_TEXT_MAX, printable ASCII; placeholders: image_fill() */
};

/* ---- node, ports, listeners ------------------------------------------------------------------------- */

enum image_idle {
        IMAGE_IDLE_ADAPTIVE, /* back off when there is nothing to do */
        IMAGE_IDLE_POLL,     /* never sleep */
        IMAGE_IDLE_USED,
};

enum image_hugepages {
        IMAGE_HUGEPAGES_AUTO, /* when the machine has them */
        IMAGE_HUGEPAGES_ON,   /* refuse to start without */
        IMAGE_HUGEPAGES_OFF,
        IMAGE_HUGEPAGES_USED,
};

struct image_node {
        struct image_text name;
        struct image_text hostname;  /* lower case; what EHLO to a backend and the greeting say */
        uint32_t node_id;            /* 0 to 63: part of every explain id */
        uint32_t workers;            /* 1 to 64 */
        uint32_t idle;               /* enum image_idle */
        uint32_t hugepages;          /* enum image_hugepages */
        uint64_t packet_memory_bytes; /* for packets, connections and sessions together */
};

/* An address that is ours, with its network. */
struct image_address {
        struct addr addr;
        uint8_t prefix_len; /* in the 128-bit form: an IPv4 /24 is 120 */
        uint8_t unused;
        uint16_t port; /* index of the port that has it */
};

struct image_port {
        struct image_text name;
        struct image_text device;     /* "0000:01:00.0", or a vdev such as "net_af_packet0,iface=gl-front" */
        struct image_slice addresses; /* of the table addresses */
        struct addr gateway_v4;       /* all zero: none */
        struct addr gateway_v6;       /* all zero: none */
        uint16_t vlan;                /* 1 to 4094; 0: untagged */
        uint16_t mtu;                 /* 1280 to 9000 */
        uint32_t unused;
};

enum image_tls {
        IMAGE_TLS_OFF,
        IMAGE_TLS_OFFERED,  /* where there are certificates */
        IMAGE_TLS_REQUIRED, /* no mail in clear */
        IMAGE_TLS_USED,
};

/* Files of the dataplane's machine, by absolute path; read by its main, never by control. */
struct image_certificate {
        struct image_text cert; /* PEM, the chain behind it */
        struct image_text key;  /* PEM */
};

struct image_listener {
        struct image_text name;
        struct image_text hostname; /* lower case; said in the greeting */
        struct image_slice fronts;  /* of the table fronts: the addresses that take clients */
        uint16_t tcp_port;
        uint16_t policy;            /* index; in force until a recipient names its own */
        uint32_t greet_delay_ms;    /* longest wait before the greeting; 0: greet at once */
        uint8_t teaser;             /* 1: say the first line of a two-line greeting before the wait */
        uint8_t tls;                /* enum image_tls */
        uint8_t unused[6];
        struct image_slice certificates; /* of the table certificates; at least one where TLS is required */
};

/* ---- lists, domains --------------------------------------------------------------------------------- */

/* What the lists say about a client address. */
enum image_class {
        IMAGE_CLASS_NONE,
        IMAGE_CLASS_DENY,
        IMAGE_CLASS_ALLOW,
        IMAGE_CLASS_TRUSTED,
        IMAGE_CLASS_USED,
};

/*
 * An address space cut into pieces of one class each. Piece i begins at starts[i] and ends before the next;
 * the first begins at zero. Neighbours differ in class, so the tables are as short as they can be.
 */
struct image_networks {
        struct image_section v4_starts;  /* uint32_t, host order, ascending */
        struct image_section v4_classes; /* uint8_t, enum image_class */
        struct image_section v4_index;   /* uint32_t: piece that holds the address (i << (32 - bits)) */
        uint32_t v4_index_bits;          /* 0 to 16; the index has 2^bits + 1 entries, the last is the last piece */
        uint32_t unused;
        struct image_section v6_starts;  /* struct image_v6, ascending; IPv4 is not looked up here */
        struct image_section v6_classes; /* uint8_t */
        uint32_t entries;                /* prefixes in the operator's lists, for people */
        uint32_t deny_action;            /* enum image_action: reject or drop */
};

struct image_v6 {
        uint64_t high, low; /* host order */
};

struct image_domain {
        struct image_text name; /* lower case; "*.example.org" is every name below example.org, not itself */
        uint16_t policy;        /* index */
        uint16_t pool;          /* index */
        uint32_t unused;
};

/* ---- pools ------------------------------------------------------------------------------------------ */

enum image_identity {
        IMAGE_IDENTITY_NONE,
        IMAGE_IDENTITY_XCLIENT,
        IMAGE_IDENTITY_PROXY, /* PROXY protocol version 2 */
        IMAGE_IDENTITY_USED,
};

enum image_balance {
        IMAGE_BALANCE_LEAST, /* fewest sessions for its weight */
        IMAGE_BALANCE_HASH,  /* the same client network goes to the same server */
        IMAGE_BALANCE_USED,
};

struct image_pool {
        struct image_text name;
        struct image_slice servers; /* of the table servers */
        uint8_t identity;           /* enum image_identity */
        uint8_t balance;            /* enum image_balance */
        uint16_t unused;
        uint16_t down_code;         /* 421 or 451: the answer when no server can be reached */
        uint16_t fall;              /* failures in a row until a server counts as down */
        uint32_t check_interval_ms; /* between health checks of a server */
        uint32_t connect_timeout_ms;
        uint32_t reply_timeout_ms;  /* for banner, EHLO, XCLIENT, MAIL, RCPT, DATA */
        uint32_t end_timeout_ms;    /* for the reply after the final dot */
        uint32_t idle_max;          /* connections kept for reuse, per worker and server; 0: none */
        uint32_t idle_timeout_ms;   /* how long one is kept */
};

struct image_server {
        struct addr addr;
        uint16_t tcp_port;
        uint16_t pool;            /* index */
        uint16_t weight;          /* 1 to 1000 */
        uint16_t unused;
        uint32_t connections_max; /* of the whole node */
        uint32_t unused2;
};

/* ---- zones ------------------------------------------------------------------------------------------ */

enum image_zone_kind {
        IMAGE_ZONE_BLOCK,
        IMAGE_ZONE_ALLOW,
        IMAGE_ZONE_USED,
};

/* Answers 127.x.y.z, as numbers in host order, that mean "listed". */
struct image_codes {
        uint32_t from;
        uint32_t to; /* included */
};

/*
 * A DNS list of client addresses. The number is its place in the client table and stays with the pair of
 * zone and codes for ever. Points and blocking per policy are in struct image_policy: read them there.
 */
struct image_zone {
        struct image_text name;   /* what logs and tools call it */
        struct image_text domain; /* what is asked, lower case, without a dot at the end */
        struct image_slice codes; /* of the table codes; at least one */
        uint8_t number;           /* 0 to 31 */
        uint8_t kind;             /* enum image_zone_kind */
        uint8_t ipv4, ipv6;       /* 1: ask about clients of this family */
        int16_t points;           /* as policy default */
        uint8_t smtp_blocking;    /* 1: a listing alone refuses the client */
        uint8_t unused;
        uint32_t ttl_min_sec, ttl_max_sec;
};

/* ---- policies --------------------------------------------------------------------------------------- */

enum image_dns_failure {
        IMAGE_DNS_FAILURE_GREYLIST,
        IMAGE_DNS_FAILURE_DEFER,
        IMAGE_DNS_FAILURE_PASS,
        IMAGE_DNS_FAILURE_USED,
};

enum image_reject_at {
        IMAGE_REJECT_AT_RCPT,
        IMAGE_REJECT_AT_BANNER,
        IMAGE_REJECT_AT_USED,
};

enum image_bare_newline {
        IMAGE_BARE_NEWLINE_REJECT,
        IMAGE_BARE_NEWLINE_NORMALIZE,
        IMAGE_BARE_NEWLINE_USED,
};

enum image_long_lines {
        IMAGE_LONG_LINES_PASS,
        IMAGE_LONG_LINES_REJECT,
        IMAGE_LONG_LINES_USED,
};

struct image_greylist {
        uint8_t enabled;
        uint8_t v4_prefix;    /* 8 to 32 */
        uint8_t v6_prefix;    /* 16 to 128 */
        uint8_t exempt_after; /* passed deliveries until the network is exempt, 0: never; at most 15 */
        uint32_t block_sec;   /* a retry before this is too early */
        uint32_t window_sec;  /* a retry after this is a new message; counted from the first try */
        uint32_t life_sec;    /* a passed triplet lives so long after its last delivery */
        struct image_reply reply; /* {seconds}: until a retry passes */
};

/* Points from threshold on, and what is done then. low <= medium <= high. */
struct image_score {
        int32_t threshold;
        uint8_t action; /* enum image_action: ignore, header, subject, defer, reject */
        uint8_t unused[3];
};

enum image_level {
        IMAGE_LEVEL_LOW,
        IMAGE_LEVEL_MEDIUM,
        IMAGE_LEVEL_HIGH,
        IMAGE_LEVEL_USED,
};

struct image_policy {
        struct image_text name;
        struct image_greylist greylist;
        struct image_rule ptr_missing;
        struct image_rule ptr_unconfirmed;
        struct image_rule pregreet;       /* the client talks before the greeting */
        struct image_rule helo_syntax;    /* neither a domain name nor an address literal */
        struct image_rule helo_ours;      /* our own host name or address, or one of our domains */
        struct image_rule helo_bare_ip;   /* an address without brackets */
        struct image_rule non_smtp;       /* a command of another protocol, such as GET */
        struct image_rule pipelining;     /* commands sent before our answer, before EHLO allowed it */
        struct image_score score[IMAGE_LEVEL_USED];
        uint8_t on_dns_failure; /* enum image_dns_failure */
        uint8_t reject_at;      /* enum image_reject_at: where a listing, a missing PTR or a high score refuses */
        uint8_t bare_newline;   /* enum image_bare_newline */
        uint8_t long_lines;     /* enum image_long_lines */
        uint8_t postmaster_open; /* 1: mail to postmaster and abuse skips the client checks and the greylist */
        uint8_t unused[3];
        uint32_t zones_used;     /* bit per zone number: counts in this policy */
        uint32_t zones_blocking; /* bit per zone number: a listing alone refuses the client */
        int16_t zone_points[IMAGE_ZONES_MAX]; /* by zone number; 0 where unused */
        struct image_reply reject; /* the refusal by zone, PTR or score; {zone} {client} {host} */
        struct image_text header_name;    /* for action header, without the colon */
        struct image_text subject_prefix; /* for action subject */
};

/* ---- limits, dns, store, log ------------------------------------------------------------------------ */

struct image_limits {
        uint32_t sessions_max;              /* clients at one time on the whole node */
        uint32_t connections_per_network;   /* 0: no limit */
        uint32_t connection_rate;           /* new ones per network and minute, 0: no limit */
        uint8_t v4_prefix;                  /* what a network is for the two above: 8 to 32 */
        uint8_t v6_prefix;                  /* 16 to 128 */
        uint16_t recipients_max;            /* per message; at least 100 (RFC 5321 4.5.3.1.8) */
        uint64_t message_bytes_max;
        uint32_t errors_max;                /* replies 5xx to commands in one session, then 421 */
        uint32_t commands_max;              /* in one session without a message, then 421 */
        uint32_t messages_max;              /* in one session, then 421 */
        uint32_t hops_max;                  /* Received lines, then 554 5.4.6 */
        uint32_t header_bytes_max;          /* of the header section kept for changes; 0: none is */
        uint32_t unused;
        uint32_t command_timeout_ms;        /* for the next command */
        uint32_t data_timeout_ms;           /* for the next piece of a message */
        uint32_t session_timeout_ms;        /* for a whole session that delivers nothing */
        uint32_t hold_timeout_ms;           /* how long a refused client is held until QUIT */
        uint32_t hold_max;                  /* refused clients held at one time */
        uint32_t unused2;
};

struct image_resolver {
        struct addr addr;
        uint16_t port;
        uint16_t unused;
};

struct image_dns {
        struct image_section resolvers; /* struct image_resolver */
        uint32_t deadline_ms;           /* a session waits no longer than this for answers */
        uint32_t timeout_ms;            /* of one query to one resolver */
        uint32_t queue_max;             /* clients waiting to be asked about */
        uint32_t outstanding_max;       /* queries in flight */
        uint32_t network_share;         /* percent of the queue that one /24 or /48 may hold */
        uint32_t ptr_ttl_min_sec, ptr_ttl_max_sec;
        uint32_t probe_interval_sec;    /* RFC 5782 self test of every zone */
};

struct image_redis {
        uint8_t enabled;
        uint8_t unused;
        uint16_t port;                 /* with host */
        uint32_t timeout_ms;
        struct image_text host;        /* an address or a name; empty with unix_path */
        struct image_text unix_path;
        struct image_text user;        /* ACL user; empty: default */
        struct image_text auth_file;   /* holds the password; empty: none */
        struct image_text prefix;      /* of every key */
};

struct image_store {
        uint64_t grey_entries;   /* triplets the greylist must hold, at 67 % load */
        uint64_t client_entries; /* clients whose answers are kept */
        uint32_t snapshot_interval_sec; /* 0: only at shutdown */
        uint32_t grey_new_rate;  /* new triplets a second for the whole table; 0: entries / (2 * window) */
        struct image_text snapshot_path; /* empty: STATE/grey.snapshot */
        struct image_text journal_path;  /* empty: STATE/journal.sqlite */
        uint64_t journal_entries;        /* first defers and passes remembered for people; 0: none */
        struct image_redis redis;
};

enum image_privacy {
        IMAGE_PRIVACY_FULL,   /* addresses as they are */
        IMAGE_PRIVACY_HASHED, /* local parts of addresses as keyed hashes, no journal */
        IMAGE_PRIVACY_USED,
};

struct image_log {
        struct image_text file;    /* empty: STATE/greyline.log */
        uint64_t rotate_bytes;     /* a new file is begun beyond this */
        uint32_t keep;             /* rotated files kept */
        uint32_t rate;             /* records of refusals at connect a second; 0: no limit */
        uint32_t privacy;          /* enum image_privacy */
        uint32_t unused;
};

/* ---- the image -------------------------------------------------------------------------------------- */

struct image {
        uint64_t magic;
        uint32_t layout;     /* IMAGE_LAYOUT */
        uint32_t generation; /* the version of the policy, from 1 */
        uint64_t bytes;      /* of the whole image */
        uint64_t checksum;   /* image_checksum() */
        uint64_t compiled_sec; /* wall clock */
        uint64_t unused[3];

        struct image_node node;
        struct image_limits limits;
        struct image_dns dns;
        struct image_store store;
        struct image_log log;
        struct image_networks networks;

        struct image_section ports;       /* struct image_port */
        struct image_section addresses;   /* struct image_address, grouped by port */
        struct image_section listeners;   /* struct image_listener */
        struct image_section fronts;      /* struct image_address, grouped by listener */
        struct image_section certificates; /* struct image_certificate, grouped by listener */
        struct image_section pools;       /* struct image_pool */
        struct image_section servers;     /* struct image_server, grouped by pool */
        struct image_section zones;       /* struct image_zone, in the order of the YAML */
        struct image_section codes;       /* struct image_codes, grouped by zone */
        struct image_section policies;    /* struct image_policy; 0 is "default" */
        struct image_section domains;     /* struct image_domain, in the order of the YAML */
        struct image_section domain_slots; /* uint32_t: index + 1, or 0; a power of two */
        struct image_section texts;       /* uint8_t */
};

/*
 * Prove that the bytes are a whole, valid image of this layout. bytes is aligned to IMAGE_ALIGN.
 * reason is set only on failure: one line for people. Reads everything once: about 1 ms a megabyte.
 * Returns 0, or -EPROTO (another magic or layout), -EBADMSG (damaged), -EINVAL (an impossible value).
 */
int image_check(const void *bytes, size_t len, char reason[IMAGE_REASON_MAX]) MUST_CHECK;

/* The checksum that belongs into the image: SipHash over everything but the field itself. */
uint64_t image_checksum(const struct image *image);

/* Where the search for a domain begins: its hash, to be masked with the number of slots less one. */
uint64_t image_domain_hash(const char *name, size_t len);

/* ---- everything below: only after image_check(); safe on a worker: no allocation, no system call ----- */

/* What the lists say about a client. One search in the index and the few pieces below it. */
enum image_class image_lookup_network(const struct image *image, const struct addr *addr);

/*
 * Whose mail is this? name: a domain of len bytes, any case, without a dot at the end; it may be anything
 * that a client sent. The exact name wins, then "*.parent" from the longest parent on.
 * Returns false (outputs untouched) for a domain that is not ours.
 */
bool image_lookup_domain(const struct image *image, const char *name, size_t len, uint16_t *ret_policy,
                         uint16_t *ret_pool);

/*
 * The listener that takes clients at this address and TCP port, or NULL.
 */
const struct image_listener *image_lookup_listener(const struct image *image, const struct addr *addr,
                                                   uint16_t tcp_port);

/* Is this address one of ours, on any port? Returns its record, or NULL. */
const struct image_address *image_lookup_address(const struct image *image, const struct addr *addr);

/* The zone with this number (0 to 31), or NULL. */
const struct image_zone *image_lookup_zone(const struct image *image, uint32_t number);

/* What the placeholders of a reply text stand for. NULL: left out. */
struct image_values {
        uint32_t seconds;   /* {seconds} */
        const char *zone;   /* {zone} */
        const char *client; /* {client} */
        const char *host;   /* {host}: our own host name */
};

/*
 * Write the text with its placeholders filled in, cut at size - 1 bytes, always with a NUL.
 * Returns the length written.
 */
size_t image_fill(const struct image *image, struct image_text text, const struct image_values *values,
                  char *buf, size_t size);

/* A string of the image with its NUL; "" when it is not set. */
static inline const char *image_string(const struct image *image, struct image_text text)
{
        return text.len == 0 ? "" : (const char *)image + text.offset;
}

/* Pointer to element i of a table; i is below its count (from the image itself, or checked by the caller). */
#define IMAGE_TABLE(name, type, table)                                                                       \
        static inline const type *image_##name(const struct image *image, uint32_t i)                        \
        {                                                                                                    \
                BUG_ON_HOT(i >= image->table.count);                                                         \
                return (const type *)(const void *)((const uint8_t *)image + image->table.offset) + i;       \
        }

IMAGE_TABLE(port, struct image_port, ports)                    /* image_port(image, i) */
IMAGE_TABLE(address, struct image_address, addresses)          /* image_address(image, i) */
IMAGE_TABLE(listener, struct image_listener, listeners)        /* image_listener(image, i) */
IMAGE_TABLE(front, struct image_address, fronts)               /* image_front(image, i) */
IMAGE_TABLE(certificate, struct image_certificate, certificates) /* image_certificate(image, i) */
IMAGE_TABLE(pool, struct image_pool, pools)                    /* image_pool(image, i) */
IMAGE_TABLE(server, struct image_server, servers)              /* image_server(image, i) */
IMAGE_TABLE(zone, struct image_zone, zones)                    /* image_zone(image, i): by place, not number */
IMAGE_TABLE(codes, struct image_codes, codes)                  /* image_codes(image, i) */
IMAGE_TABLE(policy, struct image_policy, policies)             /* image_policy(image, i) */
IMAGE_TABLE(domain, struct image_domain, domains)              /* image_domain(image, i) */
IMAGE_TABLE(resolver, struct image_resolver, dns.resolvers)    /* image_resolver(image, i) */

#undef IMAGE_TABLE

static_assert(sizeof(struct image_text) == 8, "image layout");
static_assert(sizeof(struct image_section) == 8, "image layout");
static_assert(sizeof(struct image_slice) == 8, "image layout");
static_assert(sizeof(struct image_rule) == 4, "image layout");
static_assert(sizeof(struct image_reply) == 16, "image layout");
static_assert(sizeof(struct image_node) == 40, "image layout");
static_assert(sizeof(struct image_address) == 20, "image layout");
static_assert(sizeof(struct image_port) == 64, "image layout");
static_assert(sizeof(struct image_certificate) == 16, "image layout");
static_assert(sizeof(struct image_listener) == 48, "image layout");
static_assert(sizeof(struct image_networks) == 56, "image layout");
static_assert(sizeof(struct image_domain) == 16, "image layout");
static_assert(sizeof(struct image_pool) == 48, "image layout");
static_assert(sizeof(struct image_server) == 32, "image layout");
static_assert(sizeof(struct image_zone) == 40, "image layout");
static_assert(sizeof(struct image_greylist) == 32, "image layout");
static_assert(sizeof(struct image_limits) == 72, "image layout");
static_assert(sizeof(struct image_dns) == 40, "image layout");
static_assert(sizeof(struct image_redis) == 48, "image layout");
static_assert(sizeof(struct image_store) == 96, "image layout");
static_assert(sizeof(struct image_log) == 32, "image layout");
static_assert(sizeof(struct image_policy) == 208, "image layout");
static_assert(sizeof(struct image) == 504, "image layout");

#endif
