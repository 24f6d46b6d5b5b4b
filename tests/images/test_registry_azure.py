"""Azure registries opened by a service principal, against a fake of Entra's and the registry's protocol."""

import json
from urllib.parse import parse_qs

import pytest

from boathouse.images import references, registry
from boathouse.images.failures import PullFailure, Refused
from boathouse.images.registry_auth import Login
from boathouse.images.registry_azure import SCOPE, TOKEN_USER
from boathouse.images.registry_http import AzureLogin, RegistrySettings
from tests.images.conftest import Answer, Blobs, FakeRegistry

HOST = "team.azurecr.io"
CLIENT, SECRET, TENANT = "0f8fad5b-d9cb-469f-a165-70867728950e", "p~ss w0rd&=%", "7c9e6679-7425-40de-944b-e07fc1f90ae7"
IMAGE = references.parse(f"{HOST}/team/app:1")


def settings(fake: FakeRegistry, entra: FakeRegistry | None) -> RegistrySettings:
    """`team.azurecr.io` is the fake; Entra is where the operator says."""
    azure = AzureLogin(TENANT, f"http://{entra.host}") if entra else None
    return RegistrySettings(plain_http_hosts=(fake.host,), endpoints={HOST: fake.host}, azure=azure)


@pytest.fixture
def acr(fake: FakeRegistry, other: FakeRegistry) -> FakeRegistry:
    """The registry; `other` is Entra. Each takes exactly what the exchange before it gave."""
    fake.serve(Blobs())
    challenge = f'Bearer realm="http://{fake.host}/oauth2/token",service="{HOST}",scope="repository:team/app:pull"'
    fake.lock(lambda given: given == "Bearer of-the-repository", challenge)

    def form(fields: dict[str, str]) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(fields["body"], strict_parsing=True).items()}

    def entra(headers: dict[str, str]) -> Answer:
        asked = form(headers)
        if asked != {"grant_type": "client_credentials", "client_id": CLIENT, "client_secret": SECRET, "scope": SCOPE}:
            said = {"error": "invalid_client", "error_description": f"AADSTS7000215: wrong secret {asked['client_secret']}"}
            return Answer(401, json.dumps(said).encode())
        return Answer(body=json.dumps({"token_type": "Bearer", "expires_in": 3599, "access_token": "of-entra"}).encode())

    def exchange(headers: dict[str, str]) -> Answer:
        wanted = {"grant_type": "access_token", "service": HOST, "tenant": TENANT, "access_token": "of-entra"}
        return Answer(body=b'{"refresh_token": "of-the-registry"}') if form(headers) == wanted else Answer(401)

    def token(headers: dict[str, str]) -> Answer:
        asked = form(headers) if headers.get("body") else {}
        wanted = {"grant_type": "refresh_token", "service": HOST, "scope": "repository:team/app:pull"}
        if asked == {**wanted, "refresh_token": "of-the-registry"}:
            return Answer(body=b'{"access_token": "of-the-repository"}')
        if headers.get("authorization") == Login(CLIENT, SECRET).header:  # its own log-in, without Entra
            return Answer(body=b'{"access_token": "of-the-repository"}')
        return Answer(401, b'{"errors": [{"code": "UNAUTHORIZED", "message": "no"}]}')

    other.answers[f"/{TENANT}/oauth2/v2.0/token"] = entra
    fake.answers |= {"/oauth2/exchange": exchange, "/oauth2/token": token}
    return fake


def test_a_service_principals_secret_goes_to_entra_alone(acr: FakeRegistry, other: FakeRegistry) -> None:
    found = registry.resolve(IMAGE, Login(CLIENT, SECRET), settings(acr, other))
    assert found.pinned == f"{HOST}/team/app@{found.digest}"
    assert [path for path, _ in other.seen] == [f"/{TENANT}/oauth2/v2.0/token"]
    told = json.dumps(acr.seen)
    assert "p~ss" not in told and "p%7Ess" not in told and Login(CLIENT, SECRET).header not in told


def test_a_refresh_token_is_taken_as_the_password(acr: FakeRegistry, other: FakeRegistry) -> None:
    registry.resolve(IMAGE, Login(TOKEN_USER, "of-the-registry"), settings(acr, other))
    assert other.seen == []


def test_without_a_tenant_the_registry_is_asked_as_others_are(acr: FakeRegistry, other: FakeRegistry) -> None:
    registry.resolve(IMAGE, Login(CLIENT, SECRET), settings(acr, None))
    assert other.seen == []


def test_a_wrong_secret_is_explained_and_not_repeated(acr: FakeRegistry, other: FakeRegistry) -> None:
    with pytest.raises(Refused) as failed:
        registry.resolve(IMAGE, Login(CLIENT, "wr0ng-secret"), settings(acr, other))
    assert "AADSTS7000215" in failed.value.text and "AcrPull" in failed.value.text
    assert "wr0ng-secret" not in failed.value.text


def test_what_entra_gives_must_be_a_token(acr: FakeRegistry, other: FakeRegistry) -> None:
    for body in (b"{}", b"[1]", b'{"access_token": "a\\nb"}'):
        other.answers[f"/{TENANT}/oauth2/v2.0/token"] = Answer(body=body)
        with pytest.raises(PullFailure, match="no usable token"):
            registry.resolve(IMAGE, Login(CLIENT, SECRET), settings(acr, other))
    other.answers[f"/{TENANT}/oauth2/v2.0/token"] = Answer(503)
    with pytest.raises(PullFailure, match="answers 503"):
        registry.resolve(IMAGE, Login(CLIENT, SECRET), settings(acr, other))
