"""The HTTP protocol of the server: uvicorn's, with a limit on what comes before the body.

Nobody has shown who they are while headers are read: without a limit a stranger could fill the memory with one header.
"""

from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: Bytes that a request line and its headers may have together: what one read from the socket may hold beyond it is let through.
HEAD_LIMIT = 64 << 10

_TOO_LARGE = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE


class BoundedProtocol(HttpToolsProtocol):
    _head = 0
    _in_body = False

    def data_received(self, data: bytes) -> None:
        if not self._in_body:
            self._head += len(data)
        super().data_received(data)
        if not self._in_body and self._head > HEAD_LIMIT and not self.transport.is_closing():
            words = f"The request's headers are larger than {HEAD_LIMIT} bytes.".encode()
            head = f"HTTP/1.1 {_TOO_LARGE.value} {_TOO_LARGE.phrase}\r\ncontent-type: text/plain\r\nconnection: close\r\n"
            self.transport.write(head.encode() + b"content-length: %d\r\n\r\n" % len(words) + words)
            self.transport.close()

    def on_headers_complete(self) -> None:
        self._in_body = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_body, self._head = False, 0
        super().on_message_complete()
