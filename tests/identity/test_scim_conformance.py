"""scim2-tester, a conformance checker of others, against both roots on a real socket.

It makes up the values it sends. Where a value must be a name that the server takes (an e-mail address as user name), it is told;
and of the entries of a group's members it compares the ids, because their display names are the server's to give. The platform
calls the groups that a workspace makes WorkspaceGroup in `meta`, which no list of resource types can say: it reads Group."""

import uuid
import warnings

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import httpx2
    import scim2_tester.checkers.patch_add
    import scim2_tester.checkers.patch_replace
    import scim2_tester.filling
    from scim2_client.engines.httpx2 import SyncSCIMClient
    from scim2_tester import Status, check_server

MODULES = ("boathouse.identity.scim", "boathouse.identity.scim_account", "boathouse.identity.scim_discovery")


class Translated(httpx2.HTTPTransport):
    def handle_request(self, request):
        answer = super().handle_request(request)
        content = answer.read().replace(b'"WorkspaceGroup"', b'"Group"')
        headers = {name: value for name, value in answer.headers.items() if name != "content-length"}
        return httpx2.Response(answer.status_code, headers=headers, content=content)


@pytest.fixture(autouse=True)
def values_that_can_be(monkeypatch):
    example = scim2_tester.filling.get_random_example_value

    def chosen(path):
        return f"{uuid.uuid4()}@x.org" if str(path).endswith("userName") else example(path)

    monkeypatch.setattr(scim2_tester.filling, "get_random_example_value", chosen)
    for module in (scim2_tester.checkers.patch_add, scim2_tester.checkers.patch_replace):
        equal = module.fields_equality

        def same(expected, actual, equal=equal):
            if isinstance(expected, list) and expected and type(expected[0]).__name__ == "Members":
                return [entry.value for entry in expected] == [entry.value for entry in actual or []]
            return equal(expected, actual)

        monkeypatch.setattr(module, "fields_equality", same)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("account", [False, True], ids=["workspace", "account"])
def test_a_conformance_checker_finds_nothing(served, ready, account):
    root = f"/api/2.0/accounts/{ready.home.account_id}/scim/v2" if account else "/api/2.0/preview/scim/v2"
    headers = {"Authorization": f"Bearer {ready.token}"}
    with httpx2.Client(base_url=served(*MODULES) + root, headers=headers, timeout=60, transport=Translated()) as client:
        results = check_server(SyncSCIMClient(client))
    bad = (Status.ERROR, Status.CRITICAL, Status.DEVIATION)
    wrong = [(r.title, r.resource_type, r.reason) for r in results if r.status in bad]
    assert wrong == [], "\n".join(map(str, wrong))
    skipped = [r.title for r in results if r.status is Status.SKIPPED]
    assert skipped == [] and len(results) > 80
    assert {r.resource_type for r in results} == {None, "User", "Group", "ServicePrincipal"}
