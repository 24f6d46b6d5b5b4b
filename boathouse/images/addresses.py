"""Where the registry client may connect (`outbound.addresses`), in the words of a failed pull."""

from collections.abc import Iterable

from boathouse.images.failures import PullFailure
from boathouse.outbound.addresses import Kind, NotPermitted, Resolver, chosen, kind, named, system_resolver

__all__ = ["Kind", "Resolver", "kind", "named", "permitted", "system_resolver"]


def permitted(host: str, port: int, resolver: Resolver, allowed_private: Iterable[str]) -> str:
    """The one address that may be used for `host`; PullFailure when the name is unknown or no address of it may be."""
    try:
        return chosen(host, port, resolver, allowed_private)
    except NotPermitted as error:
        bare = error.host
        if error.why == "unknown":
            text = f"The registry's name {bare} is unknown here."
            raise PullFailure(text, "Check its spelling and this machine's DNS.") from error
        if error.why == "private":
            raise PullFailure(
                f"{bare} is at a private address, and the settings do not name it as a registry that may be.",
                f"An operator can allow it: setting registry_private_hosts with {bare}.",
            ) from None
        raise PullFailure(
            f"{bare} has no address that a registry may have (link-local and metadata addresses never are).",
            "Check the registry's name.",
        ) from None
