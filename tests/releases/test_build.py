"""What a release is named after, what is shared, and the place where archives are made."""

from dataclasses import replace
from pathlib import Path

import pytest

from boathouse.releases import archive, build, java, runtime
from boathouse.releases.build import Inputs
from boathouse.releases.java import Jdk, NoJdk


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    home = tmp_path / "jdk"
    home.mkdir()
    (home / "release").write_text('JAVA_VERSION="17.0.15"\n')
    module = tmp_path / "module"
    (module / "src").mkdir(parents=True)
    (module / "src" / "A.java").write_text("class A {}")
    programs = tmp_path / "node"
    programs.mkdir()
    (programs / "repl.py").write_text("print()")
    (programs / "daemon.py").write_text("print()")
    wanted = runtime("17.3.x-scala2.13")
    assert wanted is not None
    return Inputs(wanted, Jdk(home, "17.0.15"), module, None, programs)


def other_runtime(inputs: Inputs) -> Inputs:
    wanted = runtime("15.4.x-scala2.12")
    assert wanted is not None
    return replace(inputs, runtime=wanted)


def with_launcher(inputs: Inputs) -> Inputs:
    launcher = inputs.module.parent / "launcher"
    launcher.write_bytes(b"elf")
    return replace(inputs, launcher=launcher)


def with_file(inputs: Inputs, name: str, content: str) -> Inputs:
    (inputs.module.parent / name).write_text(content)
    return inputs


CHANGES = [
    (other_runtime, True),
    (with_launcher, False),
    (lambda inputs: with_file(inputs, "jdk/release", 'JAVA_VERSION="17.0.16"\n'), True),
    (lambda inputs: with_file(inputs, "module/src/A.java", "class A { int x; }"), True),
    (lambda inputs: with_file(inputs, "node/repl.py", "print(1)"), False),
    (lambda inputs: replace(inputs, archive=False), False),
]


@pytest.mark.parametrize("change, also_archive", CHANGES)
def test_whatever_goes_in_changes_the_name_and_only_jars_the_archive(inputs, change, also_archive: bool) -> None:
    name, of_archive = inputs.digest(), inputs.archive_digest()
    assert (inputs.digest(), inputs.archive_digest()) == (name, of_archive)
    changed = change(inputs)
    assert changed.digest() != name
    assert (changed.archive_digest() != of_archive) is also_archive


def test_programs_of_the_daemon_do_not_count(inputs: Inputs) -> None:
    name = inputs.digest()
    assert with_file(inputs, "node/daemon.py", "print(1)").digest() == name


def test_a_shared_part_is_made_once_and_never_by_halves(tmp_path: Path) -> None:
    def broken(into: Path) -> None:
        into.mkdir()
        (into / "half").write_text("x")
        raise RuntimeError("the disk is full")

    def whole(into: Path) -> None:
        into.mkdir()
        (into / "file").write_text("x")

    with pytest.raises(RuntimeError):
        build._shared(tmp_path, "part", "k" * 16, broken)
    part = build._shared(tmp_path, "part", "k" * 16, whole)
    assert [path.name for path in part.iterdir()] == ["file"]
    assert build._shared(tmp_path, "part", "k" * 16, broken) == part


def test_natives_of_other_machines_and_other_cluster_managers_are_left_out() -> None:
    for jar in (
        "kubernetes-client-7.1.0.jar",
        "spark-kubernetes_2.13-4.0.5.jar",
        "netty-transport-native-kqueue-4.1.118.Final-osx-x86_64.jar",
        "netty-transport-native-epoll-4.1.118.Final-linux-riscv64.jar",
    ):
        assert not build._is_used(jar), jar
    for jar in ("spark-core_2.13-4.0.5.jar", "netty-all-4.1.118.Final.jar", "janino-3.1.9.jar"):
        assert build._is_used(jar), jar


def test_class_lists_are_merged_without_numbers_and_foreign_loaders() -> None:
    one = ["# NOTE", "java/lang/Object id: 0", "a/B id: 7", "@lambda-proxy a/B run", "x/Y id: 9 super: 0 source: jar"]
    two = ["java/lang/Object id: 0", "a/C id: 7", "a/B id: 12"]
    assert archive.merge_class_lists([one, two]) == ["java/lang/Object", "a/B", "@lambda-proxy a/B run", "a/C"]


def test_a_machine_without_jdk_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(java, "_JVM_FOLDERS", (str(tmp_path),))
    with pytest.raises(NoJdk, match="openjdk-17-jdk-headless"):
        java.find_jdk((17, 21), None)


def test_the_first_java_version_that_the_machine_has_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setattr(java, "_JVM_FOLDERS", (str(tmp_path),))
    for version in ("21.0.2", "11.0.1"):
        home = tmp_path / f"jdk-{version}"
        for file in ("bin/javac", "bin/jlink", "bin/java", "jmods/java.base.jmod"):
            (home / file).parent.mkdir(parents=True, exist_ok=True)
            (home / file).touch()
        (home / "release").write_text(f'JAVA_VERSION="{version}"\n')
    assert java.find_jdk((17, 21), None).version == "21.0.2"


@pytest.mark.skipif(not archive.can_use_namespaces(), reason="no mount namespaces for this user here")
def test_the_stage_shows_the_layers_at_the_runtime_path_and_leaves_the_machine_alone(tmp_path: Path) -> None:
    for layer, text in (("top", "patched"), ("bottom", "released")):
        (tmp_path / layer).mkdir()
        (tmp_path / layer / "file").write_text(text)
    (tmp_path / "bottom" / "other").write_text("released")
    work = tmp_path / "work"
    work.mkdir()
    script = f"cat /databricks/runtime/file /databricks/runtime/other > {work}/out"
    archive.namespace_stage([tmp_path / "top", tmp_path / "bottom"], work, ["sh", "-c", script])
    assert (work / "out").read_text() == "patchedreleased"
    archive.namespace_stage([tmp_path / "bottom"], work, ["sh", "-c", script])
    assert (work / "out").read_text() == "releasedreleased"
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()
    with pytest.raises(archive.StageFailed, match="sh ended with 3: what it said"):
        archive.namespace_stage([tmp_path / "bottom"], work, ["sh", "-c", "echo what it said; exit 3"])
