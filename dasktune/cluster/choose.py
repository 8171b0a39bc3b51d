"""One word selects the cluster."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator, Mapping

from dasktune.cluster.demand import Backend, Connection, Demand
from dasktune.cluster.devices import Machine, look
from dasktune.errors import ClusterError

QUEUES = ("slurm", "sge", "pbs", "lsf", "oar", "htcondor")
AUTO = "auto"
"""The word that leaves the choice to us."""
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
        ``"auto"``; ``"local"``; ``"cuda"``; a queue; the address of a running scheduler; or a
        name, see `backend`.
    demand : Demand
        What the run needs.
    settings : mapping of str to str, optional
        Overrides the configuration.

    Raises
    ------
    ClusterError
        If there is no such cluster, or none of its workers offers the resources.
    """
    word = resolve(word, demand, settings)
    with backend(word, settings or {}).connect(demand) as connection:
        yield connection


def resolve(word: str, demand: Demand, settings: Mapping[str, str] | None = None) -> str:
    """Choose a cluster where that is left to us, and say so; any other word stays as it is."""
    if word != AUTO:
        return word
    word, why = automatic(demand, settings or {}, look())
    demand.tell({"event": "note", "text": f"cluster {word}, since {why}"})
    return word


def automatic(demand: Demand, settings: Mapping[str, str], machine: Machine) -> tuple[str, str]:
    """Choose between ``cuda`` and ``local``.

    Parameters
    ----------
    demand : Demand
        What the run needs.
    settings : mapping of str to str
        What was set of the cluster.
    machine : Machine
        The GPUs that are here.

    Returns
    -------
    (str, str)
        The word, and the reason for it.
    """
    if "gpus" in settings:
        return "cuda", "GPUs were named"
    if not demand.resources.get("GPU"):
        return "local", "a trial asks for no GPU"
    if not machine.devices:
        return "local", "no GPU is seen here"
    if not machine.names():
        return "local", f"CUDA_VISIBLE_DEVICES={machine.visible!r} hides the GPUs"
    if _torch_without_gpus():
        return "local", "torch is installed here without support for GPUs"
    count = len(machine.names())
    return "cuda", f"{machine.source} lists {count} GPU{'s' if count > 1 else ''}"


def _torch_without_gpus() -> bool:
    """Tell whether torch is there, imported by the user's own pipeline, and only for CPUs."""
    version = getattr(sys.modules.get("torch"), "version", None)
    return version is not None and not (version.cuda or getattr(version, "hip", None))


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
    kind, name = kind_of(word), word
    if kind in QUEUES:
        from dasktune.cluster.queued import Queued

        module = importlib.import_module(f"dasktune.cluster.{kind}")
        return Queued(module.QUEUE, name, settings)
    if kind == "cuda":
        from dasktune.cluster.cuda import Cuda

        return Cuda(name, settings)
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


def kind_of(word: str) -> str:
    """Give the kind of cluster that a word stands for; a name is looked up in the configuration."""
    if "://" in word or word.startswith("file:") or word in ("local", "cuda", *QUEUES):
        return word
    import dask.config

    section = dask.config.get(f"dasktune.cluster.{word}", None)
    return str(section["kind"]) if isinstance(section, dict) and "kind" in section else word
