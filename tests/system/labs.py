# SPDX-License-Identifier: Apache-2.0
"""A lab for tests: deploy/lab, and what tests ask of it."""

import contextlib
import itertools
import json
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request

from lablib import appliance
from lablib import mail
from lablib import names as n
from lablib import proc
from lablib import smtp

LAB = os.path.join(n.REPOSITORY, "deploy", "lab")
BUILD = os.environ.get("GREYLINE_BUILD", os.path.join(n.REPOSITORY, "build"))
# A program with sanitizers is several times slower; limits that are not the point of a test are stretched.
SLOW = 4.0 if os.environ.get("GREYLINE_ASAN") else 1.0

_networks = itertools.count()


def fresh_network():
    """The first three numbers of a client network that no test has used, with a confirmed reverse name."""
    number = next(_networks)
    assert number < 156, "every client network is in use"
    return f"198.18.{100 + number}."


def fresh_network6():
    """A fresh /64, up to its last colons."""
    return f"2001:2:0:1{next(_networks):03x}::"


def wait_until(question, seconds, what):
    """Ask until the answer is true, and return it; fail when time is up. what: text, or what makes it."""
    deadline = time.monotonic() + seconds
    while True:
        answer = question()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what() if callable(what) else what}"
        time.sleep(0.05)


class Lab:
    """One lab, brought up by up() and removed by down()."""

    def __init__(self, name, directory):
        self.name = name
        self.names = n.Names(name)
        self.directory = directory

    # ---- the lab itself

    def run(self, *args, check=True, timeout=180):
        verb, *rest = args
        done = subprocess.run([LAB, verb, *(["--name", self.name] if self.name else []), *rest],
                              capture_output=True, text=True, timeout=timeout, check=False)
        assert not check or done.returncode == 0, f"lab {' '.join(args)}: {done.stdout}{done.stderr}"
        return done

    def policy_file(self, text, name="policy.yaml"):
        path = os.path.join(self.directory, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def up(self, policy=None, *options):
        if policy:
            options = (*options, "--policy", self.policy_file(policy))
        return self.run("up", "--build", BUILD, *options)

    def down(self):
        return self.run("down", "--quiet")

    def env(self):
        lines = self.run("env").stdout.splitlines()
        return dict(line.split("=", 1) for line in lines)

    def stop(self, process):
        self.run("stop", process)

    def start(self, process):
        self.run("start", process)
        if process.startswith("control"):
            self.wait_for_control(int(process.removeprefix("control")))

    def wait_for_control(self, node=1):
        wait_until(lambda: self.ctl("status", node=node, check=False).returncode == 0, 10 * SLOW,
                   f"control of node {node} answers")

    @contextlib.contextmanager
    def stopped(self, process):
        self.stop(process)
        try:
            yield
        finally:
            self.start(process)

    def pid(self, process):
        """The pid of a process that runs, or None."""
        try:
            with open(self.names.pids_file, encoding="utf-8") as file:
                record = json.load(file)["services"][process]
        except FileNotFoundError:
            return None
        return record["pid"] if proc.is_alive(record) else None

    def kill(self, process, wait=True):
        """SIGKILL; returns once another one runs in its place."""
        old = wait_until(lambda: self.pid(process), 10, f"{process} runs")
        os.kill(old, signal.SIGKILL)
        if not wait:
            return None
        return wait_until(lambda: self.pid(process) not in (None, old) and self.pid(process), 5 * SLOW,
                          f"{process} runs again")

    # ---- its clients

    def client(self, source=None, node=1, ipv6=False, timeout=20):
        front = n.FRONT6 if ipv6 or (source and ":" in source) else n.FRONT4
        return smtp.Client(self.names.client_ns, front[node - 1], source=source, timeout=timeout * SLOW)

    def ask(self, source, sender, *recipients, node=1):
        """A session up to the last RCPT. Returns the reply that refused, or the last one."""
        with self.client(source, node) as client:
            reply = client.hello()
            if reply.code == 250:
                reply = client.envelope(sender, *recipients)
            if reply.code != 421:
                client.quit()
            return reply

    def deliver(self, source, sender, recipients, content, node=1, timeout=60):
        """A session with one message. Returns the last reply before QUIT."""
        with self.client(source, node, timeout=timeout) as client:
            reply = client.hello()
            if reply.code == 250:
                reply = client.envelope(sender, *([recipients] if isinstance(recipients, str) else recipients))
            if reply.code == 250:
                reply = client.message(content)
            client.quit()
            return reply

    def in_client(self, *argv, timeout=60, **kwargs):
        return subprocess.run(["ip", "netns", "exec", self.names.client_ns, *argv], capture_output=True, text=True,
                              timeout=timeout, check=False, **kwargs)

    def swaks(self, source, *args, node=1):
        return self.in_client("swaks", "--server", n.FRONT4[node - 1], "--local-interface", source, *args)

    def wait_for_port_25(self, node=1, seconds=30):
        def answers():
            try:
                with self.client(node=node, timeout=5) as client:
                    return client.reply().code == 220
            except (OSError, smtp.Lost):
                return False
        wait_until(answers, seconds * SLOW, f"node {node} answers on port 25")

    # ---- what it says

    def ctl(self, *args, node=1, check=True):
        """greylinectl; returns its output."""
        done = subprocess.run([program("greylinectl"), "--run-dir", self.names.node_run(node), *args],
                              capture_output=True, text=True, timeout=60, check=False)
        assert not check or done.returncode == 0, f"greylinectl {' '.join(args)}: {done.stdout}{done.stderr}"
        return done.stdout if check else done

    def ctl_json(self, *args, node=1):
        return json.loads(self.ctl("--json", *args, node=node))

    def http(self, path, node=1):
        """Returns (status, text)."""
        port = self.lab()["ports"][f"http{node}"]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metrics(self, node=1):
        """Metric name with labels -> value."""
        status, text = self.http("/metrics", node)
        assert status == 200
        lines = [line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, value in lines}

    def events(self, node=1):
        """Every event of the appliance's log."""
        path = os.path.join(self.names.node_state(node), "greyline.log")
        if not os.path.exists(path):
            return []
        with open(path, encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.endswith("\n")]

    def wait_for_event(self, node=1, seconds=10, **wanted):
        """The first event with these fields."""
        def find():
            return next((event for event in self.events(node)
                         if all(event.get(key) == value for key, value in wanted.items())), None)
        return wait_until(find, seconds * SLOW, f"a log event with {wanted}")

    def digests(self):
        return mail.digests(self.names)

    def ledger(self):
        """The sink's ledger."""
        path = os.path.join(mail.sink_dir(self.names), "ledger.jsonl")
        if not os.path.exists(path):
            return []
        with open(path, encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.endswith("\n")]

    def behave(self, **rules):
        """Tell the sink what to do other than well; nothing: be good again."""
        path = os.path.join(mail.sink_dir(self.names), "behave.json")
        with open(path + ".new", "w", encoding="utf-8") as file:
            json.dump(rules, file)
        os.rename(path + ".new", path)

    def list_client(self, zone, address):
        """Add an address to a blocklist; in force within a second or so."""
        suffix = "ip6" if ":" in address else "ip4"
        with open(os.path.join(self.names.dns, f"{zone}.greyline.test.{suffix}"), "a", encoding="ascii") as file:
            file.write(address + "\n")
        time.sleep(1.2)  # rbldnsd looks at its files once a second and tells nobody when it has

    def lab(self):
        """The lab as lab.json has it."""
        with open(self.names.lab_file, encoding="utf-8") as file:
            return json.load(file)


def count(lab, name):
    """A counter or gauge of the first node, over its workers."""
    return sum(value for key, value in lab.metrics().items()
               if re.match(rf"greyline_{name}(_total)?(\{{|$)", key))


def program(name):
    path = appliance.program(BUILD, name)
    assert path, f"no {name} in {BUILD}"
    return path
