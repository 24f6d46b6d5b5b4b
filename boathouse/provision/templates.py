"""`${variables}` in templates. Pure.

A text that is one variable alone becomes the variable's own value (a number stays a number); `$${` writes `${`. Of a variable
that is not known the field is told, and what is known.
"""

import re
from collections.abc import Mapping
from typing import Any

from boathouse.provision.problems import Problem

_VARIABLE = re.compile(r"\$(\$\{)|\$\{([^}]*)\}")


def filled(value: Any, variables: Mapping[str, Any], path: str, problems: list[Problem]) -> Any:
    """A template with its variables filled in. Each that is not known is added to `problems`, and stays.

    >>> filled({"name": "lab-${slug}", "num_workers": "${n}"}, {"slug": "ann", "n": 2}, "each", [])
    {'name': 'lab-ann', 'num_workers': 2}
    """
    if isinstance(value, str):
        return _text(value, variables, path, problems)
    if isinstance(value, list):
        return [filled(item, variables, f"{path}[{number}]", problems) for number, item in enumerate(value)]
    if isinstance(value, dict):
        return {
            _text(key, variables, path, problems): filled(item, variables, f"{path}.{key}", problems)
            for key, item in value.items()
        }
    return value


def names(value: Any) -> set[str]:
    """The variables that a template asks for."""
    if isinstance(value, str):
        return {found[2].strip() for found in _VARIABLE.finditer(value) if found[2] is not None}
    if isinstance(value, list):
        return set().union(*map(names, value))
    if isinstance(value, dict):
        return set().union(*(names(key) | names(item) for key, item in value.items()))
    return set()


def _text(text: str, variables: Mapping[str, Any], path: str, problems: list[Problem]) -> Any:
    def value(name: str) -> Any:
        name = name.strip()
        if name not in variables:
            problems.append(Problem(path, f"the variable ${{{name}}} is not known; known are {', '.join(sorted(variables))}"))
            return f"${{{name}}}"
        return variables[name]

    whole = _VARIABLE.fullmatch(text)
    if whole and whole[2] is not None:
        return value(whole[2])
    return _VARIABLE.sub(lambda found: "${" if found[1] else _shown(value(found[2])), text)


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
