"""Our registry client: from a reference to the exact bytes it means now, and to what the image says of itself.

Asks for the ping, a token, the manifest and the configuration, nothing else; layers are pulled by the engine, by the
digest found here. Called by the launch beside the start of the nodes and by `boathouse image check`. Whatever a
registry sends is hostile until its digest fits.
"""

import hashlib
import json
import re
from typing import Any

import msgspec

from boathouse.images import addresses, image_config, registry_auth
from boathouse.images.content import Content
from boathouse.images.failures import NotThere, PullFailure, TooLarge, WrongPlatform, quoted
from boathouse.images.image_config import CONFIG_LIMIT, FOREIGN, MANIFEST_LIMIT, ImageConfig
from boathouse.images.references import Reference
from boathouse.images.registry_auth import Login
from boathouse.images.registry_http import (
    SMALL_LIMIT,
    Clock,
    Connection,
    RegistrySettings,
    Response,
    Told,
)

OS, ARCHITECTURE = "linux", "amd64"
MOST_LAYERS = 512
INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
CONFIGS = ("application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Descriptor(msgspec.Struct, frozen=True):
    """What a manifest says of one blob. `size` is in bytes, compressed as the registry keeps it."""

    media_type: str
    digest: str
    size: int


class ResolvedImage(msgspec.Struct, frozen=True):
    """An image as it was when it was asked for. `digest` is that of this machine's own manifest and decides all
    bytes; `index_digest` that of the list of platforms, where there is one (`docker` shows that one). `pinned` is
    what is pulled.
    """

    reference: Reference
    digest: str
    pinned: str
    platform: str
    config: ImageConfig
    layers: tuple[Descriptor, ...]
    size_bytes: int
    index_digest: str | None = None


def resolve(
    reference: Reference,
    login: Login | None = None,
    settings: RegistrySettings | None = None,
    max_bytes: int | None = None,
    clock: Clock | None = None,
    resolver: addresses.Resolver = addresses.system_resolver,
    told: Told | None = None,
    content: Content | None = None,
) -> ResolvedImage:
    """Ask the registry what a reference means now. Raises an ImageFailure: PullFailure, WrongPlatform or TooLarge.

    `max_bytes` bounds the sum of the compressed layers. May wait as long as the registry asks and the settings allow (three times
    60 s), of which `told` hears. `content`: where manifests and configurations are kept, of which the digest is known then.
    """
    secrets = login.secrets if login else ()
    with Connection(settings or RegistrySettings(), resolver, clock, secrets, told, content) as connection:
        return Session(connection, reference, login).resolve(max_bytes)


def ping(host: str, settings: RegistrySettings, resolver: addresses.Resolver = addresses.system_resolver) -> str:
    """Whether a registry's API is at `host`: `open` or `login`; PullFailure otherwise. For `doctor`."""
    with Connection(settings, resolver) as connection:
        response = connection.get(connection.base(host) + "/v2/", {}, SMALL_LIMIT)
    _refuse_no_registry(host, response)
    return "login" if response.status == 401 else "open"


def refuse_too_large(image: ResolvedImage, max_bytes: int | None) -> None:
    """Raise TooLarge for an image whose compressed layers have no room."""
    _refuse_too_large(image.reference, image.size_bytes, len(image.layers), max_bytes)


def _refuse_too_large(reference: Reference, size: int, layers: int, max_bytes: int | None) -> None:
    if max_bytes is not None and size > max_bytes:
        raise TooLarge(
            f"{reference} has {_gigabytes(size)} in {layers} layers (compressed); a node has room for {_gigabytes(max_bytes)}.",
            "Make it smaller, or choose a node type with more disk.",
        )


class Session:
    """One resolution: what it carries from one request to the next is the Authorization header. `actions`: what a token is
    asked for."""

    actions = "pull"

    def __init__(self, connection: Connection, reference: Reference, login: Login | None) -> None:
        self._connection, self._reference, self._login = connection, reference, login
        self._base = f"{connection.base(connection.settings.at(reference.api_host))}/v2/"
        self._headers: dict[str, str] = {}

    def resolve(self, max_bytes: int | None) -> ResolvedImage:
        self.log_in()
        asked = self._reference.asked
        digest, document = self._manifest(asked, asked if _DIGEST.fullmatch(asked) else None)
        index_digest = None
        if media_type(document) in INDEXES:
            index_digest, chosen = digest, _choose(document, self._reference)
            digest, document = self._manifest(chosen, chosen, known=True)
        if media_type(document) not in MANIFESTS:
            raise PullFailure(
                f"{self._reference} is in a format that is not served: {quoted(media_type(document), limit=100)}.",
                "Push it again with a current Docker, Podman or Buildah.",
            )
        config, layers = _descriptors(document, self._reference)
        size = sum(layer.size for layer in layers)
        _refuse_too_large(self._reference, size, len(layers), max_bytes)
        described = self._config(config)
        if (described.os, described.architecture) != (OS, ARCHITECTURE):
            raise WrongPlatform(
                f"{self._reference} is made for {quoted(described.platform, limit=60) or 'no platform'}; "
                f"nodes are {OS}/{ARCHITECTURE}.",
                f"Build it with --platform {OS}/{ARCHITECTURE}.",
            )
        return ResolvedImage(
            self._reference,
            digest,
            self._reference.pinned(digest),
            described.platform,
            described,
            layers,
            size,
            index_digest,
        )

    def log_in(self) -> None:
        response = self._connection.get(self._base, {}, SMALL_LIMIT)
        _refuse_no_registry(self._reference.api_host, response)
        if response.status == 401:
            self._authorize(response)

    def _authorize(self, response: Response) -> None:
        answers = response.all("www-authenticate")
        header = registry_auth.authorization(self._connection, self._reference, answers, self._login, self.actions)
        self._headers = {"Authorization": header}

    def _ask(self, path: str, accept: str, limit: int) -> Response:
        url = f"{self._base}{self._reference.repository}/{path}"
        response = self._connection.get(url, {**self._headers, "Accept": accept}, limit, redirects=True)
        if response.status == 401 and not self._headers:  # some registries let everybody ping and ask only here
            self._authorize(response)
            response = self._connection.get(url, {**self._headers, "Accept": accept}, limit, redirects=True)
        return response

    def _get(self, path: str, accept: str, limit: int, what: str) -> Response:
        response = self._ask(path, accept, limit)
        if response.status != 200:
            raise self._refused(response, what)
        return response

    def _refused(self, response: Response, what: str) -> PullFailure:
        said, status, host = self._words(response), response.status, self._reference.api_host
        if status in (401, 403):
            return registry_auth.rejected(self._reference, self._login, status, said)
        if status == 404:
            return NotThere(
                f"{self._reference} does not exist on its registry: no {what} (404).",
                "Check repository and tag, and that the image was pushed.",
                said,
            )
        if status == 429:
            hint = (
                "Docker Hub counts pulls in windows of six hours; docker_image.basic_auth raises the limit."
                if self._reference.provider == "docker-hub"
                else "Try again later."
            )
            after = quoted(response.header("retry-after"), limit=40)
            return PullFailure(
                f"{host} refuses because it was asked too often (429 Too Many Requests"
                f"{', Retry-After: ' + after if after else ''}).",
                hint,
                said,
            )
        if status >= 500:
            return PullFailure(
                f"{host} is in trouble: it answers {status} for the {what}.",
                "Try again later, or ask its operator.",
                said,
            )
        return PullFailure(f"{host} answers {status} for the {what}.", "Ask the registry's operator.", said)

    def _words(self, response: Response) -> str:
        """What a registry says in its error: the messages of its JSON, else nothing. Bounded, without our secrets."""
        try:
            errors = json.loads(response.body)["errors"]
            said = "; ".join(f"{error.get('code', '')} {error.get('message', '')}".strip() for error in errors[:5])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return ""
        header = self._headers.get("Authorization", "").partition(" ")[2]
        return quoted(said, ((self._login.secrets if self._login else ()) + (header,)))

    def _manifest(self, asked: str, expected: str | None, known: bool = False) -> tuple[str, dict[str, Any]]:
        digest, body, content_type = self._manifest_bytes(asked, expected, known)
        return digest, self._parsed(body, content_type)

    def _parsed(self, body: bytes, content_type: str) -> dict[str, Any]:
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise PullFailure(f"The registry's manifest of {self._reference} is no JSON object.")
        document.setdefault("mediaType", content_type)
        return document

    def _manifest_bytes(self, asked: str, expected: str | None, known: bool) -> tuple[str, bytes, str]:
        """Digest, bytes and media type of a manifest. `known`: the registry has shown that this digest may be had, so a kept copy
        will do."""
        if known and (body := self._kept(asked)) is not None:
            return asked, body, ""
        response = self._get(f"manifests/{asked}", ", ".join(MANIFESTS + INDEXES), MANIFEST_LIMIT, "manifest")
        digest = f"sha256:{hashlib.sha256(response.body).hexdigest()}"
        claimed = expected or response.header("docker-content-digest")
        if claimed.startswith("sha256:") and claimed != digest:
            raise PullFailure(
                f"The registry's manifest of {self._reference} does not have the digest it must have.",
                "Its bytes were changed on the way or in the registry: push the image again.",
                f"wanted {quoted(claimed, limit=80)}, got {digest}",
            )
        self._keep(digest, response.body)
        return digest, response.body, response.header("content-type").partition(";")[0].strip()

    def _kept(self, digest: str) -> bytes | None:
        content = self._connection.content
        return content.read(digest) if content is not None else None

    def _keep(self, digest: str, body: bytes) -> None:
        if self._connection.content is not None:
            self._connection.content.keep(digest, body)

    def _config(self, descriptor: Descriptor) -> ImageConfig:
        if descriptor.size > CONFIG_LIMIT:
            raise PullFailure(f"The configuration of {self._reference} has {descriptor.size} bytes; {CONFIG_LIMIT} are allowed.")
        body = self._blob(descriptor, CONFIG_LIMIT, "configuration")
        try:
            return image_config.parse(body)
        except image_config.MalformedConfig as error:
            raise PullFailure(f"The configuration of {self._reference} cannot be read: {error}.") from error

    def _blob(self, descriptor: Descriptor, limit: int, what: str) -> bytes:
        if (body := self._kept(descriptor.digest)) is not None:
            return body
        response = self._get(f"blobs/{descriptor.digest}", "*/*", limit, what)
        digest = f"sha256:{hashlib.sha256(response.body).hexdigest()}"
        if digest != descriptor.digest:
            raise PullFailure(
                f"The {what} of {self._reference} does not have the digest it must have.",
                "Its bytes were changed on the way or in the registry: push the image again.",
                f"wanted {descriptor.digest}, got {digest}",
            )
        self._keep(digest, response.body)
        return response.body


def _refuse_no_registry(host: str, response: Response) -> None:
    if response.status in (200, 401):
        return
    if response.status == 429:
        raise PullFailure(f"{host} refuses because it was asked too often (429 Too Many Requests).", "Try again later.")
    if response.status >= 500:
        raise PullFailure(f"{host} is in trouble: it answers {response.status}.", "Try again later, or ask its operator.")
    raise PullFailure(f"{host} is no registry: it answers {response.status} at /v2/.", "Check the host's name and port.")


def media_type(document: dict[str, Any]) -> str:
    value = document.get("mediaType")
    if value in INDEXES or value in MANIFESTS:
        return value
    if "manifests" in document:  # OCI lets a document leave its type out
        return INDEXES[0]
    if document.get("schemaVersion") == 2 and "config" in document and "layers" in document:
        return MANIFESTS[0]
    return value if isinstance(value, str) else f"schemaVersion {document.get('schemaVersion')!r}"


def _choose(index: dict[str, Any], reference: Reference) -> str:
    """The digest of this machine's manifest in a list of platforms."""
    entries = index.get("manifests")
    platforms: list[str] = []
    for entry in entries if isinstance(entries, list) else []:
        platform = entry.get("platform") if isinstance(entry, dict) else None
        if not isinstance(platform, dict):
            continue
        if (platform.get("os"), platform.get("architecture")) == (OS, ARCHITECTURE):
            return descriptor(entry, reference).digest
        platforms.append(f"{platform.get('os')}/{platform.get('architecture')}")
    shown = quoted(", ".join(platforms), limit=120) or "none"
    raise WrongPlatform(
        f"{reference} has no {OS}/{ARCHITECTURE} image; it has: {shown}.",
        f"Build it with --platform {OS}/{ARCHITECTURE}.",
    )


def _descriptors(manifest: dict[str, Any], reference: Reference) -> tuple[Descriptor, tuple[Descriptor, ...]]:
    layers = manifest.get("layers")
    if not isinstance(layers, list) or len(layers) > MOST_LAYERS:
        raise PullFailure(f"The registry's manifest of {reference} has no list of up to {MOST_LAYERS} layers.")
    config = descriptor(manifest.get("config"), reference)
    if config.media_type not in CONFIGS:
        raise PullFailure(
            f"{reference} is no container image: its kind is {quoted(config.media_type, limit=100)}.",
            "Name an image; charts, signatures and other artifacts cannot be started.",
        )
    found = tuple(descriptor(layer, reference) for layer in layers)
    for layer in found:
        if any(word in layer.media_type for word in FOREIGN):
            raise PullFailure(
                f"A layer of {reference} is foreign: its bytes are at an address that the image names, which is not asked.",
                "Push the image with all its layers (--allow-nondistributable-artifacts).",
            )
    return config, found


def descriptor(document: object, reference: Reference) -> Descriptor:
    if isinstance(document, dict):
        media_type, digest, size = document.get("mediaType"), document.get("digest"), document.get("size")
        if (
            isinstance(media_type, str)
            and isinstance(digest, str)
            and _DIGEST.fullmatch(digest)
            and type(size) is int
            and size >= 0
        ):
            return Descriptor(media_type, digest, size)
    raise PullFailure(f"The registry's manifest of {reference} is malformed.", "Push the image again.")


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB"
