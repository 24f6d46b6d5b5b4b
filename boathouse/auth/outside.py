"""Log-in by an OpenID Connect provider of the organisation."""


class OutsideLogin:
    """The provider that settings name."""

    name = ""
