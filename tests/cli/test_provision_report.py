"""What `boathouse provision` prints, and refuses before anything is done."""

import argparse
import re
from types import SimpleNamespace
from typing import Any, cast

import pytest

from boathouse.cli import Failed, provision
from boathouse.cli.provision_progress import Progress
from boathouse.provision.api import Refused
from boathouse.provision.diff import CREATE, Action
from boathouse.provision.runner import FAILED, Outcome
from boathouse.provision.wishes import Wish
from tests.provision.conftest import Desk


@pytest.fixture
def desk(tmp_path):
    return lambda: Desk(tmp_path / "d")


def test_a_report_with_no_directory_is_refused_before_the_first_call(tmp_path):
    options = argparse.Namespace(report=tmp_path / "nope" / "x")
    nothing = cast(Any, SimpleNamespace())  # any use of session or place would fail
    with pytest.raises(Failed, match="nope is not a directory; nothing was started"):
        provision._apply(nothing, nothing, options)


def test_undo_for_somebody_unknown_says_so(desk):
    d = desk()
    d.apply()
    options = argparse.Namespace(person=["Nobody@x.org"], yes=True, output="text", threads=2, force=False)
    with pytest.raises(Failed, match=r"--person nobody@x.org: .*lab.journal knows of nothing that was made for them"):
        provision._undo(d.session(), d.platform.place(), options)
    assert "ann@x.org" in d.platform.state()["users"]


def test_failures_are_printed_with_who_has_them_and_what_needs_them(desk, capsys):
    d = desk()
    d.platform.refuse["POST", "2.1/clusters/create"] = Refused("QUOTA_EXCEEDED", "no more clusters")
    provision._failures([outcome for outcome in d.apply() if outcome.end != "done"])
    said = capsys.readouterr().out.splitlines()
    assert said[1] == "3 failed, and 6 that need them were not begun:"
    assert ["ann@x.org", "cluster lab-ann", "QUOTA_EXCEEDED: no more clusters"] in [
        re.split(r"\s{2,}", line.strip()) for line in said
    ]
    assert said[-1] == "Run it again when the cause is mended: it goes on where it is."
    provision._failures([])
    assert capsys.readouterr().out == ""


def test_many_failures_are_shortened(capsys):
    failed = [Outcome(Action(Wish("user", f"u{number}@x.org"), CREATE), FAILED, "no") for number in range(provision.SHOWN + 2)]
    provision._failures(failed)
    said = capsys.readouterr().out
    assert "  ... and 2 more (--output json has all)" in said and "u39@x.org" in said and "u40@x.org" not in said


def test_progress_without_a_terminal_is_a_line_now_and_then(capsys, monkeypatch):
    now = iter([0.0, 1.0, 6.0, 7.0, 8.0])  # the begin, then after each step
    monkeypatch.setattr("boathouse.cli.provision_progress.time.monotonic", lambda: next(now))
    with Progress(4) as progress:
        for failed in (False, True, False, False):
            progress.step(failed, "user")
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == ["  2/4, 0/s, 6 s left, 1 failed", "  4/4, 0/s, 0 s left, 1 failed"]


@pytest.mark.parametrize(("total", "quiet"), [(3, True), (0, False)])
def test_progress_says_nothing_when_nobody_is_to_hear_it(capsys, total, quiet):
    with Progress(total, quiet=quiet) as progress:
        progress.step(True)
    said = capsys.readouterr()
    assert (said.out, said.err, progress.done, progress.failed) == ("", "", 1, 1)
