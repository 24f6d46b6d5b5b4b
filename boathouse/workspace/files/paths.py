"""What a path may be (pure): absolute, in normal form, of readable names, not too long. Refusals name the path and the reason.

A path is kept as `/a/b`, the root as `/`. Nothing is resolved: a path that could mean another one is refused.
"""

import unicodedata

#: Bytes of a path and of one name in it, in UTF-8 (an object store's key, a file system's name).
MAX_PATH, MAX_NAME = 1024, 255


class PathError(Exception):
    """The path cannot name anything. The message says which path and why."""


def normal(path: str) -> str:
    """The path in normal form: one trailing slash is taken off. Raises PathError."""
    shown = path.encode("unicode_escape").decode()
    shown = shown if len(shown) <= 200 else f"{shown[:200]}..."
    if not path.startswith("/"):
        raise PathError(f"Path must be absolute: {shown or '(empty)'}")
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        raise PathError(f"Path ({shown}) is not text in Unicode") from None
    if size > MAX_PATH:
        raise PathError(f"Path ({shown}) has {size} bytes, the limit is {MAX_PATH}")
    if path == "/":
        return path
    trimmed = path[:-1] if path.endswith("/") else path
    for name in trimmed[1:].split("/"):
        if not name:
            raise PathError(f"Path ({shown}) has an empty name in it: //")
        if name in (".", ".."):
            raise PathError(f"Path ({shown}) has the name '{name}' in it; write the path out")
        if len(name.encode()) > MAX_NAME:
            raise PathError(f"Path ({shown}) has a name of more than {MAX_NAME} bytes")
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
            raise PathError(f"Path ({shown}) has a control character in it")
    return trimmed


def parent(path: str) -> str:
    """The folder of a normal path; the root is its own."""
    return path.rpartition("/")[0] or "/"


def name(path: str) -> str:
    """The last name of a normal path; empty for the root."""
    return path.rpartition("/")[2]


def parents(path: str) -> list[str]:
    """All folders above a normal path, the root left out, the highest first."""
    above: list[str] = []
    while (path := parent(path)) != "/":
        above.append(path)
    return above[::-1]


def inside(path: str, folder: str) -> bool:
    """Whether a normal path is `folder` or below it."""
    return folder == "/" or path == folder or path.startswith(folder + "/")


def below(folder: str) -> tuple[str, str]:
    """The range of texts, first included and last not, that holds all that is below a folder, compared by code points."""
    start = "/" if folder == "/" else folder + "/"
    return start, start[:-1] + "0"  # the character after "/"
