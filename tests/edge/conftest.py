import importlib.util
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def toys():
    """The module of toy endpoints."""
    spec = importlib.util.spec_from_file_location("edge_toys", Path(__file__).with_name("toys.py"))
    assert spec is not None and spec.loader is not None
    module = sys.modules["edge_toys"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def api(api_of, toys):
    return api_of(toys, "boathouse.edge.openapi")
