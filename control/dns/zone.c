/* SPDX-License-Identifier: Apache-2.0 */
#include "control/dns/zone.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* When a zone drops out: this many failures in a row, or so many of the last 32 answers. */
#define FAILURES_IN_A_ROW 8u
#define FAILURES_OF_32    24u
#define LIES_IN_A_ROW     3u

/* Seconds until a zone that dropped out is probed again. */
#define REPROBE_SILENT_SEC 5u
#define REPROBE_BAD_SEC    30u
#define REPROBE_SHAKY_SEC  10u /* an up zone whose probe timed out */

/* The rate watch: windows of answers, of which the first few only make the base. */
#define WINDOW_ANSWERS   256u
#define BASE_WINDOWS_MIN 4u
#define RATE_ALARM       900u /* permille: below it, a jump is a wave of spam, not a zone that lists all */
#define UNLISTED_DROP    8u   /* the share of unlisted clients must have shrunk so many times */

static const char hex[] = "0123456789abcdef";

/* Reversed octets or nibbles, each followed by a dot. Returns the length; at most 64. */
static unsigned reversed(const struct addr *addr, char text[65])
{
        unsigned used = 0;

        if (addr_is_v4(addr)) {
                const uint8_t *v4 = addr->bytes + 12;

                return (unsigned)snprintf(text, 65, "%u.%u.%u.%u.", v4[3], v4[2], v4[1], v4[0]);
        }
        for (int i = 15; i >= 0; i--) {
                text[used++] = hex[addr->bytes[i] & 15];
                text[used++] = '.';
                text[used++] = hex[addr->bytes[i] >> 4];
                text[used++] = '.';
        }
        text[used] = '\0';
        return used;
}

/* As 32 nibbles also where it is an IPv4 address in the 128-bit form: the IPv6 test entries of RFC 5782. */
static unsigned reversed_v6(const struct addr *addr, char text[65])
{
        unsigned used = 0;

        for (int i = 15; i >= 0; i--)
                used += (unsigned)snprintf(text + used, 65 - used, "%c.%c.", hex[addr->bytes[i] & 15],
                                           hex[addr->bytes[i] >> 4]);
        return used;
}

int dns_zone_name(const char *domain, const struct addr *addr, char name[DNS_NAME_MAX])
{
        char text[65];
        unsigned used = reversed(addr, text);
        size_t len = strlen(domain);

        if (used + len > DNS_NAME_MAX - 3)
                return -ENAMETOOLONG;
        memcpy(name, text, used);
        memcpy(name + used, domain, len + 1);
        return 0;
}

int dns_zone_probe_name(const char *domain, enum dns_probe kind, const struct addr *addr,
                        char name[DNS_NAME_MAX])
{
        char text[65];
        unsigned used;
        size_t len = strlen(domain);

        if (kind != DNS_PROBE_V6_LISTED && kind != DNS_PROBE_V6_CLEAR)
                return dns_zone_name(domain, addr, name);
        used = reversed_v6(addr, text);
        if (used + len > DNS_NAME_MAX - 3)
                return -ENAMETOOLONG;
        memcpy(name, text, used);
        memcpy(name + used, domain, len + 1);
        return 0;
}

void dns_reverse_name(const struct addr *addr, char name[DNS_NAME_MAX])
{
        char text[65];

        reversed(addr, text);
        snprintf(name, DNS_NAME_MAX, "%s%s", text, addr_is_v4(addr) ? "in-addr.arpa" : "ip6.arpa");
}

static bool has_code(const struct dns_conf *conf, const struct dns_list *list, uint32_t code)
{
        for (uint32_t i = 0; i < list->codes_used; i++) {
                const struct image_codes *codes = &conf->codes[list->codes_first + i];

                if (code >= codes->from && code <= codes->to)
                        return true;
        }
        return false;
}

/* Does this address forbid to believe the answer? 127.255.255.x: "you may not ask" (RFC 5782 has no code). */
static bool is_lie(const struct addr *addr)
{
        const uint8_t *v4 = addr->bytes + 12;

        return !addr_is_v4(addr) || v4[0] != 127 || (v4[1] == 255 && v4[2] == 255);
}

static uint32_t code_of(const struct addr *addr)
{
        const uint8_t *v4 = addr->bytes + 12;

        return (uint32_t)v4[0] << 24 | (uint32_t)v4[1] << 16 | (uint32_t)v4[2] << 8 | v4[3];
}

enum dns_reading dns_zone_read(const struct dns_zone *zone, const struct dns_conf *conf,
                               const struct dns_answer *answer, uint32_t *ret_listed)
{
        uint32_t listed = 0;
        bool odd = false;

        *ret_listed = 0;
        if (answer->status == DNS_NONE)
                return DNS_READING_CLEAR;
        if (answer->status == DNS_TIMEOUT)
                return DNS_READING_TIMEOUT;
        if (answer->status != DNS_FOUND)
                return DNS_READING_FAILED;
        if (answer->addrs_used == 0 || answer->cut)
                return DNS_READING_LIE; /* no list gives dozens of codes */
        for (unsigned i = 0; i < answer->addrs_used; i++) {
                uint32_t code = code_of(&answer->addrs[i]), of_lists = 0;

                if (is_lie(&answer->addrs[i]))
                        return DNS_READING_LIE;
                for (unsigned number = 0; number < IMAGE_ZONES_MAX; number++)
                        if ((zone->numbers & 1u << number) && has_code(conf, &conf->lists[number], code))
                                of_lists |= 1u << number;
                odd = odd || of_lists == 0;
                listed |= of_lists;
        }
        if (odd)
                return DNS_READING_ODD;
        *ret_listed = listed;
        return DNS_READING_LISTED;
}

void dns_zone_init(struct dns_zone *zone, const char *domain, uint32_t now_sec)
{
        memset(zone, 0, sizeof(*zone));
        zone->used = true;
        snprintf(zone->domain, sizeof(zone->domain), "%s", domain);
        zone->state = DNS_ZONE_STARTING;
        zone->since_sec = now_sec;
        snprintf(zone->reason, sizeof(zone->reason), "not tested yet");
}

static void forget_history(struct dns_zone *zone)
{
        zone->history = 0;
        zone->lies = 0;
        zone->suspect = false;
        zone->window_answers = 0;
        zone->window_hits = 0;
}

static bool change(struct dns_zone *zone, enum dns_zone_state state, const char *reason, uint32_t now_sec)
{
        bool changed = zone->state != state;

        snprintf(zone->reason, sizeof(zone->reason), "%s", reason);
        if (changed) {
                zone->state = state;
                zone->since_sec = now_sec;
                forget_history(zone);
        }
        return changed;
}

static void count_latency(struct dns_zone *zone, uint32_t took_us)
{
        unsigned bucket = 0;

        while (bucket < ZONE_LATENCIES - 1 && took_us >= 1000u << bucket)
                bucket++;
        zone->stats.latency[bucket]++;
}

/* Keep the last clear addresses, one a /16 or /32 in a row, as witnesses against a zone that lists all. */
static void keep_control(struct dns_zone *zone, const struct addr *client)
{
        unsigned last = (zone->controls_next + ZONE_CONTROLS - 1) % ZONE_CONTROLS;
        struct addr network = addr_network(client, 16, 32), before;

        if (zone->controls_used > 0) {
                before = addr_network(&zone->controls[last], 16, 32);
                if (addr_is_equal(&network, &before))
                        return;
        }
        zone->controls[zone->controls_next] = *client;
        zone->controls_next = (zone->controls_next + 1) % ZONE_CONTROLS;
        zone->controls_used = MIN(zone->controls_used + 1, ZONE_CONTROLS);
}

static void watch_rate(struct dns_zone *zone, bool listed, uint64_t now_us)
{
        uint32_t permille;

        zone->window_answers++;
        zone->window_hits += listed;
        if (zone->window_answers < WINDOW_ANSWERS)
                return;
        permille = zone->window_hits * 1000 / zone->window_answers;
        zone->window_answers = 0;
        zone->window_hits = 0;
        if (zone->base_windows >= BASE_WINDOWS_MIN && permille >= RATE_ALARM &&
            (1000 - permille) * UNLISTED_DROP <= 1000 - zone->base_permille) {
                /* Only a suspicion: a wave of bots looks the same. The controls decide. */
                zone->suspect = true;
                zone->probe_due_us = now_us;
                return;
        }
        zone->base_permille = zone->base_windows == 0 ? permille : (zone->base_permille * 7 + permille) / 8;
        zone->base_windows = MIN(zone->base_windows + 1, 255);
}

bool dns_zone_outcome(struct dns_zone *zone, enum dns_reading reading, uint32_t took_us,
                      const struct addr *client, uint64_t now_us, uint32_t now_sec)
{
        bool answered = reading != DNS_READING_TIMEOUT && reading != DNS_READING_FAILED;
        bool timed_out = reading == DNS_READING_TIMEOUT;

        zone->stats.readings[reading]++;
        if (!timed_out)
                count_latency(zone, took_us);
        if (zone->state != DNS_ZONE_UP)
                return false;
        zone->history = zone->history << 1 | !answered;
        zone->lies = reading == DNS_READING_LIE ? zone->lies + 1 : 0;
        if (zone->lies >= LIES_IN_A_ROW) {
                zone->probe_due_us = now_us + REPROBE_BAD_SEC * 1000000ull;
                return change(zone, DNS_ZONE_LYING, "answers 127.255.255.x or outside 127.0.0.0/8", now_sec);
        }
        if (!answered &&
            ((zone->history & ((1u << FAILURES_IN_A_ROW) - 1)) == (1u << FAILURES_IN_A_ROW) - 1 ||
             (unsigned)__builtin_popcount(zone->history) >= FAILURES_OF_32)) {
                zone->probe_due_us = now_us + REPROBE_SILENT_SEC * 1000000ull;
                return change(zone, timed_out ? DNS_ZONE_SILENT : DNS_ZONE_FAILING,
                              timed_out ? "does not answer in time"
                                        : "cannot be asked or answers with errors",
                              now_sec);
        }
        if (reading == DNS_READING_CLEAR)
                keep_control(zone, client);
        if (reading == DNS_READING_CLEAR || reading == DNS_READING_LISTED)
                watch_rate(zone, reading == DNS_READING_LISTED, now_us);
        return false;
}

bool dns_zone_probe_due(const struct dns_zone *zone, uint64_t now_us)
{
        return zone->used && zone->probes_open == 0 && now_us >= zone->probe_due_us;
}

unsigned dns_zone_probe_begin(struct dns_zone *zone, struct addr *addrs, enum dns_probe *kinds)
{
        struct addr must = addr_from_v4_be(htonl(127u << 24 | 2));
        struct addr must_not = addr_from_v4_be(htonl(127u << 24 | 1));
        unsigned used = 0;

        if (zone->ipv4 || !zone->ipv6) {
                kinds[used] = DNS_PROBE_LISTED;
                addrs[used++] = must;
                kinds[used] = DNS_PROBE_CLEAR;
                addrs[used++] = must_not;
        } else {
                kinds[used] = DNS_PROBE_V6_LISTED;
                addrs[used++] = must;
        }
        if (zone->ipv6) {
                kinds[used] = DNS_PROBE_V6_CLEAR;
                addrs[used++] = must_not;
        }
        for (unsigned i = 0; (zone->suspect || zone->lists_world) && i < zone->controls_used; i++) {
                kinds[used] = DNS_PROBE_CONTROL;
                addrs[used++] = zone->controls[i];
        }
        zone->probes_open = used;
        zone->probe_listed = false;
        zone->probe_wrong = false;
        zone->probe_refused = false;
        zone->probe_timeout = false;
        zone->probe_failed = false;
        zone->controls_asked = 0;
        zone->controls_listed = 0;
        zone->stats.probes++;
        return used;
}

static bool conclude(struct dns_zone *zone, uint32_t interval_sec, uint64_t now_us, uint32_t now_sec)
{
        bool shaky = zone->probe_timeout || zone->probe_failed;
        uint32_t again_sec = REPROBE_BAD_SEC;
        bool changed;

        zone->lists_world =
            zone->controls_asked >= ZONE_CONTROLS_MIN && zone->controls_listed * 2 >= zone->controls_asked;
        zone->suspect = false;
        if (zone->probe_refused)
                changed =
                    change(zone, DNS_ZONE_LYING, "answers 127.255.255.x or outside 127.0.0.0/8", now_sec);
        else if (zone->probe_wrong)
                changed = change(zone, DNS_ZONE_LYING, "lists 127.0.0.1", now_sec);
        else if (zone->lists_world)
                changed = change(zone, DNS_ZONE_LYING, "lists the world: addresses that were clear before",
                                 now_sec);
        else if (shaky && zone->state == DNS_ZONE_UP) {
                again_sec =
                    REPROBE_SHAKY_SEC; /* one lost probe takes no zone out: its own answers will tell */
                changed = false;
        } else if (shaky) {
                again_sec = REPROBE_SILENT_SEC;
                changed = change(zone, zone->probe_timeout ? DNS_ZONE_SILENT : DNS_ZONE_FAILING,
                                 zone->probe_timeout ? "does not answer in time"
                                                     : "cannot be asked or answers with errors",
                                 now_sec);
        } else if (!zone->probe_listed)
                changed =
                    change(zone, DNS_ZONE_UNTESTED, "does not list 127.0.0.2, as RFC 5782 demands", now_sec);
        else {
                again_sec = interval_sec;
                changed = change(zone, DNS_ZONE_UP, "answers as it should", now_sec);
        }
        if (zone->state != DNS_ZONE_UP || shaky)
                zone->stats.probes_failed++;
        zone->probe_due_us = now_us + again_sec * 1000000ull;
        return changed;
}

bool dns_zone_probe_result(struct dns_zone *zone, enum dns_probe kind, const struct dns_answer *answer,
                           uint32_t interval_sec, uint64_t now_us, uint32_t now_sec)
{
        bool found = answer->status == DNS_FOUND;

        if (zone->probes_open == 0)
                return false;
        zone->probes_open--;
        for (unsigned i = 0; found && i < answer->addrs_used; i++)
                if (is_lie(&answer->addrs[i]))
                        zone->probe_refused = true;
        if (answer->status == DNS_TIMEOUT)
                zone->probe_timeout = true;
        else if (!found && answer->status != DNS_NONE)
                zone->probe_failed = true;
        else if (kind == DNS_PROBE_CONTROL) {
                zone->controls_asked++;
                zone->controls_listed += found;
        } else if (kind == DNS_PROBE_LISTED || kind == DNS_PROBE_V6_LISTED)
                zone->probe_listed = found;
        else if (found)
                zone->probe_wrong = true;
        return zone->probes_open == 0 && conclude(zone, interval_sec, now_us, now_sec);
}

const char *dns_zone_state_text(enum dns_zone_state state)
{
        static const char *const texts[] = {
                [DNS_ZONE_STARTING] = "starting", [DNS_ZONE_UP] = "up",
                [DNS_ZONE_SILENT] = "silent",     [DNS_ZONE_FAILING] = "failing",
                [DNS_ZONE_UNTESTED] = "untested", [DNS_ZONE_LYING] = "lying",
        };

        return texts[state];
}
