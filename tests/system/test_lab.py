# SPDX-License-Identifier: Apache-2.0
"""The lab itself: what outside tools rely on."""

import json
import os
import re
import signal
import socket
import subprocess

from lablib import names as n
from lablib import netns
from lablib import proc

import labs
from policies import policy


def _leftovers(lab):
    """Everything on this machine that bears the lab's name."""
    found = [name for name in (lab.names.client_ns, lab.names.backend_ns) if netns.exists(name)]
    found += [name for name in os.listdir("/sys/class/net") if name.startswith(lab.name + "-")]
    found += [path for path in (lab.names.run, lab.names.state) if os.path.exists(path)]
    found += [f"process {pid}" for pid in proc.marked(n.MARK, lab.names.mark) if proc.start_time(pid) is not None]
    return found


def test_env_names_everything_that_tools_rely_on(own_lab):
    own_lab.up(policy())
    env = own_lab.env()
    wanted = {"GL_CLIENT_NS", "GL_BACKEND_NS", "GL_FRONT4", "GL_FRONT6", "GL_BACKEND4", "GL_BACKEND_PORT",
              "GL_ADMIN_SOCKET", "GL_HTTP", "GL_DNS", "GL_DOMAINS", "GL_CONTROL_PID", "GL_DATAPLANE_PID", "GL_LOG"}
    assert wanted <= env.keys()
    assert env["GL_CLIENT_NS"] == own_lab.name + "-gl-client"
    assert env["GL_BACKEND_NS"] == own_lab.name + "-gl-backend"
    assert os.path.exists(env["GL_ADMIN_SOCKET"])
    for key in ("GL_CONTROL_PID", "GL_DATAPLANE_PID"):
        name = os.path.basename(os.readlink(f"/proc/{env[key]}/exe"))
        assert name == "greyline-" + key[3:-4].lower()
    assert own_lab.http("/healthz")[0] == 200
    for command in (("--json", "status"), ("status", "--json"), ("--", "--json", "status")):
        assert json.loads(own_lab.run("ctl", *command).stdout)["policy_version"] == 1

    second = own_lab.run("up", "--build", labs.BUILD, check=False)
    assert second.returncode == 1
    assert re.fullmatch(r"lab: already up: [^\n]*\n", second.stderr) and second.stdout == ""
    assert own_lab.run("exec", "client", "--", "true").returncode == 0
    assert own_lab.run("exec", "backend", "--", "sh", "-c", "exit 7", check=False).returncode == 7

    # Who is killed comes back, and env knows the new one.
    for process, key in (("control1", "GL_CONTROL_PID"), ("dataplane1", "GL_DATAPLANE_PID")):
        before = own_lab.env()[key]
        own_lab.kill(process)
        assert own_lab.env()[key] not in ("", before)
    own_lab.wait_for_port_25()

    own_lab.down()
    assert _leftovers(own_lab) == []


def test_down_removes_what_a_crash_left(own_lab):
    own_lab.up(policy(), "--redis")
    with open(own_lab.names.pids_file, encoding="utf-8") as file:
        os.kill(json.load(file)["supervisor"]["pid"], signal.SIGKILL)
    again = own_lab.run("up", "--build", labs.BUILD, check=False)
    assert again.returncode == 1 and "deploy/lab down" in again.stderr
    assert _leftovers(own_lab) != []
    own_lab.down()
    assert _leftovers(own_lab) == []


def test_no_restart_leaves_dead_what_was_killed(own_lab):
    own_lab.up(policy(), "--no-restart")
    own_lab.kill("control1", wait=False)
    labs.wait_until(lambda: own_lab.env()["GL_CONTROL_PID"] == "", 5, "env says that control is gone")
    # Several times as long as a restart takes, and still dead.
    subprocess.run(["sleep", "2"], check=True)
    assert own_lab.env()["GL_CONTROL_PID"] == ""
    assert own_lab.ask(labs.fresh_network() + "5", "a@example.com", "b@example.org").code in (250, 451)
    own_lab.run("start", "control1")
    assert own_lab.env()["GL_CONTROL_PID"] != ""


def test_none_leaves_the_addresses_to_others(own_lab):
    own_lab.up(policy(), "--dns", "none", "--backend", "none")
    env = own_lab.env()
    host, port = env["GL_DNS"].split(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as dns:
        dns.bind((host, int(port)))
    with netns.inside(env["GL_BACKEND_NS"]):
        backend = socket.socket()
    with backend:
        backend.bind((env["GL_BACKEND4"], int(env["GL_BACKEND_PORT"])))


def test_it_does_not_come_up_with_a_broken_policy(own_lab):
    path = own_lab.policy_file(policy().replace("pool: main", "pool: mian"))
    failed = own_lab.run("up", "--build", labs.BUILD, "--policy", path, check=False)
    assert failed.returncode == 1
    line = failed.stderr.strip().splitlines()[-1]
    assert re.search(r"policy\.yaml:\d+:\d+: domains\.", line), line
    assert _leftovers(own_lab) == []
