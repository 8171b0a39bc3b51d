"""Markup: small pieces of HTML for notebooks, legible in light and in dark."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_BOX = "border:1px solid #8884;border-radius:6px;padding:8px 12px;max-width:56em;overflow-x:auto"
_CELL = "text-align:left;padding:2px 14px 2px 0;border:none;background:none;vertical-align:top"
_LONG = ";min-width:14em;overflow-wrap:anywhere"
"""Of a text that may be one long word: it stays within the box."""


def box(title: str, note: str, *parts: str) -> str:
    """Give a box with a title, a note beside it, and parts, which are HTML."""
    head = f"<b>{html.escape(title)}</b> <span style='opacity:.65'>{html.escape(note)}</span>"
    return f"<div style='{_BOX}'>{head}{''.join(parts)}</div>"


def table(rows: Iterable[Sequence[Any]], head: Sequence[str] = ()) -> str:
    """Give a table of texts."""
    lines = [_row(head, "th")] if head else []
    lines += [_row(row, "td") for row in rows]
    style = "margin:6px 0 0;border-collapse:collapse;font-size:90%"
    return f"<table style='{style}'>{''.join(lines)}</table>"


def bar(counts: Mapping[str, int], colours: Mapping[str, str]) -> str:
    """Give a bar whose parts are as long as their counts."""
    parts = "".join(
        f"<span title='{n} {html.escape(name)}' "
        f"style='flex:{n};background:{colours.get(name, '#8884')}'></span>"
        for name, n in counts.items()
    )
    style = "display:flex;height:8px;border-radius:4px;overflow:hidden;margin-top:8px"
    return f"<div style='{style}'>{parts}</div>"


def _row(cells: Sequence[Any], kind: str) -> str:
    inner = "".join(
        f"<{kind} style='{_CELL}{_LONG if len(text) > 40 else ''}'>{html.escape(text)}</{kind}>"
        for text in map(str, cells)
    )
    return f"<tr style='background:none'>{inner}</tr>"
