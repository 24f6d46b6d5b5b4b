"""Registries as an operator lets them be asked: mirrors first, with whatever opens them, renewed where it has ended.

Called by the launch (`compute.image_service`), by `pull_through.py` for the bytes, and by the command line. A mirror is asked
only for what needs no log-in: what it gives, everybody may have. Where it does not give it, the registry itself is asked.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import replace

from boathouse.dataplane.contract import Key, Renewable, opened
from boathouse.images import addresses, registry
from boathouse.images.content import Content
from boathouse.images.failures import PullFailure, Refused
from boathouse.images.references import Reference
from boathouse.images.registry import ResolvedImage
from boathouse.images.registry_auth import Login
from boathouse.images.registry_blobs import Layers
from boathouse.images.registry_http import Connection, RegistrySettings, SystemClock, Told

if TYPE_CHECKING:
    from boathouse.images.trust.signatures import Signature

log = logging.getLogger("boathouse.images")

#: Seconds that one layer may take.
LAYER_SECONDS = 20 * 60.0

Found = TypeVar("Found")


class Registries:
    """All of them. One for the control plane; any thread. `content`: where what they send is kept, if anywhere."""

    def __init__(
        self,
        settings: RegistrySettings,
        content: Content | None = None,
        resolver: addresses.Resolver = addresses.system_resolver,
    ) -> None:
        self.settings, self.content, self._resolver = settings, content, resolver
        self._clock = SystemClock()

    def stop(self) -> None:
        """Wait no more for any registry."""
        self._clock.stop()

    def resolve(
        self,
        reference: Reference,
        key: Key,
        max_bytes: int | None = None,
        told: Told | None = None,
        patience: float | None = None,
    ) -> tuple[ResolvedImage, str]:
        """What a reference means now, and the mirror that said so, or an empty text. `patience`: seconds after which an answer
        is no longer waited for, however often the registry asks to be asked later; None: what the settings say. Raises an
        ImageFailure, NodeFailure."""
        places = self.places(reference, key)
        settings = self.settings if patience is None else _hurried(self.settings, patience / len(places))
        for place in places:

            def ask(login: Login | None, place: Reference = place) -> ResolvedImage:
                return registry.resolve(place, login, settings, max_bytes, self._clock, self._resolver, told, self.content)

            try:
                found = with_key(key, ask)
            except PullFailure as failure:
                if place is reference:
                    raise
                log.warning("the mirror %s does not give %s: %s", place.host, reference, failure.text)
                continue
            return replace(found, reference=reference, pinned=reference.pinned(found.digest)), (
                "" if place is reference else place.host
            )
        raise AssertionError("the registry itself is the last place")

    def signatures(self, reference: Reference, digests: tuple[str, ...], key: Key) -> "tuple[Signature, ...]":
        """Every signature that is kept of these digests, by the registry or a mirror of it. A mirror need not have them; the
        registry must answer. Raises an ImageFailure, NodeFailure."""
        from boathouse.images.attachments import RegistryAccess
        from boathouse.images.trust import signing

        found: list[Signature] = []
        for place in self.places(reference, key):

            def ask(login: Login | None, place: Reference = place) -> "tuple[Signature, ...]":
                return signing.kept(place, digests, RegistryAccess(login, self.settings, self._resolver))

            try:
                found += with_key(key, ask)
            except PullFailure as failure:
                if place is reference:
                    raise
                log.warning("the mirror %s gives no signatures of %s: %s", place.host, reference, failure.text)
        return tuple(found)

    def places(self, reference: Reference, key: Key) -> list[Reference]:
        """Where an image is asked for, in order: a mirror of its registry, if nothing is needed to open it, and itself."""
        mirror = self.settings.mirrors.get(reference.host) if key is None else None
        if not mirror:
            return [reference]
        host, _, prefix = mirror.partition("/")
        return [replace(reference, host=host, repository="/".join(filter(None, (prefix, reference.repository)))), reference]

    @contextmanager
    def layers(self, place: Reference, key: Key, login: Login | None, told: Told | None = None) -> Iterator[Layers]:
        """What the manifest and the blobs of one place are fetched by: `login`, and what `key` gives when that ends."""

        def renew() -> Login:
            fresh = _login(key, True)
            assert fresh is not None, "only what can be renewed is"
            return fresh

        patient = replace(self.settings, total_seconds=LAYER_SECONDS)
        secrets = login.secrets if login else ()
        with Connection(patient, self._resolver, self._clock, secrets, told, self.content) as connection:
            yield Layers(connection, place, login, renew if isinstance(key, Renewable) else None)


def _hurried(settings: RegistrySettings, seconds: float) -> RegistrySettings:
    return replace(
        settings, total_seconds=seconds, longest_retry_after=0.0,
        connect_seconds=min(settings.connect_seconds, seconds / 2), stall_seconds=min(settings.stall_seconds, seconds),
    )  # fmt: skip


def with_key(key: Key, ask: Callable[[Login | None], Found]) -> Found:
    """Ask with what opens the registry. Credentials that were fetched earlier may have ended: they are renewed once."""
    for renew in (False, True):
        login = _login(key, renew)
        try:
            return ask(login)
        except Refused:
            if renew or not isinstance(key, Renewable):
                raise
    raise AssertionError("the second attempt returns or raises")


def _login(key: Key, renew: bool) -> Login | None:
    credentials = opened(key, renew)
    return Login(credentials.username, credentials.password) if credentials else None
