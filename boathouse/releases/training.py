"""The training run: starts drivers and an executor, uses them as customers do, and notes which classes they load.

A program of its own (standard library and the release's PySpark), run where the release is mounted at its final path,
because an archive holds for exact paths. Its arguments come as one JSON file:
`{"work": DIR, "driver": [argv], "executor": [argv], "env": {...}, "properties": {"local": text, "nodes": text}}`.
Writes `DIR/local.classes`, `DIR/nodes.classes` and `DIR/executor.classes`. With `lambdas` as second argument: one more
driver, over the archive that was made of them, which writes the archive of lambdas.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

_STOP_SECONDS = 60


def main() -> int:
    plan = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if len(sys.argv) == 2:  # PySpark allows one Spark context a process
        for mode in ("local", "nodes"):
            ended = subprocess.run([sys.executable, __file__, sys.argv[1], mode], check=False).returncode
            if ended != 0:
                return ended
        return 0
    sys.path.insert(0, plan["env"]["PYTHONPATH"])
    _run(plan, Path(plan["work"]), sys.argv[2], executor=sys.argv[2] == "nodes")
    return 0


def _run(plan: dict, work: Path, mode: str, executor: bool) -> None:
    """One driver, with an executor beside it where the mode has one, from start to clean end."""
    (work / "driver.properties").write_text(plan["properties"][mode], encoding="utf-8")
    reader, writer = os.pipe()
    env = {**os.environ, **plan["env"], "BOATHOUSE_READY_FD": str(writer), "PYSPARK_PYTHON": sys.executable}
    processes: list[subprocess.Popen] = []
    with (work / f"{mode}.log").open("wb") as log:
        try:
            argv = _archiving(plan) if mode == "lambdas" else _noting(plan["driver"], work / f"{mode}.classes")
            driver = subprocess.Popen(argv, env=env, pass_fds=(writer,), stdout=log, stderr=log)
            processes.append(driver)
            if executor:
                argv = _noting(plan["executor"], work / "executor.classes")
                processes.append(subprocess.Popen(argv, env=env, stdout=log, stderr=log))
            os.close(writer)
            with os.fdopen(reader) as pipe:
                line = pipe.readline()
            if not line:
                raise SystemExit(f"the {mode} driver did not start:\n{_tail(work / f'{mode}.log')}")
            _use(json.loads(line), plan["token"], work / f"data-{mode}")
            for process in processes:
                _end(process, process is driver)
        finally:
            for process in processes:
                if process.poll() is None:
                    process.kill()
                    process.wait()


def _noting(argv: list[str], classes: Path) -> list[str]:
    """The same JVM, noting the classes that it loads; with the quick compiler alone, as it runs for half a minute."""
    return [argv[0], f"-XX:DumpLoadedClassList={classes}", "-Xshare:off", "-XX:TieredStopAtLevel=1", *argv[1:]]


def _archiving(plan: dict) -> list[str]:
    """The driver as clusters start it, writing at its end an archive of what its class archive lacks."""
    archives, argv = plan["archives"], plan["driver"]
    options = [f"-XX:SharedArchiveFile={archives['classes']}", f"-XX:ArchiveClassesAtExit={archives['lambdas']}"]
    quick = ["-XX:TieredStopAtLevel=1", "-XX:+UnlockDiagnosticVMOptions", "-XX:ArchiveRelocationMode=0"]
    return [argv[0], *options, *quick, *argv[1:]]


def _end(process: subprocess.Popen, ask: bool) -> None:
    if ask:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired as late:
        raise SystemExit(f"a process of the training run did not end within {_STOP_SECONDS} s") from late


def _tail(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-4000:]


def _use(ready: dict, token: str, data: Path) -> None:
    """What customers do first, by each of the ways into a driver."""
    _by_control(ready["http_port"], token, data)
    os.environ["PYSPARK_GATEWAY_PORT"] = str(ready["gateway_port"])
    os.environ["PYSPARK_GATEWAY_SECRET"] = ready["gateway_secret"]
    spark = _pyspark()
    _by_python(spark, data)
    if ready["connect_port"]:
        _by_connect(spark._jvm, ready["connect_port"])
    spark._sc._gateway.shutdown()


def _by_control(port: int, token: str, data: Path) -> None:
    statements = [
        "SELECT 1",
        "SHOW TABLES; SHOW DATABASES; SELECT current_database()",
        "CREATE TEMPORARY VIEW numbers AS SELECT id, id % 5 AS k, cast(id AS string) AS s FROM range(0, 200, 1, 4)",
        "SELECT k, count(*) AS n, avg(id) AS mean, max(s) FROM numbers GROUP BY k ORDER BY k",
        "SELECT a.s, b.k, array(1, 2), named_struct('x', 1.5), map('k', current_timestamp()), current_date() "
        "FROM numbers a JOIN numbers b ON a.id = b.id WHERE a.k IN (1, 2) AND b.s LIKE '1%'",
        "SELECT id, row_number() OVER (PARTITION BY k ORDER BY id DESC) AS r FROM numbers",
        "EXPLAIN SELECT * FROM numbers; DESCRIBE numbers",
        f"CREATE TABLE delta.`{data}/sql` USING delta AS SELECT * FROM numbers",
        f"SELECT count(*) FROM delta.`{data}/sql`",
        f"UPDATE delta.`{data}/sql` SET s = 'x' WHERE k = 1",
        "SELECT * FROM no_such_table",
        "SELEC 1",
    ]
    for number, statement in enumerate(statements):
        body = {"context": "training", "id": f"t{number}", "statement": statement, "max_rows": 100}
        _http("POST", port, token, "/sql", body)
        while _http("GET", port, token, f"/sql/t{number}?wait_ms=5000")["state"] == "running":
            pass
    forever = "SELECT sum(id) FROM range(0, 100000000000, 1, 4)"
    _http("POST", port, token, "/sql", {"context": "training", "id": "slow", "statement": forever, "max_rows": 1})
    _http("GET", port, token, "/sql/slow?wait_ms=1000")
    _http("POST", port, token, "/cancel", {"id": "slow"})
    while _http("GET", port, token, "/sql/slow?wait_ms=5000")["state"] == "running":
        pass
    _http("GET", port, token, "/health")


def _http(method: str, port: int, token: str, path: str, body: dict | None = None) -> dict:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}"},
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def _pyspark():
    """A PySpark session on the running driver, as the Python contexts make it."""
    from pyspark import SparkConf, SparkContext  # pyright: ignore[reportMissingImports]
    from pyspark.java_gateway import launch_gateway  # pyright: ignore[reportMissingImports]
    from pyspark.sql import SparkSession  # pyright: ignore[reportMissingImports]

    gateway = launch_gateway()
    main = gateway.jvm.boathouse.spark.DriverMain
    java_context = main.sparkContext()
    context = SparkContext(gateway=gateway, jsc=java_context, conf=SparkConf(_jconf=java_context.getConf()))
    return SparkSession(context, main.session("training-python"))


def _by_python(spark, data: Path) -> None:
    from pyspark.sql import functions as f  # pyright: ignore[reportMissingImports]

    frame = spark.range(0, 1000, 1, 4).withColumn("k", f.col("id") % 7)
    frame.count()
    frame.repartition(3).groupBy("k").agg(f.sum("id").alias("total"), f.collect_list("id")).orderBy("k").collect()
    frame.groupBy("k").count().show()
    frame.join(f.broadcast(spark.range(7).withColumnRenamed("id", "k")), "k").limit(5).collect()
    rows = spark.createDataFrame([(1, "a", 2.5), (2, "b", None)], "id int, name string, x double")
    rows.createOrReplaceTempView("people")
    spark.sql("SELECT upper(name), x FROM people WHERE id > 0").show()
    rows.printSchema()
    for form in ("parquet", "csv", "json", "delta"):
        rows.write.format(form).mode("overwrite").save(f"{data}/{form}")
        spark.read.format(form).load(f"{data}/{form}").count()
    rows.write.format("delta").mode("append").saveAsTable("people_table")
    spark.table("people_table").count()
    context = spark.sparkContext
    context.parallelize(range(100), 4).map(lambda x: (x % 3, x)).reduceByKey(lambda a, b: a + b).collect()
    frame.cache().count()
    frame.select(f.udf(lambda x: x * 2, "long")("id")).agg(f.sum("<lambda>(id)")).collect()
    frame.unpersist()
    _seldom(spark._jvm)


def _seldom(jvm) -> None:
    """What a driver starts without, and what then takes long to load: Scala's reflection, MLlib's functions."""
    from py4j.protocol import Py4JJavaError  # pyright: ignore[reportMissingImports]

    jvm.org.apache.spark.sql.SparkSession.builder()
    try:
        jvm.java.lang.Class.forName("org.apache.spark.sql.ml.InternalFunctionRegistration$")
    except Py4JJavaError:
        pass  # not in this Spark: before 4.0


def _by_connect(jvm, port: int) -> None:
    """A Spark Connect client out of the driver's own classes: an analysis, a query."""
    proto = jvm.org.apache.spark.connect.proto
    grpc = jvm.org.sparkproject.connect.grpc
    channel = grpc.ManagedChannelBuilder.forAddress("127.0.0.1", port).usePlaintext().build()
    stub = proto.SparkConnectServiceGrpc.newBlockingStub(channel)
    session = "00112233-4455-6677-8899-aabbccddeeff"
    user = proto.UserContext.newBuilder().setUserId("training").build()
    version = jvm.java.lang.Class.forName("org.apache.spark.connect.proto.AnalyzePlanRequest$SparkVersion")
    default = version.getMethod("getDefaultInstance", None).invoke(None, None)
    analyse = proto.AnalyzePlanRequest.newBuilder().setSessionId(session).setUserContext(user)
    stub.analyzePlan(analyse.setSparkVersion(default).build())
    query = proto.SQL.newBuilder().setQuery("SELECT id % 3 AS k, count(*) FROM range(0, 100, 1, 2) GROUP BY 1").build()
    plan = proto.Plan.newBuilder().setRoot(proto.Relation.newBuilder().setSql(query).build()).build()
    request = proto.ExecutePlanRequest.newBuilder().setSessionId(session).setUserContext(user).setPlan(plan).build()
    answers = stub.executePlan(request)
    while answers.hasNext():
        answers.next()
    channel.shutdownNow()


if __name__ == "__main__":
    raise SystemExit(main())
