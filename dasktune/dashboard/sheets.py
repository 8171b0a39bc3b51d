"""The tables of the page, and their style in light and in dark."""

from __future__ import annotations

from typing import Any

from bokeh.models import (
    ColumnDataSource,
    DataTable,
    HTMLTemplateFormatter,
    NumberFormatter,
    StringFormatter,
    TableColumn,
)

from dasktune.dashboard.sending import send
from dasktune.dashboard.style import style
from dasktune.row import COLOURS

_STATE = "".join(f"value=='{state}'?'{colour}':" for state, colour in COLOURS.items())
_ROW = 25  # pixels


def _state_formatter() -> HTMLTemplateFormatter:
    dot = f"<span style='color:<%= {_STATE}\"inherit\" %>'>&#9679;</span> <%- value %>"
    return HTMLTemplateFormatter(template=dot)


def _log_formatter() -> HTMLTemplateFormatter:
    link = '<% if (value) { %><a href="<%- value %>" target="_blank">log</a><% } %>'
    return HTMLTemplateFormatter(template=link)


def column(name: str, title: str, kind: str, width: int) -> TableColumn:
    """Make a column, of a kind such as ``"text"``; of a ``"hint"`` the mouse shows all."""
    right: dict[str, Any] = {"text_align": "right", "nan_format": ""}
    formatter = {
        "text": StringFormatter,
        "number": lambda: NumberFormatter(format="0.[00000]", **right),
        "small": lambda: HTMLTemplateFormatter(
            template="<div style='text-align:right'>"
            "<%= value === null || isNaN(value) ? '' : value && Math.abs(value) < 1e-3 "
            "? value.toExponential(2) : Number(value.toPrecision(5)) %></div>"
        ),
        "seconds": lambda: NumberFormatter(format="0.0", **right),
        "whole": lambda: NumberFormatter(format="0,0", **right),
        "percent": lambda: NumberFormatter(format="0", **right),
        "bytes": lambda: NumberFormatter(format="0.0 b", **right),
        "hint": lambda: HTMLTemplateFormatter(
            template="<span title='<%- value %>'><%- value %></span>"
        ),
        "state": _state_formatter,
        "log": _log_formatter,
    }[kind]()
    return TableColumn(field=name, title=title, formatter=formatter, width=width)


class Sheet:
    """A table that sorts by a click on a column's head.

    Parameters
    ----------
    name : str
        Under which the template embeds it.
    most_rows : int
        Rows that are seen without scrolling.
    """

    def __init__(self, name: str, most_rows: int) -> None:
        self._most = most_rows
        self.source = ColumnDataSource({})
        self.table = DataTable(
            name=name,
            source=self.source,
            columns=[],
            sizing_mode="stretch_width",
            height=3 * _ROW,
            row_height=_ROW,
            index_position=None,
            sortable=True,
            selectable=False,
            autosize_mode="force_fit",
            stylesheets=[style("sheet")],
        )

    def show(self, data: dict[str, Any], columns: list[TableColumn] | None = None) -> None:
        """Put rows into the table, and other columns if they are given."""
        if columns is not None:
            self.source.data = data
            self.table.columns = columns
        else:
            send(self.source, {**self.source.data, **data})
        rows = len(next(iter(data.values()), ()))
        height = (min(max(rows, 1), self._most) + 1) * _ROW + 10
        if self.table.height != height:
            self.table.height = height
