"""The first label of a workspace's host name: `<deployment_name>.localhost`. Pure."""

import re
import secrets

#: Labels that other pages of this server, or the platform's own hosts, begin with.
RESERVED = frozenset({"accounts", "apps", "localhost", "www"})

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def violation(name: str) -> str | None:
    """Why `name` cannot be a deployment name, or None. Upper case counts as lower case, as in host names."""
    if not _LABEL.fullmatch(name.lower()):
        return "1 to 63 letters, digits and hyphens, not beginning or ending with a hyphen"
    if name.lower() in RESERVED:
        return f"any but {', '.join(sorted(RESERVED))}"
    return None


def generated() -> str:
    """A new name in the platform's shape: `dbc-1a2b3c4d-5e6f`."""
    return f"dbc-{secrets.token_hex(4)}-{secrets.token_hex(2)}"
