"""The head of the page: the numbers of a sweep, and a bar of them."""

from __future__ import annotations

import html

from dasktune.board import Board
from dasktune.dashboard.figures import RANKED
from dasktune.row import COLOURS
from dasktune.screen import duration


def head(board: Board, now: float) -> str:
    """Write the head as HTML."""
    counts = board.counts()
    total = sum(counts.values())
    tiles = [(str(total), "trials", "")]
    tiles += [(str(n), state, COLOURS[state]) for state, n in counts.items()]
    if board.best:
        _, value, trial = board.best[-1]
        tiles.append((f"{value:.5g}", f"best {board.objective.metric}: {trial}", RANKED[0]))
    left = None if board.over else board.seconds_left(now)
    if left is not None:
        tiles.append((duration(left) if left >= 1 else "< 1 s", "left (estimate)", ""))
    if not board.over:
        tiles.append((duration(max(0.0, now - board.started)), "since the start", ""))
    numbers = "".join(
        f'<div><b style="color:{colour or "inherit"}">{html.escape(number)}</b>'
        f"<i>{html.escape(word)}</i></div>"
        for number, word, colour in tiles
    )
    bar = (
        "".join(
            f'<span style="flex:{n};background:{COLOURS[state]}"></span>'
            for state, n in counts.items()
            if state != "waiting"
        )
        + f'<span style="flex:{counts.get("waiting", 0)}"></span>'
    )
    stages = ", ".join(f"{name} {state}" for name, (state, _) in board.stages.items())
    how = f"over: {board.over}" if board.over and board.over != "ended" else "over"
    note = html.escape(f"{how if board.over else 'running'} · {stages}")
    failures = "".join(
        f"<div>{html.escape(row.id)}: {html.escape(row.error)}</div>"
        for row in board.failures()[:3]
    )
    return (
        f"<h1>{html.escape(board.pipeline)}<span>{note}</span></h1>"
        f'<div class="numbers">{numbers}</div><div class="bar">{bar}</div>'
        + (f'<div class="failed-list">{failures}</div>' if failures else "")
    )
