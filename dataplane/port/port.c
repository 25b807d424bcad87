/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open, configure and start a device; pools for its packets. Called by main before the workers run.
 *
 * Offloads are taken where the device has them: IPv4 and TCP receive checksums, TCP transmit checksum, chains
 * of segments. The IPv4 header checksum is always ours: twenty bytes cost less than asking.
 */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_ethdev.h>
#include <rte_errno.h>
#include <rte_ring.h>

#include "dataplane/port/port.h"
#include "dataplane/port/pool.h"
#include "dataplane/port/private.h"
#include "dataplane/port/wire.h"

#define DESCRIPTORS        1024u
#define TX_RING_FRAMES     4096u
#define BUFFER_BYTES_MIN   2048u
#define BUFFER_BYTES_JUMBO 16384u /* net_af_packet's larger frames want it (eal.c) */
#define BUFFER_MTU_MAX     1900u  /* what a buffer of 2048 holds for every driver */

/* Receive offloads worth having, transmit offloads likewise. */
#define RX_WANTED  (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM)
#define TX_WANTED  (RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_MULTI_SEGS)
#define RSS_WANTED (RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV6_TCP)

struct rte_mempool *port_pool_new(const char *name, unsigned packets, uint16_t mtu, int node,
                                  char reterr[PORT_ERROR_MAX])
{
        unsigned buffer = mtu > BUFFER_MTU_MAX ? BUFFER_BYTES_JUMBO : BUFFER_BYTES_MIN;
        struct rte_mempool *pool;

        pool = pool_new(name, packets, (uint16_t)buffer, node);
        if (!pool)
                port_fail(reterr, -rte_errno, "packets: no memory for %u buffers of %u bytes (%u MB): %s",
                          packets, buffer, (unsigned)((uint64_t)packets * (buffer + 384) >> 20) + 1,
                          rte_strerror(rte_errno));
        return pool;
}

void port_device_argument(const char *device, const char *key, char *ret, size_t size)
{
        size_t key_len = strlen(key);

        ret[0] = 0;
        for (const char *at = strchr(device, ','); at; at = strchr(at, ',')) {
                at++;
                if (strncmp(at, key, key_len) != 0 || at[key_len] != '=')
                        continue;
                at += key_len + 1;
                snprintf(ret, size, "%.*s", (int)strcspn(at, ","), at);
                return;
        }
}

/* The EAL knows no device of that name: find out why, for people. */
static COLD int say_missing(const struct port_device *device, const char *name, char reterr[PORT_ERROR_MAX])
{
        char iface[64];

        if (port_device_is_pci(device->device))
                return port_fail(reterr, -ENODEV,
                                 "port %s: no device %.32s that DPDK can drive: bind it with "
                                 "dpdk-devbind.py --bind=vfio-pci %.32s",
                                 device->name, name, name);
        port_device_argument(device->device, "iface", iface, sizeof(iface));
        if (iface[0] && strncmp(name, "net_tap", 7) != 0 && if_nametoindex(iface) == 0)
                return port_fail(reterr, -ENODEV,
                                 "port %s: no network interface \"%s\" on this machine (ip link shows them)",
                                 device->name, iface);
        if (geteuid() != 0)
                return port_fail(reterr, -EPERM,
                                 "port %s: device %.64s did not open: no permission; start as root "
                                 "(CAP_NET_RAW, CAP_NET_ADMIN)",
                                 device->name, name);
        return port_fail(reterr, -ENODEV,
                         "port %s: device \"%.120s\" did not open: is the driver's name right, and is every "
                         "argument known to it?",
                         device->name, device->device);
}

/* Give the NIC our key and our table. A NIC that refuses still works: the workers steer by themselves. */
static void program_reta(const struct port *port, const struct rte_eth_dev_info *info,
                         const struct steer *steer)
{
        struct rte_eth_rss_reta_entry64 reta[RTE_ETH_RSS_RETA_SIZE_512 / RTE_ETH_RETA_GROUP_SIZE];

        if (info->reta_size < RTE_ETH_RETA_GROUP_SIZE || info->reta_size > RTE_ETH_RSS_RETA_SIZE_512)
                return;
        for (unsigned i = 0; i < info->reta_size; i++) {
                struct rte_eth_rss_reta_entry64 *group = &reta[i / RTE_ETH_RETA_GROUP_SIZE];

                group->mask = UINT64_MAX;
                group->reta[i % RTE_ETH_RETA_GROUP_SIZE] = steer->reta[i % STEER_RETA] % port->rx_queues;
        }
        (void)rte_eth_dev_rss_reta_update(port->dpdk_id, reta, info->reta_size);
}

static bool may_rss(const struct rte_eth_dev_info *info, const struct port *port,
                    const struct port_settings *settings)
{
        return settings->steer && port->rx_queues > 1 && info->reta_size > 0 &&
               (info->flow_type_rss_offloads & RSS_WANTED) != 0;
}

/* Configure with what the device can do. Sets the port's view of its offloads. */
static int configure(struct port *port, const struct rte_eth_dev_info *info,
                     const struct port_settings *settings)
{
        struct rte_eth_conf conf = { 0 };
        uint8_t key[64] = { 0 };
        int r;

        conf.rxmode.offloads = info->rx_offload_capa & RX_WANTED;
        conf.txmode.offloads = info->tx_offload_capa & TX_WANTED;
        conf.intr_conf.rxq = settings->rx_interrupts;
        if (may_rss(info, port, settings)) {
                memcpy(key, settings->steer->key, STEER_KEY_BYTES);
                conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
                conf.rx_adv_conf.rss_conf.rss_hf = info->flow_type_rss_offloads & RSS_WANTED;
                if (info->hash_key_size >= STEER_KEY_BYTES && info->hash_key_size <= sizeof(key)) {
                        conf.rx_adv_conf.rss_conf.rss_key = key;
                        conf.rx_adv_conf.rss_conf.rss_key_len = info->hash_key_size;
                }
        }
        r = rte_eth_dev_configure(port->dpdk_id, port->rx_queues, port->tx_queues, &conf);
        if (r < 0)
                return r;
        port->rx_l4_checksum = (conf.rxmode.offloads & RTE_ETH_RX_OFFLOAD_TCP_CKSUM) != 0;
        port->tx_l4_checksum = (conf.txmode.offloads & RTE_ETH_TX_OFFLOAD_TCP_CKSUM) != 0;
        port->tx_multi_segs = (conf.txmode.offloads & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0;
        return 0;
}

static int set_up_queues(struct port *port, const struct port_settings *settings, char reterr[PORT_ERROR_MAX])
{
        uint16_t rx = DESCRIPTORS, tx = DESCRIPTORS;
        int r = rte_eth_dev_adjust_nb_rx_tx_desc(port->dpdk_id, &rx, &tx);

        for (uint16_t queue = 0; r >= 0 && queue < port->tx_queues; queue++)
                r = rte_eth_tx_queue_setup(port->dpdk_id, queue, tx, (unsigned)port->node, NULL);
        if (r < 0)
                return port_fail(reterr, r, "port %s: transmit queues: %s", port->name, strerror(-r));
        for (uint16_t queue = 0; queue < port->rx_queues; queue++) {
                r = rte_eth_rx_queue_setup(port->dpdk_id, queue, rx, (unsigned)port->node, NULL,
                                           settings->pools[queue]);
                if (r < 0)
                        return port_fail(
                            reterr, r,
                            "port %s: receive queue %u: %s: are the packet buffers large enough for the "
                            "device's frames, and enough of them?",
                            port->name, queue, strerror(-r));
        }
        return 0;
}

/* A frame of our MTU must come through the device. */
static int set_mtu(struct port *port, const struct rte_eth_dev_info *info, char reterr[PORT_ERROR_MAX])
{
        uint16_t now = 0;
        int r;

        if (rte_eth_dev_get_mtu(port->dpdk_id, &now) == 0 && now == port->mtu)
                return 0;
        r = rte_eth_dev_set_mtu(port->dpdk_id, port->mtu);
        if (r == 0 || r == -ENOTSUP)
                return 0;
        /* Drivers on top of a kernel interface say 1500 whatever their buffers hold: it is the interface's matter. */
        if (strcmp(info->driver_name, "net_af_packet") == 0 && r == -EINVAL)
                return 0;
        return port_fail(reterr, r, "port %s: mtu %u: the device refuses it (%s); it says it can take %u",
                         port->name, port->mtu, strerror(-r), info->max_mtu);
}

static int make_tx_ring(struct port *port, char reterr[PORT_ERROR_MAX])
{
        char name[RTE_RING_NAMESIZE];

        snprintf(name, sizeof(name), "tx%u", port->index);
        /* Many workers write; relaxed tail sync, since one of them may lose its CPU in the middle. */
        port->tx_ring = rte_ring_create(name, TX_RING_FRAMES, port->node, RING_F_MP_RTS_ENQ | RING_F_SC_DEQ);
        if (!port->tx_ring)
                return port_fail(reterr, -rte_errno, "port %s: no memory for the transmit hand-over ring: %s",
                                 port->name, rte_strerror(rte_errno));
        return 0;
}

int port_open(struct port *ret, const struct port_settings *settings, char reterr[PORT_ERROR_MAX])
{
        struct port port = { .index = settings->index, .mtu = settings->device.mtu };
        struct rte_eth_dev_info info;
        struct rte_ether_addr mac;
        int r;

        for (unsigned i = 0; i < PORT_WORKERS_MAX; i++)
                port.rx_fd[i] = -1;
        snprintf(port.name, sizeof(port.name), "%s", settings->device.name);
        if (settings->index >= PORT_MAX || settings->workers < 1 || settings->workers > PORT_WORKERS_MAX ||
            port_device_name(settings->device.device, port.device) < 0)
                return port_fail(reterr, -EINVAL, "port %s: device \"%.80s\" cannot be", port.name,
                                 settings->device.device);
        if (rte_eth_dev_get_port_by_name(port.device, &port.dpdk_id) < 0)
                return say_missing(&settings->device, port.device, reterr);
        r = rte_eth_dev_info_get(port.dpdk_id, &info);
        if (r == 0)
                r = rte_eth_macaddr_get(port.dpdk_id, &mac);
        if (r < 0)
                return port_fail(reterr, r, "port %s: the device does not answer: %s", port.name,
                                 strerror(-r));
        memcpy(port.mac, mac.addr_bytes, sizeof(port.mac));
        port.node = rte_eth_dev_socket_id(port.dpdk_id);
        port.rx_queues = (uint16_t)MIN(settings->workers, MIN(info.max_rx_queues, info.max_tx_queues));
        port.tx_queues = port.rx_queues;
        if (port.rx_queues == 0)
                return port_fail(reterr, -EINVAL, "port %s: the device has no queues", port.name);
        r = configure(&port, &info, settings);
        if (r < 0)
                return port_fail(reterr, r, "port %s: the device cannot be configured: %s", port.name,
                                 strerror(-r));
        r = set_mtu(&port, &info, reterr);
        if (r == 0)
                r = set_up_queues(&port, settings, reterr);
        if (r == 0 && port.tx_queues < settings->workers)
                r = make_tx_ring(&port, reterr);
        if (r < 0)
                return r;
        if (may_rss(&info, &port, settings))
                program_reta(&port, &info, settings->steer);
        port.rx_interrupts = settings->rx_interrupts;
        port_sockets_find(&port, settings->device.device);
        *ret = port;
        return 0;
}

int port_start(struct port *port, char reterr[PORT_ERROR_MAX])
{
        int r = rte_eth_dev_start(port->dpdk_id);

        if (r == -EPERM || r == -EACCES || (r == -1 && geteuid() != 0))
                return port_fail(
                    reterr, -EPERM,
                    "port %s: no permission to start %.64s: start as root (CAP_NET_RAW, CAP_NET_ADMIN)",
                    port->name, port->device);
        if (r < 0)
                return port_fail(reterr, r, "port %s: the device does not start: %s", port->name,
                                 strerror(-r));
        /* ND arrives by multicast; ip filters what is not ours. Drivers that deliver everything anyway refuse. */
        (void)rte_eth_allmulticast_enable(port->dpdk_id);
        return 0;
}

void port_close(struct port *port)
{
        (void)rte_eth_dev_stop(port->dpdk_id);
        (void)rte_eth_dev_close(port->dpdk_id);
        rte_ring_free(port->tx_ring);
        port->tx_ring = NULL;
}
