"""One command's code: compiling it, running it in the user's `__main__`, and telling its exception as notebooks do.

It knows neither the channel nor Spark.
"""

from __future__ import annotations

import ast
import builtins
import linecache
import os
import sys
import traceback
import types
from typing import Any

_HERE = os.path.dirname(os.path.abspath(__file__))
_CONTEXT_LINES = 2
_FRAMES_SHOWN = 20
MESSAGE_LIMIT = 64 << 10
TRACEBACK_LIMIT = 512 << 10


class Namespace:
    """The user's `__main__`: a module of its own, so that what is defined there is pickled by value, as in a notebook."""

    def __init__(self) -> None:
        self.module = types.ModuleType("__main__")
        self.module.__dict__["__builtins__"] = builtins
        sys.modules["__main__"] = self.module
        self._count = 0

    @property
    def names(self) -> dict:
        return self.module.__dict__

    def run(self, code: str, show) -> None:
        """Run a command; `show(value)` gets the value of a last line that is an expression. Raises what the code raises."""
        self._count += 1
        file = f"<command-{self._count}>"
        # Kept for ever: functions of earlier commands appear in later tracebacks. No mtime: checkcache leaves it alone.
        linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
        # `dont_inherit`: what this file imports from __future__ is not the user's wish.
        tree: Any = compile(code, file, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        if tree.body:
            exec(compile(tree, file, "exec", dont_inherit=True), self.names)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), file, "eval", dont_inherit=True), self.names)
            if value is not None:
                self.names["_"] = value
                show(value)


def describe(error: BaseException) -> dict:
    """An exception as a result: `summary` is one line (class and message), `cause` the traceback."""
    name = type(error).__name__
    text = _message(error)
    summary = f"{name}: {text}" if text else name
    rule = "-" * 75
    head = f"{name}{'Traceback (most recent call last)':>{max(75 - len(name), 34)}}"
    lines = [rule, head, *_chain(error, set())]
    return {"resultType": "error", "summary": _cut(summary, MESSAGE_LIMIT), "cause": _cut("\n".join(lines), TRACEBACK_LIMIT)}


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as second:
        return f"<its message cannot be shown: {type(second).__name__}>"


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit] + f"\n[... {len(text) - limit} characters more]"


def _chain(error: BaseException, seen: set) -> list:
    seen.add(id(error))
    lines: list = []
    cause, context = error.__cause__, error.__context__
    if cause is not None and id(cause) not in seen:
        lines += [*_chain(cause, seen), "", "The above exception was the direct cause of the following exception:", ""]
    elif context is not None and not error.__suppress_context__ and id(context) not in seen:
        lines += [*_chain(context, seen), "", "During handling of the above exception, another exception occurred:", ""]
    frames = [(frame, line) for frame, line in traceback.walk_tb(error.__traceback__) if not _ours(frame)]
    if len(frames) > 2 * _FRAMES_SHOWN:
        for frame, line in frames[:_FRAMES_SHOWN]:
            lines += _frame(frame, line)
        lines += [f"[... {len(frames) - 2 * _FRAMES_SHOWN} frames more]", ""]
        frames = frames[-_FRAMES_SHOWN:]
    for frame, line in frames:
        lines += _frame(frame, line)
    if isinstance(error, SyntaxError):
        lines += [line.rstrip("\n") for line in traceback.format_exception_only(type(error), error)]
    else:
        lines.append(f"{type(error).__name__}: {_message(error)}")
    return lines


def _ours(frame) -> bool:
    return os.path.dirname(os.path.abspath(frame.f_code.co_filename)) == _HERE


def _frame(frame, line: int) -> list:
    code = frame.f_code
    within = "" if code.co_name == "<module>" else f", in {code.co_name}({', '.join(_arguments(code))})"
    if code.co_filename.startswith("<command-"):
        lines = [f"File {code.co_filename}, line {line}{within}"]
    else:
        lines = [f"File {code.co_filename}:{line}{within}"]
    for number in range(max(1, line - _CONTEXT_LINES), line + _CONTEXT_LINES + 1):
        text = linecache.getline(code.co_filename, number, frame.f_globals).rstrip("\n")
        if text or number == line:
            arrow = f"----> {number}" if number == line else str(number)
            lines.append(f"{arrow:>{6 + len(str(line))}} {text}".rstrip())
    return [*lines, ""]


def _arguments(code) -> tuple:
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
