"""Signatures in cosign's format: the pure judgement, and `boathouse image verify` against a real registry and one that lies."""

import json
from base64 import b64encode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given, strategies

from boathouse.cli import main
from boathouse.images import references
from boathouse.images.attachments import MOST_ATTACHED, RegistryAccess, tagged
from boathouse.images.failures import PullFailure
from boathouse.images.registry_http import RegistrySettings
from boathouse.images.trust import signatures
from boathouse.images.trust.keys import UnusableKey
from boathouse.images.trust.signatures import PAYLOAD_TYPE, SIGNATURE_ANNOTATION, Signature, verify
from tests.images.conftest import PASSWORD, USER, Answer, Blobs, FakeRegistry, RealRegistry, digest, index_of

LOCAL = RegistrySettings(allowed_private_hosts=("127.0.0.1",), plain_http_hosts=("127.0.0.1",), stall_seconds=5)
P256, OTHER, ED25519 = (
    ec.generate_private_key(ec.SECP256R1()),
    ec.generate_private_key(ec.SECP256R1()),
    ed25519.Ed25519PrivateKey.generate(),
)
MINE, FOREIGN = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"


def payload(of: object, kind: object = "cosign container image signature") -> bytes:
    critical = {"identity": {"docker-reference": "x"}, "image": {"docker-manifest-digest": of}, "type": kind}
    return json.dumps({"critical": critical, "optional": None}).encode()


def signed(data: bytes, key=P256) -> Signature:
    made = key.sign(data) if isinstance(key, ed25519.Ed25519PrivateKey) else key.sign(data, ec.ECDSA(hashes.SHA256()))
    return Signature(data, b64encode(made).decode())


def pem(key) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("key", [P256, ED25519])
def test_a_signature_of_this_image_by_this_key(key) -> None:
    judged = verify([signed(payload(FOREIGN), key), signed(payload(MINE), key)], signatures.public_key(pem(key)), [MINE])
    assert judged.digest == MINE
    assert judged.reasons == ("signature 1 is not one of this image",)


@pytest.mark.parametrize(
    ("offered", "reason"),
    [
        (signed(payload(MINE), OTHER), "not made by this key"),
        (signed(payload(MINE), ED25519), "not made by this key"),
        (Signature(payload(MINE), signed(payload(FOREIGN)).signature), "not made by this key"),
        (Signature(payload(MINE) + b" ", signed(payload(MINE)).signature), "not made by this key"),
        (Signature(payload(MINE), ""), "not made by this key"),
        (Signature(payload(MINE), "no base64 ü"), "not made by this key"),
        (signed(payload(FOREIGN)), "not one of this image"),
        (signed(payload(MINE, "atomic container signature")), "not one of this image"),
        (signed(payload([MINE])), "not one of this image"),
        (signed(b"[" * 50_000), "not one of this image"),
        (signed(b"[]"), "not one of this image"),
        (signed(b"\xff"), "not one of this image"),
    ],
)
def test_what_is_no_signature_of_this_image(offered: Signature, reason: str) -> None:
    judged = verify([offered], P256.public_key(), [MINE])
    assert judged.digest is None
    assert judged.reasons == (f"signature 1 is {reason}",)


@given(strategies.binary(max_size=300))
def test_no_bytes_that_are_signed_break_the_judgement(data: bytes) -> None:
    assert verify([signed(data), Signature(data, "AAAA")], P256.public_key(), [MINE]).digest is None


@pytest.mark.parametrize("text", [b"", b"no pem", pem(ec.generate_private_key(ec.SECP384R1()))])
def test_a_key_that_cannot_be_used(text: bytes) -> None:
    with pytest.raises(UnusableKey):
        signatures.public_key(text)


def manifest(offered: list[Signature]) -> bytes:
    layers = [
        {"mediaType": PAYLOAD_TYPE, "digest": digest(each.payload), "size": len(each.payload),
         "annotations": {SIGNATURE_ANNOTATION: each.signature}}
        for each in offered
    ]  # fmt: skip
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(b"{}"), "size": 2}
    kind = "application/vnd.oci.image.manifest.v1+json"
    return json.dumps({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers}).encode()


@pytest.mark.parametrize("listed", [False, True])
def test_an_image_of_a_real_registry(
    registry: RealRegistry, listed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BOATHOUSE_REGISTRY_USERNAME", USER)
    monkeypatch.setenv("BOATHOUSE_REGISTRY_PASSWORD", PASSWORD)
    image, name = Blobs(layer=f"signed, listed: {listed}".encode()), f"team/signed-{str(listed).lower()}"
    registry.push(name, "1", image)
    mine = digest(image.manifest)
    if listed:
        registry.put_index(name, "1", index_of(image))
        mine = digest(index_of(image))
    (tmp_path / "cosign.pub").write_bytes(pem(P256))
    (tmp_path / "other.pub").write_bytes(pem(OTHER))

    def asked(key: str) -> int:
        hosts = ["--registry-private-hosts", "127.0.0.1", "--registry-plain-http-hosts", "127.0.0.1"]
        return main(["image", *hosts, "verify", f"{registry.host}/{name}:1", "--key", str(tmp_path / key)])

    assert asked("cosign.pub") == 3
    assert f"there is no tag {mine.replace(':', '-')}.sig" in capsys.readouterr().out
    one = signed(payload(mine))
    for data in (one.payload, b"{}"):
        location = registry._call("POST", f"/v2/{name}/blobs/uploads/", b"").headers["Location"]
        path = location.removeprefix(f"http://{registry.host}")
        registry._call("PUT", f"{path}{'&' if '?' in path else '?'}digest={digest(data)}", data)
    kind = "application/vnd.oci.image.manifest.v1+json"
    registry._call("PUT", f"/v2/{name}/manifests/{signatures.tag(mine)}", manifest([one]), kind)
    assert asked("cosign.pub") == 0
    assert f"{registry.host}/{name}@{mine} is signed by" in capsys.readouterr().out
    assert asked("other.pub") == 3
    assert "signature 1 is not made by this key" in capsys.readouterr().out
    assert asked("nowhere.pub") == 1


def beside(fake: FakeRegistry):
    reference = references.parse(f"{fake.host}/team/app:1")
    return tagged(reference, "sha256-a.sig", PAYLOAD_TYPE, RegistryAccess(None, LOCAL))


def test_a_registry_that_lies_about_a_payload_or_has_too_much(fake: FakeRegistry) -> None:
    one = signed(payload(MINE))
    fake.answers |= {"/v2/": Answer(), f"/v2/team/app/blobs/{digest(one.payload)}": Answer(body=payload(FOREIGN))}
    assert beside(fake) == ()
    tagged = "/v2/team/app/manifests/sha256-a.sig"
    fake.answers[tagged] = Answer(body=manifest([one]))
    with pytest.raises(PullFailure, match="does not have the digest it must have"):
        beside(fake)
    fake.answers[tagged] = Answer(body=manifest([one] * (MOST_ATTACHED + 1)))
    with pytest.raises(PullFailure, match="no list of up to 64 layers"):
        beside(fake)
    fake.answers[tagged] = Answer(body=manifest([Signature(b"x" * 70_000, "")]))
    with pytest.raises(PullFailure, match="70000 bytes; 65536 are allowed"):
        beside(fake)
    fake.answers[tagged] = Answer(status=500)
    with pytest.raises(PullFailure, match="in trouble"):
        beside(fake)
