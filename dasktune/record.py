"""The record of a search by a model: what was asked for and told, in this order.

A sampler's next proposal follows from that order, which no stamp tells. So it is noted, a line
a step, and done again when a killed search goes on. It is never believed: results are those of
the stamps, and without a record, or with half of one, the search merely proposes others.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any

from dasktune.config import Config, Value, plain


class Record:
    """The lines of one search.

    Parameters
    ----------
    path : str
        Their file, which need not exist.
    writing : bool
        Whether more may be noted; a plan only looks.
    afresh : bool
        Whether what was noted is to be forgotten (``-B``).
    """

    def __init__(self, path: str, *, writing: bool, afresh: bool = False) -> None:
        self._path = path
        self._writing = writing
        self._afresh = afresh

    def steps(self) -> Iterator[Config | int]:
        """Give what was noted: a config that was asked for, or the number of one that was told."""
        if self._afresh:
            return
        try:
            with open(self._path, encoding="utf-8") as file:
                lines = file.read().splitlines()
        except OSError:
            return
        asked = 0
        for line in lines:
            try:
                step = json.loads(line)
                told = step.get("told")
                config = None if told is not None else _config(step["asked"])
            except (ValueError, KeyError, TypeError, AttributeError):
                return  # the line at which a process was killed, or one written by hand
            if config is not None:
                asked += 1
                yield config
            elif isinstance(told, int) and 0 <= told < asked:
                yield told
            else:
                return

    def restart(self, steps: list[Config | int]) -> None:
        """Write the file anew with those steps that hold."""
        if not self._writing:
            return
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        scratch = f"{self._path}.{os.getpid()}.tmp"
        with open(scratch, "w", encoding="utf-8") as file:
            file.writelines(_line(step) for step in steps)
        os.replace(scratch, self._path)

    def note(self, step: Config | int) -> None:
        """Add a step, whole, at the end."""
        if not self._writing:
            return
        with contextlib.suppress(OSError):  # without it the search goes on, and forgets
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                os.write(descriptor, _line(step).encode())
            finally:
                os.close(descriptor)


def _line(step: Config | int) -> str:
    tree: dict[str, Any] = {"told": step} if isinstance(step, int) else {"asked": dict(step)}
    return json.dumps(tree, separators=(",", ":"), ensure_ascii=False) + "\n"


def _config(tree: dict[str, Any]) -> Config:
    values: dict[str, Value] = {name: plain(v, where=name) for name, v in tree.items()}
    return Config(values)
