"""Attaching: a dispatch seen from the login node, through its folder and the queue only."""

from __future__ import annotations

import glob
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from dasktune.dispatch.dispatch import Dispatch
from dasktune.dispatch.sending import standing
from dasktune.look import Look
from dasktune.outcome import Outcome
from dasktune.runfolder import run_folders
from dasktune.screen import duration

if TYPE_CHECKING:
    from dasktune.cluster.queue import Seen

LOOK_EVERY = 1.0
"""Seconds between two looks into the folder."""
ASK_EVERY = 10.0
"""Seconds between two questions to the queue."""
LOST_AFTER = 3
"""Times that the queue must know none of its jobs before a dispatch is given up: a job that
ended may be seen to be gone before its last word is."""


@dataclass
class _Reader:
    """Reads what is new in a log."""

    path: str
    position: int = 0
    rest: str = ""

    def lines(self) -> list[str]:
        try:
            with open(self.path, encoding="utf-8", errors="replace") as file:
                file.seek(self.position)
                text = self.rest + file.read()
                self.position = file.tell()
        except OSError:
            return []
        *whole, self.rest = text.split("\n")
        return whole


class Attachment:
    """Follows a dispatch.

    Parameters
    ----------
    dispatch : Dispatch
        What to follow.
    root : str
        Its store's folder.
    ask : callable
        Asks the queue for this user's jobs; None where it does not answer.
    """

    def __init__(
        self, dispatch: Dispatch, root: str, ask: Callable[[], dict[str, Seen] | None]
    ) -> None:
        self._dispatch = dispatch
        self._root = root
        self._ask = ask
        self._asked_at = -ASK_EVERY
        self._missed = 0
        self._reader = _Reader(dispatch.log)
        self._shares: dict[str, _Reader] = {}
        self._look: Look | None = None
        self.text = ""
        self.code: int | None = None

    @property
    def name(self) -> str:
        """The name of what it follows."""
        return self._dispatch.name

    def again(self) -> list[str]:
        """Look again, and give the driver's new lines; `code` is set when it is over."""
        ended = self._dispatch.ended()  # before its last lines are read
        now = time.monotonic()
        if ended is not None:
            self.code, self.text = ended.code, standing(self._dispatch, None).text
        elif now - self._asked_at > ASK_EVERY or (self._missed and now - self._asked_at > 1):
            self._asked_at = now
            found = standing(self._dispatch, self._ask())
            self._missed = self._missed + 1 if found.state == "lost" else 0
            if self._missed >= LOST_AFTER:
                self.code = 2
            if not self._missed or self.code is not None:
                self.text = found.text
        self._see()
        return [*self._trained(), *self._reader.lines()]

    def _trained(self) -> Iterator[str]:
        """Tell what the jobs of an array have noted."""
        for path in sorted(glob.glob(f"{glob.escape(self._dispatch.path)}/shares/*.jsonl")):
            for line in self._shares.setdefault(path, _Reader(path)).lines():
                try:
                    outcome = Outcome(**json.loads(line))
                except (ValueError, TypeError):
                    continue
                good = outcome.status == "ok"
                value = f"{outcome.value:.5g}" if outcome.value is not None else ""
                text = f"{value}  {duration(outcome.seconds)}" if good else outcome.error
                verb = "train" if good else outcome.status.upper() + " train"
                yield f"{verb} {outcome.target.removeprefix('trained/')}  {text}"

    def _see(self) -> None:
        """Find the run that the driver drives now."""
        if self._look is not None and not self._look.over:
            self._look.again()
            return
        driver = self._dispatch.driver()
        self._look = None
        for folder in run_folders(self._root) if driver else ():
            told = folder.told()
            if told and driver and all(told.get(k) == driver.get(k) for k in ("host", "pid")):
                self._look = Look(folder)

    def render(self, width: int) -> Group:
        """Draw it for a terminal."""
        board = [] if self._look is None else [self._look.render(width)]
        return Group(*board, Text(self.text, style="dim"))


def attach(
    seen: Attachment,
    *,
    stream: TextIO | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Follow a dispatch until it is over: on a terminal its display, else its driver's lines.

    Parameters
    ----------
    seen : Attachment
        What to follow.
    stream : file, optional
        Where to write; stdout if not given.
    sleep : callable
        Waits.

    Returns
    -------
    int
        The exit code of its driver; 2 if its jobs are gone.
    """
    stream = stream or sys.stdout
    console = Console(file=stream)
    if not stream.isatty():
        text = ""
        while seen.code is None:
            for line in seen.again():
                print(line, file=stream, flush=True)
            if seen.text != text and seen.code is None:
                text = seen.text
                print(f"dasktune: {text}", file=stream, flush=True)
            if seen.code is None:
                sleep(LOOK_EVERY)
    else:
        with Live(
            console=console,
            get_renderable=lambda: seen.render(console.width),
            refresh_per_second=2,
            transient=True,
        ):
            while seen.code is None:
                lines = [*filter(_worth_a_line, seen.again())]
                if lines:
                    console.print(Text("\n".join(lines)), soft_wrap=True)
                if seen.code is None:
                    sleep(LOOK_EVERY)
    print(f"dasktune: {seen.name} {seen.text}", file=stream, flush=True)
    return seen.code


def _worth_a_line(line: str) -> bool:
    """Leave out what the display shows: the trials that end well."""
    return not line.startswith("[") or "FAILED" in line
