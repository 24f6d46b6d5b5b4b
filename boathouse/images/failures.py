"""How the work with an image fails: one small family of exceptions, each with the API's termination code.

Raised by the registry client and by the check, made by `pull.py` from an engine's words; the launch turns one into the
cluster's termination reason. Text from outside passes `quoted` first: registries are hostile.
"""

import unicodedata

PULL_FAILURE = "DOCKER_IMAGE_PULL_FAILURE"
INVALID_OS = "DOCKER_INVALID_OS_EXCEPTION"
TOO_LARGE = "DOCKER_IMAGE_TOO_LARGE_FOR_INSTANCE_EXCEPTION"
QUOTED_CHARACTERS = 300  # of a registry's or an engine's words, never more is repeated


class ImageFailure(Exception):
    """An image that cannot be used.

    `code` is a termination code of the API (its type is CLIENT_ERROR), `message` what happened, `fix` what the user
    can do, `evidence` the other side's own words, bounded and without control characters.
    """

    code = PULL_FAILURE

    def __init__(self, message: str, fix: str = "", evidence: str = "") -> None:
        super().__init__(message)
        self.message, self.fix, self.evidence = message, fix, evidence

    def __str__(self) -> str:
        return self.text

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of the termination reason, under the API's own keys."""
        return {"databricks_error_message": self.text}

    @property
    def text(self) -> str:
        """Message, evidence and fix in one line."""
        said = f' It said: "{self.evidence}".' if self.evidence else ""
        return f"{self.message}{said}{' ' + self.fix if self.fix else ''}"


class PullFailure(ImageFailure):
    """The registry cannot be reached, refuses, or sends what cannot be trusted."""


class Broken(PullFailure):
    """A connection broke, or was silent for too long, before a whole answer had come."""


class Refused(PullFailure):
    """The registry does not take the credentials, or does not let who has them read (401, 403)."""


class NotThere(PullFailure):
    """The registry answers, and says that it does not have what was asked for (404)."""


class WrongPlatform(ImageFailure):
    """The image is not for Linux on this machine's processors."""

    code = INVALID_OS


class TooLarge(ImageFailure):
    """The image does not fit on the node."""

    code = TOO_LARGE


def quoted(words: object, secrets: tuple[str, ...] = (), limit: int = QUOTED_CHARACTERS) -> str:
    """Words from outside, fit to be repeated: one bounded line, no control or formatting characters, no known secret."""
    text = str(words)[: 64 * 1024]
    for secret in sorted((secret for secret in secrets if secret), key=len, reverse=True):
        text = text.replace(secret, "[REDACTED]")
    text = "".join(
        " " if character.isspace() else character
        for character in text
        if character.isspace() or not unicodedata.category(character).startswith("C")
    )
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
