"""The HTTP edge: a kit that knows no resource.

Rooms write endpoints as plain functions marked with `endpoint`; `server.py` collects them into `Routes` and hands the kit an
authenticator. The kit routes, decodes strictly, answers errors in the platform's shapes, keeps the access log and the audit.
"""

from boathouse.edge.caller import Caller
from boathouse.edge.context import Ctx
from boathouse.edge.errors import ApiError
from boathouse.edge.routing import Raw, Routes, endpoint

__all__ = ["ApiError", "Caller", "Ctx", "Raw", "Routes", "endpoint"]
