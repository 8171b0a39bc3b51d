"""The DAG of a sweep as a picture: by graphviz where it is installed, else drawn here."""

from __future__ import annotations

import html
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dasktune.errors import UsageError

MOST_TRIALS = 8
"""Trials that are drawn one by one; the others are one node."""

FILLS = {"done": "#d9f0e1", "stale": "#fde8cf", "pending": "#f7f1cf", "": "#eef1f5"}
_WIDTH, _HEIGHT, _GAP, _LEVEL = 190, 30, 14, 250


class Dag:
    """A picture of a sweep's targets, raw inputs on the left, ``all`` on the right.

    A notebook shows it by itself.

    Parameters
    ----------
    inputs : sequence of str
        The raw inputs.
    trials : sequence of str
        The trials.
    states : mapping of str to str, optional
        The state of each target, which colours it.
    """

    def __init__(
        self,
        inputs: Sequence[str],
        trials: Sequence[str],
        states: Mapping[str, str] | None = None,
    ) -> None:
        self._states = dict(states or {})
        shown = [f"trained/{trial}" for trial in trials[:MOST_TRIALS]]
        more = len(trials) - len(shown)
        middle = [*shown, *([f"… {more} more trials"] if more else [])]
        raw = list(inputs[:MOST_TRIALS])
        self.levels = [raw, ["preprocessed"], middle, ["trained"], ["collated"], ["all"]]
        self.levels = [level for level in self.levels if level]
        """The nodes, level by level; all of one level need all of the level before."""

    def to_dot(self) -> str:
        """Write it for graphviz."""
        lines = ["digraph sweep {", "  rankdir=LR; node [shape=box style=filled];"]
        nodes = [node for level in self.levels for node in level]
        lines += [f'  "{_quoted(node)}" [fillcolor="{self._fill(node)}"];' for node in nodes]
        for needed, needing in zip(self.levels, self.levels[1:], strict=False):
            lines += [f'  "{_quoted(a)}" -> "{_quoted(b)}";' for a in needed for b in needing]
        return "\n".join([*lines, "}"]) + "\n"

    def to_svg(self) -> str:
        """Draw it as SVG: by graphviz if its ``dot`` is there, else plainly."""
        dot = shutil.which("dot")
        if dot is not None:
            done = subprocess.run(
                [dot, "-Tsvg"], input=self.to_dot(), capture_output=True, text=True, check=False
            )
            if done.returncode == 0:
                return done.stdout[done.stdout.index("<svg") :]
        return self._plain()

    def save(self, path: str | Path) -> None:
        """Write it into a file that ends in ``.svg`` or ``.dot``.

        Raises
        ------
        UsageError
            If it ends in something else.
        """
        kinds = {".svg": self.to_svg, ".dot": self.to_dot}
        path = Path(path)
        if path.suffix not in kinds:
            raise UsageError(f"a picture of a DAG ends in .svg or .dot, but got {path.name!r}.")
        path.write_text(kinds[path.suffix](), encoding="utf-8")

    def _fill(self, node: str) -> str:
        return FILLS[self._states.get(node, "")]

    def _plain(self) -> str:
        tallest = max(len(level) for level in self.levels)
        height = tallest * (_HEIGHT + _GAP) + _GAP
        width = (len(self.levels) - 1) * _LEVEL + _WIDTH + 2 * _GAP
        places: dict[str, tuple[float, float]] = {}
        for number, level in enumerate(self.levels):
            top = (height - len(level) * (_HEIGHT + _GAP) + _GAP) / 2
            for row, node in enumerate(level):
                places[node] = (_GAP + number * _LEVEL, top + row * (_HEIGHT + _GAP))
        edges, nodes = [], []
        for needed, needing in zip(self.levels, self.levels[1:], strict=False):
            for a in needed:
                for b in needing:
                    (x1, y1), (x2, y2) = places[a], places[b]
                    x1, y1, y2 = x1 + _WIDTH, y1 + _HEIGHT / 2, y2 + _HEIGHT / 2
                    bend = (x1 + x2) / 2
                    curve = f"M{x1:g} {y1:g}C{bend:g} {y1:g} {bend:g} {y2:g} {x2:g} {y2:g}"
                    edges.append(f'<path d="{curve}" fill="none" stroke="#8a939d"/>')
        for node, (x, y) in places.items():
            text = node if len(node) <= 30 else node[:29] + "…"
            nodes.append(
                f"<g><title>{html.escape(node)}</title>"
                f'<rect x="{x:g}" y="{y:g}" width="{_WIDTH}" height="{_HEIGHT}" rx="5" '
                f'fill="{self._fill(node)}" stroke="#8a939d"/>'
                f'<text x="{x + _WIDTH / 2:g}" y="{y + _HEIGHT / 2 + 4:g}" fill="#24292f" '
                f'text-anchor="middle">{html.escape(text)}</text></g>'
            )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:g}" '
            f'width="{width}" font-family="Helvetica, Arial, sans-serif" font-size="11.5">'
            f"{''.join(edges)}{''.join(nodes)}</svg>"
        )

    def _repr_mimebundle_(self, **options: Any) -> dict[str, str]:
        return {"image/svg+xml": self.to_svg(), "text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"<Dag of {sum(len(level) for level in self.levels)} nodes>"


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
