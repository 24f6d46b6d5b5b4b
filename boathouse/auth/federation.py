"""The exchange of another issuer's token for one of ours (RFC 8693), by federation policies.

Without a client id the token says who its user is (policies of the account); with one, the application id of a service principal,
it must be the workload that a policy of that service principal names.
"""

from typing import Any

import msgspec

from boathouse.auth import federation_policies
from boathouse.auth.issuers import BadJwt, Issuers, claims_unverified, key_set
from boathouse.edge import Ctx
from boathouse.identity import principals
from boathouse.store import Reader
from boathouse.wire.federation import OidcPolicy

JWT = ("urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token")
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


class Federated(msgspec.Struct, frozen=True):
    """Who a token stands for, and the policy that says so."""

    principal: principals.Principal
    uid: str
    policy: OidcPolicy

    def holds(self, reader: Reader) -> bool:
        """Whether principal and policy are still as they were."""
        now = principals.by_id(reader, self.principal.principal_id)
        return now is not None and now.active and federation_policies.holds(reader, self.uid, self.policy)


def believed(ctx: Ctx, token: str, account_id: str, client_id: str) -> Federated:
    """Whom the policies of the account take the token for. Raises BadJwt. May ask the issuer: not inside a transaction."""
    issuer = claims_unverified(token).get("iss")
    if not isinstance(issuer, str):
        raise BadJwt("it names no issuer")
    whose = federation_policies.ACCOUNT
    client = None
    with ctx.read() as reader:
        if client_id:
            client = principals.by_name(reader, account_id, client_id, [principals.SERVICE_PRINCIPAL])
            if client is None or not client.active:
                raise BadJwt(f"there is no service principal with application id {client_id[:100]}")
            whose = client.principal_id
        candidates = federation_policies.of_issuer(reader, account_id, issuer, whose)
    if not candidates:
        raise BadJwt(f"no federation policy names the issuer {issuer[:200]}")
    problems = []
    for uid, policy in candidates:
        try:
            claims = _claims(ctx, token, policy, account_id)
            return Federated(client or _user(ctx, claims, policy, account_id), uid, policy)
        except BadJwt as error:
            problems.append(str(error))
    raise BadJwt(problems[-1])


def _claims(ctx: Ctx, token: str, policy: OidcPolicy, account_id: str) -> dict[str, Any]:
    issuers = ctx.service(Issuers)
    issuer = policy.issuer or ""
    keys = None
    if policy.jwks_json is not None:
        keys = key_set(policy.jwks_json)
    elif policy.jwks_uri is not None:
        keys = issuers.keys(issuer, policy.jwks_uri)
    claims = issuers.verify(token, issuer, keys, policy.audiences or [account_id], ctx.store.clock() // 1000)
    if policy.subject is not None and _subject(claims, policy) != policy.subject:
        raise BadJwt("its subject is not the one that the policy names")
    return claims


def _subject(claims: dict[str, Any], policy: OidcPolicy) -> str:
    name = policy.subject_claim or "sub"
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise BadJwt(f"it has no claim '{name[:100]}' that is a text")
    return value


def _user(ctx: Ctx, claims: dict[str, Any], policy: OidcPolicy, account_id: str) -> principals.Principal:
    name = _subject(claims, policy)
    with ctx.read() as reader:
        found = principals.by_name(reader, account_id, name)
    if found is None or not found.active:
        raise BadJwt(f"'{name[:100]}' is no active user or service principal of the account")
    return found
