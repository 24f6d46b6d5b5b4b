"""Applications that may send users to the log-in page (RFC 6749 2, RFC 8252).

All are programs on the user's own machine: they have no secret, prove themselves by PKCE, and are answered on a loopback
address only."""

import re
from urllib.parse import urlsplit

import msgspec

#: What an application may ask for: to call every API as the user, and to go on when its access token ends.
SCOPES = frozenset({"all-apis", "offline_access"})

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Application(msgspec.Struct, frozen=True):
    """`name` is what the user is shown."""

    client_id: str
    name: str

    def may_answer_at(self, redirect_uri: str) -> bool:
        """Whether a code may be sent there: this machine over HTTP, whatever port and path (RFC 8252 7.3)."""
        if len(redirect_uri) > 2048 or not redirect_uri.isascii() or re.search(r"[\x00-\x20\x7f\\]", redirect_uri):
            return False
        try:
            url = urlsplit(redirect_uri)
            url.port  # noqa: B018 - raises for a port that is none
        except ValueError:
            return False
        return url.scheme == "http" and url.hostname in _LOOPBACK and "@" not in url.netloc and not url.fragment


#: By client id. The SDKs and the CLI use the same one.
KNOWN = {app.client_id: app for app in (Application("databricks-cli", "Databricks CLI and SDKs"),)}
