"""The other side of `launch.py`: the same image and the same topology with stock Spark, as one would start it by hand.

One node: `podman run` + `spark-submit --master local[*]`. Three: a container with master and driver, two with workers, on one
network, started side by side. Stock Spark is PyPI's pyspark, Java the machine's JDK (all its modules, and its base archive of
class data), both mounted read-only; the image is the one
that Boathouse's cluster uses.
"""

import os
import secrets
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

from boathouse.dataplane.engine.locate import find
from boathouse.settings import default_cache

SPARK = "4.0.5"
DRIVER_MEMORY, WORKER_MEMORY = "2g", "2g"

#: Prints UP when there is a session, ANSWER when the first job is done, JOB with the seconds of the long job if one is asked for.
PROGRAM = """
import sys, time
from pyspark.sql import SparkSession
builder = SparkSession.builder
if len(sys.argv) > 2:
    builder = builder.config("spark.scheduler.minRegisteredResourcesRatio", "1").config("spark.cores.max", sys.argv[2])
spark = builder.getOrCreate()
print("UP", flush=True)
print("ANSWER", spark.range(1000, numPartitions=4).selectExpr("sum(id)").first()[0], flush=True)
if len(sys.argv) > 1 and int(sys.argv[1]):
    for _ in range(2):  # the first warms up
        started = time.perf_counter()
        spark.range(int(sys.argv[1]), numPartitions=8).selectExpr("sum(sqrt(id) * sin(id) + id % 7)").first()
        took = time.perf_counter() - started
    print("JOB", took, flush=True)
spark.stop()
"""


class Stock:
    """Stock Spark on the engine that Boathouse uses."""

    def __init__(self, image: str) -> None:
        engine = find(default_cache())
        self._podman = ["podman", "--url", engine.address]
        self.image = image
        self._home = default_cache() / "bench"
        self._spark = self._home / f"pyspark-{SPARK}"
        self._java = self._home / "jdk"
        self._install()

    def _install(self) -> None:
        if not self._spark.exists():
            print(f"installing pyspark {SPARK} for the other side", file=sys.stderr)
            part = self._spark.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--target", str(part), f"pyspark=={SPARK}"], check=True)
            part.rename(self._spark)
        if not self._java.exists():
            # Debian's JDK keeps its configuration elsewhere: a copy of it in one folder works in any container.
            part = self._java.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            modules = ["--add-modules", "ALL-MODULE-PATH", "--generate-cds-archive"]
            subprocess.run([_jlink(), *modules, "--output", str(part)], check=True)
            part.rename(self._java)
        (self._home / "program.py").write_text(PROGRAM)

    def _run(self, name: str, command: str, network: str = "") -> subprocess.Popen[str]:
        volumes = ["-v", f"{self._spark}:/opt/pyspark:ro", "-v", f"{self._java}:/opt/java:ro"]
        volumes += ["-v", f"{self._home / 'program.py'}:/opt/program.py:ro"]
        env = ["-e", "JAVA_HOME=/opt/java", "-e", "SPARK_HOME=/opt/pyspark/pyspark", "-e", "PYTHONPATH=/opt/pyspark"]
        where = ["--network", network] if network else []
        return subprocess.Popen(
            [*self._podman, "run", "--rm", "--name", name, *where, *volumes, *env, "--user", "0", "--entrypoint", "/bin/bash",
             self.image, "-c", command],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def single(self, rows: int = 0) -> dict[str, float]:
        """One container, local mode. Seconds to UP, to ANSWER, and of the JOB."""
        submit = f"/opt/pyspark/pyspark/bin/spark-submit --driver-memory {DRIVER_MEMORY}"
        command = f"exec {submit} --master 'local[*]' /opt/program.py {rows}"
        return _times(self._run(f"bench-{secrets.token_hex(4)}", command), time.perf_counter())

    def three(self, rows: int = 0) -> dict[str, float]:
        """Master and driver in one container, a worker in each of two others."""
        name = f"bench-{secrets.token_hex(4)}"
        subprocess.run([*self._podman, "network", "create", name], check=True, stdout=subprocess.DEVNULL)
        started = time.perf_counter()
        spark = "/opt/pyspark/pyspark/bin"
        master = f"spark://{name}:7077"
        driver = (
            f"{spark}/spark-class org.apache.spark.deploy.master.Master --host {name} --port 7077 >/dev/null 2>&1 & "
            f"until (echo > /dev/tcp/{name}/7077) 2>/dev/null; do sleep 0.05; done; "
            f"exec {spark}/spark-submit --master {master} --driver-memory {DRIVER_MEMORY} --executor-memory 1g "
            f"/opt/program.py {rows} 4"
        )
        worker = (
            f"until (echo > /dev/tcp/{name}/7077) 2>/dev/null; do sleep 0.05; done; "
            f"exec {spark}/spark-class org.apache.spark.deploy.worker.Worker "
            f"--work-dir /tmp --cores 2 --memory {WORKER_MEMORY} {master}"
        )
        workers = [self._run(f"{name}-{n}", worker, name) for n in (1, 2)]
        try:
            return _times(self._run(name, driver, name), started)
        finally:
            for number in (1, 2):
                subprocess.run([*self._podman, "rm", "-f", f"{name}-{number}"], check=True, stdout=subprocess.DEVNULL)
            for process in workers:
                process.communicate()
            subprocess.run([*self._podman, "network", "rm", "-f", name], check=True, stdout=subprocess.DEVNULL)


def _jlink() -> str:
    home = os.environ.get("JAVA_HOME")
    found = str(Path(home) / "bin" / "jlink") if home else shutil.which("jlink")
    if not found:
        raise SystemExit("a JDK with jlink is needed for the other side")
    return found


def _times(process: subprocess.Popen[str], started: float) -> dict[str, float]:
    found: dict[str, float] = {}
    limit = threading.Timer(300, process.kill)
    limit.start()
    assert process.stdout is not None
    for line in process.stdout:
        word, _, rest = line.partition(" ")
        if word.strip() in ("UP", "ANSWER"):
            found[word.strip()] = time.perf_counter() - started
        elif word == "JOB":
            found["JOB"] = float(rest)
    limit.cancel()
    process.wait()
    if "ANSWER" not in found:
        raise SystemExit("stock Spark gave no answer")
    return found
