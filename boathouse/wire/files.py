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


class UploadQuery(Wire):
    """`overwrite`: unset means true. `action`, `session_token`, `upload_type`: of an upload in parts."""

    overwrite: bool = True
    action: Literal["initiate-upload", "complete-upload"] | None = None
    session_token: str | None = None
    upload_type: str | None = None


class UploadPart(Wire):
    part_number: int
    etag: str = ""


class CompleteUpload(Wire):
    parts: list[UploadPart] = []


class MultipartUpload(Wire):
    session_token: str


class InitiatedUpload(Wire):
    multipart_upload: MultipartUpload


class CreateUploadPartUrls(Wire):
    """`expire_time`: RFC 3339."""

    path: str
    session_token: str
    start_part_number: int
    count: int
    expire_time: str | None = None


class SignedHeader(Wire):
    name: str
    value: str


class UploadPartUrl(Wire):
    url: str
    part_number: int
    headers: list[SignedHeader] = []


class UploadPartUrls(Wire):
    upload_part_urls: list[UploadPartUrl]


class CreateAbortUploadUrl(Wire):
    path: str
    session_token: str
    expire_time: str | None = None


class SignedUrl(Wire):
    url: str
    headers: list[SignedHeader] = []


class AbortUploadUrl(Wire):
    abort_upload_url: SignedUrl


class DownloadUrlQuery(Wire):
    path: str
    expire_time: str | None = None


class DirectoryQuery(Wire):
    page_size: int = 1000
    page_token: str = ""


class DirectoryEntry(Wire):
    """`file_size` of a file, `last_modified` in epoch milliseconds."""

    path: str
    name: str
    is_directory: bool
    last_modified: int
    file_size: int | None = None


class DirectoryEntries(Wire):
    contents: list[DirectoryEntry] = []
    next_page_token: str = ""
