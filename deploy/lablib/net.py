# SPDX-License-Identifier: Apache-2.0
"""The lab's network: two namespaces, and for each node a veth pair into each of them.

The appliance's ends stay in the root namespace, without an address and deaf: the kernel must neither answer
nor forward what arrives there, since a DPDK program reads it. On the other ends checksums are made by the
kernel before it sends (tx off), or DPDK would see half-made ones and frames larger than the MTU.
"""

import subprocess

from . import names as n
from . import netns


class NetError(Exception):
    pass


def _run(*argv):
    answer = subprocess.run(argv, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        why = (answer.stderr or answer.stdout).strip().splitlines()
        raise NetError(f"{' '.join(argv)}: {why[-1] if why else 'failed'}")


def _quiet(*argv):
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def _sysctl(key, value, ns=None):
    """key with / between its parts, since a device's name may hold anything else."""
    path = "/proc/sys/" + key
    if ns is None:
        with open(path, "w", encoding="ascii") as file:
            file.write(str(value))
    else:
        with netns.inside(ns):
            with open(path, "w", encoding="ascii") as file:
                file.write(str(value))


def _take_as_own(ns, network, on_link, source):
    """Let every address of `network` be an own one of the namespace, but those of `on_link`.

    The metric leaves room for the same routes, made by whoever uses the lab.
    """
    _run("ip", "-n", ns, "route", "add", "local", network, "dev", "lo", "metric", "4096")
    _run("ip", "-n", ns, "route", "add", on_link, "dev", "front", "table", "local", "src", source)


def _make_namespace(ns):
    _run("ip", "netns", "add", ns)
    for key in ("all", "default"):
        _sysctl(f"net/ipv4/conf/{key}/rp_filter", 0, ns)
        _sysctl(f"net/ipv6/conf/{key}/accept_ra", 0, ns)
        _sysctl(f"net/ipv6/conf/{key}/accept_dad", 0, ns)
    # A load client opens a connection for every few packets, from few addresses or from many.
    # IPv6 lets no one bind an address that is own by a local route only, but for this.
    _sysctl("net/ipv6/ip_nonlocal_bind", 1, ns)
    _sysctl("net/ipv4/ip_local_port_range", "1024 65535", ns)
    _sysctl("net/ipv4/tcp_max_syn_backlog", 4096, ns)
    _sysctl("net/core/somaxconn", 4096, ns)
    _run("ip", "-n", ns, "link", "set", "lo", "up")


def _make_veth(device, ns, inner, bridge):
    _run("ip", "link", "add", device, "type", "veth", "peer", "name", inner, "netns", ns)
    _sysctl(f"net/ipv6/conf/{device}/disable_ipv6", 1)
    _sysctl(f"net/ipv4/conf/{device}/forwarding", 0)
    _sysctl(f"net/ipv4/conf/{device}/arp_ignore", 8)
    _run("ip", "netns", "exec", ns, "ethtool", "-K", inner, "tx", "off", "gro", "off")
    if bridge:
        _sysctl(f"net/ipv6/conf/{inner}/disable_ipv6", 1, ns)
        _run("ip", "-n", ns, "link", "set", inner, "master", bridge)
    _run("ip", "-n", ns, "link", "set", inner, "up")
    _run("ip", "link", "set", device, "up")


def _make_side(ns, inner, devices, addresses):
    """One namespace: a veth to each node, under a bridge when there are several; its own addresses."""
    _make_namespace(ns)
    bridge = None
    if len(devices) > 1:
        bridge = inner
        _run("ip", "-n", ns, "link", "add", bridge, "type", "bridge", "forward_delay", "0")
    for number, device in enumerate(devices, 1):
        _make_veth(device, ns, f"{inner}-{number}" if bridge else inner, bridge)
    for address in addresses:
        _run("ip", "-n", ns, "addr", "add", address, "dev", inner, *(["nodad"] if ":" in address else []))
    _run("ip", "-n", ns, "link", "set", inner, "up")


def up(names, nodes):
    for ns in (names.client_ns, names.backend_ns):
        if netns.exists(ns):
            raise NetError(f"the namespace {ns} is there already and not of this lab; "
                           f"remove it (ip netns del {ns}) or give this lab a --name")
    _make_side(names.client_ns, "front", [names.front(node) for node in nodes],
               [f"{n.CLIENT4}/16", f"{n.CLIENT6}/64"])
    _make_side(names.backend_ns, "back", [names.back(node) for node in nodes],
               [f"{n.BACKEND4}/{n.BACK4_PREFIX}", f"{n.BACKEND6}/{n.BACK6_PREFIX}"])
    _take_as_own(names.client_ns, n.CLIENT4_NET, n.ON_LINK4, n.CLIENT4)
    _take_as_own(names.client_ns, n.CLIENT6_NET, n.ON_LINK6, n.CLIENT6)


def down(names):
    """Remove whatever is there of the lab's network; repeated calls do no harm."""
    for ns in (names.client_ns, names.backend_ns):
        if netns.exists(ns):
            _quiet("ip", "netns", "del", ns)
    for node in (1, 2):
        for device in (names.front(node), names.back(node)):
            # The namespace takes its end of the pair with it, but only some time after its last process.
            _quiet("ip", "link", "del", device)
