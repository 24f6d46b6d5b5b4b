"""A registry with one image that behaves as a test tells it."""

import base64
import gzip
import hashlib
import http.server
import io
import json
import ssl
import tarfile
import threading

from boathouse.dataplane.contract import Credentials

ROBOT = Credentials("robot", "pa:ss w0rd")


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Registry:
    """One image, new for each test, behind a password. `sent` is what is sent for the layer; `seen` is called before.
    `promised`: how long the layer is said to be, where that is more; `elsewhere`: where to get it instead."""

    def __init__(self, mark: str, login: Credentials = ROBOT, tls: ssl.SSLContext | None = None) -> None:
        self.login, self.seen = login, lambda: None
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w") as tar:
            text = mark.encode() * 1000
            entry = tarfile.TarInfo("etc/mark")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text))
        self.mark = mark
        self.keep(raw.getvalue())
        self.elsewhere, self.promised = "", 0
        self.holds = threading.Event()
        self.release = threading.Event()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def keep(self, raw: bytes) -> None:
        """Have an image of this one layer."""
        self.layer = gzip.compress(raw, mtime=0)
        rootfs = {"type": "layers", "diff_ids": [digest(raw)]}
        config = {"os": "linux", "architecture": "amd64", "config": {"Env": [f"MARK={self.mark}"]}, "rootfs": rootfs}
        self.config = json.dumps(config).encode()
        kind = "application/vnd.oci.image"
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{kind}.manifest.v1+json",
            "config": {"mediaType": f"{kind}.config.v1+json", "digest": digest(self.config), "size": len(self.config)},
            "layers": [{"mediaType": f"{kind}.layer.v1.tar+gzip", "digest": digest(self.layer), "size": len(self.layer)}],
        }
        self.manifest = json.dumps(manifest).encode()
        self.sent = self.layer

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server.server_address[1]}"

    @property
    def pinned(self) -> str:
        return f"{self.host}/team/base@{digest(self.manifest)}"

    def close(self) -> None:
        self.release.set()
        self.server.shutdown()
        self.server.server_close()

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        registry = self
        wanted = "Basic " + base64.b64encode(f"{self.login.username}:{self.login.password}".encode()).decode()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.headers.get("Authorization") != wanted:
                    return self.answer(401, b"{}", {"WWW-Authenticate": 'Basic realm="registry"'})
                if self.path == "/v2/":
                    return self.answer(200, b"{}")
                if "/manifests/" in self.path:
                    return self.answer(200, registry.manifest, {"Content-Type": "application/vnd.oci.image.manifest.v1+json"})
                if self.path.endswith(digest(registry.config)):
                    return self.answer(200, registry.config)
                registry.seen()
                if registry.holds.is_set():
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(registry.layer)))
                    self.end_headers()
                    self.wfile.write(registry.layer[:10])
                    self.wfile.flush()
                    registry.release.wait(30)
                    self.close_connection = True
                    return None
                if registry.elsewhere:
                    return self.answer(307, b"", {"Location": registry.elsewhere})
                return self.answer(200, registry.sent)

            do_HEAD = do_GET

            def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(max(len(body), registry.promised if body is registry.sent else 0)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)
                    self.close_connection = body is registry.sent

            def log_message(self, format: str, *args: object) -> None:
                """Silent."""

        return Handler
