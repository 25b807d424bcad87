# SPDX-License-Identifier: Apache-2.0
"""Every kind of segment by every place in the window, against connections in one state: what must be answered, and
what must be left. test_tcp_matrix.py has the appliance as the server, test_tcp_client.py as the client.

What must happen is computed by expected(), from RFC 9293 3.10.7 with RFC 5961 (RST, SYN), RFC 1337 and RFC 6191
(TIME-WAIT); where the endpoint departs from them on purpose, DEPARTURES says so and why. A cell's connection is
its own. "No answer" is known without waiting: the appliance takes frames in order, so when a later question has
been answered nothing is to come for an earlier one (Wire.barrier).
"""

import itertools

from bridge import peer as raw

STATES = ("SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT")
KINDS = ("SYN", "SYN-ACK", "FIN", "ACK", "RST", "data")
# "left" and "right" are far out of the window; the edges are its first and last number, "just" is next to them.
PLACES = ("left", "just left", "left edge", "inside", "right edge", "just right", "right")
RECEIVING = ("ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2")
DATA = b"22"  # no end of line, and without its first byte as harmless: nothing but TCP answers

# Answers: nothing, an ACK of all that came in order, a SYN-ACK, a RST. What is left: the state as it was
# ("same"), nothing ("gone"), a connection that works ("open"), one that begins ("begun"), or the next state ("fin").
NONE, ACK, SYNACK, RST = "none", "ACK", "SYN-ACK", "RST"

# Where the rule of the RFC gives something else: (state or None for all, kind, place or None): why. The cells are
# tested for what is written in expected().
DEPARTURES = {
    ("SYN-RECEIVED", "SYN", None): "RFC 9293: an old one gets an ACK, one in the window sends back to LISTEN. We "
                                   "begin anew with the new SYN at once: the client did, and it saves it a second",
    ("SYN-RECEIVED", "SYN-ACK", None): "a guess must not end a half-open connection, and no server is answered by one",
    ("TIME-WAIT", "ACK", None): "an ACK out of the window would get an ACK: two ends in TIME-WAIT would go on for ever",
    (None, "ACK", "just right"): "a peer that has filled the window and lost of it acknowledges from there (Linux takes "
                                 "it too): what it acknowledges counts",
    (None, "RST", "just right"): "the same peer resets from there: it is challenged, and then it can",
}


def is_acceptable(kind, place):
    """RFC 9293 3.10.7.4, first, and the departure right of the window. Data that overlaps is acceptable."""
    if place == "just left":
        return kind == "data"
    if place == "just right":
        return kind in ("ACK", "RST")
    return place in ("left edge", "inside", "right edge")


def expected_half_open(kind, place):
    """SYN-RECEIVED of a passive open."""
    if kind == "SYN":
        return SYNACK, ("same" if place == "just left" else "begun")  # "just left" is the SYN itself, again
    if kind == "RST":
        if place == "left edge":
            return NONE, "gone"
        return (ACK if is_acceptable(kind, place) else NONE), "same"
    if kind == "SYN-ACK":
        return NONE, "same"
    if not is_acceptable(kind, place):
        return ACK, "same"
    # The ACK completes the handshake; then FIN and data are those of ESTABLISHED.
    if kind == "FIN" and place == "left edge":
        return ACK, "fin"
    return (NONE if kind == "ACK" else ACK), "open"


def expected_timewait(kind, place, is_server):
    if kind == "RST":
        return NONE, "same"  # RFC 1337
    if kind == "SYN" and is_server:
        # RFC 6191 without timestamps: beyond what was used is a new connection.
        return (SYNACK, "begun") if place in ("inside", "right edge", "just right", "right") else (ACK, "same")
    if kind == "ACK":
        return NONE, "same"
    return ACK, "same"


def expected(state, kind, place, is_server=True):
    """(answer, what is left)"""
    if state == "SYN-RECEIVED" and is_server:
        return expected_half_open(kind, place)
    if state == "TIME-WAIT":
        return expected_timewait(kind, place, is_server)
    if kind == "RST":  # RFC 5961 3.2
        if place == "left edge":
            return NONE, "gone"
        return (ACK if is_acceptable(kind, place) else NONE), "same"
    if kind in ("SYN", "SYN-ACK"):  # RFC 5961 4.2: wherever it lies
        if state == "SYN-RECEIVED" and (kind, place) == ("SYN-ACK", "just left"):
            return NONE, "open"  # RFC 9293 3.5, figure 8: this is how both ends' opens end
        return ACK, "same"
    if not is_acceptable(kind, place):
        return ACK, "same"
    if kind == "ACK":
        return NONE, ("open" if state == "SYN-RECEIVED" else "same")
    if state not in RECEIVING and state != "SYN-RECEIVED":  # what comes after a FIN is ignored (seventh and eighth)
        return NONE, "same"
    if kind == "FIN" and place == "left edge":
        # A backend that ends the connection before its QUIT is of no use: the relay aborts (RFC 9293 3.10.5).
        return (RST, "gone") if not is_server and state in ("SYN-RECEIVED", "ESTABLISHED") else (ACK, "fin")
    return ACK, ("open" if state == "SYN-RECEIVED" else "same")  # taken, or held: told at once or a little later


class Cell:
    def __init__(self, peer, state, kind, place, is_server=True):
        self.peer, self.state, self.kind, self.place, self.is_server = peer, state, kind, place, is_server
        self.want, self.left = expected(state, kind, place, is_server)
        self.name = f"{state}, {kind}, {place}, {'v6' if ':' in peer.address else 'v4'}"
        self.server_next = None

    def probe(self):
        peer = self.peer
        # What they have sent: in these states their FIN is out and we have not acknowledged it.
        unacked_fin = self.state in ("FIN-WAIT-1", "CLOSING", "LAST-ACK")
        self.server_next = peer.rcv_nxt + unacked_fin & raw.MASK
        self.ours = peer.snd_nxt
        seq = self.seq = {"left": peer.snd_nxt - 5000, "just left": peer.snd_nxt - 1, "left edge": peer.snd_nxt,
                          "inside": peer.snd_nxt + 100, "right edge": peer.right - 1, "just right": peer.right,
                          "right": peer.right + 5000}[self.place] & raw.MASK
        flags = {"SYN": "S", "SYN-ACK": "SA", "FIN": "FA", "ACK": "A", "RST": "R", "data": "PA"}[self.kind]
        peer.send(flags, seq=seq, data=DATA if self.kind == "data" else b"")

    def taken(self):
        """How far their rcv_nxt is after the probe."""
        moved = 0
        if self.state in RECEIVING or self.state == "SYN-RECEIVED":
            moved = {("data", "left edge"): len(DATA), ("data", "just left"): len(DATA) - 1,
                     ("FIN", "left edge"): 1}.get((self.kind, self.place), 0)
        return self.ours + moved & raw.MASK

    def is_answer(self, segment):
        """Not what would have come anyway: a SYN-ACK or FIN that is sent again, the banner."""
        if self.state == "SYN-RECEIVED" and segment.flags == "SA":
            return self.is_server and self.kind == "SYN" and segment.ack == self.seq + 1 & raw.MASK
        if segment.flags in ("SA", "A") and not segment.data or "R" in segment.flags:
            return True
        return self.may_ride() and "A" in segment.flags and segment.ack == self.taken()

    def may_ride(self):
        """Where the segment begins or ends the dialogue, the ACK may ride on a banner or on a FIN."""
        return self.want == ACK and self.left in ("open", "fin")

    def answers(self):
        return [segment for segment in self.peer.inbox if self.is_answer(segment)]

    def is_answered(self):
        return self.want == NONE or bool(self.answers())

    def check_answer(self):
        found = self.answers()
        if self.want == NONE:
            assert not found, f"{self.name}: want no answer, got {found}"
            return
        assert found, f"{self.name}: want {self.want}, got {self.peer.inbox}"
        if self.want == RST:
            self._check_abort(found)
            return
        if self.may_ride():
            assert all(segment.flags in ("A", "AF") for segment in found), f"{self.name}: {found}"
            assert found[0].ack == self.taken(), f"{self.name}: want ack {self.taken()}, got {found}"
            return
        assert all(segment.flags == {ACK: "A", SYNACK: "SA"}[self.want] for segment in found), f"{self.name}: {found}"
        if self.want == ACK:
            assert found[0].ack == self.taken(), f"{self.name}: want ack {self.taken()}, got {found}"
            assert found[0].seq == self.server_next, f"{self.name}: want seq {self.server_next}, got {found}"
        else:
            assert found[0].ack == self.seq + 1 & raw.MASK, f"{self.name}: {found}"
        # One segment has one answer; a delayed ACK may come beside the held one.
        assert len(found) <= 1, f"{self.name}: more than one answer: {found}"

    def _check_abort(self, found):
        """RFC 9293 3.10.5: <SEQ=SND.NXT><CTL=RST>; an ACK of the FIN may come before it."""
        last = found[-1]
        assert "R" in last.flags and last.seq == self.server_next, f"{self.name}: want a RST, got {found}"
        assert all(segment.flags == "A" for segment in found[:-1]), f"{self.name}: {found}"

    def ask_left(self):
        """A FIN from long ago: who knows the connection answers with an ACK, who does not with a RST."""
        self.peer.clear()
        if self.state == "SYN-RECEIVED" and self.left == "same":
            self.peer.send("A")
        self.peer.send("FA", seq=self.ours - 1, ack=self.server_next)

    def left_answers(self):
        return [segment for segment in self.peer.inbox if segment.flags == "A" or "R" in segment.flags]

    def check_left(self):
        assert self.left_answers(), f"{self.name}: nothing says what is left"
        if self.left == "gone":
            assert any("R" in segment.flags for segment in self.peer.inbox), f"{self.name}: still there"
        else:
            assert not any("R" in segment.flags for segment in self.peer.inbox), f"{self.name}: gone"


def settle(wire, peers):
    """Nothing that belongs to reaching the state is still to come."""
    wire.wait(lambda: all(peer.snd_una == peer.snd_nxt for peer in peers), 15, "ACK of everything")
    wire.barrier()
    for peer in peers:
        peer.clear()


def cells(state, peers, is_server=True):
    """A cell for each of the peers: as many as combinations()."""
    return [Cell(peer, state, kind, place, is_server) for peer, (kind, place) in zip(peers, combinations())]


def combinations():
    return list(itertools.product(KINDS, PLACES))


def run(wire, state, all_cells):
    if state != "SYN-RECEIVED":
        settle(wire, [cell.peer for cell in all_cells])
    for cell in all_cells:
        cell.peer.clear()
        cell.peer.auto_ack = False
        cell.probe()
    wire.barrier()
    # An ACK may be delayed; whatever is missing then is told cell by cell.
    wire.pump_until(lambda: all(cell.is_answered() for cell in all_cells), 3)
    check_all(all_cells, Cell.check_answer)
    # A SYN that began a connection: that one is another's business.
    asked = [cell for cell in all_cells if cell.left != "begun"]
    for cell in asked:
        cell.ask_left()
    wire.pump_until(lambda: all(cell.left_answers() for cell in asked), 3)
    check_all(asked, Cell.check_left)


def check_all(all_cells, check):
    """Every cell that is wrong, not only the first."""
    wrong = []
    for cell in all_cells:
        try:
            check(cell)
        except AssertionError as error:
            wrong.append(str(error).splitlines()[0])
    assert not wrong, "\n".join(wrong)
