"""Log delivery: what may be configured, by the unmodified SDK; and that every line gets where it shall, once, to a real S3."""

import csv
import io
import json

import boto3
import httpx
import pytest
from databricks.sdk.errors import BadRequest, InvalidParameterValue, NotFound, PermissionDenied, ResourceConflict
from databricks.sdk.service import billing, provisioning
from moto.server import ThreadedMotoServer
from sqlalchemy import insert, select

from boathouse.account import log_shipping
from boathouse.account.audit_delivery import SETTLED_MS
from boathouse.account.log_shipping import LogShipping, Undeliverable
from boathouse.account.tables import log_delivery_configurations as configurations
from boathouse.account.tables import usage_records
from boathouse.edge.tables import audit
from boathouse.identity import registry
from boathouse.server.control import shipping_to
from boathouse.workspace.clouds.places import CloudSettings
from boathouse.workspace.clouds.store import CloudStore
from boathouse.workspace.locations import Locations
from boathouse.workspace.references import Secrets

ROLE = "arn:aws:iam::123456789012:role/logs"
AUDIT, USAGE = billing.LogType.AUDIT_LOGS, billing.LogType.BILLABLE_USAGE
HOUR = 3_600_000


@pytest.fixture
def modules():
    from tests.account.conftest import MODULES

    more = ("cloud_credentials", "storage_configurations", "log_delivery")
    return (*MODULES, *(f"boathouse.account.{name}" for name in more))


@pytest.fixture
def host(served, modules, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    return served(*modules)


def credentials_of(a, name="logs"):
    role = provisioning.CreateCredentialAwsCredentials(sts_role=provisioning.CreateCredentialStsRole(role_arn=ROLE))
    return a.credentials.create(name, role)


def bucket_of(a, name="logs", bucket="logs"):
    return a.storage.create(name, provisioning.RootBucketInfo(bucket_name=bucket))


@pytest.fixture
def ordered(a):
    """`ordered(AUDIT, delivery_path_prefix="x")`: a configuration."""
    of, to = credentials_of(a), bucket_of(a)

    def make(log_type, **more):
        form = billing.OutputFormat.JSON if log_type == AUDIT else billing.OutputFormat.CSV
        wish = {"log_type": log_type, "output_format": form, "credentials_id": of.credentials_id,
                "storage_configuration_id": to.storage_configuration_id, **more}  # fmt: skip
        return a.log_delivery.create(billing.CreateLogDeliveryConfigurationParams(**wish)).log_delivery_configuration

    return make


class Shelf:
    """Where files go in memory; `refuse`: what the destination says instead."""

    def __init__(self):
        self.files, self.refuse, self.by = {}, "", set()

    def __call__(self, location, workspace_id, principal, content):
        if self.refuse:
            raise Undeliverable(self.refuse)
        self.files[location] = content
        self.by.add((workspace_id, principal))

    def lines(self, prefix=""):
        return [json.loads(line) for name in sorted(self.files) if name.startswith(prefix)
                for line in self.files[name].splitlines()]  # fmt: skip


def happened(store, ready, request_id, workspace_id=None, **more):
    row = {"at": store.clock(), "workspace_id": ready.home.workspace_id if workspace_id is None else workspace_id,
           "principal": "ann@x.org", "action": "clusters.create", "request_id": request_id, "status": 200, "source": "1.2.3.4",
           "request": "{}", **more}  # fmt: skip
    with store.transaction() as tx:
        tx.execute(insert(audit).values(**row))


def test_credentials_and_storage(a):
    made = credentials_of(a)
    assert (made.credentials_name, made.aws_credentials.sts_role.role_arn) == ("logs", ROLE)
    assert a.credentials.get(made.credentials_id) == made and list(a.credentials.list()) == [made]
    bucket = bucket_of(a)
    assert a.storage.get(bucket.storage_configuration_id) == bucket and list(a.storage.list()) == [bucket]
    with pytest.raises(ResourceConflict, match="is taken"):
        credentials_of(a)
    with pytest.raises(InvalidParameterValue, match="bucket_name: 'No_Bucket' is no bucket"):
        bucket_of(a, "other", "No_Bucket")
    with pytest.raises(InvalidParameterValue, match="4 to 256"):
        bucket_of(a, "abc")
    assert a.credentials.delete(made.credentials_id) == made
    with pytest.raises(NotFound):
        a.credentials.get(made.credentials_id)
    with pytest.raises(NotFound):
        a.storage.delete(made.credentials_id)  # another kind's


def test_a_configuration(a, ordered, ready):
    made = ordered(AUDIT, config_name="audit", delivery_path_prefix="a/b", workspace_ids_filter=[ready.home.workspace_id])
    assert made.status == billing.LogDeliveryConfigStatus.ENABLED
    assert made.log_delivery_status.status == billing.DeliveryStatus.CREATED
    assert a.log_delivery.get(made.config_id).log_delivery_configuration == made
    assert [each.config_id for each in a.log_delivery.list(credentials_id=made.credentials_id)] == [made.config_id]
    a.log_delivery.patch_status(made.config_id, billing.LogDeliveryConfigStatus.DISABLED)
    assert list(a.log_delivery.list(status=billing.LogDeliveryConfigStatus.ENABLED)) == []
    with pytest.raises(ResourceConflict, match=f"is used by the log delivery {made.config_id}"):
        a.storage.delete(made.storage_configuration_id)
    with pytest.raises(NotFound):
        a.log_delivery.get("none")


def test_what_may_not_be(a, ordered):
    for wrong, match in (
        ({"output_format": billing.OutputFormat.CSV}, "Allowed for AUDIT_LOGS: JSON"),
        ({"delivery_path_prefix": "/a"}, "delivery_path_prefix"),
        ({"delivery_path_prefix": "a/../b"}, "delivery_path_prefix"),
        ({"delivery_start_time": "2023-01"}, "is for BILLABLE_USAGE alone"),
        ({"credentials_id": "x"}, "does not exist"),
        ({"storage_configuration_id": "x"}, "does not exist"),
        ({"workspace_ids_filter": [5]}, "Workspace 5 does not exist"),
    ):
        with pytest.raises((InvalidParameterValue, NotFound), match=match):
            ordered(AUDIT, **wrong)
    with pytest.raises(InvalidParameterValue, match="a month, YYYY-MM"):
        ordered(USAGE, delivery_start_time="soon")
    first, _ = ordered(AUDIT), ordered(AUDIT)
    with pytest.raises(BadRequest, match="2 configurations for AUDIT_LOGS are enabled"):
        ordered(AUDIT)
    a.log_delivery.patch_status(first.config_id, billing.LogDeliveryConfigStatus.DISABLED)
    ordered(AUDIT)
    with pytest.raises(BadRequest, match="the limit: disable one first"):
        a.log_delivery.patch_status(first.config_id, billing.LogDeliveryConfigStatus.ENABLED)


def test_account_admins_alone(account_of, ordered, make_user):
    boss, _ = make_user("boss@x.org", groups=["admins"])
    theirs, made = account_of(boss.principal_id), ordered(AUDIT)
    for call in (
        lambda: list(theirs.log_delivery.list()), lambda: theirs.log_delivery.get(made.config_id),
        lambda: theirs.log_delivery.patch_status(made.config_id, billing.LogDeliveryConfigStatus.DISABLED),
        lambda: credentials_of(theirs, "theirs"), lambda: bucket_of(theirs, "theirs"), lambda: list(theirs.storage.list()),
    ):  # fmt: skip
        with pytest.raises(PermissionDenied):
            call()


def test_audit_rows_are_delivered_once_each_by_workspace_and_day(store, ready, ordered, clock, monkeypatch):
    monkeypatch.setattr(log_shipping, "MOST", 3)
    happened(store, ready, "before")
    ordered(AUDIT, delivery_path_prefix="p", workspace_ids_filter=[ready.home.workspace_id])
    shelf = Shelf()
    ship = LogShipping(store, shelf)
    for number in range(4):
        happened(store, ready, f"r{number}")
    happened(store, ready, "elsewhere", workspace_id=99)
    assert ship("all").again_in == log_shipping.EVERY and not shelf.files, "what is too young may be overtaken"
    clock.advance(SETTLED_MS)
    while ship("all").again_in == 0:
        pass
    requests = [line["requestId"] for line in shelf.lines(f"s3://logs/p/workspaceId={ready.home.workspace_id}/date=")]
    ours = [each for each in requests if each.startswith("r") and len(each) == 2]
    assert ours == ["r0", "r1", "r2", "r3"] and "before" not in requests and "elsewhere" not in requests
    assert shelf.by == {(ready.home.workspace_id, ready.home.admin)}
    files = dict(shelf.files)
    ship("all")
    assert shelf.files == files


def test_a_refusal_is_told_and_nothing_is_lost(a, store, ready, ordered, clock):
    made, shelf = ordered(AUDIT), Shelf()
    ship, shelf.refuse = LogShipping(store, shelf), "s3://logs: the bucket does not exist"
    happened(store, ready, "r0")
    clock.advance(SETTLED_MS)
    assert ship("all").again_in == log_shipping.EVERY
    told = a.log_delivery.get(made.config_id).log_delivery_configuration.log_delivery_status
    assert (told.status, told.message) == (billing.DeliveryStatus.USER_FAILURE, shelf.refuse)
    assert told.last_attempt_time and not told.last_successful_attempt_time
    shelf.refuse = ""
    ship("all")
    assert "r0" in [line["requestId"] for line in shelf.lines()]
    told = a.log_delivery.get(made.config_id).log_delivery_configuration.log_delivery_status
    assert (told.status, told.message) == (billing.DeliveryStatus.SUCCEEDED, "")


def test_killed_between_file_and_position(store, ready, ordered, clock, monkeypatch):
    ordered(AUDIT)
    shelf = Shelf()
    ship = LogShipping(store, shelf)
    happened(store, ready, "r0")
    clock.advance(SETTLED_MS)
    plain = store.transaction
    monkeypatch.setattr(store, "transaction", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ship("all")
    monkeypatch.setattr(store, "transaction", plain)
    happened(store, ready, "r1")
    clock.advance(SETTLED_MS)
    ship("all")
    assert [line["requestId"] for line in shelf.lines() if line["requestId"] in ("r0", "r1")] == ["r0", "r1"]


def test_disabled_ones_rest_and_a_maker_who_left_delivers_nothing(a, store, ready, account_of, make_user, ordered, clock):
    made, shelf = ordered(AUDIT), Shelf()
    ship = LogShipping(store, shelf)
    happened(store, ready, "r0")
    clock.advance(SETTLED_MS)
    a.log_delivery.patch_status(made.config_id, billing.LogDeliveryConfigStatus.DISABLED)
    ship("all")
    assert shelf.files == {}
    a.log_delivery.patch_status(made.config_id, billing.LogDeliveryConfigStatus.ENABLED)
    gone, _ = make_user("gone@x.org")
    with store.transaction() as tx:
        tx.execute(configurations.update().values(creator_id=gone.principal_id))
        registry.set_active(tx, gone.principal_id, False)
    ship("all")
    told = a.log_delivery.get(made.config_id).log_delivery_configuration.log_delivery_status
    assert shelf.files == {} and "is in no workspace of the account any more" in told.message


def test_usage_is_a_file_a_workspace_and_month(store, ready, ordered, clock):
    ordered(USAGE, delivery_start_time="2023-09")  # it is November; nothing ran in September
    values = {"account_id": ready.home.account_id, "workspace_id": ready.home.workspace_id, "cluster_id": "c",
              "cluster_name": "n", "node_id": "c-0", "node_type": "t", "owner_id": 7, "owner": "ann@x.org", "tags": {},
              "source": "API"}  # fmt: skip
    october = 1_697_000_000_000
    with store.transaction() as tx:
        tx.execute(insert(usage_records).values(**values, started=october, ended=october + HOUR))
        tx.execute(insert(usage_records).values(**values, started=clock() - HOUR, ended=None))
    shelf = Shelf()
    ship = LogShipping(store, shelf)
    rounds = 0
    while ship("all").again_in == 0:
        rounds += 1
    root = f"s3://logs/billable-usage/csv/workspaceId={ready.home.workspace_id}-usageMonth="
    assert sorted(shelf.files) == [f"{root}2023-10.csv", f"{root}2023-11.csv"] and rounds == 2, rounds
    hours = {name[-11:-4]: [row["machineHours"] for row in csv.DictReader(io.StringIO(text.decode()))]
             for name, text in shelf.files.items()}  # fmt: skip
    assert hours == {"2023-10": ["1.000000"], "2023-11": ["1.000000"]}
    clock.advance(HOUR)
    shelf.files.clear()
    ship("all")
    (name,) = shelf.files
    assert name == f"{root}2023-11.csv" and b"2.000000" in shelf.files[name], "a month that lasts is written again"


def test_to_a_real_bucket_by_the_credentials_that_the_operator_names(store, blobs, services, ready, ordered, clock, scope):
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        url = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
        s3 = boto3.client("s3", endpoint_url=url, aws_access_key_id="x", aws_secret_access_key="x", region_name="us-east-1")
        httpx.post(f"{url}/moto-api/reset").raise_for_status()  # what it holds is of the process, and so of other tests
        s3.create_bucket(Bucket="logs")
        scope("shipper", aws_access_key_id="AKIA", aws_secret_access_key="s")
        said = CloudSettings(endpoints={"s3.amazonaws.com": url}, credentials={"s3://logs/": "shipper"})
        ship = LogShipping(store, shipping_to(Locations(store, blobs, CloudStore(services.get(Secrets), said))))
        made = ordered(AUDIT)
        happened(store, ready, "r0")
        clock.advance(SETTLED_MS)
        ship("all")
        with store.read() as reader:
            row = reader.execute(select(configurations).where(configurations.c.config_id == made.config_id)).one()
        assert (row.state, row.message) == ("SUCCEEDED", "")
        keys = [each["Key"] for each in s3.list_objects_v2(Bucket="logs")["Contents"]]
        text = b"".join(s3.get_object(Bucket="logs", Key=key)["Body"].read() for key in keys)
        assert "r0" in [json.loads(line)["requestId"] for line in text.splitlines()]
    finally:
        server.stop()


@pytest.fixture
def scope(store, ready, sealer):
    """`scope("name", key="value", ...)`: a secret scope of the admin's."""
    from boathouse.workspace import secret_store

    def make(name, **values):
        with store.transaction() as tx:
            secret_store.add_scope(tx, ready.home.workspace_id, name, ready.home.admin_id)
            who = secret_store.asker(tx, ready.home.workspace_id, ready.home.admin_id)
            made = secret_store.scope_for(tx, ready.home.workspace_id, name, who, secret_store.MANAGE)
            for key, value in values.items():
                secret_store.put(tx, sealer, made, key, value.encode())

    return make
