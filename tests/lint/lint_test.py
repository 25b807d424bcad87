#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What can be said about every file without running it: arrows, sizes, words, licences, counters.

Each check prints every finding as file:line: what, so that one run shows all of them.
"""
import configparser
import glob
import os
import re
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import counters_doc  # noqa: E402  (beside this file)

ROOT = counters_doc.ROOT
LINES_MAX = 700

# Which parts of the dataplane a part may include; the arrows go down only. The programs' own files may include all.
ARROWS = {
    'shared': [],
    'port': ['shared'],
    'ip': ['port', 'shared'],
    'tcp': ['ip', 'port', 'shared'],
    'smtp': ['shared'],
    'policy': ['shared'],
    'tls': ['shared'],
    'ask': ['shared'],
    'relay': ['tcp', 'ip', 'port', 'smtp', 'shared'],
    'session': ['relay', 'smtp', 'policy', 'tls', 'ask', 'tcp', 'ip', 'port', 'shared'],
}

# Who may include a library's headers: path prefixes. DPDK is known to port/ and the program's own files alone.
LIBRARIES = {
    'rte_': ['dataplane/port/', 'dataplane/*.'],
    'openssl/': ['dataplane/tls/', 'dataplane/shared/secret.c', 'control/'],
    'ares': ['control/dns/'],
    'hiredis': ['control/store/'],
    'sqlite3': ['control/log/', 'control/store/', 'control/report/'],
    'yaml.h': ['control/policy/'],
    'microhttpd': ['control/http'],
    'zstd': ['control/store/', 'control/log/'],
}

GENERATED = re.compile(r'Made (by|from) .*do not edit')
WORDS = [
    (re.compile(r'\bTO' r'DO\b(?! ?\(?#\d+)'), 'a to-do without an issue number'),
    (re.compile(r'\bX' r'XX\b'), 'three crosses'),
    (re.compile(r'\bFIX' r'ME\b'), 'a fix-me'),
    (re.compile(r'^\s*#\s*if 0\b'), 'code that is switched off'),
]
PROGRAM_WORDS = [
    (re.compile(r'(?<!\w)(sprintf|vsprintf|gets|strtok|alloca)\('), 'a function without a bound'),
]
C_WORDS = [
    (re.compile(r'(^|[^:"\'/])//(?![^"]*"[^"]*$)'), 'a comment that is not /* */'),
    (re.compile(r'\t'), 'a tab'),
]


def project_files():
    """Every source file, as a path from the root."""
    for top in ('dataplane', 'control', 'tests', 'deploy', 'yaml', '.ci'):
        for directory, names, files in os.walk(os.path.join(ROOT, top)):
            names[:] = [name for name in names if name not in ('__pycache__', 'corpus', 'build')]
            for name in files:
                if name.endswith(('.pyc', '.orig', '.swp')):
                    continue
                yield os.path.relpath(os.path.join(directory, name), ROOT)
    for name in ('meson.build', 'meson_options.txt'):
        yield name


def read(path):
    with open(os.path.join(ROOT, path), encoding='utf-8', errors='replace') as source:
        return source.read()


def is_c(path):
    return path.endswith(('.c', '.h', '.def'))


def is_script(path, text):
    return path.endswith(('.py', '.sh')) or path in ('meson.build', 'meson_options.txt') or text.startswith('#!')


def strip_strings(line):
    return re.sub(r'"(?:[^"\\]|\\.)*"', '""', line)


def includes(text):
    """(line number, is it a quoted include, target)."""
    for number, line in enumerate(text.split('\n'), 1):
        match = re.match(r'\s*#\s*include\s+(["<])([^">]+)[">]', line)
        if match:
            yield number, match[1] == '"', match[2]


def arrow_finding(path, target):
    """Why path may not include target, or None."""
    here, there = path.split('/'), target.split('/')
    if there[0] not in ('dataplane', 'control', 'tests'):
        return 'include by the path from the root'
    if here[0] == 'tests':
        return None
    if there[0] == 'tests':
        return 'a program includes a test'
    if here[0] == 'control':
        if there[0] == 'dataplane' and there[1] != 'shared':
            return 'control includes nothing of the dataplane but shared'
        return None
    if there[0] == 'control':
        return 'the dataplane includes nothing of control'
    if len(here) == 2 or len(there) == 2:
        return None if len(here) == 2 else 'a part includes a file of the program above it'
    if here[1] != there[1] and there[1] not in ARROWS.get(here[1], []):
        return 'no arrow from %s to %s' % (here[1], there[1])
    return None


def library_finding(path, target):
    if path.startswith('tests/'):
        return None
    for library, allowed in LIBRARIES.items():
        if not target.startswith(library):
            continue
        for prefix in allowed:
            if prefix.endswith('*.') and os.path.dirname(path) == os.path.dirname(prefix):
                return None
            if path.startswith(prefix):
                return None
        return '%s is known to %s only' % (target, ', '.join(allowed))
    return None


def missing_tests(part):
    """part: "FILE: NAME, NAME", of a table of tests; "all" stands for each. sim and scripts as a whole are known by name."""
    if re.match(r'(sim|every script)\b', part):
        return []
    name, _, tests = part.partition(': ')
    paths = [pattern % name for pattern in ('tests/unit/%s_test.c', 'tests/unit/tcp_%s_test.c', 'tests/system/test_%s.py',
                                            'tests/system/test_tcp_%s.py')]
    text = ''.join(read(path) for path in paths if os.path.exists(os.path.join(ROOT, path)))
    if not text:
        return ['no test file "%s"' % name]
    if not tests:
        return ['no test of "%s" is named' % name]
    return ['no test "%s" in "%s"' % (test, name) for test in tests.split(', ')
            if test != 'all' and not re.search(r'(void|def) test_%s\(' % re.escape(test), text)]


class Lint(unittest.TestCase):
    maxDiff = None

    def check(self, findings):
        if findings:
            self.fail('%d finding(s):\n%s' % (len(findings), '\n'.join(findings)))

    def test_arrows(self):
        findings = []
        for path in project_files():
            if not is_c(path):
                continue
            for number, is_quoted, target in includes(read(path)):
                finding = arrow_finding(path, target) if is_quoted else library_finding(path, target)
                if finding:
                    findings.append('%s:%d: %s: %s' % (path, number, target, finding))
        self.check(findings)

    def test_arrow_check_itself(self):
        cases = [
            ('dataplane/ip/arp.c', 'dataplane/port/wire.h', True),
            ('dataplane/port/port.c', 'dataplane/ip/ip.h', False),
            ('dataplane/shared/addr.c', 'dataplane/port/wire.h', False),
            ('dataplane/smtp/line.c', 'dataplane/tcp/tcp.h', False),
            ('dataplane/worker.c', 'dataplane/session/session.h', True),
            ('dataplane/tcp/conn.c', 'dataplane/worker.h', False),
            ('control/main.c', 'dataplane/shared/link.h', True),
            ('control/main.c', 'dataplane/ip/ip.h', False),
            ('dataplane/main.c', 'control/loop.h', False),
            ('dataplane/ip/arp.c', 'private.h', False),
            ('control/main.c', 'tests/fake/clock.h', False),
            ('tests/unit/ip_ip_test.c', 'dataplane/ip/private.h', True),
        ]
        for path, target, want in cases:
            self.assertEqual(arrow_finding(path, target) is None, want, (path, target))
        self.assertIsNotNone(library_finding('dataplane/ip/ip.c', 'rte_mbuf.h'))
        self.assertIsNone(library_finding('dataplane/worker.c', 'rte_lcore.h'))
        self.assertIsNone(library_finding('dataplane/port/port.c', 'rte_ethdev.h'))

    def test_arrows_have_no_cycle(self):
        def reach(part, seen):
            self.assertNotIn(part, seen, 'a cycle of arrows')
            for below in ARROWS[part]:
                reach(below, seen + [part])
        for part in ARROWS:
            reach(part, [])
        parts = [name for name in os.listdir(os.path.join(ROOT, 'dataplane'))
                 if os.path.isdir(os.path.join(ROOT, 'dataplane', name))]
        self.check(['dataplane/%s: a part without arrows' % name for name in parts if name not in ARROWS])

    def test_sizes(self):
        findings = []
        for path in project_files():
            text = read(path)
            if not is_c(path) and not is_script(path, text):
                continue
            lines = text.count('\n')
            if lines > LINES_MAX and not GENERATED.search(text[:600]) and not path.endswith('.def'):
                findings.append('%s: %d lines, at most %d' % (path, lines, LINES_MAX))
        self.check(findings)

    def test_licence(self):
        findings = []
        for path in project_files():
            text = read(path)
            if (is_c(path) or is_script(path, text)) and 'SPDX-License-Identifier: Apache-2.0' not in text[:300]:
                findings.append(path + ': no SPDX line')
        self.check(findings)

    def test_words(self):
        findings = []
        for path in project_files():
            text = read(path)
            if path == 'tests/lint/lint_test.py' or not (is_c(path) or is_script(path, text)):
                continue
            rules = WORDS + (C_WORDS if is_c(path) else [])
            if is_c(path) and not path.startswith('tests/'):
                rules = rules + PROGRAM_WORDS
            for number, line in enumerate(text.split('\n'), 1):
                bare = strip_strings(line) if is_c(path) else line
                if is_c(path) and re.match(r'\s*(/?\*)', bare):
                    bare = re.sub(r'https?://\S+', '', bare)
                findings += ['%s:%d: %s' % (path, number, what) for pattern, what in rules if pattern.search(bare)]
        self.check(findings)

    def test_guards(self):
        findings = []
        for path in project_files():
            if path.endswith('.h') and not re.search(r'^#ifndef GREYLINE_\w+_H$|^#pragma once$', read(path), re.M):
                findings.append(path + ': no guard GREYLINE_..._H')
        self.check(findings)

    def test_counters(self):
        groups = counters_doc.read()
        names = [name for _, rows in groups for name, _, _ in rows]
        self.assertEqual(len(names), len(set(names)), 'a counter twice')
        self.assertLessEqual(len(names), 512, 'COUNTER_MAX')
        self.assertEqual(read('docs/COUNTERS.md'), counters_doc.render(groups),
                         'docs/COUNTERS.md is stale: /usr/bin/python3 tests/lint/counters_doc.py > docs/COUNTERS.md')

    def test_counters_are_counted(self):
        code = ''.join(read(path) for path in project_files() if path.startswith(('dataplane/', 'control/')) and
                       path.endswith(('.c', '.h')))
        used = set(re.findall(r'\bCOUNTER_(\w+)', code))
        self.check(['counters.def: %s: nothing counts it' % name for _, rows in counters_doc.read()
                    for name, _, _ in rows if name not in used])

    def test_units_are_always_started_again(self):
        """systemd gives a service up that ends five times in ten seconds, whatever its Restart= says, unless told not to."""
        findings, units = [], glob.glob(os.path.join(ROOT, 'deploy/systemd/*.service'))
        self.assertGreaterEqual(len(units), 3)
        for path in units:
            unit = configparser.RawConfigParser(strict=False)
            unit.optionxform = str
            unit.read(path)
            if unit['Service'].get('Restart') == 'always' and unit['Unit'].get('StartLimitIntervalSec') != '0':
                findings.append(path + ': Restart=always without StartLimitIntervalSec=0')
        self.check(findings)

    def test_tcp_rows_name_tests(self):
        """Every row of docs/TCP.md that says done names a test, and every test named is there."""
        findings = []
        for number, line in enumerate(read('docs/TCP.md').split('\n'), 1):
            cells = [cell.strip() for cell in line.split('|')]
            if len(cells) != 6 or not re.match(r'done|part|departs', cells[3]):
                continue
            if cells[4] in ('', '-'):
                findings.append('docs/TCP.md:%d: no test is named' % number)
            for part in re.sub(r'\([^)]*\)', '', cells[4]).split(';'):
                findings += ['docs/TCP.md:%d: %s' % (number, what) for what in missing_tests(part.strip())]
        self.check(findings)


if __name__ == '__main__':
    unittest.main()
