#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Print docs/COUNTERS.md, made from dataplane/shared/counters.def.

/usr/bin/python3 tests/lint/counters_doc.py > docs/COUNTERS.md
"""
import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ROW = re.compile(r'COUNTER\((\w+),\s*(total|now),\s*"((?:[^"\\]|\\.)*)"\)')
GROUP = re.compile(r'^/\* (.+) \*/$')


def read(path=os.path.join(ROOT, 'dataplane/shared/counters.def')):
    """The groups in order: [(title, [(name, unit, help)])]. Raises ValueError for a row that is not understood."""
    groups = []
    with open(path, encoding='utf-8') as source:
        lines = source.read()
    lines = re.sub(r'"\s*\n\s*"', '', lines)  # help texts over several lines
    lines = re.sub(r',\s*\n\s*', ', ', lines)
    for number, line in enumerate(lines.split('\n')):
        if line.startswith('COUNTER('):
            row = ROW.fullmatch(line.strip())
            if not row or not groups:
                raise ValueError('not a counter of a group: ' + line)
            groups[-1][1].append((row[1], row[2], row[3].replace('\\"', '"')))
        elif number > 1 and GROUP.match(line):
            groups.append((GROUP.match(line)[1], []))
    return groups


def render(groups):
    out = ['# Counters', '',
           'Made from `dataplane/shared/counters.def` by `tests/lint/counters_doc.py`: do not edit.', '',
           'Each worker has a row of these; `/metrics` shows them as `greyline_NAME`, those marked `total` as `greyline_NAME_total`, one line for each worker. '
           'A counter marked `total` only goes up (and starts at zero with the dataplane), one marked `now` is a level.', '']
    for title, rows in groups:
        if not rows:
            continue
        out += ['## ' + title, '', '| counter | kind | what it counts |', '|---|---|---|']
        out += ['| `%s` | %s | %s |' % (name, unit, text.replace('|', '\\|')) for name, unit, text in rows]
        out.append('')
    return '\n'.join(out)


if __name__ == '__main__':
    print(render(read()), end='')
