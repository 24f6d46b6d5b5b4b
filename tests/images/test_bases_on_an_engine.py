"""Our base images on the machine's real engine: each built, checked and started; built twice they are the same bytes.

What the mirror has no more is built from what there is: locks are tested without an engine (`test_locks`).
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from boathouse.dataplane.engine.client import EngineClient
from boathouse.dataplane.engine.images import EngineImages
from boathouse.dataplane.engine.locate import find
from boathouse.images import build
from boathouse.images.check import check
from boathouse.images.findings import Wanted
from boathouse.images.views import EngineView
from boathouse.settings import default_cache

pytestmark = pytest.mark.engine

PIP = "/databricks/python3/bin/python3 -m pip check && "
#: An image of each recipe -> what is run in it, and what that says.
STARTED = {
    "alpine": ("ls -l /bin/ls; [ -e /lib/ld-musl-x86_64.so.1 ] && echo musl", "busybox", "musl"),
    "minimal:16.4": (
        "echo $OPENSSL_FORCE_FIPS_MODE; id -un libraries; which sudo ps ip setfacl curl gpg apt-get", "0", "libraries", "apt-get",
    ),
    "minimal:13.3-slim": ("id -un libraries; which sudo ps ip; which apt-get || echo slim", "libraries", "/usr/bin/sudo", "slim"),
    "python:17.3-slim": (f"{PIP} python3 -c 'import numpy, pyarrow, pandas; print(numpy.__version__)'", "No broken", "2.1.3"),
    "standard:13.3": (f"{PIP} git --version && python3 -c 'import pyarrow; print(pyarrow.__version__)'", "git version", "10.0.1"),
    "r:17.3": ("Rscript -e 'cat(1 + 41)' && python3 -c 'import pandas; print(pandas.__version__)'", "42", "2.2.3"),
    "gpu:14.3": (
        f"{PIP} echo $CUDA_VERSION && python3 -c 'import ctypes, nvidia.cuda_runtime as c; "
        'ctypes.CDLL(c.__path__[0] + "/lib/libcudart.so.11.0"); print("loaded")\'',
        "11.8.89", "loaded",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def client() -> Iterator[EngineClient]:
    with contextlib.closing(EngineClient(find(default_cache(), "embedded").address, timeout=600)) as opened:
        yield opened


def said_by(client: EngineClient, image: str, script: str) -> str:
    """What a script says in a container of an image that has no network."""
    made = client.api.create_container(
        image, ["bash", "-c", f"export PATH=/databricks/python3/bin:$PATH; {script}"],
        host_config=client.api.create_host_config(network_mode="none"),
    )["Id"]  # fmt: skip
    try:
        client.api.start(made)
        status = client.api.wait(made, timeout=120)["StatusCode"]
        text = client.api.logs(made).decode()
        assert status == 0, text
        return text
    finally:
        client.api.remove_container(made, force=True)


@pytest.mark.parametrize("name", STARTED)
def test_every_recipe_is_built_checked_and_started(client: EngineClient, name: str) -> None:
    reference = build.load(client, name, default_cache())
    with contextlib.closing(EngineImages(client, "1a2b3c4e")) as images:
        local = images.local(reference)
        assert local
        with images.view(local) as raw:
            report = check(EngineView(raw), Wanted(glibc="2.34"))
    assert report.ok, report.first_failure
    script, *words = STARTED[name]
    text = said_by(client, reference, script)
    assert all(word in text for word in words), text


def test_the_same_lock_is_the_same_bytes(tmp_path: Path) -> None:
    """Built anew beside what the machine's cache has: packages, and a Python environment."""
    first = build.image("python:slim", default_cache())
    again = build.image("python:slim", tmp_path)
    assert [layer.digest for layer in again.layers] == [layer.digest for layer in first.layers]
    assert again.identifier == first.identifier
