"""`python -m boathouse.dataplane.engine status|start|stop [--cache DIR]`: the embedded engine by hand."""

import argparse
import json
import sys
from pathlib import Path

from boathouse.dataplane.engine import locate, podman


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m boathouse.dataplane.engine", description=__doc__)
    parser.add_argument("verb", choices=("status", "start", "stop"))
    parser.add_argument("--cache", type=Path, default=locate.cache_directory())
    options = parser.parse_args(arguments)
    where = podman.service(options.cache)
    try:
        if options.verb == "start":
            podman.ensure(where)
        elif options.verb == "stop":
            podman.stop(where)
    except podman.EmbeddedEngineFailed as failed:
        print(failed, file=sys.stderr)
        return 1
    running = podman.answering(where)
    state = {"address": where.address, "running": running, "pid": podman.process(where), "home": str(where.home)}
    print(json.dumps(state))
    return 0 if running or options.verb != "status" else 1


if __name__ == "__main__":
    sys.exit(main())
