"""Our Structs against the vendor's SDK: the same fields, the same words in every enumeration.

`MISSING` names what the SDK has and we do not, and may only get shorter; `EXTRA` what we have beyond it, with the reason.
"""

import dataclasses
import enum
import inspect
import types
import typing

import msgspec
import pytest
from databricks.sdk.service import compute as sdk

from boathouse.wire import compute as wire

SAME_NAME = [
    "AutoScale", "AwsAttributes", "AzureAttributes", "ClientsTypes", "CloneCluster", "CloudProviderNodeInfo",
    "ClusterAttributes", "ClusterDetails", "ClusterEvent", "ClusterLogConf", "ClusterSize", "ClusterSpec",
    "CreateClusterResponse", "DockerBasicAuth", "DockerImage", "GcpAttributes", "GetEvents", "GetEventsResponse",
    "GetSparkVersionsResponse", "InitScriptInfo", "ListAvailableZonesResponse", "ListClustersFilterBy", "ListClustersResponse",
    "ListClustersSortBy", "ListNodeTypesResponse", "LogAnalyticsInfo", "LogSyncStatus", "NodeInstanceType", "NodeType",
    "NodeTypeFlexibility", "S3StorageInfo", "SparkNode", "SparkNodeAwsAttributes", "SparkVersion", "TerminationReason",
    "WorkloadType",
]  # fmt: skip
PAIRS = [(name, name) for name in SAME_NAME] + [
    ("Destination", name)
    for name in (
        "DbfsStorageInfo", "VolumesStorageInfo", "WorkspaceStorageInfo", "Adlsgen2Info", "GcsStorageInfo", "LocalFileInfo",
    )
]  # fmt: skip

METHODS = {
    "create": "CreateCluster", "edit": "EditCluster", "restart": "RestartCluster", "start": "ClusterId", "delete": "ClusterId",
    "permanent_delete": "ClusterId", "pin": "ClusterId", "unpin": "ClusterId", "get": "ClusterId", "list": "ListClusters",
    "events": "GetEvents", "update": "UpdateCluster", "resize": "ResizeCluster", "change_owner": "ChangeClusterOwner",
}  # fmt: skip

#: Only to get shorter.
MISSING = {"ClusterEvent": {"data_plane_event_details"}}

#: Left the SDK, not the API.
EXTRA = {"CreateCluster": {"idempotency_token"}}


def fields(struct: str) -> dict[str, typing.Any]:
    shape = getattr(wire, struct)
    hints = typing.get_type_hints(shape)
    return {field.encode_name: hints[field.name] for field in msgspec.structs.fields(shape)}


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_fields(ours, theirs):
    expected = {field.name for field in dataclasses.fields(getattr(sdk, theirs))}
    assert set(fields(ours)) == expected - MISSING.get(ours, set())


@pytest.mark.parametrize(("method", "ours"), METHODS.items())
def test_arguments_of_methods(method, ours):
    expected = set(inspect.signature(getattr(sdk.ClustersAPI, method)).parameters) - {"self"}
    assert set(fields(ours)) - EXTRA.get(ours, set()) == expected


def test_every_struct_is_compared():
    structs = {
        name for name, value in vars(wire).items()
        if isinstance(value, type) and issubclass(value, msgspec.Struct) and value.__module__ == wire.__name__
    }  # fmt: skip
    assert structs == {ours for ours, _ in PAIRS} | set(METHODS.values())


def words(hint: typing.Any) -> set[str] | None:
    if typing.get_origin(hint) is typing.Literal:
        return set(typing.get_args(hint))
    if typing.get_origin(hint) in (types.UnionType, typing.Union, list):
        found = [words(part) for part in typing.get_args(hint)]
        return next((each for each in found if each), None)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return {member.value for member in hint}
    return None


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_enumerations(ours, theirs):
    theirs_hints = typing.get_type_hints(getattr(sdk, theirs), vars(sdk))
    for name, hint in fields(ours).items():
        expected = words(theirs_hints[name])
        if expected is None or (ours, name) == ("TerminationReason", "code"):
            continue
        assert words(hint) == expected, name


def kind(hint: typing.Any) -> str:
    """The JSON type of an annotation, roughly: what a client would send."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return kind(next(part for part in typing.get_args(hint) if part not in (type(None), msgspec.Raw)))
    if typing.get_origin(hint) is typing.Literal or (isinstance(hint, type) and issubclass(hint, enum.Enum)):
        return "str"
    if typing.get_origin(hint) in (list, dict):
        return f"{typing.get_origin(hint).__name__} of {kind(typing.get_args(hint)[-1])}"
    return hint.__name__ if hint in (str, int, float, bool) else "object"


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_types(ours, theirs):
    theirs_hints = typing.get_type_hints(getattr(sdk, theirs), vars(sdk))
    for name, hint in fields(ours).items():
        assert kind(hint) == kind(theirs_hints[name]), name
