"""Capturing what a trial prints and logs into its own file."""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import IO, Any


class _Both:
    """A text stream that writes to two."""

    def __init__(self, first: IO[str], second: IO[str]) -> None:
        self._first, self._second = first, second

    def write(self, text: str) -> int:
        self._second.write(text)
        return self._first.write(text)

    def flush(self) -> None:
        self._first.flush()
        self._second.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._first, name)


@contextlib.contextmanager
def capture(path: str, *, tee: bool = False) -> Iterator[IO[str]]:
    """Send stdout, stderr, logging and warnings of this process to a file, line by line.

    Parameters
    ----------
    path : str
        The file; it is appended to.
    tee : bool, default False
        Whether to show it in the terminal as well.

    Yields
    ------
    file
        The file, open for writing.
    """
    with open(path, "a", buffering=1, encoding="utf-8", errors="backslashreplace") as file:
        handler = logging.StreamHandler(file)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        root = logging.getLogger()
        out: Any = _Both(sys.stdout, file) if tee else file
        err: Any = _Both(sys.stderr, file) if tee else file
        root.addHandler(handler)
        logging.captureWarnings(True)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                with warnings.catch_warnings():
                    yield file
        finally:
            logging.captureWarnings(False)
            root.removeHandler(handler)
