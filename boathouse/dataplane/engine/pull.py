"""Pulls in the background: started once, asked for often, given up when nothing arrives.

Called by `images`. The reference is pinned to a digest by whoever resolved it; an engine that pulls `name@sha256:...` checks
what arrives. Credentials live in the call's header and nowhere else: no file of the engine, no log, no answer.
"""

import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from boathouse.dataplane.contract import Credentials, DriverUnavailable, NodeFailure, Pull, PullState
from boathouse.dataplane.engine.client import LIBPOD, EngineClient, EngineRefused, bounded

PINNED = re.compile(r"^(?P<repository>[^\s@]+)@(?P<digest>sha256:[0-9a-f]{64})$")
STALL_SECONDS = 30.0
LONGEST_SECONDS = 20 * 60.0
WATCH_SECONDS = 1.0


@dataclass
class Progress:
    """How far one pull is: bytes of each layer as the engine tells them. Pure; `read` takes one line of the engine's answer."""

    layers: dict[str, tuple[int, int]] = field(default_factory=dict)
    error: str = ""

    def read(self, line: Mapping[str, Any]) -> None:
        if line.get("error"):
            self.error = str(line["error"])
        detail = line.get("progressDetail") or {}
        layer = str(line.get("id") or "")
        if layer and detail.get("total"):
            self.layers[layer] = (int(detail.get("current") or 0), int(detail["total"]))
        elif layer in self.layers and str(line.get("status", "")).lower().startswith(("download complete", "pull complete")):
            self.layers[layer] = (self.layers[layer][1], self.layers[layer][1])

    @property
    def done(self) -> int:
        return sum(done for done, _ in self.layers.values())

    @property
    def total(self) -> int:
        return sum(total for _, total in self.layers.values())


@dataclass
class _Job:
    progress: Progress = field(default_factory=Progress)
    answer: Pull = field(default_factory=lambda: Pull(PullState.PULLING))
    hints: list[Callable[[], None]] = field(default_factory=list)
    heard: float = 0.0
    began: float = 0.0
    arrived: int = 0
    stream: Any = None
    given_up: str = ""


class Pulls:
    """The pulls of one engine. `downloads`: the directory where the engine keeps layers that arrive, when we know it; its
    growth counts as a sign of life, since Podman's own dialect does not tell bytes."""

    def __init__(
        self,
        client: EngineClient,
        downloads: Path | None,
        clock: Callable[[], float] = time.monotonic,
        stall: float = STALL_SECONDS,
        longest: float = LONGEST_SECONDS,
    ) -> None:
        self._client, self._downloads, self._clock = client, downloads, clock
        self._stall, self._longest = stall, longest
        self._guard = threading.Lock()
        self._jobs: dict[str, _Job] = {}
        self._closed = threading.Event()

    def pull(self, pinned: str, credentials: Credentials | None, plain_http: bool, hint: Callable[[], None] | None) -> Pull:
        """See `Images.pull`. Raises NodeFailure for a reference without a digest."""
        if not PINNED.match(pinned):
            raise NodeFailure("DOCKER_IMAGE_PULL_FAILURE", "Only references with a digest are pulled.", pinned)
        key = _key(pinned, credentials, plain_http)
        with self._guard:
            job = self._jobs.get(key)
            if job is not None:
                return self._told(key, job, hint)
        with self._client.looking():
            present = self._present(pinned)
        if present:
            return Pull(PullState.PRESENT, image=present, cached=True)
        with self._guard:
            job = self._jobs.get(key)
            if job is not None:
                return self._told(key, job, hint)
            job = self._jobs[key] = _Job(began=self._clock(), heard=self._clock(), hints=[hint] if hint else [])
        threading.Thread(target=self._run, args=(job, pinned, credentials, plain_http), name="pull", daemon=True).start()
        return Pull(PullState.PULLING)

    def close(self) -> None:
        """Give up what runs; the engine notices that nobody listens and stops."""
        self._closed.set()
        with self._guard:
            jobs = list(self._jobs.values())
        for job in jobs:
            self._give_up(job, "the control plane is stopping")

    def _told(self, key: str, job: _Job, hint: Callable[[], None] | None) -> Pull:
        """What to say of a pull that was begun. An answer that ends it is given once: the image itself is the memory of a
        success."""
        if job.answer.state is PullState.PULLING:
            if hint and hint not in job.hints:
                job.hints.append(hint)
            return replace(job.answer, bytes_done=job.progress.done or job.arrived, bytes_total=job.progress.total)
        del self._jobs[key]
        return job.answer

    def _present(self, pinned: str) -> str:
        try:
            with self._client.calls() as api:
                return api.inspect_image(pinned)["Id"]
        except EngineRefused as refused:
            if refused.missing:
                return ""
            raise

    def _run(self, job: _Job, pinned: str, credentials: Credentials | None, plain_http: bool) -> None:
        watch = threading.Thread(target=self._watch, args=(job,), name="pull-watch", daemon=True)
        watch.start()
        try:
            answer = self._fetch(job, pinned, credentials, plain_http)
        except (EngineRefused, DriverUnavailable, NodeFailure) as failure:
            answer = Pull(PullState.FAILED, error=job.given_up or without_secrets(str(failure), credentials))
        except Exception as failure:  # a stream that breaks in the middle raises what it likes; the caller must hear of it
            answer = Pull(PullState.FAILED, error=job.given_up or without_secrets(f"the transfer broke: {failure}", credentials))
        with self._guard:
            job.answer = replace(answer, bytes_done=job.progress.done or job.arrived, bytes_total=job.progress.total)
            hints, job.hints = job.hints, []
        for hint in hints:
            hint()

    def _fetch(self, job: _Job, pinned: str, credentials: Credentials | None, plain_http: bool) -> Pull:
        with self._stream(pinned, credentials, plain_http) as stream:
            job.stream = stream
            for line in stream.iter_lines():
                job.heard = self._clock()
                if line:
                    job.progress.read(json.loads(line))
        if job.given_up:
            return Pull(PullState.FAILED, error=job.given_up)
        if job.progress.error:
            return Pull(PullState.FAILED, error=without_secrets(job.progress.error, credentials))
        image = self._present(pinned)
        if not image:
            return Pull(PullState.FAILED, error="the engine ended the pull without the image and without a reason")
        return Pull(PullState.PRESENT, image=image)

    @contextmanager
    def _stream(self, pinned: str, credentials: Credentials | None, plain_http: bool) -> Iterator[Any]:
        """The engine's lines about the pull. Podman's own dialect is used for plain HTTP alone: only it can be asked for that."""
        headers = auth_header(credentials)
        with self._client.calls() as api:
            if plain_http and self._client.is_podman:
                url, parameters = api.base_url + LIBPOD + "/images/pull", {"reference": pinned, "tlsVerify": "false"}
            else:
                repository, _, digest = pinned.partition("@")
                url = f"{api.base_url}/v{api.api_version}/images/create"
                parameters = {"fromImage": repository, "tag": digest}
            # A read may be silent as long as a stall; the watch looks more closely.
            with api.post(url, params=parameters, headers=headers, stream=True, timeout=(10, self._longest)) as answer:
                if answer.status_code >= 400:
                    raise EngineRefused(answer.status_code, bounded(_words(answer.text)))
                yield answer

    def _watch(self, job: _Job) -> None:
        """Look once a second whether anything arrives; give up by closing the connection."""
        before = self._size()
        while job.answer.state is PullState.PULLING and not self._closed.wait(WATCH_SECONDS):
            now, size = self._clock(), self._size() - before
            if size > job.arrived:
                job.heard = now
            job.arrived = max(size, job.arrived)
            if now - job.heard > self._stall:
                self._give_up(job, f"stalled: nothing arrived for {self._stall:.0f} s")
            elif now - job.began > self._longest:
                self._give_up(job, f"not finished after {self._longest / 60:.0f} minutes")

    def _give_up(self, job: _Job, why: str) -> None:
        if job.answer.state is not PullState.PULLING or job.given_up:
            return
        job.given_up = why
        if job.stream is not None:
            connection = getattr(job.stream.raw, "connection", None) or getattr(job.stream.raw, "_connection", None)
            sock = getattr(connection, "sock", None)
            if sock is not None:
                sock.shutdown(2)  # wakes the reader; closing alone would leave it waiting

    def _size(self) -> int:
        """Bytes in the engine's download directory. Files come and go while we look."""
        if self._downloads is None:
            return 0
        total = 0
        for path in self._downloads.rglob("*"):
            try:
                total += path.stat().st_size
            except OSError:
                continue
        return total


def auth_header(credentials: Credentials | None) -> dict[str, str]:
    """The one place where credentials leave this process: base64 of JSON, as the Engine API wants it. None: an empty answer,
    so that the engine uses no credentials of its own either."""
    given = {"username": credentials.username, "password": credentials.password} if credentials else {}
    return {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(given).encode()).decode()}


def without_secrets(words: str, credentials: Credentials | None) -> str:
    """The engine's words, bounded, with a password that it may have repeated taken out."""
    if credentials and credentials.password:
        words = words.replace(credentials.password, "********")
    return bounded(re.sub(r"(?i)\b(basic|bearer)\s+[A-Za-z0-9+/=._~-]{8,}", r"\1 ********", words))


def _words(text: str) -> str:
    try:
        body = json.loads(text)
    except ValueError:
        return text
    return str(body.get("message") or body.get("cause") or text) if isinstance(body, dict) else text


def _key(pinned: str, credentials: Credentials | None, plain_http: bool) -> str:
    """One pull for each reference and each right to it; the password is not kept."""
    right = f"{credentials.username}\0{credentials.password}" if credentials else ""
    return f"{pinned} {plain_http} {hashlib.sha256(right.encode()).hexdigest()}"
