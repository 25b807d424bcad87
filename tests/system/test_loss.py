# SPDX-License-Identifier: Apache-2.0
"""Mail over a bad network on both sides: Linux clients, a Linux backend, and the appliance between two bridges
that lose 5 % each way, reorder, double and corrupt. Every message arrives once, and every byte of it.

40 messages in every run, 1,000 with --long. GREYLINE_SEED chooses other dice; a failure names the seed.
"""

import concurrent.futures
import os
import random
import subprocess

import pytest

from lablib import names as n

import bridge
import messages
from policies import TRUSTED, policy

TRUSTED6 = "2001:2:0:90::"
LAB = {"policy": policy(trusted=(f'"{TRUSTED6}/64"',)), "options": ["--backend", "sink"]}

LONG = bool(os.environ.get("GREYLINE_LONG"))
SEED = int(os.environ.get("GREYLINE_SEED", "1"))
COUNT = 1000 if LONG else 40
SENDERS = 12
BYTES_MAX = 5_000_000


@pytest.fixture(scope="module")
def links(lab):
    """Both bridges."""
    both = [bridge.Bridge(lab, side, SEED + number, 3000) for number, side in enumerate(("front", "back"))]
    yield both
    for link in both:
        link.close()


def _sizes(count):
    """From 1 byte to 5 MB: the edges of segments and packets, then all orders of magnitude alike, few large ones."""
    edges = [1, 2, 100, 511, 1447, 1448, 1449, 1460, 2896, 65535, 65536, BYTES_MAX, BYTES_MAX]
    rng = random.Random(SEED)
    return edges + [int(10 ** rng.uniform(0, 5.3)) for _ in range(count - len(edges))]


def _content(number, size):
    """Exactly `size` bytes and the last line's end; where a header would not fit, a body alone."""
    if size < 300:
        return bytes(random.Random(SEED * 100003 + number).choices(range(97, 123), k=size)) + b"\r\n"
    return messages.make(number, size, SEED)


def _send(lab, number, size):
    """One message from a Linux socket, every fourth over IPv6. Returns (its digest, the reply)."""
    content = _content(number, size)
    source = f"{TRUSTED6}{number:x}" if number % 4 == 3 else f"{TRUSTED}{1 + number % 200}"
    reply = lab.deliver(source, "a@example.com", f"m{number}@example.org", content, timeout=300)
    return messages.digest(content), reply


def test_every_message_arrives_once_and_whole_over_a_bad_network(lab, links):
    for link in links:
        link.profile(**bridge.BAD)
    # The largest first, so that none of them is left alone at the end.
    work = sorted(enumerate(_sizes(COUNT)), key=lambda item: -item[1])
    with concurrent.futures.ThreadPoolExecutor(SENDERS) as threads:
        sent = list(threads.map(lambda item: _send(lab, *item), work))
    refused = [(number, size, reply) for (number, size), (_, reply) in zip(work, sent) if reply.code != 250]
    assert refused == [], f"seed {SEED}"
    arrived = [entry["sha256"] for entry in lab.ledger()]
    assert sorted(arrived) == sorted(digest for digest, _ in sent), f"seed {SEED}"
    assert all(entry["bare"] == 0 for entry in lab.ledger())
    for link in links:
        stats = link.stats()
        # The link was as bad as it was meant to be, and the lab as a network is.
        assert stats["half_made"] == stats["oversize"] == 0, stats
        assert stats["lost"] > 0.04 * stats["frames"], stats
        assert min(stats["reordered"], stats["duplicated"], stats["corrupted"]) > 0.005 * stats["frames"], stats


def test_swaks_delivers_over_a_bad_network(lab, links, tmp_path):
    before = len(lab.ledger())
    for link in links:
        link.profile(**bridge.BAD)
    runs = []
    for number in range(6):
        path = tmp_path / f"{number}.bin"
        path.write_bytes(os.urandom(1 + 40000 * number))
        front, source = (n.FRONT6[0], TRUSTED6 + "5") if number == 5 else (n.FRONT4[0], f"{TRUSTED}{210 + number}")
        runs.append(subprocess.Popen(
            ["ip", "netns", "exec", lab.names.client_ns, "swaks", "--server", front, "--local-interface", source,
             "--timeout", "120", "--from", "a@example.com", "--to", f"swaks{number}@example.org",
             "--attach", f"@{path}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
    for run in runs:
        output = run.communicate(timeout=180)[0]
        assert run.returncode == 0, output
    arrived = [entry["recipients"] for entry in lab.ledger()[before:]]
    assert sorted(arrived) == [[f"swaks{number}@example.org"] for number in range(6)]
