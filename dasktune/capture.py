"""Capturing what a trial prints and logs into its own file."""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import IO, Any


class _Late:
    """A text file that comes into being with the first word: most trials print nothing."""

    def __init__(self, path: str) -> None:
        self.name = path
        self._file: IO[str] | None = None

    def write(self, text: str) -> int:
        return self._opened().write(text)

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def isatty(self) -> bool:
        return False

    def _opened(self) -> IO[str]:
        if self._file is None:
            self._file = open(  # noqa: SIM115, it outlives this call
                self.name, "a", buffering=1, encoding="utf-8", errors="backslashreplace"
            )
        return self._file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._opened(), name)


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
def capture(path: str, *, tee: bool = False) -> Iterator[Any]:
    """Send stdout, stderr, logging and warnings of this process to a file, line by line.

    Parameters
    ----------
    path : str
        The file; it is appended to, and not created before something is written.
    tee : bool, default False
        Whether to show it in the terminal as well.

    Yields
    ------
    file
        The file, for writing.
    """
    log: Any = _Late(path)
    handler = logging.StreamHandler(log)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    out: Any = _Both(sys.stdout, log) if tee else log
    err: Any = _Both(sys.stderr, log) if tee else log
    root.addHandler(handler)
    logging.captureWarnings(True)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            with warnings.catch_warnings():
                yield log
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)
        log.close()
