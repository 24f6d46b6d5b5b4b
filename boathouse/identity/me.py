"""`GET Me`: the first call of every tool; its answer's header tells the workspace's id (reference api 0.1)."""

import msgspec

from boathouse.edge import Ctx, Raw, endpoint
from boathouse.identity import principals, scim_documents
from boathouse.identity.principals import SERVICE_PRINCIPAL


@endpoint("GET", f"{scim_documents.ROOT}/Me", action="scim.me", error_shape=scim_documents.error_shape)
def me(ctx: Ctx) -> Raw:
    """The caller, with all groups, in the workspace of the call."""
    with ctx.read() as reader:
        principal = principals.by_id(reader, ctx.caller.principal_id)
        if principal is None:
            raise scim_documents.ScimError(404, "The caller was removed.")
        body = scim_documents.document(reader, ctx.workspace_id, principal)
    if principal.kind == SERVICE_PRINCIPAL:
        body["userName"] = principal.name
    return Raw(msgspec.json.encode(body), headers={"X-Databricks-Org-Id": str(ctx.workspace_id)})
