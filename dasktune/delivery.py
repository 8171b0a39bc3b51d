"""Delivery: a pipeline that is in no file goes to the workers through Dask."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from distributed import WorkerPlugin

from dasktune.pipeline import Pipeline
from dasktune.recipe import Codes, bring, withdraw
from dasktune.source import Sources

if TYPE_CHECKING:
    from distributed import Client


class Delivery(WorkerPlugin):
    """Brings a pipeline to each worker, also to one that joins late or is started again.

    Parameters
    ----------
    pipeline : Pipeline
        The pipeline.
    codes : Codes
        Its code.
    """

    def __init__(self, pipeline: Pipeline, codes: Codes) -> None:
        self.pipeline = pipeline
        # Without the syntax trees that the sources keep once they were parsed.
        self.codes = Codes(Sources(codes.sources.main, codes.sources.modules), codes.codes)
        self.name = f"dasktune-{codes.digest[:16]}"

    def setup(self, worker: Any) -> None:
        """Take the pipeline, on a worker."""
        bring(self.pipeline, self.codes)

    def teardown(self, worker: Any) -> None:
        """Forget it."""
        withdraw(self.codes)


@contextlib.contextmanager
def delivered(client: Client, pipeline: Pipeline, codes: Codes) -> Iterator[None]:
    """Have a pipeline on all workers of a cluster.

    Raises
    ------
    CodeSkewError
        If a worker has other versions of the user's modules.
    """
    delivery = Delivery(pipeline, codes)
    client.register_plugin(delivery)
    try:
        yield
    finally:
        with contextlib.suppress(Exception):
            client.unregister_worker_plugin(delivery.name)
