# SPDX-License-Identifier: Apache-2.0
"""The whole appliance on one machine, without a NIC: namespaces, veth pairs, DPDK's af_packet, and around it
DNS, blocklists, Redis, a backend and clients. Run as root.

    deploy/lab demo                  everything from installing to a table of what became of good and bad mail
    deploy/lab up [options]          bring it up; returns when every node answers on port 25
    deploy/lab down                  remove it, or the remains of a crashed one
    deploy/lab status                its processes
    deploy/lab env                   where everything is, as KEY=VALUE lines
    deploy/lab exec client|backend -- COMMAND   run something in a namespace
    deploy/lab ctl COMMAND           greylinectl of node 1, or of another with --node
    deploy/lab stop|start PROCESS    keep a process stopped; let it run again
"""

import argparse
import os
import subprocess
import sys

DEPLOY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, DEPLOY)
from lablib import appliance, lab, names as n  # noqa: E402

PROGRAMS = ("greyline-dataplane", "greyline-control", "greyline-keys", "greylinectl")


def build_directory(given):
    """The directory with the programs; the repository's own is built first, another is taken as it is."""
    if given:
        build = os.path.abspath(given)
        missing = [name for name in PROGRAMS if appliance.program(build, name) is None]
        if missing:
            raise lab.LabError(f"{build} has no {', '.join(missing)}: build there first, or leave out --build")
        return build
    subprocess.run([os.path.join(DEPLOY, "packages")], check=True)
    build = os.path.join(n.REPOSITORY, "build")
    log = os.path.join("/tmp", f"greyline-build.{os.getpid()}.log")
    with open(log, "wb") as file:
        if not os.path.exists(os.path.join(build, "build.ninja")):
            subprocess.run(["meson", "setup", build, n.REPOSITORY], stdout=file, stderr=file, check=True)
        made = subprocess.run(["meson", "compile", "-C", build, *PROGRAMS], stdout=file, stderr=file, check=False)
    if made.returncode != 0:
        with open(log, errors="replace", encoding="utf-8") as file:
            sys.stderr.writelines(file.readlines()[-30:])
        raise lab.LabError(f"the build failed, the lines above say why (all of it: {log})")
    os.unlink(log)
    return build


def cmd_up(names, args):
    policy = os.path.abspath(args.policy)
    if not os.path.isfile(policy):
        raise lab.LabError(f"no such file: {args.policy} (--policy)")
    lab.up(names, {
        "policy": policy, "workers": args.workers, "users": args.users, "backend": args.backend, "redis": args.redis,
        "nodes": args.nodes, "dns": args.dns, "restart": args.restart, "appliance": args.appliance,
        "keep": args.keep, "build": build_directory(args.build) if args.appliance else None})


def cmd_down(names, args):
    if not lab.down(names) and not args.quiet:
        print("lab: nothing was there")


def cmd_status(names, _args):
    lines, good = lab.status(names)
    print("\n".join(lines))
    return 0 if good else 1


def cmd_env(names, _args):
    for key, value in lab.env(names):
        print(f"{key}={value}")


def cmd_exec(names, args):
    lab.must_run(names)
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        raise lab.LabError("say what to run: deploy/lab exec client -- COMMAND")
    ns = names.client_ns if args.side == "client" else names.backend_ns
    os.execvp("ip", ["ip", "netns", "exec", ns, *command])


def cmd_ctl(names, args):
    build = lab.must_run(names)["options"]["build"]
    if build is None:
        raise lab.LabError("this lab was brought up with --no-appliance")
    program = appliance.program(build, "greylinectl")
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    os.execv(program, [program, "--run-dir", names.node_run(args.node), *(["--json"] if args.json else []), *command])


def cmd_hold(names, args):
    lab.hold(names, args.process, args.verb == "stop")


def cmd_demo(names, args):
    from lablib import demo
    return demo.run(names, lambda: build_directory(args.build))


def arguments():
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--name", default="", help="another lab beside the first: prefixes every name")
    parser = argparse.ArgumentParser(prog="deploy/lab", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    verb = verbs.add_parser("up", parents=[common], help="bring it up")
    verb.add_argument("--policy", default=os.path.join(n.REPOSITORY, "yaml", "lab.yaml"),
                      help="needs no ports, dns or store: the lab supplies what is missing")
    verb.add_argument("--workers", type=int, default=1, choices=range(1, 9), metavar="1-8")
    verb.add_argument("--backend", default="postfix", choices=("postfix", "sink", "none"))
    verb.add_argument("--redis", action="store_true", help="with a Redis, which all nodes share")
    verb.add_argument("--nodes", type=int, default=1, choices=(1, 2))
    verb.add_argument("--dns", default="lab", choices=("lab", "none"))
    verb.add_argument("--users", action="store_true",
                      help="as users of their own, as installed: certificates and keys must be theirs to read")
    verb.add_argument("--no-restart", dest="restart", action="store_false", help="leave dead what was killed")
    verb.add_argument("--no-appliance", dest="appliance", action="store_false",
                      help="only the world around it, to run the programs by hand")
    verb.add_argument("--build", help="take the programs from this build directory as they are")
    verb.add_argument("--keep", action="store_true", help="leave everything as it is when it does not come up")
    verb.set_defaults(run=cmd_up)

    verb = verbs.add_parser("down", parents=[common], help="remove it")
    verb.add_argument("--quiet", action="store_true")
    verb.set_defaults(run=cmd_down)
    verbs.add_parser("status", parents=[common], help="its processes").set_defaults(run=cmd_status)
    verbs.add_parser("env", parents=[common], help="where everything is").set_defaults(run=cmd_env)

    verb = verbs.add_parser("exec", parents=[common], help="run something in a namespace")
    verb.add_argument("side", choices=("client", "backend"))
    verb.add_argument("command", nargs=argparse.REMAINDER)
    verb.set_defaults(run=cmd_exec)

    verb = verbs.add_parser("ctl", parents=[common], help="greylinectl")
    verb.add_argument("--node", type=int, default=1, choices=(1, 2))
    verb.add_argument("--json", action="store_true", help="the answer as JSON")
    verb.add_argument("command", nargs=argparse.REMAINDER)
    verb.set_defaults(run=cmd_ctl)

    for name in ("stop", "start"):
        verb = verbs.add_parser(name, parents=[common], help=f"{name} a process of the lab")
        verb.add_argument("process")
        verb.set_defaults(run=cmd_hold)

    verb = verbs.add_parser("demo", parents=[common], help="good and bad mail, and what became of it")
    verb.add_argument("--build", help="take the programs from this build directory as they are")
    verb.set_defaults(run=cmd_demo)
    return parser.parse_args()


def main():
    args = arguments()
    try:
        names = n.Names(args.name)
        if os.geteuid() != 0 and args.verb not in ("status", "env"):
            raise lab.LabError("must be run as root: it makes network namespaces")
        return args.run(names, args) or 0
    except (lab.LabError, ValueError) as error:
        print(f"lab: {error}", file=sys.stderr)
    except subprocess.CalledProcessError as error:
        print(f"lab: {' '.join(error.cmd[:2])} failed", file=sys.stderr)
    except KeyboardInterrupt:
        print("lab: interrupted", file=sys.stderr)
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main())
