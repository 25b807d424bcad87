# SPDX-License-Identifier: Apache-2.0
"""Fragments where there are two workers: pieces meet at one of them by addresses and id, and what becomes of them goes to
the one that owns the connection by its ports.
"""

import labs
from bridge import cut
from bridge import peer as raw
from policies import PEERS, policy

LAB = {"policy": policy(trusted=PEERS), "options": ["--backend", "sink", "--workers", "2"]}


def test_pieces_reach_the_worker_that_owns_the_connection(lab):
    wire = raw.Wire(lab)
    try:
        for _ in range(16):
            peer = wire.peer(ipv6=True)
            peer.greet()
            packet = peer.packet("PA", data=b"NOOP " + b"x" * 233 + b"\r\n")
            peer.snd_nxt += 240
            for piece in reversed(cut.pieces(packet, 64)):
                wire.send(piece)
            peer.wait_data(rb"250 [^\n]*\n")
            peer.reset()
    finally:
        wire.close()
    assert labs.count(lab, "datagrams_joined") == 16
    taken = [value for key, value in lab.metrics().items() if key.startswith("greyline_fragments_taken")]
    assert len(taken) == 2 and all(taken), "both workers put pieces together"
