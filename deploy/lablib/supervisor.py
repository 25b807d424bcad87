#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Keeps the lab's processes running, as systemd would: `supervisor.py NAME`, started by `deploy/lab up`.

It reads what to run from lab.json, starts everything in order, starts again what ends, and writes the present
pids to pids.json at every change. A file in the directory hold/ named like a process stops that process and
keeps it stopped; one named like it with .start behind starts one that has ended for good (--no-restart). SIGTERM
stops everything in reverse order.
"""

import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from lablib import names as n  # noqa: E402
from lablib import proc  # noqa: E402

RESTART_FIRST_SEC = 0.2  # from an end to the next start
RESTART_MAX_SEC = 4.0    # of a process that ends again and again; below the 5 s that are promised
STEADY_SEC = 10.0        # a process that ran so long starts with the first delay again
STOP_SEC = 8.0           # between SIGTERM and SIGKILL
TICK_SEC = 0.1
WATCHED = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT)


def _in_child():
    signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)


class Service:
    """One process to keep running."""

    def __init__(self, spec, hold, restart):
        self.name = spec["name"]
        self.argv = spec["argv"]
        if spec.get("ns"):
            self.argv = ["ip", "netns", "exec", spec["ns"], *self.argv]
        self.log = spec["log"]
        self.env = spec.get("env", {})
        self.hold = os.path.join(hold, self.name)
        self.wanted = self.hold + ".start"
        self.restart = restart
        self.process = None
        self.started = 0.0
        self.due = 0.0      # when to start it; None: not again
        self.delay = RESTART_FIRST_SEC
        self.restarts = -1
        self.last_end = ""

    def start(self, now):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env={**os.environ, **self.env}, start_new_session=True,
                                            preexec_fn=_in_child)
        self.started = now
        self.restarts += 1

    def ended(self, now):
        code = self.process.returncode
        self.last_end = f"signal {-code}" if code < 0 else f"exit {code}"
        self.process = None
        if now - self.started > STEADY_SEC:
            self.delay = RESTART_FIRST_SEC
        self.due = now + self.delay if self.restart else None
        self.delay = min(2 * self.delay, RESTART_MAX_SEC)

    def turn(self, now):
        """Bring it one step nearer to what it should be. Returns whether anything changed."""
        if self.process is not None and self.process.poll() is not None:
            self.ended(now)
            return True
        if os.path.exists(self.hold):
            self.due, self.delay = 0.0, RESTART_FIRST_SEC
            if self.process is not None:
                self.stop()
                return True
            return False
        if os.path.exists(self.wanted):
            os.unlink(self.wanted)
            self.due, self.delay = 0.0, RESTART_FIRST_SEC
        if self.process is None and self.due is not None and now >= self.due:
            self.start(now)
            return True
        return False

    def stop(self):
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_SEC)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.last_end = "stopped"
        self.process = None

    def record(self):
        pid = self.process.pid if self.process is not None else None
        return {"pid": pid, "start": proc.start_time(pid) if pid else None, "restarts": max(self.restarts, 0),
                "last_end": self.last_end}


def write_json(path, value):
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(value, file)
    os.rename(path + ".new", path)


def main():
    names = n.Names(sys.argv[1] if len(sys.argv) > 1 else "")
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    with open(names.lab_file, encoding="utf-8") as file:
        lab = json.load(file)
    services = [Service(spec, names.hold, lab["restart"]) for spec in lab["services"]]

    def write_pids():
        write_json(names.pids_file, {
            "supervisor": {"pid": os.getpid(), "start": proc.start_time(os.getpid())},
            "services": {service.name: service.record() for service in services}})

    write_pids()
    while True:
        now = time.monotonic()
        # Each list in full: any() alone would stop at the first change.
        if any([service.turn(now) for service in services]):
            write_pids()
        signum = signal.sigtimedwait(WATCHED, TICK_SEC)
        if signum is not None and signum.si_signo != signal.SIGCHLD:
            break
    for service in reversed(services):
        service.stop()
    write_pids()


if __name__ == "__main__":
    main()
