"""Sources: the user's own modules as they were loaded, and the code that a function reaches.

A module is the user's own if it is neither of the standard library, nor installed, nor of this
package. Their texts travel with a sweep, so that every worker runs the code that was planned.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import site
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any

from dasktune.errors import SourceError
from dasktune.fingerprint import digest
from dasktune.syntax import bound_names

SOURCE = "__dasktune_source__"
"""Where a module that dasktune loaded keeps the text that it was loaded from."""


@dataclass(frozen=True)
class Sources:
    """The texts of the user's modules.

    Attributes
    ----------
    main : str
        The name under which the pipeline file was loaded.
    modules : dict of str to dict
        By name: ``source``, ``file`` and ``package`` (whether it is a package).
    """

    main: str
    modules: dict[str, dict[str, Any]]

    @classmethod
    def snapshot(cls, main: str) -> Sources:
        """Take the texts of a loaded module and of all the user's modules that it imports.

        Raises
        ------
        SourceError
            If the module has no source file.
        """
        found: dict[str, dict[str, Any]] = {}
        entry = _entry(main)
        if entry is None:
            raise SourceError(
                f"the code of {main!r} has no source file, so its changes could not be seen. "
                "Put the pipeline into a .py file."
            )
        waiting = [(main, entry)]
        while waiting:
            name, entry = waiting.pop()
            if name in found:
                continue
            found[name] = entry
            for imported in _imported(name, entry):
                if imported not in found:
                    other = _entry(imported)
                    if other is not None:
                        waiting.append((imported, other))
        return cls(main, dict(sorted(found.items())))

    @cached_property
    def digest(self) -> str:
        """Digest of the names and texts, not of where the files are."""
        return digest(
            [self.label(self.main)]
            + [[self.label(name), module["source"]] for name, module in self.modules.items()]
        )

    def label(self, name: str) -> str:
        """Name a module for people: the pipeline file by its own name."""
        if name != self.main:
            return name
        return str(os.path.splitext(os.path.basename(self.modules[name]["file"]))[0])

    @cached_property
    def trees(self) -> dict[str, ModuleTree]:
        """The syntax trees of the modules."""
        return {
            name: ModuleTree.parse(name, module["source"], module["package"])
            for name, module in self.modules.items()
        }

    def to_json(self) -> dict[str, Any]:
        """Give a JSON-able form."""
        return {"main": self.main, "modules": self.modules}

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> Sources:
        """Read what `to_json` gave."""
        return cls(tree["main"], tree["modules"])


@dataclass(frozen=True)
class ModuleTree:
    """A module's syntax tree, and which of its statements bind a name.

    Attributes
    ----------
    name : str
        The module.
    lines : list of str
        Its text.
    tree : ast.Module
        Its syntax tree.
    bindings : dict of str to list of statements
        Top-level statements by the names that they bind or change.
    stars : list of str
        Modules that it imports everything from.
    package : str
        The package that its relative imports start from.
    """

    name: str
    lines: list[str]
    tree: ast.Module
    bindings: dict[str, list[ast.stmt]]
    stars: list[str]
    package: str

    @classmethod
    def parse(cls, name: str, source: str, is_package: bool) -> ModuleTree:
        """Parse a module."""
        tree = ast.parse(source)
        package = name if is_package else name.rpartition(".")[0]
        bindings: dict[str, list[ast.stmt]] = {}
        stars: list[str] = []
        for statement in tree.body:
            if isinstance(statement, ast.ImportFrom) and statement.names[0].name == "*":
                stars.append(absolute(statement, package))
                continue
            for bound in bound_names(statement):
                bindings.setdefault(bound, []).append(statement)
        return cls(name, source.splitlines(), tree, bindings, stars, package)

    def text(self, node: ast.stmt | ast.expr) -> str:
        """Give the text of a statement, with its decorators."""
        decorators = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
        return "\n".join(self.lines[first - 1 : node.end_lineno])


def absolute(statement: ast.ImportFrom, package: str) -> str:
    """Give the absolute name of the module that an import takes names from."""
    if not statement.level:
        return statement.module or ""
    parents = package.split(".")
    base = parents[: len(parents) - statement.level + 1]
    return ".".join([*base, *([statement.module] if statement.module else [])])


def is_own(file: str | None) -> bool:
    """Say whether a file belongs to the user's own code."""
    if not file or not file.endswith(".py"):
        return False
    path = os.path.realpath(file)
    # Another environment's packages, put on the path, are libraries as much as this one's.
    if _INSTALLED & set(path.split(os.sep)):
        return False
    return not any(path.startswith(folder) for folder in _not_own())


_INSTALLED = {"site-packages", "dist-packages"}


def _not_own() -> list[str]:
    global _folders
    if _folders is None:
        paths = sysconfig.get_paths()
        named = [paths[kind] for kind in ("stdlib", "platstdlib", "purelib", "platlib")]
        named += [*site.getsitepackages(), site.getusersitepackages(), os.path.dirname(__file__)]
        _folders = [os.path.realpath(folder) + os.sep for folder in named]
    return _folders


_folders: list[str] | None = None


def text_of(name: str) -> str | None:
    """Give the text of a module, or None if it is not the user's own."""
    entry = _entry(name)
    return None if entry is None else str(entry["source"])


def _entry(name: str) -> dict[str, Any] | None:
    """Take the text of a module, if it is the user's own."""
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if module is None:
        file = _find(name)
    if module is not None and hasattr(module, SOURCE):
        return {
            "source": getattr(module, SOURCE),
            "file": file,
            "package": hasattr(module, "__path__"),
        }
    if not is_own(file):
        return None
    assert file is not None
    try:
        with open(file, encoding="utf-8") as text:
            source = text.read()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"the source of {name!r} cannot be read: {error}.") from error
    package = os.path.basename(file) == "__init__.py"
    return {"source": source, "file": os.path.abspath(file), "package": package}


def _find(name: str) -> str | None:
    """Find the file of a module that is not loaded, without loading anything but its parents."""
    top = name.partition(".")[0]
    loaded: ModuleType | None = sys.modules.get(top)
    if loaded is not None and not is_own(getattr(loaded, "__file__", None)):
        return None
    try:
        spec = importlib.util.find_spec(top)
        if spec is None or not is_own(spec.origin):
            return None
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None
    return spec.origin if spec is not None else None


def _imported(name: str, entry: dict[str, Any]) -> Iterable[str]:
    """List the modules that a module may import, and their packages."""
    package = name if entry["package"] else name.rpartition(".")[0]
    try:
        tree = ast.parse(entry["source"])
    except SyntaxError as error:
        raise SourceError(f"{entry['file']}:{error.lineno}: {error.msg}.") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _with_parents(alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = absolute(node, package)
            if base:
                yield from _with_parents(base)
                yield from (f"{base}.{alias.name}" for alias in node.names if _may_be(base))


def _may_be(base: str) -> bool:
    """Say whether a module could have submodules of the user's."""
    loaded = sys.modules.get(base)
    return hasattr(loaded, "__path__") if loaded is not None else _find(base) is not None


def _with_parents(name: str) -> Iterable[str]:
    words = name.split(".")
    for count in range(1, len(words) + 1):
        yield ".".join(words[:count])
