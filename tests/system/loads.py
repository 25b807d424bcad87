# SPDX-License-Identifier: Apache-2.0
"""Runs load.py beside a test, and judges what became of its clients."""

import contextlib
import json
import os
import signal
import subprocess
import sys

import labs

HERE = os.path.dirname(os.path.abspath(__file__))


class Load:
    """A running load; `summary` is there once it ended."""

    def __init__(self, lab, directory, **options):
        self.path = os.path.join(directory, "load.out")
        argv = [arg for key, value in options.items() for arg in ("--" + key.replace("_", "-"), str(value))]
        with open(self.path, "wb") as out:
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", lab.names.client_ns, sys.executable, "-B", os.path.join(HERE, "load.py"), *argv],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.summary = None

    def lines(self):
        with open(self.path, encoding="utf-8") as file:
            return [line for line in file.read().splitlines() if line]

    def now(self):
        """The newest line of its telling, or an empty one."""
        for line in reversed(self.lines()):
            if line.startswith('{"held"'):
                return json.loads(line)
        return {"held": 0, "started": 0, "finished": 0, "messages": 0, "lost": 0}

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(90)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        lines = self.lines()
        assert lines and lines[-1].startswith('{"summary"'), "\n".join(lines[-20:])
        self.summary = json.loads(lines[-1])["summary"]
        tell(self.summary)
        return self.summary


@contextlib.contextmanager
def running(lab, directory, open=500, data=20, rate=200, **options):  # pylint: disable=redefined-builtin
    """The load of the issue: so many new sessions a second, open ones, messages on their way. Complete on entry."""
    load = Load(lab, directory, open=open, data=data, rate=rate, **options)
    try:
        labs.wait_until(lambda: load.now()["held"] >= open and load.now()["messages"] >= data, 60 * labs.SLOW,
                        f"the load is complete: {load.now()}")
        yield load
    finally:
        load.end()


def tell(summary):
    """One line about a load, shown with pytest -s or on a failure."""
    print(f"load: {summary['started']} new sessions, codes {summary['codes']}, {len(summary['lost'])} lost, slowest "
          f"reply {summary['slowest']:.2f} s, {len(summary['messages'])} messages, "
          f"{sum(message['code'] == 250 for message in summary['messages'])} acknowledged")


def judge_messages(summary, ledger):
    """Acknowledged means kept, and kept means sent whole; returns how many of each there were."""
    stored = [entry["sha256"] for entry in ledger]
    acknowledged = [message["sha256"] for message in summary["messages"] if message["code"] == 250]
    missing = [digest for digest in acknowledged if digest not in stored]
    assert not missing, f"{len(missing)} messages were acknowledged that the backend does not have"
    doubled = [digest for digest in set(stored) if stored.count(digest) > 1]
    assert not doubled, f"{len(doubled)} messages are there twice"
    dotted = {message["sha256"] for message in summary["messages"] if message["dot"]}
    assert set(stored) <= dotted, "the backend has a message whose sender never ended it"
    return len(acknowledged), len(stored)
