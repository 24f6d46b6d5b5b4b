"""The three encodings of commands/execute: JSON, and the forms that old clients post (`curl -F command=@file`). Pure."""

from collections.abc import Mapping
from email.parser import BytesParser
from email.policy import HTTP
from urllib.parse import parse_qsl

import msgspec

from boathouse.edge.decoding import arguments_of, decode_body, field_error
from boathouse.edge.errors import malformed
from boathouse.wire.commands import ExecuteCommand


def _shape(body: ExecuteCommand) -> None:
    """The signature that the edge's strict decoder reads."""


_ARGUMENTS = arguments_of(_shape, "")


def execute_request(headers: Mapping[str, str], raw: bytes) -> ExecuteCommand:
    """The request in whichever encoding its Content-Type names. Raises ApiError 400 naming the field."""
    kind = headers.get("content-type", "")
    if kind.startswith("multipart/form-data"):
        fields = _multipart(kind, raw)
    elif kind.startswith("application/x-www-form-urlencoded") and not raw.lstrip().startswith(b"{"):
        fields = _urlencoded(raw)
    else:
        return decode_body(_ARGUMENTS, raw)
    try:
        return msgspec.convert(fields, ExecuteCommand)
    except msgspec.ValidationError as error:
        raise field_error(str(error), fields, ExecuteCommand) from None


def _urlencoded(raw: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=20))
    except ValueError as error:
        raise malformed(f"The form is not readable: {error}") from None


def _multipart(kind: str, raw: bytes) -> dict[str, str]:
    try:
        message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + kind.encode("latin-1") + b"\r\n\r\n" + raw)
        fields: dict[str, str] = {}
        for part in message.iter_parts():  # type: ignore[attr-defined]
            name = part.get_param("name", header="content-disposition")
            content = part.get_payload(decode=True)
            if not isinstance(name, str) or not isinstance(content, bytes):
                raise malformed("The multipart body is not readable: a part has no name or no content.")
            fields[name] = content.decode()
    except (ValueError, LookupError) as error:
        raise malformed(f"The multipart body is not readable: {error}") from None
    return fields
