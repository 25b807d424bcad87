# SPDX-License-Identifier: Apache-2.0
"""A bad network between the appliance and one of the lab's namespaces, put in after the lab came up.

The device that the namespace had moves into a namespace of its own, gl-link-front or gl-link-back, keeping its
veth peer, which the appliance reads. The namespace gets a new device with the old name, MAC and addresses, and
the bridge program (bridge.c) stands between the two. Direction ab is towards the appliance.

Labs with one node only. What a crash left is removed by the next one that starts.
"""

import json
import os
import subprocess

from lablib import names as n
from lablib import netns

import labs

PROGRAM = os.path.join(labs.BUILD, "tests", "system", "bridge", "bridge")

# The network of the issue: 5 % loss each way, and all the rest that a packet can meet.
BAD = {"delay": 3000, "jitter": 2000, "loss": 40, "good_to_bad": 5, "bad_to_good": 400, "bad_loss": 1000, "reorder": 50,
       "duplicate": 20, "corrupt": 10}

_ADDRESSES = {
    "front": [f"{n.CLIENT4}/16", f"{n.CLIENT6}/64"],
    "back": [f"{n.BACKEND4}/{n.BACK4_PREFIX}", f"{n.BACKEND6}/{n.BACK6_PREFIX}"],
}
_LOCAL = [(n.ON_LINK4, n.CLIENT4), (n.ON_LINK6, n.CLIENT6)]


def _run(*argv):
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stdout}{done.stderr}"
    return done.stdout


def _quiet_ipv6(ns, device):
    with netns.inside(ns):
        with open(f"/proc/sys/net/ipv6/conf/{device}/disable_ipv6", "w", encoding="ascii") as file:
            file.write("1")


class Bridge:
    """side: "front" (the clients') or "back" (the backend's)."""

    def __init__(self, lab, side, seed=1, seconds=600):
        self.ns = lab.names.client_ns if side == "front" else lab.names.backend_ns
        self.link = f"{lab.names.prefix}gl-link-{side}"
        if netns.exists(self.link):
            _run("ip", "netns", "del", self.link)
        self._plumb(side)
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", self.link, PROGRAM, "--a", "near", "--b", "far", "--seed", str(seed),
             "--seconds", str(seconds)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "READY\n", "the bridge did not start"

    def _plumb(self, side):
        mac = json.loads(_run("ip", "-n", self.ns, "-j", "link", "show", side))[0]["address"]
        _run("ip", "netns", "add", self.link)
        _run("ip", "-n", self.ns, "link", "set", side, "netns", self.link, "name", "far")
        _run("ip", "-n", self.link, "link", "add", "name", "near", "type", "veth", "peer", "name", side,
             "address", mac, "netns", self.ns)
        for device in ("near", "far"):
            _quiet_ipv6(self.link, device)
            _run("ip", "-n", self.link, "link", "set", device, "up")
        # Whole checksums and no frame above the MTU, as the lab has it; the bridge counts what is not so.
        _run("ip", "netns", "exec", self.ns, "ethtool", "-K", side, "tx", "off", "gro", "off")
        for address in _ADDRESSES[side]:
            _run("ip", "-n", self.ns, "addr", "add", address, "dev", side, *(["nodad"] if ":" in address else []))
        _run("ip", "-n", self.ns, "link", "set", side, "up")
        if side == "front":
            for network, source in _LOCAL:
                _run("ip", "-n", self.ns, "route", "add", network, "dev", side, "table", "local", "src", source)

    def _say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def _do(self, line):
        answer = self._say(line)
        assert answer == "ok", f"bridge: {line}: {answer or 'it has ended'}"

    def profile(self, **fields):
        """How bad the link is from now on, in both directions; nothing: a good one. The fields are bridge.c's."""
        self._do(" ".join(["profile", *(f"{key}={value}" for key, value in fields.items())]))

    def drop(self, direction, flags="any", length=(0, 65535), count=1, port=0):
        """Lose the next `count` TCP segments with exactly these of the flags S, A, F, R and such a length."""
        self._do(f"drop {direction} {flags} {length[0]} {length[1]} {count} {port}")

    def window(self, direction, window, flags="A", length=(0, 0), count=1, port=0):
        """Write this window into the next `count` such segments."""
        self._do(f"window {direction} {flags} {length[0]} {length[1]} {count} {port} {window}")

    def mark(self, direction, flags="A", length=(1, 1500), count=1, port=0):
        """Congestion experienced, on the next `count` such segments that are ECN capable; others are counted too."""
        self._do(f"mark {direction} {flags} {length[0]} {length[1]} {count} {port}")

    def clear(self):
        """A good link without rules."""
        self._do("clear")
        self.profile()

    def stats(self):
        return json.loads(self._say("stats"))

    def close(self):
        """End it. The appliance's device goes with it: only to be called right before the lab goes down."""
        try:
            self.process.stdin.close()
            self.process.wait(10)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        subprocess.run(["ip", "netns", "del", self.link], capture_output=True, check=False)
