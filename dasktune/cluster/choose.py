"""One word selects the cluster."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Mapping

from dasktune.cluster.demand import Backend, Connection, Demand
from dasktune.errors import ClusterError

QUEUES = ("slurm", "sge", "pbs", "lsf", "oar", "htcondor")
GROUP = "dasktune.clusters"
"""Entry points of other packages: a callable that takes the settings and gives a `Backend`."""


@contextlib.contextmanager
def connect(
    word: str, demand: Demand, settings: Mapping[str, str] | None = None
) -> Iterator[Connection]:
    """Give a connection to the cluster that a word selects.

    Parameters
    ----------
    word : str
        ``"local"``; a queue; the address of a running scheduler; or a name, see `backend`.
    demand : Demand
        What the run needs.
    settings : mapping of str to str, optional
        Overrides the configuration.

    Raises
    ------
    ClusterError
        If there is no such cluster, or none of its workers offers the resources.
    """
    with backend(word, settings or {}).connect(demand) as connection:
        yield connection


def backend(word: str, settings: Mapping[str, str]) -> Backend:
    """Give the kind of cluster that a word selects.

    Parameters
    ----------
    word : str
        ``"local"``, ``"cuda"``, a queue of `QUEUES`, an address (``tcp://…``, ``tls://…``),
        ``file:`` and a scheduler file, a section of the configuration ``dasktune.cluster`` that
        has a ``kind``, or an entry point of another package.
    settings : mapping of str to str
        Overrides the configuration.
    """
    kind, name = _kind(word), word
    if kind in QUEUES:
        from dasktune.cluster.queue import Queued

        module = importlib.import_module(f"dasktune.cluster.{kind}")
        return Queued(module.QUEUE, name, settings)
    if kind == "cuda":
        from dasktune.cluster.cuda import Cuda

        return Cuda(settings)
    if settings:
        raise ClusterError(f"the cluster {word!r} has no settings, but got {sorted(settings)}.")
    if kind == "local":
        from dasktune.cluster.local import Local

        return Local()
    if "://" in kind or kind.startswith("file:"):
        from dasktune.cluster.running import Running

        return Running(kind)
    from importlib.metadata import entry_points

    for entry in entry_points(group=GROUP, name=kind):
        made: Backend = entry.load()(settings)
        return made
    raise ClusterError(
        f"a cluster is 'none', 'local', 'cuda', {', '.join(map(repr, QUEUES))}, a scheduler's "
        f"address such as 'tcp://127.0.0.1:8786', 'file:scheduler.json', or a name in the "
        f"configuration 'dasktune.cluster', but got {word!r}."
    )


def _kind(word: str) -> str:
    """Look a name up in the user's configuration."""
    if "://" in word or word.startswith("file:") or word in ("local", "cuda", *QUEUES):
        return word
    import dask.config

    section = dask.config.get(f"dasktune.cluster.{word}", None)
    return str(section["kind"]) if isinstance(section, dict) and "kind" in section else word
