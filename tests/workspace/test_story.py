"""The first steps of the container-services guide: Me, the switch, a scope with the registry's password, and its
resolving."""

from boathouse.workspace.references import Secrets


def test_the_guide_up_to_the_cluster(api_of, ready, make_user, services):
    api = api_of("boathouse.identity.me", "boathouse.workspace.conf", "boathouse.workspace.secrets")
    me = api.get("/api/2.0/preview/scim/v2/Me")
    assert me.headers["x-databricks-org-id"] == str(ready.home.workspace_id)
    assert api.patch("/api/2.0/workspace-conf", json={"enableDcs": "true"}).status_code == 204
    assert api.get("/api/2.0/workspace-conf?keys=enableDcs").json() == {"enableDcs": "true"}
    assert api.post("/api/2.0/secrets/scopes/create", json={"scope": "registry"}).json() == {}
    put = api.post("/api/2.0/secrets/put", json={"scope": "registry", "key": "password", "string_value": "hunter2"})
    assert put.json() == {}
    ann, token = make_user("ann@x.org")
    refused = api.get("/api/2.0/secrets/get?scope=registry&key=password", token=token)
    assert (refused.status_code, refused.json()["error_code"]) == (403, "PERMISSION_DENIED")
    resolve = services.get(Secrets).resolve
    assert resolve(ready.home.workspace_id, ready.home.admin, "{{secrets/registry/password}}") == "hunter2"
