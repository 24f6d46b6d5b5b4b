"""Objects in clouds by the clouds' own client libraries, against stand-ins: content, options, credentials, words."""

import socket
import threading

import pytest
from sqlalchemy import select

from boathouse.edge.tables import audit
from boathouse.workspace.clouds.places import CloudError, CloudSettings, Place, S3Options, parse
from boathouse.workspace.clouds.store import CloudStore
from boathouse.workspace.locations import LocationError, Locations, Reader
from boathouse.workspace.references import Secrets

KEY, SECRET = "AKIAEXAMPLE", "very/secret+value"
ACCOUNT = "store.dfs.core.windows.net"


@pytest.fixture
def locations_with(store, blobs, services):
    """`locations_with(private_hosts=..., endpoints=..., credentials=...)`."""
    return lambda **said: Locations(store, blobs, CloudStore(services.get(Secrets), CloudSettings(**said)))


@pytest.fixture
def admin(ready):
    return Reader(ready.home.workspace_id, ready.home.admin)


@pytest.fixture
def ann(make_user, ready):
    make_user("ann@x.org")
    return Reader(ready.home.workspace_id, "ann@x.org")


def refusal(call, *args, **named):
    with pytest.raises(LocationError) as refused:
        list(call(*args, **named) or ())
    assert SECRET not in refused.value.message
    return refused.value.kind, refused.value.message


@pytest.fixture(scope="module")
def aws():
    """S3 with a bucket `logs`, by moto: its host and port, and the client that made the bucket."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.client(
        "s3", endpoint_url=f"http://127.0.0.1:{port}", aws_access_key_id="x", aws_secret_access_key="x", region_name="us-east-1"
    )
    client.create_bucket(Bucket="logs")
    yield f"127.0.0.1:{port}", client
    server.stop()


def test_s3_by_a_stand_in_that_the_operator_names(aws, locations_with, admin, ann, scope, store):
    host, client = aws
    scope("logs-writer", aws_access_key_id=KEY, aws_secret_access_key=SECRET, region="eu-west-1")
    locations = locations_with(endpoints={"s3.amazonaws.com": f"http://{host}"}, credentials={"s3://logs/team/": "logs-writer"})
    locations.write("s3://logs/team/a/b.log", admin, [b"one", b"two"])
    assert b"".join(locations.read("s3://logs/team/a/b.log", admin, limit=6)) == b"onetwo"
    big = bytes(range(256)) * (5 << 12)
    locations.write("s3://logs/private", ann, [b"x"])
    assert refusal(locations.read, "s3://logs/private", ann, limit=5)[0] == "denied"  # unsigned, and not public
    pieces = (big[n : n + 70_000] for n in range(0, len(big), 70_000))
    locations.write("s3a://logs/public/big", ann, pieces, s3=S3Options(canned_acl="public-read"))
    assert b"".join(locations.read("s3://logs/public/big", ann, limit=len(big))) == big
    assert refusal(locations.read, "s3://logs/team/a/b.log", admin, limit=5) == (
        "invalid", "s3://logs/team/a/b.log: it has 6 bytes; the limit is 5",
    )  # fmt: skip
    assert refusal(locations.read, "s3://logs/team/none", admin, limit=5)[0] == "missing"
    assert refusal(locations.read, "s3://nobucket/team/none", admin, limit=5) == (
        "missing", "s3://nobucket/team/none: the bucket does not exist",
    )  # fmt: skip
    for call in (
        lambda: refusal(locations.read, "s3://logs/team/a/b.log", ann, limit=9),
        lambda: refusal(locations.write, "s3://logs/team/x", ann, [b""]),
    ):
        kind, message = call()
        assert kind == "denied" and "ann@x.org does not have READ permission on scope logs-writer" in message
    with store.read() as reader:
        assert "locations.credential" in {row.action for row in reader.execute(select(audit.c.action))}


def test_s3_at_an_endpoint_that_a_user_names(aws, locations_with, ann):
    host, client = aws
    options = S3Options(region="eu-central-1", endpoint=f"http://{host}")
    assert refusal(locations_with().read, "s3://logs/x", ann, limit=5, s3=options)[1].endswith(
        "an endpoint without TLS must be named by the setting location_private_hosts"
    )
    locations = locations_with(private_hosts=(host,))
    sealed = S3Options(
        endpoint=f"http://{host}", enable_encryption=True, encryption_type="sse-kms", kms_key="k1",
        canned_acl="bucket-owner-full-control",
    )  # fmt: skip
    locations.write("s3://logs/sealed", ann, [b"x"], s3=sealed)
    head = client.head_object(Bucket="logs", Key="sealed")
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", "k1")
    locations.write("s3://logs/plain", ann, [b"x"], s3=S3Options(endpoint=f"http://{host}", enable_encryption=True))
    assert client.head_object(Bucket="logs", Key="plain")["ServerSideEncryption"] == "AES256"
    for wrong, says in (({"encryption_type": "rot13"}, "sse-s3, sse-kms"), ({"canned_acl": "mine"}, "bucket-owner-full-control")):
        kind, message = refusal(locations.write, "s3://logs/y", ann, [b""], s3=S3Options(endpoint=f"http://{host}", **wrong))
        assert kind == "invalid" and says in message


@pytest.mark.parametrize(
    ("endpoint", "kind", "says"),
    [
        ("https://169.254.169.254", "unreachable", "link-local or metadata address"),
        ("https://[fd00:ec2::254]", "unreachable", "link-local or metadata address"),
        ("https://127.0.0.1:9", "unreachable", "the setting location_private_hosts does not name it"),
        ("https://10.0.0.1", "unreachable", "private address"),
        ("https://localhost:9", "unreachable", "private address"),
        ("https://no-such-host.invalid", "unreachable", "its name is unknown here"),
        ("http://example.org", "invalid", "without TLS"),
        ("ftp://example.org", "invalid", "is not of the form"),
        ("https://user@example.org", "invalid", "is not of the form"),
        ("https://example.org/path", "invalid", "is not of the form"),
        ("https://example.org:x", "invalid", "is not of the form"),
        ("https://[example.org", "invalid", "is not of the form"),
        ("https://example.org?a=b", "invalid", "is not of the form"),
        ("https://two words", "invalid", "is not of the form"),
        ("https://-.org", "invalid", "is not of the form"),
        ("https://a..org", "invalid", "does not take such"),
        ("https://example.org:99999", "invalid", "does not take such"),
    ],
)
def test_endpoints_that_are_refused(locations_with, ann, endpoint, kind, says):
    found, message = refusal(locations_with().read, "s3://logs/x", ann, limit=5, s3=S3Options(endpoint=endpoint))
    assert (found, says in message) == (kind, True), message


def test_a_region_that_is_none(locations_with, ann):
    for region in ("us east", "x.evil.example", "a/../b"):
        assert refusal(locations_with().read, "s3://logs/x", ann, limit=5, s3=S3Options(region=region))[0] == "invalid"


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        (b"", "unreachable"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1", "unreachable"),
        (b"HTTP/1.1 200 OK\r\n\r\n1", "invalid"),
    ],
)
def test_an_endpoint_that_drips_is_cut_off(locations_with, ann, monkeypatch, sent, kind):
    from boathouse.workspace.clouds import s3

    monkeypatch.setattr(s3, "SECONDS", 0.3)
    monkeypatch.setattr(s3.judged, "SILENCE_SECONDS", 600.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held = []

        def answer():
            while True:
                try:
                    made, _ = listener.accept()
                except OSError:
                    return
                held.append(made)
                made.sendall(sent)

        threading.Thread(target=answer, daemon=True).start()
        options = S3Options(endpoint=f"http://127.0.0.1:{listener.getsockname()[1]}")
        locations = locations_with(private_hosts=("127.0.0.1",))
        assert refusal(locations.read, "s3://logs/x", ann, limit=64 << 10, s3=options)[0] == kind
        listener.shutdown(socket.SHUT_RDWR)
        for each in held:
            each.close()


def test_a_credential_does_not_go_where_a_user_sends_it(locations_with, admin, scope):
    scope("s", aws_access_key_id=KEY, aws_secret_access_key=SECRET)
    locations = locations_with(credentials={"s3://logs": "s"})
    kind, message = refusal(locations.read, "s3://logs/x", admin, limit=5, s3=S3Options(endpoint="https://evil.example"))
    assert kind == "denied" and "its credential does not go to evil.example" in message


def test_credentials_that_cannot_be_had(locations_with, admin, ann, scope):
    scope("empty")
    locations = locations_with(credentials={"s3://logs": "empty", "s3://other": "missing"})
    for bucket in ("logs", "other"):
        kind, message = refusal(locations.read, f"s3://{bucket}/x", admin, limit=5)
        assert kind == "denied" and "has none of aws_access_key_id" in message


def test_the_longest_beginning_counts_at_a_border():
    said = CloudSettings(credentials={"s3://a": "one", "s3://a/b/": "two"})
    assert [said.scope(f"s3://{path}") for path in ("a/x", "a/b/x", "a/bx", "ab/x", "b/x")] == ["one", "two", "one", None, None]


@pytest.mark.parametrize(
    ("location", "place"),
    [
        ("s3://logs/a/b c", Place("s3", "logs", "a/b c")),
        ("s3a://logs/a", Place("s3", "logs", "a")),
        ("gs://my_bucket/a", Place("gs", "my_bucket", "a")),
        (f"abfss://data@{ACCOUNT}/a/b", Place("abfss", "data", "a/b", ACCOUNT)),
    ],
)
def test_places(location, place):
    assert parse(location) == place


@pytest.mark.parametrize(
    "location",
    [
        "s3://logs", "s3://logs/", "s3:///x", "s3://UPPER/x", "s3://a/../x", "s3://abc/a/../x", "s3://abc/a//x", "s3://abc/a\nb",
        "s3://abc/" + "x" * 1025, "s3://a@b/x", "abfss://data/x", "abfss://Data@host/x", "abfss://data@host:80/x",
        "abfss://data@host/", "abfss://data@[::1]/x", "gs://-x/y",
    ],
)  # fmt: skip
def test_places_that_are_none(location):
    with pytest.raises(CloudError) as refused:
        parse(location)
    assert refused.value.kind == "invalid"


def test_an_azure_host_must_be_an_accounts(locations_with, ann):
    kind, message = refusal(locations_with().read, "abfss://data@evil.example/x", ann, limit=5)
    assert (kind, "no host of an Azure storage account" in message) == ("invalid", True)


@pytest.fixture(scope="module")
def gcs():
    from gcp_storage_emulator.server import create_server

    server = create_server("127.0.0.1", 0, in_memory=True, default_bucket="logs")
    server.start()
    yield f"http://127.0.0.1:{server._api._httpd.server_address[1]}"
    server.stop()


def test_gcs_by_a_stand_in(gcs, locations_with, admin, ann, scope):
    locations = locations_with(endpoints={"storage.googleapis.com": gcs}, credentials={"gs://logs/team": "g"})
    locations.write("gs://logs/a/b.txt", ann, [b"one", b"two"])
    assert b"".join(locations.read("gs://logs/a/b.txt", ann, limit=6)) == b"onetwo"
    big = bytes(range(256)) * (40 << 10)
    locations.write("gs://logs/big", ann, [big])
    assert b"".join(locations.read("gs://logs/big", ann, limit=len(big))) == big
    assert refusal(locations.read, "gs://logs/a/b.txt", ann, limit=5)[1].endswith("it has 6 bytes; the limit is 5")
    assert refusal(locations.read, "gs://logs/none", ann, limit=5) == ("missing", "gs://logs/none: it does not exist")
    scope("g", gcs_service_account_json=SECRET)
    kind, message = refusal(locations.read, "gs://logs/team/x", admin, limit=5)
    assert (kind, "no key of a service account" in message) == ("denied", True)


@pytest.fixture(scope="module")
def azure():
    """A storage account's blob service, as far as one file is written and read: `fake_azure.py`."""
    from tests.workspace.clouds.fake_azure import BlobService

    server = BlobService()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_azure_by_a_stand_in(azure, locations_with, admin, ann, scope):
    from base64 import b64encode

    key = b64encode(SECRET.encode()).decode()
    scope("az", azure_account_key=key)
    locations = locations_with(endpoints={ACCOUNT: azure.url}, credentials={f"abfss://data@{ACCOUNT}": "az"})
    there = f"abfss://data@{ACCOUNT}/a/b.txt"
    locations.write(there, admin, [b"one", b"two"])
    assert b"".join(locations.read(there, admin, limit=6)) == b"onetwo"
    assert all(value.startswith("SharedKey store:") and key not in value for value in azure.authorizations)
    big = bytes(range(256)) * (80 << 10)
    locations.write(f"abfss://data@{ACCOUNT}/big", admin, [big])
    assert b"".join(locations.read(f"abfss://data@{ACCOUNT}/big", admin, limit=len(big))) == big
    assert refusal(locations.read, there, admin, limit=5)[1].endswith("it has 6 bytes; the limit is 5")
    assert refusal(locations.read, there + "x", admin, limit=5)[0] == "missing"
    assert refusal(locations.read, there, ann, limit=5)[0] == "denied"


def test_an_azure_key_that_is_none(azure, locations_with, admin, scope):
    scope("bad", azure_account_key=SECRET)
    locations = locations_with(endpoints={ACCOUNT: azure.url}, credentials={f"abfss://data@{ACCOUNT}": "bad"})
    assert refusal(locations.read, f"abfss://data@{ACCOUNT}/x", admin, limit=5)[0] == "denied"
