"""The parts of `dbutils` that need nobody else: widgets, notebook.exit, library. One set for each command context."""

from __future__ import annotations

#: As many choices as the platform lets a widget have, and characters in a value.
MAX_CHOICES = 1024
MAX_VALUE = 2048


class NotebookExit(BaseException):
    """Ends a command early with a value; no `except Exception` of the user's stops it."""


class RestartPython(BaseException):
    """Ends a command, and this Python with it: a new one goes on in the same context."""


class InputWidgetNotDefined(Exception):
    """A widget is read that nobody made."""


class Widgets:
    """dbutils.widgets: values with a default. There is no page to set them on, so the default is what `get` answers."""

    def __init__(self) -> None:
        self._values: dict = {}

    def text(self, name: str, defaultValue: str, label: str = "") -> None:
        """A free text."""
        self._add(name, defaultValue)

    def dropdown(self, name: str, defaultValue: str, choices: list, label: str = "") -> None:
        """One of the choices."""
        self._chosen(name, [defaultValue], choices)
        self._add(name, defaultValue)

    def combobox(self, name: str, defaultValue: str, choices: list, label: str = "") -> None:
        """One of the choices, or any other text."""
        self._chosen(name, [], choices)
        self._add(name, defaultValue)

    def multiselect(self, name: str, defaultValue: str, choices: list, label: str = "") -> None:
        """Some of the choices; the value is their names with commas between."""
        self._chosen(name, [defaultValue], choices)
        self._add(name, defaultValue)

    def get(self, name: str) -> str:
        """A widget's value."""
        if name not in self._values:
            raise InputWidgetNotDefined(f"No input widget named {name} is defined")
        return self._values[name]

    def getArgument(self, name: str, defaultValue: str = "") -> str:
        """A widget's value, or the given one where there is no such widget."""
        return self._values.get(name, defaultValue)

    def getAll(self) -> dict:
        """All values by name."""
        return dict(self._values)

    def remove(self, name: str) -> None:
        """Forget a widget; one that is not there is forgotten already."""
        self._values.pop(name, None)

    def removeAll(self) -> None:
        """Forget all widgets."""
        self._values.clear()

    def _add(self, name: str, value: str) -> None:
        if not isinstance(name, str) or not name:
            raise ValueError("The name of a widget must be a text that is not empty")
        if not isinstance(value, str):
            raise TypeError(f"The default value of widget {name} must be a str, not {type(value).__name__}")
        if len(value) > MAX_VALUE:
            raise ValueError(f"The default value of widget {name} has {len(value)} characters; at most {MAX_VALUE} are allowed")
        self._values.setdefault(name, value)  # made again it keeps its value, as on the platform

    def _chosen(self, name: str, needed: list, choices: list) -> None:
        if not isinstance(choices, (list, tuple)) or not all(isinstance(choice, str) for choice in choices):
            raise TypeError(f"The choices of widget {name} must be a list of str")
        if len(choices) > MAX_CHOICES:
            raise ValueError(f"Widget {name} has {len(choices)} choices; at most {MAX_CHOICES} are allowed")
        for value in needed:
            if value not in choices:
                raise ValueError(f"The default value {value!r} of widget {name} is not one of its choices: {', '.join(choices)}")

    def __repr__(self) -> str:
        return (
            "dbutils.widgets: text(name, defaultValue, label), dropdown, combobox and multiselect(name, defaultValue, choices, "
            "label), get(name), getAll(), remove(name), removeAll()"
        )


class Notebook:
    """dbutils.notebook."""

    def exit(self, value: str = "") -> None:
        """End this command; its result is the value."""
        raise NotebookExit(str(value))

    def run(self, path: str, timeout_seconds: int = 0, arguments=None) -> str:
        """Not served: a command context runs no notebooks."""
        raise NotImplementedError("dbutils.notebook.run is not served by Boathouse yet: command contexts run no notebooks")

    def __repr__(self) -> str:
        return "dbutils.notebook: exit(value)"


class Library:
    """dbutils.library."""

    def restartPython(self) -> None:
        """A new Python for this context: variables are lost, what %pip installed and the Spark session stay."""
        raise RestartPython

    def __repr__(self) -> str:
        return "dbutils.library: restartPython()"
