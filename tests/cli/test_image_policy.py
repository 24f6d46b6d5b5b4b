"""`boathouse image policy` against a server and a registry: what it prints, and its exit codes."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from boathouse.cli import main
from boathouse.images import archive, references
from boathouse.images.attachments import RegistryAccess
from boathouse.images.registry_auth import Login
from boathouse.images.registry_http import RegistrySettings
from boathouse.images.trust import signing
from tests.images import labelled
from tests.images.conftest import PASSWORD, USER, Blobs, RealRegistry, digest, registry  # noqa: F401 - a fixture

HOSTS = ["--registry-private-hosts", "127.0.0.1", "--registry-plain-http-hosts", "127.0.0.1"]
KEY = ec.generate_private_key(ec.SECP256R1())
PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.fixture
def server(served: Any, ready: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A server that the commands find."""
    monkeypatch.setenv("DATABRICKS_HOST", served("boathouse.compute.image_policies"))
    monkeypatch.setenv("DATABRICKS_TOKEN", ready.token)
    monkeypatch.setenv("BOATHOUSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BOATHOUSE_REGISTRY_USERNAME", USER)
    monkeypatch.setenv("BOATHOUSE_REGISTRY_PASSWORD", PASSWORD)


def written(path: Path, **policy: Any) -> str:
    path.write_text(json.dumps(policy))
    return str(path)


def test_set_show_except(server: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["image", "policy", "show"]) == 0
    assert capsys.readouterr().out == "nothing is demanded\n"
    file = written(tmp_path / "p.json", allowed_registries=["ghcr.io"], signers=[{"name": "team", "key": PEM}])
    assert main(["image", "policy", "set", file]) == 0
    image = "ghcr.io/team/app:1"
    assert main(["image", "policy", "except", image, "--reason", "the move", "--until", "2100-01-01", "--rule", "signers"]) == 0
    exception_id = capsys.readouterr().out.splitlines()[-1]
    assert main(["image", "policy", "show"]) == 0
    shown = capsys.readouterr().out
    assert "allowed_registries  ghcr.io" in shown and "signers             team" in shown
    assert f"{exception_id}  {image}  signers  until 2100-01-01" in shown and "the move" in shown
    assert main(["image", "policy", "unexcept", exception_id]) == 0
    assert main(["image", "policy", "unexcept", exception_id]) == 1
    capsys.readouterr()
    assert main(["image", "--output", "json", "policy", "show"]) == 0
    assert json.loads(capsys.readouterr().out)["exceptions"] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"max_age": 1}', "max_age"),
        ("{", "is no image policy"),
        ('{"max_severity": "critical"}', "max_severity: 'critical' is not allowed"),
    ],
)
def test_a_policy_that_cannot_be(tmp_path: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.json").write_text(text)
    assert main(["image", "policy", "set", str(tmp_path / "p.json")]) == 1
    assert said in capsys.readouterr().err


def test_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["image", "policy"], ["image", "policy", "except", "x", "--reason", "r", "--until", "soon"]):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 2
    assert "'soon' is no day" in capsys.readouterr().err


def test_check_says_what_a_launch_would(
    server: None,
    registry: RealRegistry,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    image = Blobs(layer=b"to be judged")
    registry.push("team/judged", "1", image)
    text = f"{registry.host}/team/judged:1"
    base = {"name": "base", "layers": [digest(image.layer)]}
    rules = {"pinned": True, "signers": [{"name": "team", "key": PEM}], "allowed_bases": [base], "max_severity": "high"}
    file = written(tmp_path / "p.json", **rules)

    def check(*words: str) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = main(["image", "--output", "json", *HOSTS, "policy", "check", *words])
        return code, json.loads(capsys.readouterr().out)

    code, found = check(text, "--policy", file)
    assert code == 1 and not found["allowed"] and found["digests"] == [digest(image.manifest)]
    assert [each["rule"] for each in found["refusals"]] == ["pinned", "signers", "max_severity"]
    assert "there are no advisories on this machine" in found["refusals"][2]["message"]

    access = RegistryAccess(
        Login(USER, PASSWORD), RegistrySettings(allowed_private_hosts=("127.0.0.1",), plain_http_hosts=("127.0.0.1",))
    )
    signing.sign(references.parse(text), digest(image.manifest), KEY, access, signing.PLACES)
    del rules["max_severity"]
    pinned = f"{registry.host}/team/judged@{digest(image.manifest)}"
    assert main(["image", "policy", "set", written(tmp_path / "p.json", **rules)]) == 0
    code, found = check(pinned)  # by the server's policy
    assert (code, found["allowed"], found["signed_by"]) == (0, True, ["team"])
    assert check(text)[0] == 1
    assert main(["image", "policy", "except", digest(image.manifest), "--reason", "r", "--until", "2100-01-01"]) == 0
    code, found = check(text)
    assert code == 0 and len(found["exceptions"]) == 1
    capsys.readouterr()
    assert main(["image", *HOSTS, "policy", "check", text]) == 0
    assert f"{pinned} is allowed" in capsys.readouterr().out


def test_the_layers_of_a_base(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layer = archive.Layer.of_bytes(labelled.layer({"/etc/os-release": b"ID=debian\n"}))
    archive.save(archive.compose((layer,), {}, (), {}, ("localhost/x:1",)), tmp_path / "base.tar")
    assert main(["image", "policy", "base", str(tmp_path / "base.tar"), "--name", "ours"]) == 0
    assert json.loads(capsys.readouterr().out) == {"name": "ours", "layers": [layer.digest]}
