"""A stand-in for the blob service of a storage account: blobs whole and in blocks, ranges, and errors."""

import re
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class BlobService(ThreadingHTTPServer):
    """On a free port of 127.0.0.1. `authorizations`: what the clients sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.blobs: dict[str, bytes] = {}
        self.blocks: dict[tuple[str, str], bytes] = {}
        self.authorizations: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: BlobService

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        usual = {"x-ms-version": "2021-08-06", "ETag": '"1"', "Last-Modified": formatdate(0, usegmt=True)}
        for name, value in (usual | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self) -> None:
        self.server.authorizations.append(self.headers.get("Authorization", ""))
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if query.get("comp") == "block":
            self.server.blocks[parts.path, query["blockid"]] = body
        elif query.get("comp") == "blocklist":
            names = re.findall(rb"<(?:Latest|Uncommitted|Committed)>([^<]+)<", body)
            self.server.blobs[parts.path] = b"".join(self.server.blocks[parts.path, name.decode()] for name in names)
        else:
            self.server.blobs[parts.path] = body
        self._answer(201, x_ms_request_server_encrypted="true")

    def do_GET(self) -> None:
        self.server.authorizations.append(self.headers.get("Authorization", ""))
        found = self.server.blobs.get(urlsplit(self.path).path)
        if found is None:
            text = b"<Error><Code>BlobNotFound</Code><Message>The specified blob does not exist.</Message></Error>"
            self._answer(404, text, x_ms_error_code="BlobNotFound", Content_Type="application/xml")
            return
        first, last = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["x-ms-range"]).groups()  # type: ignore[union-attr]
        part = found[int(first) : int(last) + 1]
        shown = f"bytes {first}-{int(first) + len(part) - 1}/{len(found)}"
        self._answer(206, part, Content_Range=shown, x_ms_blob_type="BlockBlob", Content_Type="application/octet-stream")
