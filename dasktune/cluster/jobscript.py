"""A job's script as dask-jobqueue writes it, made safe: words quoted, and read by no other."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

from dasktune.cluster.command import call
from dasktune.cluster.walltime import NOTE_BEGIN
from dasktune.errors import UsageError

SPLITTING = ("sge", "pbs", "lsf")
"""Queues that take a name with a space in a script's header for two."""


def scripted(job: Any, kind: str) -> Any:
    """Give dask-jobqueue's class of a queue's jobs, with scripts that are safe.

    Parameters
    ----------
    job : type
        The class.
    kind : str
        The kind of queue.
    """

    class Scripted(job):
        """A job whose script holds what we mean, word by word."""

        def __init__(
            self,
            *arguments: Any,
            worker_extra_args: Sequence[str] = (),
            local_directory: str | None = None,
            security: Any = None,
            log_directory: str = "",
            job_name: str = "",
            job_script_prologue: Sequence[str] = (),
            **options: Any,
        ) -> None:
            if kind in SPLITTING and re.search(r"\s", log_directory):
                raise UsageError(
                    f"a queue of kind {kind!r} writes no logs into a folder whose name has a "
                    f"space, but got {log_directory!r}; move the store with --store."
                )
            words = [shlex.quote(word) for word in worker_extra_args]
            for key, value in (
                security.get_tls_config_for_role("worker").items() if security else ()
            ):
                if key != "ciphers":  # which has no option
                    words += [f"--tls-{key.replace('_', '-')}", shlex.quote(value)]
            super().__init__(
                *arguments,
                worker_extra_args=words,
                local_directory=expanding(str(local_directory)) if local_directory else None,
                log_directory=log_directory,
                job_name=re.sub(r"\s+", "-", job_name),
                job_script_prologue=[NOTE_BEGIN, *job_script_prologue],
                **options,
            )
            if kind == "slurm":
                log = re.compile(r"^(#SBATCH -[eo]) (.* .*)$", re.MULTILINE)
                self.job_header: str = log.sub(r'\1 "\2"', self.job_header)

        @contextlib.contextmanager
        def job_file(self) -> Iterator[str]:
            """Write the script for its user alone: a prologue may hold secrets."""
            descriptor, path = tempfile.mkstemp(suffix=".sh")
            try:
                with open(descriptor, "w") as file:
                    file.write(self.job_script())
                yield path
            finally:
                os.unlink(path)

        _call = staticmethod(call)  # which does not wait without end for a queue that hangs

    return Scripted


def expanding(path: str) -> str:
    """Quote a folder that may be named by the variables and the home of another machine."""
    if "$" in path or "`" in path:
        return '"' + path.replace('"', r"\"") + '"'
    home, slash, rest = path.partition("/")
    if home.startswith("~"):
        return home + slash + (shlex.quote(rest) if rest else "")
    return shlex.quote(path)
