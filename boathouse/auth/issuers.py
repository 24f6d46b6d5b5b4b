"""Tokens of other issuers (JWT, RFC 7519) and the keys that they are checked with.

Keys come from the issuer's well-known document (OpenID Connect Discovery) and are kept for an hour; a token with a key that is
not among them has them fetched again, at most twice a minute for an issuer. Only signatures of public keys count: a shared secret
or `none` never does.
"""

import base64
import binascii
import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec

from boathouse.outbound.documents import Documents, Unreachable

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]

#: Characters of a token; seconds that clocks may differ by; seconds that keys are kept, between two fetches, and after one that
#: failed: callers do not wait one after the other for a server that is away.
LONGEST, LEEWAY, KEPT, PAUSE, FAILED = 16_384, 60, 3600.0, 30.0, 5.0


class BadJwt(Exception):
    """The token does not hold; the message says what is wrong with it."""


class Issuers:
    """What is known of issuers, in memory. Safe to use from many threads; not inside a transaction: it may ask a server."""

    def __init__(self, documents: Documents, now: Callable[[], float] = time.monotonic) -> None:
        self.documents, self._now = documents, now
        self._guard = threading.Lock()
        self._kept: dict[str, tuple[float, Any]] = {}
        self._asked: dict[str, float] = {}
        self._failed: dict[str, tuple[float, str]] = {}

    def metadata(self, issuer: str) -> dict[str, Any]:
        """The issuer's own description. Raises BadJwt when there is none, or when it is another issuer's."""
        return self._keep(f"{issuer.rstrip('/')}/.well-known/openid-configuration", False, lambda found: _metadata(found, issuer))

    def keys(self, issuer: str, uri: str = "", again: bool = False) -> Any:
        """The key set of an issuer, or the one at `uri`. `again`: it does not have the key that is looked for."""
        return self._keep(uri or str(self.metadata(issuer)["jwks_uri"]), again, key_set)

    def verify(self, token: str, issuer: str, keys: Any, audiences: list[str], at: int) -> dict[str, Any]:
        """The claims of a token of `issuer` for one of `audiences`, at epoch second `at`. `keys`: a key set, or None for the
        issuer's own. Raises BadJwt."""
        from joserfc import jwt
        from joserfc.errors import InvalidKeyIdError, JoseError

        if len(token) > LONGEST:
            raise BadJwt(f"the token has more than {LONGEST} characters")
        try:
            try:
                decoded = jwt.decode(token, keys if keys is not None else self.keys(issuer), algorithms=ALGORITHMS)
            except InvalidKeyIdError:
                if keys is not None:
                    raise
                decoded = jwt.decode(token, self.keys(issuer, again=True), algorithms=ALGORITHMS)
            jwt.JWTClaimsRegistry(
                now=at, leeway=LEEWAY, iss={"essential": True, "value": issuer}, aud={"essential": True, "values": audiences},
                exp={"essential": True},
            ).validate(decoded.claims)  # fmt: skip
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise BadJwt(_words(error)) from None
        return decoded.claims

    def _keep(self, url: str, again: bool, read: Callable[[bytes], Any]) -> Any:
        now = self._now()
        with self._guard:
            at, kept = self._kept.get(url, (0.0, None))
            fresh = kept is not None and now - at < KEPT
            if fresh and (not again or now - self._asked.get(url, 0.0) < PAUSE):
                return kept
            failed_at, why = self._failed.get(url, (0.0, ""))
            if why and kept is None and now - failed_at < FAILED:
                raise BadJwt(why)
            if len(self._kept) > 1000:  # policies are few; a thousand addresses are no use of this
                self._kept.clear()
            self._asked[url] = now
        try:
            found = read(self.documents.get(url))
        except Unreachable as error:
            if kept is not None:  # its server is away for a moment: what it said an hour ago still counts
                return kept
            self._failed[url] = now, str(error)
            raise BadJwt(str(error)) from None
        with self._guard:
            self._kept[url] = now, found
        return found


def claims_unverified(token: str) -> dict[str, Any]:
    """What a token says of itself, to find out whose it would be; nothing may be believed of it. Raises BadJwt."""
    parts = token.split(".")
    if len(parts) != 3 or len(token) > LONGEST:
        raise BadJwt("it is not a signed JWT")
    try:
        claims = msgspec.json.decode(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        raise BadJwt("its claims are not readable") from None
    if not isinstance(claims, dict):
        raise BadJwt("its claims are not an object")
    return claims


def key_set(document: bytes | str) -> Any:
    """The public keys of a JWKS. Raises BadJwt for one that is none, or that holds secrets."""
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet

    try:
        found = KeySet.import_key_set(msgspec.json.decode(document))
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BadJwt(f"the key set is not readable: {_words(error)}") from None
    for key in found.keys:
        if key.key_type == "oct" or key.is_private:
            raise BadJwt("the key set holds a secret key: only public ones may be in it")
    return found


def _metadata(document: bytes, issuer: str) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(document)
    except (ValueError, RecursionError):
        raise BadJwt(f"{issuer} does not describe itself in JSON") from None
    if not isinstance(found, dict) or found.get("issuer") != issuer or not isinstance(found.get("jwks_uri"), str):
        raise BadJwt(f"what {issuer} says of itself is another issuer's, or names no keys")
    return found


def _words(error: Exception) -> str:
    text = getattr(error, "description", "") or str(error) or type(error).__name__
    return str(text)[:200].rstrip(".")
