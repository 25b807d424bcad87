# SPDX-License-Identifier: Apache-2.0
"""Install what is needed, build, and run the tests. As root: the system tests make network namespaces.

    tests/run            every test but perf and long fuzzing: unit, session, lint, sim, corpora, system; and the
                         quick ones once more as clang builds them, with AddressSanitizer and UBSan
    tests/run --quick    only what needs no root, no namespaces and under a minute
    tests/run --asan     all of them, the system tests too, in a build with AddressSanitizer and UBSan
    tests/run --long     and a minute of fuzzing for each target, and more seeds for the simulator
    tests/run -- ARGS    ARGS go to pytest, and only the system tests are run

The last line is "N passed, N failed", over all programs and all system tests. The exit code is 0 only if
nothing failed.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree

TESTS = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.dirname(TESTS)
COMMON = ["-Dhot_checks=true"]
SANITIZE = ["-Db_sanitize=address,undefined", "-Db_lundef=false"]
FUZZ_SEC = 5  # for each target, when not --long
# What a sanitizer finds must end the program, or a test could pass over it.
SANITIZE_ENV = {
    "ASAN_OPTIONS": "abort_on_error=1:detect_leaks=0:detect_stack_use_after_return=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "halt_on_error=1:abort_on_error=1:print_stacktrace=1",
}


class Totals:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def add(self, passed, failed, skipped=0):
        self.passed += passed
        self.failed += failed
        self.skipped += skipped

    def line(self):
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"


def say(text):
    print(f"== {text}", flush=True)


def run(*argv, env=None):
    return subprocess.run(argv, cwd=REPOSITORY, env={**os.environ, **(env or {})}, check=False,
                          stdin=subprocess.DEVNULL).returncode


def build(directory, options, env=None):
    """Set up and build; a broken build ends everything, since no test would mean anything."""
    path = os.path.join(REPOSITORY, directory)
    say(f"building in {directory}: {' '.join(options)}")
    fresh = not os.path.exists(os.path.join(path, "build.ninja"))
    setup = ["meson", "setup" if fresh else "configure", path, *([REPOSITORY] if fresh else []), *options]
    log = path + ".log"
    with open(log, "wb") as file:
        for argv in (setup, ["ninja", "-C", path]):
            done = subprocess.run(argv, cwd=REPOSITORY, env={**os.environ, **(env or {})}, stdout=file,
                                  stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False)
            if done.returncode != 0:
                with open(log, encoding="utf-8", errors="replace") as text:
                    sys.stdout.writelines(text.readlines()[-40:])
                print(f"the build in {directory} failed; all of it: {log}")
                print("0 passed, 1 failed")
                sys.exit(1)
    return path


def meson_tests(path, suites, totals, env=None, factor=1):
    say(f"meson test, {' '.join(suites)}, in {os.path.basename(path)}")
    log = os.path.join(path, "meson-logs", "testlog.json")
    if os.path.exists(log):
        os.unlink(log)
    code = run("meson", "test", "-C", path, "--no-rebuild", "--print-errorlogs", "--num-processes", "2",
               "--timeout-multiplier", str(factor), *suites, env=env)
    if not os.path.exists(log):
        if code != 0:
            totals.add(0, 1)
        return
    with open(log, encoding="utf-8") as file:
        results = [json.loads(line)["result"] for line in file if line.strip()]
    good = sum(result in ("OK", "EXPECTEDFAIL") for result in results)
    skipped = results.count("SKIP")
    totals.add(good, len(results) - good - skipped, skipped)


def system_tests(path, totals, extra, asan):
    if os.geteuid() != 0:
        say("system tests: skipped, they need root")
        totals.add(0, 0, 1)
        return
    say("system tests in the lab")
    report = os.path.join(path, "system.xml")
    if os.path.exists(report):
        os.unlink(report)
    env = {"GREYLINE_BUILD": path, "PYTHONDONTWRITEBYTECODE": "1", **(SANITIZE_ENV if asan else {}),
           **({"GREYLINE_ASAN": "1"} if asan else {})}
    code = run("/usr/bin/python3", "-m", "pytest", "-p", "no:cacheprovider", "-ra", "--durations=8", "--tb=short",
               "--junitxml", report, *(extra or [os.path.join(TESTS, "system")]), env=env)
    if not os.path.exists(report):
        totals.add(0, 1)
        return
    failed = skipped = count = 0
    for suite in xml.etree.ElementTree.parse(report).getroot().iter("testsuite"):
        failed += int(suite.get("failures")) + int(suite.get("errors"))
        skipped += int(suite.get("skipped"))
        count += int(suite.get("tests"))
    if code not in (0, 1, 5) and failed == 0:
        failed = 1  # pytest itself did not get through
    totals.add(max(count - failed - skipped, 0), failed, skipped)


def fuzz(path, seconds, totals):
    """Each libFuzzer target for some time. Corpora are replayed by the quick suite already."""
    directory = os.path.join(path, "tests", "fuzz")
    targets = sorted(name for name in os.listdir(directory)
                     if name.endswith("_fuzz") and os.access(os.path.join(directory, name), os.X_OK))
    for target in targets:
        say(f"fuzzing {target} for {seconds} s")
        corpus = os.path.join(TESTS, "fuzz", "corpus", target.removesuffix("_fuzz"))
        found = os.path.join(path, target + ".corpus")
        os.makedirs(found, exist_ok=True)
        code = run(os.path.join(directory, target), f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048",
                   "-verbosity=0", found, *([corpus] if os.path.isdir(corpus) else []), env=SANITIZE_ENV)
        totals.add(int(code == 0), int(code != 0))


def main():
    parser = argparse.ArgumentParser(prog="tests/run", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--asan", action="store_true")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("pytest", nargs="*", help="arguments of pytest, after --")
    options = parser.parse_args()
    began = time.monotonic()
    totals = Totals()

    if run(os.path.join(REPOSITORY, "deploy", "packages")) != 0:
        print("0 passed, 1 failed")
        return 1
    if options.asan:
        path, env = build("build-asan", [*COMMON, *SANITIZE]), SANITIZE_ENV
    else:
        path, env = build("build", COMMON), {}
    if options.long:
        env = {**env, "GREYLINE_LONG": "1"}
    if not options.pytest:
        suites = ["--suite", "quick"] if options.quick else ["--no-suite", "perf"]
        meson_tests(path, suites, totals, env, factor=4 if options.asan else 2)
        if not options.quick and not options.asan:
            # The other compiler, and the sanitizers, in one build.
            clang = build("build-clang", ["-Dfuzzers=true", *COMMON, *SANITIZE], {"CC": "clang"})
            meson_tests(clang, ["--suite", "quick"], totals, SANITIZE_ENV, factor=4)
            fuzz(clang, 60 if options.long else FUZZ_SEC, totals)
    if not options.quick:
        system_tests(path, totals, options.pytest, options.asan)
    print(f"== done in {time.monotonic() - began:.0f} s")
    print(totals.line(), flush=True)
    return 0 if totals.failed == 0 and totals.passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
