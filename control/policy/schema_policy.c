/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of schema.h: domains, zones and what is decided. */
#include "control/policy/schema.h"

#define AT(type, field) .offset = offsetof(type, field), .width = sizeof(((type *)0)->field)
#define SCHEMA(table)                                                                                        \
        {                                                                                                    \
                .rows = table, .count = ARRAY_LEN(table)                                                     \
        }

static const char *const action_names[] = { "ignore", "score",  "header", "subject",
                                            "defer",  "reject", "drop",   NULL };
static const char *const kind_names[] = { "block", "allow", NULL };
static const char *const dns_failure_names[] = { "greylist", "defer", "pass", NULL };
static const char *const reject_at_names[] = { "rcpt", "banner", NULL };
static const char *const bare_newline_names[] = { "reject", "normalize", NULL };
static const char *const long_lines_names[] = { "pass", "reject", NULL };

#define RULE_ACTIONS                                                                                         \
        (1u << IMAGE_ACTION_IGNORE | 1u << IMAGE_ACTION_SCORE | 1u << IMAGE_ACTION_DEFER |                   \
         1u << IMAGE_ACTION_REJECT)
#define LEVEL_ACTIONS                                                                                        \
        (1u << IMAGE_ACTION_IGNORE | 1u << IMAGE_ACTION_HEADER | 1u << IMAGE_ACTION_DEFER |                  \
         1u << IMAGE_ACTION_REJECT)

/* A check is two keys: what is done, and the points where that is score. */
#define CHECK(name, field, usual, usual_score, text)                                                         \
        { name,                                                                                              \
          SCHEMA_ENUM,                                                                                       \
          AT(struct image_policy, field.action),                                                             \
          .names = action_names,                                                                             \
          .allowed = RULE_ACTIONS,                                                                           \
          .fallback = usual,                                                                                 \
          .help = text },                                                                                    \
        {                                                                                                    \
                name "_score", SCHEMA_INTEGER, AT(struct image_policy, field.points),                        \
                    .min = 0, .max = 1000, .fallback = usual_score, .help = "points where " name " is score" \
        }

#define LEVEL(name, level, usual, usual_action)                                                              \
        { name,         SCHEMA_INTEGER,    AT(struct image_policy, score[level].threshold),   .min = -30000, \
          .max = 30000, .fallback = usual, .help = name " probability begins at these points" },             \
        {                                                                                                    \
                name "_action", SCHEMA_ENUM, AT(struct image_policy, score[level].action),                   \
                    .names = action_names, .allowed = LEVEL_ACTIONS, .fallback = usual_action,               \
                    .help = "what is done from there on; header adds header_name with the points"            \
        }

static const struct schema_row domain_rows[] = {
        { "pool", SCHEMA_POOL, AT(struct image_domain, pool), .says = "the only pool, when there is one",
          .example = "main", .help = "where the mail goes" },
        { "policy", SCHEMA_POLICY, AT(struct image_domain, policy), .fallback = "default",
          .help = "what is decided about its mail" },
};
const struct schema schema_domain = SCHEMA(domain_rows);

static const struct schema_row zone_rows[] = {
        { "zone", SCHEMA_HOSTNAME, AT(struct image_zone, domain), .is_required = true,
          .example = "bl.example.com", .help = "DNS zone that is asked about every client" },
        { "name", SCHEMA_NAME, AT(struct image_zone, name), .says = "the zone", .example = "bl",
          .help = "what logs and policies call it; needed where a zone is there twice" },
        { "kind", SCHEMA_ENUM, AT(struct image_zone, kind), .names = kind_names, .fallback = "block",
          .help = "block: a listing speaks against the client; allow: for it" },
        { "listed", SCHEMA_CODES, .fallback = "[127.0.0.2-11]",
          .help = "answers that mean a listing; any other is an error of the zone" },
        { "score", SCHEMA_INTEGER, AT(struct image_zone, points), .min = -1000, .max = 1000, .fallback = "0",
          .help = "points of a listing: above 0 for block, below for allow" },
        { "smtp_blocking", SCHEMA_BOOL, AT(struct image_zone, smtp_blocking), .fallback = "false",
          .help = "a listing alone refuses the client" },
        { "ipv4", SCHEMA_BOOL, AT(struct image_zone, ipv4), .fallback = "true",
          .help = "ask about IPv4 clients" },
        { "ipv6", SCHEMA_BOOL, AT(struct image_zone, ipv6), .fallback = "true",
          .help = "ask about IPv6 clients" },
        { "ttl_min", SCHEMA_TIME_SEC, AT(struct image_zone, ttl_min_sec), .min = 1, .max = 604800,
          .fallback = "1m", .help = "an answer is kept at least so long" },
        { "ttl_max", SCHEMA_TIME_SEC, AT(struct image_zone, ttl_max_sec), .min = 1, .max = 604800,
          .fallback = "6h", .help = "an answer is kept at most so long" },
};
const struct schema schema_zone = SCHEMA(zone_rows);

static const struct schema_row policy_zone_rows[] = {
        { "enabled", SCHEMA_BOOL, AT(struct schema_zone_override, enabled), .says = "as inherited",
          .example = "true", .help = "false: the zone counts for nothing in this policy" },
        { "score", SCHEMA_INTEGER, AT(struct schema_zone_override, points), .min = -1000, .max = 1000,
          .says = "as inherited, at first zones[].score", .example = "10", .help = "points of a listing" },
        { "smtp_blocking", SCHEMA_BOOL, AT(struct schema_zone_override, smtp_blocking),
          .says = "as inherited, at first zones[].smtp_blocking", .example = "true",
          .help = "a listing alone refuses the client" },
};
const struct schema schema_policy_zone = SCHEMA(policy_zone_rows);

static const struct schema_row greylist_rows[] = {
        { "enabled", SCHEMA_BOOL, AT(struct image_policy, greylist.enabled), .fallback = "true",
          .help = "defer the first try of every (client network, sender, recipient)" },
        { "block", SCHEMA_TIME_SEC, AT(struct image_policy, greylist.block_sec), .min = 0, .max = 86400,
          .fallback = "4m", .help = "a retry before this is deferred again" },
        { "window", SCHEMA_TIME_SEC, AT(struct image_policy, greylist.window_sec), .min = 1, .max = 604800,
          .fallback = "360m", .help = "a retry later than this after the first try starts again" },
        { "life", SCHEMA_TIME_SEC, AT(struct image_policy, greylist.life_sec), .min = 1, .max = 34560000,
          .fallback = "36d", .help = "a passed triplet is remembered so long after its last delivery" },
        { "exempt_after", SCHEMA_INTEGER, AT(struct image_policy, greylist.exempt_after), .min = 0, .max = 15,
          .fallback = "5",
          .help = "passed deliveries, one an hour counted, until a network is exempt; 0: never" },
        { "v4_prefix", SCHEMA_INTEGER, AT(struct image_policy, greylist.v4_prefix), .min = 8, .max = 32,
          .fallback = "24", .help = "bits of an IPv4 address that name a client network" },
        { "v6_prefix", SCHEMA_INTEGER, AT(struct image_policy, greylist.v6_prefix), .min = 16, .max = 128,
          .fallback = "64", .help = "the same for IPv6" },
        { "code", SCHEMA_INTEGER, AT(struct image_policy, greylist.reply.code), .min = 421, .max = 451,
          .fallback = "451", .help = "reply code: 421, 450 or 451" },
        { "enhanced", SCHEMA_ENHANCED, AT(struct image_policy, greylist.reply.enhanced), .min = 4, .max = 4,
          .fallback = "4.7.1", .help = "enhanced status code, of class 4" },
        { "text", SCHEMA_ASCII, AT(struct image_policy, greylist.reply.text), .min = 1,
          .max = IMAGE_REPLY_TEXT_MAX, .fallback = "Greylisted, please try again in {seconds} seconds",
          .help = "reply text; {seconds}: until a retry passes, {client}, {host}" },
};
static const struct schema schema_greylist = SCHEMA(greylist_rows);

static const struct schema_row reverse_dns_rows[] = {
        CHECK("missing", ptr_missing, "reject", "10", "the client address has no reverse DNS name"),
        CHECK("unconfirmed", ptr_unconfirmed, "score", "5",
              "the reverse DNS name does not lead back to the address"),
};
static const struct schema schema_reverse_dns = SCHEMA(reverse_dns_rows);

static const struct schema_row pregreet_rows[] = {
        { "action", SCHEMA_ENUM, AT(struct image_policy, pregreet.action), .names = action_names,
          .allowed = RULE_ACTIONS, .fallback = "reject", .help = "the client talks before the greeting" },
        { "score", SCHEMA_INTEGER, AT(struct image_policy, pregreet.points), .min = 0, .max = 1000,
          .fallback = "10", .help = "points where action is score" },
};
static const struct schema schema_pregreet = SCHEMA(pregreet_rows);

static const struct schema_row helo_rows[] = {
        CHECK("syntax", helo_syntax, "score", "5",
              "the name is neither a host name nor an address in brackets"),
        CHECK("ours", helo_ours, "reject", "20", "the client claims our own name, or the address it talks to"),
        CHECK("bare_ip", helo_bare_ip, "score", "5", "the name is an address without brackets"),
};
static const struct schema schema_helo = SCHEMA(helo_rows);

static const struct schema_row protocol_rows[] = {
        CHECK("non_smtp", non_smtp, "reject", "20", "a command of another protocol, such as GET"),
        CHECK("pipelining", pipelining, "score", "10", "commands sent on before EHLO allowed it"),
};
static const struct schema schema_protocol = SCHEMA(protocol_rows);

static const struct schema_row scores_rows[] = {
        LEVEL("low", IMAGE_LEVEL_LOW, "10", "header"),
        LEVEL("medium", IMAGE_LEVEL_MEDIUM, "20", "header"),
        LEVEL("high", IMAGE_LEVEL_HIGH, "30", "reject"),
};
static const struct schema schema_scores = SCHEMA(scores_rows);

static const struct schema_row reject_rows[] = {
        { "code", SCHEMA_INTEGER, AT(struct image_policy, reject.code), .min = 421, .max = 554,
          .fallback = "554", .help = "reply code: 421, 450, 451, 550 or 554" },
        { "enhanced", SCHEMA_ENHANCED, AT(struct image_policy, reject.enhanced), .min = 4, .max = 5,
          .fallback = "5.7.1", .help = "enhanced status code, of the class of code" },
        { "text", SCHEMA_ASCII, AT(struct image_policy, reject.text), .min = 1, .max = IMAGE_REPLY_TEXT_MAX,
          .fallback = "Sending address not accepted due to spam filter",
          .help = "reply text; {zone}: the blocklist, {client}: the address, {host}: our name" },
};
static const struct schema schema_reject = SCHEMA(reject_rows);

static const struct schema_row policy_rows[] = {
        { "inherit", SCHEMA_POLICY, .says = "default, except in default itself",
          .help = "policy whose values stand where this one gives none" },
        { "greylist", SCHEMA_MAP, .below = &schema_greylist, .help = "greylisting (RFC 6647)" },
        { "reverse_dns", SCHEMA_MAP, .below = &schema_reverse_dns, .help = "reverse DNS of the client" },
        { "pregreet", SCHEMA_MAP, .below = &schema_pregreet, .help = "early talkers" },
        { "helo", SCHEMA_MAP, .below = &schema_helo, .help = "the name in HELO or EHLO" },
        { "protocol", SCHEMA_MAP, .below = &schema_protocol, .help = "behaviour that no mail server shows" },
        { "scores", SCHEMA_MAP, .below = &schema_scores,
          .help = "points of all checks added up: thresholds, and what is done at each" },
        { "zones", SCHEMA_NAMED, .below = &schema_policy_zone,
          .help = "other weights for zones, by their names" },
        { "on_dns_failure", SCHEMA_ENUM, AT(struct image_policy, on_dns_failure), .names = dns_failure_names,
          .fallback = "greylist", .help = "when answers about the client did not come in time" },
        { "reject_at", SCHEMA_ENUM, AT(struct image_policy, reject_at), .names = reject_at_names,
          .fallback = "rcpt",
          .help = "where a listed client is refused: at RCPT the log has sender and recipient" },
        { "reject", SCHEMA_MAP, .below = &schema_reject,
          .help = "reply to a client refused by zone, PTR or points" },
        { "bare_newline", SCHEMA_ENUM, AT(struct image_policy, bare_newline), .names = bare_newline_names,
          .fallback = "reject", .help = "bare CR, LF or NUL in a message: refuse it, or make it canonical" },
        { "long_lines", SCHEMA_ENUM, AT(struct image_policy, long_lines), .names = long_lines_names,
          .fallback = "pass", .help = "lines of a message beyond 998 characters (RFC 5321 4.5.3.1.6)" },
        { "postmaster_open", SCHEMA_BOOL, AT(struct image_policy, postmaster_open), .fallback = "true",
          .help = "postmaster and abuse can be reached past client checks and greylist" },
        { "header_name", SCHEMA_NAME, AT(struct image_policy, header_name), .fallback = "X-Greyline",
          .help = "header that action header adds" },
        { "locked", SCHEMA_KEYS, .fallback = "[]", .example = "[greylist.enabled, bare_newline]",
          .help = "keys that no other policy may set; only in default" },
};
const struct schema schema_policy = SCHEMA(policy_rows);
