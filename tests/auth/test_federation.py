"""Token federation by the real SDK: tokens of an issuer on a real socket are exchanged, and only those that a policy names."""

import http.server
import json
import threading
import time

import pytest
from databricks.sdk import AccountClient, WorkspaceClient
from databricks.sdk.errors import BadRequest, InvalidParameterValue, NotFound, PermissionDenied, ResourceConflict
from databricks.sdk.service.oauth2 import FederationPolicy, OidcFederationPolicy
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey

from boathouse.auth.issuers import BadJwt, Issuers, key_set
from boathouse.outbound.documents import Documents, Unreachable

MODULES = (
    "boathouse.identity.me", "boathouse.identity.scim", "boathouse.auth.oauth", "boathouse.auth.discovery",
    "boathouse.auth.federation_policies",
)  # fmt: skip
AUDIENCE = "boathouse"


class Issuer:
    """An issuer of tokens: its keys, its well-known documents on a socket, and what it signs."""

    def __init__(self):
        self.keys = [RSAKey.generate_key(2048, parameters={"kid": "one", "alg": "RS256", "use": "sig"})]
        self.asked = []
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.asked.append(self.path)
                body = json.dumps(issuer.answer(self.path)).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"
        self.url = f"http://{self.address}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def answer(self, path):
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        return KeySet(self.keys).as_dict(private=False)

    def sign(self, key=None, header=None, **claims):
        key = key or self.keys[-1]
        now = int(time.time())
        document = {"iss": self.url, "aud": AUDIENCE, "sub": "ann@x.org", "iat": now, "exp": now + 300} | claims
        document = {name: value for name, value in document.items() if value is not None}
        header = {"alg": "RS256", "kid": key.kid} | (header or {})
        return jwt.encode(header, document, key, algorithms=[header["alg"]])

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def issuer():
    made = Issuer()
    yield made
    made.close()


@pytest.fixture
def host(served, services, issuer, clock):
    clock.now = int(time.time() * 1000)
    services.add(Issuers(Documents([issuer.address])))
    return served(*MODULES)


@pytest.fixture(autouse=True)
def no_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("DATABRICKS_HOST", "DATABRICKS_TOKEN", "DATABRICKS_CLIENT_ID", "DATABRICKS_OIDC_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def a(host, ready):
    return AccountClient(host=host, account_id=ready.home.account_id, token=ready.token)


@pytest.fixture
def ann(make_user):
    return make_user("ann@x.org")[0]


def policy(whose, **changes):
    return FederationPolicy(oidc_policy=OidcFederationPolicy(**{"issuer": whose.url, "audiences": [AUDIENCE], **changes}))


def exchange(host, token, monkeypatch, **more):
    """The SDK's env-oidc: it exchanges what it finds in DATABRICKS_OIDC_TOKEN and calls with what it gets."""
    monkeypatch.setenv("DATABRICKS_OIDC_TOKEN", token)
    return WorkspaceClient(host=host, auth_type="env-oidc", **more)


def test_a_user_comes_with_the_token_of_the_organisation(a, host, issuer, ann, monkeypatch):
    a.federation_policy.create(policy(issuer), policy_id="corp")
    w = exchange(host, issuer.sign(), monkeypatch)
    assert w.current_user.me().user_name == "ann@x.org"
    assert issuer.asked == ["/.well-known/openid-configuration", "/keys"]
    exchange(host, issuer.sign(), monkeypatch).current_user.me()
    assert len(issuer.asked) == 2  # the keys are kept


def test_a_workload_comes_as_its_service_principal(a, host, issuer, monkeypatch, ready):
    admin = WorkspaceClient(host=host, token=ready.token)
    robot = admin.service_principals.create(display_name="robot")
    subject = "repo:corp/lake:environment:prod"
    made = a.service_principal_federation_policy.create(int(robot.id), policy(issuer, subject=subject), policy_id="github")
    assert made.service_principal_id == int(robot.id)
    w = exchange(host, issuer.sign(sub=subject), monkeypatch, client_id=robot.application_id)
    assert w.current_user.me().display_name == "robot"
    with pytest.raises(ValueError, match="subject is not the one"):
        exchange(host, issuer.sign(sub="repo:corp/other"), monkeypatch, client_id=robot.application_id).current_user.me()
    with pytest.raises(ValueError, match="no federation policy names the issuer"):
        exchange(host, issuer.sign(sub=subject), monkeypatch).current_user.me()


def test_at_the_accounts_endpoint(a, host, issuer, ann, ready, monkeypatch):
    import httpx

    a.federation_policy.create(policy(issuer))
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token": issuer.sign(),
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "scope": "all-apis",
    }  # fmt: skip
    given = httpx.post(f"{host}/oidc/accounts/{ready.home.account_id}/v1/token", data=form)
    assert given.status_code == 200 and given.json()["issued_token_type"].endswith(":access_token")
    refused = httpx.post(f"{host}/oidc/accounts/other/v1/token", data=form)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    for changed in ({"subject_token_type": "urn:ietf:params:oauth:token-type:saml2"}, {"scope": "sql"}, {"audience": "x"},
                    {"requested_token_type": "urn:ietf:params:oauth:token-type:jwt"}):  # fmt: skip
        assert httpx.post(f"{host}/oidc/v1/token", data=form | changed).status_code == 400


WRONG = {
    "audience": {"aud": "somebody else"},
    "no audience": {"aud": None},
    "expired": {"exp": 1_000_000_000},
    "no end": {"exp": None},
    "not yet": {"nbf": int(time.time()) + 3600},
    "from the future": {"iat": int(time.time()) + 3600},
    "unknown user": {"sub": "bob@x.org"},
    "no user": {"sub": None},
    "group": {"sub": "admins"},
    "number": {"sub": 5},
    "other issuer": {"iss": "https://evil.example"},
}


@pytest.mark.parametrize("claims", WRONG.values(), ids=WRONG)
def test_what_is_not_believed(a, host, issuer, ann, monkeypatch, claims):
    a.federation_policy.create(policy(issuer))
    with pytest.raises(ValueError, match=r"invalid_grant: The token is not believed: "):
        exchange(host, issuer.sign(**claims), monkeypatch).current_user.me()


def test_signatures_that_do_not_count(a, host, issuer, ann, monkeypatch):
    import base64
    import hashlib
    import hmac

    a.federation_policy.create(policy(issuer))
    good = issuer.sign()
    other = RSAKey.generate_key(2048, parameters={"kid": "one"})
    public = issuer.keys[0].as_pem(private=False)
    headers = (b'{"alg":"none"}', b'{"alg":"HS256","kid":"one"}')
    none, shared = (base64.urlsafe_b64encode(header).decode().rstrip("=") for header in headers)
    shared = f"{shared}.{good.split('.')[1]}"
    mark = base64.urlsafe_b64encode(hmac.digest(public, shared.encode(), hashlib.sha256)).decode().rstrip("=")
    bad = [
        issuer.sign(other),  # another key with the same name
        f"{shared}.{mark}",  # the public key as if it were a shared secret
        f"{none}.{good.split('.')[1]}.",
        good[:-4] + "AAAA",
        good.rsplit(".", 1)[0],
        "x.y.z",
        "a" * 20_000,
    ]
    for token in bad:
        with pytest.raises(ValueError, match="invalid_grant"):
            exchange(host, token, monkeypatch).current_user.me()


def test_keys_that_change_are_fetched_again_but_not_for_every_token(services, issuer, host):
    now = [0.0]
    issuers = Issuers(Documents([issuer.address]), now=lambda: now[0])
    at = int(time.time())
    issuers.verify(issuer.sign(), issuer.url, None, [AUDIENCE], at)
    issuer.keys.append(ECKey.generate_key("P-256", parameters={"kid": "two"}))
    fresh = issuer.sign(header={"alg": "ES256"})
    now[0] = 31.0
    issuers.verify(fresh, issuer.url, None, [AUDIENCE], at)
    asked = len(issuer.asked)
    stranger = RSAKey.generate_key(2048, parameters={"kid": "three"})
    for _ in range(3):
        with pytest.raises(BadJwt):
            issuers.verify(issuer.sign(stranger), issuer.url, None, [AUDIENCE], at)
    assert len(issuer.asked) == asked
    issuer.close()
    now[0] = 4000.0
    issuers.verify(fresh, issuer.url, None, [AUDIENCE], at)  # its server is away: what it said still counts


def test_keys_in_the_policy_and_another_claim_for_the_user(a, host, issuer, ann, monkeypatch):
    key = ECKey.generate_key("P-256", parameters={"kid": "mine"})
    keys = json.dumps(KeySet([key]).as_dict(private=False))
    a.federation_policy.create(policy(issuer, jwks_json=keys, subject_claim="preferred_username"))
    token = issuer.sign(key, {"alg": "ES256"}, sub="0815", preferred_username="Ann@X.org")
    assert exchange(host, token, monkeypatch).current_user.me().user_name == "ann@x.org"
    assert issuer.asked == []


def test_without_audiences_it_is_the_account(a, host, issuer, ann, ready, monkeypatch):
    a.federation_policy.create(policy(issuer, audiences=None))
    assert exchange(host, issuer.sign(aud=[ready.home.account_id, "x"]), monkeypatch).current_user.me()
    with pytest.raises(ValueError, match="invalid_grant"):
        exchange(host, issuer.sign(), monkeypatch).current_user.me()


def test_a_policy_that_ends_or_changes_ends_what_it_gave(a, host, issuer, ann, monkeypatch):
    made = a.federation_policy.create(policy(issuer), policy_id="corp")
    w = exchange(host, issuer.sign(), monkeypatch)
    w.current_user.me()
    changed = a.federation_policy.update("corp", policy(issuer, audiences=["other"]), update_mask="oidc_policy.audiences")
    assert (changed.uid, changed.oidc_policy.audiences, changed.oidc_policy.issuer) == (made.uid, ["other"], issuer.url)
    with pytest.raises(PermissionDenied, match=r"Invalid access token\."):
        w.current_user.me()
    w = exchange(host, issuer.sign(aud="other"), monkeypatch)
    w.current_user.me()
    a.federation_policy.delete("corp")
    with pytest.raises(PermissionDenied, match=r"Invalid access token\."):
        w.current_user.me()
    with pytest.raises(NotFound):
        a.federation_policy.get("corp")


def test_who_ends_an_own_token_ends_nobody_elses(a, host, issuer, ann, make_user, monkeypatch):
    import httpx

    make_user("bob@x.org")
    a.federation_policy.create(policy(issuer))
    kept = exchange(host, issuer.sign(), monkeypatch).config.oauth_token().access_token
    ended = exchange(host, issuer.sign(sub="bob@x.org"), monkeypatch).config.oauth_token().access_token
    assert httpx.post(f"{host}/oidc/v1/revoke", data={"token": ended}).status_code == 200
    me = f"{host}/api/2.0/preview/scim/v2/Me"
    assert httpx.get(me, headers={"Authorization": f"Bearer {ended}"}).status_code == 403
    assert httpx.get(me, headers={"Authorization": f"Bearer {kept}"}).status_code == 200


def test_the_policies_themselves(a, host, issuer, ready):
    names = ["a", "b", "c"]
    for name in names:
        made = a.federation_policy.create(policy(issuer), policy_id=name)
        assert made.name == f"accounts/{ready.home.account_id}/federationPolicies/{name}" and made.create_time.endswith("Z")
    assert [found.policy_id for found in a.federation_policy.list(page_size=2)] == names
    with pytest.raises(ResourceConflict):
        a.federation_policy.create(policy(issuer), policy_id="a")
    described = a.federation_policy.update("a", FederationPolicy(description="of the corporation"))
    assert described.description == "of the corporation" and described.oidc_policy.audiences == [AUDIENCE]
    assert a.federation_policy.update("a", described, update_mask="*").description == "of the corporation"
    for number in range(17):
        a.federation_policy.create(policy(issuer), policy_id=f"more-{number}")
    with pytest.raises(BadRequest, match="the limit"):
        a.federation_policy.create(policy(issuer))


def test_policies_that_may_not_be(a, host, issuer):
    private = json.dumps(KeySet(issuer.keys).as_dict(private=True))
    shared = json.dumps({"keys": [OctKey.generate_key(256).as_dict()]})
    wrong = {
        "issuer": ["http://idp.example", "", "ftp://x", "https://user@idp.example"],
        "jwks_json": ["{}", "nonsense", private, shared],
        "jwks_uri": ["http://169.254.169.254/keys"],
        "audiences": [[""], ["x"] * 51],
        "subject": ["ann@x.org"],
    }
    for field, values in wrong.items():
        for value in values:
            with pytest.raises(InvalidParameterValue, match=rf"oidc_policy\.{field}"):
                a.federation_policy.create(policy(issuer, **{field: value}))
    with pytest.raises(InvalidParameterValue, match="policy_id"):
        a.federation_policy.create(policy(issuer), policy_id="Not This")
    with pytest.raises(InvalidParameterValue, match="oidc_policy"):
        a.federation_policy.create(FederationPolicy())
    a.federation_policy.create(policy(issuer), policy_id="a")
    with pytest.raises(InvalidParameterValue, match="update_mask"):
        a.federation_policy.update("a", policy(issuer), update_mask="oidc_policy.color")
    with pytest.raises(InvalidParameterValue, match="'name'"):
        a.federation_policy.update("a", FederationPolicy(name="accounts/x"))
    with pytest.raises(NotFound, match="Service principal"):
        a.service_principal_federation_policy.create(1, policy(issuer, subject="s"))


def test_policies_are_for_account_admins(host, issuer, ready, make_user):
    _, token = make_user("bob@x.org", groups=["admins"])
    bob = AccountClient(host=host, account_id=ready.home.account_id, token=token)
    with pytest.raises(PermissionDenied):
        bob.federation_policy.create(policy(issuer))
    with pytest.raises(PermissionDenied):
        list(bob.federation_policy.list())


@pytest.mark.parametrize("url", ["http://169.254.169.254/x", "https://127.0.0.1/x", "http://localhost/x", "https://[::1]/x"])
def test_documents_are_not_fetched_from_inside(url):
    with pytest.raises(Unreachable):
        Documents().get(url)


def test_a_metadata_address_stays_closed_even_when_a_setting_names_it():
    with pytest.raises(Unreachable):
        Documents(["169.254.169.254"]).get("http://169.254.169.254/latest")


def test_an_issuer_that_describes_another(issuer):
    issuer.answer = lambda path: {"issuer": "https://other.example", "jwks_uri": f"{issuer.url}/keys"}
    with pytest.raises(BadJwt, match="another issuer"):
        Issuers(Documents([issuer.address])).metadata(issuer.url)


def test_a_key_set_of_unknown_kinds_only():
    with pytest.raises(BadJwt):
        key_set(b'{"keys":[{"kty":"new"}]}')
