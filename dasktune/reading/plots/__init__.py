"""Figures of results, drawn by matplotlib without a global state, as PNG or SVG."""

from dasktune.reading.plots.figure import Plot, plot

__all__ = ["Plot", "plot"]
