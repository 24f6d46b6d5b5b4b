"""`/api/2.0/fs/files` and `/api/2.0/fs/directories`: the Files API, on volumes (reference api I).

Volumes are made in the catalog (`catalog.volumes`), which also says who may read and write them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from boathouse.auth import ip_gate
from boathouse.auth.discovery import base_url
from boathouse.auth.keys import Keys
from boathouse.catalog import access
from boathouse.edge import ApiError, Ctx, Raw, endpoint
from boathouse.edge.errors import denied, invalid
from boathouse.edge.paging import decode_token, encode_token
from boathouse.edge.streams import Body, Stream
from boathouse.identity import principals
from boathouse.store.blobs import Blobs, TooLarge
from boathouse.wire.files import DirectoryEntries, DirectoryEntry, DirectoryQuery, DownloadUrlQuery, SignedUrl, UploadQuery
from boathouse.workspace.files import nodes, paths, ranges, rights, tickets, tree
from boathouse.workspace.files.nodes import Node
from boathouse.workspace.files.tickets import NoTicket, Ticket
from boathouse.workspace.files.tree import MAX_FILE, Tree
from boathouse.workspace.files.volume_tree import VolumeTree

ROOT = "/Volumes"
MAX_PAGE = 1000


def volume_path(path: str) -> str:
    """The path in the tree of volumes of `/Volumes/<catalog>/<schema>/<volume>...`. Raises ApiError 400."""
    try:
        clean = paths.normal(path)
    except paths.PathError as error:
        raise invalid(str(error)) from None
    inside = clean.removeprefix(ROOT)
    if not paths.inside(clean, ROOT) or rights.volume_of(inside) is None:
        raise invalid(f"Invalid path {clean[:200]}: it must begin with /Volumes/<catalog>/<schema>/<volume>.")
    return inside


def volumes(ctx: Ctx) -> Tree:
    """The tree of volumes as the caller."""
    who, asker = tree.who_is(ctx.caller), access.of_caller(ctx)
    return VolumeTree(ctx.store, ctx.service(Blobs), ctx.workspace_id, who, asker)


@contextmanager
def explained() -> Iterator[None]:
    """Turn what the tree raises into the Files API's words."""
    try:
        yield
    except nodes.Missing as error:
        raise ApiError(404, "NOT_FOUND", f"Not found: {ROOT}{error.path} does not exist.") from None
    except nodes.Exists as error:
        raise ApiError(409, "ALREADY_EXISTS", f"{ROOT}{error.path} already exists.") from None
    except nodes.IsADirectory as error:
        raise ApiError(409, "ALREADY_EXISTS", f"{ROOT}{error.path} is a directory.") from None
    except nodes.NotADirectory as error:
        raise ApiError(409, "ALREADY_EXISTS", f"{ROOT}{error.path} is a file.") from None
    except nodes.NotEmpty as error:
        raise ApiError(
            400, "INVALID_PARAMETER_VALUE", f"The directory {ROOT}{error.path} is not empty.",
            reason="FILES_API_DIRECTORY_IS_NOT_EMPTY", metadata={"path": f"{ROOT}{error.path}"},
        ) from None  # fmt: skip
    except paths.PathError as error:
        raise invalid(str(error)) from None
    except (tree.Denied, tree.Protected) as error:
        raise denied(str(error)) from None
    except TooLarge as error:
        raise too_large(error.limit) from None


def too_large(limit: int) -> ApiError:
    """400: the file is larger than a volume takes."""
    return ApiError(400, "FILE_SIZE_EXCEEDED", f"The file is larger than {limit} bytes, the limit.")


def may_write(ctx: Ctx, files: Tree, path: str, overwrite: bool) -> None:
    """Ask before any content is taken. Raises as `explained`."""
    with explained(), ctx.read() as reader:
        there = files.find(reader, path, rights.WRITE)
        if there is not None and there.is_directory:
            raise nodes.IsADirectory(there.path)
        if there is not None and not overwrite:
            raise nodes.Exists(there.path)


@endpoint("PUT", "/api/2.0/fs/files{file_path}", action="files.upload", body_limit=MAX_FILE)
def upload(ctx: Ctx, query: UploadQuery, stream: Body, file_path: str) -> Raw:
    """Write a file as it is sent, up to 5 GiB; the directories above it are made."""
    path = volume_path(file_path)
    ctx.params = {"path": file_path, "overwrite": query.overwrite}
    if query.action or query.session_token:
        raise invalid("PUT takes a whole file; the parts of an upload go to the addresses of create-upload-part-urls.")
    files = volumes(ctx)
    may_write(ctx, files, path, query.overwrite)
    with explained():
        blob = files.blobs.put(stream, MAX_FILE)
        with ctx.transaction() as tx:
            files.put(tx, path, blob, overwrite=query.overwrite)
    return Raw(status=204)


def _file(ctx: Ctx, files: Tree, path: str) -> Node:
    with explained(), ctx.read() as reader:
        found = files.get(reader, path)
        if found.is_directory:
            raise nodes.Missing(found.path)
        return found


def _headers(node: Node) -> dict[str, str]:
    return {"Last-Modified": ranges.date(node.modified_at), "Accept-Ranges": "bytes"}


def _content(ctx: Ctx, files: Tree, path: str) -> Stream:
    """The file, or the part that Range names. Raises ApiError 412, 416."""
    node = _file(ctx, files, path)
    if ranges.modified_since(node.modified_at, ctx.headers.get("if-unmodified-since")):
        raise ApiError(412, "PRECONDITION_FAILED", f"{ROOT}{node.path} was modified at {ranges.date(node.modified_at)}.")
    try:
        part = ranges.of(ctx.headers.get("range"), node.size)
    except ranges.Unsatisfiable:
        raise ApiError(
            416, "RANGE_NOT_SATISFIABLE", f"{ROOT}{node.path} has {node.size} bytes.",
            headers={"Content-Range": f"bytes */{node.size}"},
        ) from None  # fmt: skip
    first, length = part or (0, node.size)
    chunks = files.blobs.read(node.digest or "", first, length)
    if part is None:
        return Stream(chunks, length, headers=_headers(node))
    shown = {"Content-Range": f"bytes {first}-{first + length - 1}/{node.size}"}
    return Stream(chunks, length, 206, headers=_headers(node) | shown)


@endpoint("GET", "/api/2.0/fs/files{file_path}", action="files.download")
def download(ctx: Ctx, file_path: str) -> Stream:
    """A file's content; with `Range` a part of it."""
    return _content(ctx, volumes(ctx), volume_path(file_path))


@endpoint("HEAD", "/api/2.0/fs/files{file_path}", action="files.getMetadata")
def get_metadata(ctx: Ctx, file_path: str) -> Stream:
    """A file's size and date, in headers."""
    node = _file(ctx, volumes(ctx), volume_path(file_path))
    return Stream((), node.size, headers=_headers(node))


@endpoint("DELETE", "/api/2.0/fs/files{file_path}", action="files.delete")
def delete(ctx: Ctx, file_path: str) -> Raw:
    """Delete a file."""
    files, path = volumes(ctx), volume_path(file_path)
    with explained(), ctx.transaction() as tx:
        if files.get(tx, path, rights.WRITE).is_directory:
            raise nodes.Missing(path)
        files.remove(tx, path, recursive=False)
    return Raw(status=204)


@endpoint("PUT", "/api/2.0/fs/directories{directory_path}", action="files.createDirectory")
def create_directory(ctx: Ctx, directory_path: str) -> Raw:
    """Make a directory and those above it, in a volume. Nothing happens when it is there."""
    files, path = volumes(ctx), volume_path(directory_path)
    with explained(), ctx.transaction() as tx:
        files.make_directory(tx, path)
    return Raw(status=204)


def _directory(ctx: Ctx, path: str) -> tuple[Tree, Node]:
    files = volumes(ctx)
    with explained(), ctx.read() as reader:
        found = files.get(reader, path)
        if not found.is_directory:
            raise nodes.Missing(found.path)
    return files, found


@endpoint("HEAD", "/api/2.0/fs/directories{directory_path}", action="files.getDirectoryMetadata")
def get_directory_metadata(ctx: Ctx, directory_path: str) -> Raw:
    """Whether a directory is there."""
    _directory(ctx, volume_path(directory_path))
    return Raw(media_type="application/json")


@endpoint("GET", "/api/2.0/fs/directories{directory_path}", action="files.listDirectory")
def list_directory(ctx: Ctx, query: DirectoryQuery, directory_path: str) -> DirectoryEntries:
    """What is in a directory, by name, in pages."""
    if query.page_size < 0:
        raise invalid(f"page_size: {query.page_size} is negative.")
    size = min(query.page_size, MAX_PAGE) or MAX_PAGE
    after = decode_token(query.page_token, str) if query.page_token else ""
    files, found = _directory(ctx, volume_path(directory_path))
    with explained(), ctx.read() as reader:
        page = files.list(reader, found.path, after, size + 1)
    return DirectoryEntries(
        contents=[_entry(node) for node in page[:size]],
        next_page_token=encode_token(page[size - 1].path) if len(page) > size else "",
    )


def _entry(node: Node) -> DirectoryEntry:
    return DirectoryEntry(
        path=f"{ROOT}{node.path}", name=paths.name(node.path), is_directory=node.is_directory,
        last_modified=node.modified_at, file_size=None if node.is_directory else node.size,
    )  # fmt: skip


@endpoint("DELETE", "/api/2.0/fs/directories{directory_path}", action="files.deleteDirectory")
def delete_directory(ctx: Ctx, directory_path: str) -> Raw:
    """Delete an empty directory."""
    files, path = volumes(ctx), volume_path(directory_path)
    with explained(), ctx.transaction() as tx:
        if not files.get(tx, path, rights.WRITE).is_directory:
            raise nodes.Missing(path)
        files.remove(tx, path, recursive=False)
    return Raw(status=204)


def expiry(expire_time: str | None, now: int) -> int:
    """When a ticket ends, in epoch milliseconds. Raises ApiError 400."""
    try:
        return tickets.until(expire_time, now)
    except ValueError:
        raise invalid(f"expire_time: '{str(expire_time)[:100]}' is no time of the form 2025-01-31T12:00:00Z.") from None


@endpoint("POST", "/api/2.0/fs/create-download-url", action="files.createDownloadUrl")
def create_download_url(ctx: Ctx, query: DownloadUrlQuery) -> SignedUrl:
    """An address from which the file can be read without a credential, for an hour or as asked."""
    path = volume_path(query.path)
    _file(ctx, volumes(ctx), path)
    ticket = Ticket("read", ctx.workspace_id, ctx.caller.principal_id, path, expiry(query.expire_time, ctx.store.clock()))
    with ctx.transaction():  # who handed out what is in the audit
        signed = tickets.sign(ctx.service(Keys).hmac, ticket)
    return SignedUrl(url=f"{base_url(ctx)}/api/2.0/boathouse/files/{signed}")


def shown(ctx: Ctx, text: str, does: str) -> tuple[Ticket, Tree]:
    """A ticket that came with a request, and the tree as its holder. Raises ApiError 403, for an address too from which the
    ticket's workspace may not be called."""
    try:
        ticket = tickets.opened(ctx.service(Keys).hmac, text, ctx.store.clock(), does)
    except NoTicket as error:
        raise denied(str(error)) from None
    with ctx.read() as reader:
        found = principals.by_id(reader, ticket.principal_id)
        who = tree.member(reader, ticket.workspace_id, found.name) if found is not None else None
        if found is not None:
            ip_gate.check(reader, ctx.source, found.account_id, ticket.workspace_id)
    if who is None:
        raise denied("Who asked for this address is no longer an active member of the workspace.")
    return ticket, VolumeTree(ctx.store, ctx.service(Blobs), ticket.workspace_id, who)


@endpoint("GET", "/api/2.0/boathouse/files/{ticket}", action="files.downloadByUrl", public=True, anywhere=True)
def download_by_url(ctx: Ctx, ticket: str) -> Stream:
    """The file that a ticket of create-download-url is for."""
    found, files = shown(ctx, ticket, "read")
    return _content(ctx, files, found.path)
