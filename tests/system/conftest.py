# SPDX-License-Identifier: Apache-2.0
"""The real programs in the lab. Needs root and the packages of deploy/packages; tests/run starts it.

A module says in LAB what its lab looks like: {"policy": text, "options": [...]}; its tests share that lab.
Each test uses client networks of its own, so that none meets what another left in the greylist.
"""

import fcntl
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(os.path.dirname(HERE)), "deploy")]

import labs  # noqa: E402

LOCKS = "/tmp/greyline-system-tests.{}.lock"  # one a run: whoever holds it has the lab of that number


def pytest_collection_modifyitems(items):
    if os.geteuid() != 0:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="needs root: it makes network namespaces"))


@pytest.fixture(scope="session")
def lab_name():
    """A name for this run's labs: beside a lab that a person has, and those of another run at the same time."""
    for number in range(10):
        lock = open(LOCKS.format(number), "w", encoding="ascii")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        with lock:
            yield f"st{number}"
            os.unlink(lock.name)
        return
    pytest.fail("ten runs of the system tests are at work on this machine")


@pytest.fixture(scope="module")
def lab(request, lab_name, tmp_path_factory):
    wanted = request.module.LAB
    lab = labs.Lab(lab_name, str(tmp_path_factory.mktemp("lab")))
    lab.down()
    lab.up(wanted.get("policy"), *wanted.get("options", []))
    yield lab
    if request.session.testsfailed and os.environ.get("GREYLINE_KEEP"):
        return
    lab.down()


@pytest.fixture(scope="module")
def wire(lab):
    """The clients' link, for peers made of crafted segments."""
    from bridge import peer as raw  # scapy: only where a test wants it

    wire = raw.Wire(lab)
    yield wire
    wire.close()


@pytest.fixture
def own_lab(lab_name, tmp_path):
    """A lab that the test brings up itself."""
    lab = labs.Lab(lab_name, str(tmp_path))
    lab.down()
    yield lab
    lab.down()


@pytest.fixture
def network():
    return labs.fresh_network()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """On a failure, show the ends of the lab's logs before the lab is gone."""
    outcome = yield
    report = outcome.get_result()
    lab = item.funcargs.get("lab") or item.funcargs.get("own_lab") if hasattr(item, "funcargs") else None
    if report.failed and lab is not None and os.path.isdir(lab.names.logs):
        for name in sorted(os.listdir(lab.names.logs)):
            if name.startswith(("control", "dataplane", "supervisor", "sink")):
                with open(os.path.join(lab.names.logs, name), "rb") as file:
                    tail = file.read()[-3000:].decode("utf-8", "replace")
                if tail:
                    report.sections.append((name, tail))
