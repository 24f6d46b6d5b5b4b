"""`make demo`: the main job, as a user would do it, with the unmodified Databricks SDK.

Builds an image with a package of its own, pushes it to a registry with a password, has Boathouse make a Spark cluster of it, runs
Python, Spark and SQL there; then the same with a broken image. Leaves nothing running, and no image, however it ends.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from registry import Registry

from boathouse.settings import default_cache

ROOT = Path(__file__).resolve().parent.parent
BOATHOUSE = ROOT / ".venv" / "bin" / "boathouse"

IMPORT = "import riverstats; print(riverstats.__version__, riverstats.median_level())"

#: Every task tells the container it ran in: its hostname and what the image's own package says there.
SPARK_JOB = """
import socket, riverstats
def where(rows):
    import socket, riverstats
    yield (socket.gethostname(), riverstats.__version__, sum(1 for _ in rows))
seen = sc.parallelize(range(4000), 8).mapPartitions(where).collect()
hosts = sorted({host for host, _, _ in seen})
total = sum(rows for _, _, rows in seen)
print(len(hosts), total, ",".join(hosts), socket.gethostname())
"""

SQL = "SELECT upper(station) AS station, level FROM VALUES ('weir', 2.75), ('lock', 1.20) AS t(station, level) ORDER BY level"


class Steps:
    """Prints each step with the time it took."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        print(f"\n\033[1m{text}\033[0m", flush=True)
        started = time.monotonic()
        yield
        print(f"  done in {time.monotonic() - started:.1f} s", flush=True)


def boathouse(*arguments: str, show: bool = False, environ: dict[str, str] | None = None) -> str:
    """Run a boathouse command; its output is shown, or returned."""
    done = subprocess.run(
        [str(BOATHOUSE), *arguments], check=False, text=True, stdout=None if show else subprocess.PIPE,
        env={**os.environ, **(environ or {})},
    )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(f"boathouse {arguments[0]} failed with {done.returncode}: {done.stdout or ''}")
    return done.stdout or ""


@contextlib.contextmanager
def server(data: Path, registry: Registry) -> Iterator[dict[str, str]]:
    """`boathouse up` in the background; on leaving, its clusters are removed and it is stopped."""
    ready = data / "ready.json"
    log = open(data.parent / "boathouse.log", "wb")  # noqa: SIM115 - lives as long as the process
    process = subprocess.Popen(
        [
            str(BOATHOUSE), "up", "--port", "0", "--data", str(data), "--ready-file", str(ready),
            "--registry-private-hosts", registry.host, "--registry-plain-http-hosts", registry.host,
        ],
        stdout=log, stderr=log,
    )  # fmt: skip
    with contextlib.ExitStack() as stack:
        stack.callback(log.close)
        stack.callback(down, data)
        stack.callback(end, process)
        while not ready.exists():
            if process.poll() is not None:
                raise SystemExit((data.parent / "boathouse.log").read_text())
            time.sleep(0.02)
        yield json.loads(ready.read_text())


def end(process: subprocess.Popen[bytes]) -> None:
    """Stop a server, by force if it does not settle: its clusters are removed by `down` either way."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def down(data: Path) -> None:
    """Remove what was launched from `data`, if it came to be at all."""
    if data.exists():
        boathouse("down", "--data", str(data))


def main() -> int:
    from databricks.sdk import WorkspaceClient
    from databricks.sdk.service import compute

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # as Ctrl-C: what is open is closed
    steps = Steps()
    scratch = Path(tempfile.mkdtemp(prefix="boathouse-demo-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        stack.callback(boathouse, "engine", "stop", "--if-idle")
        run(steps, scratch, WorkspaceClient, compute)
    print(f"\nAll of it took {time.monotonic() - steps.began:.1f} s, and nothing is left running.")
    print("Next: .venv/bin/boathouse up     then, from any shell, the SDK or CLI with the host and token it prints.")
    return 0


def run(steps: Steps, scratch: Path, workspace_client: type, compute: object) -> None:
    password = secrets.token_urlsafe(16)
    with contextlib.ExitStack() as stack:
        with steps.step("1. A registry with a password"):
            registry = stack.enter_context(Registry(scratch / "registry", "reader", password, default_cache() / "demo"))
            print(f"  {registry.host}, user reader")
        image, broken = f"{registry.host}/river/stats:1.0", f"{registry.host}/river/broken:1.0"
        stack.callback(boathouse, "image", "remove", image, broken)
        with steps.step("2. An image of your own: a package and a file that exist nowhere else (demo/image)"):
            credentials = {"BOATHOUSE_REGISTRY_USERNAME": "reader", "BOATHOUSE_REGISTRY_PASSWORD": password}
            boathouse("image", "build", str(ROOT / "demo" / "image"), "-t", image, "--push", show=True, environ=credentials)
            boathouse("image", "build", str(ROOT / "demo" / "broken"), "-t", broken, "--push", show=True, environ=credentials)
        with steps.step("3. boathouse up"):
            ready = stack.enter_context(server(scratch / "data", registry))
            w = workspace_client(host=ready["host"], token=ready["token"])
            print(f"  {ready['host']}: I am {w.current_user.me().user_name}")
        with steps.step("4. Container services on (enableDcs); the registry's password in a secret scope"):
            w.workspace_conf.set_status({"enableDcs": "true"})
            w.secrets.create_scope("registry")
            w.secrets.put_secret("registry", "password", string_value=password)
        launch(steps, w, compute, image)
        explain(steps, w, compute, broken)


def why(w, cluster_id: str) -> None:
    """Print `boathouse why`; host and token are found as the SDK finds them."""
    boathouse("why", cluster_id, show=True, environ={"DATABRICKS_HOST": w.config.host, "DATABRICKS_TOKEN": w.config.token})


def auth(compute, image: str):
    return compute.DockerImage(
        url=image, basic_auth=compute.DockerBasicAuth(username="reader", password="{{secrets/registry/password}}")
    )


def launch(steps: Steps, w, compute, image: str) -> None:
    with steps.step("5. clusters.create with that image and 2 workers"):
        cluster = w.clusters.create(
            cluster_name="river", spark_version="17.3.x-scala2.13", node_type_id="m5.large", num_workers=2,
            autotermination_minutes=60, docker_image=auth(compute, image),
        ).result()  # fmt: skip
        print(f"  {cluster.cluster_id} is {cluster.state.value}")
        why(w, cluster.cluster_id)
    with steps.step("6. Python in the image, Spark on both workers, SQL"):
        python = w.command_execution.create_and_wait(cluster_id=cluster.cluster_id, language=compute.Language.PYTHON)

        def ask(language, context: str, text: str):
            done = w.command_execution.execute_and_wait(
                cluster_id=cluster.cluster_id, context_id=context, language=language, command=text
            )
            if done.results.result_type == compute.ResultType.ERROR:
                raise SystemExit(f"{done.results.summary}\n{done.results.cause}")
            return done.results.data

        print("  import riverstats:", ask(compute.Language.PYTHON, python.id, IMPORT).strip())
        workers, rows, hosts, driver = ask(compute.Language.PYTHON, python.id, SPARK_JOB).split()
        print(f"  {rows} rows counted in {workers} containers: {hosts} (the driver is {driver})")
        if workers != "2" or rows != "4000" or driver in hosts.split(","):
            raise SystemExit("the job's tasks did not run in both workers' containers")
        sql = w.command_execution.create_and_wait(cluster_id=cluster.cluster_id, language=compute.Language.SQL)
        print("  SQL:", ask(compute.Language.SQL, sql.id, SQL))


def explain(steps: Steps, w, compute, broken: str) -> None:
    from databricks.sdk.errors import OperationFailed

    with steps.step("7. The same with a broken image (it has no bash)"):
        wait = w.clusters.create(
            cluster_name="broken", spark_version="17.3.x-scala2.13", node_type_id="m5.large", num_workers=1,
            docker_image=auth(compute, broken),
        )  # fmt: skip
        try:
            wait.result()
        except OperationFailed as refused:
            print(f"  refused: {refused}")
        else:
            raise SystemExit("the broken image started, and should not have")
        why(w, wait.cluster_id)


if __name__ == "__main__":
    sys.exit(main())
