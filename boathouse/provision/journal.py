"""What a fleet has done, beside its file: lines of JSON that are only ever added. By it a killed run goes on, and `undo` knows
its own.

Before an effect a line says `will`, after it `did` (with the id, and whether it was made here) or `not`; `gone` when it was
taken back. A kill leaves a `will` without an answer: the next run looks whether the thing is there, and if so it is ours, for
it was not there when `will` was written. Lines reach the kernel before the effect starts, so they outlive the process; a loss
of power may lose those of the last second, and what they told of is then treated as found, never as made.
"""

import fcntl
import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from boathouse.provision.diff import Record
from boathouse.provision.problems import FleetError, Problem
from boathouse.provision.wishes import Wish

#: Seconds after which lines are forced to the disk.
_SYNC = 1.0


def path_of(fleet_file: Path) -> Path:
    """The journal of a fleet file: `x.yaml` has `x.journal`."""
    return fleet_file.with_suffix(".journal")


class Journal:
    """The records of a fleet at one workspace. One process at a time writes; readers do not lock."""

    def __init__(self, path: Path, place: str, fleet: str, *, writing: bool) -> None:
        """`place` is host and workspace, `fleet` the name of the fleet. Raises FleetError when the journal is that of another
        place or fleet, or another run holds it."""
        self.path, self.place, self.fleet = path, place, fleet
        self.records: dict[str, Record] = {}
        self.whose: dict[str, str] = {}
        self._before: dict[str, Record] = {}
        self._lock = threading.Lock()
        self._synced = time.monotonic()
        self._file: int | None = None
        if writing:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(self._file)
                raise FleetError([Problem(str(path), "another run of this fleet holds it; wait until it ends")]) from None
        try:
            self._read()
        except BaseException:
            self.close()
            raise
        if self._file is not None and not self._placed:
            self._add({"event": "fleet", "place": place, "fleet": fleet})

    def _read(self) -> None:
        self._placed = False
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return
        whole = raw.rfind(b"\n") + 1
        if self._file is not None and whole < len(raw):  # a line that a kill or a full disk cut
            os.ftruncate(self._file, whole)
        for number, line in enumerate(raw[:whole].splitlines(), 1):
            try:
                entry = json.loads(line)
                self._take(entry)
            except (ValueError, KeyError, TypeError):
                raise FleetError([Problem(f"{self.path}, line {number}", "is not a line of a journal")]) from None

    def _take(self, entry: Mapping[str, Any]) -> None:
        event = entry["event"]
        if event == "fleet":
            self._placed = True
            if entry["place"] != self.place:
                what = f"tells of {entry['place']}, and this is {self.place}; give the fleet file of each place a name of its own"
                raise FleetError([Problem(str(self.path), what)])
            if (other := entry.get("fleet", self.fleet)) != self.fleet:  # files with one stem, x.yaml and x.yml, share a journal
                what = f"tells of the fleet {other!r}, and this is {self.fleet!r}; give the file of each fleet a name of its own"
                raise FleetError([Problem(str(self.path), what)])
            return
        id = entry["id"]
        before = self.records.get(id, Record())
        self.whose[id] = entry.get("person", self.whose.get(id, ""))
        match event:
            case "will":
                if not before.open:
                    self._before[id] = before
                self.records[id] = replace(before, open=True, token=entry.get("token", ""), undo=entry.get("undo") or before.undo)
            case "did":
                made = entry["made"] or (before.made and before.ref == entry["ref"])
                self.records[id] = Record(entry["digest"], entry["ref"], entry.get("parent", ""), made, undo=before.undo)
            case "not":
                self.records[id] = self._before.pop(id, Record())
                if self.records[id] == Record():
                    del self.records[id]
            case "gone":
                self.records.pop(id, None)

    def will(self, wish: Wish, token: str = "", undo: Mapping[str, Any] | None = None) -> None:
        """The effect for a wish begins. `token`: what a repetition must send again. `undo`: what will take it back."""
        more = {"token": token} if token else {}
        self._write({"event": "will", "id": wish.id, "person": wish.person, **more, **({"undo": dict(undo)} if undo else {})})

    def did(self, wish: Wish, ref: str, *, made: bool, parent: str = "") -> None:
        """The wish is fulfilled. `made`: by this fleet, so that `undo` takes it away."""
        more = {"parent": parent} if parent else {}
        self._write({"event": "did", "id": wish.id, "digest": wish.digest, "ref": ref, "made": made, **more})

    def did_not(self, wish: Wish) -> None:
        """The effect was refused: nothing was made."""
        self._write({"event": "not", "id": wish.id})

    def gone(self, id: str) -> None:
        """What was made is taken back."""
        self._write({"event": "gone", "id": id})

    def _write(self, entry: dict[str, Any]) -> None:
        with self._lock:
            self._add(entry)
            self._take(entry)

    def _add(self, entry: dict[str, Any]) -> None:
        if self._file is None:
            raise RuntimeError("this journal was opened to read")
        line = json.dumps({**entry, "at": int(time.time() * 1000)}, ensure_ascii=False, separators=(",", ":")) + "\n"
        rest = memoryview(line.encode())
        while rest:
            rest = rest[os.write(self._file, rest) :]
        if time.monotonic() - self._synced > _SYNC:
            os.fsync(self._file)
            self._synced = time.monotonic()

    def close(self) -> None:
        if self._file is not None:
            os.fsync(self._file)
            os.close(self._file)
            self._file = None

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
