"""Endpoints that only these tests serve."""

from typing import Any, Literal

from boathouse.edge import ApiError, Ctx, Raw, endpoint
from boathouse.edge.errors import denied
from boathouse.edge.multipart import read_form
from boathouse.edge.streams import Body, Stream
from boathouse.wire.base import Wire


class Inner(Wire):
    name: str
    size: int | None = None


class Toy(Wire):
    name: str
    number: int | None = None
    ratio: float | None = None
    flag: bool | None = None
    mode: Literal["A", "B"] | None = None
    tags: dict[str, str] = {}
    inner: Inner | None = None
    many: list[Inner] = []
    password: str | None = None


class Filter(Wire):
    states: list[str] = []
    name: str | None = None


class ToyQuery(Wire):
    page_size: int = 20
    deep: bool = False
    filter_by: Filter | None = None


@endpoint("POST", "/toys/create", also=["/old/toys/create"])
def create(ctx: Ctx, body: Toy) -> Toy:
    """Echo a toy, with an audit record."""
    with ctx.transaction():
        return body


@endpoint("POST", "/toys/{name}/audited")
def audited(ctx: Ctx, name: str) -> None:
    """A change of which the path alone tells the object."""
    with ctx.transaction():
        pass


@endpoint("POST", "/toys/any")
def anything(ctx: Ctx, body: dict[str, Any]) -> dict[str, Any]:
    """Echo anything."""
    with ctx.transaction():
        return body


@endpoint("POST", "/toys/small", body_limit=10)
def small(raw: bytes) -> dict[str, int]:
    """The length of the body."""
    return {"length": len(raw)}


@endpoint("POST", "/toys/form", public=True)
def form(form: dict[str, str]) -> dict[str, str]:
    """Echo a form."""
    return form


@endpoint("GET", "/toys/list")
def list_(query: ToyQuery) -> ToyQuery:
    """Echo a query."""
    return query


@endpoint("GET", "/toys/{id}")
def get(id: int) -> dict[str, int]:
    """Echo a number of the path."""
    return {"id": id}


@endpoint("GET", "/toys/named/{name}")
async def named(ctx: Ctx, name: str) -> dict[str, str]:
    """Echo a name of the path, in the loop."""
    return {"name": name, "caller": ctx.caller.name}


@endpoint("GET", "/toys/files{path}")
def file(path: str) -> dict[str, str]:
    """Echo a tail."""
    return {"path": path}


@endpoint("POST", "/toys/refuse", action="toys.refuse")
def refuse(ctx: Ctx) -> None:
    """Refused for want of a right."""
    raise denied("No.")


@endpoint("POST", "/toys/break", error_shape=lambda error: {"oops": error.status})
def broken(ctx: Ctx, body: Toy) -> None:
    """A bug, or a refusal with a reason."""
    if body.name == "reason":
        raise ApiError(409, "ABORTED", "Again.", reason="R", metadata={"a": "b"}, headers={"Retry-After": "1"})
    raise ZeroDivisionError("secret detail")


@endpoint("POST", "/toys/nothing")
def nothing(ctx: Ctx) -> None:
    """An empty answer."""


@endpoint("DELETE", "/toys/{id}")
def delete(id: str) -> Raw:
    """No content."""
    return Raw(status=204, headers={"X-Gone": id})


@endpoint("POST", "/toys/stream", body_limit=5 << 20)
def stream(ctx: Ctx, stream: Body) -> dict[str, Any]:
    """The sizes of a body's pieces."""
    return {"announced": stream.length, "pieces": [len(chunk) for chunk in stream]}


@endpoint("POST", "/toys/stream/deny", body_limit=5 << 20)
def stream_denied(ctx: Ctx, stream: Body) -> None:
    """Refused before the body is read."""
    raise denied("No.")


@endpoint("POST", "/toys/stream/form", body_limit=5 << 20)
def stream_form(ctx: Ctx, stream: Body) -> dict[str, Any]:
    """Echo a form; of its file the size."""
    return read_form(stream.content_type, stream, "file", lambda content: sum(len(chunk) for chunk in content))


@endpoint("GET", "/toys/pieces/{count}", also=["/toys/broken-pieces/{count}"])
def pieces(ctx: Ctx, count: int) -> Stream:
    """An answer in pieces; broken off at the end on one of the paths."""

    def made():
        for _ in range(count):
            yield b"x" * 1000
        if "broken" in ctx.path:
            raise ConnectionError("gone")

    return Stream(made(), count * 1000 + ("broken" in ctx.path), headers={"X-Count": str(count)})


@endpoint("HEAD", "/toys/pieces/{count}")
def pieces_head(count: int) -> Stream:
    """The length alone."""
    return Stream((), count * 1000)
