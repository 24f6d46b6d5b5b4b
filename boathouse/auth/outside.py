"""Log-in by an OpenID Connect provider of the organisation: authorization code with PKCE, state and nonce (OIDC Core 3.1).

What must come back with the browser (state, nonce, verifier, where to go on) travels in a cookie that we sign, so nothing is
stored for log-ins that nobody finishes. The provider says who somebody is, never what they may do: users are made by SCIM or by
hand.
"""

import base64
import binascii
import hmac
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from boathouse.auth.grants import challenge_of
from boathouse.auth.issuers import BadJwt, Issuers
from boathouse.auth.keys import Keys
from boathouse.outbound.documents import Unreachable

#: The cookie, and how long a log-in at the provider may take, in milliseconds.
COOKIE, LASTS_MS = "boathouse_outside", 600_000


class Refused(Exception):
    """The provider's answer lets nobody in; the message is for the user."""


class Errand(msgspec.Struct):
    """One browser on its way to the provider and back. `until` in epoch milliseconds."""

    state: str
    nonce: str
    verifier: str
    target: str
    until: int


class OutsideLogin(msgspec.Struct, frozen=True):
    """The provider that settings name. `user_claim`: the claim that holds our user name."""

    issuers: Issuers
    issuer: str
    client_id: str
    client_secret: str
    name: str
    user_claim: str = "email"

    def begin(self, keys: Keys, redirect_uri: str, target: str, now: int) -> tuple[str, str]:
        """The provider's page to send the browser to, and the value of the cookie. Raises BadJwt when the provider is away."""
        to = self._address("authorization_endpoint")
        errand = Errand(secrets.token_urlsafe(24), secrets.token_urlsafe(24), secrets.token_urlsafe(32), target, now + LASTS_MS)
        asked = {
            "response_type": "code", "client_id": self.client_id, "redirect_uri": redirect_uri, "scope": "openid email profile",
            "state": errand.state, "nonce": errand.nonce, "code_challenge": challenge_of(errand.verifier),
            "code_challenge_method": "S256",
        }  # fmt: skip
        return f"{to}{'&' if '?' in to else '?'}{urlencode(asked)}", _sealed(keys, errand)

    def finish(self, keys: Keys, cookie: str, answer: Mapping[str, str], redirect_uri: str, now: int) -> tuple[str, str]:
        """The user's name and where to go on. Raises Refused. Asks the provider: not inside a transaction."""
        errand = _opened(keys, cookie)
        if errand is None or now >= errand.until or not hmac.compare_digest(errand.state.encode(), answer["state"].encode()):
            raise Refused("This log-in was not begun in this browser, or it took too long. Begin again.")
        if answer.get("error"):
            raise Refused(f"{self.name} refused: {answer.get('error_description') or answer['error']}"[:300])
        try:
            claims = self._claims(answer.get("code", ""), errand, redirect_uri, now)
        except (BadJwt, Unreachable) as error:
            raise Refused(f"The answer of {self.name} cannot be used: {error}.") from None
        name = claims.get(self.user_claim)
        if not isinstance(name, str) or not name:
            raise Refused(f"{self.name} does not say who you are: there is no claim '{self.user_claim}'.")
        if self.user_claim == "email" and claims.get("email_verified") is False:
            raise Refused(f"{self.name} has not verified that {name} is your address.")
        return name, errand.target

    def _claims(self, code: str, errand: Errand, redirect_uri: str, now: int) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri, "code_verifier": errand.verifier,
        }  # fmt: skip
        headers = {}
        if self.client_secret:
            pair = f"{quote(self.client_id, safe='')}:{quote(self.client_secret, safe='')}"
            headers["authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        else:
            form["client_id"] = self.client_id
        given = _object(self.issuers.documents.post(self._address("token_endpoint"), form, headers))
        token = given.get("id_token")
        if not isinstance(token, str):
            raise BadJwt("it gives no ID token")
        claims = self.issuers.verify(token, self.issuer, None, [self.client_id], now // 1000)
        if not isinstance(claims.get("nonce"), str) or not hmac.compare_digest(claims["nonce"].encode(), errand.nonce.encode()):
            raise BadJwt("its ID token is for another log-in")
        if isinstance(claims.get("aud"), list) and len(claims["aud"]) > 1 and claims.get("azp") != self.client_id:
            raise BadJwt("its ID token was given to another application")
        return claims

    def _address(self, name: str) -> str:
        found = self.issuers.metadata(self.issuer).get(name)
        why = self.issuers.documents.permitted(found) if isinstance(found, str) else "is missing"
        if why:
            raise BadJwt(f"its {name} {why}")
        return str(found)


def _object(document: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(document)
    except (ValueError, RecursionError):
        raise BadJwt("it does not answer in JSON") from None
    if not isinstance(found, dict):
        raise BadJwt("it does not answer with an object")
    return found


def _sealed(keys: Keys, errand: Errand) -> str:
    text = base64.urlsafe_b64encode(msgspec.json.encode(errand)).decode().rstrip("=")
    return f"{text}.{keys.hmac('outside log-in', text)}"


def _opened(keys: Keys, cookie: str) -> Errand | None:
    text, _, mark = cookie.partition(".")
    if not hmac.compare_digest(keys.hmac("outside log-in", text).encode(), mark.encode(errors="replace")):
        return None
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=Errand)
    except (msgspec.DecodeError, binascii.Error, ValueError):
        return None
