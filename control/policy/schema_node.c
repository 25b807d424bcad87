/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of schema.h: what the machine is and whom it talks to. */
#include "control/policy/schema.h"
#include "dataplane/shared/client_table.h"
#include "dataplane/shared/grey_table.h"

#define AT(type, field) .offset = offsetof(type, field), .width = sizeof(((type *)0)->field)
#define SCHEMA(table)                                                                                        \
        {                                                                                                    \
                .rows = table, .count = ARRAY_LEN(table)                                                     \
        }

static const char *const idle_names[] = { "adaptive", "poll", NULL };
static const char *const hugepages_names[] = { "auto", "on", "off", NULL };
static const char *const identity_names[] = { "none", "xclient", "proxy", NULL };
static const char *const balance_names[] = { "least", "hash", NULL };
static const char *const tls_names[] = { "none", NULL };
static const char *const listener_tls_names[] = { "off", "offered", "required", NULL };
static const char *const privacy_names[] = { "full", "hashed", NULL };

static const struct schema_row node_rows[] = {
        { "name", SCHEMA_NAME, AT(struct image, node.name), .says = "the first label of hostname",
          .example = "mx1", .help = "what logs, reports and the other nodes call this machine" },
        { "hostname", SCHEMA_HOSTNAME, AT(struct image, node.hostname), .is_required = true,
          .example = "mx1.example.net", .help = "name in the greeting, and in EHLO to the backends" },
        { "node_id", SCHEMA_INTEGER, AT(struct image, node.node_id), .min = 0, .max = 63, .fallback = "0",
          .help =
              "number of this node, different on each node that shares a store; part of every explain id" },
        { "workers", SCHEMA_INTEGER, AT(struct image, node.workers), .min = 1, .max = 64, .fallback = "1",
          .help = "cores that carry mail, one worker each; takes effect at the next start" },
        { "idle", SCHEMA_ENUM, AT(struct image, node.idle), .names = idle_names, .fallback = "adaptive",
          .help = "adaptive: a worker with nothing to do sleeps briefly; poll: never, for the lowest delay" },
        { "hugepages", SCHEMA_ENUM, AT(struct image, node.hugepages), .names = hugepages_names,
          .fallback = "auto",
          .help = "auto: use them where the machine has them; on: refuse to start without" },
        { "memory", SCHEMA_SIZE, AT(struct image, node.packet_memory_bytes), .min = 64ll << 20,
          .max = 1ll << 42, .fallback = "256MB",
          .help = "memory for packets, connections and sessions; takes effect at the next start" },
};
static const struct schema schema_node = SCHEMA(node_rows);

static const struct schema_row port_rows[] = {
        { "name", SCHEMA_NAME, AT(struct image_port, name), .is_required = true, .example = "front",
          .help = "what logs and tools call the port" },
        { "device", SCHEMA_ASCII, AT(struct image_port, device), .min = 1, .max = 1000, .is_required = true,
          .example = "\"net_af_packet0,iface=gl-front\"",
          .help = "PCI address such as 0000:01:00.0, or a DPDK vdev with its arguments" },
        { "addresses", SCHEMA_INTERFACES, .is_required = true,
          .example = "[198.18.0.25/16, \"2001:2::25/64\"]",
          .help = "addresses of the port, each with the length of its network" },
        { "gateway", SCHEMA_GATEWAYS, .says = "none", .example = "[198.18.0.1, \"2001:2::1\"]",
          .help = "next hop beyond the port's networks: one address, or one a family" },
        { "vlan", SCHEMA_INTEGER, AT(struct image_port, vlan), .min = 0, .max = 4094, .fallback = "0",
          .help = "VLAN tag of every frame; 0: untagged" },
        { "mtu", SCHEMA_INTEGER, AT(struct image_port, mtu), .min = 1280, .max = 9000, .fallback = "1500",
          .help = "largest IP packet in bytes" },
};
const struct schema schema_port = SCHEMA(port_rows);

static const struct schema_row certificate_rows[] = {
        { "cert", SCHEMA_PATH, AT(struct image_certificate, cert), .is_required = true,
          .example = "/etc/greyline/mx.crt",
          .help = "PEM file with the certificate and then its chain; an absolute path" },
        { "key", SCHEMA_PATH, AT(struct image_certificate, key), .is_required = true,
          .example = "/etc/greyline/keys/mx.key",
          .help = "PEM file with the private key, without a passphrase, that greyline-keys alone may read; an absolute path" },
};
const struct schema schema_certificate = SCHEMA(certificate_rows);

static const struct schema_row tls_rows[] = {
        { "mode", SCHEMA_ENUM, AT(struct image_listener, tls), .names = listener_tls_names, .fallback = "offered",
          .help = "STARTTLS: off, offered where there are certificates, or required for every mail" },
        { "certificates", SCHEMA_LIST, .below = &schema_certificate, .says = "none",
          .help = "the first stands for clients that ask for none of our names; ECDSA and RSA may lie side by side" },
};
const struct schema schema_tls = SCHEMA(tls_rows);

static const struct schema_row listener_rows[] = {
        { "name", SCHEMA_NAME, AT(struct image_listener, name), .is_required = true, .example = "mx",
          .help = "what logs and tools call the listener" },
        { "front", SCHEMA_FRONTS, .is_required = true, .example = "[198.18.0.25, \"2001:2::25\"]",
          .help = "addresses of a port that take clients" },
        { "port", SCHEMA_INTEGER, AT(struct image_listener, tcp_port), .min = 1, .max = 65535,
          .fallback = "25", .help = "TCP port" },
        { "hostname", SCHEMA_HOSTNAME, AT(struct image_listener, hostname), .says = "node.hostname",
          .example = "mx.example.net", .help = "name in the greeting of this listener" },
        { "greet_delay", SCHEMA_TIME_MS, AT(struct image_listener, greet_delay_ms), .min = 0, .max = 60000,
          .fallback = "2s",
          .help =
              "longest wait before the greeting: early talkers show themselves, and DNS answers come in" },
        { "teaser", SCHEMA_BOOL, AT(struct image_listener, teaser), .fallback = "false",
          .help = "send the first line of a two-line greeting before the wait, to tempt early talkers" },
        { "policy", SCHEMA_POLICY, AT(struct image_listener, policy), .fallback = "default",
          .help = "policy in force until a recipient's domain names its own" },
        { "tls", SCHEMA_MAP, .below = &schema_tls, .help = "encryption of the clients' sessions" },
};
const struct schema schema_listener = SCHEMA(listener_rows);

static const struct schema_row server_rows[] = {
        { "address", SCHEMA_ADDRESS, AT(struct image_server, addr), .is_required = true,
          .example = "198.18.0.10", .help = "address of a backend mail server" },
        { "port", SCHEMA_INTEGER, AT(struct image_server, tcp_port), .min = 1, .max = 65535, .fallback = "25",
          .help = "TCP port" },
        { "weight", SCHEMA_INTEGER, AT(struct image_server, weight), .min = 1, .max = 1000, .fallback = "1",
          .help = "share of the sessions, relative to the other servers" },
        { "connections", SCHEMA_COUNT, AT(struct image_server, connections_max), .min = 1, .max = 1000000,
          .fallback = "100",
          .help = "connections at one time; keep it below the server's own process limit" },
};
const struct schema schema_server = SCHEMA(server_rows);

static const struct schema_row pool_rows[] = {
        { "identity", SCHEMA_ENUM, AT(struct image_pool, identity), .names = identity_names,
          .fallback = "xclient",
          .help = "how the servers learn the client's address: XCLIENT, PROXY protocol 2, or not at all" },
        { "tls", SCHEMA_ENUM, .names = tls_names, .fallback = "none",
          .help = "TLS to the servers; only none in this version" },
        { "balance", SCHEMA_ENUM, AT(struct image_pool, balance), .names = balance_names, .fallback = "least",
          .help = "least: fewest sessions for its weight; hash: a client network stays with one server" },
        { "servers", SCHEMA_LIST, .below = &schema_server, .is_required = true,
          .help = "the backend mail servers of the pool" },
        { "down_code", SCHEMA_INTEGER, AT(struct image_pool, down_code), .min = 421, .max = 451,
          .fallback = "451", .help = "reply when no server can be reached: 451, or 421 (which closes)" },
        { "fall", SCHEMA_INTEGER, AT(struct image_pool, fall), .min = 1, .max = 100, .fallback = "2",
          .help = "failures in a row until a server counts as down" },
        { "check_interval", SCHEMA_TIME_MS, AT(struct image_pool, check_interval_ms), .min = 100,
          .max = 3600000, .fallback = "10s", .help = "time between two health checks of a server" },
        { "connect_timeout", SCHEMA_TIME_MS, AT(struct image_pool, connect_timeout_ms), .min = 100,
          .max = 600000, .fallback = "5s", .help = "wait for a connection, then the next server is tried" },
        { "reply_timeout", SCHEMA_TIME_MS, AT(struct image_pool, reply_timeout_ms), .min = 100,
          .max = 3600000, .fallback = "5m",
          .help = "wait for a reply of a server before the final dot (RFC 5321 4.5.3.2)" },
        { "end_timeout", SCHEMA_TIME_MS, AT(struct image_pool, end_timeout_ms), .min = 1000, .max = 3600000,
          .fallback = "10m", .help = "wait for the reply after the final dot (RFC 5321 4.5.3.2.6)" },
};
const struct schema schema_pool = SCHEMA(pool_rows);

static const struct schema_row dns_rows[] = {
        { "resolvers", SCHEMA_RESOLVERS, .fallback = "[127.0.0.1]",
          .help = "recursive DNS servers, on loopback or a trusted network, up to 8" },
        { "deadline", SCHEMA_TIME_MS, AT(struct image, dns.deadline_ms), .min = 0, .max = 60000,
          .fallback = "5s", .help = "longest time a session waits for answers; then on_dns_failure decides" },
        { "timeout", SCHEMA_TIME_MS, AT(struct image, dns.timeout_ms), .min = 50, .max = 60000,
          .fallback = "2s", .help = "wait for one resolver, then the next is asked" },
        { "queue", SCHEMA_COUNT, AT(struct image, dns.queue_max), .min = 1, .max = 10000000,
          .fallback = "20k",
          .help = "clients waiting to be asked about; beyond it the least known are not asked about" },
        { "outstanding", SCHEMA_COUNT, AT(struct image, dns.outstanding_max), .min = 1, .max = 65536,
          .fallback = "500", .help = "DNS queries in flight at one time" },
        { "network_share", SCHEMA_INTEGER, AT(struct image, dns.network_share), .min = 1, .max = 100,
          .fallback = "5", .help = "per cent of the queue that one /24 or /48 may hold" },
        { "ptr_ttl_min", SCHEMA_TIME_SEC, AT(struct image, dns.ptr_ttl_min_sec), .min = 1, .max = 604800,
          .fallback = "5m", .help = "a reverse DNS answer is kept at least so long" },
        { "ptr_ttl_max", SCHEMA_TIME_SEC, AT(struct image, dns.ptr_ttl_max_sec), .min = 1, .max = 604800,
          .fallback = "1d", .help = "a reverse DNS answer is kept at most so long" },
        { "probe_interval", SCHEMA_TIME_SEC, AT(struct image, dns.probe_interval_sec), .min = 1, .max = 86400,
          .fallback = "30m", .help = "time between two self tests of every zone (RFC 5782)" },
};
static const struct schema schema_dns = SCHEMA(dns_rows);

static const struct schema_row redis_rows[] = {
        { "host", SCHEMA_HOSTNAME, AT(struct image, store.redis.host), .says = "none", .example = "127.0.0.1",
          .help = "address or name of the Redis server" },
        { "port", SCHEMA_INTEGER, AT(struct image, store.redis.port), .min = 1, .max = 65535,
          .fallback = "6379", .help = "TCP port" },
        { "unix", SCHEMA_PATH, AT(struct image, store.redis.unix_path), .says = "none",
          .help = "path of the server's socket, in place of host" },
        { "user", SCHEMA_NAME, AT(struct image, store.redis.user), .says = "the default user",
          .help = "user for AUTH" },
        { "auth_file", SCHEMA_PATH, AT(struct image, store.redis.auth_file), .says = "no AUTH",
          .help = "file whose first line is the password; never in the policy itself" },
        { "timeout", SCHEMA_TIME_MS, AT(struct image, store.redis.timeout_ms), .min = 50, .max = 60000,
          .fallback = "2s", .help = "wait for a reply, then the connection is made anew" },
        { "prefix", SCHEMA_NAME, AT(struct image, store.redis.prefix), .fallback = "greyline",
          .help = "first part of every key; nodes of one cluster use the same" },
};
static const struct schema schema_redis = SCHEMA(redis_rows);

static const struct schema_row store_rows[] = {
        { "grey_entries", SCHEMA_COUNT, AT(struct image, store.grey_entries), .min = GREY_TABLE_ENTRIES_MIN,
          .max = GREY_TABLE_ENTRIES_MAX, .fallback = "1M",
          .help = "triplets that the greylist holds, 24 bytes each; fixed while the table exists" },
        { "client_entries", SCHEMA_COUNT, AT(struct image, store.client_entries),
          .min = CLIENT_TABLE_ENTRIES_MIN, .max = CLIENT_TABLE_ENTRIES_MAX, .fallback = "200k",
          .help = "clients whose DNS answers are kept; fixed while the table exists" },
        { "snapshot", SCHEMA_PATH, AT(struct image, store.snapshot_path),
          .says = "grey.snapshot in the state directory", .help = "file that holds the greylist on disk" },
        { "snapshot_interval", SCHEMA_TIME_SEC, AT(struct image, store.snapshot_interval_sec), .min = 0,
          .max = 86400, .fallback = "5m", .help = "time between two snapshots; 0: only at shutdown" },
        { "journal", SCHEMA_PATH, AT(struct image, store.journal_path),
          .says = "journal.sqlite in the state directory",
          .help = "file in which first defers and passes are kept for people, with addresses" },
        { "journal_entries", SCHEMA_COUNT, AT(struct image, store.journal_entries), .min = 0,
          .max = 1000000000, .fallback = "200k", .help = "entries of the journal; 0: no journal" },
        { "redis", SCHEMA_MAP, .below = &schema_redis, .says = "none",
          .help = "several nodes share one greylist through Redis: host or unix says where it is" },
};
static const struct schema schema_store = SCHEMA(store_rows);

static const struct schema_row log_rows[] = {
        { "file", SCHEMA_PATH, AT(struct image, log.file), .says = "greyline.log in the state directory",
          .help = "file of JSON objects, one per event" },
        { "rotate", SCHEMA_SIZE, AT(struct image, log.rotate_bytes), .min = 64 << 10, .max = 1ll << 40,
          .fallback = "100MB", .help = "a new file is begun at this size" },
        { "keep", SCHEMA_INTEGER, AT(struct image, log.keep), .min = 0, .max = 1000, .fallback = "10",
          .help = "rotated files kept" },
        { "rate", SCHEMA_COUNT, AT(struct image, log.rate), .min = 0, .max = 10000000, .fallback = "1000",
          .help = "refusals at connect logged in a second, all are counted; 0: no limit" },
        { "privacy", SCHEMA_ENUM, AT(struct image, log.privacy), .names = privacy_names, .fallback = "full",
          .help = "hashed: mail addresses only as keyed hashes, and no journal" },
};
static const struct schema schema_log = SCHEMA(log_rows);

static const struct schema_row limits_rows[] = {
        { "sessions", SCHEMA_COUNT, AT(struct image, limits.sessions_max), .min = 1, .max = 100000000,
          .fallback = "100k", .help = "clients at one time on the whole node" },
        { "connections_per_network", SCHEMA_COUNT, AT(struct image, limits.connections_per_network), .min = 0,
          .max = 100000000, .fallback = "50",
          .help = "connections at one time from one network; 0: no limit" },
        { "connection_rate", SCHEMA_COUNT, AT(struct image, limits.connection_rate), .min = 0,
          .max = 100000000, .fallback = "0",
          .help = "new connections in a minute from one network; 0: no limit" },
        { "v4_prefix", SCHEMA_INTEGER, AT(struct image, limits.v4_prefix), .min = 8, .max = 32,
          .fallback = "24", .help = "bits of an IPv4 address that name a network in the two limits above" },
        { "v6_prefix", SCHEMA_INTEGER, AT(struct image, limits.v6_prefix), .min = 16, .max = 128,
          .fallback = "64", .help = "the same for IPv6" },
        { "recipients", SCHEMA_COUNT, AT(struct image, limits.recipients_max), .min = 100, .max = 10000,
          .fallback = "100", .help = "recipients of a message (RFC 5321 4.5.3.1.8 wants 100 at least)" },
        { "message_size", SCHEMA_SIZE, AT(struct image, limits.message_bytes_max), .min = 64 << 10,
          .max = 1ll << 40, .fallback = "50MB", .help = "largest message, announced as SIZE" },
        { "errors", SCHEMA_COUNT, AT(struct image, limits.errors_max), .min = 1, .max = 255, .fallback = "10",
          .help = "commands refused in a session, then 421" },
        { "commands", SCHEMA_COUNT, AT(struct image, limits.commands_max), .min = 10, .max = 255,
          .fallback = "100", .help = "commands that move nothing, such as NOOP, in a session, then 421" },
        { "messages", SCHEMA_COUNT, AT(struct image, limits.messages_max), .min = 1, .max = 1000000,
          .fallback = "1000", .help = "messages in a session, then 421" },
        { "hops", SCHEMA_COUNT, AT(struct image, limits.hops_max), .min = 1, .max = 10000, .fallback = "100",
          .help = "Received lines in a message, then it is taken for a loop (RFC 5321 6.3)" },
        { "command_timeout", SCHEMA_TIME_MS, AT(struct image, limits.command_timeout_ms), .min = 100,
          .max = 3600000, .fallback = "5m", .help = "wait for the next command (RFC 5321 4.5.3.2.7)" },
        { "data_timeout", SCHEMA_TIME_MS, AT(struct image, limits.data_timeout_ms), .min = 100,
          .max = 3600000, .fallback = "3m", .help = "wait for the next piece of a message" },
        { "session_timeout", SCHEMA_TIME_MS, AT(struct image, limits.session_timeout_ms), .min = 1000,
          .max = 86400000, .fallback = "30m", .help = "longest session that delivers nothing" },
        { "hold_timeout", SCHEMA_TIME_MS, AT(struct image, limits.hold_timeout_ms), .min = 0, .max = 600000,
          .fallback = "30s", .help = "how long a client refused at the greeting is held until it says QUIT" },
        { "hold", SCHEMA_COUNT, AT(struct image, limits.hold_max), .min = 0, .max = 100000000,
          .fallback = "10k", .help = "such clients held at one time; beyond it the oldest is let go" },
};
static const struct schema schema_limits = SCHEMA(limits_rows);

static const char *const deny_names[] = { "ignore", "score",  "header", "subject",
                                          "defer",  "reject", "drop",   NULL };

static const struct schema_row networks_rows[] = {
        { "allow", SCHEMA_NETWORKS, .fallback = "[]",
          .help = "clients that skip the lists, points and greylist" },
        { "deny", SCHEMA_NETWORKS, .fallback = "[]", .help = "clients that are refused" },
        { "trusted", SCHEMA_NETWORKS, .fallback = "[]",
          .help = "own customers and monitors: no client checks, never more than our domains" },
        { "deny_action", SCHEMA_ENUM, AT(struct image, networks.deny_action), .names = deny_names,
          .allowed = 1u << IMAGE_ACTION_REJECT | 1u << IMAGE_ACTION_DROP, .fallback = "reject",
          .help = "reject: 554 at the greeting; drop: no answer at all, for floods" },
};
static const struct schema schema_networks = SCHEMA(networks_rows);

static const struct schema_row root_rows[] = {
        { "node", SCHEMA_MAP, .below = &schema_node, .is_required = true, .help = "this machine" },
        { "ports", SCHEMA_LIST, .below = &schema_port, .is_required = true,
          .help =
              "network ports that DPDK drives; front and back may be one; takes effect at the next start" },
        { "listeners", SCHEMA_LIST, .below = &schema_listener, .is_required = true,
          .help = "where clients are answered" },
        { "networks", SCHEMA_MAP, .below = &schema_networks,
          .help =
              "lists of client networks; the longest prefix wins, of equals trusted, then allow, then deny" },
        { "domains", SCHEMA_NAMED, .below = &schema_domain, .is_required = true,
          .help = "domains we take mail for; \"*.example.org\" is every name below example.org" },
        { "pools", SCHEMA_NAMED, .below = &schema_pool, .is_required = true,
          .help = "groups of backend mail servers" },
        { "zones", SCHEMA_LIST, .below = &schema_zone, .help = "DNS lists of client addresses, up to 32" },
        { "policies", SCHEMA_NAMED, .below = &schema_policy,
          .help = "what is decided; default is for every domain that names no other, and inherited by the "
                  "others" },
        { "limits", SCHEMA_MAP, .below = &schema_limits,
          .help = "what one client, and all of them, may cost" },
        { "dns", SCHEMA_MAP, .below = &schema_dns, .help = "how DNS is asked" },
        { "store", SCHEMA_MAP, .below = &schema_store, .help = "what is remembered, and where" },
        { "log", SCHEMA_MAP, .below = &schema_log, .help = "what is written down" },
};
const struct schema schema_root = SCHEMA(root_rows);
