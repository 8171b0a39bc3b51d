"""A trial's log in the browser."""

from __future__ import annotations

import html
import os
from typing import Any
from urllib.parse import quote

from tornado import web

from dasktune.dashboard.plugin import Dashboard
from dasktune.logfile import find_log

MOST_BYTES = 200_000
"""Of a long log its end is shown."""

_PAGE = """<!DOCTYPE html>
<html><head><meta charset="utf-8"><title>{trial}</title>{refresh}
<style>
body {{ font: 14px/1.5 ui-monospace, Menlo, Consolas, monospace; margin: 1.5rem; color: #222; }}
h1 {{ font: 600 1rem Helvetica, Arial, sans-serif; }} p {{ color: #777; }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #17191c; color: #ddd; }} }}
a {{ color: inherit; }}
</style></head><body><h1>{trial}</h1>
<p>{note} <a href="dasktune?run={run}">To the sweep</a></p><pre>{text}</pre></body></html>
"""


class LogHandler(web.RequestHandler):
    """Answers ``dasktune-log?run=RUN&trial=TRIAL``."""

    def initialize(self, dashboard: Dashboard) -> None:
        """Take what is followed: only logs of its trials are shown."""
        self._dashboard = dashboard

    def get(self) -> None:
        """Show the end of a log; of a trial that runs, anew every few seconds."""
        run, trial = self.get_argument("run", ""), self.get_argument("trial", "")
        followed = self._dashboard.runs.get(run)
        row = followed.board.rows.get(trial) if followed is not None else None
        if followed is None or row is None:
            raise web.HTTPError(404, reason="No such trial")
        text, note = read_end(find_log(followed.board.root, trial, row.log))
        running = row.state == "running"
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.write(
            _PAGE.format(
                trial=html.escape(trial),
                run=quote(run),
                refresh='<meta http-equiv="refresh" content="3">' if running else "",
                note=html.escape(
                    f"{row.state}{', shown anew every 3 s' if running else ''}. {note}"
                ),
                text=html.escape(text),
            )
        )


def read_end(path: str | None) -> tuple[str, str]:
    """Read the end of a log.

    Returns
    -------
    (str, str)
        The text, and a note on what it is.
    """
    if path is None:
        return "", "There is no log, or the scheduler's machine does not see the store."
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - MOST_BYTES))
            data: Any = file.read()
    except OSError as error:
        return "", f"{path} cannot be read: {error.strerror}."
    cut = f"The last {MOST_BYTES:,} of {size:,} bytes. " if size > MOST_BYTES else ""
    return data.decode(errors="replace"), cut + path
