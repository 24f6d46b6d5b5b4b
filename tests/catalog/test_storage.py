"""External locations, storage credentials, connections and functions through the real SDK."""

import json

import pytest
from databricks.sdk.errors import BadRequest, InvalidParameterValue, NotFound, PermissionDenied
from databricks.sdk.service import catalog as c
from sqlalchemy import select

from boathouse.catalog.tables import securables
from boathouse.edge.tables import audit

P = c.Privilege
ROLE = c.AwsIamRoleRequest(role_arn="arn:aws:iam::1:role/x")


def grant(w, kind, name, who, *privileges):
    w.grants.update(kind, name, changes=[c.PermissionsChange(principal=who, add=list(privileges))])


def texts(store):
    with store.read() as reader:
        rows = reader.execute(select(securables.c.document)).all() + reader.execute(select(audit.c.request)).all()
    return json.dumps([row[0] for row in rows])


def test_external_locations(w, person, store):
    ann = person("ann@x.org")
    credential = w.storage_credentials.create("aws", aws_iam_role=ROLE, comment="role")
    assert (credential.aws_iam_role.role_arn, credential.aws_iam_role.external_id) == (ROLE.role_arn, credential.id)
    place = w.external_locations.create("lake", "s3://bucket/lake/", "aws", skip_validation=True)
    assert (place.url, place.credential_id, place.owner) == ("s3://bucket/lake", credential.id, "admin@boathouse.local")
    with pytest.raises(InvalidParameterValue, match="LOCATION_OVERLAP: 's3://bucket' overlaps with the external location 'lake'"):
        w.external_locations.create("all", "s3://bucket", "aws")
    assert list(ann.external_locations.list()) == [] == list(ann.storage_credentials.list())
    for ask in (
        lambda: ann.external_locations.get("lake"), lambda: ann.storage_credentials.get("aws"),
        lambda: ann.external_locations.create("mine", "s3://other", "aws"),
        lambda: ann.storage_credentials.create("mine", aws_iam_role=ROLE),
        lambda: ann.external_locations.update("lake", url="s3://b"), lambda: ann.storage_credentials.delete("aws", force=True),
    ):  # fmt: skip
        with pytest.raises(PermissionDenied):
            ask()
    w.schemas.create("s", "main")
    grant(w, "schema", "main.s", "ann@x.org", P.USE_SCHEMA, P.CREATE_TABLE, P.CREATE_VOLUME)
    volume = ("main", "s", "files", c.VolumeType.EXTERNAL)
    with pytest.raises(PermissionDenied, match="CREATE EXTERNAL VOLUME on External Location 'lake'"):
        ann.volumes.create(*volume, storage_location="s3://bucket/lake/files")
    grant(w, "external_location", "lake", "ann@x.org", P.CREATE_EXTERNAL_VOLUME, P.CREATE_EXTERNAL_TABLE)
    with pytest.raises(InvalidParameterValue, match="is in no external location"):
        ann.volumes.create(*volume, storage_location="s3://bucket/lakes")
    assert ann.volumes.create(*volume, storage_location="s3://bucket/lake/files").storage_location == "s3://bucket/lake/files"
    table = ("t", "main", "s", c.TableType.EXTERNAL, c.DataSourceFormat.PARQUET, "s3://bucket/lake/t")
    assert ann.tables.create(*table).storage_location == "s3://bucket/lake/t"
    with pytest.raises(BadRequest, match="has (table|volume) 'main.s"):
        w.external_locations.delete("lake")
    with pytest.raises(BadRequest, match="used by the external location 'lake'"):
        w.storage_credentials.delete("aws")
    ann.tables.delete("main.s.t")
    ann.volumes.delete("main.s.files")
    renamed = w.external_locations.update("lake", new_name="sea", url="s3://bucket/sea", read_only=True)
    assert (renamed.name, renamed.url, renamed.read_only) == ("sea", "s3://bucket/sea", True)
    w.external_locations.delete("sea")
    w.storage_credentials.delete("aws")
    with pytest.raises(NotFound, match="Storage credential 'aws' does not exist."):
        w.storage_credentials.get("aws")


def test_secrets_are_sealed_and_never_shown(w, store):
    told = c.AzureServicePrincipal(directory_id="d", application_id="a", client_secret="hunter2")
    made = w.storage_credentials.create("azure", azure_service_principal=told)
    assert (made.azure_service_principal.application_id, made.azure_service_principal.client_secret) == ("a", None)
    r2 = c.CloudflareApiToken(access_key_id="k", secret_access_key="hunter3", account_id="x")
    changed = w.storage_credentials.update("azure", cloudflare_api_token=r2)
    assert changed.azure_service_principal is None and changed.cloudflare_api_token.secret_access_key is None
    options = {"host": "db", "port": "3306", "user": "u", "password": "hunter4"}
    link = w.connections.create("mysql", c.ConnectionType.MYSQL, options)
    assert (link.options, link.url) == ({"host": "db", "port": "3306", "user": "u"}, "db:3306")
    w.connections.update("mysql", {"host": "db2", "token": "hunter5"}, new_name="other")
    assert [x.options for x in w.connections.list()] == [{"host": "db2"}]
    assert "hunter" not in texts(store) and "sealed:1:" in texts(store)
    w.connections.delete("other")
    with pytest.raises(InvalidParameterValue, match="Exactly one of aws_iam_role"):
        w.storage_credentials.create("none")


def test_functions(w, person):
    ann = person("ann@x.org")
    w.schemas.create("s", "main")
    spec = c.CreateFunction(
        name="twice", catalog_name="main", schema_name="s", data_type=c.ColumnTypeName.INT, full_data_type="int",
        input_params=c.FunctionParameterInfos(
            [c.FunctionParameterInfo(name="x", type_text="int", type_name=c.ColumnTypeName.INT, position=0)]
        ),
        routine_body=c.CreateFunctionRoutineBody.SQL, routine_definition="x * 2",
        parameter_style=c.CreateFunctionParameterStyle.S,
        is_deterministic=True, sql_data_access=c.CreateFunctionSqlDataAccess.CONTAINS_SQL, is_null_call=False,
        security_type=c.CreateFunctionSecurityType.DEFINER, specific_name="twice", comment="doubles",
    )  # fmt: skip
    made = w.functions.create(spec)
    assert (made.full_name, made.input_params.parameters[0].name, made.comment) == ("main.s.twice", "x", "doubles")
    with pytest.raises(PermissionDenied):
        ann.functions.get("main.s.twice")
    grant(w, "schema", "main.s", "ann@x.org", P.USE_SCHEMA)
    assert list(ann.functions.list("main", "s")) == []
    grant(w, "function", "main.s.twice", "ann@x.org", P.EXECUTE)
    assert [f.routine_definition for f in ann.functions.list("main", "s")] == ["x * 2"]
    with pytest.raises(PermissionDenied):
        ann.functions.update("main.s.twice", owner="ann@x.org")
    assert w.functions.update("main.s.twice", owner="ann@x.org").owner == "ann@x.org"
    ann.functions.delete("main.s.twice")
    assert list(w.functions.list("main", "s")) == []
