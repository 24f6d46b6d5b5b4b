"""Fetching pinned files: from either form of package index, from a Maven repository, and refusing what does not fit."""

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from boathouse.releases import RUNTIMES, sources
from boathouse.releases.sources import Source, SourceUnavailable, fetch

CONTENT = b"the file"
SHA = hashlib.sha256(CONTENT).hexdigest()


class Mirror:
    """A web server on loopback that answers fixed paths and notes what was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[str, bytes]] = {}
        self.asked: list[str] = []
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.asked.append(self.path)
                kind, body = mirror.answers.get(self.path, ("", b""))
                self.send_response(200 if kind else 404)
                self.send_header("Content-Type", kind or "text/plain")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    made = Mirror()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("BOATHOUSE_MAVEN_URL", f"{made.url}/maven")
    monkeypatch.setenv("BOATHOUSE_PYPI_URL", f"{made.url}/simple")
    sources._package_index.cache_clear()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()
    sources._package_index.cache_clear()


def silent(_: str) -> None:
    """No progress is shown."""


PYPI = Source("spark-1.tar.gz", SHA, "pypi", "spark")
MAVEN = Source("delta-spark_2.13-4.0.1.jar", SHA, "maven", "io.delta")


def test_every_runtime_has_all_its_sources_pinned() -> None:
    for runtime in RUNTIMES:
        jars = sources.spark_jar_sources(runtime)
        assert bool(jars) == (runtime.spark_jars == "maven")
        for source in [sources.spark_source(runtime), *jars, *sources.jar_sources(runtime)]:
            assert len(source.sha256) == 64


def test_a_jar_whose_version_has_a_dash_is_looked_up_in_its_own_folder() -> None:
    runtime = next(each for each in RUNTIMES if each.key == "16.4.x-scala2.13")
    jar = next(each for each in sources.spark_jar_sources(runtime) if each.file == "json4s-ast_2.13-3.7.0-M11.jar")
    assert sources._maven_url(jar).endswith("/org/json4s/json4s-ast_2.13/3.7.0-M11/json4s-ast_2.13-3.7.0-M11.jar")


def test_another_scala_takes_from_maven_what_is_compiled_for_it_and_the_rest_from_pyspark() -> None:
    runtime = next(each for each in RUNTIMES if each.key == "16.4.x-scala2.13")
    files = [each.file for each in sources.spark_jar_sources(runtime)]
    assert {"scala-library-2.13.8.jar", "spark-core_2.13-3.5.3.jar", "json4s-jackson_2.13-3.7.0-M11.jar"} <= set(files)
    assert all(sources.of_a_scala(file) for file in files)
    shared = ["jackson-core-2.15.2.jar", "slf4j-api-2.0.7.jar", "scalable-1.0.jar", "hive-exec-2.3.9-core.jar"]
    assert not any(map(sources.of_a_scala, shared))
    assert sources.of_a_scala("scala-compiler-2.12.18.jar") and sources.of_a_scala("chill_2.12-0.10.0.jar")


def test_spark_3_gets_its_connect_jar() -> None:
    files = {runtime.key: [source.file for source in sources.jar_sources(runtime)] for runtime in RUNTIMES}
    assert "spark-connect_2.12-3.5.7.jar" in files["14.3.x-scala2.12"]
    assert "spark-connect_2.12-3.5.7.jar" in files["15.4.x-scala2.12"]
    assert "spark-connect_2.12-3.5.7.jar" in files["16.4.x-scala2.12"]
    assert not [file for file in files["17.3.x-scala2.13"] if "connect" in file]


def test_a_jar_is_looked_up_by_group_artifact_and_version(mirror: Mirror, tmp_path: Path) -> None:
    path = "/maven/io/delta/delta-spark_2.13/4.0.1/delta-spark_2.13-4.0.1.jar"
    mirror.answers[path] = ("application/java-archive", CONTENT)
    assert fetch(MAVEN, tmp_path, silent).read_bytes() == CONTENT
    assert fetch(MAVEN, tmp_path, silent) == tmp_path / SHA / MAVEN.file
    assert mirror.asked == [path]


@pytest.mark.parametrize(
    "kind, page",
    [
        (
            "application/vnd.pypi.simple.v1+json",
            json.dumps({"files": [{"filename": "spark-1.tar.gz", "url": "../../files/spark-1.tar.gz"}]}),
        ),
        ("text/html", '<a href="/files/spark-2.tar.gz">2</a> <a href="/files/spark-1.tar.gz#sha256=x">1</a>'),
    ],
)
def test_an_index_answers_json_or_html(mirror: Mirror, tmp_path: Path, kind: str, page: str) -> None:
    mirror.answers["/simple/spark/"] = (kind, page.encode())
    mirror.answers["/files/spark-1.tar.gz"] = ("application/gzip", CONTENT)
    assert fetch(PYPI, tmp_path, silent).read_bytes() == CONTENT


def test_a_file_that_does_not_fit_its_hash_is_refused_and_not_kept(mirror: Mirror, tmp_path: Path) -> None:
    mirror.answers["/maven/io/delta/delta-spark_2.13/4.0.1/delta-spark_2.13-4.0.1.jar"] = ("x/y", b"another file")
    with pytest.raises(SourceUnavailable, match="expected " + SHA):
        fetch(MAVEN, tmp_path, silent)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_what_is_not_there_is_said_by_name(mirror: Mirror, tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match=r"delta-spark_2\.13-4\.0\.1\.jar could not be fetched from maven.*404"):
        fetch(MAVEN, tmp_path, silent)
    mirror.answers["/simple/spark/"] = ("text/html", b"<a href='x'>")
    with pytest.raises(SourceUnavailable, match=r"no spark-1\.tar\.gz"):
        fetch(PYPI, tmp_path, silent)


def test_plain_http_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BOATHOUSE_MAVEN_URL", "http://maven.example/repository")
    with pytest.raises(SourceUnavailable, match="refusing to fetch over http"):
        fetch(MAVEN, tmp_path, silent)
