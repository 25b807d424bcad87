# SPDX-License-Identifier: Apache-2.0
"""Section 9 of the design: DNS gone, control gone or hung, and programs that cannot start."""

import os
import signal
import subprocess
import time

import labs
import messages
from policies import BLOCK_SEC, LISTED, TRUSTED, policy

# The resolver itself is supplied by the lab.
LAB = {"policy": policy(more="dns: {deadline: 2s, timeout: 500ms}"), "options": ["--backend", "sink"]}
DEADLINE_SEC = 2.0


def test_without_dns_nobody_waits_past_the_deadline_and_nobody_is_exempt(lab, network):
    with lab.stopped("unbound"):
        began = time.monotonic()
        assert lab.ask(network + "5", "a@example.com", "b@example.org").code == 451
        assert time.monotonic() - began < (DEADLINE_SEC + 2) * labs.SLOW
        time.sleep(BLOCK_SEC + 0.2)
        assert lab.ask(network + "5", "a@example.com", "b@example.org").code == 250
        # on_dns_failure is greylist: also a listed client is only that, as long as nobody can know.
        assert lab.ask(LISTED + "55", "a@example.com", "b@example.org").code == 451
        assert lab.deliver(TRUSTED + "5", "a@example.com", "b@example.org", messages.make(1, 500)).code == 250
    def refused():
        return lab.ask(LISTED + "56", "a@example.com", "b@example.org").code == 554
    labs.wait_until(refused, 30, "the zones are asked again")


def test_without_control_mail_flows_from_the_tables(lab, network):
    known, new = network + "5", labs.fresh_network() + "5"
    assert lab.ask(known, "a@example.com", "b@example.org").code == 451
    assert lab.ask(LISTED + "57", "a@example.com", "b@example.org").code == 554
    with lab.stopped("control1"):
        time.sleep(BLOCK_SEC + 0.2)
        assert lab.ask(known, "a@example.com", "b@example.org").code == 250
        assert lab.ask(LISTED + "57", "a@example.com", "b@example.org").code == 554, "answers are still known"
        began = time.monotonic()
        assert lab.ask(new, "a@example.com", "b@example.org").code == 451
        assert time.monotonic() - began < (DEADLINE_SEC + 2) * labs.SLOW
    labs.wait_until(lambda: lab.ask(LISTED + "58", "a@example.com", "b@example.org").code == 554, 20,
                    "questions are answered again")
    assert lab.wait_for_event(event="rcpt", client=new)["code"] == 451, "what happened meanwhile is logged"


def test_a_hung_control_delays_nobody_beyond_the_deadline(lab, network):
    pid = lab.pid("control1")
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert lab.ask(network + "5", "a@example.com", "b@example.org").code == 451
        assert time.monotonic() - began < (DEADLINE_SEC + 2) * labs.SLOW
    finally:
        os.kill(pid, signal.SIGCONT)
    assert lab.ctl_json("status")


def _start(lab, name, *args):
    return subprocess.run([labs.program(name), *args], capture_output=True, text=True, timeout=60, check=False)


def _one_line(done):
    said = (done.stderr + done.stdout).strip()
    assert done.returncode != 0 and said, done
    lines = [line for line in said.splitlines() if not line.startswith("EAL:")]
    assert len(lines) == 1, said
    return lines[0]


def test_a_second_control_on_the_same_directory_is_refused(lab):
    run, state = lab.names.node_run(1), lab.names.node_state(1)
    line = _one_line(_start(lab, "greyline-control", "--run-dir", run, "--state-dir", state,
                            "--policy", os.path.join(lab.directory, "policy.yaml")))
    assert run in line or "another" in line.lower() or "already" in line.lower()


def test_a_second_dataplane_on_the_same_directory_is_refused(lab):
    line = _one_line(_start(lab, "greyline-dataplane", "--run-dir", lab.names.node_run(1),
                            "--state-dir", lab.names.node_state(1)))
    assert "already" in line.lower() or "another" in line.lower()


def test_a_device_that_is_not_there_is_named(own_lab):
    text = policy(more="""
ports:
    - {name: front, device: "net_af_packet0,iface=nosuch0", addresses: [198.18.0.25/24, "2001:2::25/120"]}
    - {name: back, device: "net_af_packet1,iface=nosuch1", addresses: [198.19.0.25/24]}
""")
    path = own_lab.policy_file(text)
    failed = own_lab.run("up", "--build", labs.BUILD, "--policy", path, "--no-restart", check=False)
    assert failed.returncode == 1
    line = failed.stderr.strip().splitlines()[-1]
    assert "nosuch0" in line, failed.stderr


def test_redis_that_is_not_there_is_no_reason_not_to_start(own_lab):
    own_lab.up(policy(more="store: {redis: {host: 127.0.0.1, port: 9}}"), "--dns", "none")
    assert own_lab.ask(labs.fresh_network() + "5", "a@example.com", "b@example.org").code == 451
