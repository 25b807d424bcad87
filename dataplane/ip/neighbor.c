/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/ip/neighbor.h"

#include <errno.h>
#include <stdlib.h>

#include "dataplane/ip/private.h"

#define NEIGHBORS_MIN     64u
#define NEIGHBORS_DEFAULT 65536u
#define NEIGHBORS_MAX     (1u << 22)

int neighbors_init(struct neighbors *neighbors, unsigned entries, const struct siphash_key *key)
{
        uint32_t size = NEIGHBORS_MIN;

        if (entries == 0)
                entries = NEIGHBORS_DEFAULT;
        if (entries > NEIGHBORS_MAX)
                return -EINVAL;
        while (size < entries)
                size *= 2;
        memset(neighbors, 0, sizeof(*neighbors));
        neighbors->sets = size / NEIGHBOR_WAYS;
        neighbors->first = neighbors->last = NEIGHBOR_NONE;
        neighbors->hash_key = *key;
        neighbors->gateways_due_us = UINT64_MAX;
        neighbors->entries = calloc(size, sizeof(neighbors->entries[0]));
        neighbors->tags = calloc(size, sizeof(neighbors->tags[0]));
        if (neighbors->entries && neighbors->tags)
                return 0;
        neighbors_done(neighbors);
        return -ENOMEM;
}

static void free_waiting(struct neighbors *neighbors, struct neighbor *entry)
{
        while (entry->waiting) {
                struct packet *packet = entry->waiting;

                entry->waiting = packet_meta(packet)->next;
                packet_free(packet);
        }
        neighbors->n_waiting -= entry->n_waiting;
        entry->n_waiting = 0;
}

void neighbors_done(struct neighbors *neighbors)
{
        for (uint32_t i = 0; neighbors->entries && i < neighbors->sets * NEIGHBOR_WAYS; i++)
                free_waiting(neighbors, &neighbors->entries[i]);
        free(neighbors->entries);
        free(neighbors->tags);
        neighbors->entries = NULL;
        neighbors->tags = NULL;
}

/* The first entry of the set, and the tag (never 0) of this neighbour in it. */
static uint32_t set_of(const struct neighbors *neighbors, unsigned interface, const struct addr *addr,
                       uint16_t *ret_tag)
{
        uint8_t key[sizeof(addr->bytes) + 1];
        uint64_t hash;

        memcpy(key, addr->bytes, sizeof(addr->bytes));
        key[sizeof(addr->bytes)] = (uint8_t)interface;
        hash = siphash(&neighbors->hash_key, key, sizeof(key));
        *ret_tag = (uint16_t)(hash >> 48 | 1);
        return (uint32_t)(hash & (neighbors->sets - 1)) * NEIGHBOR_WAYS;
}

struct neighbor *neighbor_lookup(struct neighbors *neighbors, unsigned interface, const struct addr *addr)
{
        uint16_t tag;
        uint32_t set;

        /* Nearly every packet goes to a gateway: no hash for those, and one line instead of two. */
        for (unsigned i = 0; i < MIN(neighbors->n_gateways, NEIGHBOR_GATEWAYS_NEAR); i++) {
                struct neighbor *gateway = &neighbors->entries[neighbors->gateways[i]];

                if (addr_is_equal(&gateway->addr, addr) && gateway->interface == interface)
                        return gateway;
        }
        set = set_of(neighbors, interface, addr, &tag);
        for (uint32_t i = set; i < set + NEIGHBOR_WAYS; i++)
                if (neighbors->tags[i] == tag && neighbors->entries[i].interface == interface &&
                    addr_is_equal(&neighbors->entries[i].addr, addr))
                        return &neighbors->entries[i];
        return NULL;
}

/* --- the list of those that were asked --------------------------------------------------------------- */

static uint32_t index_of(const struct neighbors *neighbors, const struct neighbor *entry)
{
        return (uint32_t)(entry - neighbors->entries);
}

static bool is_asked(const struct neighbor *entry)
{
        return entry->state == NEIGHBOR_INCOMPLETE || entry->state == NEIGHBOR_PROBING;
}

static void asked_remove(struct neighbors *neighbors, struct neighbor *entry)
{
        if (entry->prev == NEIGHBOR_NONE)
                neighbors->first = entry->next;
        else
                neighbors->entries[entry->prev].next = entry->next;
        if (entry->next == NEIGHBOR_NONE)
                neighbors->last = entry->prev;
        else
                neighbors->entries[entry->next].prev = entry->prev;
}

static void asked_append(struct neighbors *neighbors, struct neighbor *entry)
{
        uint32_t index = index_of(neighbors, entry);

        entry->next = NEIGHBOR_NONE;
        entry->prev = neighbors->last;
        if (neighbors->last == NEIGHBOR_NONE)
                neighbors->first = index;
        else
                neighbors->entries[neighbors->last].next = index;
        neighbors->last = index;
}

/* The only writer of ->state: keeps the list in step with it. */
static void set_state(struct neighbors *neighbors, struct neighbor *entry, enum neighbor_state state)
{
        bool was_asked = is_asked(entry);

        entry->state = (uint8_t)state;
        if (was_asked && !is_asked(entry))
                asked_remove(neighbors, entry);
        else if (!was_asked && is_asked(entry))
                asked_append(neighbors, entry);
}

/* --- questions ----------------------------------------------------------------------------------------- */

static void ask(struct ip *ip, struct neighbor *entry, uint64_t now_us)
{
        const uint8_t *mac = entry->state == NEIGHBOR_PROBING ? entry->mac : NULL;

        entry->tries++;
        entry->due_us = now_us + NEIGHBOR_RETRY_US;
        counter_inc(ip->counters, COUNTER_neighbor_asked);
        if (addr_is_v4(&entry->addr))
                arp_ask(ip, entry->interface, &entry->addr, mac);
        else
                nd_ask(ip, entry->interface, &entry->addr, mac);
}

static void start_asking(struct ip *ip, struct neighbor *entry, enum neighbor_state state, uint64_t now_us)
{
        entry->tries = 0;
        set_state(&ip->neighbors, entry, state);
        ask(ip, entry, now_us);
}

static bool may_ask(struct ip *ip, const struct neighbor *entry, uint64_t now_us)
{
        return (entry && entry->is_gateway) ||
               rate_take(&ip->neighbors.ask_rate_us, now_us, NEIGHBOR_ASK_INTERVAL_US, NEIGHBOR_ASK_BURST);
}

static void drop_waiting(struct ip *ip, struct neighbor *entry)
{
        for (unsigned i = 0; i < entry->n_waiting; i++)
                count_drop(ip, IP_DROP_UNRESOLVED);
        free_waiting(&ip->neighbors, entry);
}

/* Nobody answered. A neighbour that was known is asked again at once, by broadcast, when it is wanted. */
static void give_up(struct ip *ip, struct neighbor *entry, uint64_t now_us)
{
        unsigned hold_sec = entry->state == NEIGHBOR_PROBING || entry->is_gateway
                                ? 0
                                : MIN(1u << MIN(entry->failures, 5), NEIGHBOR_HOLD_MAX_SEC);

        drop_waiting(ip, entry);
        if (entry->failures < UINT8_MAX)
                entry->failures++;
        set_state(&ip->neighbors, entry, NEIGHBOR_FAILED);
        entry->due_us = now_us + (uint64_t)hold_sec * IP_SECOND_US;
        counter_inc(ip->counters, COUNTER_neighbor_failed);
}

/* --- the table ----------------------------------------------------------------------------------------- */

/* Which of two entries goes first when room is needed? Failed ones, those not yet answered, then the least recently used. */
static bool goes_before(const struct neighbor *a, const struct neighbor *b)
{
        static const uint8_t worth[] = { [NEIGHBOR_FAILED] = 0,
                                         [NEIGHBOR_INCOMPLETE] = 1,
                                         [NEIGHBOR_REACHABLE] = 2,
                                         [NEIGHBOR_PROBING] = 2 };

        return worth[a->state] != worth[b->state] ? worth[a->state] < worth[b->state] : a->used_us < b->used_us;
}

/* May it make room at all? Not a gateway, and none that answered and is in use: a storm of strangers takes no place from those. */
static bool may_go(const struct neighbor *entry, uint64_t now_us)
{
        if (entry->is_gateway)
                return false;
        return (entry->state != NEIGHBOR_REACHABLE && entry->state != NEIGHBOR_PROBING) ||
               now_us - entry->used_us >= NEIGHBOR_KEEP_US;
}

/* A new entry, FAILED with no hold; NULL where a set holds nothing that may go. */
static struct neighbor *neighbor_new(struct ip *ip, unsigned interface, const struct addr *addr,
                                     uint64_t now_us)
{
        struct neighbors *neighbors = &ip->neighbors;
        struct neighbor *victim = NULL;
        uint16_t tag;
        uint32_t set = set_of(neighbors, interface, addr, &tag);

        for (uint32_t i = set; i < set + NEIGHBOR_WAYS; i++) {
                struct neighbor *entry = &neighbors->entries[i];

                if (entry->state == NEIGHBOR_FREE) {
                        victim = entry;
                        break;
                }
                if (may_go(entry, now_us) && (!victim || goes_before(entry, victim)))
                        victim = entry;
        }
        if (!victim)
                return NULL;
        if (victim->state != NEIGHBOR_FREE) {
                drop_waiting(ip, victim);
                set_state(neighbors, victim, NEIGHBOR_FREE);
                counter_inc(ip->counters, COUNTER_neighbor_evicted);
        } else {
                counter_add(ip->counters, COUNTER_neighbors_used, 1);
        }
        memset(victim, 0, sizeof(*victim));
        victim->addr = *addr;
        victim->interface = (uint8_t)interface;
        victim->used_us = now_us;
        victim->due_us = now_us;
        victim->state = NEIGHBOR_FAILED;
        neighbors->tags[index_of(neighbors, victim)] = tag;
        return victim;
}

int neighbor_add_gateway(struct ip *ip, unsigned interface, const struct addr *addr, uint64_t now_us)
{
        struct neighbors *neighbors = &ip->neighbors;
        struct neighbor *entry = neighbor_lookup(neighbors, interface, addr);

        if (entry)
                return 0;
        if (neighbors->n_gateways == NEIGHBOR_GATEWAYS_MAX)
                return -EINVAL;
        entry = neighbor_new(ip, interface, addr, now_us);
        if (!entry)
                return -ENOMEM;
        entry->is_gateway = true;
        neighbors->gateways[neighbors->n_gateways++] = index_of(neighbors, entry);
        neighbors->gateways_due_us = now_us;
        return 0;
}

/* --- sending --------------------------------------------------------------------------------------------- */

static enum ip_verdict send_now(struct ip *ip, const struct neighbor *entry, struct packet *packet)
{
        return ether_send(ip, entry->interface, packet, entry->mac,
                          addr_is_v4(&entry->addr) ? WIRE_ETHERTYPE_IPV4 : WIRE_ETHERTYPE_IPV6);
}

/* Let the packet wait, at the end; the oldest makes room. */
static enum ip_verdict wait_for_answer(struct ip *ip, struct neighbor *entry, struct packet *packet)
{
        struct packet **link = &entry->waiting;

        if (entry->n_waiting == NEIGHBOR_WAITING_MAX) {
                struct packet *oldest = entry->waiting;

                entry->waiting = packet_meta(oldest)->next;
                packet_free(oldest);
                count_drop(ip, IP_DROP_UNRESOLVED);
                entry->n_waiting--;
                ip->neighbors.n_waiting--;
        }
        if (ip->neighbors.n_waiting >= NEIGHBORS_WAITING_MAX)
                return IP_DROP_UNRESOLVED;
        while (*link)
                link = &packet_meta(*link)->next;
        packet_meta(packet)->next = NULL;
        *link = packet;
        entry->n_waiting++;
        ip->neighbors.n_waiting++;
        return IP_SENT;
}

enum ip_verdict neighbor_send(struct ip *ip, unsigned interface, const struct addr *addr,
                              struct packet *packet, uint64_t now_us)
{
        struct neighbor *entry = neighbor_lookup(&ip->neighbors, interface, addr);
        uint64_t age_us;

        if (!entry) {
                if (!may_ask(ip, NULL, now_us))
                        return IP_DROP_UNRESOLVED;
                entry = neighbor_new(ip, interface, addr, now_us);
                if (!entry)
                        return IP_DROP_UNRESOLVED;
                start_asking(ip, entry, NEIGHBOR_INCOMPLETE, now_us);
        }
        entry->used_us = now_us;
        age_us = now_us - entry->confirmed_us;
        if (entry->state == NEIGHBOR_REACHABLE && age_us > NEIGHBOR_REACHABLE_US &&
            may_ask(ip, entry, now_us)) {
                if (age_us <= NEIGHBOR_FORGET_US)
                        start_asking(ip, entry, NEIGHBOR_PROBING, now_us);
                else
                        start_asking(ip, entry, NEIGHBOR_INCOMPLETE, now_us);
        }
        if (entry->state == NEIGHBOR_FAILED) {
                if (now_us < entry->due_us || !may_ask(ip, entry, now_us))
                        return IP_DROP_UNRESOLVED;
                start_asking(ip, entry, NEIGHBOR_INCOMPLETE, now_us);
        }
        if (entry->state == NEIGHBOR_INCOMPLETE)
                return wait_for_answer(ip, entry, packet);
        return send_now(ip, entry, packet);
}

/* --- learning -------------------------------------------------------------------------------------------- */

/* What an answer confirms holds from now on; what somebody merely says is tried, and asked about at the next use. */
static uint64_t confirmed(unsigned what, uint64_t now_us)
{
        if (what & NEIGHBOR_ANSWERS)
                return now_us;
        return now_us > NEIGHBOR_REACHABLE_US ? now_us - NEIGHBOR_REACHABLE_US - 1 : 0;
}

static void flush_waiting(struct ip *ip, struct neighbor *entry)
{
        struct packet *packet = entry->waiting;

        ip->neighbors.n_waiting -= entry->n_waiting;
        entry->waiting = NULL;
        entry->n_waiting = 0;
        while (packet) {
                struct packet *next = packet_meta(packet)->next;

                finish_own(ip, packet, send_now(ip, entry, packet));
                packet = next;
        }
}

void neighbor_learn(struct ip *ip, unsigned interface, const struct addr *addr, const uint8_t mac[6],
                    unsigned what, uint64_t now_us)
{
        struct neighbor *entry = neighbor_lookup(&ip->neighbors, interface, addr);

        if (!entry)
                return;
        /* Without a question of ours it is no answer, whatever it says: anybody can send one. */
        if (entry->state != NEIGHBOR_INCOMPLETE && entry->state != NEIGHBOR_PROBING)
                what &= ~NEIGHBOR_ANSWERS;
        if (entry->state == NEIGHBOR_REACHABLE || entry->state == NEIGHBOR_PROBING) {
                if (memcmp(entry->mac, mac, sizeof(entry->mac)) == 0) {
                        if (!(what & NEIGHBOR_ANSWERS))
                                return;
                } else if (!(what & NEIGHBOR_OVERRIDES)) {
                        entry->confirmed_us =
                            confirmed(0, now_us); /* doubt: ask at the next use (RFC 4861 7.2.5) */
                        return;
                } else if (entry->changed_us != 0 && now_us - entry->changed_us < NEIGHBOR_MOVE_US) {
                        counter_inc(ip->counters, COUNTER_neighbor_change_refused);
                        return;
                } else {
                        entry->changed_us = now_us;
                        counter_inc(ip->counters, COUNTER_neighbor_changed);
                }
        } else {
                counter_inc(ip->counters, COUNTER_neighbor_learned);
        }
        memcpy(entry->mac, mac, sizeof(entry->mac));
        entry->confirmed_us = confirmed(what, now_us);
        entry->failures = 0;
        set_state(&ip->neighbors, entry, NEIGHBOR_REACHABLE);
        flush_waiting(ip, entry);
}

/* --- time ------------------------------------------------------------------------------------------------ */

/* Gateways are asked for before anybody needs them, and for ever. */
static void tick_gateways(struct ip *ip, uint64_t now_us)
{
        struct neighbors *neighbors = &ip->neighbors;

        if (now_us < neighbors->gateways_due_us)
                return;
        neighbors->gateways_due_us = now_us + NEIGHBOR_RETRY_US;
        for (unsigned i = 0; i < neighbors->n_gateways; i++) {
                struct neighbor *entry = &neighbors->entries[neighbors->gateways[i]];

                if (entry->state == NEIGHBOR_FAILED)
                        start_asking(ip, entry, NEIGHBOR_INCOMPLETE, now_us);
                else if (entry->state == NEIGHBOR_REACHABLE &&
                         now_us - entry->confirmed_us > NEIGHBOR_REACHABLE_US)
                        start_asking(ip, entry, NEIGHBOR_PROBING, now_us);
        }
}

void neighbor_tick(struct ip *ip, uint64_t now_us)
{
        struct neighbors *neighbors = &ip->neighbors;

        for (unsigned i = 0; i < NEIGHBOR_TICK_MAX && neighbors->first != NEIGHBOR_NONE; i++) {
                struct neighbor *entry = &neighbors->entries[neighbors->first];

                if (now_us < entry->due_us)
                        break;
                if (entry->tries >= NEIGHBOR_TRIES) {
                        give_up(ip, entry, now_us);
                        continue;
                }
                asked_remove(neighbors, entry);
                asked_append(neighbors, entry);
                ask(ip, entry, now_us);
        }
        tick_gateways(ip, now_us);
}

uint64_t neighbor_next_due_us(const struct neighbors *neighbors)
{
        uint64_t due_us = neighbors->gateways_due_us;

        if (neighbors->first != NEIGHBOR_NONE)
                due_us = MIN(due_us, neighbors->entries[neighbors->first].due_us);
        return due_us;
}
