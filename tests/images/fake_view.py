"""An image made of a table, for tests of the check."""

from boathouse.images.findings import Entry, Kind
from boathouse.images.image_config import ImageConfig

ELF = b"\x7fELF\x02\x01\x01" + b"\0" * 9 + b"\x03\x00\x3e\x00" + b"\0" * 44
ELF_ARM64 = ELF[:18] + b"\xb7\x00" + ELF[20:]
GLIBC = ELF + b"GNU C Library (Debian GLIBC 2.36-9+deb12u10) stable release version 2.36.\n"
TOOLS = ("bash", "cat", "chmod", "cp", "env", "mkdir", "rm", "ls")


class FakeView:
    """`files` maps a path to contents, or to a text for a link's target."""

    def __init__(
        self, files: dict[str, bytes | str], config: ImageConfig, size: int | None = 1000, buried: frozenset[str] = frozenset()
    ) -> None:
        self.files, self.config, self.size_bytes, self.buried = files, config, size, buried

    def lookup(self, path: str) -> Entry | None:
        for _ in range(9):
            found = self.files.get(path)
            if isinstance(found, str):
                path = found
            elif found is not None:
                return Entry(path, Kind.FILE, 0o755, len(found))
            else:
                below = any(name.startswith(path.rstrip("/") + "/") for name in self.files)
                return Entry(path, Kind.DIRECTORY) if below else None
        return None

    def read(self, path: str, limit: int) -> bytes:
        entry = self.lookup(path)
        found = self.files.get(entry.path) if entry else None
        if not isinstance(found, bytes):
            raise FileNotFoundError(path)
        return found[:limit]


def image(
    add: dict[str, bytes | str] | None = None,
    remove: tuple[str, ...] = (),
    env: dict[str, str] | None = None,
    size: int | None = 1000,
    buried: tuple[str, ...] = (),
    **config,
) -> FakeView:
    """A good Debian-like image with Python at Databricks' place, changed as the test wants. `remove` names prefixes."""
    files: dict[str, bytes | str] = {f"/usr/bin/{name}": ELF for name in TOOLS}
    files |= {
        "/lib64/ld-linux-x86-64.so.2": ELF,
        "/lib/x86_64-linux-gnu/libc.so.6": GLIBC,
        "/usr/bin/python3.11": ELF,
        "/usr/bin/python3": "/usr/bin/python3.11",
        "/databricks/python3/bin/python3": "/usr/bin/python3.11",
        "/databricks/python3/pyvenv.cfg": b"home = /usr/bin\nimplementation = CPython\nversion_info = 3.11.2.final.0\n",
        "/databricks/python3/lib/python3.11/site-packages/pip/__init__.py": b"",
        "/etc/os-release": b'NAME="Ubuntu"\nID=ubuntu\n',
    }
    files = {path: data for path, data in files.items() if not path.startswith(remove)} if remove else files
    variables = {"PATH": "/usr/local/bin:/usr/bin:/bin", **(env or {})}
    settings = {"os": "linux", "architecture": "amd64", "env": tuple(variables.items()), **config}
    return FakeView(files | (add or {}), ImageConfig(**settings), size, frozenset(buried))
