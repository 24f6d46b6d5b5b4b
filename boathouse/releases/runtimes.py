"""The table of runtimes: which Databricks runtime key stands for which Spark, Delta Lake, Scala, Java and Python.

Pure data, read by the API (`clusters/spark-versions`), the image check and the builder. Knows nothing of files.
Source of the versions: the release notes of Databricks Runtime 13.3, 14.3, 15.4, 16.4 and 17.3 LTS and of 18.0, and for
each the newest published Apache Spark of that line that Delta Lake fits.
"""

from __future__ import annotations

import re

import msgspec


class Runtime(msgspec.Struct, frozen=True):
    """One runtime that a cluster can ask for by `spark_version`."""

    key: str
    """Databricks' spelling, such as `17.3.x-scala2.13`."""
    name: str
    """What `clusters/spark-versions` calls it; SDKs look for `LTS` and `Apache Spark x.y` in it."""
    spark: str
    scala: str
    delta: str
    java_majors: tuple[int, ...]
    """What the release's own JRE may be, the first that the building machine has a JDK of."""
    image_java_majors: tuple[int, ...]
    """Java versions of an image that its Spark runs on, where the image's Java is used."""
    python_minor: str
    """Python of the Databricks runtime of that name. The platform's own images have Debian's (docs/base-images.md)."""
    connect: bool
    """Whether the driver offers Spark Connect."""
    delta_artifact: str = "delta-spark"
    """What Delta Lake's jar for this Spark is called, without the Scala version."""
    spark_jars: str = "pypi"
    """`pypi`: the jars that PySpark carries. `maven`: jar by jar from Maven Central, for a Scala version that PySpark of
    that line does not carry."""
    replaced_jars: tuple[tuple[str, str], ...] = ()
    """Jars of Spark that do not work here, each with the one that takes its place."""


_18_0 = Runtime(
    key="18.0.x-scala2.13",
    name="18.0 (includes Apache Spark 4.1.0, Scala 2.13)",
    spark="4.1.4",
    scala="2.13",
    delta="4.1.0",
    java_majors=(17, 21),
    image_java_majors=(17, 21),
    python_minor="3.12",
    connect=True,
    delta_artifact="delta-spark_4.1",
    # The native library in 1.1.10.8 is linked against musl: it does not load where the C library is glibc.
    replaced_jars=(("snappy-java-1.1.10.8.jar", "snappy-java-1.1.10.7.jar"),),
)
_17_3 = Runtime(
    key="17.3.x-scala2.13",
    name="17.3 LTS (includes Apache Spark 4.0.0, Scala 2.13)",
    spark="4.0.5",
    scala="2.13",
    delta="4.0.1",
    java_majors=(17, 21),
    image_java_majors=(17, 21),
    python_minor="3.12",
    connect=True,
)
_16_4_SCALA_2_13 = Runtime(
    key="16.4.x-scala2.13",
    name="16.4 LTS (includes Apache Spark 3.5.2, Scala 2.13)",
    spark="3.5.3",
    scala="2.13",
    delta="3.3.2",
    java_majors=(17, 21),
    image_java_majors=(8, 11, 17),
    python_minor="3.12",
    connect=False,  # no Connect jar of Spark 3.5 was published for Scala 2.13
    spark_jars="maven",
)
_16_4 = Runtime(
    key="16.4.x-scala2.12",
    name="16.4 LTS (includes Apache Spark 3.5.2, Scala 2.12)",
    spark="3.5.7",
    scala="2.12",
    delta="3.3.2",
    java_majors=(17, 21),
    image_java_majors=(8, 11, 17),
    python_minor="3.12",
    connect=True,
)
_15_4 = Runtime(
    key="15.4.x-scala2.12",
    name="15.4 LTS (includes Apache Spark 3.5.0, Scala 2.12)",
    spark="3.5.7",
    scala="2.12",
    delta="3.3.2",
    java_majors=(17, 21),
    image_java_majors=(8, 11, 17),
    python_minor="3.11",
    connect=True,
)
_14_3 = Runtime(
    key="14.3.x-scala2.12",
    name="14.3 LTS (includes Apache Spark 3.5.0, Scala 2.12)",
    spark="3.5.7",
    scala="2.12",
    delta="3.2.1",
    java_majors=(17, 21),
    image_java_majors=(8, 11, 17),
    python_minor="3.10",
    connect=True,
)
_13_3 = Runtime(
    key="13.3.x-scala2.12",
    name="13.3 LTS (includes Apache Spark 3.4.1, Scala 2.12)",
    spark="3.4.4",
    scala="2.12",
    delta="2.4.0",
    java_majors=(17, 21),
    image_java_majors=(8, 11, 17),
    python_minor="3.10",
    connect=False,  # no Connect jar of Spark 3.4.4 was published
    delta_artifact="delta-core",
)

RUNTIMES: tuple[Runtime, ...] = (_18_0, _17_3, _16_4_SCALA_2_13, _16_4, _15_4, _14_3, _13_3)
"""Newest first, as `clusters/spark-versions` lists them."""

_BY_KEY = {runtime.key: runtime for runtime in RUNTIMES}

_ML_MARK = "-cpu-ml-"
_SHORT = re.compile(r"(\d{1,3}\.\d{1,3})(?:\.x)?([ -]?lts)?", re.IGNORECASE)


def runtime(spark_version: str) -> Runtime | None:
    """The runtime of a `spark_version` key; None for keys that are not in the table.

    A machine-learning key (`17.3.x-cpu-ml-scala2.13`) has the runtime of its plain key: it differs by its image only.
    """
    return _BY_KEY.get(plain_key(spark_version))


class UnknownRuntime(ValueError):
    """A text that names no runtime, or more than one; the message has the text and those that there are."""


def named(text: str) -> Runtime:
    """The runtime that a person means: by its key, or in short by its version (`17.3`, `17.3-lts`). Raises UnknownRuntime."""
    found = runtime(text)
    short = _SHORT.fullmatch(text)
    several = [each for each in RUNTIMES if short and each.key.startswith(f"{short[1]}.x-")]
    if short and short[2]:
        several = [each for each in several if " LTS " in each.name]
    if found is not None or len(several) == 1:
        return found or several[0]
    if several:
        raise UnknownRuntime(f"'{text}' is more than one runtime; give one of: {', '.join(each.key for each in several)}")
    raise UnknownRuntime(f"no runtime '{text[:60]}'; there are: {', '.join(each.key for each in RUNTIMES)}")


def plain_key(spark_version: str) -> str:
    """`17.3.x-scala2.13` for `17.3.x-cpu-ml-scala2.13`; other keys as they are."""
    return spark_version.replace(_ML_MARK, "-", 1)


def is_ml(spark_version: str) -> bool:
    """Whether the key asks for a machine-learning image."""
    return _ML_MARK in spark_version


def spark_versions() -> list[tuple[str, str]]:
    """All (key, name) pairs that can be asked for, plain and machine learning, newest first."""
    pairs: list[tuple[str, str]] = []
    for each in RUNTIMES:
        pairs.append((each.key, each.name))
        pairs.append((each.key.replace(".x-", f".x{_ML_MARK}", 1), each.name.replace(" (", " ML (", 1)))
    return pairs
