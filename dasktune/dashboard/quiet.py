"""One complaint of Bokeh's that is none: a browser that left while it was being answered."""

from __future__ import annotations

import logging
import traceback

LOGGER = "bokeh.server.views.ws"


class LeftBehind(logging.Filter):
    """Drops what Bokeh logs when a message is taken up of a browser that is gone by then.

    Its connection has no session any more, which an assertion finds; the error is logged with
    its stack, and again as an internal one. Both are dropped, and nothing else.
    """

    def __init__(self) -> None:
        super().__init__()
        self._follows = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a record is to be told."""
        follows, self._follows = self._follows, _is_left_behind(record)
        return not (self._follows or (follows and "internal error" in record.msg))


def _is_left_behind(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if not isinstance(error, AssertionError):
        return False
    last = traceback.extract_tb(error.__traceback__)[-1]
    return last.name == "session" and last.filename.endswith("connection.py")


def be_quiet() -> None:
    """Let the process drop it; again is once."""
    logger = logging.getLogger(LOGGER)
    if not any(isinstance(known, LeftBehind) for known in logger.filters):
        logger.addFilter(LeftBehind())
