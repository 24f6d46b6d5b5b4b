"""The results of a command as API 1.2 writes them (reference api I). Pure.

An exception of the user's code is a result (`resultType` error of a Finished command), not a failure of the command.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

#: What is kept of one command's results, as JSON. The platform cuts at 20 MB too.
LIMIT_BYTES = 20 << 20

#: The fields that a result may have, with their JSON types. Others, from whatever runs in the node, are left out.
_FIELDS: dict[str, tuple[type, ...]] = {
    "resultType": (str,),
    "data": (str, list, dict, int, float, bool),
    "schema": (list,),
    "truncated": (bool,),
    "isJsonSchema": (bool,),
    "pos": (int,),
    "summary": (str,),
    "cause": (str,),
    "fileName": (str,),
    "fileNames": (list,),
}
_TYPES = ("text", "table", "image", "images", "error")


def text(data: str) -> dict[str, Any]:
    return {"resultType": "text", "data": data}


def failure(summary: str, cause: str = "") -> dict[str, Any]:
    return {"resultType": "error", "summary": summary, "cause": cause or summary}


def from_repl(result: Any) -> dict[str, Any]:
    """What a REPL says, held to the API's shape: it runs beside the user's code and is not trusted to keep it."""
    if not isinstance(result, Mapping) or result.get("resultType") not in _TYPES:
        return failure("The process of the context answered with something that is not a result.")
    document = {name: result[name] for name, kinds in _FIELDS.items() if isinstance(result.get(name), kinds)}
    if document["resultType"] == "table":
        document.setdefault("schema", [])
        document.setdefault("data", [])
        document.setdefault("truncated", False)
    return document


def from_shell(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The driver's answer about an ended command of one of its shells. A table's columns are as those of SQL results."""
    if answer.get("state") != "finished" or not isinstance(answer.get("result"), Mapping):
        return failure(answer.get("summary") or "The command failed.", answer.get("cause") or "")
    result = dict(answer["result"])
    if result.get("resultType") == "table":
        printed = {"summary": result["summary"]} if result.get("summary") else {}
        result = {**from_sql({**result, "state": "finished"}), **printed}
    return from_repl(result)


def from_sql(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The driver's answer about an ended statement. A column's type is its JSON type, written as text, as on the platform."""
    if answer.get("state") != "finished":
        return failure(answer.get("summary") or "The statement failed.", answer.get("cause") or "")
    schema = [
        {
            "name": column["name"],
            "type": column.get("json") or _as_json(column["type"]),
            "metadata": column.get("metadata") or "{}",
        }
        for column in answer.get("schema") or []
    ]
    return {
        "resultType": "table",
        "data": list(answer.get("data") or []),
        "schema": schema,
        "truncated": bool(answer.get("truncated")),
        "isJsonSchema": True,
    }


def _as_json(kind: str) -> str:
    """A type's name as JSON text; an R shell says it so already."""
    return kind if kind.startswith('"') else msgspec.json.encode(kind).decode()


def encode(document: dict[str, Any], limit: int = LIMIT_BYTES) -> str:
    """As JSON of at most about `limit` bytes; what does not fit is cut from the end and `truncated` says so."""
    whole = msgspec.json.encode(document)
    if len(whole) <= limit:
        return whole.decode()
    data = document.get("data")
    cut = {**document, "truncated": True}
    if isinstance(data, str):
        cut["data"] = _shortened(data, limit)
    elif isinstance(data, list):
        cut["data"] = _rows_within(data, limit)
    if document.get("resultType") in ("image", "images"):
        cut = failure(f"The image is larger than {limit} bytes, the limit for results.")
    for name in ("cause", "summary"):
        if isinstance(cut.get(name), str):
            cut[name] = _shortened(cut[name], limit // 4)
    shorter = msgspec.json.encode(cut)
    if len(shorter) > limit + 4096:
        return msgspec.json.encode(failure(f"The results are larger than {limit} bytes, the limit.")).decode()
    return shorter.decode()


def _shortened(text: str, limit: int) -> str:
    """The longest beginning of `text` whose JSON has about `limit` bytes."""
    while (size := len(msgspec.json.encode(text))) > limit:
        text = text[: max(0, min(len(text) * limit // size, len(text) - 1))]
    return text


def _rows_within(rows: list[Any], limit: int) -> list[Any]:
    kept, size = [], 2
    for row in rows:
        size += len(msgspec.json.encode(row)) + 1
        if size > limit - 2048:
            break
        kept.append(row)
    return kept
