# SPDX-License-Identifier: Apache-2.0
"""The appliance as a server: every state by every kind of segment by every place in the window (matrix.py)."""

import pytest

import labs
import matrix
from bridge import peer as raw
from policies import PEERS, policy

LAB = {"policy": policy(trusted=PEERS), "options": ["--backend", "sink"]}


# ---- reaching a state: each takes a list of peers through the same steps, side by side ----------------------


def _all(wire, peers, question, what, seconds=15):
    wire.wait(lambda: all(question(peer) for peer in peers), seconds, what)


def _chat(wire, peers, text, pattern):
    for peer in peers:
        peer.data = b""
        peer.say(text)
    _all(wire, peers, lambda peer: peer.has(pattern), pattern)


def _half_open(wire, peers):
    for peer in peers:
        peer.start_open()
    _all(wire, peers, lambda peer: peer.rcv_nxt, "SYN-ACK")


def _established(wire, peers):
    _half_open(wire, peers)
    for peer in peers:
        peer.send("A")
    _all(wire, peers, lambda peer: peer.has(rb"220 [^\n]*\n"), "banner")


def _fin_wait_1(wire, peers):
    _established(wire, peers)
    for peer in peers:
        peer.auto_ack = False
        peer.say("QUIT\r\n")
    _all(wire, peers, lambda peer: peer.fin_seq is not None and peer.rcv_nxt == peer.fin_seq, "221 and FIN")
    for peer in peers:
        peer.send("A")  # the 221, not the FIN


def _closing(wire, peers):
    _fin_wait_1(wire, peers)
    for peer in peers:
        peer.send("FA")
    _all(wire, peers, lambda peer: peer.snd_una == peer.snd_nxt, "ACK of our FIN")


def _fin_wait_2(wire, peers):
    _established(wire, peers)
    for peer in peers:
        peer.say("QUIT\r\n")
    _all(wire, peers, lambda peer: peer.fin_seq is not None and peer.rcv_nxt == peer.fin_seq + 1 & raw.MASK, "FIN")


def _timewait(wire, peers):
    _fin_wait_2(wire, peers)
    for peer in peers:
        peer.send("FA")
    _all(wire, peers, lambda peer: peer.snd_una == peer.snd_nxt, "ACK of our FIN")


def _last_ack(wire, peers):
    _established(wire, peers)
    for peer in peers:
        peer.auto_ack = False
        peer.send("FA")
    _all(wire, peers, lambda peer: peer.fin_seq is not None and peer.snd_una == peer.snd_nxt, "FIN")


def _close_wait(wire, peers):
    """The client is gone and the backend has not yet said what became of its message: the session waits."""
    _established(wire, peers)
    _chat(wire, peers, "EHLO client\r\n", rb"250 [^\n]*\n")
    _chat(wire, peers, "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n", rb"354 [^\n]*\n")
    for peer in peers:
        peer.say("Subject: x\r\n\r\nx\r\n.\r\n")
        peer.send("FA")
    _all(wire, peers, lambda peer: peer.snd_una == peer.snd_nxt, "ACK of our FIN")
    assert all(peer.fin_seq is None for peer in peers), "the appliance did not wait for its backend"


REACH = {"SYN-RECEIVED": _half_open, "ESTABLISHED": _established, "FIN-WAIT-1": _fin_wait_1, "FIN-WAIT-2": _fin_wait_2,
         "CLOSE-WAIT": _close_wait, "CLOSING": _closing, "LAST-ACK": _last_ack, "TIME-WAIT": _timewait}


@pytest.mark.parametrize("family", ("v4", "v6"))
@pytest.mark.parametrize("state", matrix.STATES)
def test_state_by_segment_by_place(lab, wire, state, family):
    peers = [wire.peer(ipv6=family == "v6") for _ in matrix.combinations()]
    if state == "CLOSE-WAIT":
        lab.behave(end={"delay": 15 * labs.SLOW})
    try:
        REACH[state](wire, peers)
        matrix.run(wire, state, matrix.cells(state, peers))
    finally:
        lab.behave()
        for peer in peers:
            peer.reset()
