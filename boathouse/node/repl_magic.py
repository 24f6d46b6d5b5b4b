"""Lines that begin with a percent sign: `%pip`, `%sh`, `%sql`, `%md`, `%python`, `%restart_python`, at the head of a command.

A Python command can begin with none of these, so nothing that is Python changes its meaning. What %pip installs goes into an
environment of this context alone, over the image's packages; `repl_spark` brings it to the workers of its tasks.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import shlex
import signal
import site
import subprocess
import sys
import tarfile

from repl_notebook import RestartPython

ENVIRONMENTS = "/local_disk0/.ephemeral_nfs/envs"
_IMAGE_PACKAGES = "_image_packages.pth"
_MAGIC = re.compile(r"\s*%([A-Za-z_][\w-]*)[ \t]*(.*)", re.DOTALL)
_OTHER_LANGUAGES = {"scala": "scala", "r": "r"}
_LATER = ("fs", "run", "lsmagic", "time", "timeit", "conda")
_KNOWN = "%pip, %sh, %sql, %md, %python, %restart_python"
NOTE = (
    "Note: you may need to restart the kernel using %restart_python or dbutils.library.restartPython() to use updated packages."
)


class MagicError(Exception):
    """A magic that is not known or not served, or a program that it ran and that failed."""


class Environment:
    """The packages of one context: made at its first %pip, used again by a Python that restarts."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    @property
    def packages(self) -> str:
        """The folder that is put before the image's packages."""
        return os.path.join(self._folder, "lib", "python{}.{}".format(*sys.version_info), "site-packages")

    def activate(self) -> bool:
        """Have this process find its packages; False when there is none."""
        if not os.path.isdir(self.packages):
            return False
        if self.packages not in sys.path:
            known = list(sys.path)
            site.addsitedir(self.packages)
            added = [path for path in sys.path if path not in known]
            at = next((i for i, path in enumerate(known) if path.endswith(("site-packages", "dist-packages"))), len(known))
            sys.path[:] = known[:at] + added + known[at:]
        importlib.invalidate_caches()
        return True

    def pip(self, arguments: list) -> None:
        """Run the image's pip for this environment. Raises MagicError when it fails; it has said why."""
        if not os.path.isdir(self.packages):
            self._make()
        python = os.path.join(self._folder, "bin", "python")
        code = run_program([python, "-m", "pip", "--disable-pip-version-check", *arguments])
        if code != 0:
            raise MagicError(f"pip ended with exit code {code}")
        self.activate()

    @property
    def folder(self) -> str:
        """All of it, on the driver's disk."""
        return self._folder

    def name(self) -> str:
        """Says what is in it: another one after each change."""
        listed = hashlib.sha256()
        for path, below in self._files():
            state = os.stat(path)
            listed.update(f"{below}\0{state.st_size}\0{state.st_mtime_ns}\0".encode("utf-8", "surrogateescape"))
        return listed.hexdigest()[:16]

    def pack(self, folder: str) -> str:
        """Have `<name>.tar` of the packages in a folder; its name. Symbolic links become what they point to."""
        name = self.name()
        whole = os.path.join(folder, name + ".tar")
        if not os.path.exists(whole):
            with tarfile.open(whole + ".part", "w", format=tarfile.GNU_FORMAT, dereference=True) as file:
                for path, below in self._files():
                    file.add(path, below, recursive=False)
            os.rename(whole + ".part", whole)
        return name

    def _files(self):
        """What a Python on another node needs of it: (path, path below `packages`), in an order that is always the same."""
        for folder, folders, names in os.walk(self.packages):
            folders[:] = sorted(each for each in folders if each != "__pycache__")
            for name in sorted(names):
                path = os.path.join(folder, name)
                if name != _IMAGE_PACKAGES and os.path.isfile(path):
                    yield path, os.path.relpath(path, self.packages)

    def _make(self) -> None:
        code = run_program([sys.executable, "-m", "venv", "--system-site-packages", "--without-pip", self._folder])
        if code != 0:
            raise MagicError("the environment of this context could not be made: the image's Python has no usable venv")
        # The image's Python may be a virtual environment itself, whose packages a new one does not see by itself.
        with open(os.path.join(self.packages, _IMAGE_PACKAGES), "w", encoding="utf-8") as file:
            file.write("".join(f"{path}\n" for path in site.getsitepackages()))


def run_program(argv: list) -> int:
    """Its exit code; its output is the command's. An interruption ends it with all that it started."""
    sys.stdout.flush()
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        return process.wait()
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise


class Magics:
    def __init__(self, environment: Environment, names: dict, show) -> None:
        """`names`: the user's namespace; `show(value)` displays a table or text."""
        self._environment, self._names, self._show = environment, names, show

    def run(self, code: str) -> str:
        """Run the magics at the head of a command; the Python code that remains."""
        while True:
            found = _MAGIC.match(code)
            if found is None:
                return code
            name, rest = found.group(1), found.group(2)
            if name == "pip":
                line, _, code = rest.partition("\n")
                self._pip(line)
            elif name == "restart_python":
                raise RestartPython
            elif name == "python":
                return rest
            else:
                self._whole(name, rest)
                return ""

    def _pip(self, line: str) -> None:
        arguments = shlex.split(line, comments=True)
        if not arguments:
            raise MagicError("%pip needs a command, such as: %pip install PACKAGE")
        if arguments[0] == "uninstall" and not {"-y", "--yes"} & set(arguments):
            arguments.append("--yes")  # nobody is there to ask
        self._environment.pip(arguments)
        if arguments[0] in ("install", "uninstall"):
            print(NOTE)

    def _whole(self, name: str, text: str) -> None:
        if name == "sh":
            strict = re.match(r"-e\b[ \t]*", text)
            code = run_program(["/bin/bash", "-c", text[strict.end() :] if strict else text])
            if strict and code != 0:
                raise MagicError(f"%sh -e ended with exit code {code}")
        elif name == "sql":
            if "spark" not in self._names:
                raise MagicError("%sql needs Spark, which this context cannot reach")
            table = self._names["_sqldf"] = self._names["spark"].sql(text.strip().rstrip(";"))
            if table.columns:
                self._show(table)
        elif name == "md":
            print(text.strip())
        elif name in _OTHER_LANGUAGES:
            language = _OTHER_LANGUAGES[name]
            raise MagicError(f'%{name} does not run in a Python command: send the command with "language": "{language}"')
        else:
            what = "is not served by Boathouse yet" if name in _LATER else "is not known"
            raise MagicError(f"%{name} {what}. Served at the head of a Python command: {_KNOWN}")
