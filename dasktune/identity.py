"""Identity: what an object consists of, as a tree that is hashed, and the code behind it.

Plain values are their text, arrays their content, scikit-learn's estimators their class and the
parameters that are not the default; any other object is what Python would make it again from
(``__reduce_ex__``). What has no identity but its address is refused.
"""

from __future__ import annotations

import copyreg
import functools
import hashlib
import inspect
import json
import sys
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from dasktune.fingerprint import canonical, typed

FOLLOWED = (BuiltinFunctionType, FunctionType, MethodType, type, functools.partial)
"""What has code of its own, and is no plain value."""

_HEAP_TYPE = 1 << 9  # the flag of a class that Python code, and not C, defines


def described(value: Any) -> tuple[Any, list[Any]]:
    """Describe an object by its content.

    Parameters
    ----------
    value : object
        A plain value, an array, an estimator, a function, or whatever can be copied.

    Returns
    -------
    tree : JSON-able
        Equal for objects of equal content; for a plain value that of `fingerprint.typed`.
    code : list
        The functions and classes that it is made of, whose text counts as well.

    Raises
    ------
    TypeError
        If it, or something inside of it, has no identity but its address.
    """
    walk = _Walk()
    return walk.tree(value), walk.code


def name_of(thing: Any) -> str:
    """Name a function or a class as its users do: ``"sklearn:SVC"``, wherever inside it lies."""
    if isinstance(thing, functools.partial):
        return f"partial of {name_of(thing.func)}"
    package = str(getattr(thing, "__module__", None) or "").partition(".")[0]
    return f"{package}:{getattr(thing, '__qualname__', type(thing).__qualname__)}"


class _Walk:
    def __init__(self) -> None:
        self.code: list[Any] = []
        self._open: list[int] = []

    def tree(self, value: Any) -> Any:
        try:
            return typed(value)
        except (TypeError, RecursionError):
            pass
        if isinstance(value, FOLLOWED):
            self.code.append(value)
            return {"code": name_of(value)}
        if id(value) in self._open:
            return {"again": len(self._open) - self._open.index(id(value))}
        self._open.append(id(value))
        try:
            return self._composed(value)
        finally:
            self._open.pop()

    def _composed(self, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [self.tree(item) for item in value]
        if type(value) is dict:
            pairs = [[self.tree(key), self.tree(item)] for key, item in value.items()]
            return {"map": sorted(pairs, key=lambda pair: canonical(pair[0]))}
        if isinstance(value, (set, frozenset)):
            return {"set": sorted((self.tree(item) for item in value), key=json.dumps)}
        numpy = sys.modules.get("numpy")
        if numpy is not None and isinstance(value, numpy.generic):
            return {"scalar": [value.dtype.str, self.tree(value.item())]}
        if numpy is not None and type(value) is numpy.ndarray and not value.dtype.hasobject:
            content = hashlib.sha256(numpy.ascontiguousarray(value)).hexdigest()
            return {"array": [value.dtype.str, list(value.shape), content]}
        if _is_estimator(value):
            return self._estimator(value)
        return self._object(value)

    def _estimator(self, value: Any) -> Any:
        kind = type(value)
        self.code.append(kind)
        defaults = inspect.signature(kind.__init__).parameters
        params = {}
        for name, param in sorted(value.get_params(deep=False).items()):
            before = len(self.code)
            tree = self.tree(param)
            if name in defaults and self._same(tree, defaults[name].default):
                # A parameter that a newer release adds changes nothing while it is not set.
                del self.code[before:]
                continue
            params[name] = tree
        requests = vars(value).get("_metadata_request")
        more = [] if requests is None else [self.tree(requests)]
        return {"estimator": [name_of(kind), params, *more]}

    def _same(self, tree: Any, default: Any) -> bool:
        try:
            return bool(canonical(tree) == canonical(_Walk().tree(default)))
        except TypeError:
            return False

    def _object(self, value: Any) -> Any:
        reducer = copyreg.dispatch_table.get(type(value))
        reduced = value.__reduce_ex__(4) if reducer is None else reducer(value)
        if isinstance(reduced, str):
            return {"global": f"{getattr(value, '__module__', '')}:{reduced}"}
        maker, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        kind = type(value)
        content = [arguments, state, list(items or ()), list(pairs or ())]
        if content == [(kind,), None, [], []] and not kind.__flags__ & _HEAP_TYPE:
            raise TypeError(f"a {kind.__name__} has no content")
        return {"object": [self.tree(maker), *(self.tree(part) for part in content)]}


def _is_estimator(value: Any) -> bool:
    """Say whether an object is known by its parameters alone, as scikit-learn's `clone` copies."""
    clones = getattr(type(value), "__sklearn_clone__", None)
    # One that is frozen, for instance, is copied with all that it has learnt.
    own = clones is not None and clones.__module__ not in ("sklearn.base", "dasktune.searchcv")
    return callable(getattr(type(value), "get_params", None)) and not own
