"""`multipart/form-data` as it arrives: short fields are kept, a file is streamed to whoever takes it. Parsed by python-multipart,
which is imported when the first form comes."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from boathouse.edge.errors import invalid, malformed

#: Bytes of a field that is no file, and the number of fields.
MAX_FIELD, MAX_FIELDS = 64 << 10, 100

FORM = "multipart/form-data"


def read_form(content_type: str, chunks: Iterable[bytes], file: str, take: Callable[[Iterator[bytes]], Any]) -> dict[str, Any]:
    """The fields by name, as text, of a body of this type; in the place of the field `file` what `take` made of its bytes.
    `take` reads them all, or raises. Raises ApiError 400 for a form that is none, and for a field that comes twice."""
    events = _events(content_type, chunks)
    fields: dict[str, Any] = {}
    for kind, value in events:
        if kind != "part":
            continue
        name = str(value)
        if name in fields:
            raise invalid(f"The field '{name[:100]}' comes twice in the form.")
        if len(fields) >= MAX_FIELDS:
            raise malformed(f"The form has more than {MAX_FIELDS} fields.")
        content = _content(events)
        fields[name] = take(content) if name == file else _text(name, content)
    return fields


def _text(name: str, content: Iterator[bytes]) -> str:
    text = b""
    for chunk in content:
        text += chunk
        if len(text) > MAX_FIELD:
            raise invalid(f"The field '{name[:100]}' has more than {MAX_FIELD} bytes.")
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise invalid(f"The field '{name[:100]}' is not text in UTF-8.") from None


def _content(events: Iterator[tuple[str, str | bytes]]) -> Iterator[bytes]:
    for kind, value in events:
        if kind == "end":
            return
        assert isinstance(value, bytes)
        yield value


def _events(content_type: str, chunks: Iterable[bytes]) -> Iterator[tuple[str, str | bytes]]:
    """`("part", name)`, then `("data", bytes)` any number of times, then `("end", b"")`, for each part."""
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser, parse_options_header

    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != FORM.encode() or not boundary:
        raise malformed("The Content-Type is not multipart/form-data with a boundary.")
    made: list[tuple[str, str | bytes]] = []
    header: dict[str, bytes] = {"field": b"", "value": b""}
    names: list[str] = []
    whole: list[bool] = []

    def header_end() -> None:
        if header["field"].lower() == b"content-disposition":
            _, parameters = parse_options_header(header["value"])
            if b"name" in parameters:
                names.append(parameters[b"name"].decode("utf-8", "replace"))
        header["field"] = header["value"] = b""

    def grow(part: str) -> Callable[[bytes, int, int], None]:
        def add(data: bytes, start: int, end: int) -> None:
            header[part] += data[start:end]  # the parser bounds it

        return add

    def headers_finished() -> None:
        if not names:
            raise malformed("A part of the form has no name.")
        made.append(("part", names.pop()))

    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": names.clear, "on_header_field": grow("field"), "on_header_value": grow("value"),
                "on_header_end": header_end, "on_headers_finished": headers_finished,
                "on_part_data": lambda data, start, end: made.append(("data", data[start:end])),
                "on_part_end": lambda: made.append(("end", b"")), "on_end": lambda: whole.append(True),
            },
        )  # fmt: skip
        for chunk in chunks:
            parser.write(chunk)
            yield from made
            made.clear()
        parser.finalize()
        yield from made
    except FormParserError as error:
        raise malformed(f"The form is not readable: {str(error)[:200]}") from None
    if not whole:
        raise malformed("The form ends before its last boundary.")
