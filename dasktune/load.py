"""Loading pipeline files: from disk in the driver, from the sweep's sources on a worker."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import os
import re
import sys
import threading
import traceback
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from dasktune.errors import PipelineError
from dasktune.libraries import uncollected
from dasktune.pipeline import Pipeline
from dasktune.source import SOURCE, Sources

_lock = threading.RLock()
_texts: dict[str, tuple[str, str]] = {}  # the user's modules: file and text as loaded


def load_module(path: str | os.PathLike[str]) -> ModuleType:
    """Load a pipeline file, as if it were run as a script.

    Parameters
    ----------
    path : path
        The file. Its folder, and the current one, are searched for what it imports.

    Raises
    ------
    PipelineError
        If there is no such file, it cannot be imported, or a file beside it is named as a module
        of Python's own.
    """
    file = os.path.abspath(path)
    try:
        with open(file, encoding="utf-8") as opened:
            source = opened.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise PipelineError(f"{os.fspath(path)}: {reason}.") from error
    with _lock:
        _forget_edited()
        for folder in dict.fromkeys((os.getcwd(), os.path.dirname(file))):
            _check_names(folder)
            if folder in sys.path:
                sys.path.remove(folder)
            sys.path.insert(0, folder)
        _forget_moved()
        name = _module_name(file)
        module = _execute(name, file, source)
        for found, entry in Sources.snapshot(name).modules.items():
            _texts[found] = (entry["file"], entry["source"])
        return module


def _check_names(folder: str) -> None:
    """Refuse files that workers, which search the folder first, would import for Python's own.

    A module that is loaded here is one that they need as well. In a package it has another name.
    """
    try:
        files = set(os.listdir(folder))
    except OSError:
        return  # it may be searched, and not listed
    own = sys.stdlib_module_names & sys.modules.keys()
    for name in sorted(own & {file[:-3] for file in files if file.endswith(".py")}):
        loaded = getattr(sys.modules[name], "__file__", None)
        if loaded is None or "__init__.py" in files:
            continue  # built in, and found before any file
        if loaded != os.path.join(folder, f"{name}.py"):
            raise PipelineError(
                f"{os.path.join(folder, name)}.py has the name of a module of Python's own, "
                f"{name}, which workers would look for and find this instead. Rename the file."
            )


def find_pipeline(module: ModuleType) -> Pipeline:
    """Find the pipeline that a module defines.

    Raises
    ------
    PipelineError
        If there is none, or several and none is named ``pipeline``.
    """
    named = getattr(module, "pipeline", None)
    if isinstance(named, Pipeline):
        return named
    found = [value for value in vars(module).values() if isinstance(value, Pipeline)]
    if len(found) == 1:
        return found[0]
    raise PipelineError(
        f"{module.__file__} must define one Pipeline named 'pipeline', but defines {len(found)}. "
        "Write: pipeline = dt.Pipeline(space, preprocess, train, objective='max val_accuracy')."
    )


def activate(sources: Sources) -> ModuleType:
    """Load a pipeline from the sources of a sweep, whatever is on this machine's disk.

    Parameters
    ----------
    sources : Sources
        The texts of the pipeline file and of all that it imports of the user's.

    Raises
    ------
    PipelineError
        If it cannot be imported here.
    """
    with _lock:
        for name in sources.modules:
            sys.modules.pop(name, None)
        sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Finder)]
        sys.meta_path.insert(0, _Finder(sources))
        for entry in sources.modules.values():
            folder = os.path.dirname(entry["file"])
            if os.path.isdir(folder) and folder not in sys.path:
                sys.path.append(folder)
        try:
            return importlib.import_module(sources.main)
        except Exception as error:
            raise _import_error(sources.modules[sources.main]["file"], error) from error


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Serves modules from texts."""

    def __init__(self, sources: Sources) -> None:
        self._modules = sources.modules

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self._modules:
            return None
        entry = self._modules[fullname]
        spec = importlib.machinery.ModuleSpec(
            fullname, self, origin=entry["file"], is_package=entry["package"]
        )
        spec.has_location = True
        if entry["package"]:
            spec.submodule_search_locations = [os.path.dirname(entry["file"])]
        return spec

    def exec_module(self, module: ModuleType) -> None:
        entry = self._modules[module.__name__]
        setattr(module, SOURCE, entry["source"])
        exec(compile(entry["source"], entry["file"], "exec", dont_inherit=True), vars(module))


def _module_name(file: str) -> str:
    """Name the module: by its package if it is in one, else so that it shadows nothing."""
    words = [os.path.splitext(os.path.basename(file))[0]]
    folder = os.path.dirname(file)
    while os.path.exists(f"{folder}/__init__.py"):
        words.insert(0, os.path.basename(folder))
        folder = os.path.dirname(folder)
    if len(words) > 1:
        if folder not in sys.path:
            sys.path.insert(0, folder)
        return ".".join(words)
    return "dasktune_pipeline_" + re.sub(r"\W", "_", words[0])


def _execute(name: str, file: str, source: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    setattr(module, SOURCE, source)
    sys.modules[name] = module
    try:
        with uncollected():
            exec(compile(source, file, "exec", dont_inherit=True), vars(module))
    except BaseException as error:
        sys.modules.pop(name, None)
        if isinstance(error, Exception):
            raise _import_error(file, error) from error
        raise
    return module


def _import_error(file: str, error: Exception) -> PipelineError:
    """Say in one line where a pipeline file fails, and why."""
    name = os.path.relpath(file)
    if isinstance(error, SyntaxError):
        return PipelineError(f"{name}:{error.lineno}: SyntaxError: {error.msg}.")
    if isinstance(error, PipelineError):
        return type(error)(f"{name}:{_line(file, error)}: {error}")
    text = " ".join(str(error).split())
    return PipelineError(f"{name}:{_line(file, error)}: {type(error).__name__}: {text}")


def _line(file: str, error: Exception) -> Any:
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == file]
    return lines[-1] if lines else "?"


def _forget_edited() -> None:
    """Forget the user's modules whose files have changed, so that they are loaded anew."""
    for name, (file, text) in list(_texts.items()):
        try:
            with open(file, encoding="utf-8") as opened:
                changed = opened.read() != text
        except (OSError, UnicodeDecodeError):
            changed = True
        if changed:
            sys.modules.pop(name, None)
            del _texts[name]


def _forget_moved() -> None:
    """Forget the user's modules that would now be found elsewhere, beside another pipeline."""
    importlib.invalidate_caches()
    for name, (file, _) in list(_texts.items()):
        spec = importlib.machinery.PathFinder.find_spec(name.partition(".")[0])
        top = sys.modules.get(name.partition(".")[0])
        moved = spec is not None and spec.origin != getattr(top, "__file__", file)
        if moved:
            sys.modules.pop(name, None)
            del _texts[name]
