"""Amazon's registry opened by AWS credentials, against moto's API."""

from collections.abc import Iterator

import pytest

from boathouse.dataplane.contract import Credentials, Renewable
from boathouse.images import references
from boathouse.images.failures import PullFailure
from boathouse.images.registry_access import Registries
from boathouse.images.registry_auth import Login
from boathouse.images.registry_ecr import Place, Tokens, place
from boathouse.images.registry_http import RegistrySettings
from tests.images.conftest import Answer, Blobs, FakeRegistry

HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
SECRET = {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key": "wJalrXUtnFEMI"}
WHERE = Place("123456789012", "eu-west-1")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (HOST, WHERE),
        ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", Place("123456789012", "us-gov-west-1", fips=True)),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", Place("123456789012", "cn-north-1")),
        ("public.ecr.aws", None),
        ("12345678901.dkr.ecr.eu-west-1.amazonaws.com", None),
        (f"{HOST}.evil.example", None),
        (f"{HOST}:443", None),
    ],
)
def test_whose_registry_it_is(host, expected):
    assert place(host) == expected


def test_the_hosts_of_the_api():
    assert WHERE.api == "api.ecr.eu-west-1.amazonaws.com"
    assert Place("1" * 12, "us-east-1", fips=True).api == "ecr-fips.us-east-1.amazonaws.com"


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    """moto's URL."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def tokens(aws: str, now: float = 1_400_000_000.0) -> Tokens:
    """moto's tokens end on 2015-01-01: `now` is before that."""
    endpoints = {WHERE.api: aws, "sts.us-east-1.amazonaws.com": aws}
    return Tokens(endpoints, now=lambda: now)


def test_a_token_is_fetched_once_and_again_when_it_has_ended(aws, monkeypatch):
    asked: list[str] = []
    real = Tokens._ask
    monkeypatch.setattr(Tokens, "_ask", lambda self, where, secret: asked.append(where.region) or real(self, where, secret))
    kept = tokens(aws)
    found = kept.get(WHERE, SECRET)
    assert (found.username, found.password) == ("AWS", "123456789012-auth-token")
    assert kept.get(WHERE, SECRET) == found and len(asked) == 1
    kept.get(WHERE, SECRET, renew=True)
    assert len(asked) == 2
    kept.get(WHERE, {**SECRET, "aws_access_key_id": "another"})  # whose it is decides
    assert len(asked) == 3
    late = tokens(aws, now=1_420_069_800.0)  # five minutes before its end
    late.get(WHERE, SECRET)
    late.get(WHERE, SECRET)
    assert len(asked) == 5


def test_the_machines_own_credentials_where_a_setting_says_so(aws, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOFTHEMACHINE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    assert tokens(aws).get(WHERE, None).username == "AWS"
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(PullFailure, match="NoCredentialsError"):
        tokens(aws).get(WHERE, None)


def test_who_stands_for_a_profile_is_asked(aws):
    assert ":123456789012:" in tokens(aws).identify(SECRET)


def test_an_api_that_is_not_there_is_explained(fake: FakeRegistry):
    fake.answers["/"] = Answer(403, b"{}")
    for url, words in ((f"http://{fake.host}", "Amazon"), ("http://127.0.0.1:1", "no connection with 127.0.0.1")):
        with pytest.raises(PullFailure, match=words) as failed:
            Tokens({WHERE.api: url}).get(WHERE, SECRET)
        assert SECRET["aws_secret_access_key"] not in failed.value.text


def test_an_address_that_no_setting_names_is_not_asked(monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", lambda host, port, **_: [(2, 1, 6, "", ("169.254.169.254", port))])
    with pytest.raises(PullFailure, match="link-local or metadata address"):
        Tokens().get(WHERE, SECRET)


def test_an_expired_token_is_renewed(fake: FakeRegistry):
    """The registry refuses the token that was kept; the one that comes next it takes."""
    image = Blobs()
    fake.serve(image)
    fresh = Login("AWS", "fresh")
    fake.lock(lambda given: given == fresh.header, f'Basic realm="https://{HOST}/",service="ecr.amazonaws.com"')
    given: list[bool] = []

    def get(renew: bool) -> Credentials:
        given.append(renew)
        return Credentials("AWS", "fresh" if renew else "expired")

    settings = RegistrySettings(plain_http_hosts=(fake.host,), endpoints={HOST: fake.host})
    found, _ = Registries(settings).resolve(references.parse(f"{HOST}/team/app:1"), Renewable("profile", get))
    assert (found.pinned.partition("@")[0], given) == (f"{HOST}/team/app", [False, True])
    with pytest.raises(PullFailure, match="aws_attributes.instance_profile_arn"):
        Registries(settings).resolve(references.parse(f"{HOST}/team/app:1"), None)
