"""`boathouse doctor`: what would keep clusters from starting, each with its fix, within three seconds. Starts nothing but the
engine; what that takes longer is said before."""

import argparse
import dataclasses
import errno
import json
import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from boathouse.cli.output import print_json
from boathouse.dataplane.engine.probes import Finding, findings
from boathouse.images import build, registry
from boathouse.images.failures import ImageFailure
from boathouse.images.registry_http import RegistrySettings
from boathouse.releases import Releases, runtimes
from boathouse.server.registries import registry_settings
from boathouse.settings import Settings, load
from boathouse.store.directory import DataDirectory, DirectoryError

#: How long all registries together may take to answer, in seconds.
ANSWER_SECONDS = 2.0


def arguments(parser: argparse.ArgumentParser) -> None:
    for name in ("data", "cache", "engine", "host", "port"):
        parser.add_argument(f"--{name}", help="as for `boathouse up`")


def run(options: argparse.Namespace) -> int:
    settings = load(vars(options))
    try:
        settings.cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fix = "give a directory that can be made: --cache DIR, or BOATHOUSE_CACHE"
        return _told(options, [Finding("cache", False, f"{settings.cache}: {error.strerror}", fix)])
    with ThreadPoolExecutor(2) as pool:
        engine = pool.submit(findings, settings.cache, settings.data, settings.engine or None, starting=_starting)
        ours = [port(settings), java(), *releases(settings), registries(settings), clock(settings)]
        found = [*engine.result(), *ours]
    if found[0].ok:
        found.append(images(settings))
    return _told(options, found)


def _starting() -> None:
    print("the embedded engine does not run yet: starting it, which takes some seconds", file=sys.stderr, flush=True)


def _told(options: argparse.Namespace, found: list[Finding]) -> int:
    failed = [finding for finding in found if not finding.ok]
    if options.output == "json":
        print_json([dataclasses.asdict(finding) for finding in found])
    else:
        for finding in found:
            print(f"{'✓' if finding.ok else '✗' if finding.fatal else '!'} {finding.name}: {finding.detail}")
            if not finding.ok and finding.fix:
                print(f"    fix: {finding.fix}")
        print("clusters can start" if not any(f.fatal for f in failed) else "clusters cannot start until that is mended")
    return 1 if any(finding.fatal for finding in failed) else 0


def port(settings: Settings) -> Finding:
    """Whether `boathouse up` could listen; a server of ours that runs there already is fine."""
    name = f"{settings.host}:{settings.port}"
    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
            return Finding("port", True, f"{name} is free")
        except OSError as error:
            if error.errno == errno.EADDRINUSE and _serves(settings):
                return Finding("port", True, f"{name} is in use by the server of this data directory")
            return Finding("port", False, f"{name}: {error.strerror}", "choose another with --port, or stop what listens there")


def _serves(settings: Settings) -> bool:
    """Whether a server that lives has this data directory, and listens on that port. What a killed one left says nothing."""
    try:
        if not (settings.data / "instance").exists() or DataDirectory(settings.data).holder() is None:
            return False
        ready = json.loads((settings.data / "ready.json").read_text())
        return int(str(ready["host"]).rpartition(":")[2]) == settings.port
    except (DirectoryError, OSError, ValueError, KeyError, TypeError):
        return False


def java() -> Finding:
    """A JDK is needed to build releases, never to run clusters."""
    home = os.environ.get("JAVA_HOME")
    jlink = shutil.which("jlink") or (home and (Path(home) / "bin" / "jlink").exists())
    if jlink:
        return Finding("java", True, "a JDK with jlink is there (it is used to build releases only)")
    fix = "install a JDK 17 or 21 (openjdk-17-jdk-headless), or set JAVA_HOME"
    return Finding("java", False, "no JDK with jlink: releases cannot be built here", fix, fatal=False)


def releases(settings: Settings) -> list[Finding]:
    """Which runtimes can be launched."""
    built = Releases(settings.cache / "releases")
    found = []
    for runtime in runtimes.RUNTIMES:
        release = built.get(runtime.key)
        if release is None:
            fix = f"boathouse release build {runtime.key}"
            found.append(Finding(f"release {runtime.key}", False, "not built", fix, fatal=False))
        else:
            detail = " > ".join(release.layer_names) + (f"; {release.archive_note}" if release.archive_note else "")
            found.append(Finding(f"release {runtime.key}", True, detail))
    if not any(finding.ok for finding in found):
        found[0] = dataclasses.replace(found[0], fatal=True, fix=f"boathouse setup, or {found[0].fix}")
    return found


def images(settings: Settings) -> Finding:
    """Whether the daemon's and the platform's own image are in the engine."""
    from boathouse.cli.engine_at_hand import engine_client

    with engine_client(settings) as client:
        present = {tag for image in client.api.images() for tag in image.get("RepoTags") or ()}
    missing = [name for name in ("daemon", "standard") if build.reference(name) not in present]
    if missing:
        return Finding("images", False, f"not in the engine: {', '.join(missing)}", "boathouse setup")
    return Finding("images", True, "the daemon's and the platform's own image are in the engine")


def registries(settings: Settings) -> Finding:
    """Whether the registries that the settings name answer as registries do, over the transport that the settings allow."""
    found = registry_settings(settings)
    named = {*settings.registry_private_hosts, *settings.registry_plain_http_hosts, *found.endpoints.values()}
    named |= {mirror.partition("/")[0] for mirror in found.mirrors.values()}
    silent = _silent(named, found)
    if silent:
        told = ", ".join(f"{host} ({why})" for host, why in silent.items())
        return Finding("registry", False, f"no good answer from {told}", "start it, or mend the setting", fatal=False)
    return Finding("registry", True, "all that the settings name answer" if named else "the settings name none")


def _silent(hosts: Iterable[str], settings: RegistrySettings) -> dict[str, str]:
    """Those that do not answer as registries do, each with the reason; they are asked side by side, once. A thread that looks up
    a name cannot be ended: it is left behind."""
    limit = 0.9 * ANSWER_SECONDS  # so that each says itself why it took too long
    asking = msgspec.structs.replace(
        settings, connect_seconds=limit, stall_seconds=limit, total_seconds=limit, longest_retry_after=0.0
    )
    told: dict[str, str] = {}

    def ask(host: str) -> None:
        try:
            registry.ping(host, asking)
            told[host] = ""
        except ImageFailure as error:
            told[host] = str(error)

    threads = [threading.Thread(target=ask, args=(host,), daemon=True) for host in sorted(hosts)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + ANSWER_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    silence = f"no word within {ANSWER_SECONDS:.0f} s"
    return {host: why for host in sorted(hosts) if (why := told.get(host, silence))}


def clock(settings: Settings) -> Finding:
    """A clock that was set back makes tokens hold longer than they should."""
    database = settings.data / "boathouse.db"
    latest = max((file.stat().st_mtime for file in (database, Path(f"{database}-wal")) if file.exists()), default=0.0)
    behind = latest - time.time()
    if behind > 5:
        detail = f"the clock is {behind:.0f} s behind the last write of this data directory"
        return Finding("clock", False, detail, "set the clock (timedatectl set-ntp true)")
    if time.time() < 1_600_000_000:
        return Finding("clock", False, "the clock stands before 2020", "set the clock (timedatectl set-ntp true)")
    return Finding("clock", True, time.strftime("%Y-%m-%d %H:%M:%S %Z"))
