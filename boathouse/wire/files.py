"""Files as they travel: `/api/2.0/dbfs/*`, `/api/2.0/workspace/*`, `/api/2.0/fs/*`. Times in epoch milliseconds, sizes in bytes,
content in base64."""

from typing import Literal

from boathouse.wire.base import Wire

Language = Literal["SCALA", "PYTHON", "SQL", "R"]


class DbfsCreate(Wire):
    path: str
    overwrite: bool = False


class DbfsCreated(Wire):
    handle: int


class DbfsAddBlock(Wire):
    handle: int
    data: str


class DbfsClose(Wire):
    handle: int


class DbfsPut(Wire):
    path: str
    contents: str | None = None
    overwrite: bool = False


class DbfsPath(Wire):
    path: str


class DbfsRead(Wire):
    path: str
    offset: int = 0
    length: int | None = None


class DbfsContent(Wire):
    bytes_read: int
    data: str


class DbfsFile(Wire):
    path: str
    is_dir: bool
    file_size: int
    modification_time: int


class DbfsFiles(Wire):
    files: list[DbfsFile] = []


class DbfsDelete(Wire):
    path: str
    recursive: bool = False


class DbfsMove(Wire):
    source_path: str
    destination_path: str
