# SPDX-License-Identifier: Apache-2.0
"""The appliance's own programs in the lab: what they are started with, and the part of the policy that
belongs to the site, which the lab supplies where the policy lacks it."""

import os
import pwd
import re

from . import names as n

_SITE = """# What this lab supplies where the policy does not say it.
node:
    name: lab{node}
    node_id: {node}
    hostname: mx{suffix}.greyline.test
    workers: {workers}
    hugepages: off
ports:
    - name: front
      device: "net_af_packet0,iface={front}"
      addresses: [{front4}/{front4_prefix}, "{front6}/{front6_prefix}"]
      gateway: [{client4}, "{client6}"]
    - name: back
      device: "net_af_packet1,iface={back}"
      addresses: [{back4}/{back4_prefix}, "{back6}/{back6_prefix}"]
listeners:
    - {{name: mx, front: [{front4}, "{front6}"]}}
dns:
    resolvers: ["127.0.0.1:{dns_port}"]
store:
    grey_entries: 200000
    client_entries: 100000
{redis}"""

_REDIS = """    redis: {{host: 127.0.0.1, port: {port}}}
"""


def _user(name, stand_in):
    """The user that deploy/install makes, or who stands in for it on a machine where nothing was installed."""
    try:
        return pwd.getpwnam(name).pw_name
    except KeyError:
        return stand_in


def dataplane_user():
    return _user("greyline", "nobody")


def keys_user():
    """Who may read the private keys."""
    return _user("greyline-keys", "daemon")


def open_to_dataplane(path):
    """Let the dataplane's user read what is made in a directory, and nobody else: as after an installation."""
    group = pwd.getpwnam(dataplane_user()).pw_gid
    os.chown(path, -1, group)
    os.chmod(path, 0o2770)  # and what is made in it has its group


def program(build, name):
    """The path of a program in the build directory, or None."""
    for directory in ("dataplane", "control", "control/keys", "."):
        path = os.path.join(build, directory, name)
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    return None


def write_site(names, node, options, ports):
    """Write the site file of a node. Returns its path."""
    index = node - 1
    text = _SITE.format(
        node=node, suffix="" if node == 1 else node, workers=options["workers"], front=names.front(node),
        back=names.back(node), front4=n.FRONT4[index], front6=n.FRONT6[index], front4_prefix=n.FRONT4_PREFIX,
        front6_prefix=n.FRONT6_PREFIX, client4=n.CLIENT4, client6=n.CLIENT6, back4=n.BACK4[index],
        back6=n.BACK6[index], back4_prefix=n.BACK4_PREFIX, back6_prefix=n.BACK6_PREFIX, dns_port=ports["dns"],
        redis=_REDIS.format(port=ports["redis"]) if options["redis"] else "")
    path = os.path.join(names.node_state(node), "site.yaml")
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    return path


def write_secret(names, nodes):
    """One secret for all nodes, as a cluster has it."""
    secret = os.urandom(32)
    for node in nodes:
        path = os.path.join(names.node_state(node), "secret")
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
        with os.fdopen(fd, "wb") as file:
            file.write(secret)


def _policy_of_node(names, node, policy):
    """The policy of node 2 where it names node 1's front addresses: a copy with those of node 2."""
    if node == 1:
        return policy
    with open(policy, encoding="utf-8") as file:
        text = file.read()
    own = text
    for front in (n.FRONT4, n.FRONT6):
        own = re.sub(rf"(?<![\w.:]){re.escape(front[0])}(?![\w.:])", front[node - 1], own)
    if own == text:
        return policy
    path = os.path.join(names.node_state(node), os.path.basename(policy))
    with open(path, "w", encoding="utf-8") as file:
        file.write(own)
    return path


def processes(names, node, options, ports, policy):
    """The node's processes as (name, command)."""
    build = options["build"]
    where = ["--run-dir", names.node_run(node), "--state-dir", names.node_state(node)]
    keys = ["--keys-dir", names.node_keys(node)]
    # By default all may read whatever file a policy of yours names, wherever it lies.
    keys_as, dataplane_as = ["--user", "root"], []
    if options["users"]:
        keys_as, dataplane_as = ["--user", keys_user()], ["--user", dataplane_user()]
    site = write_site(names, node, options, ports)
    return [
        (f"keys{node}", [program(build, "greyline-keys"), *keys, *keys_as]),
        (f"control{node}", [program(build, "greyline-control"), *where, "--policy", _policy_of_node(names, node, policy), "--site", site,
                            "--http", f"127.0.0.1:{ports[f'http{node}']}", "--log", log_path(names, node)]),
        (f"dataplane{node}", [program(build, "greyline-dataplane"), *where, *keys, *dataplane_as]),
    ]


def log_path(names, node):
    """The appliance's own log of mail events."""
    return os.path.join(names.node_state(node), "greyline.log")
