"""`/api/2.0/dbfs/*`: the DBFS API (reference api I). Every member of the workspace reads and writes there, as on the platform.

A file appears when its stream is closed, whole; on the platform it appears empty when the stream is opened.
"""

import base64
import binascii
from collections.abc import Iterator
from contextlib import contextmanager

from boathouse.edge import ApiError, Ctx, endpoint
from boathouse.edge.decoding import convert_form, decode_json
from boathouse.edge.errors import already_exists, denied, invalid, malformed, not_found
from boathouse.edge.multipart import FORM, read_form
from boathouse.edge.streams import Body
from boathouse.store.blobs import Blob, Blobs, TooLarge
from boathouse.wire.base import Empty
from boathouse.wire.files import (
    DbfsAddBlock,
    DbfsClose,
    DbfsContent,
    DbfsCreate,
    DbfsCreated,
    DbfsDelete,
    DbfsFile,
    DbfsFiles,
    DbfsMove,
    DbfsPath,
    DbfsPut,
    DbfsRead,
)
from boathouse.workspace.files import handles, nodes, paths, tree
from boathouse.workspace.files.nodes import Node
from boathouse.workspace.files.rights import DBFS, WRITE
from boathouse.workspace.files.tree import MAX_FILE, Tree

#: Bytes of a block, of a `put` that is not a form, and of a read (reference api I).
MAX_BLOCK = MAX_READ = 1 << 20
DEFAULT_READ = MAX_READ // 2

#: Bodies up to here are read, so that a block that is too large is refused by its own name.
BLOCK_BODY = 16 << 20


def _tree(ctx: Ctx) -> Tree:
    return Tree(ctx.store, ctx.service(Blobs), ctx.workspace_id, DBFS, tree.who_is(ctx.caller))


def _path(path: str) -> str:
    """A path of the API in normal form: `/a/b` or `dbfs:/a/b`. Raises ApiError 400."""
    try:
        clean = paths.normal(path.removeprefix("dbfs:"))
    except paths.PathError as error:
        raise invalid(str(error)) from None
    for root, api in (("/Volumes", "the Files API (/api/2.0/fs)"), ("/Workspace", "the Workspace API (/api/2.0/workspace)")):
        if paths.inside(clean, root):
            raise invalid(f"{clean[:200]} is not in DBFS; use {api}")
    return clean


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except nodes.Missing as error:
        raise not_found(f"No file or directory exists on path {error.path}.") from None
    except (nodes.Exists, nodes.IsADirectory) as error:
        raise already_exists(f"A file or directory already exists at the input path {error.path}.") from None
    except nodes.NotADirectory as error:
        raise already_exists(f"A file exists at {error.path}, where a directory is needed.") from None
    except nodes.NotEmpty as error:
        raise ApiError(400, "IO_ERROR", f"Directory {error.path} is not empty; delete it with recursive=true.") from None
    except nodes.IntoItself as error:
        raise invalid(f"A directory cannot be moved into itself: {error.path}.") from None
    except (tree.Denied, tree.Protected) as error:
        raise denied(str(error) or "The root of DBFS stays.") from None
    except paths.PathError as error:
        raise invalid(str(error)) from None
    except TooLarge as error:
        raise invalid(f"The file is larger than {error.limit} bytes, the limit.") from None


def _decoded(what: str, data: str) -> bytes:
    try:
        found = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise malformed(f"{what} is not base64.") from None
    if len(found) > MAX_BLOCK:
        raise ApiError(400, "MAX_BLOCK_SIZE_EXCEEDED", f"{what} has {len(found)} bytes; the limit of a block is {MAX_BLOCK}.")
    return found


@endpoint("POST", "/api/2.0/dbfs/create")
def create(ctx: Ctx, body: DbfsCreate) -> DbfsCreated:
    """Open a stream to a new file; it ends after ten minutes without a block."""
    path, files = _path(body.path), _tree(ctx)
    with _explained(), ctx.transaction() as tx:
        there = nodes.get(tx, files.place, files.check(tx, path, WRITE))
        if there is not None and (there.is_directory or not body.overwrite):
            raise nodes.Exists(path)
        return DbfsCreated(handle=handles.open_handle(tx, ctx.workspace_id, ctx.caller.principal_id, path, body.overwrite))


@contextmanager
def _opened(ctx: Ctx, number: int) -> Iterator[handles.Handle]:
    """The caller's stream, for one caller at a time. Raises ApiError 404."""
    unknown = not_found(f"No stream with handle {number} is open; streams end after 10 minutes without a block.")
    try:
        with handles.alone(ctx.store, ctx.service(Blobs), ctx.workspace_id, ctx.caller.principal_id, number) as stream:
            yield stream
    except handles.NoHandle:
        raise unknown from None


@endpoint("POST", "/api/2.0/dbfs/add-block", body_limit=BLOCK_BODY)
def add_block(ctx: Ctx, body: DbfsAddBlock) -> Empty:
    """Append to a stream. What was answered is kept, whatever happens to the server."""
    ctx.params = {"handle": body.handle}
    data = _decoded("data", body.data)
    with _explained(), _opened(ctx, body.handle) as stream:
        handles.append(ctx.store, ctx.service(Blobs), stream, data)  # no audit record a block: `create` and `close` leave theirs
    return Empty()


@endpoint("POST", "/api/2.0/dbfs/close")
def close(ctx: Ctx, body: DbfsClose) -> Empty:
    """End a stream: the file is there now, or is refused and the stream is gone."""
    blobs = ctx.service(Blobs)
    with _explained(), _opened(ctx, body.handle) as stream:
        ctx.params = {"handle": body.handle, "path": stream.path}
        _path(stream.path)  # streams of `dbutils.fs` may go elsewhere, and end there
        blob = blobs.finish([stream.key], stream.size)
        refused: nodes.NodeError | None = None
        with ctx.transaction() as tx:
            handles.close_handle(tx, stream)
            try:
                _tree(ctx).put(tx, stream.path, blob, overwrite=stream.overwrite)
            except nodes.NodeError as error:  # the stream ends all the same
                refused = error
        blobs.discard(stream.key)
        if refused is not None:
            raise refused
    return Empty()


@endpoint("POST", "/api/2.0/dbfs/put", body_limit=MAX_FILE + BLOCK_BODY)
def put(ctx: Ctx, stream: Body) -> Empty:
    """Write a file at once: `contents` in base64 up to 1 MB, or a form with the file in `contents`."""
    blobs = ctx.service(Blobs)
    with _explained():
        if stream.media_type == FORM:
            fields = read_form(stream.content_type, stream, "contents", lambda content: blobs.put(content, MAX_FILE))
            blob = fields.pop("contents", None)
            asked = convert_form(DbfsPut, fields)
            blob = blob if blob is not None else blobs.put([])
        else:
            asked = decode_json(DbfsPut, stream.whole(BLOCK_BODY))
            ctx.params = {"path": asked.path, "overwrite": asked.overwrite}
            blob = blobs.put([_decoded("contents", asked.contents or "")])
        ctx.params = {"path": asked.path, "overwrite": asked.overwrite}
        _write(ctx, _path(asked.path), blob, asked.overwrite)
    return Empty()


def _write(ctx: Ctx, path: str, blob: Blob, overwrite: bool) -> None:
    with ctx.transaction() as tx:
        _tree(ctx).put(tx, path, blob, overwrite=overwrite)


@endpoint("GET", "/api/2.0/dbfs/read")
def read(ctx: Ctx, query: DbfsRead) -> DbfsContent:
    """A part of a file: half a megabyte from `offset` on, unless `length` says otherwise."""
    length = DEFAULT_READ if query.length is None else query.length
    if query.offset < 0:
        raise invalid(f"offset: {query.offset} is negative.")
    if length < 0:
        raise invalid(f"length: {length} is negative.")
    if length > MAX_READ:
        raise ApiError(400, "MAX_READ_SIZE_EXCEEDED", f"length: {length} is larger than {MAX_READ} bytes, the limit.")
    path = _path(query.path)
    try:
        with _explained():
            _, chunks = _tree(ctx).open(path, query.offset, length)
    except ApiError as error:
        if error.error_code == "RESOURCE_ALREADY_EXISTS":
            raise invalid(f"{path} is a directory, not a file.") from None
        raise
    data = b"".join(chunks)
    return DbfsContent(bytes_read=len(data), data=base64.b64encode(data).decode())


def _shown(node: Node) -> DbfsFile:
    return DbfsFile(path=node.path, is_dir=node.is_directory, file_size=node.size, modification_time=node.modified_at)


@endpoint("GET", "/api/2.0/dbfs/get-status")
def get_status(ctx: Ctx, query: DbfsPath) -> DbfsFile:
    """What is at a path."""
    with _explained(), ctx.read() as reader:
        return _shown(_tree(ctx).get(reader, _path(query.path)))


@endpoint("GET", "/api/2.0/dbfs/list", action="dbfs.list")
def list_(ctx: Ctx, query: DbfsPath) -> DbfsFiles:
    """What is in a directory, or the file itself."""
    with _explained(), ctx.read() as reader:
        return DbfsFiles(files=[_shown(node) for node in _tree(ctx).list(reader, _path(query.path))])


@endpoint("POST", "/api/2.0/dbfs/mkdirs")
def mkdirs(ctx: Ctx, body: DbfsPath) -> Empty:
    """Make a directory and those above it; nothing happens when it is there."""
    with _explained(), ctx.transaction() as tx:
        _tree(ctx).make_directory(tx, _path(body.path))
    return Empty()


@endpoint("POST", "/api/2.0/dbfs/move")
def move(ctx: Ctx, body: DbfsMove) -> Empty:
    """Rename a file or a directory with everything in it."""
    with _explained(), ctx.transaction() as tx:
        _tree(ctx).move(tx, _path(body.source_path), _path(body.destination_path))
    return Empty()


@endpoint("POST", "/api/2.0/dbfs/delete")
def delete(ctx: Ctx, body: DbfsDelete) -> Empty:
    """Delete a file or a directory. Succeeds when there is none, as on the platform."""
    path = _path(body.path)
    with _explained(), ctx.transaction() as tx:
        try:
            _tree(ctx).remove(tx, path, body.recursive)
        except nodes.Missing:
            return Empty()
    return Empty()
