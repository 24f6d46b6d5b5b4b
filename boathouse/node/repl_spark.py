"""The REPL's way to the cluster's Spark: a `SparkContext` and `SparkSession` over the driver JVM that runs already.

Written for PySpark 3.5 and 4; nothing of it is imported before `connect`, because it takes half a second.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time

#: The property of jobs that says which packages their tasks want (`ContextPackages` in the JVM module).
PACKAGES = "spark.boathouse.packages"

#: Seconds between looks for the file that tells where the starting driver is.
GATEWAY_POLL_S = 0.01


class Spark:
    """`sc` and `session`, and what a command needs of them."""

    def __init__(self, sc, session) -> None:
        self.sc, self.session = sc, session
        self.cancels_future_jobs = _four()
        self._packages = ""

    def bind(self, context: str, path: str, capability: str) -> None:
        """Have the session call the control plane as this context: for GRANT and the like."""
        if capability:
            self.sc._jvm.boathouse.spark.DriverMain.bind(context, path, capability)

    def enter(self, group: str, description: str) -> None:
        """For the calling thread: jobs belong to `group`, and JVM code that asks for the active session finds ours.

        Per command: an interrupted call costs the thread its connection, and the JVM's thread with it.
        """
        self._session_class().setActiveSession(self.session._jsparkSession)
        self.sc.setJobGroup(group, description, True)
        if self._packages:
            self.sc.setLocalProperty(PACKAGES, self._packages)

    def share(self, context: str, environment) -> None:
        """Have the context's tasks import what is in the environment (`repl_magic.Environment`), on every node.

        Python workers are Spark's own for each set of variables: with the path, what they imported before changes too.
        """
        driver = self.sc._jvm.boathouse.spark.DriverMain
        served = driver.packages(context, environment.folder)
        if self.sc.master.startswith("local"):
            path, name = environment.packages, environment.name()
        else:
            name = environment.pack(served)
            path = os.path.join(driver.executorsPackages(), context, name)
            # Functions that were made before go on with what was there then, after a restart of this Python too.
            known = [each for each in self.session.conf.get(PACKAGES, "").split(",") if each]
            wanted = f"{context}/{name}"
            self._packages = ",".join(known if wanted in known else [*known, wanted])
            self.sc.setLocalProperty(PACKAGES, self._packages)
            self.session.conf.set(PACKAGES, self._packages)  # jobs of SQL have it from here, whichever thread starts them
        self.sc.environment.update(PYTHONPATH=path, BOATHOUSE_PACKAGES=name)

    def cancel(self, group: str) -> None:
        """Cancel the jobs of a command, and those that it would start from now on where Spark can."""
        if self.cancels_future_jobs:
            self.sc._jsc.sc().cancelJobGroupAndFutureJobs(group)
        else:
            self.sc.cancelJobGroup(group)

    def drop_connection(self) -> None:
        """Forget the calling thread's connection: the call that is being interrupted leaves an unread answer in it."""
        client = self.sc._gateway._gateway_client
        connections = getattr(client, "thread_connection", None)  # not there with PYSPARK_PIN_THREAD=false, nor needed
        if connections is not None:
            connections.connection = None

    def _session_class(self):
        return session_class(self.sc._jvm)


def _four() -> bool:
    import pyspark  # pyright: ignore[reportMissingImports]

    return not pyspark.__version__.startswith("3.")


def session_class(jvm):
    """Spark 4 has its classic session in a package of its own."""
    return getattr(jvm, "org.apache.spark.sql.classic.SparkSession" if _four() else "org.apache.spark.sql.SparkSession")


def connect(context: str, port: int, secret: str, spare: bool = False) -> Spark:
    """Connect to the driver; the session is the command context's own (`boathouse.spark.DriverMain.session`), or one that waits
    for its context under a name."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ["PYSPARK_GATEWAY_PORT"], os.environ["PYSPARK_GATEWAY_SECRET"] = str(port), secret
    try:
        from pyspark import SparkConf, SparkContext  # pyright: ignore[reportMissingImports]
        from pyspark.java_gateway import launch_gateway  # pyright: ignore[reportMissingImports]

        gateway = launch_gateway()
    finally:
        del os.environ["PYSPARK_GATEWAY_PORT"], os.environ["PYSPARK_GATEWAY_SECRET"]
    driver = gateway.jvm.boathouse.spark.DriverMain
    jsc = driver.sparkContext()
    path = list(sys.path)
    sc = SparkContext(gateway=gateway, jsc=jsc, conf=SparkConf(_jvm=gateway.jvm, _jconf=jsc.getConf()))
    sys.path[:] = path + [entry for entry in sys.path if entry not in path]  # PySpark puts its folder second
    session = _session(sc, driver.spare(context) if spare else driver.session(context))
    sc.stop = _stop
    _quiet()
    return Spark(sc, session)


def _session(sc, jsession):
    """PySpark's session over a session of the driver."""
    from pyspark.sql import SparkSession  # pyright: ignore[reportMissingImports]

    # A constructed first session would make itself the default of the whole JVM, which other contexts share.
    SparkSession._instantiatedSession = _Placeholder(sc)
    session = SparkSession(sc, jsession)
    SparkSession._instantiatedSession = SparkSession._activeSession = session
    session.stop = _stop
    return session


def _quiet() -> None:
    """PySpark 4 logs each exception of a query on stderr as JSON; the command's result tells it already."""
    try:
        from pyspark.logger import PySparkLogger  # pyright: ignore[reportMissingImports]
    except ImportError:
        return  # PySpark 3.5 does not do it
    PySparkLogger.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL + 1)


class Spare:
    """A connection that is made before its context is known: in the background, while the driver starts.

    It holds a Spark session under a name of its own, which the context takes over. A failure is none: who takes it connects anew.
    Beside a driver in standby it also uses Spark once, and gets the cluster's variables when it is taken.
    """

    def __init__(self, gateway_file: str, environment: dict) -> None:
        """`environment`: what the process is started anew with; late variables are put there too."""
        self._file, self._name, self._environment = gateway_file, f"spare-{os.getpid()}", environment
        self._standby = False
        self._spark: Spark | None = None
        self._thread = threading.Thread(target=self._run, name="boathouse-spare", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            import pyspark.sql  # pyright: ignore[reportMissingImports]  # noqa: F401  # while the driver's JVM starts

            while not os.path.exists(self._file):
                time.sleep(GATEWAY_POLL_S)
            with open(self._file, encoding="utf-8") as file:
                gateway = json.load(file)
            self._spark = connect(self._name, int(gateway["port"]), gateway["secret"], spare=True)
            self._standby = bool(gateway.get("rehearse"))
            if self._standby:
                self._rehearse(self._spark)
        except Exception as error:
            print(f"a Python process could not be prepared: {error!r}", file=sys.stderr)

    def _rehearse(self, spark: Spark) -> None:
        driver = spark.sc._jvm.boathouse.spark.DriverMain
        try:
            spark.enter("boathouse-warmup", "Warm-up by the platform")
            session = spark.session
            for _ in range(3):
                session.range(0, 20, 1, 2).selectExpr("id % 3 AS k", "max(id) OVER (PARTITION BY id % 2) AS m").collect()
                session.sql("SELECT count(*) AS n, max(s) FROM VALUES ('a'), ('b') AS t(s)").first()
        finally:
            driver.rehearsed()

    def take(self, context: str) -> Spark | None:
        """The connection, its session now the context's; None when it could not be made."""
        self._thread.join()
        spark = self._spark
        if spark is not None:
            jsession = spark.sc._jvm.boathouse.spark.DriverMain.adopt(self._name, context)
            if self._standby:
                late = dict(spark.sc._jvm.boathouse.spark.DriverMain.lateEnvironment())
                os.environ.update(late)
                self._environment.update(late)
            if not jsession.equals(spark.session._jsparkSession):
                spark.session = _session(spark.sc, jsession)  # SQL came first in this context: it has a session already
        return spark


class _Placeholder:
    def __init__(self, sc) -> None:
        self._sc = sc


def _stop() -> None:
    """Spark belongs to the cluster, not to one command context: it is not stopped from here."""
    print("stop() has no effect: Spark runs as long as the cluster does", file=sys.stderr)
