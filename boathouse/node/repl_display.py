"""`display` and `displayHTML`, and how a command's outcome becomes one result of API 1.2 (text, table, image, error).

Spark's, pandas' and matplotlib's objects are known by what they can do: none of these must be installed.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import io
import json
import math
import sys

#: What `display` shows of a table: rows, and bytes of them as JSON.
MAX_ROWS = 10_000
MAX_TABLE_BYTES = 8 << 20
MAX_IMAGE_BYTES = 8 << 20


class Displays:
    """What one command displayed, in order."""

    def __init__(self) -> None:
        self._shown: list = []

    def clear(self) -> None:
        self._shown = []

    def display(self, value=None, *more, **options) -> None:
        """Show a DataFrame (Spark's or pandas'), a list of rows, a figure, or anything else as text."""
        for each in (value, *more):
            shown = spark_table(each) or pandas_table(each) or figure(each)
            if shown is not None:
                self._shown.append(shown)
            elif hasattr(each, "writeStream") and getattr(each, "isStreaming", False) is True:
                raise TypeError("display() of a streaming DataFrame is not served yet; write it to a table or to memory")
            elif isinstance(each, (list, tuple)) and each and all(isinstance(row, (dict, tuple)) for row in each):
                self._shown.append(rows_table(each))
            elif each is not None:
                print(each if isinstance(each, str) else repr(each))

    def display_html(self, html: str) -> None:
        """Show HTML; API 1.2 has no result type for it, so it is text."""
        self._shown.append({"resultType": "text", "data": str(html)})

    def outcome(self, text: str, truncated: bool) -> dict:
        """The result of a command that raised nothing.

        One result carries one thing: the last table, or all images, or the text. What was printed beside a table or an
        image stands in `summary`.
        """
        html = "".join(shown["data"] for shown in self._shown if shown["resultType"] == "text")
        tables = [shown for shown in self._shown if shown["resultType"] == "table"]
        images = [shown["fileName"] for shown in self._shown if shown["resultType"] == "image"] + open_figures()
        result: dict
        if tables:
            result = dict(tables[-1])
        elif len(images) > 1:
            result = {"resultType": "images", "fileNames": images}
        elif images:
            result = {"resultType": "image", "fileName": images[0]}
        else:
            whole = {"resultType": "text", "data": text + html}
            return dict(whole, truncated=True) if truncated else whole
        if text + html:
            result["summary"] = text + html
        return result


# -- tables


def spark_table(value) -> dict | None:
    """A Spark DataFrame's first rows; None when it is none."""
    if not all(hasattr(value, name) for name in ("schema", "limit", "collect", "isStreaming")) or value.isStreaming is True:
        return None
    fields = value.schema.fields
    zone = session_zone(value)
    rows = value.limit(MAX_ROWS + 1).collect()
    cells = ([cell(row[i], field.dataType, zone) for i, field in enumerate(fields)] for row in rows)
    schema = [
        {"name": f.name, "type": f.dataType.json(), "metadata": json.dumps(getattr(f, "metadata", None) or {})} for f in fields
    ]
    return table(schema, cells)


def session_zone(frame):
    """The session's time zone, None for the machine's (also where this Python does not know the zone)."""
    try:
        from zoneinfo import ZoneInfo

        return ZoneInfo(frame.sparkSession.conf.get("spark.sql.session.timeZone"))
    except (ImportError, KeyError, ValueError, AttributeError):
        return None


_PANDAS_TYPES = {"i": "long", "u": "long", "f": "double", "b": "boolean", "M": "timestamp"}


def pandas_table(value) -> dict | None:
    """A pandas DataFrame's first rows; None when it is none."""
    if not type(value).__module__.startswith("pandas.") or not hasattr(value, "itertuples"):
        return None
    kinds = [_PANDAS_TYPES.get(getattr(kind, "kind", "O"), "string") for kind in value.dtypes]
    schema = [{"name": str(name), "type": json.dumps(kinds[i]), "metadata": "{}"} for i, name in enumerate(value.columns)]
    first = value.head(MAX_ROWS + 1)
    return table(schema, ([cell(item) for item in row] for row in first.itertuples(index=False, name=None)))


def rows_table(rows) -> dict:
    """A list of dicts or tuples as a table of text columns."""
    as_dicts = [row.asDict() if hasattr(row, "asDict") else row for row in rows[: MAX_ROWS + 1]]
    names: list = []
    for row in as_dicts:
        for name in row if isinstance(row, dict) else (f"_{i + 1}" for i in range(len(row))):
            if name not in names:
                names.append(name)
    schema = [{"name": str(name), "type": '"string"', "metadata": "{}"} for name in names]
    cells = (
        [cell(item) for item in (map(row.get, names) if isinstance(row, dict) else (*row, *[None] * len(names))[: len(names)])]
        for row in as_dicts
    )
    return table(schema, cells)


def table(schema: list, rows) -> dict:
    """A table result of as many rows as the limits let pass."""
    kept: list = []
    size = 0
    truncated = False
    for row in rows:
        size += len(json.dumps(row)) + 1
        if len(kept) == MAX_ROWS or size > MAX_TABLE_BYTES:
            truncated = True
            break
        kept.append(row)
    return {"resultType": "table", "data": kept, "schema": schema, "truncated": truncated, "isJsonSchema": True}


def cell(value, kind=None, zone=None):
    """One value as JSON, spelled as the driver's own SQL results are: times as ISO text, decimals and NaN as text."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        number = float(value)
        return number if math.isfinite(number) else {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[repr(number)]
    if isinstance(value, datetime.datetime):
        if type(kind).__name__ == "TimestampNTZType":
            return _iso(value)
        try:
            return _iso(value.astimezone(zone))
        except (OverflowError, OSError, ValueError):
            return _iso(value)
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(bytes(value)).decode("ascii")
    if hasattr(value, "asDict"):
        names = getattr(value, "__fields__", None) or range(len(value))
        kinds = [field.dataType for field in getattr(kind, "fields", ())] or [None] * len(value)
        return {str(name): cell(value[i], kinds[i], zone) for i, name in enumerate(names)}
    if isinstance(value, dict):
        return {str(key): cell(item, getattr(kind, "valueType", None), zone) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [cell(item, getattr(kind, "elementType", None), zone) for item in value]
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a number of numpy
        return cell(value.item())
    return str(value)


def _iso(value: datetime.datetime) -> str:
    return value.isoformat(timespec="microseconds" if value.microsecond % 1000 else "milliseconds")


# -- images


def figure(value) -> dict | None:
    """A matplotlib figure, or whatever draws itself as PNG; None for anything else."""
    png = None
    if hasattr(value, "savefig"):
        buffer = io.BytesIO()
        value.savefig(buffer, format="png", bbox_inches="tight")
        png = buffer.getvalue()
    elif hasattr(type(value), "_repr_png_"):
        png = value._repr_png_()
    if not isinstance(png, bytes):
        return None
    if len(png) > MAX_IMAGE_BYTES:
        raise ValueError(f"the image has {len(png)} bytes; at most {MAX_IMAGE_BYTES} are shown")
    return {"resultType": "image", "fileName": "data:image/png;base64," + base64.b64encode(png).decode("ascii")}


def open_figures() -> list:
    """The figures that pyplot holds, drawn and closed: a notebook shows them at the end of the command."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return []
    drawn = [figure(pyplot.figure(number)) for number in pyplot.get_fignums()]
    pyplot.close("all")
    return [each["fileName"] for each in drawn if each is not None]
