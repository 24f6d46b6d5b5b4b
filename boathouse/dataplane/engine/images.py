"""The images on the engine's machine: what is there, what is in it, loading and looking.

Called by the launch (through `driver`) and by set-up. Registries are spoken to by `pull`. A *view* is a container that is
created and never started: the engine hands out its files, and nothing of the image runs.
"""

import base64
import json
import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from boathouse.dataplane.contract import Key, NodeFailure, Pull, Source
from boathouse.dataplane.engine import containers, naming
from boathouse.dataplane.engine.client import API_VERSION, EngineClient, EngineRefused
from boathouse.dataplane.engine.pull import Pulls


class RawView:
    """An image's configuration and files, by a container that never runs. A context manager: the container goes at its end.

    `images.views` gives it the shape that the check wants; this room may not know that one.
    """

    def __init__(
        self, client: EngineClient, instance: str, image: str, config: dict[str, Any], closed: Callable[[str], None]
    ) -> None:
        self.image, self.config = image, config
        self.name = f"{naming.prefix(instance)}view-{secrets.token_hex(6)}"
        self._client, self._instance, self._closed = client, instance, closed

    def get_archive(self, path: str) -> Iterator[bytes] | None:
        """A file or directory of the image as a tar stream, links not followed; None when there is none."""
        try:
            with self._client.calls() as api:
                stream, _ = api.get_archive(self.name, path)
        except EngineRefused as refused:
            if refused.missing:
                return None
            raise
        return self._bytes(stream)

    def stat(self, path: str) -> dict[str, Any] | None:
        """What is at a path, without its contents: `name`, `size`, `mode` (Go's FileMode bits), `linkTarget` (absolute, for a
        link). Much cheaper than the archive. None when there is nothing, also for links that lead nowhere."""
        with self._client.calls() as api:
            url = f"{api.base_url}/v{API_VERSION}/containers/{self.name}/archive"
            answer = api.head(url, params={"path": path}, timeout=api.timeout)
        if answer.status_code == 404:
            return None
        if answer.status_code >= 400:
            raise EngineRefused(answer.status_code, f"no look at {path!r} in an image")
        return json.loads(base64.b64decode(answer.headers["X-Docker-Container-Path-Stat"]))

    def _bytes(self, stream: Iterator[bytes]) -> Iterator[bytes]:
        with self._client.calls():
            yield from stream

    def __enter__(self) -> "RawView":
        self._client.create(self.name, containers.view_config(self._instance, self.image))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.remove(self.name)
        self._closed(self.name)


class EngineImages:
    """Implements `Images` on one engine."""

    def __init__(self, client: EngineClient, instance: str, downloads: Path | None = None, source: Source | None = None) -> None:
        self._client, self._instance = client, instance
        self._guard = threading.Lock()
        self._views: set[str] = set()
        self._pulls = Pulls(client, downloads, source=source)

    def pull(
        self,
        pinned: str,
        key: Key,
        plain_http: bool = False,
        hint: Callable[[], None] | None = None,
    ) -> Pull:
        """See `Images.pull`. `hint` is called once, from another thread, when the pull has ended either way."""
        return self._pulls.pull(pinned, key, plain_http, hint)

    def local(self, reference: str) -> str | None:
        found = self._inspect(reference)
        return found["Id"] if found else None

    def image_config(self, image: str) -> dict[str, Any]:
        """The `Config` of an image (Env, Labels, ...) with `Architecture`, `Os` and `Size` beside it. Raises NodeFailure
        when it is not there."""
        found = self._inspect(image)
        if found is None:
            raise NodeFailure("DOCKER_IMAGE_PULL_FAILURE", "The image is no longer on this machine.", image)
        beside = {key: found.get(key) for key in ("Id", "Architecture", "Os", "Size", "RepoDigests", "RootFS")}
        return {**(found.get("Config") or {}), **beside}

    def load(self, archive: Path) -> str:
        """Have the image of an archive (`docker save` or OCI); its local immutable reference. Loading it twice is loading it
        once."""
        loaded = ""
        with self._client.calls() as api, archive.open("rb") as stream:
            for line in api.load_image(stream):
                text = str(line.get("stream", "")) if isinstance(line, dict) else str(line)
                if text.startswith("Loaded image"):
                    loaded = text.split(":", 1)[1].strip().split(",")[0]
        found = self._inspect(loaded) if loaded else None
        if found is None:
            raise EngineRefused(500, f"{archive.name} holds no image that the engine would load")
        return found["Id"]

    def save(self, image: str, target: Path) -> None:
        self.image_config(image)  # refuses what is not there
        with self._client.calls() as api, target.open("wb") as file:
            for block in api.get_image(image):
                file.write(block)

    def view(self, image: str) -> RawView:
        view = RawView(self._client, self._instance, image, self.image_config(image), self._view_closed)
        with self._guard:
            self._views.add(view.name)
        return view

    def open_views(self) -> frozenset[str]:
        """The names of views that somebody looks through now."""
        with self._guard:
            return frozenset(self._views)

    def close(self) -> None:
        self._pulls.close()

    def _view_closed(self, name: str) -> None:
        with self._guard:
            self._views.discard(name)

    def _inspect(self, reference: str) -> dict[str, Any] | None:
        try:
            with self._client.calls() as api:
                return api.inspect_image(reference)
        except EngineRefused as refused:
            if refused.missing:
                return None
            raise
