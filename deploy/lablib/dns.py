# SPDX-License-Identifier: Apache-2.0
"""DNS of the lab: unbound is the one address that answers everything; behind it rbldnsd has the blocklists
and knot the names, among them a confirmed reverse name for every address of the client network.

    dns/bl.greyline.test.ip4, .ip6     what a zone lists, likewise score. and wl.; read again within a second
    dns/root.zone, dns/reverse4.zone   records; read again when knot is started again (deploy/lab stop, start)
    dns/local.conf                     parts of the client network without a reverse name, or with a wrong one
"""

import ipaddress
import os
import pwd

from . import names as n

_SOA = """@ 60 IN SOA ns.greyline.test. hostmaster.greyline.test. 1 3600 600 86400 60
@ 60 IN NS ns.greyline.test.
"""

_ROOT_ZONE = _SOA + """ns.greyline.test. 60 IN A 127.0.0.1
mx.greyline.test. 60 IN A {front4}
mx.greyline.test. 60 IN AAAA {front6}
mx2.greyline.test. 60 IN A {front4_2}
mx2.greyline.test. 60 IN AAAA {front6_2}
backend.greyline.test. 60 IN A {backend4}
{domains}
sender.test. 60 IN MX 10 out1.mail.sender.test.
sender.test. 60 IN TXT "v=spf1 ip4:{pool4}0/24 -all"
{pool}
example.com. 60 IN MX 10 mail.example.com.
example.com. 60 IN A 198.18.30.1
mail.example.com. 60 IN A 198.18.30.1
example.com. 60 IN TXT "v=spf1 ip4:198.18.30.0/24 -all"
"""

# A negative answer lives as long as the last number of its SOA says: short, so that a test may list a client
# that it used before.
_LIST_HEAD = "$SOA 60 ns.greyline.test. hostmaster.greyline.test. 1 3600 600 86400 5\n"

# RFC 5782: every list holds its test address, in IPv6 as ::FFFF:127.0.0.2.
_LISTED = {
    "bl.greyline.test.ip4": (":127.0.0.2:listed by the lab", ["127.0.0.2", n.LISTED4]),
    "bl.greyline.test.ip6": (":127.0.0.2:listed by the lab", ["::ffff:7f00:2", n.LISTED6]),
    "score.greyline.test.ip4": (":127.0.0.3:has a bad name in the lab", ["127.0.0.2", n.SCORED4]),
    "score.greyline.test.ip6": (":127.0.0.3:has a bad name in the lab", ["::ffff:7f00:2"]),
    "wl.greyline.test.ip4": (":127.0.0.2:well known to the lab", ["127.0.0.2", n.WELCOME4]),
    "wl.greyline.test.ip6": (":127.0.0.2:well known to the lab", ["::ffff:7f00:2"]),
}


def _write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def _own(path, user):
    entry = pwd.getpwnam(user)
    os.chown(path, entry.pw_uid, entry.pw_gid)


def _reverse(network):
    """The name of a whole reverse zone: 66.18.198.in-addr.arpa for 198.18.66.0/24."""
    net = ipaddress.ip_network(network)
    label_bits = 8 if net.version == 4 else 4
    labels = net.network_address.reverse_pointer.split(".")
    return ".".join(labels[(net.max_prefixlen - net.prefixlen) // label_bits:])


def _write_knot(directory, port):
    address = dict(front4=n.FRONT4[0], front6=n.FRONT6[0], front4_2=n.FRONT4[1], front6_2=n.FRONT6[1],
                   backend4=n.BACKEND4, pool4=n.POOL4)
    domains = "\n".join(f"{domain}. 60 IN MX 10 mx.greyline.test.\n{domain}. 60 IN MX 20 mx2.greyline.test."
                        for domain in n.DOMAINS)
    pool = "\n".join(f"out{i}.mail.sender.test. 60 IN A {n.POOL4}{i}" for i in range(1, 21))
    _write(os.path.join(directory, "root.zone"), _ROOT_ZONE.format(domains=domains, pool=pool, **address))
    _write(os.path.join(directory, "empty.zone"), _SOA)
    _write(os.path.join(directory, "reverse4.zone"), _SOA + "".join(
        f"{i}.20 60 IN PTR out{i}.mail.sender.test.\n" for i in range(1, 21)))
    run = os.path.join(directory, "knot")
    os.makedirs(run, exist_ok=True)
    _own(run, "knot")
    _write(os.path.join(directory, "knot.conf"), f"""server:
    listen: 127.0.0.1@{port}
    rundir: {run}
    user: knot:knot
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
log:
  - target: stderr
    any: warning
database:
    storage: {run}
mod-synthrecord:
  - id: reverse4
    type: reverse
    prefix: host-
    origin: client.greyline.test
    network: {n.CLIENT4_NET}
    ttl: 60
  - id: reverse6
    type: reverse
    prefix: host-
    origin: client.greyline.test
    network: {n.CLIENT6_NET}
    ttl: 60
  - id: forward
    type: forward
    prefix: host-
    network: [{n.CLIENT4_NET}, "{n.CLIENT6_NET}"]
    ttl: 60
template:
  - id: default
    storage: {directory}
    zonefile-load: whole
    zonefile-sync: -1
    journal-content: none
zone:
  - domain: .
    file: root.zone
  - domain: {_reverse(n.CLIENT4_NET)}
    file: reverse4.zone
    module: mod-synthrecord/reverse4
  - domain: {_reverse(n.CLIENT6_NET)}
    file: empty.zone
    module: mod-synthrecord/reverse6
  - domain: client.greyline.test
    file: empty.zone
    module: mod-synthrecord/forward
""")


def _write_unbound(directory, port, knot_port, rbl_port):
    local = ["server:"]
    for network in (n.NO_PTR4, n.NO_PTR6):
        zone = _reverse(network)
        local += [f'  local-zone: "{zone}." static',
                  f'  local-data: "{zone}. 60 IN SOA ns.greyline.test. hostmaster.greyline.test. 1 3600 600 86400 60"']
    for network in (n.UNCONFIRMED4, n.UNCONFIRMED6):
        zone = _reverse(network)
        local += [f'  local-zone: "{zone}." redirect',
                  f'  local-data: "{zone}. 60 IN PTR elsewhere.greyline.test."']
    local += ['  local-data: "elsewhere.greyline.test. 60 IN A 192.0.2.1"',
              '  local-data: "elsewhere.greyline.test. 60 IN AAAA fd00:bad::1"']
    _write(os.path.join(directory, "local.conf"), "\n".join(local) + "\n")

    def stub(zone, to):
        return f'stub-zone:\n  name: "{zone}"\n  stub-addr: 127.0.0.1@{to}\n  stub-no-cache: yes\n'

    stubs = stub(".", knot_port) + "".join(stub(zone, rbl_port) for zone in n.ZONES)
    _write(os.path.join(directory, "unbound.conf"), f"""server:
  interface: 127.0.0.1@{port}
  access-control: 127.0.0.0/8 allow
  do-daemonize: no
  use-syslog: no
  logfile: ""
  username: "unbound"
  chroot: ""
  pidfile: ""
  directory: "{directory}"
  num-threads: 1
  module-config: "iterator"
  do-not-query-localhost: no
  local-zone: "test." nodefault
  outgoing-range: 4096
  num-queries-per-thread: 2048
  so-rcvbuf: 4m
  qname-minimisation: no
  hide-identity: yes
  minimal-responses: yes
  include: "{directory}/local.conf"
remote-control:
  control-enable: no
{stubs}""")


def write(names, port, knot_port, rbl_port):
    """Write every file of the lab's DNS, and return its processes as (name, command)."""
    directory = names.dns
    os.makedirs(directory, exist_ok=True)
    _write_knot(directory, knot_port)
    _write_unbound(directory, port, knot_port, rbl_port)
    for file, (default, listed) in _LISTED.items():
        _write(os.path.join(directory, file), _LIST_HEAD + default + "\n" + "\n".join(listed) + "\n")
    zones = [f"{zone}:{kind}:{zone}.{suffix}" for zone in n.ZONES
             for kind, suffix in (("ip4trie", "ip4"), ("ip6trie", "ip6"))]
    # -c 1: look for changed lists every second.
    return [
        ("rbldnsd", ["rbldnsd", "-n", "-f", "-c", "1", "-t", "60:10:60", "-u", "rbldns", "-r", directory,
                     "-b", f"127.0.0.1/{rbl_port}", *zones]),
        ("knot", ["knotd", "-c", os.path.join(directory, "knot.conf")]),
        ("unbound", ["unbound", "-d", "-c", os.path.join(directory, "unbound.conf")]),
    ]
