# SPDX-License-Identifier: Apache-2.0
"""Two nodes with one greylist through Redis, and what holds when Redis does not."""

import time

import labs
from policies import BLOCK_SEC, policy

LAB = {"policy": policy(window="60s"), "options": ["--redis", "--nodes", "2"]}
SENDER, RECIPIENT = "alice@example.com", "bob@example.org"


def _passes_on(lab, node, source, seconds):
    return labs.wait_until(lambda: lab.ask(source, SENDER, RECIPIENT, node=node).code == 250, seconds,
                           f"{source} passes on node {node}")


def test_both_nodes_answer_and_report_redis(lab):
    for node in (1, 2):
        lab.wait_for_port_25(node)
        assert "up" in str(lab.ctl_json("status", node=node)).lower()


def test_first_seen_on_one_node_passes_on_the_other_after_the_block_period(lab, network):
    source = network + "5"
    assert lab.ask(source, SENDER, RECIPIENT, node=1).code == 451
    # Time for the entry to get there, and for the block period; a node that knew nothing would say 451 now.
    time.sleep(BLOCK_SEC + 1.0)
    assert lab.ask(source, SENDER, RECIPIENT, node=2).code == 250


def test_passed_on_one_node_is_known_on_the_other(lab, network):
    source = network + "5"
    assert lab.ask(source, SENDER, RECIPIENT, node=2).code == 451
    time.sleep(BLOCK_SEC + 0.2)
    assert lab.ask(source, SENDER, RECIPIENT, node=2).code == 250
    time.sleep(1.0)
    assert lab.ask(source, SENDER, RECIPIENT, node=1).code == 250


def test_without_redis_nothing_changes_and_changes_are_sent_later(lab, network):
    source = network + "5"
    with lab.stopped("redis"):
        assert lab.ask(source, SENDER, RECIPIENT, node=1).code == 451
        time.sleep(BLOCK_SEC + 0.2)
        assert lab.ask(source, SENDER, RECIPIENT, node=1).code == 250
        assert lab.ask(source, SENDER, RECIPIENT, node=2).code == 451, "node 2 cannot know"
    # Redis comes back empty: both nodes send what they have.
    other = labs.fresh_network() + "5"
    assert lab.ask(other, SENDER, RECIPIENT, node=1).code == 451
    _passes_on(lab, 2, source, 20)
    _passes_on(lab, 2, other, 20)


def test_a_node_that_was_away_catches_up(lab, network):
    source = network + "5"
    with lab.stopped("control2"):
        assert lab.ask(source, SENDER, RECIPIENT, node=1).code == 451
        time.sleep(BLOCK_SEC + 0.2)
        assert lab.ask(source, SENDER, RECIPIENT, node=1).code == 250
    _passes_on(lab, 2, source, 15)


def test_redis_that_hangs_delays_nobody(lab, network):
    import os
    import signal
    pid = lab.pid("redis")
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert lab.ask(network + "5", SENDER, RECIPIENT).code == 451
        assert time.monotonic() - began < 4 * labs.SLOW
        time.sleep(BLOCK_SEC)
        assert lab.ask(network + "5", SENDER, RECIPIENT).code == 250
    finally:
        os.kill(pid, signal.SIGCONT)


def test_garbage_in_redis_is_counted_and_never_believed(lab, network):
    import redis
    server = redis.Redis(port=lab._lab()["ports"]["redis"])
    for key in server.scan_iter("greyline*"):
        kind = server.type(key)
        if kind == b"hash":
            server.hset(key, mapping={b"\xff" * 8: b"rubbish", b"x": b""})
        elif kind == b"stream":
            server.xadd(key, {b"rubbish": b"\xff\xfe"})
    source = network + "5"
    assert lab.ask(source, SENDER, RECIPIENT, node=1).code == 451
    time.sleep(BLOCK_SEC + 1.0)
    _passes_on(lab, 2, source, 10)
    assert lab.pid("control1") and lab.pid("control2")
