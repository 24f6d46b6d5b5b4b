"""The base of everything that travels: strict structs with the API's own field names, and no behaviour.

A field that is not declared is refused when a request is decoded, never dropped; a field at its default is left out when an
answer is written, as the platform does.
"""

import msgspec


class Wire(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A request or an answer body."""


class Empty(Wire):
    """The answer `{}`, and the body of calls that take nothing."""
