"""Looking at a run from another shell or machine: through its folder, never its cluster."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from dasktune.board import Board
from dasktune.runfolder import RunFolder, run_folders
from dasktune.screen import best_text, count_words, draw, duration

LOOK_EVERY = 1.0
"""Seconds between two looks; each reads one small file."""
SILENT_AFTER = 30.0
"""Seconds without news after which it is told that there are none."""
UNREAD_AFTER = 15.0
"""Seconds after which a run is given up of which nothing could be read; it tells all 10 s."""
_OVER = "the run is over"


class Look:
    """A run as its folder tells it.

    Parameters
    ----------
    folder : RunFolder
        The run's folder.

    Attributes
    ----------
    board : Board or None
        How it stands, as last told.
    over : str
        Why there is nothing more to look at; empty while the run goes on.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.board: Board | None = None
        self.over = ""
        self._folder = folder
        self._told: dict[str, Any] = {}
        self._news_at = time.monotonic()

    def again(self) -> bool:
        """Look again; say whether there is news."""
        told = self._folder.told()
        if told is None:
            if not os.path.isdir(self._folder.path):
                self.over = _OVER
            self._give_up()
            return False
        if driver_is_gone(told):
            self.over = f"the run's driver (process {told['pid']}) is gone; make again to go on"
        if told == self._told:
            return False
        try:
            self.board = Board.from_json(told)
        except (AttributeError, KeyError, TypeError, ValueError, IndexError):
            self._give_up()
            return False  # another version's
        self._told, self._news_at = told, time.monotonic()
        return True

    def _give_up(self) -> None:
        if self.board is None and not self.over and self.silence() > UNREAD_AFTER:
            where = f"{self._folder.path}/live.json"
            self.over = f"{where} cannot be read: it is damaged, or of another version of dasktune"

    def silence(self) -> float:
        """Give the seconds since there was news, by this machine's clock."""
        return time.monotonic() - self._news_at

    def render(self, width: int = 100) -> Group:
        """Draw the run for a terminal of a width."""
        parts: list[Any] = []
        if self.board is not None:
            parts.append(draw(self.board, time.time(), width, failures=True))
        if self.silence() > SILENT_AFTER:
            parts.append(Text(f"no news for {duration(self.silence())}", style="yellow"))
        return Group(*parts)


def look(root: str, *, as_json: bool = False, sleep: Callable[[float], None] = time.sleep) -> int:
    """Follow the newest run of a store until it is over.

    Parameters
    ----------
    root : str
        The store's folder.
    as_json : bool, default False
        One JSON object a line, whenever there is news.
    sleep : callable
        Waits.

    Returns
    -------
    int
        0, or 2 if the run's driver died, or tells nothing that can be read.
    """
    folders = [folder for folder in run_folders(root) if folder.told() is not None]
    if not folders:
        print(f"nothing runs in {root}")
        return 0
    seen = Look(folders[-1])
    console = Console(file=sys.stdout)
    if sys.stdout.isatty() and not as_json:
        with Live(
            console=console,
            get_renderable=lambda: seen.render(console.width),
            refresh_per_second=2,
        ):
            while not seen.over:
                seen.again()
                if not seen.over:
                    sleep(LOOK_EVERY)
    else:
        while not seen.over:
            if seen.again() and seen.board is not None:
                _print(seen.board, as_json=as_json)
            if not seen.over:
                sleep(LOOK_EVERY)
    if not as_json:
        print(seen.over)
    return 0 if seen.over == _OVER else 2


def _print(board: Board, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(board.to_json(only_running=True)), flush=True)
        return
    words = [text for text, _ in count_words(board)]
    words += filter(None, [best_text(board)])
    left = board.seconds_left(time.time())
    if left:
        words.append(f"about {duration(left)} left")
    print(", ".join(words), flush=True)


def driver_is_gone(told: dict[str, Any]) -> bool:
    """Say whether a driver on this machine is dead; of another machine's nothing is known."""
    if told.get("host") != socket.gethostname() or not isinstance(told.get("pid"), int):
        return False
    try:
        os.kill(told["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
