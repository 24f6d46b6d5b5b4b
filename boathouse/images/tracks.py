"""Names of image tracks: `track://etl/python:stable`, which clusters may name in place of an image.

A track is a name of the platform's own for a digest that has passed a roll-out. It is written with a scheme that no reference
may begin with, so that it can never be looked up at a registry. Pure; what a track names stands in `compute.tracks`.
"""

import msgspec

from boathouse.images.references import TRACK_SCHEME, is_repository, is_tag

LONGEST_NAME = 200


class InvalidTrack(ValueError):
    """A text that is no name of a track: names the field, the value, what is wrong and what would be right."""


class TrackName(msgspec.Struct, frozen=True):
    """A parsed name. `repository`: `etl/python`; `channel`: `stable`."""

    repository: str
    channel: str

    @property
    def key(self) -> str:
        """The name as it is stored and compared: `etl/python:stable`."""
        return f"{self.repository}:{self.channel}"

    def __str__(self) -> str:
        return f"{TRACK_SCHEME}{self.key}"


def is_track(text: str) -> bool:
    """Whether somebody meant `text` as a track; `parse` says whether it is one."""
    return text[: len(TRACK_SCHEME)].lower() == TRACK_SCHEME


def parse(text: str, field: str = "track") -> TrackName:
    """Read `track://<name>:<channel>`. Raises InvalidTrack."""
    shown = text if len(text) <= 100 else text[:97] + "..."
    example = f"Write it as {TRACK_SCHEME}etl/python:stable."
    rest = text.removeprefix(TRACK_SCHEME)
    if rest == text:
        raise InvalidTrack(f"{field}: {shown!r} is no track: it does not begin with {TRACK_SCHEME}. {example}")
    repository, colon, channel = rest.rpartition(":")
    if not colon:
        raise InvalidTrack(f"{field}: {shown!r} is no track: it names no channel, such as :stable. {example}")
    if len(rest) > LONGEST_NAME:
        raise InvalidTrack(f"{field}: {shown!r} is no track: it has {len(rest)} characters, {LONGEST_NAME} are allowed.")
    if not is_repository(repository):
        raise InvalidTrack(
            f"{field}: {shown!r} is no track: {repository[:60]!r} is no name. Use a-z, 0-9, single . _ - and / between them."
        )
    if not is_tag(channel):
        raise InvalidTrack(
            f"{field}: {shown!r} is no track: {channel[:60]!r} is no channel. Use up to 128 letters, digits, _ . -"
        )
    return TrackName(repository, channel)
