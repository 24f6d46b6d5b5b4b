"""Fetches what a release is made of: Apache Spark from PyPI, Delta Lake and the Connect jar from Maven Central.

Every file is pinned by its SHA-256 in `sources.lock.json`; what does not fit is thrown away and refused. Files are
kept under their hash in the downloads folder and shared by all releases. The machine's own settings are followed:
proxies and certificates from the environment, the package index from pip's or uv's settings, and
`BOATHOUSE_MAVEN_URL` for another Maven repository.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from boathouse.releases.runtimes import Runtime

MAVEN_DEFAULT = "https://repo1.maven.org/maven2"
PYPI_DEFAULT = "https://pypi.org/simple"
_TIMEOUT_SECONDS = 60
_ATTEMPTS = 3

Progress = Callable[[str], None]


class SourceUnavailable(Exception):
    """A file could not be fetched, or is not the one that is pinned. The message says which, from where, and why."""


@dataclass(frozen=True)
class Source:
    """One pinned file."""

    file: str
    sha256: str
    origin: str
    """`pypi` or `maven`."""
    owner: str
    """The PyPI project, or the Maven group."""
    folder: str = ""
    """`artifact/version` of a Maven file whose name has a classifier, which does not tell them apart."""


@cache
def _lock() -> dict[str, dict[str, Any]]:
    return json.loads(resources.files("boathouse.releases").joinpath("sources.lock.json").read_text(encoding="utf-8"))


def _maven_source(file: str, entry: dict[str, str]) -> Source:
    return Source(file, entry["sha256"], "maven", entry["group"], entry.get("folder", ""))


def spark_source(runtime: Runtime) -> Source:
    """The source distribution of PySpark: Spark's Python files and, for the Scala version it was built for, its jars."""
    file = f"pyspark-{runtime.spark}.tar.gz"
    entry = _lock()["pypi"][file]
    return Source(file, entry["sha256"], "pypi", entry["project"])


def of_a_scala(jar: str) -> bool:
    """Whether a jar holds for one Scala version, by its name. All others of one Spark are the same for each: Spark chose their
    versions to fit each other, which a resolver by itself does not."""
    return jar.startswith("scala-") or re.search(r"_2\.\d+-", jar) is not None


def spark_jar_sources(runtime: Runtime) -> list[Source]:
    """Those of Spark's jars that PySpark has for another Scala version only; `scripts/lock-spark-jars` pins them."""
    if runtime.spark_jars != "maven":
        return []
    return [_maven_source(*each) for each in _lock()["spark_jars"][f"spark-{runtime.spark}_{runtime.scala}"].items()]


def jar_sources(runtime: Runtime) -> list[Source]:
    """The jars that Spark's own distribution lacks: Delta Lake, Connect where Spark 3 leaves it out, and replacements."""
    files = [f"{runtime.delta_artifact}_{runtime.scala}-{runtime.delta}.jar", f"delta-storage-{runtime.delta}.jar"]
    if runtime.connect and runtime.spark.startswith("3."):
        files.append(f"spark-connect_{runtime.scala}-{runtime.spark}.jar")
    files += [file for _, file in runtime.replaced_jars]
    return [_maven_source(file, _lock()["maven"][file]) for file in files]


def fetch(source: Source, downloads: Path, progress: Progress) -> Path:
    """The file's path, downloaded unless it is there. Safe to call from several processes: the last rename wins."""
    kept = downloads / source.sha256 / source.file
    if kept.exists():
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    part = kept.with_name(f".{source.file}.{os.getpid()}")
    last: Exception | None = None
    for _ in range(_ATTEMPTS):
        try:
            url = _maven_url(source) if source.origin == "maven" else _pypi_url(source)
            _download(url, part, source, progress)
            part.rename(kept)
            return kept
        except (OSError, urllib.error.URLError) as error:
            last = error
            part.unlink(missing_ok=True)
    raise SourceUnavailable(f"{source.file} could not be fetched from {source.origin}: {last}")


def _download(url: str, part: Path, source: Source, progress: Progress) -> None:
    digest = hashlib.sha256()
    done, shown = 0, time.monotonic()
    with _open(url) as answer, part.open("wb") as file:
        total = int(answer.headers.get("Content-Length") or 0)
        while chunk := answer.read(1 << 20):
            file.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            if time.monotonic() - shown > 2:
                shown = time.monotonic()
                of = f" of {total >> 20}" if total else ""
                progress(f"download {source.file}: {done >> 20}{of} MB")
    if digest.hexdigest() != source.sha256:
        part.unlink()
        has = digest.hexdigest()
        raise SourceUnavailable(f"{source.file} from {source.origin} has SHA-256 {has}, expected {source.sha256}")


def _maven_url(source: Source) -> str:
    base = os.environ.get("BOATHOUSE_MAVEN_URL", MAVEN_DEFAULT).rstrip("/")
    folder = source.folder or "/".join(source.file.removesuffix(".jar").rsplit("-", 1))
    return f"{base}/{source.owner.replace('.', '/')}/{folder}/{source.file}"


def _pypi_url(source: Source) -> str:
    """Looks the file up in the package index, in either form that indexes answer (PEP 691 JSON, PEP 503 HTML)."""
    page = f"{_package_index().rstrip('/')}/{source.owner}/"
    with _open(page, accept="application/vnd.pypi.simple.v1+json, text/html;q=0.1") as answer:
        kind = answer.headers.get("Content-Type", "")
        text = answer.read().decode("utf-8")
    if "json" in kind:
        links = [entry["url"] for entry in json.loads(text)["files"] if entry["filename"] == source.file]
    else:
        hrefs = (html.unescape(href) for href in re.findall(r'href="([^"]+)"', text))
        links = [href for href in hrefs if urllib.parse.urlsplit(href).path.endswith("/" + source.file)]
    if not links:
        raise SourceUnavailable(f"the package index has no {source.file}")
    return urllib.parse.urljoin(page, links[0])


@cache
def _package_index() -> str:
    for name in ("BOATHOUSE_PYPI_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        if os.environ.get(name):
            return os.environ[name]
    pip = [sys.executable, "-m", "pip"] if _has_pip() else [shutil.which("pip3") or ""]
    if not pip[0]:
        return PYPI_DEFAULT
    asked = subprocess.run([*pip, "config", "get", "global.index-url"], capture_output=True, text=True, check=False)
    return asked.stdout.strip() if asked.returncode == 0 and asked.stdout.strip() else PYPI_DEFAULT


def _has_pip() -> bool:
    import importlib.util

    return importlib.util.find_spec("pip") is not None


def _open(url: str, accept: str = "*/*"):
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost"):
        raise SourceUnavailable(f"refusing to fetch over {parts.scheme}: {parts.hostname}")
    headers = {"Accept": accept, "User-Agent": "boathouse"}
    if parts.username is not None:
        pair = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        url = urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    context = ssl.create_default_context(cafile=os.environ.get("PIP_CERT") or os.environ.get("REQUESTS_CA_BUNDLE"))
    request = urllib.request.Request(url, headers=headers)
    return urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS, context=context)
