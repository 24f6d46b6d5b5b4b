"""Private keys that sign: a file that cosign's own library wrote, plain PEM, and what cannot be used."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from hypothesis import given, strategies

from boathouse.images.trust import keys, signatures
from boathouse.images.trust.keys import UnusableKey

PASSPHRASE = b"correct horse"
#: Written by go-securesystemslib 0.11.1 (`encrypted.Encrypt`), which is what cosign calls, of the key below it.
SEALED = b"""\
-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----
eyJrZGYiOnsibmFtZSI6InNjcnlwdCIsInBhcmFtcyI6eyJOIjo2NTUzNiwiciI6
OCwicCI6MX0sInNhbHQiOiJYSVJmV0ZVc3lYbHhPWklwVm5QdUhTMGpxR09mNnRH
SytqVS8xOEhqa0VBPSJ9LCJjaXBoZXIiOnsibmFtZSI6Im5hY2wvc2VjcmV0Ym94
Iiwibm9uY2UiOiJMMURRbDZjMVViRnpXQWM1TzEzMlJQVFpHbkJSeEdDQyJ9LCJj
aXBoZXJ0ZXh0IjoiYVZPNkEzWEZ2cllndGtleTdjK1FLOVZxblZzbkkyeVBoUUgy
MEdsSWFqU2t3cHBiMFNiOTE0bHVaT05ROTVEWGhlZHRFZEtMNS9JQWZVdU1zaFh4
OFlUL2x1QXI5c25LUU51cWZYbWZRSDMrNndPQWFtN3ZsbFhvNnBOM093MHNuNmFV
MHh4MzVNLzdXNlFWSDlzYVpQeDQrSnhib1FsY0UyMGJOYnBZZVg2T2IvUjNUQmI0
WUt6eWhyeFJtK01SenBNS3N0dGh0d2N0UkE9PSJ9
-----END ENCRYPTED SIGSTORE PRIVATE KEY-----
"""
PLAIN = b"""\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgqBr1vg5yPE2zuTVn
rlRXZsjE5IpZVhfb2cOzszoccpKhRANCAAQk7PRIh6DXBi7HyC6D6gwIqp+jJo7W
aSOqrGhPRaNzALhTF5RWWbcEYvJfymftNqcF6k5jKE94wAq7qxn0ytMo
-----END PRIVATE KEY-----
"""


def public(key: keys.PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def pem(key, form: PrivateFormat = PrivateFormat.PKCS8, encryption=None) -> bytes:
    return key.private_bytes(Encoding.PEM, form, encryption or NoEncryption())


P256, ED25519 = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()


def test_a_file_of_cosigns_library_opens_to_the_key_that_it_was_made_of() -> None:
    assert public(keys.private_key(SEALED, PASSPHRASE)) == public(keys.private_key(PLAIN))
    older = SEALED.replace(b"SIGSTORE", b"COSIGN")
    assert public(keys.private_key(older, PASSPHRASE)) == public(keys.private_key(PLAIN))


@pytest.mark.parametrize(
    ("text", "passphrase", "key"),
    [
        (pem(P256), None, P256),
        (pem(P256), b"not needed", P256),
        (pem(P256, PrivateFormat.TraditionalOpenSSL), None, P256),
        (pem(ED25519), None, ED25519),
        (pem(P256, encryption=BestAvailableEncryption(b"word")), b"word", P256),
    ],
)
def test_plain_pem(text: bytes, passphrase: bytes | None, key: keys.PrivateKey) -> None:
    assert public(keys.private_key(text, passphrase)) == public(key)


def changed(**fields: object) -> bytes:
    """The sealed key with other words in its document."""
    body = b"".join(SEALED.splitlines()[1:-1])
    document = json.loads(base64.b64decode(body))
    for path, value in fields.items():
        place = document
        *above, last = path.split("__")
        for each in above:
            place = place[each]
        place[last] = value
    made = base64.b64encode(json.dumps(document).encode()).decode()
    return f"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n{made}\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----".encode()


@pytest.mark.parametrize(
    ("text", "passphrase", "reason"),
    [
        (SEALED, b"wrong", "the passphrase does not open it"),
        (SEALED, b"", "the passphrase does not open it"),
        (SEALED, None, "no passphrase was given"),
        (pem(P256, encryption=BestAvailableEncryption(b"word")), None, "no passphrase was given"),
        (pem(P256, encryption=BestAvailableEncryption(b"word")), b"wrong", "the passphrase does not open it"),
        (b"", None, "no private key in PEM"),
        (b"ssh-ed25519 AAAA", None, "no private key in PEM"),
        (public(P256), None, "no private key in PEM"),
        (pem(ec.generate_private_key(ec.SECP384R1())), None, "allowed: ECDSA P-256, Ed25519"),
        (changed(kdf__params={"N": 1 << 30, "r": 8, "p": 1}), PASSPHRASE, "not served"),
        (changed(kdf__params={"N": 1 << 16, "r": 1 << 20, "p": 1}), PASSPHRASE, "not served"),
        (changed(kdf__name="argon2"), PASSPHRASE, "not served"),
        (changed(cipher__nonce="AAAA"), PASSPHRASE, "not served"),
        (changed(ciphertext="AAAA"), PASSPHRASE, "the passphrase does not open it"),
        (changed(ciphertext="no base64"), PASSPHRASE, "damaged"),
        (changed(kdf=[]), PASSPHRASE, "damaged"),
        (b"x" * 70_000, None, "more than 65536 bytes"),
    ],
)
def test_a_key_that_cannot_be_used(text: bytes, passphrase: bytes | None, reason: str) -> None:
    with pytest.raises(UnusableKey, match=reason):
        keys.private_key(text, passphrase)


@given(strategies.binary(max_size=200))
def test_no_bytes_break_the_reading_of_a_key(data: bytes) -> None:
    framed = b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n" + data + b"\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----"
    for text in (data, framed):
        with pytest.raises(UnusableKey):
            keys.private_key(text, b"x")


def test_a_pair_that_is_made_signs_and_verifies() -> None:
    private, shown = keys.generate(PASSPHRASE)
    key, digest = keys.private_key(private, PASSPHRASE), f"sha256:{'a' * 64}"
    assert public(key) == shown
    assert load_pem_private_key(PLAIN, None).private_numbers() != key.private_numbers()  # type: ignore[union-attr]
    made = signatures.sign(key, "registry.example/team/app", digest)
    assert signatures.verify([made], signatures.public_key(shown), [digest]).digest == digest
    with pytest.raises(UnusableKey, match="does not open"):
        keys.private_key(private, b"wrong")
