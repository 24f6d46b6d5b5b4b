"""Refusals in the platform's shape (reference api 0.2): `{"error_code", "message", "details"}`.

One exception for all; the constructors name the common cases so that a code goes with its status.
"""

from typing import Any

ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"


class ApiError(Exception):
    """Answered as `status` with `error_code` (a string, or an integer in the two old cases) and `message`."""

    def __init__(
        self,
        status: int,
        error_code: str | int,
        message: str,
        *,
        reason: str | None = None,
        metadata: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.error_code, self.message = status, error_code, message
        self.reason, self.metadata, self.headers = reason, metadata or {}, headers or {}

    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = {"error_code": self.error_code, "message": self.message}
        details: list[dict[str, Any]] = []
        if self.reason:
            details.append({"@type": ERROR_INFO, "reason": self.reason, "domain": "boathouse", "metadata": self.metadata})
        if not isinstance(self.error_code, int):  # the two old cases have no details
            body["details"] = details
        return body


def invalid(message: str) -> ApiError:
    """400 INVALID_PARAMETER_VALUE: a field has a value that is not allowed."""
    return ApiError(400, "INVALID_PARAMETER_VALUE", message)


def malformed(message: str) -> ApiError:
    """400 MALFORMED_REQUEST: the body is not what the endpoint takes."""
    return ApiError(400, "MALFORMED_REQUEST", message)


def invalid_state(message: str) -> ApiError:
    """400 INVALID_STATE: not now, in the state the resource is in."""
    return ApiError(400, "INVALID_STATE", message)


def not_found(message: str) -> ApiError:
    """404 RESOURCE_DOES_NOT_EXIST."""
    return ApiError(404, "RESOURCE_DOES_NOT_EXIST", message)


def already_exists(message: str) -> ApiError:
    """400 RESOURCE_ALREADY_EXISTS."""
    return ApiError(400, "RESOURCE_ALREADY_EXISTS", message)


def limit_exceeded(message: str) -> ApiError:
    """400 RESOURCE_LIMIT_EXCEEDED: a quota of the workspace is used up."""
    return ApiError(400, "RESOURCE_LIMIT_EXCEEDED", message)


def denied(message: str) -> ApiError:
    """403 PERMISSION_DENIED."""
    return ApiError(403, "PERMISSION_DENIED", message)


def no_credential() -> ApiError:
    """401 with an integer code, as the platform answers a request without a usable credential."""
    return ApiError(401, 401, "Credential was not sent or was of an unsupported type for this API.")


def bad_token() -> ApiError:
    """403: a token that is unknown, expired or revoked."""
    return ApiError(403, "PERMISSION_DENIED", "Invalid access token.")


def not_served(method: str, path: str, names: str, why: str = "") -> ApiError:
    """501: an endpoint of the platform that this server does not serve yet."""
    text = f"{names} ({method} {path}) is not served by Boathouse yet."
    return ApiError(501, "NOT_IMPLEMENTED", f"{text} {why}".strip())


def no_such_endpoint(method: str, path: str) -> ApiError:
    """404: a path that the platform does not have either."""
    return ApiError(404, "ENDPOINT_NOT_FOUND", f"No API found for '{method} {path}'")
