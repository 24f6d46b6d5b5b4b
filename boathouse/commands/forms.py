"""The three encodings of commands/execute: JSON, and the forms that old clients post (`curl -F command=@file`). Pure."""

from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl

from boathouse.edge.decoding import convert_form, decode_json
from boathouse.edge.errors import malformed
from boathouse.edge.multipart import FORM, read_form
from boathouse.wire.commands import ExecuteCommand


def execute_request(headers: Mapping[str, str], raw: bytes) -> ExecuteCommand:
    """The request in whichever encoding its Content-Type names. Raises ApiError 400 naming the field."""
    kind = headers.get("content-type", "")
    if kind.startswith(FORM):
        return convert_form(ExecuteCommand, read_form(kind, [raw], "command", _command))
    if kind.startswith("application/x-www-form-urlencoded") and not raw.lstrip().startswith(b"{"):
        return convert_form(ExecuteCommand, _urlencoded(raw))
    return decode_json(ExecuteCommand, raw)


def _command(content: Iterator[bytes]) -> str:
    try:
        return b"".join(content).decode()
    except UnicodeDecodeError:
        raise malformed("The field 'command' is not text in UTF-8.") from None


def _urlencoded(raw: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=20))
    except ValueError as error:
        raise malformed(f"The form is not readable: {error}") from None
