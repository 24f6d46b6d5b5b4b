"""A registry with a password, on loopback, for the demo: Debian's docker-registry with an htpasswd file."""

import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from socket import socket

import bcrypt

CONFIG = """version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {root}}}, delete: {{enabled: true}}}}
http: {{addr: "{host}"}}
auth: {{htpasswd: {{realm: registry, path: {htpasswd}}}}}
"""


class Registry:
    """A context manager: runs the registry while it is open. `host` is host:port.

    `directory` holds its configuration; `storage` what was pushed, and may be kept from run to run: layers that are there
    already are not pushed again.
    """

    def __init__(self, directory: Path, username: str, password: str, storage: Path | None = None) -> None:
        directory.mkdir(parents=True)
        with socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.host = f"127.0.0.1:{probe.getsockname()[1]}"
        htpasswd = directory / "htpasswd"
        htpasswd.write_text(f"{username}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(5)).decode()}\n")
        self._config = directory / "config.yml"
        self._config.write_text(CONFIG.format(root=storage or directory / "store", host=self.host, htpasswd=htpasswd))
        self._log = directory / "log"

    def __enter__(self) -> "Registry":
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(["docker-registry", "serve", str(self._config)], stdout=log, stderr=log)
        while True:
            try:
                urllib.request.urlopen(f"http://{self.host}/v2/", timeout=2)
            except urllib.error.HTTPError as error:
                if error.code == 401:  # it answers, and wants a password
                    return self
                raise
            except OSError:
                if self._process.poll() is not None:
                    raise SystemExit(f"docker-registry did not start: {self._log.read_text()}") from None
                time.sleep(0.02)

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)
