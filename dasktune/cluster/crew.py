"""The workers of one job: each has a nanny, and one that does not start takes no other with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import click

TRIES = 3
"""Times that a worker is started in all, until it is given up."""
PAUSES = (2.0, 8.0)
"""Seconds after each of which it is tried again."""
LOOK_EVERY = 1.0
"""Seconds between two looks at whether a worker that has died has come back."""


class Tell(Protocol):
    """Takes what people should know, and the name of a worker that is given up."""

    def __call__(self, text: str, given_up: str = "") -> Awaitable[None]:
        """Tell it."""


class Crew:
    """The workers of one job.

    Parameters
    ----------
    nannies : sequence of (str, callable)
        For each worker its name, and what makes a nanny for it, anew for each try.
    patience : float
        Seconds after which no worker is tried again that has never been there, and within which
        one that has died must be there again.
    tell : Tell
        Takes what people should know, and which workers will not come.

    Attributes
    ----------
    served : bool
        Whether any of them has been there.
    """

    def __init__(
        self, nannies: Sequence[tuple[str, Callable[[], Any]]], patience: float, tell: Tell
    ) -> None:
        self._makers = dict(nannies)
        self._patience = patience
        self._tell = tell
        self._nannies: dict[str, Any] = {}
        self._leaving = asyncio.Event()
        self._until = time.monotonic() + patience
        self.served = False

    @property
    def leaving(self) -> bool:
        """Say whether they were told to leave."""
        return self._leaving.is_set()

    async def serve(self) -> None:
        """Start the workers, and wait for the end of the last one."""
        await asyncio.gather(*map(self._keep, self._makers))

    def forward(self, number: int) -> None:
        """Tell the workers to leave. Dask's own way would close them at once."""
        self._leaving.set()
        for nanny in self._nannies.values():
            if nanny.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(nanny.pid, number)
            elif nanny.status.name not in ("closing", "closed", "failed"):
                told = nanny.close(reason="told before it had begun")
                asyncio.get_running_loop().create_task(told)

    async def _keep(self, name: str) -> None:
        """Keep one worker until it ends, whatever the others do."""
        for tries in range(1, TRIES + 1):
            nanny = None
            try:
                nanny = self._nannies[name] = self._makers[name]()
                await nanny
            except Exception as error:
                if self.leaving or not await self._again(name, tries, reason(nanny, error)):
                    return
            else:
                self.served = True
                await self._watch(name, nanny)
                return

    async def _again(self, name: str, tries: int, why: str) -> bool:
        """Tell that a worker does not start; wait, and say whether it is to be tried again."""
        text = f"worker {name} does not start ({why})"
        if tries == TRIES or time.monotonic() > self._until:
            alone = "" if len(self._makers) == 1 else "; its job goes on without it"
            await self._tell(f"{text}; given up after {_times(tries)}{alone}", name)
            return False
        seconds = PAUSES[tries - 1]
        await self._tell(f"{text}; trying again in {seconds:g} s")
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._leaving.wait(), seconds)
        return not self.leaving

    async def _watch(self, name: str, nanny: Any) -> None:
        """Wait for a nanny's end; end one whose worker does not come back, which tries for ever."""
        ended = asyncio.ensure_future(nanny.finished())
        there = time.monotonic()
        while not ended.done():
            await asyncio.wait([ended], timeout=LOOK_EVERY)
            process = nanny.process
            if process is not None and process.status.name == "running":
                there = time.monotonic()
            elif nanny.status.name == "running" and time.monotonic() - there > self._patience:
                await self._tell(
                    f"worker {name} has died, and does not come back within {self._patience:g} s; "
                    "given up",
                    name,
                )
                await nanny.close(reason="its worker does not come back")
                return


def reason(nanny: Any, error: BaseException) -> str:
    """Say in a line why a worker does not start: what began it, or how its process ended."""
    while error.__cause__ is not None:
        error = error.__cause__
    code = getattr(nanny, "dasktune_exit", 0)
    if code:
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        return f"its process ended {how}"
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def write(text: str) -> None:
    """Write a line into the job's own log."""
    click.echo(f"dasktune: {text}", err=True)


def _times(tries: int) -> str:
    return "a try" if tries == 1 else f"{tries} tries"
