"""The catalogue of terminations uses the platform's codes, types and parameters only."""

import ast
from pathlib import Path

from databricks.sdk.service.compute import TerminationReasonCode, TerminationReasonType

import boathouse
from boathouse.compute.terminations import CATALOGUE, type_of

#: Keys that the platform uses (reference api A.4).
PARAMETERS = {
    "username", "instance_id", "inactivity_duration_min", "databricks_error_message", "invalid_spark_image_prefix",
    "instance_pool_id",
}  # fmt: skip


def test_codes_types_and_parameters_are_the_platforms():
    for code, termination in CATALOGUE.items():
        assert termination.code == code
        assert TerminationReasonCode(code)
        assert TerminationReasonType(termination.type)
        assert set(termination.parameters) <= PARAMETERS


def test_every_code_is_explained():
    for termination in CATALOGUE.values():
        assert termination.meaning.endswith(".") and termination.fix.endswith((".", '"}.')) and termination.causes


def test_type_of():
    assert type_of("USER_REQUEST") == "SUCCESS"
    assert type_of("DOCKER_IMAGE_PULL_FAILURE") == "CLIENT_ERROR"


def test_explain(cluster_api):
    answer = cluster_api.api.get("/api/2.0/boathouse/explain/docker_image_pull_failure").json()
    assert (answer["code"], answer["type"]) == ("DOCKER_IMAGE_PULL_FAILURE", "CLIENT_ERROR")
    assert set(answer) == {"code", "type", "meaning", "causes", "fix", "parameters"}
    unknown = cluster_api.api.get("/api/2.0/boathouse/explain/NOPE")
    assert unknown.status_code == 404 and "INACTIVITY" in unknown.json()["message"]


def test_every_code_that_a_room_gives_is_in_the_catalogue():
    """Whatever the launch, the image check or a driver may end a cluster with can be explained."""
    given = _given()
    assert given <= set(CATALOGUE), given - set(CATALOGUE)


def test_every_code_of_the_catalogue_is_given_somewhere():
    assert set(CATALOGUE) <= _given(), set(CATALOGUE) - _given()


def _given() -> set[str]:
    """Codes that stand in the rooms that end clusters, outside of the catalogue."""
    known = {code.value for code in TerminationReasonCode} - {"UNKNOWN"}
    return {
        node.value
        for room in ("compute", "images", "dataplane")
        for file in (Path(boathouse.__path__[0]) / room).rglob("*.py")
        if file.name != "terminations.py"
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and node.value in known
    }
