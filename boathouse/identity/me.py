"""`GET Me`: the first call of every tool; its answer's header tells the workspace's id (reference api 0.1)."""

from boathouse.edge import Ctx, Raw, endpoint
from boathouse.identity import principals, scim_documents
from boathouse.identity.principals import SERVICE_PRINCIPAL
from boathouse.identity.scim import scope_of


@endpoint("GET", f"{scim_documents.ROOT}/Me", action="scim.me", error_shape=scim_documents.error_shape)
def me(ctx: Ctx) -> Raw:
    """The caller, with all groups, in the workspace of the call."""
    scope = scope_of(ctx)
    with ctx.read() as reader:
        principal = principals.by_id(reader, ctx.caller.principal_id)
        if principal is None:
            raise scim_documents.ScimError(404, "The caller was removed.")
        body = scim_documents.document(reader, scope, principal.principal_id)
    if principal.kind == SERVICE_PRINCIPAL:
        body["userName"] = principal.name
    return scim_documents.answer(body, headers={"X-Databricks-Org-Id": str(ctx.workspace_id)})
