"""GRANT, REVOKE, SHOW GRANTS and ALTER ... OWNER TO as they are written in SQL (pure): from text to what is meant.

    GRANT privilege [, ...] ON securable TO principal
    REVOKE privilege [, ...] ON securable FROM principal
    SHOW GRANTS [principal] ON securable
    ALTER securable [SET] OWNER TO principal

A securable is `[CATALOG | SCHEMA | TABLE | ...] name`, the name with its dots, in parts that stand in back-quotes where they
are no plain words; without a kind it is a table. Privileges are in the words of SQL (`USE SCHEMA`). Refusals name the word that
is wrong.
"""

import re

import msgspec

from boathouse.catalog import privileges
from boathouse.catalog.names import DEPTH

_TOKEN = re.compile(r"\s+|--[^\n]*|/\*.*?\*/|(?P<quoted>`(?:[^`]|``)*`)|(?P<word>\w+)|(?P<sign>[.,;])|(?P<other>.)", re.S)

#: Kinds as SQL writes them. A view is a table.
KINDS = {kind.replace("_", " "): kind for kind in privileges.KINDS} | {"DATABASE": privileges.SCHEMA, "VIEW": privileges.TABLE}


class BadStatement(Exception):
    """The text is none of these statements. The message names what is wrong."""


class Securable(msgspec.Struct, frozen=True):
    """`parts` of the name as they were written; fewer than the kind has where the first ones are to be filled in."""

    kind: str
    parts: tuple[str, ...]


class Grant(msgspec.Struct, frozen=True):
    """`revoke`: the other way round."""

    privileges: tuple[str, ...]
    on: Securable
    principal: str
    revoke: bool = False


class ShowGrants(msgspec.Struct, frozen=True):
    on: Securable
    principal: str | None = None


class AlterOwner(msgspec.Struct, frozen=True):
    of: Securable
    owner: str


Statement = Grant | ShowGrants | AlterOwner


class _Token(msgspec.Struct, frozen=True):
    text: str
    quoted: bool = False

    @property
    def upper(self) -> str:
        return "" if self.quoted else self.text.upper()


def parse(text: str) -> Statement:
    """What a statement means. Raises BadStatement."""
    words = _Words(text)
    first = words.one_of("GRANT", "REVOKE", "SHOW", "ALTER")
    if first == "SHOW":
        words.one_of("GRANTS", "GRANT")
        principal = None if words.next_is("ON") else words.principal()
        words.one_of("ON")
        made: Statement = ShowGrants(words.securable(), principal)
    elif first == "ALTER":
        of = words.securable()
        if words.next_is("SET"):
            words.one_of("SET")
        words.one_of("OWNER")
        words.one_of("TO")
        made = AlterOwner(of, words.principal())
    else:
        named = words.privileges()
        words.one_of("ON")
        on = words.securable()
        words.one_of("TO" if first == "GRANT" else "FROM")
        made = Grant(named, on, words.principal(), revoke=first == "REVOKE")
    words.end()
    return made


def full_name(it: Securable, catalog: str, schema: str) -> str:
    """The whole name: what was left out before it is the current catalog and schema."""
    return ".".join(((catalog, schema)[: DEPTH.get(it.kind, 1) - len(it.parts)]) + it.parts)


class _Words:
    def __init__(self, text: str) -> None:
        self._tokens: list[_Token] = []
        for match in _TOKEN.finditer(text):
            if match["quoted"]:
                self._tokens.append(_Token(match["quoted"][1:-1].replace("``", "`"), quoted=True))
            elif match["word"] or match["sign"]:
                self._tokens.append(_Token(match["word"] or match["sign"]))
            elif match["other"]:
                raise BadStatement(
                    f"'{match['other']}' is not expected here: names and principals that are no plain words stand in back-quotes"
                )
        self._at = 0

    def _peek(self, ahead: int = 0) -> _Token:
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else _Token("")

    def _take(self) -> _Token:
        token = self._peek()
        self._at += 1
        return token

    def next_is(self, word: str) -> bool:
        return self._peek().upper == word

    def one_of(self, *allowed: str) -> str:
        token = self._take()
        if token.upper not in allowed:
            raise BadStatement(f"{_shown(token)} where {' or '.join(allowed)} is expected")
        return token.upper

    def privileges(self) -> tuple[str, ...]:
        found: list[str] = []
        while True:
            words = []
            while self._peek().upper not in ("", ",", "ON", ".", ";"):
                words.append(self._take().upper)
            name = "_".join(words)
            if name == "ALL":
                name = privileges.ALL_PRIVILEGES
            if name not in privileges.PRIVILEGES:
                shown = " ".join(words) or _shown(self._peek())
                raise BadStatement(f"'{shown[:64]}' is not a privilege. Allowed: {_allowed()}")
            found.append(name)
            if not self.next_is(","):
                return tuple(found)
            self._take()

    def securable(self) -> Securable:
        two = f"{self._peek().upper} {self._peek(1).upper}"
        kind = privileges.TABLE
        if two in KINDS:
            kind, self._at = KINDS[two], self._at + 2
        elif self._peek().upper in KINDS and self._peek(1).text != ".":
            kind = KINDS[self._take().upper]
        if kind == privileges.METASTORE:
            return Securable(kind, ())
        parts = [self._name()]
        while self._peek().upper == ".":
            self._take()
            parts.append(self._name())
        depth = DEPTH.get(kind, 1)
        if len(parts) > depth:
            raise BadStatement(f"'{'.'.join(parts)[:200]}' has {len(parts)} parts; the name of a {_words(kind)} has {depth}")
        return Securable(kind, tuple(parts))

    def _name(self) -> str:
        token = self._take()
        if not token.text or token.upper in (".", ",", ";"):
            raise BadStatement(f"{_shown(token)} where a name is expected")
        return token.text

    def principal(self) -> str:
        return self._name()

    def end(self) -> None:
        while self.next_is(";"):
            self._take()
        if self._peek().text or self._at < len(self._tokens):
            shown = _shown(self._peek())
            raise BadStatement(f"{shown} after the end of the statement: a principal such as `ann@x.org` stands in back-quotes")


def _shown(token: _Token) -> str:
    return f"'{token.text[:64]}'" if token.text else "the end of the statement"


def _words(kind: str) -> str:
    return kind.lower().replace("_", " ")


def _allowed() -> str:
    return ", ".join(sorted(map(privileges.words, privileges.PRIVILEGES)))
