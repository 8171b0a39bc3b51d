"""Hearing: signals as a thread hears them, at once, whatever the main thread does meanwhile."""

from __future__ import annotations

import contextlib
import select
import signal
import socket


class Hearing:
    """Signals that come to this process, besides what their handlers do.

    A handler runs in the main thread, and not before that has left a library's code. Who has
    only some seconds until a queue kills it cannot wait for that.
    """

    def __init__(self) -> None:
        self._ears, self._mouth = socket.socketpair()
        for end in (self._ears, self._mouth):
            end.setblocking(False)
        self._over = False

    def begin(self) -> None:
        """Begin to hear; only the main thread may do that. What has no handler still kills."""
        signal.set_wakeup_fd(self._mouth.fileno(), warn_on_full_buffer=False)

    def end(self) -> None:
        """Wake who waits, for the last time."""
        self._over = True
        self._mouth.send(b"\0")

    def wait(self, seconds: float | None = None) -> tuple[bool, set[int]]:
        """Wait for a signal, and tell whether all is over, and what was heard."""
        select.select([self._ears], [], [], seconds)
        over = self._over
        with contextlib.suppress(BlockingIOError):
            return over, set(self._ears.recv(4096)) - {0}
        return over, set()
