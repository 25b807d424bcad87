/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One DNS list of client addresses: how it is asked, what its answers mean, and whether it can be believed.
 *
 * A zone is a domain; several lists of the policy may take their codes from the answers of one zone, which is
 * then asked once. A zone whose answers stop, fail or lie drops out, is announced, probed (RFC 5782, 5) and
 * comes back by itself. Pure: no clock, no socket; dns.c asks and reports.
 */
#ifndef GREYLINE_DNS_ZONE_H
#define GREYLINE_DNS_ZONE_H

#include <stdbool.h>
#include <stdint.h>

#include "control/dns/answer.h"
#include "control/dns/conf.h"

#define ZONE_LATENCIES    12u /* buckets: below 1, 2, 4 ... 1024 ms, and above */
#define ZONE_CONTROLS     16u /* addresses lately seen clear, for the "lists the world" test */
#define ZONE_CONTROLS_MIN 4u

enum dns_zone_state {
        DNS_ZONE_STARTING, /* not probed yet: nobody is asked */
        DNS_ZONE_UP,
        DNS_ZONE_SILENT,   /* does not answer */
        DNS_ZONE_FAILING,  /* answers with errors */
        DNS_ZONE_UNTESTED, /* does not list 127.0.0.2, as RFC 5782 demands: empty, dead or closed to us */
        DNS_ZONE_LYING,    /* lists what it must not, or says that we may not ask */
};

/* What an answer about one client says. */
enum dns_reading {
        DNS_READING_CLEAR,
        DNS_READING_LISTED,
        DNS_READING_ODD, /* a code in 127/8 that no list of the policy knows */
        DNS_READING_LIE, /* 127.255.255.x (we may not ask), or outside 127/8 */
        DNS_READING_TIMEOUT,
        DNS_READING_FAILED,
        DNS_READING_USED,
};

struct dns_list_stats {
        uint64_t hits;
        uint64_t unique_hits; /* no other list of its kind had the client */
};

/* Writer: dns. Reader: metrics and greylinectl, same thread. */
struct dns_zone_stats {
        uint64_t queries;
        uint64_t readings[DNS_READING_USED];
        uint64_t skipped; /* clients not asked because the zone was down or held its share of the window */
        uint64_t latency[ZONE_LATENCIES];
        uint64_t probes, probes_failed;
};

struct dns_zone {
        bool used;
        bool ipv4, ipv6;
        char domain[DNS_NAME_MAX];
        uint32_t numbers;    /* bit per list that reads this zone's answers */
        uint32_t generation; /* new whenever the place is given to another domain */
        unsigned in_flight;

        enum dns_zone_state state;
        char reason[96];    /* why the state is what it is, for people */
        uint32_t since_sec; /* wall clock of the last change */
        uint32_t history;   /* one bit an answer, newest lowest: 1 is a failure */
        uint32_t lies;      /* in a row */

        /* Listing rate against its own history. */
        uint32_t window_answers, window_hits;
        uint32_t base_windows;  /* windows seen, up to 255 */
        uint32_t base_permille; /* moving average of the hit rate */
        bool suspect;           /* the rate jumped: ask the controls */
        bool lists_world;       /* the controls were listed: ask them again at each probe */
        struct addr controls[ZONE_CONTROLS];
        unsigned controls_used, controls_next;

        /* The probe that runs. */
        uint64_t probe_due_us;
        unsigned probes_open;
        bool probe_listed;  /* the address that must be listed is */
        bool probe_wrong;   /* an address that must not be listed is */
        bool probe_refused; /* 127.255.255.x or an address outside 127/8 */
        bool probe_timeout, probe_failed;
        unsigned controls_asked, controls_listed;

        struct dns_zone_stats stats;
};

/* What dns.c asks to learn whether a zone can be believed. */
enum dns_probe {
        DNS_PROBE_LISTED,    /* 127.0.0.2: must be listed */
        DNS_PROBE_CLEAR,     /* 127.0.0.1: must not be */
        DNS_PROBE_V6_LISTED, /* ::ffff:7f00:2, for zones of IPv6 addresses alone */
        DNS_PROBE_V6_CLEAR,  /* ::ffff:7f00:1 */
        DNS_PROBE_CONTROL,   /* an address that was clear when the zone could be believed */
};

/*
 * Write the name to ask about addr: reversed octets or nibbles, then the domain.
 * Returns 0, or -ENAMETOOLONG.
 */
int dns_zone_name(const char *domain, const struct addr *addr, char name[DNS_NAME_MAX]) MUST_CHECK;

/* The name of one probe: as above, but the IPv6 forms of the test entries as nibbles. */
int dns_zone_probe_name(const char *domain, enum dns_probe kind, const struct addr *addr,
                        char name[DNS_NAME_MAX]) MUST_CHECK;

/* The same for the reverse tree: in-addr.arpa or ip6.arpa. Always fits. */
void dns_reverse_name(const struct addr *addr, char name[DNS_NAME_MAX]);

/*
 * Read an answer by the code sets of all lists of this zone. ret_listed: bit per list number; 0 unless the
 * return is DNS_READING_LISTED. One bad address makes the whole answer bad, for block and allow lists alike.
 */
enum dns_reading dns_zone_read(const struct dns_zone *zone, const struct dns_conf *conf,
                               const struct dns_answer *answer, uint32_t *ret_listed);

/* Start with a domain: everything zero, to be probed at once. */
void dns_zone_init(struct dns_zone *zone, const char *domain, uint32_t now_sec);

/*
 * Take what one answer about a client said. Keeps statistics, health and listing rate.
 * Returns true when the state changed.
 */
bool dns_zone_outcome(struct dns_zone *zone, enum dns_reading reading, uint32_t took_us,
                      const struct addr *client, uint64_t now_us, uint32_t now_sec);

/* Is a probe due? Never while one runs. */
bool dns_zone_probe_due(const struct dns_zone *zone, uint64_t now_us);

/*
 * Begin a probe. Fills addrs (room for ZONE_CONTROLS + 4) and kinds; returns how many are to be asked. Each
 * ends in one dns_zone_probe_result(), also when it could not be sent (then as DNS_TIMEOUT).
 */
unsigned dns_zone_probe_begin(struct dns_zone *zone, struct addr *addrs, enum dns_probe *kinds);

/* Returns true when the probe is over and the state changed. */
bool dns_zone_probe_result(struct dns_zone *zone, enum dns_probe kind, const struct dns_answer *answer,
                           uint32_t interval_sec, uint64_t now_us, uint32_t now_sec);

/* May clients be asked about, and may its answers be believed? */
static inline bool dns_zone_is_up(const struct dns_zone *zone)
{
        return zone->state == DNS_ZONE_UP;
}

const char *dns_zone_state_text(enum dns_zone_state state);

#endif
