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


ImportFormat = Literal["AUTO", "DBC", "HTML", "JUPYTER", "RAW", "R_MARKDOWN", "SOURCE"]
ExportFormat = Literal["AUTO", "DBC", "HTML", "JUPYTER", "RAW", "R_MARKDOWN", "SOURCE"]


class ImportObject(Wire):
    path: str
    content: str | None = None
    format: ImportFormat = "SOURCE"
    language: Language | None = None
    overwrite: bool = False


class ImportFileQuery(Wire):
    overwrite: bool = False


class ExportQuery(Wire):
    path: str
    format: ExportFormat = "SOURCE"
    direct_download: bool = False


class Exported(Wire):
    content: str
    file_type: str


class ObjectPath(Wire):
    path: str


class StatusQuery(Wire):
    path: str
    return_export_info: bool = False


class ListObjects(Wire):
    path: str
    notebooks_modified_after: int = 0
    return_export_info: bool = False


class DeleteObject(Wire):
    path: str
    recursive: bool = False


class ObjectInfo(Wire):
    """`language` of a notebook, `size` of a file."""

    object_type: Literal["NOTEBOOK", "DIRECTORY", "FILE"]
    path: str
    object_id: int
    resource_id: str
    language: Language | None = None
    size: int | None = None
    created_at: int | None = None
    modified_at: int | None = None
    repos_export_format: str | None = None


class ObjectInfos(Wire):
    objects: list[ObjectInfo] = []
