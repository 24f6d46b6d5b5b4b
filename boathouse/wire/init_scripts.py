"""What travels at `/api/2.0/global-init-scripts`; the names are the API's own."""

from boathouse.wire.base import Wire


class GlobalInitScriptWish(Wire):
    """A script whole, to create or to put in another's place. `script`: base64. `position`: 0 runs first; None is the last
    place for a new one, and the present place for another."""

    name: str
    script: str
    enabled: bool | None = None
    position: int | None = None


class CreateGlobalInitScriptResponse(Wire):
    script_id: str


class GlobalInitScript(Wire):
    """Times: epoch ms. `script` (base64) is in the answer for one script only."""

    script_id: str
    name: str
    position: int
    enabled: bool
    created_at: int
    created_by: str
    updated_at: int
    updated_by: str
    script: str | None = None


class ListGlobalInitScriptsResponse(Wire):
    scripts: list[GlobalInitScript]
