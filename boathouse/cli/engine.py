"""`boathouse engine status|start|stop`: the embedded Podman service by hand. It is shared by all data directories of a user."""

import argparse

from boathouse.cli import Failed
from boathouse.cli.output import print_json
from boathouse.dataplane.engine import podman
from boathouse.dataplane.engine.client import EngineClient
from boathouse.settings import load


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("verb", choices=("status", "start", "stop"))
    parser.add_argument("--if-idle", action="store_true", help="stop only when no container runs on it, and be content if not")
    parser.add_argument("--cache", help="the machine's cache")


def run(options: argparse.Namespace) -> int:
    where = podman.service(load({"cache": options.cache}).cache)
    try:
        if options.verb == "start":
            podman.ensure(where)
        elif options.verb == "stop" and podman.answering(where):
            _stop(where, options.if_idle)
    except podman.EmbeddedEngineFailed as error:
        raise Failed(str(error)) from None
    running = podman.answering(where)
    state = {"running": running, "address": where.address, "pid": podman.process(where) if running else None}
    if options.output == "json":
        print_json(state)
    else:
        print(f"the embedded engine {'runs at ' + where.address if running else 'does not run'}")
    return 0 if running or options.verb != "status" else 1


def _stop(where: podman.Service, if_idle: bool) -> None:
    client = EngineClient(where.address)
    try:
        with client.calls() as api:
            busy = len(api.containers())
    finally:
        client.close()
    if busy and if_idle:
        return
    if busy:
        raise Failed(f"{busy} containers run on it; end their clusters first (`boathouse down`)")
    podman.stop(where)
