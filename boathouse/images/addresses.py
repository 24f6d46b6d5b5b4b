"""Where the registry client may connect (`outbound.addresses`), in the words of a failed pull."""

from collections.abc import Iterable

from boathouse.images.failures import PullFailure
from boathouse.outbound.addresses import Kind, NotPermitted, Resolver, chosen, kind, named, system_resolver

__all__ = ["Kind", "Resolver", "judged_for_a_proxy", "kind", "named", "of_proxy", "permitted", "system_resolver"]


def permitted(host: str, port: int, resolver: Resolver, allowed_private: Iterable[str]) -> str:
    """The one address that may be used for `host`; PullFailure when the name is unknown or no address of it may be."""
    try:
        return chosen(host, port, resolver, allowed_private)
    except NotPermitted as error:
        raise _refused(error) from error


def judged_for_a_proxy(host: str, port: int, resolver: Resolver, allowed_private: Iterable[str]) -> None:
    """Whether a proxy may be asked to connect to `host`: as `permitted`, but a name that only the proxy knows is its affair."""
    try:
        chosen(host, port, resolver, allowed_private)
    except NotPermitted as error:
        if error.why != "unknown":
            raise _refused(error) from error


def of_proxy(host: str, port: int, resolver: Resolver) -> str:
    """The address of a proxy, which the operator names: it may be private."""
    try:
        return chosen(host, port, resolver, (host,))
    except NotPermitted as error:
        raise PullFailure(f"The proxy {error.host} cannot be used: {error.why}.", "Check the setting registry_proxy.") from error


def _refused(error: NotPermitted) -> PullFailure:
    bare = error.host
    if error.why == "unknown":
        return PullFailure(f"The registry's name {bare} is unknown here.", "Check its spelling and this machine's DNS.")
    if error.why == "private":
        return PullFailure(
            f"{bare} is at a private address, and the settings do not name it as a registry that may be.",
            f"An operator can allow it: setting registry_private_hosts with {bare}.",
        )
    return PullFailure(
        f"{bare} has no address that a registry may have (link-local and metadata addresses never are).",
        "Check the registry's name.",
    )
