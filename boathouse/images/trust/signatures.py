"""One signature in cosign's format: made by a private key, judged by a public one. Pure; whatever is judged is hostile.

A signature is made over the exact bytes of a payload ("simple signing"), which names the digest of the manifest that was
signed. Nothing of a payload is read before its signature fits, and one for another digest is no signature of this image.
Source: sigstore/cosign, specs/SIGNATURE_SPEC.md.
"""

import base64
import binascii
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from boathouse.images.trust.keys import PrivateKey, UnusableKey

if TYPE_CHECKING:  # the control plane starts without the library
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

PAYLOAD_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE_ANNOTATION = "dev.cosignproject.cosign/signature"
SIGNED_KIND = "cosign container image signature"

PublicKey: TypeAlias = "EllipticCurvePublicKey | Ed25519PublicKey"


class Signature(msgspec.Struct, frozen=True):
    """A payload as its bytes are, and the signature over it, in base64 as the annotation has it."""

    payload: bytes
    signature: str


class Verified(msgspec.Struct, frozen=True):
    """Whether one of the signatures is the key's for one of the digests. `digest`: the one that was signed; `reasons`: why
    each of the others is not."""

    digest: str | None
    reasons: tuple[str, ...] = ()


def public_key(pem: bytes) -> PublicKey:
    """A public key in PEM (PKIX), ECDSA P-256 or Ed25519. Raises UnusableKey."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise UnusableKey("it is no public key in PEM; cosign writes one as cosign.pub (-----BEGIN PUBLIC KEY-----)") from None
    if isinstance(key, Ed25519PublicKey) or (isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)):
        return key
    raise UnusableKey("its kind is not served; allowed: ECDSA P-256, Ed25519")


def sign(key: PrivateKey, name: str, digest: str) -> Signature:
    """A signature over a digest. `name`: the image's `host/repository`, which the payload tells and nobody relies on."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    critical = {"identity": {"docker-reference": name}, "image": {"docker-manifest-digest": digest}, "type": SIGNED_KIND}
    payload = json.dumps({"critical": critical, "optional": None}, separators=(",", ":")).encode()
    made = key.sign(payload) if isinstance(key, Ed25519PrivateKey) else key.sign(payload, ECDSA(hashes.SHA256()))
    return Signature(payload, base64.b64encode(made).decode())


def tag(digest: str) -> str:
    """The tag under which cosign keeps the signatures of a digest."""
    return f"{digest.replace(':', '-')}.sig"


def verify(signatures: Iterable[Signature], key: PublicKey, digests: Iterable[str]) -> Verified:
    """Look for a signature that `key` made over one of `digests` (those of one image: its own and that of its list)."""
    wanted, reasons = tuple(digests), []
    for number, each in enumerate(signatures, 1):
        said = _signed(each, key)
        if said in wanted:
            return Verified(said, tuple(reasons))
        reasons.append(f"signature {number} " + ("is not made by this key" if said is None else "is not one of this image"))
    return Verified(None, tuple(reasons))


def _signed(each: Signature, key: PublicKey) -> str | None:
    """The digest that the key signed, empty where it signed something else; None when the signature is not the key's."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        made = base64.b64decode(each.signature, validate=True)
        if isinstance(key, Ed25519PublicKey):
            key.verify(made, each.payload)
        else:
            key.verify(made, each.payload, ECDSA(hashes.SHA256()))
    except (InvalidSignature, binascii.Error, ValueError):
        return None
    try:
        critical = json.loads(each.payload)["critical"]
        kind, digest = critical["type"], critical["image"]["docker-manifest-digest"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return digest if kind == SIGNED_KIND and isinstance(digest, str) else ""
