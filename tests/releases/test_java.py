"""What is changed in a linked JRE."""

from pathlib import Path

from boathouse.releases import java

FIND, REGISTER = (bytes.fromhex(before) for before in java.LAMBDA_CHECKS)


def modules(jre: Path, content: bytes) -> Path:
    (jre / "lib").mkdir(parents=True)
    (jre / "lib" / "modules").write_bytes(content)
    return jre / "lib" / "modules"


def test_the_conditions_are_replaced_in_place(tmp_path: Path) -> None:
    file = modules(tmp_path, b"before" + FIND + b"between" + REGISTER + b"after")
    assert java.archive_every_lambda(tmp_path)
    content = file.read_bytes()
    assert FIND not in content and REGISTER not in content
    assert len(content) == len(b"before" + FIND + b"between" + REGISTER + b"after")
    assert content.startswith(b"before") and b"between" in content and content.endswith(b"after")


def test_a_java_with_another_class_stays_as_it_is(tmp_path: Path) -> None:
    for number, content in enumerate((b"", FIND, REGISTER, FIND + FIND + REGISTER)):
        file = modules(tmp_path / str(number), content)
        assert not java.archive_every_lambda(tmp_path / str(number))
        assert file.read_bytes() == content
