# SPDX-License-Identifier: Apache-2.0
"""SIGKILL of either program under load: 200 new sessions a second, 500 open, 20 with a message on its way."""

import time

import labs
import loads
from policies import BLOCK_SEC, policy

DEADLINE_SEC = 5.0  # dns.deadline
LAB = {"policy": policy(window="10m"), "options": ["--backend", "sink"]}
# Under sanitizers, on two cores that also carry the clients, DNS and the backend, this much is load enough.
SCALE = 0.2 if labs.SLOW > 1 else 1.0
LOAD = {"rate": 200 * SCALE, "open": int(500 * SCALE), "data": 20 if SCALE == 1 else 5}


def test_control_is_killed_twenty_times_and_nobody_notices(lab, tmp_path):
    before = lab.metrics()
    marked = labs.fresh_network() + "5"
    assert lab.ask(marked, "kept@example.com", "b@example.org").code == 451
    with loads.running(lab, str(tmp_path), **LOAD) as load:
        for _ in range(20):
            lab.kill("control1")
            time.sleep(0.3)
        time.sleep(2.0)
        # New answers arrive: a client that only now is asked about is refused by what DNS says.
        listed = "198.18.10.77"
        assert lab.ask(listed, "a@example.com", "b@example.org").code == 554
    summary = load.summary
    assert summary["lost"] == [], f"{len(summary['lost'])} sessions lost: {summary['lost'][:5]}"
    assert summary["slowest"] < (DEADLINE_SEC + 3.0) * labs.SLOW
    assert set(summary["codes"]) <= {"451"}, summary["codes"]
    acknowledged, _ = loads.judge_messages(summary, lab.ledger())
    assert acknowledged > LOAD["data"]
    # Entries and counters are where they were.
    assert lab.ask(marked, "kept@example.com", "b@example.org").code == 250
    after = lab.metrics()
    fell = [name for name, value in before.items() if "{worker=" in name and "_total" in name and after.get(name, 0) < value]
    assert not fell, fell


def test_dataplane_is_killed_and_no_mail_is_lost(lab, tmp_path):
    waiting, passed = labs.fresh_network() + "5", labs.fresh_network() + "5"
    assert lab.ask(passed, "a@example.com", "b@example.org").code == 451
    time.sleep(BLOCK_SEC + 0.2)
    assert lab.ask(passed, "a@example.com", "b@example.org").code == 250
    assert lab.ask(waiting, "a@example.com", "b@example.org").code == 451
    kept = len(lab.ledger())
    with loads.running(lab, str(tmp_path), patience=10, message_sec=1.5, **{**LOAD, "open": LOAD["open"] // 5}) as load:
        for _ in range(5):
            time.sleep(2.0)
            lab.kill("dataplane1")
            lab.wait_for_port_25()
        time.sleep(3.0)
    acknowledged, stored = loads.judge_messages(load.summary, lab.ledger()[kept:])
    assert acknowledged > 0 and stored >= acknowledged
    assert lab.ask(waiting, "a@example.com", "b@example.org").code == 250, "the greylist was found again"
    assert lab.ask(passed, "a@example.com", "b@example.org").code == 250
