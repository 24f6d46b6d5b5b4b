"""Building and pushing images of users with Buildah, where no container engine answers. The same two verbs as `user_builds`.

Credentials go into a file of their own with mode 0600, never on a command line.
"""

import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from boathouse.images.failures import quoted
from boathouse.images.references import Reference
from boathouse.images.registry_auth import Login
from boathouse.images.rootfs import BuildError, Progress, tail
from boathouse.images.user_builds import dockerfile_of


def present() -> bool:
    """Whether this machine has Buildah."""
    return shutil.which("buildah") is not None


def build_image(
    directory: Path,
    tag: str,
    progress: Progress,
    arguments: Mapping[str, str] | None = None,
    cache: bool = True,
    pull: bool = False,
) -> str:
    """Build the Dockerfile of a folder and tag the image; returns its id. Raises BuildError with the last lines that it said."""
    file = dockerfile_of(directory)
    with tempfile.TemporaryDirectory(prefix="buildah-") as scratch:
        identifier = Path(scratch) / "id"
        pairs = [f"--build-arg={name}={value}" for name, value in (arguments or {}).items()]
        how = [*(["--pull-always"] if pull else []), *([] if cache else ["--no-cache"]), *pairs]
        argv = ["buildah", "build", *how, "--platform=linux/amd64", f"--iidfile={identifier}", f"--file={file}", f"--tag={tag}"]
        _run([*argv, str(directory)], f"the build of {tag} failed", progress)
        return identifier.read_text().strip()


def push_image(local: str, target: Reference, login: Login | None, progress: Progress, plain_http: bool = False) -> None:
    """Push a local image to a registry as `target`. Raises BuildError."""
    progress(f"pushing {target}")
    with tempfile.TemporaryDirectory(prefix="buildah-") as scratch:
        argv = ["buildah", "push", "--quiet", f"--tls-verify={'false' if plain_http else 'true'}"]
        if login:
            logins = Path(scratch) / "auth.json"
            with os.fdopen(os.open(logins, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
                pair = base64.b64encode(f"{login.username}:{login.password}".encode()).decode()
                json.dump({"auths": {target.api_host: {"auth": pair}}}, file)
            argv.append(f"--authfile={logins}")
        _run([*argv, local, f"docker://{target}"], f"{target} was not pushed", progress, login.secrets if login else ())


def _run(argv: list[str], failed: str, progress: Progress, secrets: tuple[str, ...] = ()) -> None:
    said: list[str] = []
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if line.strip():
                progress(quoted(line.rstrip(), secrets))
    if process.returncode != 0:
        raise BuildError(
            f"{failed}: {quoted(said[-1].strip() if said else 'buildah said nothing', secrets)}", tail("".join(said))
        )
