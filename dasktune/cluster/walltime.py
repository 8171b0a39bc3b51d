"""How long a job may stay, and how much sooner it leaves."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Mapping
from typing import Any

from dasktune.errors import UsageError

BEGAN = "DASKTUNE_BEGAN"
"""The variable in which a job's script notes, before anything else, when it began."""
NOTE_BEGIN = f"export {BEGAN}=`date +%s`"
"""The line that does. Not with ``$(…)``, which HTCondor would take for its own."""
_END = "SLURM_JOB_END_TIME"  # of newer Slurm; 22.05 does not tell


def read_walltime(value: Any) -> int:
    """Read a walltime: ``HH:MM:SS``, ``D-HH:MM:SS``, ``HH:MM``, seconds, or ``2h``.

    Raises
    ------
    UsageError
        If it is none of these.
    """
    text = str(value).strip()
    match = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d\d)(?::(\d\d))?", text)
    if match:
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    from dask.utils import parse_timedelta

    try:
        return int(parse_timedelta(text))
    except (KeyError, ValueError):
        raise UsageError(
            f"a walltime is HH:MM:SS, D-HH:MM:SS, or a duration such as 2h, but got {text!r}."
        ) from None


def lead_of(lead: int | None, seconds: int) -> int:
    """Say how many seconds before its end a job leaves: a tenth of them, from 30 to 300.

    Raises
    ------
    UsageError
        If that is all the time that it has.
    """
    lead = min(300, max(30, seconds // 10)) if lead is None else int(lead)
    if lead >= seconds:
        raise UsageError(
            f"a worker leaves {lead} s before its walltime of {seconds} s ends, so it would "
            "never train; set a longer walltime or a shorter lead."
        )
    return lead


def seconds_left(
    seconds: float, lead: float = math.inf, environment: Mapping[str, str] = os.environ
) -> float:
    """Say in how many seconds from now a job is to leave.

    A queue counts from the job's start, not from that of Python, whose libraries a shared file
    system may take a minute to give.

    Parameters
    ----------
    seconds : float
        So long it may train, from its start.
    lead : float
        So much later it is ended.
    environment : mapping of str to str
        Says when it began, or when it will be ended; else it begins now.
    """
    now = time.time()
    told = _moment(environment.get(BEGAN))
    began = told if told is not None and now - seconds <= told <= now else now
    end = _moment(environment.get(_END))
    moment = began + seconds
    if end is not None and began < end - lead < moment:
        moment = end - lead
    return moment - now


def _moment(text: str | None) -> float | None:
    return float(text) if text and text.isdecimal() else None
