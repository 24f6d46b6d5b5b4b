"""What API 1.2 says when it refuses: `{"error": "<class>: <why>"}` (reference api I), never `error_code`.

Clients try a message again when it holds one of the phrases of reference api 0.3. Only `not_ready` may hold one: everything else
here is final, and a test compares each text with that list.
"""

from typing import Any

from boathouse.edge.errors import ApiError


def shape(error: ApiError) -> dict[str, Any]:
    """The body of a refusal in API 1.2."""
    return {"error": error.message}


def cluster_not_found(cluster_id: str) -> ApiError:
    return ApiError(404, "RESOURCE_DOES_NOT_EXIST", f"ClusterNotFound: Cluster {cluster_id} does not exist")


def not_ready(cluster_id: str, state: str) -> ApiError:
    """It is on its way: clients wait and try again by themselves."""
    return ApiError(
        503,
        "TEMPORARILY_UNAVAILABLE",
        f"ClusterNotReadyException: Cluster {cluster_id} is {state}.",
        headers={"Retry-After": "1"},
    )


def not_running(cluster_id: str, state: str, message: str) -> ApiError:
    """It will not be there by waiting: somebody has to start it."""
    why = f" ({message.rstrip('.')})" if message else ""
    return ApiError(400, "INVALID_STATE", f"ClusterNotRunning: Cluster {cluster_id} is {state}{why}. Start it first.")


def simulated(cluster_id: str) -> ApiError:
    return ApiError(
        400,
        "INVALID_STATE",
        f"CommandsNotSupported: Cluster {cluster_id} was launched by the simulated driver: it has no containers, and "
        "commands cannot run on it.",
    )


def no_r(cluster_id: str) -> ApiError:
    return ApiError(
        400,
        "INVALID_STATE",
        f"RNotAvailable: R commands cannot run on cluster {cluster_id}: its image has no Rscript in its PATH. "
        "Use an image with R, or a python, scala or sql context.",
    )


def no_python(cluster_id: str, reason: str) -> ApiError:
    return ApiError(
        400,
        "INVALID_STATE",
        f"PythonNotAvailable: Python commands cannot run on cluster {cluster_id}: {reason.rstrip('.')}. "
        "Use an image with Python, or a sql context.",
    )


def too_many(cluster_id: str, limit: int) -> ApiError:
    return ApiError(
        400,
        "RESOURCE_LIMIT_EXCEEDED",
        f"TooManyExecutionContexts: {limit} execution contexts are open on cluster {cluster_id}, which is the limit. "
        "Destroy one first.",
    )


def queue_full(context_id: str, limit: int) -> ApiError:
    return ApiError(
        400, "RESOURCE_LIMIT_EXCEEDED", f"TooManyCommands: {limit} commands wait in context {context_id}, which is the limit."
    )


def context_not_found(cluster_id: str, context_id: str, why: str = "") -> ApiError:
    text = f"ContextNotFound: Context {context_id} does not exist on cluster {cluster_id}"
    return ApiError(404, "RESOURCE_DOES_NOT_EXIST", f"{text}: {why.rstrip('.')}" if why else text)


def command_not_found(context_id: str, command_id: str) -> ApiError:
    return ApiError(
        404, "RESOURCE_DOES_NOT_EXIST", f"CommandNotFound: Command {command_id} does not exist in context {context_id}"
    )


def not_yours(context_id: str, owner: str) -> ApiError:
    return ApiError(
        403,
        "PERMISSION_DENIED",
        f"PermissionDenied: Context {context_id} belongs to {owner}; its code acts as them. Create a context of your own.",
    )


def already_ended(command_id: str, status: str) -> ApiError:
    return ApiError(400, "INVALID_STATE", f"CommandNotCancellable: Command {command_id} is already {status}")
