"""Private keys that sign images: cosign's encrypted form, and plain PEM. Knows nothing of images or registries.

cosign keeps a PKCS #8 key in PEM as `ENCRYPTED SIGSTORE PRIVATE KEY`: a JSON document whose secret box (NaCl) is opened by
what scrypt makes of a passphrase. Source: sigstore/cosign pkg/cosign/keys.go, go-securesystemslib `encrypted`.
"""

import base64
import binascii
import hashlib
import json
import re
import secrets
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:  # the control plane starts without the library
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PrivateKey: TypeAlias = "EllipticCurvePrivateKey | Ed25519PrivateKey"

#: The costs of scrypt that cosign's library knows; others are refused, as it does: a key file must not cost gigabytes.
COSTS = (1 << 15, 1 << 16, 1 << 17)
COST, BLOCK, SALT_BYTES, NONCE_BYTES = 1 << 16, 8, 32, 24
LONGEST_FILE = 64 * 1024
_SEALED = re.compile(
    rb"-----BEGIN ENCRYPTED (SIGSTORE|COSIGN) PRIVATE KEY-----\s(.*?)-----END ENCRYPTED \1 PRIVATE KEY-----", re.DOTALL
)


class UnusableKey(ValueError):
    """A text that is no key with which an image can be signed or verified."""


def private_key(pem: bytes, passphrase: bytes | None = None) -> PrivateKey:
    """A private key in PEM, ECDSA P-256 or Ed25519: cosign's encrypted form, or PKCS #8 and SEC 1, encrypted or not. Raises
    UnusableKey; a wrong passphrase is one."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key

    if len(pem) > LONGEST_FILE:
        raise UnusableKey(f"it has more than {LONGEST_FILE} bytes")
    sealed = _SEALED.search(pem)
    try:
        if sealed:
            key = load_der_private_key(_opened(sealed[2], passphrase), None)
        else:
            key = load_pem_private_key(pem, passphrase if b"ENCRYPTED" in pem else None)
    except TypeError:
        raise UnusableKey("it is encrypted, and no passphrase was given") from None
    except UnusableKey:
        raise
    except (ValueError, UnsupportedAlgorithm):
        what = "the passphrase does not open it" if b"ENCRYPTED" in pem else "it is no private key in PEM"
        raise UnusableKey(f"{what}; cosign writes one as cosign.key") from None
    if isinstance(key, Ed25519PrivateKey) or (isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1)):
        return key
    raise UnusableKey("its kind is not served; allowed: ECDSA P-256, Ed25519")


def generate(passphrase: bytes) -> tuple[bytes, bytes]:
    """A new ECDSA P-256 pair as cosign writes one: the private key sealed with the passphrase, and the public key, in PEM."""
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    key = generate_private_key(SECP256R1())
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return sealed(der, passphrase), key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def sealed(der: bytes, passphrase: bytes) -> bytes:
    """A PKCS #8 key in cosign's encrypted form."""
    from nacl.secret import SecretBox

    salt, nonce = secrets.token_bytes(SALT_BYTES), secrets.token_bytes(NONCE_BYTES)
    box = SecretBox(_stretched(passphrase, salt, COST)).encrypt(der, nonce).ciphertext
    document = {
        "kdf": {"name": "scrypt", "params": {"N": COST, "r": BLOCK, "p": 1}, "salt": _text(salt)},
        "cipher": {"name": "nacl/secretbox", "nonce": _text(nonce)},
        "ciphertext": _text(box),
    }
    body = _text(json.dumps(document, separators=(",", ":")).encode())
    lines = "\n".join(body[start : start + 64] for start in range(0, len(body), 64))
    return f"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n{lines}\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n".encode()


def _opened(body: bytes, passphrase: bytes | None) -> bytes:
    """What is in the box. Raises UnusableKey."""
    from nacl.exceptions import CryptoError
    from nacl.secret import SecretBox

    try:
        document: Any = json.loads(base64.b64decode(body))
        how, cipher = document["kdf"], document["cipher"]
        names, costs = (how["name"], cipher["name"]), how["params"]
        salt, nonce, box = (_bytes(each) for each in (how["salt"], cipher["nonce"], document["ciphertext"]))
        cost, rest = costs["N"], (costs["r"], costs["p"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UnusableKey("its encrypted part is damaged") from None
    if names != ("scrypt", "nacl/secretbox") or cost not in COSTS or rest != (BLOCK, 1) or len(nonce) != NONCE_BYTES:
        raise UnusableKey("it is encrypted in a way that is not served; cosign uses scrypt and nacl/secretbox")
    if passphrase is None:
        raise UnusableKey("it is encrypted, and no passphrase was given")
    try:
        return SecretBox(_stretched(passphrase, salt, cost)).decrypt(box, nonce)
    except CryptoError:
        raise UnusableKey("the passphrase does not open it") from None


def _stretched(passphrase: bytes, salt: bytes, cost: int) -> bytes:
    return hashlib.scrypt(passphrase, salt=salt, n=cost, r=BLOCK, p=1, maxmem=160 * cost * BLOCK, dklen=32)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
