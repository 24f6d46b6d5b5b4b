"""What makes a text a notebook (pure): its first line, `# Databricks notebook source` as a comment of its language, and the
extensions that stand for languages."""

_MARK = "Databricks notebook source"

#: Language -> how its comments begin, and the extension of its source.
COMMENTS = {"PYTHON": "#", "SQL": "--", "SCALA": "//", "R": "#"}
EXTENSIONS = {"PYTHON": "py", "SQL": "sql", "SCALA": "scala", "R": "r"}

#: Bytes from the beginning that `detected` needs.
HEAD = 64


def language_of(name: str) -> str | None:
    """The language that the extension of a file's name stands for."""
    extension = name.rpartition(".")[2].lower() if "." in name else ""
    return next((language for language, known in EXTENSIONS.items() if known == extension), None)


def detected(name: str, head: bytes) -> str | None:
    """The language of a notebook's source by its name and first line; None for any other file."""
    language = language_of(name)
    first = head.removeprefix(b"\xef\xbb\xbf").splitlines()[:1]
    if language is None or not first or first[0].rstrip() != header(language):
        return None
    return language


def header(language: str) -> bytes:
    """The first line of a notebook's source."""
    return f"{COMMENTS[language]} {_MARK}".encode()


def source(language: str, content: bytes) -> bytes:
    """A notebook's content with its first line."""
    line = header(language)
    first = content.splitlines()[:1]
    return content if first and first[0].rstrip() == line else line + b"\n" + content
