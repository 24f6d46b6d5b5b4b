"""What a person is told of a run: a row for each of the people with what is theirs, as CSV or HTML to hand out. Pure.

No password and no token is ever in it. Cells that a spreadsheet would take for a formula are written as text.
"""

import csv
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from boathouse.provision.diff import Record
from boathouse.provision.people import Person
from boathouse.provision.runner import DONE, FAILED, Outcome
from boathouse.provision.wishes import Wish

COLUMNS = ("user", "name", "user_id", "schemas", "cluster", "cluster_id", "started_s", "state", "problem")


@dataclass
class Row:
    """One person's row."""

    user: str
    name: str
    user_id: str = ""
    schemas: list[str] = field(default_factory=list)
    cluster: list[str] = field(default_factory=list)
    cluster_id: list[str] = field(default_factory=list)
    started_s: str = ""
    state: str = "ready"
    problem: list[str] = field(default_factory=list)

    def cells(self) -> list[str]:
        values = [getattr(self, name) for name in COLUMNS]
        return [" ".join(value) if isinstance(value, list) and name != "problem" else "; ".join(value) if isinstance(value, list)
                else value for name, value in zip(COLUMNS, values, strict=True)]  # fmt: skip


def rows(
    people: Iterable[Person], wanted: Iterable[Wish], records: Mapping[str, Record], outcomes: Iterable[Outcome]
) -> list[Row]:
    """A row for each person: what they have, and what went wrong for them."""
    made = {person.user: Row(person.user, person.name) for person in people}
    ended = {outcome.action.id: outcome for outcome in outcomes}
    for wish in wanted:
        row = made.get(wish.person)
        if row is None:
            continue
        record, outcome = records.get(wish.id), ended.get(wish.id)
        if outcome is not None and outcome.end != DONE:
            row.state = "incomplete"
            if outcome.end == FAILED:
                row.problem.append(f"{wish.kind}: {outcome.message}")
        elif outcome is None and (record is None or record.open) and wish.kind not in ("launch", "stop"):
            row.state = "incomplete"
        if record is None or record.open:
            continue
        if wish.kind == "user":
            row.user_id = record.ref
        elif wish.kind == "schema":
            row.schemas.append(wish.key)
        elif wish.kind == "cluster":
            row.cluster.append(wish.key)
            row.cluster_id.append(record.ref)
        elif wish.kind == "launch" and outcome is not None and outcome.end == DONE:
            row.started_s = f"{outcome.seconds:.1f}"
    return list(made.values())


def as_csv(table: Sequence[Row]) -> str:
    """CSV with a mark at its beginning, so that spreadsheets read it as UTF-8."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in table:
        writer.writerow([_tame(cell) for cell in row.cells()])
    return "\ufeff" + out.getvalue()


def _tame(cell: str) -> str:
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


def as_html(fleet: str, host: str, table: Sequence[Row]) -> str:
    """One page without anything from elsewhere."""
    done = sum(row.state == "ready" for row in table)
    head = "".join(f"<th>{html.escape(name)}</th>" for name in COLUMNS)
    body = "\n".join(_html_row(row) for row in table)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{html.escape(fleet)}</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>
body {{ font: 14px/1.5 system-ui, sans-serif; margin: 2rem; color: #16202b; }}
table {{ border-collapse: collapse; }} th, td {{ border: 1px solid #c9d2dc; padding: .25rem .6rem; text-align: left; }}
th {{ background: #eef2f6; }} tr.incomplete td {{ background: #fdecea; }}
</style></head>
<body><h1>{html.escape(fleet)}</h1>
<p>{done} of {len(table)} people are ready at <a href="{html.escape(host)}">{html.escape(host)}</a>.</p>
<table><thead><tr>{head}</tr></thead><tbody>
{body}
</tbody></table></body></html>
"""


def _html_row(row: Row) -> str:
    cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in row.cells())
    return f'<tr class="{row.state}">{cells}</tr>'
