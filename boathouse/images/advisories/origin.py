"""Which layers of an image are its base's. Pure.

The base is known by its layers: those that an image has in common with it from the bottom. What only names its base
(`org.opencontainers.image.base.*`, https://specs.opencontainers.org/image-spec/annotations/) can be asked for by that name.
"""

from boathouse.images.image_config import ImageConfig

NAME, DIGEST = "org.opencontainers.image.base.name", "org.opencontainers.image.base.digest"


def base_layers(image: ImageConfig, base: ImageConfig) -> int | None:
    """How many layers are the base's; None when the image is not made of all of them."""
    count = len(base.diff_ids)
    return count if count and image.diff_ids[:count] == base.diff_ids else None


def named(image: ImageConfig) -> str:
    """The base as the image's labels name it, by digest where they give one; empty when they do not name it."""
    labels = dict(image.labels)
    name, digest = labels.get(NAME, ""), labels.get(DIGEST, "")
    return f"{name.partition('@')[0]}@{digest}" if name and digest else name
