"""Syntax trees: in one canonical form, and the names that they read.

``ast.dump`` differs between versions of Python for the same code; a walk over the fields that
carry meaning does not.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Chain: TypeAlias = tuple[str, ...]
"""Attributes taken of a name: ``("nn", "Linear")`` of ``torch`` in ``torch.nn.Linear``."""

Reads: TypeAlias = dict[str, set[Chain]]
"""Names, each with the attribute chains used on it; ``()`` where the name stands alone."""

_SKIPPED = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
_DOCUMENTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)
Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def canonical_tree(node: Any) -> Any:
    """Give a JSON-able tree of a syntax tree, equal for code that means the same.

    Positions, comments, docstrings, quotes and formatting are left out, and so is every empty
    field, so that a field which a newer Python adds changes nothing.
    """
    if isinstance(node, ast.AST):
        fields: dict[str, Any] = {}
        for name, value in ast.iter_fields(node):
            if name in _SKIPPED:
                continue
            if name == "body" and isinstance(node, _DOCUMENTED):
                value = _without_docstring(value)
            if isinstance(node, ast.JoinedStr) and name == "values":
                value = _folded(value)
            if value is None and isinstance(node, ast.Constant):
                fields[name] = "None"
            elif value is not None and value != []:
                fields[name] = canonical_tree(value)
        return [type(node).__name__, fields]
    if isinstance(node, list):
        return [canonical_tree(item) for item in node]
    return [type(node).__name__, repr(node)]


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        return body[1:] if isinstance(first.value.value, str) else body
    return body


def _folded(values: list[ast.expr]) -> list[Any]:
    """Join neighbouring texts of an f-string, and drop empty ones."""
    folded: list[Any] = []
    for value in values:
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            if folded and isinstance(folded[-1], str):
                folded[-1] += value.value
                continue
            folded.append(value.value)
        else:
            folded.append(value)
    return [value for value in folded if value != ""]


@dataclass
class _Scope:
    """The names of one scope while it is walked."""

    kind: str
    bound: set[str] = field(default_factory=set)
    outer: set[str] = field(default_factory=set)
    reads: Reads = field(default_factory=lambda: defaultdict(set))

    def close_into(self, parent: _Scope) -> None:
        """Hand to the parent what this scope reads and does not bind."""
        for name, chains in self.reads.items():
            # What a class body binds is not seen by its methods, and may be read before.
            if self.kind != "function" or name not in self.bound or name in self.outer:
                parent.reads[name] |= chains


def free_names(node: ast.AST) -> Reads:
    """List the names that a definition or statement reads from its module (or the builtins).

    Names that it binds itself (parameters, local variables, loop variables, local imports) are
    left out, by Python's rules of scope.
    """
    scope = _Scope("module")
    _walk(node, scope)
    return dict(scope.reads)


def local_imports(node: ast.AST) -> list[ast.Import | ast.ImportFrom]:
    """List the imports inside of a definition."""
    return [child for child in ast.walk(node) if isinstance(child, (ast.Import, ast.ImportFrom))]


def bound_names(statement: ast.stmt) -> set[str]:
    """List the names that a top-level statement binds, or changes in place.

    ``REGISTRY["a"] = f``, ``REGISTRY.append(f)`` and ``model.eval = g`` count as changes.
    """
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {statement.name}
    scope = _Scope("function")
    _walk(statement, scope)
    names = set(scope.bound)
    for child in _statements(statement):
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Call):
            names |= _root(child.value.func)
        targets: list[ast.expr] = []
        if isinstance(child, (ast.Assign, ast.Delete)):
            targets = child.targets
        elif isinstance(child, (ast.AugAssign, ast.AnnAssign)):
            targets = [child.target]
        for target in targets:
            if isinstance(target, (ast.Attribute, ast.Subscript)):
                names |= _root(target)
    return names


def _statements(statement: ast.stmt) -> Iterable[ast.AST]:
    """Walk a statement without entering functions and classes."""
    yield statement
    for child in ast.iter_child_nodes(statement):
        if isinstance(child, ast.stmt) and not isinstance(
            child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        ):
            yield from _statements(child)


def _root(node: ast.expr) -> set[str]:
    if isinstance(node, ast.Name):
        return set()  # a plain call of a function changes nothing that can be seen
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return {node.id} if isinstance(node, ast.Name) else set()


def _walk(node: ast.AST, scope: _Scope) -> None:
    if isinstance(node, ast.Name):
        if isinstance(node.ctx, ast.Load):
            scope.reads[node.id].add(())
        else:
            scope.bound.add(node.id)
    elif isinstance(node, ast.Attribute):
        chain: list[str] = []
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute):
            chain.append(inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name):
            scope.reads[inner.id].add(tuple(reversed(chain)))
        else:
            _walk(inner, scope)
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        _walk_function(node, scope)
    elif isinstance(node, ast.ClassDef):
        scope.bound.add(node.name)
        _walk_all([*node.decorator_list, *node.bases, *node.keywords], scope)
        inside = _Scope("class")
        _walk_all(node.body, inside)
        inside.close_into(scope)
    elif isinstance(node, (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)):
        inside = _Scope("function")
        _walk_all(ast.iter_child_nodes(node), inside)
        inside.close_into(scope)
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        scope.bound |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
    elif isinstance(node, (ast.Global, ast.Nonlocal)):
        scope.outer |= set(node.names)
    else:
        name = getattr(node, "name", None)
        if isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and name:
            scope.bound.add(name)
        if isinstance(node, ast.MatchMapping) and node.rest:
            scope.bound.add(node.rest)
        _walk_all(ast.iter_child_nodes(node), scope)


def _walk_function(node: Function, scope: _Scope) -> None:
    arguments = node.args
    _walk_all([*arguments.defaults, *(d for d in arguments.kw_defaults if d)], scope)
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    every += [extra for extra in (arguments.vararg, arguments.kwarg) if extra]
    _walk_all([argument.annotation for argument in every if argument.annotation], scope)
    inside = _Scope("function", bound={argument.arg for argument in every})
    if isinstance(node, ast.Lambda):
        _walk(node.body, inside)
    else:
        scope.bound.add(node.name)
        _walk_all([*node.decorator_list, *([node.returns] if node.returns else [])], scope)
        _walk_all(node.body, inside)
    inside.close_into(scope)


def _walk_all(nodes: Iterable[ast.AST], scope: _Scope) -> None:
    for node in nodes:
        _walk(node, scope)
