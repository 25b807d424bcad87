# SPDX-License-Identifier: Apache-2.0
"""Idle sessions that the kernel opens through veth: 2,000 in every run, 100,000 with --long.

They stand, are all answered, and are closed again with nothing left. What a session takes is measured by
tests/perf/memory.c; here it is bounded by what the process grew by, with --long only: pages decide about few sessions.
"""

import contextlib
import json
import os
import subprocess
import sys

import labs
from lablib import names as n
from policies import policy

LONG = bool(os.environ.get("GREYLINE_LONG"))
COUNT = 100000 if LONG else 2000
CROWDS = 10 if LONG else 2  # processes: each may have so many files
BYTES_MAX = 512  # one session, with its share of the table and of pages that are not full
NOTHING = "limits: {connections_per_network: 0}"
LIMITS = f"limits: {{sessions: {COUNT + 1000}, connections_per_network: 0, connection_rate: 0, command_timeout: 10m}}"
LAB = {"policy": policy().replace(NOTHING, LIMITS), "options": ["--backend", "sink"]}
HERE = os.path.dirname(os.path.abspath(__file__))


def anonymous_bytes(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("RssAnon:"))


def held(lab):
    metrics = lab.metrics()
    return {name: sum(value for key, value in metrics.items() if key.split("{")[0] == name)
            for name in ("greyline_sessions_open", "greyline_tcp_connections", "greyline_tcp_half_open")}


@contextlib.contextmanager
def crowd(lab, count):
    argv = ["ip", "netns", "exec", lab.names.client_ns, sys.executable, "-B", os.path.join(HERE, "crowd.py"), n.FRONT4[0],
            str(count)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def does(crowds, word):
    """All of them do it, and none of their sessions is left out."""
    for process in crowds:
        if word:
            process.stdin.write(word + "\n")
            process.stdin.flush()
    for process in crowds:
        told = json.loads(process.stdout.readline() or '{"sessions": 0}')
        assert told["sessions"] == COUNT // CROWDS and told["wrong"] == 0, told


def test_a_crowd_of_the_kernel_stands_is_answered_and_goes(lab):
    pid = lab.pid("dataplane1")
    before = anonymous_bytes(pid)
    with contextlib.ExitStack() as stack:
        crowds = [stack.enter_context(crowd(lab, COUNT // CROWDS)) for _ in range(CROWDS)]
        does(crowds, None)
        labs.wait_until(lambda: held(lab)["greyline_sessions_open"] == COUNT, 10, "all sessions are open")
        each = (anonymous_bytes(pid) - before) / COUNT
        print(f"{COUNT} sessions of the kernel, {each:.0f} bytes each")
        assert not LONG or labs.SLOW > 1 or each <= BYTES_MAX
        does(crowds, "noop")
        does(crowds, "quit")
    labs.wait_until(lambda: not any(held(lab).values()), 90 * labs.SLOW, lambda: f"nothing is left: {held(lab)}")
