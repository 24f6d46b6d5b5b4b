"""Pulls in the background: started once, asked for often, given up when nothing arrives.

Called by `images`. The reference is pinned to a digest by whoever resolved it; an engine that pulls `name@sha256:...` checks
what arrives. Credentials live in the call's header and nowhere else: no file of the engine, no log, no answer.

With a `Source` the engine is sent to us in place of the registry, and never has the registry's credentials at all. What it has
pulled so gets a name that says where it came from, since the one by which it was pulled ends with this process.
"""

import base64
import contextlib
import hashlib
import json
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from boathouse.dataplane.contract import (
    Credentials,
    DriverUnavailable,
    Key,
    NodeFailure,
    Offer,
    Pull,
    PullState,
    Renewable,
    Source,
    opened,
)
from boathouse.dataplane.engine.client import LIBPOD, EngineClient, EngineRefused, bounded

PINNED = re.compile(r"^(?P<repository>[^\s@]+)@(?P<digest>sha256:[0-9a-f]{64})$")
#: Under this an engine keeps the images that it got from us, by registry, repository and digest.
KEPT = "localhost/boathouse/pulled"
LONGEST_KEPT = 200
REFUSED = re.compile(r"unauthorized|authentication required|no basic auth credentials|denied|\b40[13]\b", re.IGNORECASE)
STALL_SECONDS = 30.0
LONGEST_SECONDS = 20 * 60.0
WATCH_SECONDS = 1.0
#: Bytes of the disk that a pull leaves free: an engine takes what a registry sends until it ends, whatever the manifest says.
DISK_RESERVE = 512 << 20


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
    offer: Offer | None = None

    @property
    def bytes(self) -> dict[str, int]:
        """How far it is, as `Pull` says it."""
        if self.offer is not None:
            done, total = self.offer.progress()
            return {"bytes_done": done, "bytes_total": total}
        return {"bytes_done": self.progress.done or self.arrived, "bytes_total": self.progress.total}


class Pulls:
    """The pulls of one engine. `downloads`: the directory where the engine keeps layers that arrive, when we know it; its
    growth counts as a sign of life, since Podman's own dialect does not tell bytes. `source`: where it gets images from, None for
    the registries themselves."""

    def __init__(
        self,
        client: EngineClient,
        downloads: Path | None,
        clock: Callable[[], float] = time.monotonic,
        stall: float = STALL_SECONDS,
        longest: float = LONGEST_SECONDS,
        source: Source | None = None,
    ) -> None:
        self._client, self._downloads, self._clock, self._source = client, downloads, clock, source
        self._stall, self._longest = stall, longest
        self._guard = threading.Lock()
        self._jobs: dict[str, _Job] = {}
        self._closed = threading.Event()

    def pull(self, pinned: str, credentials: Key, plain_http: bool, hint: Callable[[], None] | None) -> Pull:
        """See `Images.pull`. Raises NodeFailure for a reference without a digest."""
        if not PINNED.match(pinned):
            raise NodeFailure("DOCKER_IMAGE_PULL_FAILURE", "Only references with a digest are pulled.", pinned)
        key = _key(pinned, credentials, plain_http)
        with self._guard:
            job = self._jobs.get(key)
            if job is not None:
                return self._told(key, job, hint)
        with self._client.looking():
            present = self._present(pinned) or self._kept(pinned)
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
            return replace(job.answer, **job.bytes, wait=job.offer.waiting() if job.offer else None)
        del self._jobs[key]
        return job.answer

    def _present(self, pinned: str) -> str:
        return str(self._seen(pinned).get("Id", ""))

    def _kept(self, pinned: str) -> str:
        """What is kept of an earlier pull. A name with a tag can be given to any image, by a build as well: only one that the
        engine knows by the digest itself is believed."""
        found = self._seen(":".join(kept_name(pinned)))
        digest = pinned.partition("@")[2]
        known = {str(name).partition("@")[2] for name in found.get("RepoDigests") or ()}
        return str(found["Id"]) if digest in known else ""

    def _seen(self, reference: str) -> Mapping[str, Any]:
        """What the engine says of an image; nothing where it has none of that name."""
        try:
            with self._client.calls() as api:
                return api.inspect_image(reference)
        except EngineRefused as refused:
            if refused.missing:
                return {}
            raise

    def _run(self, job: _Job, pinned: str, key: Key, plain_http: bool) -> None:
        watch = threading.Thread(target=self._watch, args=(job,), name="pull-watch", daemon=True)
        watch.start()
        try:
            answer = self._from_source(job, pinned, key) if self._source else self._directly(job, pinned, key, plain_http)
        except NodeFailure as failure:
            answer = Pull(PullState.FAILED, code=failure.code, error=job.given_up or failure.message)
        except (EngineRefused, DriverUnavailable) as failure:
            answer = Pull(PullState.FAILED, error=job.given_up or without_secrets(str(failure), _known(key)))
        except Exception as failure:  # a stream that breaks in the middle raises what it likes; the caller must hear of it
            answer = Pull(PullState.FAILED, error=job.given_up or without_secrets(f"the transfer broke: {failure}", _known(key)))
        self._end(job, answer)

    def _end(self, job: _Job, answer: Pull) -> None:
        """Have the answer of a pull, once: the watch may have given up what still waits for the engine."""
        with self._guard:
            if job.answer.state is not PullState.PULLING:
                return
            job.answer = replace(answer, **job.bytes)
            hints, job.hints = job.hints, []
        for hint in hints:
            hint()

    def _from_source(self, job: _Job, pinned: str, key: Key) -> Pull:
        assert self._source is not None
        with self._source.offer(pinned, key) as offer:
            job.offer = offer
            offer.prepare()
            try:
                answer = self._fetch(job, offer.reference, offer.credentials, plain_http=True)
            except Exception:
                if offer.failure() is None:
                    raise
                answer = Pull(PullState.FAILED)
            failed = offer.failure()
            if answer.state is PullState.FAILED and not job.given_up:
                if failed is not None:
                    return Pull(PullState.FAILED, code=failed[0], error=failed[1])
                offer.distrust()
        if answer.state is PullState.PRESENT:
            with self._client.calls() as api:
                api.tag(answer.image, *kept_name(pinned))
        return answer

    def _directly(self, job: _Job, pinned: str, key: Key, plain_http: bool) -> Pull:
        """From the registry itself. Credentials that were fetched earlier may have ended: they are renewed once."""
        try:
            answer = self._fetch(job, pinned, opened(key), plain_http)
            refused = answer.state is PullState.FAILED and REFUSED.search(answer.error) is not None
        except EngineRefused as failure:
            if not (isinstance(key, Renewable) and REFUSED.search(str(failure))):
                raise
            answer, refused = Pull(PullState.FAILED), True
        if not refused or job.given_up or not isinstance(key, Renewable):
            return answer
        job.progress = Progress()
        return self._fetch(job, pinned, opened(key, renew=True), plain_http)

    def _fetch(self, job: _Job, reference: str, credentials: Credentials | None, plain_http: bool) -> Pull:
        with self._stream(reference, credentials, plain_http) as stream:
            job.stream = stream
            for line in stream.iter_lines():
                job.heard = self._clock()
                if line:
                    job.progress.read(json.loads(line))
        if job.given_up:
            return Pull(PullState.FAILED, error=job.given_up)
        if job.progress.error:
            return Pull(PullState.FAILED, error=without_secrets(job.progress.error, credentials))
        image = self._present(reference)
        if not image:
            return Pull(PullState.FAILED, error="the engine ended the pull without the image and without a reason")
        return Pull(PullState.PRESENT, image=image)

    @contextlib.contextmanager
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
        """Look once a second whether anything arrives, and whether the disk has room for more."""
        before = self._size()
        while job.answer.state is PullState.PULLING and not self._closed.wait(WATCH_SECONDS):
            now, size = self._clock(), self._size() - before
            if size > job.arrived:
                job.heard = now
            job.arrived = max(size, job.arrived)
            if job.offer is not None:
                job.heard = max(job.heard, job.offer.heard())
            if now - job.heard > self._stall:
                self._give_up(job, f"stalled: nothing arrived for {self._stall:.0f} s")
            elif now - job.began > self._longest:
                self._give_up(job, f"not finished after {self._longest / 60:.0f} minutes")
            elif job.arrived and self._free() < DISK_RESERVE:
                self._give_up(job, f"no space left: less than {DISK_RESERVE >> 20} MiB are free, {job.arrived >> 20} MiB arrived")

    def _give_up(self, job: _Job, why: str) -> None:
        """End a pull by closing its connection. An engine that has not begun to answer has no connection to close yet: the
        answer does not wait for it."""
        if job.answer.state is not PullState.PULLING or job.given_up:
            return
        job.given_up = why
        if job.stream is not None:
            connection = getattr(job.stream.raw, "connection", None) or getattr(job.stream.raw, "_connection", None)
            sock = getattr(connection, "sock", None)
            if sock is not None:
                with contextlib.suppress(OSError):  # it ended meanwhile
                    sock.shutdown(2)  # wakes the reader; closing alone would leave it waiting
        self._end(job, Pull(PullState.FAILED, error=why))

    def _free(self) -> int:
        """Bytes that are free where the engine keeps what arrives."""
        assert self._downloads is not None, "nothing is known to arrive without it"
        try:
            return shutil.disk_usage(self._downloads).free
        except OSError:
            return DISK_RESERVE

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


def kept_name(pinned: str) -> tuple[str, str]:
    """Repository and tag under which an engine keeps an image that it got from us: where it came from, and its digest. Pure."""
    name, _, digest = pinned.partition("@")
    host, _, repository = name.partition("/")
    place = f"{KEPT}/{re.sub(r'[^a-z0-9]+', '-', host).strip('-')}/{repository}"
    return place if len(place) <= LONGEST_KEPT else KEPT, digest.partition(":")[2]


def _known(key: Key) -> Credentials | None:
    """The credentials of a key that need not be fetched."""
    return None if isinstance(key, Renewable) else key


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


def _key(pinned: str, key: Key, plain_http: bool) -> str:
    """One pull for each reference and each right to it; the password is not kept."""
    right = key.name if isinstance(key, Renewable) else f"{key.username}\0{key.password}" if key else ""
    return f"{pinned} {plain_http} {hashlib.sha256(right.encode()).hexdigest()}"
