"""Style sheets and templates of the page, in light and in dark."""

from __future__ import annotations

import os
from importlib import resources

import distributed
from bokeh.models import InlineStyleSheet
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PackageLoader, Template


def style(name: str) -> InlineStyleSheet:
    """Give a style sheet of ours: Bokeh's parts are shut off from that of the page."""
    file = resources.files("dasktune.dashboard") / "templates" / f"{name}.css"
    return InlineStyleSheet(css=file.read_text(encoding="utf-8"))


def template() -> Template:
    """Give the page's template, which extends Dask's."""
    dask = os.path.join(os.path.dirname(distributed.__file__), "http", "templates")
    own = PackageLoader("dasktune.dashboard", "templates")
    bokeh = PackageLoader("bokeh.core", "_templates")
    loader = ChoiceLoader([own, FileSystemLoader(dask), bokeh])
    return Environment(loader=loader, autoescape=False).get_template("dasktune.html")
