"""`image keys`, `image sign` and `image verify` together, against a real registry and one that has a list of referrers."""

import json
import stat
from base64 import b64encode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from boathouse.cli import main
from boathouse.images import attachments, references
from boathouse.images.attachments import Attachment, RegistryAccess
from boathouse.images.failures import PullFailure
from boathouse.images.registry_auth import Login
from boathouse.images.registry_http import RegistrySettings
from boathouse.images.trust import signatures, signing
from boathouse.images.trust.signatures import PAYLOAD_TYPE
from tests.images.conftest import PASSWORD, USER, Answer, Blobs, FakeRegistry, RealRegistry, digest, index_of

LOCAL = RegistrySettings(allowed_private_hosts=("127.0.0.1",), plain_http_hosts=("127.0.0.1",), stall_seconds=5)
ACCESS = RegistryAccess(Login(USER, PASSWORD), LOCAL)
HOSTS = ["--registry-private-hosts", "127.0.0.1", "--registry-plain-http-hosts", "127.0.0.1"]
ONE, TWO = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOATHOUSE_REGISTRY_USERNAME", USER)
    monkeypatch.setenv("BOATHOUSE_REGISTRY_PASSWORD", PASSWORD)
    monkeypatch.setenv("COSIGN_PASSWORD", "correct horse")


def test_a_pair_signs_and_verifies_from_the_command_line(
    registry: RealRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    image, prefix = Blobs(layer=b"from the command line"), str(tmp_path / "team")
    registry.push("team/signed-here", "1", image)
    reference = f"{registry.host}/team/signed-here:1"
    assert main(["image", "keys", "--prefix", prefix]) == 0
    assert stat.S_IMODE((tmp_path / "team.key").stat().st_mode) == 0o600
    assert main(["image", "keys", "--prefix", prefix]) == 1  # never over a key that is there
    capsys.readouterr()
    verify = ["image", *HOSTS, "verify", reference, "--key", f"{prefix}.pub"]
    sign = ["image", *HOSTS, "sign", reference, "--key", f"{prefix}.key"]
    assert main(verify) == 3
    capsys.readouterr()
    assert main([*sign, "--store", "both"]) == 0
    pinned = f"{registry.host}/team/signed-here@{digest(image.manifest)}"
    told = [f"{pinned}: signed, under cosign's tag", f"{pinned}: signed, as an OCI referrer"]
    assert capsys.readouterr().out.splitlines() == told
    assert main(["image", "--output", "json", *sign[1:]]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["pinned"], found["places"]) == (pinned, {"tag": "before"})
    assert main(verify) == 0
    monkeypatch.delenv("COSIGN_PASSWORD")
    assert main(sign) == 1
    assert "set COSIGN_PASSWORD" in capsys.readouterr().err
    (tmp_path / "word").write_text("correct horse\n")
    assert main([*sign, "--passphrase-file", str(tmp_path / "word")]) == 0
    monkeypatch.setenv("OTHER", "wrong")
    assert main([*sign, "--passphrase-env", "OTHER"]) == 1
    assert "does not open it" in capsys.readouterr().err


@pytest.mark.parametrize("place", signing.PLACES)
def test_two_keys_sign_one_image_in_a_registry_without_referrers(registry: RealRegistry, place: str) -> None:
    image = Blobs(layer=f"twice, {place}".encode())
    name = f"team/twice-{place}"
    registry.push(name, "1", image)
    listed = index_of(image)
    registry.put_index(name, "all", listed)
    reference, subject = references.parse(f"{registry.host}/{name}:all"), digest(listed)
    for key in (ONE, TWO):
        assert signing.sign(reference, subject, key, ACCESS, [place]).places == ((place, "pushed"),)
    assert signing.sign(reference, subject, ONE, ACCESS, [place]).places == ((place, "before"),)
    there = signing.kept(reference, [subject], ACCESS)
    assert len(there) == 2
    for key in (ONE, TWO):
        assert signatures.verify(there, key.public_key(), [subject]).digest == subject
    assert signing.kept(reference, [digest(image.manifest)], ACCESS) == ()


def test_what_others_keep_under_the_tag_stays(registry: RealRegistry) -> None:
    registry.push("team/others", "1", Blobs(layer=b"others"))
    reference = references.parse(f"{registry.host}/team/others:1")
    other = Attachment(b"something else", {"a": "b"})
    attachments.push_tagged(reference, "sha256-x.sig", "application/octet-stream", other, ACCESS)
    attachments.push_tagged(reference, "sha256-x.sig", PAYLOAD_TYPE, Attachment(b"{}"), ACCESS)
    assert attachments.tagged(reference, "sha256-x.sig", "application/octet-stream", ACCESS) == (other,)
    assert attachments.tagged(reference, "sha256-x.sig", PAYLOAD_TYPE, ACCESS) == (Attachment(b"{}"),)


def test_who_may_not_write(registry: RealRegistry) -> None:
    registry.push("team/closed", "1", Blobs())
    reference, subject = references.parse(f"{registry.host}/team/closed:1"), digest(Blobs().manifest)
    with pytest.raises(PullFailure, match="user and a password"):
        signing.sign(reference, subject, ONE, RegistryAccess(None, LOCAL))
    with pytest.raises(PullFailure, match="does not exist"):
        signing.sign(reference, f"sha256:{'0' * 64}", ONE, ACCESS, ["referrer"])


def referrers(fake: FakeRegistry, entries: object) -> tuple[Attachment, ...]:
    subject = f"sha256:{'a' * 64}"
    body = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    fake.answers[f"/v2/team/app/referrers/{subject}"] = Answer(body=body)
    reference = references.parse(f"{fake.host}/team/app:1")
    return attachments.referring(reference, subject, signing.ARTIFACT, PAYLOAD_TYPE, RegistryAccess(None, LOCAL))


def test_a_registry_with_a_list_of_referrers(fake: FakeRegistry) -> None:
    fake.answers["/v2/"] = Answer()
    payload = b"a payload"
    layer = {"mediaType": PAYLOAD_TYPE, "digest": digest(payload), "size": len(payload), "annotations": {"k": "v"}}
    manifest = json.dumps({"schemaVersion": 2, "config": {}, "layers": [layer]}).encode()
    entry = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest(manifest), "size": len(manifest)}
    fake.answers |= {
        f"/v2/team/app/manifests/{digest(manifest)}": Answer(body=manifest),
        f"/v2/team/app/blobs/{digest(payload)}": Answer(body=payload),
    }
    other = {**entry, "digest": f"sha256:{'b' * 64}", "artifactType": "application/spdx+json"}
    assert referrers(fake, [other, {**entry, "artifactType": signing.ARTIFACT}]) == (Attachment(payload, {"k": "v"}),)
    assert referrers(fake, [entry]) == ()  # of no kind
    for wrong, reason in (
        ("text", "cannot be read"),
        ([{"artifactType": signing.ARTIFACT}], "malformed"),
        ([{**entry, "artifactType": signing.ARTIFACT}] * 65, "more than 64"),
    ):
        with pytest.raises(PullFailure, match=reason):
            referrers(fake, wrong)
    fake.answers[f"/v2/team/app/manifests/{digest(manifest)}"] = Answer(body=manifest + b" ")
    with pytest.raises(PullFailure, match="digest it must have"):
        referrers(fake, [{**entry, "artifactType": signing.ARTIFACT}])


def test_credentials_do_not_follow_an_upload_to_another_host(fake: FakeRegistry, other: FakeRegistry) -> None:
    """A registry may say that a blob goes elsewhere; what goes there is the blob, not the password."""
    basic = "Basic " + b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    fake.answers |= {
        "/v2/": lambda headers: Answer() if "authorization" in headers else Answer(401, headers={"WWW-Authenticate": "Basic"}),
        "/v2/team/app/blobs/uploads/": Answer(202, headers={"Location": f"http://{other.host}/put?state=1"}),
    }
    other.answers["/put"] = Answer(201)
    reference = references.parse(f"{fake.host}/team/app:1")
    with pytest.raises(PullFailure):
        attachments.push_tagged(reference, "sha256-a.sig", PAYLOAD_TYPE, Attachment(b"bytes"), ACCESS)
    assert all("authorization" not in headers for headers in other.asked("/put")) and other.asked("/put")
    assert fake.asked("/v2/team/app/blobs/uploads/")[0]["authorization"] == basic


def test_a_registry_that_keeps_the_list_itself_needs_no_tag_for_it(fake: FakeRegistry) -> None:
    image = Blobs(layer=b"subject")
    subject, base = digest(image.manifest), "/v2/team/app"
    fake.answers |= {
        "/v2/": Answer(),
        f"{base}/manifests/{subject}": Answer(body=image.manifest),
        f"{base}/blobs/uploads/": Answer(202, headers={"Location": f"{base}/blobs/uploads/1"}),
        f"{base}/blobs/uploads/1": Answer(201),
    }
    reference = references.parse(f"{fake.host}/team/app:1")

    def push() -> str:
        kept = (reference, subject, signing.ARTIFACT, PAYLOAD_TYPE, Attachment(b"a payload"))
        return attachments.push_referring(*kept, RegistryAccess(None, LOCAL))

    with pytest.raises(PullFailure, match="cannot be written"):
        push()
    (path, _), *_ = reversed(fake.seen)  # where the manifest would have been
    fake.answers[path] = Answer(201, headers={"OCI-Subject": subject})
    assert path == f"{base}/manifests/{push()}"
    assert fake.asked(f"{base}/manifests/{attachments.referrers_tag(subject)}") == []
    fake.answers[path] = Answer(201)  # one that does not say so: the list is ours to keep, and this registry does not take it
    with pytest.raises(PullFailure):
        push()
    assert fake.asked(f"{base}/manifests/{attachments.referrers_tag(subject)}")
