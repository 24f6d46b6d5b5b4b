"""Clusters of our base images, and of an image as the official `databricksruntime/*` Dockerfiles make them."""

import json
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.service import compute

from boathouse.images import dockerfiles, recipe, wheels
from tests.e2e.conftest import Notebook, PrivateRegistry, boathouse, cluster

pytestmark = [pytest.mark.engine, pytest.mark.spark]

MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
RUNTIME = "15.4.x-scala2.12"
WHEELS_HERE = "COPY wheels /wheels\nENV PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels\n"
#: What the official Dockerfiles of `dbfsfuse`, `standard` and `ssh` end with; and an ENTRYPOINT that must not run.
OFFICIAL_END = """
ENV USER=root
RUN useradd --create-home ubuntu && echo 'ubuntu ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/ubuntu
USER ubuntu
WORKDIR /home/ubuntu
ENTRYPOINT ["/bin/false"]
"""


def digest_of(registry: PrivateRegistry, reference: str) -> str:
    """The digest under which the registry has an image, asked without our client."""
    repository, tag = reference.removeprefix(f"{registry.host}/").rsplit(":", 1)
    request = urllib.request.Request(f"http://{registry.host}/v2/{repository}/manifests/{tag}", method="HEAD")
    request.add_header("Accept", ", ".join(MANIFESTS))
    request.add_header("Authorization", "Basic " + b64encode(f"reader:{registry.password}".encode()).decode())
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.headers["Docker-Content-Digest"]


@contextmanager
def cluster_of(
    w: WorkspaceClient, registry: PrivateRegistry, folder: Path, text: str, *arguments: str
) -> Iterator[compute.ClusterDetails]:
    """A cluster of the image that a Dockerfile makes, built and pushed as a user does."""
    (folder / "Dockerfile").write_text(text)
    reference = f"{registry.host}/bases/{folder.name.replace('_', '-').strip('-')}:1"
    login = {"BOATHOUSE_REGISTRY_USERNAME": "reader", "BOATHOUSE_REGISTRY_PASSWORD": registry.password}
    command = ("image", "--output", "json", "build", str(folder), "-t", reference, "--push", *arguments)
    pushed = json.loads(boathouse(*command, environ=login).stdout)
    assert pushed["digest"] == digest_of(registry, reference) and pushed["pinned"].endswith(f"@{pushed['digest']}")
    with cluster(w, spark_version=RUNTIME, docker_image=registry.auth(reference), cluster_name=folder.name) as details:
        yield details


def test_a_slim_image_for_its_runtime(workspace: WorkspaceClient, private_registry: PrivateRegistry, tmp_path: Path) -> None:
    boathouse("image", "build", "python:15.4-slim")
    with cluster_of(workspace, private_registry, tmp_path, "FROM localhost/boathouse/python:15.4-slim\n") as details:
        python = Notebook(workspace, details.cluster_id, compute.Language.PYTHON)
        code = "import pandas, pyarrow\nprint(pandas.__version__, pyarrow.__version__, len(spark.range(3).toPandas()))"
        assert python.text(code) == "1.5.3 14.0.1 3"


def test_an_alpine_like_image_has_sql(workspace: WorkspaceClient, private_registry: PrivateRegistry, tmp_path: Path) -> None:
    boathouse("image", "build", "alpine")
    with cluster_of(workspace, private_registry, tmp_path, "FROM localhost/boathouse/alpine:latest\n") as details:
        sql = Notebook(workspace, details.cluster_id, compute.Language.SQL)
        assert sql.ask("SELECT sum(id) FROM range(10)").data == [[45]]


def test_the_official_dockerfiles_patterns(workspace: WorkspaceClient, private_registry: PrivateRegistry, tmp_path: Path) -> None:
    """`virtualenv --system-site-packages` at /databricks/python3 of the system's Python, the user `libraries`, USER, ENTRYPOINT,
    no pyspark: our Dockerfile for Ubuntu, on our `minimal` in place of Ubuntu's image and without its JDK. pip finds its
    wheels in the folder: what a RUN step needs to reach PyPI (proxies, authorities) is another on each machine."""
    boathouse("image", "build", "minimal:15.4")
    python_recipe = recipe.lineage("python:15.4")[-1]
    wheels.fetch(python_recipe, tmp_path / "wheels", lambda line: None, python_recipe.locked_wheels)
    text = dockerfiles.text("python:15.4").replace("FROM ${BASE}\n", f"FROM ${{BASE}}\n{WHEELS_HERE}") + OFFICIAL_END
    base = ("--build-arg", "BASE=localhost/boathouse/minimal:15.4", "--build-arg", "JAVA=")
    with cluster_of(workspace, private_registry, tmp_path, text, *base) as details:
        python = Notebook(workspace, details.cluster_id, compute.Language.PYTHON)
        assert python.text("import getpass, sys, os\nprint(getpass.getuser(), sys.prefix, os.getcwd())") == (
            "root /databricks/python3 /databricks/driver"
        )
        assert python.text("import pyspark, pandas\nprint(pyspark.__file__, pandas.__version__, spark.range(5).count())") == (
            "/databricks/runtime/python/pyspark/__init__.py 1.5.3 5"
        )
        shell = "import subprocess\nprint(subprocess.run({!r}, shell=True, capture_output=True, text=True).stdout.strip())"
        assert python.text(shell.format("getent passwd libraries | cut -d: -f1; which virtualenv sudo setfacl")).split() == [
            "libraries", "/usr/bin/virtualenv", "/usr/bin/sudo", "/usr/bin/setfacl",
        ]  # fmt: skip
        assert python.text(shell.format("ls -d /databricks/python3/lib/python3.11/site-packages/pyspark")) == ""
