# SPDX-License-Identifier: Apache-2.0
"""Every name, address and path of a lab, derived from the lab's own name.

The client network holds one small on-link part, where the appliance and its gateway are, and far more
addresses behind that gateway. The gateway is the client namespace itself, which takes all of them by local
routes: so a client may bind any of 65,000 addresses, and the appliance needs one neighbour entry for them,
as on a real network.
"""

import os
import re

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# IPv4: 198.18.0.0/16 are the clients, 198.18.0.0/24 of it is on the appliance's link.
FRONT4 = ("198.18.0.25", "198.18.0.26")
FRONT4_PREFIX = 24
ON_LINK4 = "198.18.0.0/24"
CLIENT4 = "198.18.0.1"
CLIENT4_NET = "198.18.0.0/16"
# IPv6: 2001:2::/48 are the clients, 2001:2::/120 of it is on the appliance's link.
FRONT6 = ("2001:2::25", "2001:2::26")
FRONT6_PREFIX = 120
ON_LINK6 = "2001:2::/120"
CLIENT6 = "2001:2::1"
CLIENT6_NET = "2001:2::/48"

BACK4 = ("198.19.0.25", "198.19.0.26")
BACK4_PREFIX = 24
BACK6 = ("fd00:19::25", "fd00:19::26")
BACK6_PREFIX = 64
BACKEND4 = "198.19.0.10"
BACKEND6 = "fd00:19::10"
BACKEND_PORT = 25

DOMAINS = ("example.org", "example.net")
DOMAINS_BELOW = ("open.example.org",)  # the backend takes these too, for policies that have them

# What the lab's DNS says about parts of the client network. All the rest has a confirmed reverse name.
LISTED4 = "198.18.10.0/24"       # in bl.greyline.test
LISTED6 = "2001:2:0:10::/64"
SCORED4 = "198.18.11.0/24"       # in score.greyline.test
WELCOME4 = "198.18.12.0/24"      # in wl.greyline.test
NO_PTR4 = "198.18.66.0/24"       # no reverse name
NO_PTR6 = "2001:2:0:66::/64"
UNCONFIRMED4 = "198.18.67.0/24"  # a reverse name that does not lead back
UNCONFIRMED6 = "2001:2:0:67::/64"
POOL4 = "198.18.20."             # .1 to .20: outN.mail.sender.test, confirmed

ZONES = ("bl.greyline.test", "score.greyline.test", "wl.greyline.test")

MARK = "GREYLINE_LAB"  # in the environment of every process of a lab


def _tmpfs_root():
    """Tables want memory, not a disk: /run where it is a tmpfs, else /dev/shm."""
    kinds = {}
    with open("/proc/mounts", encoding="utf-8") as mounts:
        for line in mounts:
            fields = line.split()
            kinds[fields[1]] = fields[2]
    return "/run" if kinds.get("/run") == "tmpfs" else "/dev/shm"


class Names:
    """The names of one lab. `name` is empty for the lab that needs no --name."""

    def __init__(self, name=""):
        if name and not re.fullmatch(r"[a-z][a-z0-9]{0,4}", name):
            raise ValueError("--name: one to five lower case letters and digits, a letter first")
        self.name = name
        self.prefix = name + "-" if name else ""
        self.mark = name or "lab"
        self.client_ns = self.prefix + "gl-client"
        self.backend_ns = self.prefix + "gl-backend"
        self.run_root = os.path.join(_tmpfs_root(), "greyline-lab")
        self.state_root = "/var/lib/greyline-lab"
        self.run = os.path.join(self.run_root, self.mark)
        self.state = os.path.join(self.state_root, self.mark)
        self.lab_file = os.path.join(self.run, "lab.json")
        self.pids_file = os.path.join(self.run, "pids.json")
        self.hold = os.path.join(self.run, "hold")  # a file here named like a process keeps it stopped
        self.logs = os.path.join(self.state, "log")
        self.dns = os.path.join(self.state, "dns")
        self.mail = os.path.join(self.state, "mail")

    def front(self, node):
        """The device of the front port, in the root namespace."""
        return self.prefix + "gl-front" + _suffix(node)

    def back(self, node):
        return self.prefix + "gl-back" + _suffix(node)

    def node_run(self, node):
        return os.path.join(self.run, f"node{node}")

    def node_keys(self, node):
        """What the dataplane shares with greyline-keys."""
        return os.path.join(self.run, f"keys{node}")

    def node_state(self, node):
        return os.path.join(self.state, f"node{node}")


def _suffix(node):
    return "" if node == 1 else str(node)
