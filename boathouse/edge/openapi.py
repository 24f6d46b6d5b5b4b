"""The OpenAPI document of what is served, made from the endpoints' own types when somebody asks for it."""

import re
import typing
from typing import Any

import msgspec

from boathouse.edge.context import Ctx
from boathouse.edge.routing import Endpoint, Raw, Routes, endpoint
from boathouse.edge.streams import Stream

TEMPLATE = "#/components/schemas/{name}"

_ERROR = {
    "type": "object",
    "properties": {
        "error_code": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        "message": {"type": "string"},
        "details": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["error_code", "message"],
}


@endpoint("GET", "/api/2.0/boathouse/openapi.json", action="openapi.get")
def openapi(ctx: Ctx) -> dict[str, Any]:
    """This document."""
    return document(ctx.service(Routes))


def document(routes: Routes) -> dict[str, Any]:
    """OpenAPI 3.1 for all endpoints of `routes`. An endpoint that answers at several paths appears at each."""
    kinds = list(dict.fromkeys(kind for served in routes.endpoints for kind in _types(served)))
    schemas, components = msgspec.json.schema_components(kinds, ref_template=TEMPLATE)
    by_type = dict(zip(kinds, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for served in routes.endpoints:
        for path in (served.path, *served.also):
            # A tail such as `files{file_path}` is a path parameter of its own in OpenAPI.
            shown = re.sub(r"(?<=[^/{}])\{(\w+)\}$", r"/{\1}", path)
            paths.setdefault(shown, {})[served.method.lower()] = _operation(served, path, by_type)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Boathouse", "version": "1", "description": "The endpoints that this server serves."},
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": components | {"Error": _ERROR},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"bearer": []}],
    }


def _types(served: Endpoint) -> list[Any]:
    kinds = [served.arguments.body, _answer(served)]
    if served.arguments.query is not None:
        kinds += [kind for _, kind, _ in _query_fields(served.arguments.query)]
    return [kind for kind in kinds if kind is not None]


def _answer(served: Endpoint) -> Any:
    """What the function says it returns, where that has a schema: bytes of its own have none."""
    kind = typing.get_type_hints(served.function).get("return")
    if kind in (Raw, Stream):
        return None
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    return kind if typing.get_origin(kind) in (dict, list) else None


def _query_fields(shape: Any) -> list[tuple[str, Any, bool]]:
    hints = typing.get_type_hints(shape)
    return [(field.encode_name, hints[field.name], field.required) for field in msgspec.structs.fields(shape)]


def _operation(served: Endpoint, path: str, by_type: dict[Any, Any]) -> dict[str, Any]:
    arguments = served.arguments
    kinds = dict(arguments.path)
    parameters: list[dict[str, Any]] = [
        {
            "name": name, "in": "path", "required": True,
            "schema": {"type": "integer" if kinds.get(name) is int else "string"},
        }
        for name in re.findall(r"\{(\w+)\}", path)
    ]  # fmt: skip
    if arguments.query is not None:
        parameters += [
            {"name": name, "in": "query", "required": required, "schema": by_type[kind]}
            for name, kind, required in _query_fields(arguments.query)
        ]
    answer = by_type.get(_answer(served), {"type": "object"})
    operation: dict[str, Any] = {
        "operationId": f"{served.action}_{re.sub(r'[^A-Za-z0-9]+', '_', path).strip('_')}",
        "tags": [served.action.split(".")[0]],
        "summary": (served.function.__doc__ or "").strip().split("\n\n")[0].replace("\n", " "),
        "parameters": parameters,
        "responses": {
            "200": {"description": "Done", "content": {"application/json": {"schema": answer}}},
            "default": {
                "description": "Refused",
                "content": {"application/json": {"schema": {"$ref": TEMPLATE.format(name="Error")}}},
            },
        },
    }
    if arguments.body is not None:
        operation["requestBody"] = {
            "required": not arguments.body_optional,
            "content": {"application/json": {"schema": by_type[arguments.body]}},
        }
    elif arguments.form:
        form = {"schema": {"type": "object", "additionalProperties": {"type": "string"}}}
        operation["requestBody"] = {"required": True, "content": {"application/x-www-form-urlencoded": form}}
    elif arguments.stream or arguments.raw:
        media = "application/json" if arguments.raw else "application/octet-stream"
        operation["requestBody"] = {"required": True, "content": {media: {"schema": {"type": "string", "format": "binary"}}}}
    if served.public:
        operation["security"] = []
    return operation
