"""`/api/2.0/workspace/*` and `/api/2.0/workspace-files/*`: notebooks, files and folders (reference api I).

A path may begin with `/Workspace`; it is shown without. Who may do what is `rights`; homes are there when they are looked at.
"""

import base64
import binascii
import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from boathouse.edge import ApiError, Ctx, Raw, endpoint
from boathouse.edge.decoding import convert_form, decode_json
from boathouse.edge.errors import already_exists, denied, invalid, malformed, not_found
from boathouse.edge.multipart import FORM, read_form
from boathouse.edge.streams import Body, Stream
from boathouse.store.blobs import Blob, Blobs, TooLarge
from boathouse.wire.base import Empty
from boathouse.wire.files import (
    DeleteObject,
    Exported,
    ExportQuery,
    ImportFileQuery,
    ImportObject,
    ListObjects,
    ObjectInfo,
    ObjectInfos,
    ObjectPath,
    StatusQuery,
)
from boathouse.workspace.files import jupyter, nodes, notebook_page, notebooks, paths, rights, tree
from boathouse.workspace.files.nodes import DIRECTORY, FILE, NOTEBOOK, Node
from boathouse.workspace.files.rights import WORKSPACE
from boathouse.workspace.files.tree import Tree

#: Bytes of a notebook, and of what `import` in JSON and `export` carry (reference api I); of a file.
MAX_NOTEBOOK, MAX_WORKSPACE_FILE = 10 << 20, 500 << 20

#: Formats that are served; DBC, R Markdown and the import of HTML are not.
IMPORTED = ("AUTO", "JUPYTER", "RAW", "SOURCE")
EXPORTED = ("AUTO", "HTML", "JUPYTER", "RAW", "SOURCE")

JSON_BODY = 16 << 20


def _tree(ctx: Ctx, path: str) -> tuple[Tree, str]:
    """The tree as the caller, and the path in normal form. Raises ApiError 400."""
    files = Tree(ctx.store, ctx.service(Blobs), ctx.workspace_id, WORKSPACE, tree.who_is(ctx.caller))
    try:
        clean = paths.normal(path)
    except paths.PathError as error:
        raise invalid(str(error)) from None
    if paths.inside(clean, "/Workspace"):
        clean = clean.removeprefix("/Workspace") or "/"
    files.prepare(clean)
    return files, clean


def _taken(path: str) -> ApiError:
    return already_exists(f"File already exists at ({path}).")


@contextmanager
def _explained(taken: Callable[[str], ApiError] = _taken) -> Iterator[None]:
    try:
        yield
    except nodes.Missing as error:
        raise not_found(f"Path ({error.path}) doesn't exist.") from None
    except nodes.NoParent as error:
        raise not_found(f"The parent folder ({error.path}) does not exist.") from None
    except nodes.Exists as error:
        raise taken(error.path) from None
    except nodes.IsADirectory as error:
        raise already_exists(f"Path ({error.path}) already exists and is a folder.") from None
    except nodes.NotADirectory as error:
        raise already_exists(f"Path ({error.path}) already exists and is not a folder.") from None
    except nodes.NotEmpty as error:
        raise ApiError(400, "DIRECTORY_NOT_EMPTY", f"Folder ({error.path}) is not empty") from None
    except tree.Protected as error:
        raise ApiError(400, "DIRECTORY_PROTECTED", f"Folder ({error}) is protected") from None
    except tree.Denied as error:
        raise denied(str(error)) from None
    except TooLarge as error:
        raise _too_large(error.limit) from None


def _too_large(limit: int) -> ApiError:
    return ApiError(400, "MAX_NOTEBOOK_SIZE_EXCEEDED", f"The content is larger than {limit} bytes, the limit.")


def _served(name: str, served: tuple[str, ...]) -> None:
    if name not in served:
        raise ApiError(
            501, "NOT_IMPLEMENTED", f"The format {name} is not served here by Boathouse yet. Served: {', '.join(served)}."
        )


@endpoint("POST", "/api/2.0/workspace/import", action="workspace.import", body_limit=MAX_WORKSPACE_FILE + JSON_BODY)
def import_(ctx: Ctx, stream: Body) -> Empty:
    """Write a notebook or a file: `content` in base64, or a form with the content in `content`."""
    blobs = ctx.service(Blobs)
    with _explained():
        if stream.media_type == FORM:
            fields = read_form(stream.content_type, stream, "content", lambda content: blobs.put(content, MAX_WORKSPACE_FILE))
            blob = fields.pop("content", None)
            asked = convert_form(ImportObject, fields)
        else:
            asked = decode_json(ImportObject, stream.whole(JSON_BODY))
            blob = None if asked.content is None else blobs.put([_decoded(asked.content)])
    ctx.params = {"path": asked.path, "format": asked.format, "language": asked.language, "overwrite": asked.overwrite}
    _served(asked.format, IMPORTED)
    if blob is None:
        raise invalid("Missing required field 'content'.")
    if asked.format == "SOURCE" and asked.language is None:
        raise invalid("Missing required field 'language': with format SOURCE one of SCALA, PYTHON, SQL, R.")
    _put(ctx, asked.path, blob, asked.format, asked.language, asked.overwrite)
    return Empty()


def _decoded(content: str) -> bytes:
    try:
        found = base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise malformed("content is not base64.") from None
    if len(found) > MAX_NOTEBOOK:
        raise _too_large(MAX_NOTEBOOK)
    return found


def _put(
    ctx: Ctx,
    path: str,
    blob: Blob,
    form: str,
    language: str | None,
    overwrite: bool,
    taken: Callable[[str, str], ApiError] | None = None,
) -> None:
    files, clean = _tree(ctx, path)
    if form == "AUTO" and (found := _detected(files, clean, blob)):
        form, language = found
        files, clean = _tree(ctx, clean.rpartition(".")[0])
    if form == "JUPYTER":
        language, blob = _from_jupyter(files, blob, language)
    kind = NOTEBOOK if form in ("SOURCE", "JUPYTER") else FILE
    if kind == NOTEBOOK and blob.size > MAX_NOTEBOOK:
        raise _too_large(MAX_NOTEBOOK)
    with _explained() if taken is None else _explained(lambda at: taken(at, kind)), ctx.transaction() as tx:
        there = nodes.get(tx, files.place, files.check(tx, clean, rights.WRITE))
        if there is not None and overwrite and not there.is_directory and there.kind != kind:
            kinds = f"(asked: {kind.upper()}, actual: {there.kind.upper()})"
            raise invalid(f"Cannot overwrite the asset at {clean} due to type mismatch {kinds}")
        spoken = language or "" if kind == NOTEBOOK else ""
        files.put(tx, clean, blob, overwrite=overwrite, parents=False, kind=kind, language=spoken)


def _detected(files: Tree, path: str, blob: Blob) -> tuple[str, str | None] | None:
    """Format and language of what AUTO takes for a notebook; None for any other file."""
    if path.lower().endswith(".ipynb"):
        return "JUPYTER", None
    language = notebooks.detected(path, b"".join(files.blobs.read(blob.digest, 0, notebooks.HEAD)))
    return ("SOURCE", language) if language else None


def _from_jupyter(files: Tree, blob: Blob, language: str | None) -> tuple[str, Blob]:
    """The source of a Jupyter notebook as a blob, and its language."""
    if blob.size > MAX_NOTEBOOK:
        raise _too_large(MAX_NOTEBOOK)
    try:
        spoken, source = jupyter.read(b"".join(files.blobs.read(blob.digest)), language)
    except jupyter.NotJupyter as error:
        raise invalid(f"The content is no Jupyter notebook: {error}") from None
    return spoken, files.blobs.put([source])


@endpoint(
    "POST", "/api/2.0/workspace-files/import-file{path}", action="workspace.importFile", body_limit=MAX_WORKSPACE_FILE
)  # fmt: skip
def import_file(ctx: Ctx, query: ImportFileQuery, stream: Body, path: str) -> Empty:
    """Write a file as it is sent; what looks like a notebook's source becomes one. The CLI's way."""
    ctx.params = {"path": path, "overwrite": query.overwrite}

    def taken(at: str, kind: str) -> ApiError:
        if kind == NOTEBOOK:
            return already_exists(f"Path ({at}) already exists.")
        return ApiError(409, "RESOURCE_ALREADY_EXISTS", f"File already exists at ({at}).")

    files, clean = _tree(ctx, path)
    with _explained():
        with ctx.read() as reader:
            files.check(reader, clean, rights.WRITE)  # before the content is taken
        blob = files.blobs.put(stream, MAX_WORKSPACE_FILE)
    _put(ctx, path, blob, "AUTO", None, query.overwrite, taken)
    return Empty()


@endpoint("GET", "/api/2.0/workspace-files{path}", action="workspace.readFile")
def read_file(ctx: Ctx, path: str) -> Stream:
    """A file as it is, or a notebook's source."""
    files, clean = _tree(ctx, path)
    with _explained():
        node, chunks = _opened(files, clean)
    if node.kind == NOTEBOOK:
        content = notebooks.source(node.language, b"".join(chunks))
        return Stream([content], len(content))
    return Stream(chunks, node.size)


def _opened(files: Tree, path: str) -> tuple[Node, Iterator[bytes]]:
    try:
        return files.open(path)
    except nodes.IsADirectory as error:
        raise invalid(f"Path ({error.path}) is a folder.") from None


@endpoint("GET", "/api/2.0/workspace/export", action="workspace.export")
def export(ctx: Ctx, query: ExportQuery) -> Exported | Raw:
    """A notebook's source or a file; of a folder a ZIP archive of those. `direct_download`: as it is, not in base64."""
    _served(query.format, EXPORTED)
    files, clean = _tree(ctx, query.path)
    with _explained(), ctx.read() as reader:
        node = files.get(reader, clean)
        below = files.files_below(reader, clean) if node.is_directory else []
    if node.is_directory:
        if query.format not in ("SOURCE", "AUTO"):
            raise invalid(f"Path ({clean}) is a folder; format {query.format} exports one object. Use SOURCE or AUTO.")
        content, kind = _archive(files, node, below), "zip"
    else:
        content, kind = _exported(files, node, query.format)
    if query.direct_download:
        name = (paths.name(clean) or "workspace") + (f".{kind}" if kind and node.kind != FILE else "")
        quoted = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name)
        shown = {"Content-Disposition": f'attachment; filename="{quoted}"'}
        return Raw(content, media_type="application/octet-stream", headers=shown)
    return Exported(content=base64.b64encode(content).decode(), file_type=kind)


def _exported(files: Tree, node: Node, form: str) -> tuple[bytes, str]:
    """The content of a notebook or file in a format, and the extension of that."""
    content = _content(files, node)
    if form not in ("JUPYTER", "HTML"):
        return content, _file_type(node)
    if node.kind != NOTEBOOK:
        raise invalid(f"Path ({node.path}) is a file; format {form} exports a notebook. Use AUTO or RAW.")
    name = paths.name(node.path)
    if form == "JUPYTER":
        return jupyter.write(node.language, content, name), "ipynb"
    return notebook_page.page(name, node.language, content), "html"


def _file_type(node: Node) -> str:
    if node.kind == NOTEBOOK:
        return notebooks.EXTENSIONS[node.language]
    name = paths.name(node.path)
    return name.rpartition(".")[2] if "." in name else ""


def _content(files: Tree, node: Node) -> bytes:
    if node.size > MAX_NOTEBOOK:
        raise _too_large(MAX_NOTEBOOK)
    content = b"".join(files.blobs.read(node.digest or ""))
    return notebooks.source(node.language, content) if node.kind == NOTEBOOK else content


def _archive(files: Tree, folder: Node, below: list[Node]) -> bytes:
    if sum(node.size for node in below) > MAX_NOTEBOOK:
        raise _too_large(MAX_NOTEBOOK)
    start = paths.below(folder.path)[0]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for node in below:
            suffix = f".{notebooks.EXTENSIONS[node.language]}" if node.kind == NOTEBOOK else ""
            archive.writestr(node.path.removeprefix(start) + suffix, _content(files, node))
    return out.getvalue()


def _shown(node: Node, export_info: bool) -> ObjectInfo:
    info = ObjectInfo(
        object_type=node.kind.upper(),  # type: ignore[arg-type]
        path=node.path,
        object_id=node.node_id,
        resource_id=str(node.node_id),
    )
    if node.kind != DIRECTORY:
        info.created_at, info.modified_at = node.created_at, node.modified_at
    if node.kind == FILE:
        info.size = node.size
    if node.kind == NOTEBOOK:
        info.language = node.language  # type: ignore[assignment]
        info.repos_export_format = "SOURCE" if export_info else None
    return info


@endpoint("GET", "/api/2.0/workspace/get-status", action="workspace.getStatus")
def get_status(ctx: Ctx, query: StatusQuery) -> ObjectInfo:
    """What is at a path."""
    files, clean = _tree(ctx, query.path)
    with _explained(), ctx.read() as reader:
        return _shown(files.get(reader, clean), query.return_export_info)


@endpoint("GET", "/api/2.0/workspace/list", action="workspace.list")
def list_(ctx: Ctx, query: ListObjects) -> ObjectInfos:
    """What is in a folder and may be read, or the object itself."""
    files, clean = _tree(ctx, query.path)
    with _explained(), ctx.read() as reader:
        found = files.list(reader, clean)
    since = query.notebooks_modified_after
    shown = [node for node in found if node.kind != NOTEBOOK or node.modified_at >= since]
    return ObjectInfos(objects=[_shown(node, query.return_export_info) for node in shown])


@endpoint("POST", "/api/2.0/workspace/mkdirs", action="workspace.mkdirs")
def mkdirs(ctx: Ctx, body: ObjectPath) -> Empty:
    """Make a folder and those above it; nothing happens when it is there."""
    files, clean = _tree(ctx, body.path)

    def taken(path: str) -> ApiError:
        return already_exists(f"Path ({path}) already exists and is not a folder.")

    with _explained(taken), ctx.transaction() as tx:
        files.make_directory(tx, clean)
    return Empty()


@endpoint("POST", "/api/2.0/workspace/delete", action="workspace.delete")
def delete(ctx: Ctx, body: DeleteObject) -> Empty:
    """Delete an object, with `recursive` a folder and everything in it."""
    files, clean = _tree(ctx, body.path)
    with _explained(), ctx.transaction() as tx:
        files.remove(tx, clean, body.recursive)
    return Empty()
