"""An account by the unmodified SDK: `a`, and workspaces of it by `client(host, token, workspace_id)`."""

import pytest
from databricks.sdk import AccountClient, WorkspaceClient

from boathouse.auth import credentials
from boathouse.compute.quotas import Quotas
from boathouse.compute.surroundings import Surroundings

MODULES = (
    "boathouse.identity.me", "boathouse.identity.scim", "boathouse.auth.oauth", "boathouse.auth.discovery",
    "boathouse.auth.client_secrets", "boathouse.auth.tokens", "boathouse.account.workspaces", "boathouse.account.assignments",
    "boathouse.account.rule_sets", "boathouse.account.settings", "boathouse.account.usage", "boathouse.account.budgets",
    "boathouse.account.audit_log", "boathouse.workspace.secrets",
    "boathouse.workspace.files.dbfs", "boathouse.workspace.files.objects", "boathouse.compute.pools",
)  # fmt: skip


@pytest.fixture
def modules():
    return MODULES


@pytest.fixture
def host(served, services, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    services.add(Surroundings(1000, Quotas(0, 0, 0)))
    return served(*MODULES)


@pytest.fixture
def a(host, ready):
    return AccountClient(host=host, account_id=ready.home.account_id, token=ready.token)


@pytest.fixture
def client(host):
    """`client(token, workspace_id)`: a WorkspaceClient of that workspace."""
    return lambda token, workspace_id: WorkspaceClient(host=host, token=token, workspace_id=str(workspace_id))


@pytest.fixture
def account_of(host, ready, store, keys):
    """`account_of(principal_id)`: an AccountClient as that principal, by OAuth."""

    def make(principal_id):
        with store.transaction() as tx:
            token, _ = credentials.issue(tx, keys, credentials.OAUTH, principal_id, lifetime_ms=3_600_000)
        return AccountClient(host=host, account_id=ready.home.account_id, token=token)

    return make
