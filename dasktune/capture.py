"""Capturing what a trial prints and logs into its own file, live, also with several at once.

What a thread writes goes where that thread's trial wants it. A thread that a trial started by
itself has no mark of it; its words go to the trial if it is the only one in this process, and
else to where they would have gone without capture.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator
from typing import IO, Any

_mine = threading.local()
_lock = threading.Lock()
_active: list[_Sink] = []
_installed = contextlib.ExitStack()


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
        with _lock:
            if self._file is None:
                self._file = open(  # noqa: SIM115, it outlives this call
                    self.name, "a", buffering=1, encoding="utf-8", errors="backslashreplace"
                )
            return self._file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._opened(), name)


class _Sink:
    """The file of one capture."""

    def __init__(self, file: _Late, *, tee: bool) -> None:
        self.file = file
        self.tee = tee

    def write(self, text: str) -> None:
        self.file.write(text)
        if "\r" in text:  # a progress bar, whose line does not end for long
            self.file.flush()


def _sink() -> _Sink | None:
    """Give the capture that this thread writes to."""
    own: list[_Sink] = getattr(_mine, "sinks", [])
    if own:
        return own[-1]
    return _active[-1] if len(_active) == 1 else None


class _Router:
    """A standard stream that sends what is written to the writing thread's capture."""

    def __init__(self, beneath: Any) -> None:
        self.beneath = beneath

    def write(self, text: str) -> int:
        sink = _sink()
        if sink is None:
            return int(self.beneath.write(text) or 0)
        sink.write(text)
        if sink.tee:
            self.beneath.write(text)
        return len(text)

    def flush(self) -> None:
        sink = _sink()
        if sink is not None:
            sink.file.flush()
        if sink is None or sink.tee:
            self.beneath.flush()

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def isatty(self) -> bool:
        sink = _sink()  # a log wants no colours
        return bool(self.beneath.isatty()) if sink is None or sink.tee else False

    def close(self) -> None:
        """Stay open: the stream beneath is not ours."""

    def __getattr__(self, name: str) -> Any:  # fileno, encoding, buffer and so forth
        return getattr(self.beneath, name)


class _Handler(logging.Handler):
    """Writes records into the capture of the thread that logs."""

    def emit(self, record: logging.LogRecord) -> None:
        sink = _sink()
        if sink is None:
            return
        try:
            sink.write(self.format(record) + "\n")
        except Exception:
            self.handleError(record)


@contextlib.contextmanager
def capture(path: str, *, tee: bool = False) -> Iterator[Any]:
    """Send what this thread prints, logs and warns to a file, line by line.

    Records of level INFO and above are taken, unless the root logger's level was set.

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
    file = _Late(path)
    sink = _Sink(file, tee=tee)
    own = _mine.__dict__.setdefault("sinks", [])
    with _lock:
        if not _active:
            _install()
        _active.append(sink)
        own.append(sink)
    try:
        yield file
    finally:
        with _lock:
            own.remove(sink)
            _active.remove(sink)
            if not _active:
                _installed.close()
        file.close()


def _install() -> None:
    """Put the routers in the place of the standard streams, until the last capture ends."""
    root = logging.getLogger()
    handler = _Handler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    if root.level == logging.WARNING and not root.handlers:
        root.setLevel(logging.INFO)
        _installed.callback(root.setLevel, logging.WARNING)
    root.addHandler(handler)
    _installed.callback(root.removeHandler, handler)
    _installed.enter_context(warnings.catch_warnings())
    logging.captureWarnings(True)
    _installed.callback(logging.captureWarnings, False)
    _installed.enter_context(contextlib.redirect_stdout(_Router(sys.stdout)))
    _installed.enter_context(contextlib.redirect_stderr(_Router(sys.stderr)))
