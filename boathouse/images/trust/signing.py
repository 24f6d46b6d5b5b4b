"""Signatures of an image in its registry: made and pushed, found again. The effects around the pure `signatures`.

cosign keeps signatures under a tag made of the digest; with OCI 1.1 as manifests that refer to the image. Both are read, each
can be written. Called by `boathouse image sign|verify`, by the image step of a launch and by whoever rolls out images. What is
signed is always a digest. Source: sigstore/cosign specs/SIGNATURE_SPEC.md, pkg/oci/remote.
"""

from collections.abc import Iterable

import msgspec

from boathouse.images import attachments
from boathouse.images.attachments import Attachment, RegistryAccess
from boathouse.images.references import Reference
from boathouse.images.trust import signatures
from boathouse.images.trust.keys import PrivateKey
from boathouse.images.trust.signatures import PAYLOAD_TYPE, SIGNATURE_ANNOTATION, Signature

#: cosign's kind of artifact for signatures that refer to an image.
ARTIFACT = "application/vnd.dev.cosign.artifact.sig.v1+json"
TAG, REFERRER = "tag", "referrer"
PLACES = (TAG, REFERRER)


class Signed(msgspec.Struct, frozen=True):
    """What became of signing: the digest, and for each place where its signature is (`tag`, `referrer`) whether it was `pushed`
    or had been there `before`."""

    digest: str
    places: tuple[tuple[str, str], ...]


def sign(reference: Reference, digest: str, key: PrivateKey, access: RegistryAccess, places: Iterable[str] = (TAG,)) -> Signed:
    """Have a signature of `key` over `digest` in the image's repository. Called twice it pushes once. Raises PullFailure."""
    done = list[tuple[str, str]]()
    for place in places:
        there = _found(reference, digest, place, access)
        if signatures.verify(there, key.public_key(), [digest]).digest:
            done.append((place, "before"))
            continue
        made = signatures.sign(key, reference.name, digest)
        attachment = Attachment(made.payload, {SIGNATURE_ANNOTATION: made.signature})
        if place == TAG:
            attachments.push_tagged(reference, signatures.tag(digest), PAYLOAD_TYPE, attachment, access)
        else:
            attachments.push_referring(reference, digest, ARTIFACT, PAYLOAD_TYPE, attachment, access)
        done.append((place, "pushed"))
    return Signed(digest, tuple(done))


def kept(reference: Reference, digests: Iterable[str], access: RegistryAccess) -> tuple[Signature, ...]:
    """Every signature that the registry keeps of these digests, under tags and as referrers; whose they are is for
    `signatures.verify` to say. Raises PullFailure."""
    return tuple(each for digest in digests for place in PLACES for each in _found(reference, digest, place, access))


def _found(reference: Reference, digest: str, place: str, access: RegistryAccess) -> tuple[Signature, ...]:
    if place == TAG:
        there = attachments.tagged(reference, signatures.tag(digest), PAYLOAD_TYPE, access)
    else:
        there = attachments.referring(reference, digest, ARTIFACT, PAYLOAD_TYPE, access)
    return tuple(Signature(each.payload, str(each.annotations.get(SIGNATURE_ANNOTATION, ""))) for each in there)
