# SPDX-License-Identifier: Apache-2.0
"""Two nodes with one greylist through Redis, and what holds when Redis does not."""

import os
import signal
import time

import pytest
import redis

import labs
import messages
from policies import BLOCK_SEC, policy

LAB = {"policy": policy(window="60s"), "options": ["--redis", "--nodes", "2"]}
WAITING, PASSED = ("waiting", "ready"), ("passed",)
SENDER, RECIPIENT = "alice@example.com", "bob@example.org"


def _wait_for_redis(lab):
    for node in (1, 2):
        labs.wait_until(lambda: lab.ctl_json("status", node=node)["redis"]["state"] == "up", 30,
                        f"node {node} and Redis are of one mind")


def _state(lab, node, source):
    """What the node's own table says of the triplet; asking a session would make an entry there."""
    return lab.ctl_json("grey", "show", "--client", source, "--sender", SENDER, "--recipient", RECIPIENT,
                        node=node)["state"]


def _arrives(lab, node, source, states, seconds):
    labs.wait_until(lambda: _state(lab, node, source) in states, seconds, f"{source} is {states} on node {node}")


@pytest.fixture(autouse=True)
def one_mind(lab):
    _wait_for_redis(lab)


def test_both_nodes_answer(lab):
    for node in (1, 2):
        lab.wait_for_port_25(node)


def test_first_seen_on_one_node_passes_on_the_other_after_the_block_period(lab, network):
    source = network + "5"
    assert lab.ask(source, SENDER, RECIPIENT, node=1).code == 451
    _arrives(lab, 2, source, WAITING, 10 * labs.SLOW)
    time.sleep(BLOCK_SEC + 0.2)
    assert lab.ask(source, SENDER, RECIPIENT, node=2).code == 250


def test_delivered_on_one_node_is_known_on_the_other(lab, network):
    source = network + "5"
    assert lab.ask(source, SENDER, RECIPIENT, node=2).code == 451
    time.sleep(BLOCK_SEC + 0.2)
    assert lab.deliver(source, SENDER, RECIPIENT, messages.make(1, 300), node=2).code == 250
    _arrives(lab, 1, source, PASSED, 10 * labs.SLOW)
    assert lab.ask(source, SENDER, RECIPIENT, node=1).code == 250


def test_without_redis_nothing_changes_and_changes_are_sent_later(lab, network):
    source = network + "5"
    with lab.stopped("redis"):
        assert lab.ask(source, SENDER, RECIPIENT, node=1).code == 451
        time.sleep(BLOCK_SEC + 0.2)
        assert lab.deliver(source, SENDER, RECIPIENT, messages.make(2, 300), node=1).code == 250
        assert _state(lab, 2, source) == "unknown"
    # Redis comes back empty: both nodes send what they have.
    _arrives(lab, 2, source, PASSED, 30)
    assert lab.ask(source, SENDER, RECIPIENT, node=2).code == 250


def test_a_node_that_was_away_catches_up(lab, network):
    source = network + "5"
    with lab.stopped("control2"):
        assert lab.ask(source, SENDER, RECIPIENT, node=1).code == 451
        time.sleep(BLOCK_SEC + 0.2)
        assert lab.deliver(source, SENDER, RECIPIENT, messages.make(3, 300), node=1).code == 250
    _arrives(lab, 2, source, PASSED, 30)


def test_redis_that_hangs_delays_nobody(lab, network):
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
    server = redis.Redis(port=lab.lab()["ports"]["redis"])
    spoiled = 0
    for key in server.scan_iter("greyline*"):
        kind = server.type(key)
        if kind == b"hash":
            server.hset(key, mapping={b"\xff" * 8: b"rubbish", b"x": b""})
        elif kind == b"stream":
            server.xadd(key, {b"rubbish": b"\xff\xfe"})
        spoiled += kind in (b"hash", b"stream")
    assert spoiled > 0
    labs.wait_until(lambda: lab.ctl_json("status", node=2)["redis"]["refused"] > 0, 10, "the garbage is counted")
    source = network + "5"
    assert lab.ask(source, SENDER, RECIPIENT, node=1).code == 451
    _arrives(lab, 2, source, WAITING, 10 * labs.SLOW)
    assert lab.pid("control1") and lab.pid("control2")
