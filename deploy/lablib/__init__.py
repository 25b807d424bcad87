# SPDX-License-Identifier: Apache-2.0
"""The lab: a whole appliance and the world around it on one machine. deploy/lab is its command.

    cli        the command line
    names      every name, address and path, derived from the lab's own name
    netns      calls inside a network namespace
    net        namespaces, veth pairs, addresses and routes
    dns, mail  the world around the appliance: settings and commands of DNS, blocklists and mail servers
    appliance  the site part of the policy, and the commands of the appliance's own programs
    proc       processes by number and start time
    supervisor keeps the processes running, as systemd would
    lab        up, down, status, env
    smtp       an SMTP client that sends exactly what it is told
    sink       a small SMTP server that stores what it gets and misbehaves when told
    demo       real clients, and a table of what became of them

The standard library of Debian's python3 is all it needs.
"""
