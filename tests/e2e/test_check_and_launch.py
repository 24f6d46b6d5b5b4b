"""The fifty labelled images launched for real: the check says before what the launch will say, for every one of them."""

import dataclasses
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.service import compute

from boathouse.images import build
from boathouse.images.check import check
from boathouse.images.findings import CheckReport, Wanted
from boathouse.releases import Releases
from boathouse.releases.release import Release
from boathouse.settings import default_cache
from tests.e2e.conftest import PrivateRegistry, Server, boathouse, until
from tests.e2e.labelled_images import STUBS_RUN, Folder, Made, Push, java_layer, made
from tests.images.labelled import BROKEN, GOOD, Label

pytestmark = [pytest.mark.engine, pytest.mark.spark]

AT_ONCE = 3
KEYS = ("17.3.x-scala2.13", "15.4.x-scala2.12")
#: What only an archive shows: an engine neither tells an image's history nor what a layer covers.
IN_ARCHIVES_ALONE = frozenset({"secret.history", "secret.layer"})
#: What a user asks of the check beyond what a launch asks: a cluster without R, or without a GPU, starts.
ASKED_BEYOND = frozenset({"r.missing", "cuda.driver"})


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a launch ended: RUNNING or TERMINATED, why, and what its image steps said."""

    state: compute.State
    code: str
    message: str
    steps: dict[str, dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Tried:
    report: CheckReport
    outcome: Outcome


def runtime(label: Label) -> str:
    return KEYS[1] if label.wanted.spark.startswith("3.5") else KEYS[0]


def wanted(label: Label, release: Release) -> Wanted:
    """What a launch asks of the image."""
    known = {"spark": release.spark, "glibc": release.glibc, "java_major": release.java_major}
    return Wanted(**known, max_bytes=label.wanted.max_bytes, strict=label.wanted.strict)


def launched(w: WorkspaceClient, registry: PrivateRegistry, image: Made) -> Outcome:
    cluster_id = w.clusters.create(
        cluster_name=image.label.name, spark_version=runtime(image.label), node_type_id="m5.large", num_workers=0,
        docker_image=registry.auth(f"{registry.host}/river/labelled:{image.tag}"),
    ).cluster_id  # fmt: skip

    def ended() -> compute.ClusterDetails | None:
        details = w.clusters.get(cluster_id)
        return details if details.state in (compute.State.RUNNING, compute.State.TERMINATED) else None

    details = until(ended, 240, f"the end of the launch of {image.label.name!r}")
    rows: Any = w.api_client.do("GET", f"/api/2.0/boathouse/clusters/{cluster_id}/timeline")
    w.clusters.delete(cluster_id)
    reason = details.termination_reason
    code = reason.code.value if reason and reason.code else ""
    steps = {row["step"]: row for row in rows["launches"][0]["steps"] if row["step"].startswith("image.")}
    return Outcome(details.state, code, details.state_message or "", steps)


@pytest.fixture(scope="module")
def tried(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, private_registry: PrivateRegistry
) -> Iterator[dict[str, Tried]]:
    """The image of every label that is asked for, checked as an archive and launched from a registry, a few at a time."""
    asked = {item.name for item in request.session.items}
    labels = [label for label in BROKEN + GOOD if f"{test_check_and_launch_agree.__name__}[{label.name}]" in asked]
    cache = default_cache()
    releases = {key: Releases(cache / "releases").get(key) for key in KEYS}
    base = build.image("python", cache)
    java = java_layer(releases[KEYS[0]].directory / "jre")  # type: ignore[union-attr]
    images = [made(label, base, java) for label in labels]
    push = Push(private_registry.host, "river/labelled", "reader", private_registry.password)
    push.base(base)
    for image in images:
        push.image(image)
    folder = Folder(tmp_path_factory.mktemp("labelled") / "oci", base)
    reports = {}
    for image in images:
        release = releases[runtime(image.label)]
        assert release is not None
        reports[image.label.name] = check(folder.opened(image), wanted(image.label, release))
    servers = {strict: Server(tmp_path_factory.mktemp("server"), private_registry, {"BOATHOUSE_STRICT": str(strict).lower()})
               for strict in (False, True)}  # fmt: skip
    try:
        clients = {strict: ready(server.start(), private_registry) for strict, server in servers.items()}
        with ThreadPoolExecutor(AT_ONCE) as pool:
            outcomes = pool.map(lambda image: launched(clients[image.label.wanted.strict], private_registry, image), images)
            found = {image.label.name: outcome for image, outcome in zip(images, outcomes, strict=True)}
        yield {name: Tried(report, found[name]) for name, report in reports.items()}
    finally:
        for server in servers.values():
            server.end(signal.SIGTERM)
            if Path(server.data).exists():
                boathouse("down", "--data", str(server.data))


def ready(w: WorkspaceClient, registry: PrivateRegistry) -> WorkspaceClient:
    w.workspace_conf.set_status({"enableDcs": "true"})
    w.secrets.create_scope("registry")
    w.secrets.put_secret("registry", "password", string_value=registry.password)
    return w


@pytest.mark.parametrize("label", BROKEN + GOOD, ids=lambda label: label.name)
def test_check_and_launch_agree(label: Label, tried: dict[str, Tried]) -> None:
    report, outcome = tried[label.name].report, tried[label.name].outcome
    failed = report.first_failure
    if failed is not None:
        assert failed.code == label.code, "the image is broken in another way than its label says"
        assert (outcome.state, outcome.code) == (compute.State.TERMINATED, failed.termination_code), outcome.message
        if "image.check" in outcome.steps:  # what the registry says already is refused before anything is pulled
            assert failed.text in outcome.steps["image.check"]["details"]["message"]
        else:
            assert failed.code in ("platform.other", "size.large")
        return
    looked = outcome.steps["image.check"]
    assert looked["outcome"] == "ok", outcome.message
    told = {finding.text for finding in report.warnings}
    assert set(looked["details"]["warnings"]) == told - {w.text for w in report.warnings if w.code in IN_ARCHIVES_ALONE}
    assert looked["details"]["python"] == (report.python.version if report.python else None)
    if label.name in STUBS_RUN:
        assert outcome.code == "SPARK_STARTUP_FAILURE", outcome
    else:
        assert outcome.state == compute.State.RUNNING, outcome
    if label.code and label.code not in ASKED_BEYOND:
        assert label.code in {finding.code for finding in report.findings}
