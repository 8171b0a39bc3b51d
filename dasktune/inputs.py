"""Raw inputs: files and folders that preprocess reads, known by their content."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence

from dasktune.commit import write_atomically
from dasktune.errors import PipelineError
from dasktune.fingerprint import file_digest, tree_digest
from dasktune.store import Store


def input_digests(paths: Sequence[str], base: str, store: Store | None) -> dict[str, str]:
    """Digest raw inputs.

    Parameters
    ----------
    paths : sequence of str
        Files and folders; relative ones belong to `base`.
    base : str
        The pipeline file's folder.
    store : Store or None
        Where digests are remembered by path, size, inode and modification time, so that a file
        is read again only when one of these changed. The memory may be deleted at any time.

    Returns
    -------
    dict of str to str
        Digests by name; the same wherever the files lie.

    Raises
    ------
    PipelineError
        If a path does not exist, or two have the same name.
    """
    memory = _Memory(store)
    digests: dict[str, str] = {}
    for path in paths:
        full = os.path.join(base, os.path.expanduser(path))
        name = os.path.basename(os.path.normpath(full)) if os.path.isabs(path) else path
        if name in digests:
            raise PipelineError(f"two raw inputs are named {name!r}. Give them different names.")
        try:
            digests[name] = memory.folder(full) if os.path.isdir(full) else memory.file(full)
        except OSError as error:
            raise PipelineError(
                f"the raw input {path!r} cannot be read: {error.strerror} ({full})."
            ) from error
    memory.save()
    return digests


class _Memory:
    def __init__(self, store: Store | None) -> None:
        self._path = f"{store.root}/inputs.json" if store else ""
        self._known: dict[str, list[object]] = {}
        self._changed = False
        with contextlib.suppress(OSError, ValueError):
            if self._path:
                with open(self._path) as file:
                    self._known = json.load(file)

    def file(self, path: str) -> str:
        status = os.stat(path)
        mark: list[object] = [status.st_size, status.st_mtime_ns, status.st_ino]
        known = self._known.get(path)
        if isinstance(known, list) and known[:3] == mark:
            return str(known[3])
        digest = file_digest(path)
        self._known[path] = [*mark, digest]
        self._changed = True
        return digest

    def folder(self, path: str) -> str:
        files = []
        for parent, folders, names in os.walk(path):
            folders.sort()
            for name in names:
                full = os.path.join(parent, name)
                files.append((os.path.relpath(full, path), self.file(full)))
        return tree_digest(files)

    def save(self) -> None:
        if self._changed and self._path and os.path.isdir(os.path.dirname(self._path)):
            with contextlib.suppress(OSError):
                write_atomically(self._path, json.dumps(self._known).encode())
