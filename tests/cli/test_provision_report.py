"""`boathouse provision apply --report`: a place that is not there is refused before anything is done."""

import argparse
from types import SimpleNamespace
from typing import Any, cast

import pytest

from boathouse.cli import Failed, provision


def test_a_report_with_no_directory_is_refused_before_the_first_call(tmp_path):
    options = argparse.Namespace(report=tmp_path / "nope" / "x")
    nothing = cast(Any, SimpleNamespace())  # any use of session or place would fail
    with pytest.raises(Failed, match="nope is not a directory; nothing was started"):
        provision._apply(nothing, nothing, options)
