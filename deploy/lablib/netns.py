# SPDX-License-Identifier: Apache-2.0
"""Calls inside a network namespace. A socket belongs to the namespace of the thread that made it, for life."""

import contextlib
import ctypes
import os
import socket
import subprocess

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _setns(fd):
    if _libc.setns(fd, _CLONE_NEWNET) != 0:
        error = ctypes.get_errno()
        raise OSError(error, "setns: " + os.strerror(error))


@contextlib.contextmanager
def inside(name):
    """Run the block in the namespace; this thread only, and it is back in its own afterwards."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open("/run/netns/" + name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            _setns(own)
    finally:
        os.close(own)


def connect(name, address, port, source=None, timeout=10):
    """A TCP connection made in the namespace; the socket may be used from anywhere."""
    with inside(name):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        if source:
            sock.bind((source, 0))
        sock.connect((address, port))
    except BaseException:
        sock.close()
        raise
    return sock


def exists(name):
    return os.path.exists("/run/netns/" + name)


def pids(name):
    """The processes in the namespace."""
    answer = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False)
    return [int(pid) for pid in answer.stdout.split()]
