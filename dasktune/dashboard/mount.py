"""Mounting the page beside Dask's own, with its link in their menu."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bokeh.server.tornado import BokehTornado
from distributed.dashboard.core import BokehApplication
from distributed.dashboard.scheduler import template_variables
from tornado.ioloop import IOLoop

from dasktune.dashboard.logpage import LogHandler
from dasktune.dashboard.page import open_page
from dasktune.dashboard.quiet import be_quiet

if TYPE_CHECKING:
    from dasktune.dashboard.plugin import Dashboard

PAGE = "dasktune"


def mount(scheduler: Any, dashboard: Dashboard) -> Any:
    """Serve the page from a scheduler.

    Parameters
    ----------
    scheduler : distributed.Scheduler
        In whose event loop this runs.
    dashboard : Dashboard
        What the page shows.

    Returns
    -------
    bokeh.server.tornado.BokehTornado or None
        The page's application; None if the scheduler was started without a dashboard.
    """
    applications = getattr(scheduler.http_application, "applications", ())
    dask_pages = next((app for app in applications if isinstance(app, BokehTornado)), None)
    if dask_pages is None:
        return None
    variables = template_variables(scheduler)
    if PAGE not in variables["pages"]:
        variables["pages"].append(PAGE)  # the list that all of Dask's pages draw their menu from

    def document(scheduler: Any, extra: dict[str, Any], doc: Any) -> None:
        open_page(scheduler, dashboard, extra, doc)

    be_quiet()
    prefix = dask_pages.prefix
    app = BokehApplication(
        {f"/{PAGE}": document}, scheduler, prefix=prefix, template_variables=variables
    )
    scheduler.http_application.add_application(app)
    app.initialize(IOLoop.current())
    app.add_handlers(r".*", [(rf"{prefix}/{PAGE}-log", LogHandler, {"dashboard": dashboard})])
    app.start()
    return app
