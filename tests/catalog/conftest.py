import os

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config

from boathouse.identity import principals, registry
from boathouse.server.control import ENDPOINT_MODULES

CATALOG = tuple(name for name in ENDPOINT_MODULES if name.startswith("boathouse.catalog."))
FILES = ("boathouse.workspace.files.volumes", "boathouse.workspace.files.uploads")


@pytest.fixture
def host(served):
    """A server of the catalog and of the files of volumes on a real socket."""
    return served("boathouse.identity.me", "boathouse.auth.discovery", *CATALOG, *FILES)


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


@pytest.fixture
def person(client, make_user):
    """`person("ann@x.org", groups=[...])`: the SDK as a new user of the workspace."""
    return lambda name, **more: client(make_user(name, **more)[1])


@pytest.fixture
def group(store, ready):
    """`group("readers", "ann@x.org")`: a group of the account with these members."""

    def make(name, *members):
        account = ready.home.account_id
        with store.transaction() as tx:
            made = registry.create(tx, account, principals.GROUP, name)
            for member in members:
                registry.add_member(tx, made.principal_id, principals.by_name(tx, account, member).principal_id)
        return made

    return make
