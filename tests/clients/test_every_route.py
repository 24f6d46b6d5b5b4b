"""Every served endpoint, as nobody, with a token that does not hold, as a disabled user, and as a stranger without rights; and
every endpoint of the platform that is not served. The tables of exceptions are exact: what leaves them may not come back."""

import asyncio
import re
import typing

import msgspec
import pytest
from sqlalchemy import insert

from boathouse.auth import credentials
from boathouse.auth.authenticator import Authenticator
from boathouse.commands.tables import contexts
from boathouse.compute.policies.store import default_id
from boathouse.edge.app import Edge
from boathouse.edge.unserved import Catalogue
from boathouse.identity import principals, registry
from boathouse.server import opened, routes
from boathouse.server.control import ControlPlane
from boathouse.settings import load

SPEC = {"spark_version": "17.3.x-scala2.13", "node_type_id": "i3.xlarge", "num_workers": 0}
SECRET = "the-value-of-the-secret"
SCIM = "/api/2.0/preview/scim/v2"
UNITY = "/api/2.1/unity-catalog"
THERE = {"catalog_name": "victims", "schema_name": "s"}

#: What the last part of a path of the catalog names there.
IN_UNITY = {
    "catalogs": "victims", "schemas": "victims.s", "tables": "victims.s.t", "volumes": "victims.s.v", "functions": "victims.s.f",
    "storage-credentials": "k", "external-locations": "l", "connections": "c",
}  # fmt: skip

#: What answers without a credential.
PUBLIC = {
    ("GET", "/.well-known/databricks-config"),
    ("GET", "/oidc/.well-known/oauth-authorization-server"),
    ("GET", "/oidc/.well-known/openid-configuration"),
    ("GET", "/oidc/accounts/{account_id}/.well-known/oauth-authorization-server"),
    ("GET", "/oidc/accounts/{account_id}/.well-known/openid-configuration"),
    ("POST", "/oidc/v1/token"),
    ("POST", "/oidc/accounts/{account_id}/v1/token"),
    ("POST", "/telemetry-ext"),
    # A browser before, in and after the log-in.
    ("GET", "/login"),
    ("POST", "/login"),
    ("POST", "/logout"),
    ("POST", "/login/oidc"),
    ("GET", "/login/oidc/callback"),
    ("GET", "/aad/auth"),
    ("GET", "/login/link/{token}"),
    ("POST", "/login/link/{token}"),
    ("GET", "/oidc/v1/authorize"),
    ("POST", "/oidc/v1/authorize"),
    ("GET", "/oidc/accounts/{account_id}/v1/authorize"),
    ("POST", "/oidc/accounts/{account_id}/v1/authorize"),
    ("POST", "/oidc/v1/revoke"),
    ("POST", "/oidc/accounts/{account_id}/v1/revoke"),
    # Addresses with a signed ticket in them.
    ("GET", "/api/2.0/boathouse/files/{ticket}"),
    ("PUT", "/api/2.0/boathouse/uploads/{ticket}"),
    ("DELETE", "/api/2.0/boathouse/uploads/{ticket}"),
}

#: What every member of the workspace may call, and what a stranger hears when asking for somebody else's things.
OPEN = {
    ("GET", f"{SCIM}/Me"): 200,
    ("GET", f"{SCIM}/Users"): 200,
    ("GET", f"{SCIM}/Users/{{id}}"): 200,
    ("GET", f"{SCIM}/Groups"): 200,
    ("GET", f"{SCIM}/Groups/{{id}}"): 404,  # the id is a user's
    ("GET", f"{SCIM}/ServicePrincipals"): 200,
    ("GET", f"{SCIM}/ServicePrincipals/{{id}}"): 404,
    # What SCIM looks like here; what a search shows is what the lists show.
    ("GET", f"{SCIM}/ServiceProviderConfig"): 200,
    ("GET", f"{SCIM}/ResourceTypes"): 200,
    ("GET", f"{SCIM}/ResourceTypes/{{name}}"): 404,
    ("GET", f"{SCIM}/Schemas"): 200,
    ("GET", f"{SCIM}/Schemas/{{urn}}"): 404,
    ("POST", f"{SCIM}/.search"): 200,
    ("POST", "/api/2.0/token/create"): 200,
    ("GET", "/api/2.0/token/list"): 200,
    ("POST", "/api/2.0/token/delete"): 404,  # there are no tokens but one's own
    ("PATCH", "/api/2.0/token/{token_id}"): 404,
    ("GET", "/api/2.0/boathouse/openapi.json"): 200,
    ("GET", "/api/2.0/workspace-conf"): 200,
    ("POST", "/api/2.0/secrets/scopes/create"): 400,  # the name is taken
    ("GET", "/api/2.0/secrets/scopes/list"): 200,
    ("GET", "/api/2.0/boathouse/explain/{code}"): 404,
    ("GET", "/api/2.0/boathouse/top"): 200,
    # Everybody in the workspace sees its tracks and what happens to them.
    ("GET", "/api/2.0/boathouse/tracks/list"): 200,
    ("GET", "/api/2.0/boathouse/tracks/get"): 404,
    ("GET", "/api/2.0/boathouse/rollouts/list"): 200,
    ("GET", "/api/2.0/boathouse/rollouts/get"): 404,
    ("GET", "/api/2.0/boathouse/rollout-triggers/list"): 200,
    ("GET", "/api/2.0/instance-pools/list"): 200,  # nobody's but one's own
    ("GET", "/api/2.0/libraries/all-cluster-statuses"): 200,  # of clusters that the caller sees
    ("GET", "/api/2.0/instance-profiles/list"): 200,  # those that the caller may name
    ("GET", "/api/2.0/policies/clusters/list"): 200,  # those that the caller may use
    ("GET", "/api/2.0/policy-families"): 200,
    ("GET", "/api/2.0/policy-families/{policy_family_id}"): 404,
    # Everybody knows the metastore, and sees what is theirs in it.
    **{
        ("GET", f"{UNITY}/{path}"): 200
        for path in (
            "current-metastore-assignment", "metastore_summary", "metastores", "catalogs", "external-locations",
            "storage-credentials", "connections",
        )
    },
    # Uploads are their makers'.
    ("POST", "/api/2.0/fs/create-upload-part-urls"): 404,
    ("POST", "/api/2.0/fs/create-abort-upload-url"): 404,
} | {
    # DBFS is everybody's in the workspace; streams are their makers'.
    (method, f"/api/2.0/dbfs/{verb}"): status
    for method, verb, status in (
        ("POST", "create", 200), ("POST", "put", 200), ("POST", "mkdirs", 400), ("GET", "list", 200), ("GET", "read", 200),
        ("GET", "get-status", 200), ("POST", "move", 200), ("POST", "delete", 200), ("POST", "add-block", 404),
        ("POST", "close", 404),
    )
} | {
    (method, f"/api/{version}/clusters/{verb}"): 200
    for version in ("2.0", "2.1")
    for method, verb in (
        ("GET", "list"), ("GET", "list-node-types"), ("GET", "list-zones"), ("GET", "spark-versions"),
    )
}  # fmt: skip

TABLE = [(served, path) for served in routes().endpoints for path in (served.path, *served.also)]
named = pytest.mark.parametrize(("served", "path"), TABLE, ids=[f"{served.method} {path}" for served, path in TABLE])


class House:
    """The whole control plane without its sockets, with things of an admin and of a victim in it."""

    def __init__(self, parts, plane, edge, runner):
        import httpx

        self.parts, self.edge, self.runner, self.httpx = parts, edge, runner, httpx
        home = parts.ready.home
        self.victim, self.victims_token = self.member("victim@x.org")
        _, self.strangers_token = self.member("stranger@x.org")
        gone, self.disabled_token = self.member("disabled@x.org")
        with parts.store.transaction() as tx:
            registry.set_active(tx, gone, False)
            entitled = ["allow-cluster-create", "allow-instance-pool-create"]
            registry.grant_entitlements(tx, home.workspace_id, self.victim, entitled)
        self.cluster_id = self.ask("POST", "/api/2.1/clusters/create", self.victims_token, json=SPEC).json()["cluster_id"]
        pool = {"instance_pool_name": "victims", "node_type_id": "i3.xlarge"}
        made = self.ask("POST", "/api/2.0/instance-pools/create", self.victims_token, json=pool)
        self.pool_id = made.json()["instance_pool_id"]
        self.policy_id = default_id(home.workspace_id, "job-cluster")
        self.token_id = self.ask("POST", "/api/2.0/token/create", self.victims_token, json={}).json()["token_info"]["token_id"]
        self.ask("POST", "/api/2.0/secrets/scopes/create", self.victims_token, json={"scope": "s"})
        put = {"scope": "s", "key": "k", "string_value": SECRET}
        assert self.ask("POST", "/api/2.0/secrets/put", self.victims_token, json=put).status_code == 200
        made = self.ask("POST", f"{SCIM}/ServicePrincipals", json={"displayName": "robot"}).json()
        self.robot = made["id"]
        self.resource = f"accounts/{home.account_id}/servicePrincipals/{made['applicationId']}"
        secrets = f"/api/2.0/accounts/servicePrincipals/{self.robot}/credentials/secrets"
        self.robots_secret = self.ask("POST", secrets, json={}).json()["id"]
        with parts.store.transaction() as tx:
            tx.execute(
                insert(contexts).values(
                    context_id="1234", workspace_id=home.workspace_id, cluster_id=self.cluster_id, launch=1, node_id="n",
                    language="python", principal_id=self.victim, principal="victim@x.org", status="Running", reason="",
                    ending=False, created_at=0,
                )
            )  # fmt: skip
        #: For paths of permissions, by object type.
        mine = {"clusters": self.cluster_id, "instance-pools": self.pool_id, "cluster-policies": self.policy_id}
        self.objects = mine | self.in_the_victims_home()
        self.make_catalog()
        self.names = {
            "cluster_id": self.cluster_id, "clusterId": self.cluster_id, "contextId": "1234", "commandId": "1",
            "budget": {"display_name": "b"}, "start_month": "2026-01", "end_month": "2026-01",
            "account_id": home.account_id, "principal_id": str(self.victim),
            "service_principal_id": self.robot, "secret_id": self.robots_secret,
            "id": str(self.victim), "token_id": self.token_id, "scope": "s", "key": "k", "principal": "users",
            "permission": "MANAGE", "keys": "enableDcs", "command": "1", "language": "python", "string_value": "x",
            "path": "/Users/victim@x.org/f", "source_path": "/Users/victim@x.org/f", "destination_path": "/Users/victim@x.org/g",
            "session_token": "x", "start_part_number": 1, "count": 1, "handle": 1, "data": "",
            "file_path": "/Volumes/victims/s/v/f", "directory_path": "/Volumes/victims/s/v",
            "label": "office", "list_type": "ALLOW", "enabled": True, "ip_access_list_id": "x", "allow_missing": True,
            "field_mask": "acct_ip_acl_enable.value",
            "oidc_policy": {"issuer": "https://idp.example"}, "policy_id": "x", "until": "2100-01-01",
            "track": "track://victims/image:stable", "when": {"schedule": "0 3 * * *"},
            "canary": {"cluster": SPEC}, "rollout": {"canary": {"cluster": SPEC}}, "image": "victims/image:1",
            "user_id": str(self.victim), "token": {"comment": "x"}, "update_mask": "comment",
            "instance_pool_id": self.pool_id, "instance_pool_name": "mine",
            "libraries": [{"pypi": {"package": "six"}}],
            "table_type": "MANAGED", "data_source_format": "DELTA", "volume_type": "MANAGED", "connection_type": "MYSQL",
            "options": {}, "url": "s3://c", "credential_name": "k", "function_info": {"name": "g", **THERE}, **THERE,
            "workspace_id": str(home.workspace_id), "setting": {"acct_ip_acl_enable": {"value": True}},
            "metastore_info": {"name": "m"}, "metastore_assignment": {"default_catalog_name": "main"},
            "credentials_name": "mine", "aws_credentials": {"sts_role": {"role_arn": "arn:aws:iam::123456789012:role/r"}},
            "status": "DISABLED",
            "storage_configuration_name": "mine", "root_bucket_info": {"bucket_name": "mine"},
            "log_delivery_configuration": {"log_type": "AUDIT_LOGS", "output_format": "JSON", "credentials_id": "x",
                                           "storage_configuration_id": "x"},
            "userName": "new@x.org", "displayName": "new", **SPEC,
        }  # fmt: skip

    def make_catalog(self):
        """A catalog with something of every kind in it. In the account's metastore: its admin makes what the victim cannot."""
        for path, body in (
            ("/catalogs", {"name": "victims"}), ("/schemas", {"name": "s", "catalog_name": "victims"}),
            ("/tables", {"name": "t", "table_type": "MANAGED", "data_source_format": "DELTA", **THERE}),
            ("/volumes", {"name": "v", "volume_type": "MANAGED", **THERE}),
            ("/functions", {"function_info": {"name": "f", **THERE}}),
            ("/storage-credentials", {"name": "k", "aws_iam_role": {"role_arn": "r"}}),
            ("/external-locations", {"name": "l", "url": "s3://b/x", "credential_name": "k"}),
            ("/connections", {"name": "c", "connection_type": "MYSQL", "options": {"password": SECRET}}),
        ):  # fmt: skip
            assert self.ask("POST", UNITY + path, json=body).status_code == 200, path

    def in_the_victims_home(self):
        """Ids of a folder, a notebook and a file of the victim, by object type."""
        home = "/Users/victim@x.org"
        found = {}
        for kind, name in (("directories", "d"), ("notebooks", "n"), ("files", "t.txt")):
            if kind == "directories":
                made = self.ask("POST", "/api/2.0/workspace/mkdirs", self.victims_token, json={"path": f"{home}/{name}"})
            else:
                how = {"format": "SOURCE", "language": "PYTHON"} if kind == "notebooks" else {"format": "AUTO"}
                put = {"path": f"{home}/{name}", "content": "", **how}
                made = self.ask("POST", "/api/2.0/workspace/import", self.victims_token, json=put)
            assert made.status_code == 200, made.text
            there = self.ask("GET", f"/api/2.0/workspace/get-status?path={home}/{name}", self.victims_token)
            found[kind] = str(there.json()["object_id"])
        return found

    def member(self, name):
        home = self.parts.ready.home
        with self.parts.store.transaction() as tx:
            made = registry.create(tx, home.account_id, principals.USER, name)
            users = principals.by_name(tx, home.account_id, principals.USERS, [principals.GROUP], home.workspace_id)
            assert users is not None
            registry.add_member(tx, users.principal_id, made.principal_id)
            token, _ = credentials.issue(tx, self.parts.keys, credentials.PAT, made.principal_id, workspace_id=home.workspace_id)
        return made.principal_id, token

    def ask(self, method, path, token="", headers=None, **more):
        """`token` "": the bootstrap admin's; None: none."""
        credential = {} if token is None else {"Authorization": f"Bearer {token or self.parts.ready.token}"}
        headers = {**(headers or {}), **credential}

        async def run():
            transport = self.httpx.ASGITransport(self.edge)
            async with self.httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8470") as client:
                return await client.request(method, path, headers=headers, **more)

        return self.runner.run(run())

    def call(self, served, path, token, **more):
        """A request that is well formed and names the victim's things."""
        wants = served.arguments
        if wants.query is not None:
            more["params"] = self.document(wants.query, path)
            if served.action == "files.uploadInParts":
                more["params"]["action"] = "initiate-upload"
        if wants.stream:
            more["json"] = (
                {"path": self.names["path"], "content": "", "format": "AUTO"}
                if "/workspace/" in path
                else {"path": self.names["path"]}
            )
        elif wants.raw:
            more["json"] = {name: self.names[name] for name in ("clusterId", "contextId", "language", "command")}
        elif wants.body is not None:
            more["json"] = {} if wants.body_optional else self.document(wants.body, path)
        names = self.names_in(path)
        return self.ask(served.method, re.sub(r"\{(\w+)\}", lambda m: names.get(m[1], "x"), path), token, **more)

    def names_in(self, path):
        """What the parts of this path are called to name the victim's things."""
        if path.startswith(UNITY):
            here = IN_UNITY.get(path.removeprefix(UNITY).split("/{")[0].rpartition("/")[2], "victims")
            return self.names | {"name": here, "full_name": here, "securable_name": here, "securable_type": "catalog"}
        return self.names | {"object_id": self.objects.get(path.split("/")[4], "")} if "/permissions/" in path else self.names

    def document(self, shape, path=""):
        """A well-formed body or query of this shape that names the victim's things."""
        if not (isinstance(shape, type) and issubclass(shape, msgspec.Struct)):
            return {"enableDcs": "true"}
        names = self.names | ({"path": self.names["file_path"]} if "/fs/" in path else {})
        if "/access-control/" in path:
            rules = f"{self.resource}/ruleSets/default"
            names |= {"name": rules, "resource": self.resource, "rule_set": {"name": rules, "etag": "x", "grant_rules": []}}
        if "/policies/clusters" in path:
            names = names | {"policy_id": self.policy_id}
        if path.endswith("/metastores/{metastore_id}"):
            names = names | {"metastore_info": {"owner": "victim@x.org"}}
        likely = {"cluster_id", "clusterId", "keys", "string_value", *SPEC}
        return {
            field.encode_name: names.get(field.encode_name, "x")
            for field in msgspec.structs.fields(shape)
            if field.required or field.encode_name in likely
        }


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> typing.Iterator[House]:
    settings = load({"data": str(tmp_path_factory.mktemp("house")), "driver": "simulated"}, {})
    with opened(settings, lock=True) as parts, asyncio.Runner() as runner:
        plane = ControlPlane(parts)
        edge = Edge(
            plane.routes, parts.store, Authenticator(parts.store, parts.keys), plane.services, front=plane.front, threads=2
        )
        yield House(parts, plane, edge, runner)
        edge.close()
        plane.front.close()


@named
def test_nobody(house, served, path):
    assert served.public == ((served.method, path) in PUBLIC)
    if not served.public:
        assert house.call(served, path, None).status_code == 401


@named
def test_a_token_that_does_not_hold(house, served, path):
    if not served.public:
        assert house.call(served, path, "dapi" + "0" * 32).status_code == 403


@named
def test_a_disabled_user(house, served, path):
    if not served.public:
        answer = house.call(served, path, house.disabled_token)
        assert answer.status_code == 403
        assert "Invalid access token." in answer.text or served.method == "HEAD"


@named
def test_a_stranger(house, served, path):
    if not served.public:
        answer = house.call(served, path, house.strangers_token)
        assert answer.status_code == OPEN.get((served.method, path), 403), answer.text
        assert SECRET not in answer.text
        assert house.cluster_id not in answer.text or answer.status_code == 403


def test_the_victim_is_unharmed(house):
    assert house.ask("GET", f"/api/2.1/clusters/get?cluster_id={house.cluster_id}").json()["state"] == "PENDING"
    assert house.ask("GET", "/api/2.0/secrets/get?scope=s&key=k", house.victims_token).status_code == 200
    tokens = house.ask("GET", "/api/2.0/token/list", house.victims_token).json()["token_infos"]
    assert house.token_id in [token["token_id"] for token in tokens]


def test_no_exception_outlives_its_endpoint():
    there = {(served.method, path) for served, path in TABLE}
    assert PUBLIC | set(OPEN) <= there


def sample(known, catalogue, account_id):
    """A path that this endpoint of the platform answers. Where it begins with a resource's name, that name begins with a
    collection that another path of the same service shows."""
    path = known.path.replace("{account_id}", account_id)
    if re.match(r"/api/[\d.]+/\{", path):
        services = {name.rsplit(".", 1)[0] for name in known.names}
        collections = {
            other.path.split("/")[3]
            for other in catalogue.endpoints
            if {name.rsplit(".", 1)[0] for name in other.names} & services and "{" not in other.path.split("/")[3]
        }
        path = re.sub(r"\{[^}]*\}", f"{min(collections)}/x", path, count=1)
    return re.sub(r"(?<!/)\{[^}]*\}", "/x", re.sub(r"(?<=/)\{[^}]*\}", "x", path))


def test_all_that_is_not_served_says_so_by_name(house):
    table, catalogue = routes(), Catalogue()
    left = [(known, sample(known, catalogue, house.names["account_id"])) for known in catalogue.endpoints]
    left = [(known, path) for known, path in left if table.find(known.method, path) is None]
    assert len(left) > 800
    for known, path in left:
        refused = house.ask(known.method, path, json={})
        if known.method == "HEAD":
            assert (refused.status_code, refused.content) == (501, b"")
            continue
        assert (refused.status_code, refused.json()["error_code"]) == (501, "NOT_IMPLEMENTED"), (known, path, refused.text)
        # Some methods share a path but for the names of its parts: then one of them is named.
        says = rf"(workspace|account)(\.\w+){{2,}}.* \({known.method} \S+\) is not served by Boathouse yet\."
        assert re.fullmatch(says, refused.json()["message"]), (known, path, refused.text)
        assert house.ask(known.method, path, None).status_code == 401
