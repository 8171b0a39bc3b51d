"""How long a job may stay, and how much sooner it leaves."""

from __future__ import annotations

import re
from typing import Any

from dasktune.errors import UsageError


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
