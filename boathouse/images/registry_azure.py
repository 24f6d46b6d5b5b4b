"""How a service principal logs in to an Azure container registry: by Microsoft Entra, in three exchanges (OAuth 2.0).

Entra gives an access token for the client's id and secret; the registry exchanges it for a refresh token of its own, and that one
for a token of one repository. The secret goes to Entra alone, never to the registry. Without a tenant in the settings the
registry's own Basic log-in is used, which `registry_auth.py` knows. Source: Azure/acr, docs/AAD-OAuth.md.
"""

import json
import re
from collections.abc import Mapping
from urllib.parse import urlencode, urljoin

from boathouse.images.failures import PullFailure, quoted
from boathouse.images.registry_http import SMALL_LIMIT, Connection, RegistrySettings

#: The user name that goes with a refresh token as the password (`az acr login --expose-token`).
TOKEN_USER = "00000000-0000-0000-0000-000000000000"
SCOPE = "https://containerregistry.azure.net/.default"
_CLIENT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")
_FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}


class Rejected(Exception):
    """Entra or the registry does not take the credentials. `said`: its error, bounded."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status, self.said = status, said


def exchanged(settings: RegistrySettings, username: str) -> bool:
    """Whether a user name is to be exchanged for tokens: a refresh token always, a client's id where a tenant is known."""
    return username == TOKEN_USER or (settings.azure is not None and bool(_CLIENT_ID.fullmatch(username)))


def token(connection: Connection, realm: str, query: Mapping[str, str], username: str, password: str) -> str:
    """The registry's token for `query` (service and scope). `realm`: its token service, known to belong to it.

    Raises Rejected for credentials that are not taken, PullFailure for everything else.
    """
    service = {"service": query.get("service", "")}
    refresh = password if username == TOKEN_USER else _refresh_token(connection, realm, service, username, password)
    asked = {"grant_type": "refresh_token", **query, "refresh_token": refresh}
    return _post(connection, realm, asked, "access_token", (password, refresh))


def _refresh_token(connection: Connection, realm: str, service: Mapping[str, str], username: str, password: str) -> str:
    azure = connection.settings.azure
    assert azure is not None, "only with a tenant"
    entra = f"{azure.endpoint.rstrip('/')}/{azure.tenant}/oauth2/v2.0/token"
    asked = {"grant_type": "client_credentials", "client_id": username, "client_secret": password, "scope": SCOPE}
    access = _post(connection, entra, asked, "access_token", (password,))
    exchange = {"grant_type": "access_token", **service, "tenant": azure.tenant, "access_token": access}
    return _post(connection, urljoin(realm, "/oauth2/exchange"), exchange, "refresh_token", (password, access))


def _post(connection: Connection, url: str, fields: Mapping[str, str], wanted: str, secrets: tuple[str, ...]) -> str:
    response = connection.send("POST", url, _FORM, urlencode(fields).encode(), SMALL_LIMIT)
    where = url.partition("://")[2].partition("/")[0]
    if response.status in (400, 401, 403):
        raise Rejected(401 if response.status == 400 else response.status, _said(response.body, secrets))
    if response.status != 200:
        raise PullFailure(f"The token service at {where} answers {response.status}.", "Try again, or ask its operator.")
    found = token_in(response.body, wanted)
    if not found:
        raise PullFailure(f"The token service at {where} sends no usable token.")
    return found


def token_in(body: bytes, *names: str) -> str:
    """The token under the first of these names that an answer has, fit for a header; an empty text where there is none."""
    try:
        document = json.loads(body)
        found = next((document[name] for name in names if document.get(name)), None)
    except (ValueError, AttributeError, RecursionError):
        return ""
    return found if isinstance(found, str) and _TOKEN.fullmatch(found) else ""


def _said(body: bytes, secrets: tuple[str, ...]) -> str:
    """What an OAuth error says (RFC 6749, 5.2), or a registry's own, without our secrets."""
    try:
        document = json.loads(body)
        words = document.get("error_description") or document.get("error") or document["errors"][0]["message"]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return ""
    return quoted(words, secrets)
