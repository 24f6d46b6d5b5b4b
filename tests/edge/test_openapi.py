"""The OpenAPI document: every endpoint is in it, and every reference leads somewhere."""

import json

from boathouse.edge.openapi import document
from boathouse.server import routes


def references(node):
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def check(made):
    schemas = made["components"]["schemas"]
    assert {reference.rsplit("/", 1)[1] for reference in references(made)} <= set(schemas)
    operations = [operation for path in made["paths"].values() for operation in path.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(ids) == len(set(ids))
    json.dumps(made)


def test_of_the_toys(api):
    made = api.get("/api/2.0/boathouse/openapi.json").json()
    check(made)
    assert made["openapi"] == "3.1.0"
    create = made["paths"]["/toys/create"]["post"]
    assert create["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Toy"}
    assert create["summary"] == "Echo a toy, with an audit record."
    assert made["components"]["schemas"]["Toy"]["required"] == ["name"]
    names = [parameter["name"] for parameter in made["paths"]["/toys/list"]["get"]["parameters"]]
    assert names == ["page_size", "deep", "filter_by"]
    assert made["paths"]["/toys/{id}"]["get"]["parameters"][0]["schema"] == {"type": "integer"}
    assert "/toys/files/{path}" in made["paths"] and "/old/toys/create" in made["paths"]
    assert made["paths"]["/toys/form"]["post"]["security"] == []


def test_it_needs_a_caller(api):
    assert api.get("/api/2.0/boathouse/openapi.json", token=None).status_code == 401


def test_of_all_that_is_served():
    """No endpoint is left out for a type that has no schema, and none shows how its bytes are wrapped."""
    served = routes()
    made = document(served)
    check(made)
    assert sum(len(path) for path in made["paths"].values()) == sum(1 + len(each.also) for each in served.endpoints)
    assert not {"Raw", "Stream"} & set(made["components"]["schemas"])
