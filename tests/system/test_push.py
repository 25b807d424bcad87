# SPDX-License-Identifier: Apache-2.0
"""Policy pushes: twenty under load, each seen on the wire within a second; and what happens to broken ones."""

import time

import pytest

from lablib import smtp

import labs
import loads
from policies import policy

LAB = {"policy": policy(), "options": ["--backend", "sink"]}
SCALE = 0.2 if labs.SLOW > 1 else 1.0


def _greeting(lab, source):
    with lab.client(source, timeout=5) as client:
        return client.reply().code


def _denied(lab):
    return sum(value for name, value in lab.metrics().items() if name.startswith("greyline_denied_total"))


def _with_denied(number):
    """A policy under which exactly the first `number` of the probed clients are denied."""
    denied = ", ".join(f"198.18.93.{host}" for host in range(1, number + 1))
    return policy(deny=f"[{denied}]")


def test_twenty_pushes_under_load_each_within_a_second(lab, tmp_path):
    took = []
    with loads.running(lab, str(tmp_path), rate=200 * SCALE, open=int(500 * SCALE), data=20 if SCALE == 1 else 5) as load:
        for number in range(1, 21):
            source = f"198.18.93.{number}"
            assert _greeting(lab, source) == 220
            path = lab.policy_file(_with_denied(number), f"push{number}.yaml")
            lab.ctl("policy", "push", path)
            began = time.monotonic()
            labs.wait_until(lambda: _greeting(lab, source) == 554, 10, f"push {number} is in force")
            took.append(time.monotonic() - began)
    assert max(took) < 1.0 * labs.SLOW, took
    assert load.summary["lost"] == [], load.summary["lost"][:5]
    assert set(load.summary["codes"]) <= {"451"}
    loads.judge_messages(load.summary, lab.ledger())


def test_drop_gives_no_answer_at_all_from_the_push_on(lab):
    lab.ctl("policy", "push", lab.policy_file(policy(deny="[198.18.93.0/24]\n    deny_action: drop"), "drop.yaml"))
    before = _denied(lab)
    with pytest.raises(TimeoutError):
        lab.client("198.18.93.30", timeout=2)
    assert _denied(lab) > before
    assert _greeting(lab, "198.18.94.30") == 220
    lab.ctl("policy", "push", lab.policy_file(policy(deny="[198.18.93.0/24]"), "reject.yaml"))
    assert _greeting(lab, "198.18.93.30") == 554


def test_a_session_lives_through_a_push(lab):
    with lab.client("198.18.90.5") as client:
        client.hello()
        client.envelope("a@example.com", "b@example.org")
        lab.ctl("policy", "push", lab.policy_file(_with_denied(20)))
        assert client.message(b"Subject: x\r\n\r\nx\r\n").code == 250
        client.quit()


@pytest.mark.parametrize("break_it, key", [
    (lambda text: text.replace("block: 2s", "block: soon"), "policies.default.greylist.block"),
    (lambda text: text.replace("unconfirmed: score", "unconfirmd: score"), "policies.default.reverse_dns.unconfirmd"),
    (lambda text: text + "\n\t- broken", ""),
    (lambda text: text.replace("{pool: main}", "{pool: mian}", 1), "domains."),
])
def test_a_broken_policy_is_refused_with_file_line_column_and_key(lab, break_it, key):
    before = lab.ctl_json("status")
    path = lab.policy_file(break_it(_with_denied(20)), "broken.yaml")
    for verb in ("check", "push"):
        refused = lab.ctl("policy", verb, path, check=False)
        said = refused.stdout + refused.stderr
        assert refused.returncode == 1
        assert smtp.re.search(r"broken\.yaml:\d+:\d+: " + smtp.re.escape(key), said), said
    assert _greeting(lab, "198.18.93.20") == 554, "the running policy stayed"
    assert before.get("policy_version") == lab.ctl_json("status").get("policy_version")


def test_rollback(lab):
    lab.ctl("policy", "push", lab.policy_file(_with_denied(20)))
    assert _greeting(lab, "198.18.93.3") == 554
    lab.ctl("policy", "push", lab.policy_file(_with_denied(0)))
    labs.wait_until(lambda: _greeting(lab, "198.18.93.3") == 220, 5, "the new policy is in force")
    lab.ctl("policy", "rollback")
    labs.wait_until(lambda: _greeting(lab, "198.18.93.3") == 554, 5, "the former policy is in force")
    assert len(lab.ctl_json("policy", "versions")) > 2
