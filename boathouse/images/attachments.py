"""What is kept beside an image in its registry: under a tag that is made of its digest, or as a manifest that refers to it.

Both forms are a manifest with one layer for each attachment. The second is found by the registry's list of referrers, and
where a registry has none by the tag that the specification gives the list instead (`sha256-<digest>`). Called by
`images/trust`; knows nothing of signatures. Whatever is read is hostile: nothing vouches for annotations.
Source: https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md (referrers).
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urljoin, urlsplit

import msgspec

from boathouse.images import addresses
from boathouse.images.failures import NotThere, PullFailure
from boathouse.images.image_config import MANIFEST_LIMIT
from boathouse.images.references import Reference
from boathouse.images.registry import CONFIGS, INDEXES, MANIFESTS, Session, descriptor, media_type
from boathouse.images.registry_auth import Login
from boathouse.images.registry_http import SMALL_LIMIT, Connection, RegistrySettings, Response

#: How many attachments of an image are read, and bytes of each: signatures are a few hundred bytes.
MOST_ATTACHED, ATTACHED_LIMIT = 64, 64 * 1024
#: How often a tag is written again that somebody else wrote at the same time.
TRIES = 3
_EPOCH = "0001-01-01T00:00:00Z"


class Attachment(msgspec.Struct, frozen=True):
    """The bytes of one attachment, and what is written beside it."""

    payload: bytes
    annotations: Mapping[str, Any] = msgspec.field(default_factory=dict)

    @property
    def digest(self) -> str:
        return _digest(self.payload)


class RegistryAccess(msgspec.Struct, frozen=True):
    """A registry and who asks it: what reading and writing need beside the image's reference."""

    login: Login | None = None
    settings: RegistrySettings = msgspec.field(default_factory=RegistrySettings)
    resolver: addresses.Resolver = addresses.system_resolver


def tagged(reference: Reference, tag: str, kind: str, access: RegistryAccess) -> tuple[Attachment, ...]:
    """What is kept under `tag` in the image's repository, of one media type. Empty where the tag is not there. Raises
    PullFailure."""
    with _connection(access) as connection:
        session = _Reader(connection, Reference(reference.host, reference.repository, tag), access.login)
        session.log_in()
        return session.attachments(tag, kind)


def referring(reference: Reference, digest: str, artifact: str, kind: str, access: RegistryAccess) -> tuple[Attachment, ...]:
    """What refers to a digest, of one kind of artifact and one media type of its layers. Of a registry that gives its list in
    pages the first is read. Raises PullFailure."""
    with _connection(access) as connection:
        session = _Reader(connection, Reference(reference.host, reference.repository, None, digest), access.login)
        session.log_in()
        found = [session.attachments(each, kind) for each in session.referrers(digest, artifact)]
    flat = tuple(attachment for attachments in found for attachment in attachments)
    if len(flat) > MOST_ATTACHED:
        raise PullFailure(f"{reference.pinned(digest)} has more than {MOST_ATTACHED} attachments.")
    return flat


def push_tagged(reference: Reference, tag: str, kind: str, attachment: Attachment, access: RegistryAccess) -> str:
    """Add an attachment to those that are kept under `tag`, and give the digest of what keeps them now. Raises PullFailure.

    A registry has no way of writing only what nobody else wrote meanwhile: it is read again afterwards, and written again
    where another writer took it away.
    """
    with _connection(access) as connection:
        session = _Writer(connection, Reference(reference.host, reference.repository, tag), access.login)
        session.log_in()
        for _ in range(TRIES):
            kept = session.push(session.layers(tag), kind, attachment, tag)
            if attachment in session.attachments(tag, kind):
                return kept
    raise PullFailure(f"{reference.name}:{tag} is written by somebody else at the same time.", "Try again.")


def push_referring(
    reference: Reference, digest: str, artifact: str, kind: str, attachment: Attachment, access: RegistryAccess
) -> str:
    """Push an attachment as a manifest of its own that refers to `digest`, and give the manifest's digest. Raises
    PullFailure."""
    with _connection(access) as connection:
        session = _Writer(connection, Reference(reference.host, reference.repository, None, digest), access.login)
        session.log_in()
        return session.push_referring(digest, artifact, kind, attachment)


def referrers_tag(digest: str) -> str:
    """The tag of the list of referrers in a registry that keeps none itself."""
    return digest.replace(":", "-")


def _connection(access: RegistryAccess) -> Connection:
    return Connection(access.settings, access.resolver, None, access.login.secrets if access.login else ())


class _Reader(Session):
    """Reads what is beside an image."""

    def attachments(self, asked: str, kind: str) -> tuple[Attachment, ...]:
        found, read = list[Attachment](), dict[str, bytes]()
        for layer in self.layers(asked, asked if asked.startswith("sha256:") else None):
            described = descriptor(layer, self._reference)
            if described.media_type != kind:
                continue
            if described.size > ATTACHED_LIMIT:
                raise PullFailure(f"A layer of {self._reference} has {described.size} bytes; {ATTACHED_LIMIT} are allowed.")
            if described.digest not in read:
                read[described.digest] = self._blob(described, ATTACHED_LIMIT, "layer")
            annotations = layer.get("annotations")
            found.append(Attachment(read[described.digest], annotations if isinstance(annotations, dict) else {}))
        return tuple(found)

    def layers(self, asked: str, expected: str | None = None) -> list[dict[str, Any]]:
        """The layers of a manifest as it tells them; none where it is not there."""
        try:
            _, document = self._manifest(asked, expected)
        except NotThere:
            return []
        layers = document.get("layers")
        if not isinstance(layers, list) or len(layers) > MOST_ATTACHED:
            raise PullFailure(f"{self._reference} has no list of up to {MOST_ATTACHED} layers.")
        for layer in layers:
            descriptor(layer, self._reference)
        return layers

    def referrers(self, digest: str, artifact: str) -> Iterator[str]:
        """The digests of the manifests that refer to a digest."""
        found = [
            descriptor(each, self._reference).digest
            for each in self._listed(digest, artifact)
            if isinstance(each, dict) and each.get("artifactType") == artifact
        ]
        if len(found) > MOST_ATTACHED:
            raise PullFailure(f"{self._reference} has more than {MOST_ATTACHED} attachments.")
        yield from found

    def _listed(self, digest: str, artifact: str) -> list[Any]:
        response = self._ask(f"referrers/{digest}?artifactType={artifact}", INDEXES[0], MANIFEST_LIMIT)
        if response.status in (400, 404, 405, 406):  # what registries answer that have no such list
            return self.kept_list(digest)
        if response.status != 200:
            raise self._refused(response, "list of referrers")
        try:
            found = json.loads(response.body)["manifests"]
        except (ValueError, KeyError, TypeError, RecursionError):
            found = None
        if not isinstance(found, list):
            raise PullFailure(f"The registry's list of what refers to {self._reference} cannot be read.")
        return found

    def kept_list(self, digest: str) -> list[Any]:
        """The list of referrers where it is kept under a tag."""
        try:
            _, document = self._manifest(referrers_tag(digest), None)
        except NotThere:
            return []
        found = document.get("manifests")
        if media_type(document) not in INDEXES or not isinstance(found, list):
            raise PullFailure(f"{self._reference.name}:{referrers_tag(digest)} is no list of manifests.")
        return found


class _Writer(_Reader):
    """Writes what is beside an image: blobs, then the manifest that names them."""

    actions = "pull,push"

    def push(self, layers: Sequence[dict[str, Any]], kind: str, attachment: Attachment, tag: str) -> str:
        if len(layers) >= MOST_ATTACHED:
            raise PullFailure(f"{self._reference} keeps {MOST_ATTACHED} attachments already.", "Take some away.")
        self._push_blob(attachment.payload)
        manifest = self._composed([*layers, _layer(kind, attachment)], CONFIGS[0])
        return self._put(tag, manifest, MANIFESTS[0])[0]

    def push_referring(self, digest: str, artifact: str, kind: str, attachment: Attachment) -> str:
        subject = self._get(f"manifests/{digest}", ", ".join(MANIFESTS + INDEXES), MANIFEST_LIMIT, "manifest")
        if _digest(subject.body) != digest:
            raise PullFailure(f"The registry's manifest of {self._reference} does not have the digest it must have.")
        named = {"mediaType": media_type(json.loads(subject.body)), "digest": digest, "size": len(subject.body)}
        self._push_blob(attachment.payload)
        manifest = self._composed([_layer(kind, attachment)], artifact) | {"artifactType": artifact, "subject": named}
        pushed, answer = self._put(None, manifest, MANIFESTS[0])
        if not answer.header("oci-subject"):  # the registry does not keep the list itself
            entry = {"mediaType": MANIFESTS[0], "digest": pushed, "size": len(_bytes(manifest)), "artifactType": artifact}
            self._keep_in_list(digest, entry)
        return pushed

    def _keep_in_list(self, digest: str, entry: Mapping[str, Any]) -> None:
        for _ in range(TRIES):
            index = {"schemaVersion": 2, "mediaType": INDEXES[0], "manifests": [*self.kept_list(digest), entry]}
            self._put(referrers_tag(digest), index, INDEXES[0])
            if entry in self.kept_list(digest):
                return
        raise PullFailure(f"The list of what refers to {self._reference} is written by somebody else.", "Try again.")

    def _composed(self, layers: Sequence[dict[str, Any]], config_type: str) -> dict[str, Any]:
        """A manifest of these layers with the configuration that image tools expect, which is pushed."""
        config = _bytes(
            {
                "architecture": "", "os": "", "created": _EPOCH, "config": {}, "history": [{"created": _EPOCH}] * len(layers),
                "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
            }
        )  # fmt: skip
        self._push_blob(config)
        described = {"mediaType": config_type, "digest": _digest(config), "size": len(config)}
        return {"schemaVersion": 2, "mediaType": MANIFESTS[0], "config": described, "layers": list(layers)}

    def _push_blob(self, data: bytes) -> None:
        begun = self._send("POST", f"{self._base}{self._reference.repository}/blobs/uploads/", b"", "blob", {})
        place = begun.header("location")
        try:
            target = urljoin(begun.url, place)
            split = urlsplit(target)
        except ValueError:
            place, target, split = "", "", urlsplit("")
        if begun.status != 202 or not place:
            raise PullFailure(f"{self._reference.api_host} names no place where a blob could be written.")
        url = f"{target}{'&' if split.query else '?'}digest={_digest(data)}"
        own = split.netloc == urlsplit(begun.url).netloc and split.scheme == urlsplit(begun.url).scheme
        self._send("PUT", url, data, "blob", {"Content-Type": "application/octet-stream"}, trusted=own)

    def _put(self, tag: str | None, document: Mapping[str, Any], kind: str) -> tuple[str, Response]:
        """Write a manifest under a tag, or under its digest; give the digest and the answer."""
        data = _bytes(document)
        digest = _digest(data)
        url = f"{self._base}{self._reference.repository}/manifests/{tag or digest}"
        return digest, self._send("PUT", url, data, "manifest", {"Content-Type": kind})

    def _send(self, method: str, url: str, data: bytes, what: str, headers: Mapping[str, str], trusted: bool = True) -> Response:
        """One request that must succeed. The Authorization header goes to the registry itself only."""
        response = self._connection.send(method, url, {**(self._headers if trusted else {}), **headers}, data, SMALL_LIMIT)
        if response.status == 401 and trusted and not self._headers:
            self._authorize(response)
            response = self._connection.send(method, url, {**self._headers, **headers}, data, SMALL_LIMIT)
        if response.status not in (200, 201, 202):
            raise self._not_written(response, what)
        return response

    def _not_written(self, response: Response, what: str) -> PullFailure:
        said = self._words(response)
        if response.status in (401, 403):
            login = "this user" if self._login else "somebody who is not logged in"
            return PullFailure(
                f"{self._reference.api_host} does not let {login} write into {self._reference.repository} ({response.status}).",
                "Log in as somebody who may push there.",
                said,
            )
        if response.status in (404, 405):
            return PullFailure(f"{self._reference.name} cannot be written ({response.status}, {what}).", evidence=said)
        return self._refused(response, what)


def _layer(kind: str, attachment: Attachment) -> dict[str, Any]:
    described = {"mediaType": kind, "digest": attachment.digest, "size": len(attachment.payload)}
    return {**described, "annotations": dict(attachment.annotations)}


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _bytes(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
