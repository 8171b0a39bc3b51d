"""The head of the page: the numbers of a sweep, and a bar of them."""

from __future__ import annotations

import html
from urllib.parse import quote

from dasktune.board import Board
from dasktune.dashboard.figures import RANKED
from dasktune.failure.kind import count_kinds, worded
from dasktune.row import COLOURS
from dasktune.screen import MOST_FAILURES, best_text, duration


def head(board: Board, now: float, missed: str = "") -> str:
    """Write the head as HTML.

    Parameters
    ----------
    board : Board
        How the run stands.
    now : float
        The time, in seconds since 1970.
    missed : str
        A run that was asked for, and is not known.
    """
    counts = board.counts()
    total = sum(counts.values())
    tiles = [(str(total), "trials", "")]
    tiles += [(str(n), state, COLOURS[state]) for state, n in counts.items()]
    leaders = board.leaders()
    if leaders:
        words = best_text(board).partition(": ")[2]
        tiles.append((str(len(leaders)), f"on the front: {words}", RANKED[0]))
    elif board.best and not board.objective.others:
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
    failures = board.failures()
    lines = [f"{row.id}: {worded(row.failure, row.error)}" for row in failures[-MOST_FAILURES:]]
    if len(failures) > MOST_FAILURES:
        kinds = count_kinds([row.failure for row in failures])
        lines.append(f"{len(failures)} failures in all" + (f": {kinds}" if kinds else ""))
    told = "".join(f"<div>{html.escape(line)}</div>" for line in lines)
    lost = f"<p>The run {html.escape(missed)} is not known here; this is the newest.</p>"
    return (
        (lost if missed else "") + f"<h1>{html.escape(board.pipeline)}<span>{note} · "
        f'<a href="dasktune?run={quote(board.run)}">link to this run</a></span></h1>'
        f'<div class="numbers">{numbers}</div><div class="bar">{bar}</div>'
        + (f'<div class="failed-list">{told}</div>' if told else "")
    )
