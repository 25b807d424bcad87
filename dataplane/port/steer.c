/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The owner of a connection, and of a received frame. Called for every frame, so nothing here copies or allocates.
 *
 * Toeplitz over half bytes: 24 lookups for IPv4 in a table of 1.5 kB, where bits would take 96 shifts. Walking
 * a frame here checks lengths only; whether a header makes sense is ip's to judge, which drops the frame at whatever worker it is.
 */
#include "dataplane/port/steer.h"

#include "dataplane/port/wire.h"

/* The 32 bits of the key from this bit on. */
static uint32_t key_window(const uint8_t *key, unsigned bit)
{
        uint64_t five = 0;

        for (unsigned i = 0; i < 5; i++)
                five = five << 8 | (bit / 8 + i < STEER_KEY_BYTES ? key[bit / 8 + i] : 0);
        return (uint32_t)(five >> (8 - bit % 8));
}

void steer_init(struct steer *steer, unsigned workers, const uint8_t key[STEER_KEY_BYTES])
{
        steer->workers = workers;
        memcpy(steer->key, key, STEER_KEY_BYTES);
        for (unsigned i = 0; i < STEER_RETA; i++)
                steer->reta[i] = (uint8_t)(i % workers);
        for (unsigned nibble = 0; nibble < ARRAY_LEN(steer->table); nibble++) {
                for (unsigned value = 0; value < 16; value++) {
                        uint32_t hash = 0;

                        for (unsigned bit = 0; bit < 4; bit++)
                                if (value & (8u >> bit))
                                        hash ^= key_window(key, nibble * 4 + bit);
                        steer->table[nibble][value] = hash;
                }
        }
}

/* XOR in len bytes that lie at this place of the input. */
static uint32_t toeplitz(const struct steer *steer, uint32_t hash, unsigned place, const uint8_t *bytes,
                         unsigned len)
{
        const uint32_t(*table)[16] = steer->table + place * 2;

        for (unsigned i = 0; i < len; i++) {
                hash ^= table[2 * i][bytes[i] >> 4];
                hash ^= table[2 * i + 1][bytes[i] & 15];
        }
        return hash;
}

/* remote and local: addr_len bytes; ports: remote, then local, in network order. */
static uint32_t tuple_hash(const struct steer *steer, const uint8_t *remote, const uint8_t *local,
                           unsigned addr_len, const uint8_t *remote_port, const uint8_t *local_port)
{
        uint32_t hash = toeplitz(steer, 0, 0, remote, addr_len);

        hash = toeplitz(steer, hash, addr_len, local, addr_len);
        hash = toeplitz(steer, hash, 2 * addr_len, remote_port, 2);
        return toeplitz(steer, hash, 2 * addr_len + 2, local_port, 2);
}

static unsigned owner(const struct steer *steer, uint32_t hash)
{
        return steer->reta[hash % STEER_RETA];
}

uint32_t steer_hash(const struct steer *steer, const struct addr *local, uint16_t local_port,
                    const struct addr *remote, uint16_t remote_port)
{
        unsigned skip = addr_is_v4(local) ? 12 : 0;
        uint8_t ports[4];

        wire_store16(ports, remote_port);
        wire_store16(ports + 2, local_port);
        return tuple_hash(steer, remote->bytes + skip, local->bytes + skip, 16 - skip, ports, ports + 2);
}

unsigned steer_tuple_owner(const struct steer *steer, const struct addr *local, uint16_t local_port,
                           const struct addr *remote, uint16_t remote_port)
{
        return owner(steer, steer_hash(steer, local, local_port, remote, remote_port));
}

/* All pieces of one datagram have the two addresses and the id in common. */
static int fragment_owner(const struct steer *steer, const uint8_t *addrs, unsigned addr_len,
                          const uint8_t *id, unsigned id_len)
{
        uint32_t hash = toeplitz(steer, 0, 0, addrs, 2 * addr_len);

        return (int)owner(steer, toeplitz(steer, hash, 2 * addr_len, id, id_len));
}

/* The owner of the segment that an ICMP error quotes: what we sent, so its source is our end. quoted: an IPv4 header. */
static int quoted4_owner(const struct steer *steer, const uint8_t *quoted, uint32_t len)
{
        uint32_t header_len;

        if (len < WIRE_IPV4_BYTES)
                return STEER_ANY;
        header_len = (quoted[0] & 15u) * 4u;
        if (quoted[0] >> 4 != 4 || header_len < WIRE_IPV4_BYTES || len < header_len + 4 ||
            quoted[9] != WIRE_TCP || (wire_load16(quoted + 6) & WIRE_IPV4_OFFSET_MASK) != 0)
                return STEER_ANY;
        return (int)owner(steer, tuple_hash(steer, quoted + 16, quoted + 12, 4, quoted + header_len + 2,
                                            quoted + header_len));
}

static int quoted6_owner(const struct steer *steer, const uint8_t *quoted, uint32_t len)
{
        if (len < WIRE_IPV6_BYTES + 4 || quoted[0] >> 4 != 6 || quoted[6] != WIRE_TCP)
                return STEER_ANY; /* we send no extension headers */
        return (int)owner(steer, tuple_hash(steer, quoted + 24, quoted + 8, 16, quoted + WIRE_IPV6_BYTES + 2,
                                            quoted + WIRE_IPV6_BYTES));
}

static int ipv4_owner(const struct steer *steer, const uint8_t *ip, uint32_t len)
{
        uint32_t header_len;
        const uint8_t *l4;

        if (len < WIRE_IPV4_BYTES)
                return STEER_ANY;
        header_len = (ip[0] & 15u) * 4u;
        if (ip[0] >> 4 != 4 || header_len < WIRE_IPV4_BYTES || header_len > len)
                return STEER_ANY;
        if ((wire_load16(ip + 6) & (WIRE_IPV4_MF | WIRE_IPV4_OFFSET_MASK)) != 0)
                return fragment_owner(steer, ip + 12, 4, ip + 4, 2);
        l4 = ip + header_len;
        len -= header_len;
        if (ip[9] == WIRE_TCP && len >= 4)
                return (int)owner(steer, tuple_hash(steer, ip + 12, ip + 16, 4, l4, l4 + 2));
        if (ip[9] == WIRE_ICMP && len >= WIRE_ICMP_BYTES &&
            (l4[0] == WIRE_ICMP_UNREACHABLE || l4[0] == WIRE_ICMP_TIME_EXCEEDED ||
             l4[0] == WIRE_ICMP_PARAMETER))
                return quoted4_owner(steer, l4 + WIRE_ICMP_BYTES, len - WIRE_ICMP_BYTES);
        return STEER_ANY;
}

static int icmp6_owner(const struct steer *steer, const uint8_t *icmp, uint32_t len)
{
        if (len < WIRE_ICMP_BYTES)
                return STEER_ANY;
        if (icmp[0] == WIRE_ICMP6_SOLICIT || icmp[0] == WIRE_ICMP6_ADVERTISE)
                return STEER_ALL;
        if (icmp[0] >= WIRE_ICMP6_UNREACHABLE && icmp[0] <= WIRE_ICMP6_PARAMETER)
                return quoted6_owner(steer, icmp + WIRE_ICMP_BYTES, len - WIRE_ICMP_BYTES);
        return STEER_ANY;
}

static int ipv6_owner(const struct steer *steer, const uint8_t *ip, uint32_t len)
{
        uint32_t at = WIRE_IPV6_BYTES, header_len;
        uint8_t protocol;

        if (len < WIRE_IPV6_BYTES || ip[0] >> 4 != 6)
                return STEER_ANY;
        protocol = ip[6];
        for (unsigned walked = 0; walked <= WIRE_IPV6_HEADERS_MAX; walked++) {
                if (protocol == WIRE_TCP && len >= at + 4)
                        return (int)owner(steer,
                                          tuple_hash(steer, ip + 8, ip + 24, 16, ip + at, ip + at + 2));
                if (protocol == WIRE_ICMP6)
                        return icmp6_owner(steer, ip + at, len - at);
                if (len < at + 8)
                        return STEER_ANY;
                if (protocol == WIRE_FRAGMENT) {
                        if ((wire_load16(ip + at + 2) & WIRE_IPV6_OFFSET_MORE) != 0)
                                return fragment_owner(steer, ip + 8, 16, ip + at + 4, 4);
                        header_len = 8;
                } else if (protocol == WIRE_HOP_BY_HOP || protocol == WIRE_ROUTING ||
                           protocol == WIRE_DESTINATION) {
                        header_len = (ip[at + 1] + 1u) * 8u;
                } else {
                        return STEER_ANY;
                }
                protocol = ip[at];
                if (header_len > len - at)
                        return STEER_ANY;
                at += header_len;
        }
        return STEER_ANY;
}

int steer_frame(const struct steer *steer, const uint8_t *bytes, uint32_t len)
{
        uint32_t at = WIRE_ETHER_BYTES;
        uint16_t type;

        if (len < WIRE_ETHER_BYTES)
                return STEER_ANY;
        type = wire_load16(bytes + 12);
        if (type == WIRE_ETHERTYPE_VLAN) {
                at += WIRE_VLAN_BYTES;
                if (len < at)
                        return STEER_ANY;
                type = wire_load16(bytes + at - 2);
        }
        switch (type) {
        case WIRE_ETHERTYPE_ARP:
                return STEER_ALL;
        case WIRE_ETHERTYPE_IPV4:
                return ipv4_owner(steer, bytes + at, len - at);
        case WIRE_ETHERTYPE_IPV6:
                return ipv6_owner(steer, bytes + at, len - at);
        default:
                return STEER_ANY;
        }
}

uint16_t steer_local_port(const struct steer *steer, unsigned worker, const struct addr *local,
                          const struct addr *remote, uint16_t remote_port, uint16_t first, uint16_t last,
                          uint16_t start)
{
        uint32_t range, offset;

        if (first == 0 || last < first)
                return 0;
        range = last - first + 1u;
        offset = start >= first && start <= last ? (uint32_t)start - first : 0;
        for (uint32_t i = 0; i < range; i++) {
                uint16_t local_port = (uint16_t)(first + (offset + i) % range);

                if (steer_tuple_owner(steer, local, local_port, remote, remote_port) == worker)
                        return local_port;
        }
        return 0;
}
