"""How the programs of a release are started: command lines, environment and Spark's configuration. Pure.

Paths are those inside a node, where the layers are mounted at `/databricks/runtime`. Called by the launch of a
cluster and by the build's training run, so that the class-data archive fits what is started later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from boathouse.releases.release import Release

RUNTIME = "/databricks/runtime"
DRIVER_PROPERTIES = "/run/boathouse/driver.properties"
SECRET_FILE = "/run/boathouse/spark.secret"
GATEWAY_FILE = "/run/boathouse/gateway.json"
WAREHOUSE = "/local_disk0/spark-warehouse"
DRIVER_PORT = 36000
BLOCK_MANAGER_PORT = 36001
UI_PORT = 40001
CONNECT_PORT = 15002
"""Every node has a network of its own, so ports are fixed; 0 asks the kernel for a free one."""

SPARE_PYTHON = "spare-python"
"""The name of the Python process that a launch starts beside the driver, for the first Python context."""

_OPENED_PACKAGES = (
    "java.base/java.lang",
    "java.base/java.lang.invoke",
    "java.base/java.lang.reflect",
    "java.base/java.io",
    "java.base/java.net",
    "java.base/java.nio",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/jdk.internal.ref",
    "java.base/sun.nio.ch",
    "java.base/sun.nio.cs",
    "java.base/sun.security.action",
    "java.base/sun.util.calendar",
    "java.security.jgss/sun.security.krb5",
)
"""As org.apache.spark.launcher.JavaModuleOptions has them, which stock Spark's scripts add."""


_LATER_OPTIMISATION = 16
"""How much later than by default a method goes from the first to the optimising compiler. A starting Spark spends
more than half of its processor time in compilers, most of it on methods that never get hot. A hot method passes the
raised threshold a moment later: measured over 60 different queries and a large aggregation, the driver's processor
time is a tenth less than with the defaults, its start's a fifth less. Nothing is capped."""

_FIRST_HEAP_MB = 512
"""What a start fills without growing the heap step by step, each step a collection. Pages are taken as they are used."""

_COMPILER_THRESHOLDS = (
    ("Tier4InvocationThreshold", 5000),
    ("Tier4MinInvocationThreshold", 600),
    ("Tier4CompileThreshold", 15000),
    ("Tier4BackEdgeThreshold", 40000),
)
"""HotSpot's own defaults."""


def class_path(release: Release, extra: Sequence[str] = ()) -> str:
    """The release's jars, then those of the customer: an archive holds for a class path that begins with its own."""
    return ":".join([*(f"{RUNTIME}/jars/{name}" for name in release.jars), *extra])


def jvm_options(release: Release, heap_mb: int, java_major: int, own_java: bool) -> list[str]:
    """Options of every JVM of a cluster: what stock Spark sets, the heap, and the archive where it fits.

    No option here makes a running JVM slower than stock: no compiler cap, the JVM's own choice of collector (the
    serial one took as much processor time to the first answer).
    """
    options = [f"-Xmx{heap_mb}m", f"-Xms{min(_FIRST_HEAP_MB, heap_mb)}m", "-XX:+IgnoreUnrecognizedVMOptions"]
    if java_major >= 9:
        if release.spark.startswith("4."):
            options.append("--add-modules=jdk.incubator.vector")
        options += [f"--add-opens={package}=ALL-UNNAMED" for package in _OPENED_PACKAGES]
        options += ["-Djdk.reflect.useDirectMethodHandle=false", "-Dio.netty.tryReflectionSetAccessible=true"]
    if own_java and release.archive is not None:
        options += [
            "-XX:SharedArchiveFile=" + ":".join(f"{RUNTIME}/{name}" for name in (release.archive, release.lambdas) if name),
            "-Xshare:auto",
            # Mapped at the address it was made for, its pages need no patching and are shared between JVMs.
            "-XX:+UnlockDiagnosticVMOptions",
            "-XX:ArchiveRelocationMode=0",
        ]
    options += [f"-XX:{name}={value * _LATER_OPTIMISATION}" for name, value in _COMPILER_THRESHOLDS]
    options += [
        "-XX:-UsePerfData",
        "-Djava.security.egd=file:/dev/urandom",
        f"-Dlog4j2.configurationFile=file:{RUNTIME}/conf/log4j2.properties",
        "-Dlog4j2.disableJmx=true",
    ]
    return options


def driver_argv(
    release: Release,
    *,
    heap_mb: int,
    properties: str = DRIVER_PROPERTIES,
    extra_class_path: Sequence[str] = (),
    java_options: Sequence[str] = (),
    image_java: tuple[str, int] | None = None,
) -> list[str]:
    """The driver's command line.

    `java_options` are the customer's (`spark.driver.extraJavaOptions`, already split) and win over ours;
    `image_java` is (path of `java`, major version) where the image's own Java is used in place of the release's.
    """
    java, major = image_java or (f"{RUNTIME}/jre/bin/java", release.java_major)
    return [
        java,
        *jvm_options(release, heap_mb, major, image_java is None),
        *java_options,
        "-cp",
        class_path(release, extra_class_path),
        "boathouse.spark.DriverMain",
        properties,
    ]


def executor_argv(
    release: Release,
    *,
    driver_host: str,
    executor_id: int,
    hostname: str,
    cores: int,
    app_id: str,
    heap_mb: int,
    driver_port: int = DRIVER_PORT,
    secret_file: str = SECRET_FILE,
    extra_class_path: Sequence[str] = (),
    java_options: Sequence[str] = (),
    image_java: tuple[str, int] | None = None,
) -> list[str]:
    """An executor's command line. An executor id is used once in the life of an application, also after a loss."""
    java, major = image_java or (f"{RUNTIME}/jre/bin/java", release.java_major)
    return [
        java,
        *jvm_options(release, heap_mb, major, image_java is None),
        *java_options,
        "-cp",
        class_path(release, extra_class_path),
        "boathouse.spark.ExecutorMain",
        "--driver-url",
        f"spark://CoarseGrainedScheduler@{driver_host}:{driver_port}",
        "--executor-id",
        str(executor_id),
        "--hostname",
        hostname,
        "--cores",
        str(cores),
        "--app-id",
        app_id,
        "--secret-file",
        secret_file,
    ]


def jvm_env(local_dir: str = "/local_disk0") -> dict[str, str]:
    """Environment of every JVM of a cluster. SPARK_LOCAL_IP keeps Spark's web pages on loopback and spares it the
    look-up of its own name; executors and blocks use the addresses of the configuration."""
    return {"SPARK_LOCAL_IP": "127.0.0.1", "SPARK_HOME": RUNTIME, "SPARK_LOCAL_DIRS": local_dir}


def python_env(release: Release) -> dict[str, str]:
    """Environment with which the image's own Python finds PySpark; drivers' Python contexts and executors' workers."""
    return {"PYTHONPATH": f"{RUNTIME}/python", "SPARK_HOME": RUNTIME}


def repl_argv(python: str) -> list[str]:
    """The REPL of a Python context, run by the image's Python."""
    return [python, "-u", f"{RUNTIME}/node/repl.py"]


def driver_properties(
    *,
    cluster_id: str,
    cluster_name: str,
    app_id: str,
    token: str,
    driver_host: str,
    workers: int,
    local_cores: int | str = "*",
    driver_port: int = DRIVER_PORT,
    block_manager_port: int = BLOCK_MANAGER_PORT,
    ui_port: int = UI_PORT,
    connect: bool = True,
    connect_port: int = CONNECT_PORT,
    secret_file: str = SECRET_FILE,
    gateway_file: str = GATEWAY_FILE,
    warehouse: str = WAREHOUSE,
    python: str | None = None,
    redacted_keys: Sequence[str] = (),
    spark_conf: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The driver's configuration: our defaults, the customer's `spark_conf` over them, and over both what must hold.

    `workers` 0 means a cluster of one node, whose tasks run in the driver. `connect`: whether the release has
    Spark Connect. `redacted_keys` are configuration keys whose
    values came from secrets. `python` is the image's Python for workers; None when the image has none.
    """
    local = workers == 0
    defaults = {
        "spark.app.name": "Databricks Shell",
        "spark.databricks.clusterUsageTags.clusterId": cluster_id,
        "spark.databricks.clusterUsageTags.clusterName": cluster_name,
        "spark.databricks.clusterUsageTags.clusterWorkers": str(workers),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.sources.default": "delta",
        "spark.sql.legacy.createHiveTableByDefault": "false",
        "spark.sql.warehouse.dir": f"file:{warehouse}",
        "spark.scheduler.mode": "FAIR",
        "spark.ui.showConsoleProgress": "false",
        "spark.decommission.enabled": "true",
        "spark.storage.decommission.enabled": "true",
        "spark.storage.decommission.shuffleBlocks.enabled": "true",
        "spark.storage.decommission.rddBlocks.enabled": "true",
        "spark.executor.heartbeatInterval": "10s",
    }
    if python is not None:
        defaults["spark.pyspark.python"] = python
        defaults["spark.pyspark.driver.python"] = python
    fixed = {
        "spark.master": f"local[{local_cores}]" if local else f"spark-nodes:{cluster_id}",
        "spark.submit.deployMode": "client",
        "spark.driver.host": driver_host,
        "spark.driver.bindAddress": driver_host,
        "spark.driver.port": str(driver_port),
        "spark.blockManager.port": str(block_manager_port),
        "spark.authenticate": "true",
        "spark.dynamicAllocation.enabled": "false",
        "spark.ui.port": str(ui_port),
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(connect_port),
        "boathouse.app.id": app_id,
        "boathouse.connect": str(connect).lower(),
        "boathouse.token": token,
        "boathouse.secret.file": secret_file,
        "boathouse.gateway.file": gateway_file,
    }
    properties = {**defaults, **(spark_conf or {}), **fixed}
    if redacted_keys:
        properties["spark.redaction.regex"] = _redaction(properties.get("spark.redaction.regex"), redacted_keys)
    return properties


_REDACTION_DEFAULT = "(?i)secret|password|token|access[.]?key"
"""Spark's own default of spark.redaction.regex, with the access keys of cloud storage."""


def _redaction(configured: str | None, keys: Sequence[str]) -> str:
    exact = "|".join("^" + "".join(f"[{c}]" if c in ".$()+*?{}|" else c for c in key) + "$" for key in sorted(keys))
    return f"{configured or _REDACTION_DEFAULT}|{exact}"


def render_properties(properties: Mapping[str, str]) -> str:
    """The text of a Java properties file, in UTF-8; java.util.Properties reads back exactly these keys and values."""
    return "".join(f"{_escaped(key, True)}={_escaped(value, False)}\n" for key, value in sorted(properties.items()))


_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\f": "\\f"}


def _escaped(text: str, key: bool) -> str:
    out: list[str] = []
    for at, c in enumerate(text):
        if c in _ESCAPES:
            out.append(_ESCAPES[c])
        elif (c == " " and (key or at == 0)) or (key and c in "=:#!"):
            out.append("\\" + c)
        else:
            out.append(c)
    return "".join(out)


def runtime_path(*parts: str) -> str:
    """A path of the mounted runtime, inside a node."""
    return str(PurePosixPath(RUNTIME, *parts))
