"""Uploads in parts, as the SDK sends files of more than 50 MiB: initiate, parts at signed addresses, complete or abort.

A part is content of its own until the upload is complete; then they become one file, in one transaction. An upload that nobody
goes on with ends after a day.
"""

import secrets
from collections.abc import Iterator

import msgspec
from sqlalchemy import and_, delete, insert, select, update

from boathouse.auth.discovery import base_url
from boathouse.auth.keys import Keys
from boathouse.edge import ApiError, Ctx, Raw, endpoint
from boathouse.edge.errors import invalid
from boathouse.edge.streams import Body
from boathouse.store import Reader, Store
from boathouse.wire.files import (
    AbortUploadUrl,
    CompleteUpload,
    CreateAbortUploadUrl,
    CreateUploadPartUrls,
    InitiatedUpload,
    MultipartUpload,
    SignedUrl,
    UploadPartUrl,
    UploadPartUrls,
    UploadQuery,
)
from boathouse.workspace.files import tickets
from boathouse.workspace.files.tickets import Ticket
from boathouse.workspace.files.tree import MAX_FILE
from boathouse.workspace.files.volumes import expiry, explained, may_write, shown, too_large, volume_path, volumes
from boathouse.workspace.tables import upload_parts, uploads

#: Numbers of parts, addresses in one answer, and how long an upload may rest.
MAX_PARTS, MAX_URLS, IDLE_MS = 10_000, 1000, 24 * 3600_000


class Upload(msgspec.Struct, frozen=True):
    session: str
    path: str
    overwrite: bool


def _unknown(session: str) -> ApiError:
    text = f"There is no upload with the session token {session[:80]}; uploads end a day after their last part."
    return ApiError(404, "NOT_FOUND", text)


def _get(reader: Reader, workspace_id: int, principal_id: int, session: str, path: str, now: int) -> Upload:
    """The caller's upload to this path. Raises ApiError 404."""
    there = and_(
        uploads.c.session == session[:64], uploads.c.workspace_id == workspace_id, uploads.c.principal_id == principal_id,
        uploads.c.path == path, uploads.c.touched_at >= now - IDLE_MS,
    )  # fmt: skip
    row = reader.execute(select(uploads.c.session, uploads.c.path, uploads.c.overwrite).where(there)).first()
    if row is None:
        raise _unknown(session)
    return Upload(*row)


def _mine(ctx: Ctx, session: str, path: str) -> Upload:
    with ctx.read() as reader:
        return _get(reader, ctx.workspace_id, ctx.caller.principal_id, session, path, ctx.store.clock())


@endpoint("POST", "/api/2.0/fs/files{file_path}", action="files.uploadInParts")
def initiate_or_complete(
    ctx: Ctx, query: UploadQuery, file_path: str, body: CompleteUpload | None = None
) -> InitiatedUpload | Raw:
    """`action=initiate-upload` begins an upload in parts; `complete-upload` makes the file of them."""
    path = volume_path(file_path)
    ctx.params = {"path": file_path, "action": query.action, "overwrite": query.overwrite}
    if query.action == "initiate-upload":
        return InitiatedUpload(multipart_upload=MultipartUpload(session_token=_initiate(ctx, path, query.overwrite)))
    if query.action is None:
        raise invalid("Missing required query parameter 'action': initiate-upload or complete-upload.")
    if query.upload_type not in (None, "multipart"):
        raise invalid(f"Invalid value for query parameter 'upload_type': '{query.upload_type[:100]}'. Allowed: multipart.")
    _complete(ctx, _mine(ctx, query.session_token or "", path), body or CompleteUpload())
    return Raw(b"{}")


def _initiate(ctx: Ctx, path: str, overwrite: bool) -> str:
    may_write(ctx, volumes(ctx), path, overwrite)
    session = secrets.token_hex(32)
    with ctx.transaction() as tx:
        tx.execute(
            insert(uploads).values(
                session=session, workspace_id=ctx.workspace_id, principal_id=ctx.caller.principal_id, path=path,
                overwrite=overwrite, touched_at=ctx.store.clock(),
            )
        )  # fmt: skip
    return session


def _complete(ctx: Ctx, upload: Upload, asked: CompleteUpload) -> None:
    numbers = [part.part_number for part in asked.parts]
    if not numbers or numbers != sorted(set(numbers)):
        raise invalid("parts: at least one is needed, each once, in the order of their numbers.")
    with ctx.read() as reader:
        columns = upload_parts.c.part_number, upload_parts.c.digest, upload_parts.c.size
        have = {row.part_number: row for row in reader.execute(select(*columns).where(upload_parts.c.session == upload.session))}
    for part in asked.parts:
        row = have.get(part.part_number)
        if row is None:
            raise invalid(f"parts: part {part.part_number} was not uploaded.")
        if part.etag and part.etag.strip('"') != row.digest:
            raise invalid(f"parts: part {part.part_number} has the etag {row.digest}, not {part.etag[:100]}.")
    files = volumes(ctx)

    def content() -> Iterator[bytes]:
        for number in numbers:
            yield from files.blobs.read(have[number].digest)

    with explained():
        blob = files.blobs.put(content(), MAX_FILE)
        with ctx.transaction() as tx:
            files.put(tx, upload.path, blob, overwrite=upload.overwrite)
            _forget(tx, [upload.session])


def _forget(tx: Reader, sessions: list[str]) -> None:
    for table in (upload_parts, uploads):
        tx.execute(delete(table).where(table.c.session.in_(sessions)))


@endpoint("POST", "/api/2.0/fs/create-upload-part-urls", action="files.createUploadPartUrls")
def create_upload_part_urls(ctx: Ctx, body: CreateUploadPartUrls) -> UploadPartUrls:
    """Addresses to which parts can be sent without a credential."""
    path = volume_path(body.path)
    upload = _mine(ctx, body.session_token, path)
    last = body.start_part_number + body.count - 1
    if not (1 <= body.start_part_number <= last <= MAX_PARTS and body.count <= MAX_URLS):
        asked = f"start_part_number: {body.start_part_number}, count: {body.count}"
        raise invalid(f"{asked}. Allowed: parts 1 to {MAX_PARTS}, {MAX_URLS} at once.")
    ends = expiry(body.expire_time, ctx.store.clock())

    def url(number: int) -> str:
        return _url(ctx, Ticket("part", ctx.workspace_id, ctx.caller.principal_id, path, ends, upload.session, number))

    numbers = range(body.start_part_number, last + 1)
    return UploadPartUrls(upload_part_urls=[UploadPartUrl(url=url(number), part_number=number) for number in numbers])


@endpoint("POST", "/api/2.0/fs/create-abort-upload-url", action="files.createAbortUploadUrl")
def create_abort_upload_url(ctx: Ctx, body: CreateAbortUploadUrl) -> AbortUploadUrl:
    """An address that ends an upload, by DELETE, without a credential."""
    path = volume_path(body.path)
    upload = _mine(ctx, body.session_token, path)
    ends = expiry(body.expire_time, ctx.store.clock())
    ticket = Ticket("abort", ctx.workspace_id, ctx.caller.principal_id, path, ends, upload.session)
    return AbortUploadUrl(abort_upload_url=SignedUrl(url=_url(ctx, ticket)))


def _url(ctx: Ctx, ticket: Ticket) -> str:
    return f"{base_url(ctx)}/api/2.0/boathouse/uploads/{tickets.sign(ctx.service(Keys).hmac, ticket)}"


@endpoint(
    "PUT", "/api/2.0/boathouse/uploads/{ticket}", action="files.uploadPart", public=True, anywhere=True, body_limit=MAX_FILE
)
def upload_part(ctx: Ctx, stream: Body, ticket: str) -> Raw:
    """One part; sent again it takes the place of the first."""
    asked, files = shown(ctx, ticket, "part")
    with ctx.read() as reader:
        upload = _get(reader, asked.workspace_id, asked.principal_id, asked.session, asked.path, ctx.store.clock())
        others = and_(upload_parts.c.session == upload.session, upload_parts.c.part_number != asked.part)
        taken = sum(row.size for row in reader.execute(select(upload_parts.c.size).where(others)))
    if taken + (stream.length or 0) > MAX_FILE:
        raise too_large(MAX_FILE)
    with explained():
        blob = files.blobs.put(stream, MAX_FILE - taken)
    with ctx.store.transaction() as tx:
        _get(tx, asked.workspace_id, asked.principal_id, asked.session, asked.path, ctx.store.clock())
        here = and_(upload_parts.c.session == upload.session, upload_parts.c.part_number == asked.part)
        tx.execute(delete(upload_parts).where(here))
        tx.execute(
            insert(upload_parts).values(session=upload.session, part_number=asked.part, digest=blob.digest, size=blob.size)
        )
        tx.execute(update(uploads).where(uploads.c.session == upload.session).values(touched_at=ctx.store.clock()))
    return Raw(headers={"ETag": f'"{blob.digest}"'})


@endpoint("DELETE", "/api/2.0/boathouse/uploads/{ticket}", action="files.abortUpload", public=True, anywhere=True)
def abort_upload(ctx: Ctx, ticket: str) -> Raw:
    """End an upload; its parts go."""
    asked, _ = shown(ctx, ticket, "abort")
    with ctx.store.transaction() as tx:
        _forget(tx, [asked.session])
    return Raw(b"{}")


def end_idle(store: Store) -> None:
    """Forget uploads that nobody went on with."""
    with store.transaction() as tx:
        idle = uploads.c.touched_at < store.clock() - IDLE_MS
        _forget(tx, [row.session for row in tx.execute(select(uploads.c.session).where(idle))])


def named_digests(reader: Reader, digests: list[str]) -> set[str]:
    """Those of `digests` that are parts of uploads."""
    return {row.digest for row in reader.execute(select(upload_parts.c.digest).where(upload_parts.c.digest.in_(digests)))}
