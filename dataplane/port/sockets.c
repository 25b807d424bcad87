/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Find the kernel sockets below a driver, so that an idle worker can sleep on its own queue's.
 *
 * net_af_packet and net_af_xdp offer no receive interrupt and no way to ask for their sockets, but a socket says
 * its own family. net_af_packet binds one socket to the interface for each queue, made one after the other and
 * none closed in between, so ascending descriptors are ascending queues. A port with another number of sockets
 * than queues gets none: a worker that slept on the wrong socket would not wake.
 */
#include <dirent.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "dataplane/port/port.h"
#include "dataplane/port/private.h"

#define SOCKETS_MAX (PORT_WORKERS_MAX * 2)

#ifndef AF_XDP
#define AF_XDP 44
#endif

/* Is this descriptor a packet socket that receives from the interface? */
static bool is_packet_socket(int fd, unsigned ifindex)
{
        struct sockaddr_ll address = { 0 };
        socklen_t len = sizeof(address);

        return getsockname(fd, (struct sockaddr *)&address, &len) == 0 && address.sll_family == AF_PACKET &&
               (unsigned)address.sll_ifindex == ifindex && address.sll_protocol != 0;
}

static bool is_family(int fd, int family)
{
        int domain = 0;
        socklen_t len = sizeof(domain);

        return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == family;
}

static int compare_ints(const void *a, const void *b)
{
        return *(const int *)a - *(const int *)b;
}

/* All sockets of that family (for AF_PACKET: bound to ifindex), ascending. Returns how many there are, at most SOCKETS_MAX. */
static unsigned list_sockets(int family, unsigned ifindex, int ret[SOCKETS_MAX])
{
        DIR *dir = opendir("/proc/self/fd");
        struct dirent *entry;
        unsigned n = 0;

        if (!dir)
                return 0;
        while (n < SOCKETS_MAX && (entry = readdir(dir)) != NULL) {
                int fd = atoi(entry->d_name);

                if (entry->d_name[0] == '.' || !is_family(fd, family))
                        continue;
                if (family == AF_PACKET && !is_packet_socket(fd, ifindex))
                        continue;
                ret[n++] = fd;
        }
        closedir(dir);
        qsort(ret, n, sizeof(ret[0]), compare_ints);
        return n;
}

void port_sockets_find(struct port *port, const char *device)
{
        bool is_packet = strncmp(device, "net_af_packet", 13) == 0,
             is_xdp = strncmp(device, "net_af_xdp", 10) == 0;
        int sockets[SOCKETS_MAX];
        char iface[IF_NAMESIZE];
        unsigned n;

        if (!is_packet && !is_xdp)
                return;
        port->rx_interrupts = false;
        port_device_argument(device, "iface", iface, sizeof(iface));
        n = list_sockets(is_packet ? AF_PACKET : AF_XDP, if_nametoindex(iface), sockets);
        /* An XDP socket does not say its interface; it is made when the queues are set up, so the last ones are this port's. */
        if (is_xdp && n > port->rx_queues) {
                memmove(sockets, sockets + n - port->rx_queues, port->rx_queues * sizeof(sockets[0]));
                n = port->rx_queues;
        }
        if (n != port->rx_queues)
                return;
        for (unsigned queue = 0; queue < port->rx_queues; queue++)
                port->rx_fd[queue] = sockets[queue];
}
