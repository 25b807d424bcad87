# SPDX-License-Identifier: Apache-2.0
"""Below TCP: ARP, neighbour discovery, echo, checksums, addresses; and what an idle appliance costs."""

import os
import re
import time

from lablib import names as n
from lablib import netns

import labs
from policies import policy

LAB = {"policy": policy(), "options": ["--backend", "sink"]}


def test_echo_over_ipv4_and_ipv6_in_all_sizes(lab):
    for address in (n.FRONT4[0], n.FRONT6[0]):
        for size in ("0", "56", "1400"):
            done = lab.in_client("ping", "-n", "-c", "3", "-i", "0.1", "-W", "2", "-s", size, address)
            assert " 0% packet loss" in done.stdout, done.stdout


def test_arp_and_neighbour_discovery_answer_with_the_ports_own_address(lab):
    with open(f"/sys/class/net/{lab.names.front(1)}/address", encoding="ascii") as file:
        mac = file.read().strip()
    for address in (n.FRONT4[0], n.FRONT6[0]):
        lab.in_client("ip", "neigh", "flush", "dev", "front")
        assert lab.in_client("ping", "-n", "-c", "1", "-W", "2", address).returncode == 0
        entry = lab.in_client("ip", "neigh", "show", address).stdout
        assert f"lladdr {mac}" in entry, entry


def test_nobody_answers_for_an_address_that_is_not_ours(lab):
    lab.in_client("ip", "neigh", "flush", "dev", "front")
    for address in ("198.18.0.77", "2001:2::77"):
        assert lab.in_client("ping", "-n", "-c", "1", "-W", "1", address).returncode != 0
        assert "lladdr" not in lab.in_client("ip", "neigh", "show", address).stdout


def test_frames_for_another_mac_are_not_taken(lab):
    """The kernel believes in a wrong MAC; af_packet hands us the frame all the same."""
    wrong = "02:00:00:00:00:99"
    lab.in_client("ip", "neigh", "replace", n.FRONT4[0], "lladdr", wrong, "dev", "front", "nud", "permanent")
    try:
        assert lab.in_client("ping", "-n", "-c", "1", "-W", "1", n.FRONT4[0]).returncode != 0
    finally:
        lab.in_client("ip", "neigh", "del", n.FRONT4[0], "dev", "front")
    assert lab.in_client("ping", "-n", "-c", "1", "-W", "2", n.FRONT4[0]).returncode == 0


def test_any_address_of_the_client_networks_reaches_port_25(lab):
    sources = ["198.18.1.1", "198.18.127.200", "198.18.255.254", "198.18.0.1",
               "2001:2::1", "2001:2::1:0:7", "2001:2:0:fff0::1", "2001:2:0:77:1:2:3:4"]
    for source in sources:
        with lab.client(source) as client:
            assert client.reply().code == 220, source
            client.quit()


def _statistics(lab, *names):
    """Counters of the client namespace's kernel."""
    found = {}
    with netns.inside(lab.names.client_ns):
        for path in ("/proc/thread-self/net/snmp", "/proc/thread-self/net/netstat"):
            with open(path, encoding="ascii") as file:
                lines = file.read().splitlines()
            for head, values in zip(lines[::2], lines[1::2]):
                found.update(zip((head.split(":")[0] + name for name in head.split()[1:]),
                                 (int(value) for value in values.split()[1:])))
    return [found[name] for name in names]


def test_the_client_kernel_finds_every_checksum_right(lab, network):
    before = _statistics(lab, "TcpInCsumErrors", "TcpInErrs", "IpInHdrErrors")
    for host in range(1, 20):
        lab.ask(f"{network}{host}", "a@example.com", "b@example.org")
    assert _statistics(lab, "TcpInCsumErrors", "TcpInErrs", "IpInHdrErrors") == before


def test_a_connection_to_another_port_is_refused_at_once(lab):
    began = time.monotonic()
    try:
        netns.connect(lab.names.client_ns, n.FRONT4[0], 26, timeout=5).close()
        assert False, "port 26 answered"
    except ConnectionRefusedError:
        assert time.monotonic() - began < 1 * labs.SLOW


def _cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_an_idle_appliance_uses_less_than_five_per_cent_of_a_core(lab):
    time.sleep(1.0)  # what the tests before it left to do
    pid = lab.pid("dataplane1")
    used, began = _cpu_seconds(pid), time.monotonic()
    time.sleep(5.0)
    share = (_cpu_seconds(pid) - used) / (time.monotonic() - began)
    assert share < 0.05 * labs.SLOW, f"{share:.1%} of a core"


def test_every_frame_is_accounted_for_in_the_metrics(lab):
    text = lab.http("/metrics")[1]
    names = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M)
    assert names and len(names) == len(set(names))
    assert all(name.startswith("greyline_") for name, _ in names)
