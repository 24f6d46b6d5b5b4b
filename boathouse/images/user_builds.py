"""Building and pushing images of users, through the engine: what `boathouse image build DIR -t REF --push` does.

The engine builds from a Dockerfile; we send the folder and pass its words on. The `docker` library does what it can;
plain HTTP to a registry, which only Podman's own dialect can be asked for, goes there directly.
"""

import base64
import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker.errors
import requests.exceptions
from docker.auth import AuthConfig

from boathouse.images.build import HasApi
from boathouse.images.failures import quoted
from boathouse.images.references import Reference
from boathouse.images.registry_auth import Login
from boathouse.images.rootfs import BuildError, Progress

log = logging.getLogger("boathouse.images")

BUILD_SECONDS = 3600
_LIBPOD = "/v4.0.0/libpod"
#: What Podman says of every other name that the image has, and of arguments that it gives by itself.
_NOISE = ("Successfully tagged ", "[Warning] one or more build args")
_BUILT = re.compile(r"^Successfully built ([0-9a-f]{12,64})$")


def build_image(
    client: HasApi,
    directory: Path,
    tag: str,
    progress: Progress,
    dockerfile: str = "Dockerfile",
    arguments: Mapping[str, str] | None = None,
    network: str = "host",
    cache: bool = True,
    limits: Mapping[str, int] | None = None,
    pull: bool = False,
    logins: Mapping[str, Login] | None = None,
) -> str:
    """Build the Dockerfile of a folder (`.dockerignore` is heeded) and tag the image; returns its id.

    RUN steps use the engine's own machine's network unless `network` says otherwise, so that package registries are
    reached. `limits`: bytes of `memory` and `cpushares` of RUN steps, as the engine's API takes them. `pull`: ask the
    registries for the images that it begins with, whatever the engine has. `cache`: take steps that were run before.
    `logins`: by host, all that the engine is told for that; None: what `docker login` has kept for who calls. Raises
    BuildError with the last lines that the build said.
    """
    dockerfile_of(directory, dockerfile)
    said: list[str] = []
    identifier = ""
    try:
        with _telling(client.api, logins):
            events = client.api.build(
                path=str(directory),
                dockerfile=dockerfile,
                tag=tag,
                buildargs=dict(arguments or {}),
                network_mode=network,
                nocache=not cache,
                pull=pull,
                platform="linux/amd64",
                rm=True,
                forcerm=True,
                container_limits=dict(limits or {}),
                decode=True,
                timeout=BUILD_SECONDS,
            )
        for event in events:
            if event.get("error"):
                raise BuildError(f"the build of {tag} failed: {quoted(event['error'])}", "".join(said[-40:]))
            for line in str(event.get("stream") or "").splitlines():
                said = [*said[-200:], line + "\n"]
                if line.strip() and not line.startswith(_NOISE):
                    progress(line.rstrip())
                if built := _BUILT.match(line.strip()):
                    identifier = built.group(1)
            identifier = str((event.get("aux") or {}).get("ID") or identifier)
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        raise BuildError(f"the engine could not build {tag}: {quoted(error)}", "".join(said[-40:])) from error
    if not identifier:
        raise BuildError(f"the build of {tag} ended without an image", "".join(said[-40:]))
    return str(client.api.inspect_image(identifier)["Id"])


class _Told(AuthConfig):
    """Log-ins of one build. Never empty to the library, which would read those of `docker login` instead."""

    @property
    def is_empty(self) -> bool:
        return False


@contextmanager
def _telling(api: Any, logins: Mapping[str, Login] | None) -> Iterator[None]:
    """Have the library send these log-ins, and no others, with the request of a build, which has no argument for them."""
    if logins is None:
        yield
        return
    before = getattr(api, "_auth_configs", None)
    told = {host: {"username": login.username, "password": login.password} for host, login in logins.items()}
    api._auth_configs = _Told({"auths": told})
    try:
        yield
    finally:
        api._auth_configs = before


def dockerfile_of(directory: Path, dockerfile: str = "Dockerfile") -> Path:
    """The Dockerfile of a folder. BuildError where there is none."""
    if not (directory / dockerfile).is_file():
        raise BuildError(f"{directory} has no {dockerfile}")
    return directory / dockerfile


def push_image(
    client: HasApi,
    local: str,
    target: Reference,
    login: Login | None,
    progress: Progress,
    plain_http: bool = False,
    keep: bool = True,
) -> None:
    """Push a local image to a registry as `target`. Credentials travel in the call's header alone. Without `keep` the engine
    knows no image by the name of `target` afterwards. Raises BuildError."""
    api, secrets = client.api, login.secrets if login else ()
    credentials = {"username": login.username, "password": login.password} if login else {}
    try:
        if not api.tag(local, target.name, target.tag):
            raise BuildError(f"the engine did not tag {local} as {target}")
        progress(f"pushing {target}")
        if plain_http and _is_podman(api):
            _push_by_podman(api, target, credentials, secrets)
            return
        for event in api.push(target.name, tag=target.tag, auth_config=credentials, stream=True, decode=True):
            if event.get("error"):
                raise BuildError(f"{target} was not pushed: {quoted(event['error'], secrets)}")
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        raise BuildError(f"{target} was not pushed: {quoted(error, secrets)}") from error
    finally:
        if not keep:
            untag(client, str(target))


def untag(client: HasApi, name: str) -> None:
    """Have the engine know no image by this name; the image goes with its last name. What cannot be taken away stays."""
    try:
        client.api.remove_image(name)
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        log.debug("%s keeps its name: %s", name, error)


def _is_podman(api: Any) -> bool:
    parts = api.version().get("Components") or []
    return any("podman" in str(part.get("Name", "")).lower() for part in parts)


def _push_by_podman(api: Any, target: Reference, credentials: dict[str, str], secrets: tuple[str, ...]) -> None:
    header = base64.urlsafe_b64encode(json.dumps(credentials).encode()).decode()
    answer = api.post(
        f"{api.base_url}{_LIBPOD}/images/{target}/push",
        params={"destination": str(target), "tlsVerify": "false"},
        headers={"X-Registry-Auth": header},
        timeout=BUILD_SECONDS,
    )
    words = answer.text if answer.status_code >= 400 else _error_in(answer.text)
    if words:
        raise BuildError(f"{target} was not pushed: {quoted(words, secrets)}")


def _error_in(text: str) -> str:
    """The error in a stream of JSON lines, or an empty text."""
    for line in text.splitlines():
        if line.strip():
            event = json.loads(line)
            if isinstance(event, dict) and event.get("error"):
                return str(event["error"])
    return ""
