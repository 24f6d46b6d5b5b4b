"""A SIGKILL of the control plane after any effect: every acknowledged command runs once, and its result is there.

Each run stops dead after the n-th effect outside our memory (a commit, a call to the node), then a new control plane goes on.
"""

import json
import threading
from contextlib import contextmanager

import pytest

from boathouse.commands.reconciler import Contexts
from boathouse.reconcile.leases import LEASE_MS, claim, settle_row

NODE = "1123-153000-abcdefgh-0-1"


class Killed(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


class Crash:
    """Counts effects, and stops everything after the n-th."""

    def __init__(self, after):
        self.after, self.done = after, 0
        self.main = threading.get_ident()

    def effect(self, function):
        def wrapped(*arguments, **named):
            if threading.get_ident() != self.main:
                return function(*arguments, **named)  # a thread that waits for the driver: no effect to stop at
            if self.done >= self.after:
                raise Killed
            answer = function(*arguments, **named)
            self.done += 1
            if self.done >= self.after:
                raise Killed
            return answer

        return wrapped


@pytest.fixture
def scripted(node):
    """A REPL that answers at once, counts what it runs, and remembers ids, as the real one does."""
    runs: dict[str, int] = {}

    def repl(channel, params):
        def say(message):
            channel.sendall(json.dumps(message).encode() + b"\n")

        for line in channel.makefile("rb"):
            message = json.loads(line)
            if message["op"] == "become":
                continue
            if message["op"] == "ping":
                say({"event": "pong", "ready": True})
                continue
            known = message["id"] in runs
            ended = {"id": message["id"], "state": "finished", "result": {"resultType": "text", "data": "ok"}}
            if message["op"] == "execute" and not known:
                runs[message["id"]] = 1
                say({"event": "result", **ended})
            elif message["op"] == "status":
                say({"event": "status", **(ended if known else {"id": message["id"], "state": "unknown"})})

    node.starter = repl
    return runs


def drive(ground, clock, api, keys, command_id, crash):
    """Rounds of one control plane in this thread until the command has ended; Killed comes through."""
    contexts = Contexts(ground)
    link, store = ground.link, ground.store
    originals = {name: getattr(link, name) for name in ("call", "open")}
    transaction = store.transaction
    if crash is not None:
        for name, function in originals.items():
            setattr(link, name, crash.effect(function))
        store.transaction = _commits(crash, transaction)
    try:
        contexts.resume()
        for _ in range(400):
            for held in claim(store, ["context"], limit=1):
                settle_row(store, held, contexts.round(held.key))
            clock.advance(100)
            now = api.get("/api/1.2/commands/status", params={**keys, "commandId": command_id}).json()
            if now["status"] in ("Finished", "Error", "Cancelled"):
                return now
        raise AssertionError("it did not end")
    finally:
        store.transaction = transaction
        for name in originals:
            link.__dict__.pop(name, None)
        contexts.close()
        for process in link.processes.values():
            process.detach()
        clock.advance(LEASE_MS + 1)


def _commits(crash, transaction):
    @contextmanager
    def committing(durable: bool = True):
        mine = threading.get_ident() == crash.main  # a wake-up by a reader's thread is a hint, and no effect to stop at
        if mine and crash.done >= crash.after:
            raise Killed
        with transaction(durable) as tx:
            yield tx
        crash.done += mine
        if mine and crash.done >= crash.after:
            raise Killed

    return committing


@pytest.mark.parametrize("language, spare", [("python", False), ("python", True), ("sql", False), ("scala", False)])
def test_killed_after_every_effect(api, ground, clock, cluster, jvm, node, scripted, language, spare):
    result = {"resultType": "text", "data": "ok"} if language == "scala" else None
    jvm.answers["once"] = {"state": "finished", "schema": [], "data": [], "result": result}
    crashed = 0
    for after in range(1, 60):
        context = api.post("/api/1.2/contexts/create", json={"clusterId": cluster, "language": language}).json()["id"]
        keys = {"clusterId": cluster, "contextId": context}
        command = api.post("/api/1.2/commands/execute", json={**keys, "command": "once"}).json()["id"]
        crash = Crash(after)
        if spare:
            node.call(NODE, "start", {"name": "spare-python"})
        starts = len(node.starts)
        try:
            drive(ground, clock, api, keys, command, crash)
        except Killed:
            crashed += 1
            drive(ground, clock, api, keys, command, None)
        done = api.get("/api/1.2/commands/status", params={**keys, "commandId": command}).json()
        assert done["status"] == "Finished", (after, done)
        assert len(node.starts) - starts == (1 if language == "python" and not spare else 0)
        assert scripted.get(command, 0) == (1 if language == "python" else 0)
        api.post("/api/1.2/contexts/destroy", json=keys)
        if crash.done < after:
            break
    assert crashed >= 8
    assert crash.done < after, "the last run was not killed, so every effect had its turn"
