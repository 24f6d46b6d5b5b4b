"""Having libraries in nodes: the effects that `plan` asks for, each idempotent, and what they say of themselves.

Files are read in the control plane with the rights of whoever installed the library, and streamed to a process in the node that
writes them. Python and R packages are installed there by the image's own pip and R; jars and Maven coordinates go to the
driver's Spark as `ADD JAR`, whose resolver is Spark's own Ivy.
"""

import re
import tempfile
import threading
from collections.abc import Mapping
from typing import IO, Any
from urllib.parse import quote

import msgspec

from boathouse.compute.endpoint import Endpoints, NotServing
from boathouse.compute.libraries import rules
from boathouse.compute.libraries.plan import Action, AddJar, Install, Process, Push, Stop, Wish
from boathouse.compute.logs import LogReader
from boathouse.dataplane.contract import Link, NodeError, NodeGone
from boathouse.dataplane.driver_http import DriverHttp
from boathouse.workspace.locations import LocationError, Locations, Reader
from boathouse.workspace.redaction import Redaction

#: Where the files of libraries lie in a node.
FOLDER = "/local_disk0/tmp/libraries"

#: Bytes that the file of a library may have, and that are sent at once.
LARGEST_FILE, CHUNK = 2 << 30, 1 << 18

#: How long a daemon may take to answer, and a node to take some of a file, in seconds.
CALL_TIMEOUT, SEND_TIMEOUT = 15.0, 60.0

#: How much of a log is searched for words, and characters of them that are told.
LOG_BYTES, LONGEST_WORDS, LAST_LINES = 64_000, 2000, 12

#: Takes a file ($1) of so many bytes ($2) in through descriptor 3.
RECEIVE = 'mkdir -p "${1%/*}" && head -c "$2" <&3 >"$1.part" && [ "$(wc -c <"$1.part")" -eq "$2" ] && mv "$1.part" "$1"'

#: Runs pip ($@: python -m pip ..), which a Python without it gets first.
PIP = """"$1" -m pip --version >/dev/null 2>&1 || "$1" -m ensurepip --default-pip || {
  echo "ERROR: $1 has no pip, and ensurepip cannot make it"; exit 1; }
exec "$@"
"""

#: Variables of pip below those that the user set: nobody answers questions, and a node without a way out says so soon.
PIP_ENVIRONMENT = {
    "PIP_BREAK_SYSTEM_PACKAGES": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_PROGRESS_BAR": "off",
    "PIP_RETRIES": "2", "PIP_ROOT_USER_ACTION": "ignore",
}  # fmt: skip

#: Installs an R package and ends with 1 when it is not there afterwards: R only warns.
CRAN = """
given <- commandArgs(trailingOnly = TRUE)
install.packages(given[1], repos = given[2])
if (!requireNamespace(given[1], quietly = TRUE)) { message("ERROR: package '", given[1], "' is not available"); quit(status = 1) }
"""
DEFAULT_CRAN = "https://cloud.r-project.org"

#: Spark's session in which jars are added; they are there for all sessions.
SESSION = "libraries"


class Repositories(msgspec.Struct, frozen=True):
    """Where packages come from when a library does not say; empty: the tools' own defaults."""

    pypi: str = ""
    maven: str = ""
    cran: str = ""


class Job(msgspec.Struct, frozen=True):
    """What an effect needs beside its wish. `python`: the image's. `http_port`: of the driver's control interface."""

    cluster_id: str
    workspace_id: int
    installer: str
    wish: Wish
    python: str = ""
    http_port: int = 0


class Installer:
    def __init__(
        self, link: Link, endpoints: Endpoints, logs: LogReader, locations: Locations | None, repositories: Repositories
    ) -> None:
        self._link, self._endpoints, self._logs = link, endpoints, logs
        self._locations, self._repositories = locations, repositories
        self._guard = threading.Lock()
        self._sent: set[tuple[str, str]] = set()

    def carry_out(self, action: Action, job: Job) -> str:
        """Do one thing; why it can never be done, or an empty string. What cannot be done now is seen at the next look."""
        try:
            match action:
                case Push():
                    self._push(action.node_id, job)
                case Install():
                    self._install(action.node_id, job)
                case AddJar():
                    return self._add_jar(action.node_id, job)
                case Stop():
                    for name in (job.wish.name, job.wish.file_name):
                        self._link.call(action.node_id, "signal", {"name": name, "signal": "KILL"}, timeout=CALL_TIMEOUT)
        except (NodeGone, NotServing):
            return ""
        except LocationError as error:
            return error.message
        except NodeError as error:
            return "" if "launcher_not_up" in str(error) else _explained(str(error))
        return ""

    def words(self, cluster_id: str, node_id: str, log: str) -> str:
        """What a process said at its end, without secrets."""
        return self._redacted(cluster_id, telling(self._logs.tail(cluster_id, node_id, log, LOG_BYTES)))

    def statement(self, node_id: str, job: Job) -> Process | None:
        """Where the driver is with a library; None when it knows nothing of it."""
        status, answer = self._http(node_id, job).call("GET", f"/sql/{quote(job.wish.name)}?wait_ms=0")
        if status == 404:
            return None
        if status != 200:
            raise NodeGone(f"the driver answers {status}")
        if answer.get("state") == "running":
            return Process(True)
        if answer.get("state") == "finished":
            return Process(False, True)
        words = str(answer.get("summary") or answer.get("cause") or "")
        return Process(False, False, self._redacted(job.cluster_id, _bounded(words)))

    def forget(self, cluster_id: str) -> None:
        with self._guard:
            self._sent = {each for each in self._sent if not each[0].startswith(f"{cluster_id}-")}

    # -- inside

    def _redacted(self, cluster_id: str, words: str) -> str:
        try:
            hidden = self._endpoints.redactions(cluster_id)
        except NotServing:
            return "(What was said is withheld: which secrets it may show is not known now.)"
        return rules.without_credentials(Redaction(hidden).text(words))

    def _push(self, node_id: str, job: Job) -> None:
        """Read the file and stream it into the node. One that a control plane before this one began to send is begun again."""
        name = job.wish.file_name
        if (node_id, name) in self._sent:
            return
        location = _location(job.wish)
        if self._locations is None:
            raise LocationError("unreachable", f"{location}: this control plane reads no files")
        with tempfile.TemporaryFile() as spool:
            for chunk in self._locations.read(location, Reader(job.workspace_id, job.installer), limit=LARGEST_FILE):
                spool.write(chunk)
            size = spool.tell()
            spool.seek(0)
            self._link.call(node_id, "signal", {"name": name, "signal": "KILL"}, timeout=CALL_TIMEOUT)
            argv = ["/bin/sh", "-c", RECEIVE, "receive", _path(job.wish), str(size)]
            started = self._link.call(
                node_id, "start",
                {"name": name, "argv": argv, "cwd": "/", "channel": True, "stdout": f"{name}.log", "stderr": f"{name}.log"},
                timeout=CALL_TIMEOUT,
            )  # fmt: skip
            if not started["started"]:
                return  # the one before has not ended yet
            self._send(node_id, name, spool)
        with self._guard:
            self._sent.add((node_id, name))

    def _send(self, node_id: str, name: str, spool: IO[bytes]) -> None:
        stream = self._link.open(node_id, f"channel:{name}")
        try:
            stream.settimeout(SEND_TIMEOUT)
            while chunk := spool.read(CHUNK):
                stream.sendall(chunk)
            # What is sent is taken in before the stream ends: the process closes its end when it has all of the file.
            if stream.recv(1):  # it has nothing to say; a program of the customer's that talks without end gets no thread
                raise OSError("the receiver answers")
        except OSError as error:
            raise NodeGone(f"{node_id}: the file could not be sent: {error}") from None
        finally:
            stream.close()

    def _install(self, node_id: str, job: Job) -> None:
        wish = job.wish
        environment = self._endpoints.environment(job.cluster_id, node_id)
        if wish.kind == "cran":
            given = wish.library["cran"]
            repository = given.get("repo") or self._repositories.cran or DEFAULT_CRAN
            argv = ["Rscript", "--vanilla", "-e", CRAN, given["package"], repository]
        else:
            defaults = {**PIP_ENVIRONMENT, **({"PIP_INDEX_URL": self._repositories.pypi} if self._repositories.pypi else {})}
            environment = {**defaults, **environment}
            argv = ["/bin/sh", "-c", PIP, "install-library", job.python, "-m", "pip", "install", *_pip(wish)]
        log = f"{wish.name}.log"
        self._link.call(
            node_id, "start",
            {"name": wish.name, "argv": argv, "env": environment, "cwd": "/", "stdout": log, "stderr": log, "kill_group": True},
            timeout=CALL_TIMEOUT,
        )  # fmt: skip

    def _add_jar(self, node_id: str, job: Job) -> str:
        http = self._http(node_id, job)
        http.call("POST", "/sessions", {"context": SESSION})
        target = _path(job.wish) if job.wish.kind == "jar" else ivy(job.wish.library["maven"], self._repositories.maven)
        body = {"context": SESSION, "id": job.wish.name, "statement": f"ADD JAR '{target}'", "max_rows": 1}
        status, answer = http.call("POST", "/sql", body)
        if status in (202, 503):
            return ""
        return f"the driver refused it: {_bounded(str(answer.get('error', answer) if isinstance(answer, dict) else answer))}"

    def _http(self, node_id: str, job: Job) -> DriverHttp:
        return DriverHttp(self._link, node_id, job.http_port, self._endpoints.token(job.cluster_id))


def ivy(maven: Mapping[str, Any], repository: str = "") -> str:
    """The address by which Spark's resolver finds Maven coordinates; `repository` where the library names none."""
    query = ["transitive=true"]
    if maven.get("exclusions"):
        query.append("exclude=" + ",".join(quote(each, safe=":*") for each in maven["exclusions"]))
    where = maven.get("repo") or repository
    if where:
        query.append("repos=" + quote(where, safe=":/"))
    return f"ivy://{maven['coordinates']}?{'&'.join(query)}"


def telling(log: str) -> str:
    """The lines of a log that say what went wrong: from the first of pip's errors on, else the last ones."""
    lines = [line for line in log.splitlines() if line.strip()]
    first = next((at for at, line in enumerate(lines) if line.startswith("ERROR")), len(lines))
    chosen = lines[first:] or lines
    return _bounded("\n".join(chosen[:LAST_LINES] if chosen is not lines else chosen[-LAST_LINES:]))


def _bounded(text: str) -> str:
    return text if len(text) <= LONGEST_WORDS else text[: LONGEST_WORDS - 3] + "..."


def _explained(refusal: str) -> str:
    if "Rscript" in refusal:
        return f"the cluster's image has no R (Rscript could not be started): {_bounded(refusal)}"
    return _bounded(refusal)


def _pip(wish: Wish) -> list[str]:
    if wish.kind == "requirements":
        return ["--requirement", _path(wish)]
    if wish.kind == "whl":
        return ["--", _path(wish)]
    given = wish.library["pypi"]
    index = ["--index-url", given["repo"]] if given.get("repo") else []
    return [*index, "--", given["package"].strip()]


def _location(wish: Wish) -> str:
    return str(wish.library[wish.kind])


def _path(wish: Wish) -> str:
    """Where a library's file lies in a node, under its own name: pip reads a wheel's tags off it."""
    base = re.sub(r"[^A-Za-z0-9._!+-]", "_", _location(wish).rsplit("/", 1)[-1])
    return f"{FOLDER}/{wish.number}-{wish.attempt}/{base}"
