import os

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config

FILES = (
    "boathouse.identity.me", "boathouse.auth.discovery", "boathouse.workspace.files.dbfs", "boathouse.workspace.files.objects",
    "boathouse.workspace.files.volumes", "boathouse.workspace.files.uploads",
    "boathouse.catalog.volumes",
    "boathouse.workspace.files.object_permissions",
)  # fmt: skip


@pytest.fixture
def host(served):
    """A server of the file APIs on a real socket."""
    return served(*FILES)


@pytest.fixture
def client(host, ready, monkeypatch, tmp_path):
    """`client(token)`: the real SDK as that token's owner; the bootstrap admin without one."""
    for name in list(os.environ):
        if name.startswith(("DATABRICKS_", "ARM_", "AZURE_", "GOOGLE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return lambda token="": WorkspaceClient(config=Config(host=host, token=token or ready.token, retry_timeout_seconds=5))


@pytest.fixture
def w(client):
    return client()
