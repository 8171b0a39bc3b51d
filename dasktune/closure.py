"""The closure: all the user's code that a function reaches, and its fingerprint.

Starting at the function, names are followed through the user's own modules, statically: to
functions, classes and their bases, constants, decorators, and whatever changes them at the top
level of a module. What is looked up at run time (``getattr``, registries filled elsewhere) is
not seen; name it with ``uses=`` of the pipeline.
"""

from __future__ import annotations

import ast
import copy
import functools
import inspect
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import CodeType, FunctionType, MethodType
from typing import Any

from dasktune.errors import SourceError
from dasktune.fingerprint import digest
from dasktune.identity import FOLLOWED, described
from dasktune.source import ModuleTree, Sources, absolute
from dasktune.syntax import Chain, canonical_tree, free_names, local_imports


@dataclass(frozen=True)
class Code:
    """The code that a recipe consists of.

    Attributes
    ----------
    parts : dict of str to str
        The hash of each definition by its qualified name, such as ``"digits.train"``.
    texts : dict of str to str
        The text of each definition, for people.
    """

    parts: dict[str, str]
    texts: dict[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """64 hexadecimal digits over all parts."""
        return digest(sorted(self.parts.items()))


def fingerprint(
    recipe: Callable[..., Any],
    sources: Sources,
    *,
    uses: Iterable[Callable[..., Any]] = (),
    defaults: bool = True,
) -> Code:
    """Fingerprint a function with all the user's code that it reaches.

    Parameters
    ----------
    recipe : callable
        A function, lambda, partial, bound method, class, or instance with ``__call__``.
    sources : Sources
        The texts of the user's modules.
    uses : iterable of callable
        More code that counts.
    defaults : bool, default True
        Whether the defaults of the recipe's own parameters count. Those that count as variables
        do not: an edited default is then the same as ``VAR=VAL`` on the command line.

    Raises
    ------
    SourceError
        If the identity of something cannot be told, or a module was edited after it was
        loaded, so that its text is not what would run.
    """
    closure = _Closure(sources)
    if not defaults:
        closure.leave_defaults(recipe)
    for entry in (recipe, *uses):
        closure.enter(entry)
    # Functions that call each other reach the same code, and are not the same recipe.
    closure.parts["recipe"] = digest([_named(entry) for entry in (recipe, *uses)])[:16]
    return Code(dict(sorted(closure.parts.items())), closure.texts)


class _Closure:
    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.parts: dict[str, str] = {}
        self.texts: dict[str, str] = {}
        self._seen: set[tuple[str, str]] = set()
        self._without_defaults: tuple[str, str] | None = None
        self._variables: Any = None
        self._entered: dict[int, Any] = {}  # code that values consist of, kept so that ids stay

    def leave_defaults(self, recipe: Callable[..., Any]) -> None:
        """Leave the defaults of the recipe's own parameters out."""
        if isinstance(recipe, FunctionType):
            self._without_defaults = (recipe.__module__, recipe.__qualname__)
        else:
            self._variables = recipe

    def enter(self, thing: Any) -> None:
        """Follow a live object."""
        if isinstance(thing, functools.partial):
            self._value(
                f"partial of {getattr(thing.func, '__qualname__', '?')}",
                [list(thing.args), dict(thing.keywords)],
            )
            self.enter(thing.func)
        elif isinstance(thing, MethodType):
            self.enter(thing.__func__)
            self._instance(thing.__self__)
        elif isinstance(thing, FunctionType):
            self._function(inspect.unwrap(thing) if hasattr(thing, "__wrapped__") else thing)
            if hasattr(thing, "__wrapped__") and thing.__module__ in self.sources.trees:
                self._closed_over(thing)
        elif isinstance(thing, type):
            if thing.__module__ in self.sources.trees:
                self.name(thing.__module__, thing.__qualname__.partition(".")[0], {()})
            else:
                self._put(f"{thing.__module__}.{thing.__qualname__}", "external")
        elif callable(thing) and not inspect.isbuiltin(thing):
            self._instance(thing)
        elif inspect.isbuiltin(thing):
            self._put(f"{thing.__module__}.{thing.__qualname__}", "builtin")
        else:
            raise SourceError(f"a recipe must be callable, but got {thing!r}.")

    def name(self, module: str, name: str, chains: set[Chain]) -> None:
        """Follow a name of one of the user's modules."""
        tree = self.sources.trees[module]
        statements = tree.bindings.get(name)
        if statements is None:
            for star in tree.stars:
                if star in self.sources.trees and self._binds(star, name):
                    self.name(star, name, chains)
            return
        imports = [s for s in statements if isinstance(s, (ast.Import, ast.ImportFrom))]
        for statement in imports:
            self._import(statement, tree, name, chains)
        own = [s for s in statements if not isinstance(s, (ast.Import, ast.ImportFrom))]
        if not own or (module, name) in self._seen:
            return
        self._seen.add((module, name))
        self._check_live(tree, name, own)
        label = f"{self.sources.label(module)}.{name}"
        bare = (module, name) == self._without_defaults
        counted = [_without_defaults(statement) if bare else statement for statement in own]
        self._put(label, [canonical_tree(statement) for statement in counted])
        self.texts[label] = "\n".join(tree.text(statement) for statement in own)
        for definition in own:
            self._reads(tree, definition)

    def _binds(self, module: str, name: str) -> bool:
        tree = self.sources.trees[module]
        return name in tree.bindings or any(
            star in self.sources.trees and self._binds(star, name) for star in tree.stars
        )

    def _reads(self, tree: ModuleTree, node: ast.AST, but: Iterable[str] = ()) -> None:
        for name, chains in free_names(node).items():
            if name not in but:
                self.name(tree.name, name, chains)
        for statement in local_imports(node):
            for alias in statement.names:
                local = alias.asname or alias.name.partition(".")[0]
                self._import(statement, tree, local, {()})

    def _import(
        self,
        statement: ast.Import | ast.ImportFrom,
        tree: ModuleTree,
        name: str,
        chains: set[Chain],
    ) -> None:
        """Follow what an import binds to a name."""
        for alias in statement.names:
            local = alias.asname or (
                alias.name.partition(".")[0] if isinstance(statement, ast.Import) else alias.name
            )
            if local != name:
                continue
            if isinstance(statement, ast.Import):
                target = alias.name if alias.asname else alias.name.partition(".")[0]
                self._module(target, chains, f"{self.sources.label(tree.name)}:{name}")
                continue
            base = absolute(statement, tree.package)
            if base not in self.sources.trees:
                where = f"{self.sources.label(tree.name)}:{name}"
                self._put(where, ["import", base, alias.name])
            elif self._binds(base, alias.name):
                self.name(base, alias.name, chains)
            elif f"{base}.{alias.name}" in self.sources.trees:
                self._module(f"{base}.{alias.name}", chains, "")
            else:
                self._whole(base)

    def _module(self, target: str, chains: set[Chain], where: str) -> None:
        """Follow the attributes that are taken of a module."""
        if target not in self.sources.trees:
            self._put(where or target, ["import", target])
            return
        for chain in chains:
            if not chain:
                self._whole(target)
            elif self._binds(target, chain[0]):
                self.name(target, chain[0], {chain[1:]})
            elif f"{target}.{chain[0]}" in self.sources.trees:
                self._module(f"{target}.{chain[0]}", {chain[1:]}, "")
            else:
                self._whole(target)

    def _whole(self, module: str) -> None:
        """Take all of a module: it is used in a way that names no part of it."""
        if (module, "*") in self._seen:
            return
        self._seen.add((module, "*"))
        tree = self.sources.trees[module]
        body = [s for s in tree.tree.body if not isinstance(s, (ast.Import, ast.ImportFrom))]
        label = f"{self.sources.label(module)}.*"
        self._put(label, [canonical_tree(s) for s in body if not _is_docstring(s)])
        self.texts[label] = "\n".join(tree.lines)
        for statement in body:
            self._reads(tree, statement)

    def _function(self, function: FunctionType) -> None:
        module = function.__module__
        if module not in self.sources.trees:
            self._put(f"{module}.{function.__qualname__}", "external")
            return
        tree = self.sources.trees[module]
        top = function.__qualname__.partition(".")[0]
        if "<" not in function.__qualname__ and top in tree.bindings:
            self._same(function, tree)
            self.name(module, top, {()})
            return
        nodes = _at_line(tree.tree, function)
        if not nodes:
            raise SourceError(
                f"the source of {function.__qualname__} is not where it was when it was loaded: "
                f"{module} was edited after it was imported. Restart, and run again."
            )
        label = f"{self.sources.label(module)}.{function.__qualname__}"
        self._put(label, [canonical_tree(node) for node in nodes])
        self.texts[label] = "\n".join(tree.text(node) for node in nodes)
        free = function.__code__.co_freevars
        for node in nodes:
            self._reads(tree, node, but=free)
        self._closed_over(function)

    def _closed_over(self, function: FunctionType) -> None:
        for name, cell in zip(
            function.__code__.co_freevars, function.__closure__ or (), strict=True
        ):
            try:
                value = cell.cell_contents
            except ValueError:
                continue  # not bound yet, as a function that refers to itself
            if value is function:
                continue
            if isinstance(value, FOLLOWED):
                self._put(f"{function.__qualname__} over {name}", _named(value))
                self.enter(value)
            elif not inspect.ismodule(value):
                self._value(f"{function.__qualname__} over {name}", value)

    def _instance(self, thing: Any) -> None:
        self.enter(thing if isinstance(thing, type) else type(thing))
        if isinstance(thing, type):
            return
        label = f"a {type(thing).__qualname__}"
        values = {}
        left_out = getattr(thing, "variables_in", "") if thing is self._variables else ""
        for name, value in getattr(thing, "__dict__", {}).items():
            if name == left_out:
                continue
            members = value if isinstance(value, dict) else {"": value}
            if any(isinstance(member, FOLLOWED) for member in members.values()):
                for key, member in members.items():
                    if isinstance(member, FOLLOWED):
                        self._put(f"{label}.{name}.{key}".rstrip("."), _named(member))
                        self.enter(member)
                    else:
                        self._value(f"{label}.{name}.{key}", member)
            elif not name.startswith("__"):
                values[name] = value
        self._value(label, values)

    def _value(self, label: str, value: Any) -> None:
        try:
            tree, code = described(value)
        except Exception as error:
            raise SourceError(
                f"{label}: the identity of {value!r} cannot be told ({error}), so its changes "
                "could not be seen. Make it a plain value, or define it at the top of the module."
            ) from error
        self._put(label, tree)
        for thing in code:
            if id(thing) not in self._entered:
                self._entered[id(thing)] = thing
                self.enter(thing)

    def _put(self, label: str, tree: Any) -> None:
        hashed = digest(tree)[:16]
        if self.parts.get(label, hashed) != hashed:
            label = f"{label}#{hashed[:4]}"
        self.parts[label] = hashed

    def _check_live(self, tree: ModuleTree, name: str, statements: list[ast.stmt]) -> None:
        if len(statements) == 1 and isinstance(statements[0], ast.FunctionDef):
            live = getattr(sys.modules.get(tree.name), name, None)
            if isinstance(live, FunctionType) and live.__module__ == tree.name:
                self._same(live, tree)

    def _same(self, live: FunctionType, tree: ModuleTree) -> None:
        """Refuse a function whose text is not what it was compiled from."""
        if hasattr(live, "__wrapped__"):
            return
        found = _compiled(self.sources, tree.name).get(live.__code__.co_qualname)
        if found and not any(_equal(live.__code__, code) for code in found):
            raise SourceError(
                f"{self.sources.label(tree.name)}.{live.__qualname__} was edited after it was "
                "imported, so that its text is not what would run. Restart, and run again."
            )


def _named(thing: Any) -> str:
    if isinstance(thing, functools.partial):
        return f"partial of {_named(thing.func)}"
    return str(getattr(thing, "__qualname__", type(thing).__qualname__))


def _without_defaults(statement: ast.stmt) -> ast.stmt:
    """Blank the defaults of a function's parameters, and leave how many there are."""
    if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return statement
    bare = copy.copy(statement)
    bare.args = copy.copy(statement.args)
    nothing = ast.Constant(None)
    bare.args.defaults = [nothing for _ in statement.args.defaults]
    bare.args.kw_defaults = [d and nothing for d in statement.args.kw_defaults]
    return bare


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _at_line(tree: ast.Module, function: FunctionType) -> list[Any]:
    """Find the definitions that a nested function or lambda may come from."""
    line = function.__code__.co_firstlineno
    found: list[Any] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Lambda) and function.__name__ == "<lambda>":
            if node.lineno == line:
                found.append(node)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            if node.name == function.__name__ and first == line:
                found.append(node)
    return found


def _compiled(sources: Sources, module: str) -> dict[str, list[CodeType]]:
    """Compile a module's text, and list the code of its functions by qualified name."""
    cache: dict[str, dict[str, list[CodeType]]] = sources.__dict__.setdefault("_compiled", {})
    if module not in cache:
        entry = sources.modules[module]
        waiting = [compile(entry["source"], entry["file"], "exec", dont_inherit=True)]
        found: dict[str, list[CodeType]] = {}
        while waiting:
            code = waiting.pop()
            found.setdefault(code.co_qualname, []).append(code)
            waiting += [const for const in code.co_consts if isinstance(const, CodeType)]
        cache[module] = found
    return cache[module]


def _equal(one: CodeType, other: CodeType) -> bool:
    """Compare what code does, not where it stands."""
    if (one.co_code, one.co_names, one.co_varnames) != (
        other.co_code,
        other.co_names,
        other.co_varnames,
    ):
        return False
    if len(one.co_consts) != len(other.co_consts):
        return False
    for a, b in zip(one.co_consts, other.co_consts, strict=True):
        if isinstance(a, CodeType) and isinstance(b, CodeType):
            if not _equal(a, b):
                return False
        elif type(a) is not type(b) or repr(a) != repr(b):
            return False
    return True
