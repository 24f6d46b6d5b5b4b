"""The forms in which a check of an image is printed."""

import json

from boathouse.cli import image_report, main
from boathouse.images.check import check
from boathouse.images.findings import CheckReport, error, info, warning
from tests.images.fake_view import image

REPORT = CheckReport(
    (
        error("bash.missing", "The image has no bash.", "neither here\nnor there", "Install it: 100%."),
        warning("secret.env", "The image's ENV holds a secret: TOKEN.", "ENV TOKEN=[REDACTED]", "Take it out."),
        info("python.found", "Python commands run in the image's own Python."),
    )
)


def test_annotations_are_one_line_each_and_escaped() -> None:
    lines = image_report.github("host:5000/x:1", REPORT).splitlines()
    assert lines == [
        "::error title=host%3A5000/x%3A1%3A bash.missing::The image has no bash. (neither here nor there) Install it: 100%25.",
        "::warning title=host%3A5000/x%3A1%3A secret.env::The image's ENV holds a secret: TOKEN. (ENV TOKEN=[REDACTED]) "
        "Take it out.",
    ]


def test_what_is_ignored_of_an_image_is_an_annotation_too() -> None:
    found = check(image(user="app", entrypoint=("serve",))).findings
    lines = image_report.github("x", CheckReport(tuple(each for each in found if each.code.startswith("ignored.")))).splitlines()
    assert [line.partition("::")[2].partition("::")[0] for line in lines] == [
        "notice title=x%3A ignored.entrypoint", "notice title=x%3A ignored.user",
    ]  # fmt: skip


def test_sarif_names_rules_results_and_place() -> None:
    made = image_report.sarif("x.tar", REPORT)
    (run,) = made["runs"]
    rules, results = run["tool"]["driver"]["rules"], run["results"]
    assert made["version"] == "2.1.0" and [rule["id"] for rule in rules] == ["bash.missing", "secret.env", "python.found"]
    assert [(result["level"], rules[result["ruleIndex"]]["id"]) for result in results] == [
        ("error", "bash.missing"), ("warning", "secret.env"), ("note", "python.found"),
    ]  # fmt: skip
    assert results[0]["locations"][0]["physicalLocation"]["artifactLocation"] == {"uri": "x.tar"}


def test_what_is_no_image_is_a_finding_too(tmp_path, capsys) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(b"not a tar")
    assert main(["image", "check", str(path), "--sarif"]) == 1
    assert json.loads(capsys.readouterr().out)["runs"][0]["results"][0]["ruleId"] == "image.unreadable"
    assert main(["image", "check", str(path), "--github"]) == 1
    assert capsys.readouterr().out.startswith("::error title=")
    assert main(["image", "check", str(path)]) == 1
    assert "image.unreadable" in capsys.readouterr().out


def test_a_file_that_is_not_there_is_no_reference(tmp_path, capsys) -> None:
    assert main(["image", "check", str(tmp_path / "nope.tar")]) == 1
    assert "nope.tar: no such file or folder" in capsys.readouterr().err
