"""The rules of the image check, one table row a rule."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boathouse.images.check import check
from boathouse.images.findings import CheckReport, Severity, Wanted
from tests.images.fake_view import ELF, ELF_ARM64, GLIBC, TOOLS, image

CREATION, OS, LARGE = (
    "DOCKER_CONTAINER_CREATION_EXCEPTION",
    "DOCKER_INVALID_OS_EXCEPTION",
    "DOCKER_IMAGE_TOO_LARGE_FOR_INSTANCE_EXCEPTION",
)
MUSL = {"/lib/ld-musl-x86_64.so.1": ELF}
GLIBC_PATHS = ("/lib64", "/lib/x86_64")
JAVA = {"/usr/lib/jvm/java-17/bin/java": ELF, "/usr/bin/java": "/usr/lib/jvm/java-17/bin/java",
        "/usr/lib/jvm/java-17/lib/server/libjvm.so": ELF,
        "/usr/lib/jvm/java-17/release": b'IMPLEMENTOR="Debian"\nJAVA_VERSION="17.0.9"\n'}  # fmt: skip
STRICT = Wanted(strict=True)
DATABRICKS_TOOLS = {f"/usr/bin/{name}": ELF for name in ("sudo", "ps", "setfacl", "curl", "gpg")} | {"/sbin/ip": ELF}


def codes(report: CheckReport, severity: Severity | None = None) -> list[str]:
    return [found.code for found in report.findings if severity in (None, found.severity)]


def test_a_good_image() -> None:
    report = check(image(), Wanted(spark="4.0.1", glibc="2.34"))
    assert report.ok and codes(report) == ["python.found"]
    assert report.python and (report.python.path, report.python.version) == ("/databricks/python3/bin/python3", "3.11.2")
    assert report.python.virtual_environment and report.python_reason == ""
    assert report.libc == "glibc 2.36" and report.java is None


@pytest.mark.parametrize(
    ("view", "wanted", "code", "termination"),
    [
        (image(architecture="arm64"), Wanted(), "platform.other", OS),
        (image(os="windows"), Wanted(), "platform.other", OS),
        (image(os=""), Wanted(), "platform.other", OS),
        (image(size=10**9), Wanted(max_bytes=10**8), "size.large", LARGE),
        (image(remove=("/usr/bin/bash",)), Wanted(), "bash.missing", CREATION),
        (image({"/usr/bin/bash": "/nowhere"}), Wanted(), "bash.missing", CREATION),
        (image({"/lib/x86_64-linux-gnu/libc.so.6": ELF_ARM64 + GLIBC}), Wanted(), "architecture.other", OS),
        (image({"/usr/bin/bash": ELF_ARM64}, GLIBC_PATHS), Wanted(), "architecture.other", OS),
        (image({"/usr/bin/bash": b"text"}, GLIBC_PATHS), Wanted(), "architecture.other", OS),
        (image(remove=GLIBC_PATHS), Wanted(), "libc.missing", CREATION),
        (image(), Wanted(glibc="2.38"), "libc.old", CREATION),
        (image(remove=("/usr/bin/cat", "/usr/bin/rm")), Wanted(), "coreutils.missing", CREATION),
        (image({"/databricks/runtime/x": b""}), Wanted(), "runtime.occupied", CREATION),
        (image({"/databricks/runtime": b""}), Wanted(), "runtime.occupied", CREATION),
        (image(MUSL, GLIBC_PATHS), Wanted(), "java.missing", CREATION),
        (
            image(MUSL | JAVA | {"/usr/lib/jvm/java-17/release": b'JAVA_VERSION="1.8.0_392"'}, GLIBC_PATHS),
            Wanted(),
            "java.version",
            CREATION,
        ),
        (image(DATABRICKS_TOOLS), STRICT, "java.missing", CREATION),
        (image(JAVA), STRICT, "strict.sudo", CREATION),
        (image(JAVA | DATABRICKS_TOOLS, ("/databricks",)), STRICT, "strict.python", CREATION),
    ],
)
def test_errors(view, wanted: Wanted, code: str, termination: str) -> None:
    failed = check(view, wanted).first_failure
    assert failed is not None and (failed.code, failed.termination_code) == (code, termination)
    assert failed.fix or failed.code == "size.large"


@pytest.mark.parametrize(
    ("view", "wanted", "severity", "code"),
    [
        (image(MUSL | JAVA, GLIBC_PATHS), Wanted(), Severity.WARNING, "libc.musl"),
        (image(MUSL | JAVA, GLIBC_PATHS), Wanted(), Severity.INFO, "java.used"),
        (
            image({f"/usr/bin/{name}": "/bin/busybox" for name in TOOLS} | {"/bin/busybox": ELF}),
            Wanted(),
            Severity.WARNING,
            "coreutils.busybox",
        ),
        (image(env={"PYTHONHOME": "/x"}), Wanted(), Severity.WARNING, "env.pythonhome"),
        (image(env={"LD_LIBRARY_PATH": "/x"}), Wanted(), Severity.WARNING, "env.ld_library_path"),
        (image(env={"PATH": "/opt/bin"}), Wanted(), Severity.WARNING, "env.path"),
        (image(remove=("/databricks",)), Wanted(), Severity.WARNING, "python.place"),
        (image(diff_ids=tuple(f"sha256:{n}" for n in range(128))), Wanted(), Severity.WARNING, "layers.many"),
        (image(entrypoint=("tini",)), Wanted(), Severity.INFO, "ignored.entrypoint"),
        (image(command=("sh",)), Wanted(), Severity.INFO, "ignored.cmd"),
        (image(user="app"), Wanted(), Severity.INFO, "ignored.user"),
        (image(JAVA | DATABRICKS_TOOLS | {"/etc/os-release": b"ID=debian"}), STRICT, Severity.WARNING, "strict.distribution"),
    ],
)
def test_what_does_not_refuse(view, wanted: Wanted, severity: Severity, code: str) -> None:
    report = check(view, wanted)
    assert report.ok and code in codes(report, severity)
    assert all(found.fix for found in report.warnings), "a warning without its fix"


def test_strict_takes_what_databricks_takes() -> None:
    report = check(image(JAVA | DATABRICKS_TOOLS), Wanted(spark="4.0", glibc="9.9", strict=True))
    assert report.ok and report.java and (report.java.path, report.java.major) == ("/usr/bin/java", 17)


def test_no_python_starts_and_says_why_python_is_refused() -> None:
    report = check(image(remove=("/databricks", "/usr/bin/python")))
    assert report.ok and report.python is None
    assert "no Python" in report.python_reason and codes(report, Severity.INFO) == ["python.missing"]


@pytest.mark.parametrize(("spark", "version", "usable"), [("4.0.1", "3.8", False), ("3.5.7", "3.8", True), ("4.0", "3.9", True),
                                                          ("3.5.7", "3.7", False), ("4.0", "3.13", True)])  # fmt: skip
def test_pythons_age(spark: str, version: str, usable: bool) -> None:
    view = image(
        {"/usr/bin/python3": f"/opt/bin/python{version}", f"/opt/bin/python{version}": ELF},
        ("/databricks", "/usr/bin/python3.11"),
    )
    report = check(view, Wanted(spark=spark))
    assert report.ok and (report.python is not None) is usable
    assert usable or f"is Python {version}" in report.python_reason


def test_pythons_version_by_its_library() -> None:
    view = image(
        {"/opt/py/bin/python3": ELF, "/opt/py/lib/python3.12/os.py": b""},
        ("/databricks", "/usr/bin/python"),
        {"PATH": "/opt/py/bin:/bin"},
    )
    report = check(view)
    assert report.python and (report.python.path, report.python.version) == ("/opt/py/bin/python3", "3.12")


def test_java_of_java_home_comes_first() -> None:
    view = image(
        MUSL
        | JAVA
        | {"/opt/jdk21/bin/java": ELF, "/opt/jdk21/lib/server/libjvm.so": ELF, "/opt/jdk21/release": b'JAVA_VERSION="21.0.1"\n'},
        GLIBC_PATHS,
        {"JAVA_HOME": "/opt/jdk21/"},
    )
    report = check(view)
    assert report.java and (report.java.path, report.java.major) == ("/opt/jdk21/bin/java", 21)


hostile = st.dictionaries(
    st.sampled_from(sorted(image(JAVA | MUSL | DATABRICKS_TOOLS).files)),
    st.binary(max_size=40) | st.sampled_from(["/", "/x", "/usr/bin/bash"]),
)
texts = st.text(max_size=30)


@given(hostile, st.dictionaries(st.sampled_from(["PATH", "JAVA_HOME", "LD_PRELOAD", "X"]), texts), texts, st.booleans())
def test_any_image_gets_a_report(files, env: dict[str, str], user: str, strict: bool) -> None:
    report = check(image(files, env=env, user=user), Wanted(strict=strict, glibc="2.30"))
    assert report.ok == (not codes(report, Severity.ERROR))
    assert all(len(found.evidence) <= 300 and found.evidence.isprintable() for found in report.findings)
    assert (report.python is None) == bool(report.python_reason)
