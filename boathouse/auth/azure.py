"""Tokens of a Microsoft Entra tenant, sent as they are (reference api E): what `azure-client-secret` and `azure-cli` of SDKs do.

A service principal is the one whose application id here is its application id there; a user is the one with the same name. The
token says who it is and nothing else: the management token and the resource id that SDKs send along give no right here.
"""

from urllib.parse import urlencode

import msgspec

from boathouse.auth.issuers import LEEWAY, BadJwt, Issuers, claims_unverified
from boathouse.edge import Ctx, Raw, endpoint
from boathouse.edge.errors import no_such_endpoint
from boathouse.identity import principals

#: The application id of Azure Databricks, which clients ask tokens for.
DATABRICKS = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d"


class Bearer(msgspec.Struct, frozen=True):
    """Who a token stands for, and how long (epoch milliseconds)."""

    name: str
    kind: str
    expires_at: int


class AzureTenant(msgspec.Struct, frozen=True):
    """The tenant that settings name; `issuer` stands in for Microsoft's own two."""

    issuers: Issuers
    tenant: str
    login_endpoint: str
    issuer: str = ""

    def _known(self) -> tuple[str, ...]:
        if self.issuer:
            return (self.issuer,)
        return f"https://sts.windows.net/{self.tenant}/", f"{self.login_endpoint.rstrip('/')}/{self.tenant}/v2.0"

    def bearer(self, token: str, now: int) -> Bearer | None:
        """Who sends this token; None when it is none of the tenant's for us. `now` in epoch milliseconds. May ask the issuer."""
        try:
            issuer = claims_unverified(token).get("iss")
            if issuer not in self._known():
                return None
            claims = self.issuers.verify(token, str(issuer), None, [DATABRICKS], now // 1000)
        except BadJwt:
            return None
        if claims.get("tid") != self.tenant:
            return None
        delegated = "scp" in claims
        names = ("upn", "unique_name", "preferred_username") if delegated else ("appid", "azp")
        name = next((claims[name] for name in names if isinstance(claims.get(name), str) and claims[name]), None)
        if name is None:
            return None
        kind = principals.USER if delegated else principals.SERVICE_PRINCIPAL
        return Bearer(name, kind, int(claims["exp"] + LEEWAY) * 1000)


@endpoint("GET", "/aad/auth", action="azure.tenant", public=True)
def tenant(ctx: Ctx) -> Raw:
    """Where the tenant's users log in: clients read the tenant's id from this address."""
    found = ctx.services.find(AzureTenant)
    if found is None:
        raise no_such_endpoint("GET", "/aad/auth")
    asked = urlencode({"client_id": DATABRICKS, "response_type": "id_token"})
    to = f"{found.login_endpoint.rstrip('/')}/{found.tenant}/oauth2/authorize?{asked}"
    return Raw(status=302, headers={"Location": to, "Cache-Control": "no-store"})
