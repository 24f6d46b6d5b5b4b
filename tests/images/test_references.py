"""Image references of every form: tables, and properties over generated ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boathouse.images.references import InvalidReference, Reference, parse

SHA = "sha256:" + "0123456789abcdef" * 4
SHA512 = "sha512:" + "0123456789abcdef" * 8

NORMAL_FORMS = {
    "ubuntu": "docker.io/library/ubuntu:latest",
    "ubuntu:22.04": "docker.io/library/ubuntu:22.04",
    "databricksruntime/standard:17.3-LTS": "docker.io/databricksruntime/standard:17.3-LTS",
    "docker.io/ubuntu": "docker.io/library/ubuntu:latest",
    "index.docker.io/library/ubuntu": "docker.io/library/ubuntu:latest",
    "registry-1.docker.io/org/app:1": "docker.io/org/app:1",
    "library/ubuntu": "docker.io/library/ubuntu:latest",
    "localhost/app": "localhost/app:latest",
    "localhost:5000/app": "localhost:5000/app:latest",
    "127.0.0.1:5000/team/app:v1": "127.0.0.1:5000/team/app:v1",
    "[::1]:5000/app:1": "[::1]:5000/app:1",
    "[2001:DB8:0::1]/app": "[2001:db8::1]/app:latest",
    "Registry.Example.COM/app": "registry.example.com/app:latest",
    "LOCALHOST/app:1": "localhost/app:1",
    "registry.example.com:443/a/b/c/d:x_1.2-3": "registry.example.com:443/a/b/c/d:x_1.2-3",
    "app:5000": "docker.io/library/app:5000",
    f"ubuntu@{SHA}": f"docker.io/library/ubuntu@{SHA}",
    f"org/app:tag@{SHA}": f"docker.io/org/app:tag@{SHA}",
    f"host.example/app@{SHA512}": f"host.example/app@{SHA512}",
    "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app:v1": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app:v1",
    "myregistry.azurecr.io/app:1": "myregistry.azurecr.io/app:1",
    "europe-west3-docker.pkg.dev/project/repo/app:1": "europe-west3-docker.pkg.dev/project/repo/app:1",
    "gcr.io/project/app": "gcr.io/project/app:latest",
    "ghcr.io/org/app__x-y--z.w:1": "ghcr.io/org/app__x-y--z.w:1",
}

REFUSED = {
    "": "it is empty",
    "https://docker.io/ubuntu": "Leave that away: docker.io/ubuntu",
    "docker://ubuntu": "Leave that away: ubuntu",
    "ubuntu 22.04": "white space",
    "ubuntu\n": "white space",
    "übuntu": "characters that no reference has",
    "ubuntu\x00": "characters that no reference has",
    "Ubuntu": "capital letters",
    "org/App:1": "org/app:1",
    "Org/app:1": "org/app:1",
    "ubuntu:": "its tag is empty",
    "ubuntu:.5": "is no tag",
    "ubuntu:" + "a" * 129: "is no tag",
    "ubuntu@sha256:abc": "64 hexadecimal digits",
    "ubuntu@md5:" + "a" * 32: "names no known algorithm",
    "ubuntu@": "names no known algorithm",
    "ubuntu@" + SHA.upper().replace("SHA256", "sha256"): "lower case",
    "host.example/": "empty",
    "/ubuntu": "empty",
    "a//b": "empty",
    "host.example:0/app": "is no port",
    "host.example:99999/app": "is no port",
    "host.example:/app": "is no port",
    "-host.example/app": "is no host name",
    "host..example/app": "is no host name",
    "[::1/app": "is no host",
    "[zz]/app": "IPv6",
    "[fe80::1%eth0]/app": "is no host",
    "user@host.example/app": "names no known algorithm",
    "a" * 64: "image id",
    "org/a..b": "is no part",
    "org/-a": "is no part",
    "org/" + "a" * 300: "255 are allowed",
    "a" * 5000: "At most 1024",
    "../../etc/passwd": "is no host name",
    "host.example/../app": "is no part",
}


@pytest.mark.parametrize(("text", "normal"), NORMAL_FORMS.items())
def test_normal_form(text: str, normal: str) -> None:
    assert str(parse(text)) == normal
    assert str(parse(normal)) == normal


@pytest.mark.parametrize(("text", "words"), REFUSED.items())
def test_refused_with_field_value_and_fix(text: str, words: str) -> None:
    if text == "a" * 64:
        text = "0" * 64
    with pytest.raises(InvalidReference) as refused:
        parse(text, "docker_image.url")
    assert words in str(refused.value)
    assert str(refused.value).startswith("docker_image.url: ")
    assert repr(text[:40])[1:20] in str(refused.value)
    assert len(str(refused.value)) < 1500


@pytest.mark.parametrize(
    ("text", "provider"),
    [
        ("ubuntu", "docker-hub"),
        ("123456789012.dkr.ecr.us-gov-west-1.amazonaws.com/a", "ecr"),
        ("public.ecr.aws/x/y", "ecr"),
        ("x.azurecr.io/a", "acr"),
        ("us-docker.pkg.dev/p/r/a", "gar"),
        ("eu.gcr.io/p/a", "gar"),
        ("registry.example.com/a", "other"),
        ("azurecr.io.example.com/a", "other"),
    ],
)
def test_provider(text: str, provider: str) -> None:
    assert parse(text).provider == provider


def test_docker_hub_api_has_another_host_and_a_digest_decides() -> None:
    reference = parse(f"ubuntu:22.04@{SHA}")
    assert reference.api_host == "registry-1.docker.io"
    assert reference.asked == SHA
    assert reference.pinned(SHA) == f"docker.io/library/ubuntu@{SHA}"


component = st.from_regex(r"[a-z0-9]{1,8}((\.|_|__|-{1,3})[a-z0-9]{1,5}){0,2}", fullmatch=True)
hosts = st.sampled_from(["docker.io", "localhost", "localhost:5000", "r.example.com", "r.example.com:1", "[::1]:65535"])
tags = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
references = st.builds(
    Reference,
    hosts,
    st.lists(component, min_size=2, max_size=4).map("/".join),
    tags | st.none(),
    st.just(SHA) | st.none(),
).filter(lambda reference: reference.tag or reference.digest)


@given(references)
def test_every_normal_form_reads_back_as_itself(reference: Reference) -> None:
    assert parse(str(reference)) == reference


@given(st.text(max_size=80) | st.from_regex(r"[a-zA-Z0-9:/@._\[\]-]{0,60}", fullmatch=True))
def test_any_text_is_read_or_refused_and_reading_is_stable(text: str) -> None:
    try:
        reference = parse(text)
    except InvalidReference as refused:
        assert refused.field == "docker_image.url"
        return
    assert parse(str(reference)) == reference
    assert reference.host == reference.host.lower()
