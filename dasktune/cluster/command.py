"""A queue's command: it is given so long to answer, and is then ended, since it may hang."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import Sequence
from typing import Any

SECONDS = 60.0
"""That a queue may take to answer."""
FAREWELL_SECONDS = 2.0
"""That a command may take to end when it is killed."""


class NoAnswer(RuntimeError):
    """A queue's command has not answered in time."""


async def call(command: Sequence[str], *, shell: bool = False) -> str:
    """Run a command, and give what it printed.

    Raises
    ------
    NoAnswer
        If it takes too long; it is ended then, as when nobody waits for it any more.
    RuntimeError
        If it fails.
    """
    begin: Any = asyncio.create_subprocess_shell if shell else asyncio.create_subprocess_exec
    pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    # In a session of its own it can be ended with all that it has started.
    process = await begin(*command, stdin=nothing, stdout=pipe, stderr=pipe, start_new_session=True)
    try:
        async with asyncio.timeout(SECONDS):
            out, err = (text.decode(errors="replace") for text in await process.communicate())
    except TimeoutError:
        raise NoAnswer(f"{command[0]} has not answered for {SECONDS:g} s") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL_SECONDS):
                    await process.wait()
    if process.returncode:
        code = process.returncode
        raise RuntimeError(f"{command[0]}: exit code {code}\nstdout:\n{out}\nstderr:\n{err}\n")
    return out


def refusal(text: str) -> str:
    """Give the queue's own words out of what dask-jobqueue says of a submission that failed."""
    said = re.search(r"stdout:\n(.*)stderr:\n(.*)", text, re.S)
    words = (said[2].split() or said[1].split()) if said else text.split()
    return " ".join(words)[:500]


def hopeless(reason: str) -> bool:
    """Say whether these are a queue's words for a job that it will never take."""
    return bool(
        re.search(r"invalid|unrecognized|unknown|not (permitted|found)|no such", reason, re.I)
    )


def unreachable(reason: str) -> bool:
    """Say whether these are the words of a queue's command that has not reached its server."""
    words = r"contact|connect|timed out|not respond|is down|commlib|send"
    return bool(re.search(words, reason, re.I))
