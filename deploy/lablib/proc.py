# SPDX-License-Identifier: Apache-2.0
"""Processes by number, told apart from later ones with the same number by when they started."""

import os
import signal
import time


def start_time(pid):
    """Ticks between boot and the start of the process, or None when there is none (a zombie counts as none)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def is_alive(record):
    """Is the process of {"pid", "start"} the one that was recorded?"""
    pid = record.get("pid")
    return bool(pid) and start_time(pid) is not None and start_time(pid) == record.get("start")


def marked(key, value):
    """The processes with KEY=VALUE in the environment that they were started with."""
    wanted = f"{key}={value}".encode()
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                with open(f"/proc/{entry}/environ", "rb") as file:
                    if wanted in file.read().split(b"\0"):
                        found.append(int(entry))
            except OSError:
                pass
    return found


def end(pid, start, wait_sec):
    """SIGTERM, and SIGKILL when it is still there after wait_sec."""
    for signum, limit in ((signal.SIGTERM, wait_sec), (signal.SIGKILL, 5.0)):
        if start_time(pid) != start:
            return
        try:
            os.kill(pid, signum)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + limit
        while start_time(pid) == start and time.monotonic() < deadline:
            time.sleep(0.02)
