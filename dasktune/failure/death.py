"""Deaths: what is known of a worker process that died, and what it says of its trial. Pure."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from typing import Any

from dasktune import drain
from dasktune.failure.kind import Kind, Setback

TIME_WORDS = (drain.TIME_IS_OVER, "SIGUSR1")
"""Why a worker leaves whose walltime, or lifetime, ends; SIGUSR1 is the warning of Slurm."""

_FROM_OUTSIDE = {
    getattr(signal, name, 0)
    for name in ("SIGTERM", "SIGKILL", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
}
"""Signals by which a queue ends what is in a job."""

_MEMORY = "OUT_OF_MEMORY"

_OF_QUEUE = {
    "PREEMPTED": (Kind.PREEMPTED, True),
    "REQUEUED": (Kind.PREEMPTED, True),
    "CANCELLED": (Kind.PREEMPTED, True),
    "TIMEOUT": (Kind.TIME, True),
    "DEADLINE": (Kind.TIME, True),
    "NODE_FAIL": (Kind.LOST, True),
    "BOOT_FAIL": (Kind.LOST, True),
}
"""What a queue's word for the end of a job means, and whether it is free; but for memory."""


def judge(
    record: Mapping[str, Any],
    ends: Sequence[Mapping[str, Any]],
    hangs: Sequence[Mapping[str, Any]],
) -> Setback:
    """Tell what befell an attempt that did not end by itself.

    Parameters
    ----------
    record : mapping
        What the attempt noted of itself: ``name``, ``epoch``, ``alone``, and ``setback`` or
        ``leaving`` where it could still say so.
    ends : sequence of mapping
        What others noted of its process or its job: ``exit`` (a code as of `subprocess`),
        ``memory`` (why that was memory), ``state`` (the queue's word), ``text``.
    hangs : sequence of mapping
        Trainings that hung in its process: the ``names`` that trained as one, how many others
        were ``beside``, and ``text``.
    """
    epoch = int(record.get("epoch", -1))
    given = record.get("setback")
    if given:
        kind = Kind(given["kind"])
        return Setback(kind, str(given["evidence"]), kind is Kind.PREEMPTED, epoch)
    for hang in hangs:
        names = hang["names"]
        if record["name"] in names:
            others = bool(hang.get("beside"))
            return Setback(Kind.HANG, hang["text"], False, epoch, len(names) > 1, others)
        return Setback(Kind.LOST, f"{names[0]} hung beside it", True, epoch)
    for end in ends:
        if end.get("memory") and "job" not in end:
            return Setback(Kind.HOST_MEMORY, f"{_exit_words(end)}{end['memory']}", epoch=epoch)
    leaving = record.get("leaving")
    for end in ends:
        state = str(end.get("state", ""))
        # A job goes on when a trial of it crashes: its own end is then none of that trial's.
        if state in _OF_QUEUE and (leaving or not any(map(_crashed, ends))):
            kind, free = _OF_QUEUE[state]
            felled = str(end.get("job", "")) if kind is Kind.LOST else ""
            alone = bool(record.get("alone"))
            return Setback(kind, _queue_words(end), free, epoch, felled=felled, alone=alone)
    if leaving:
        kind = Kind.TIME if leaving in TIME_WORDS else Kind.PREEMPTED
        return Setback(kind, f"its worker had to leave ({leaving})", True, epoch)
    for end in ends:
        # The job may have run out of memory under an earlier trial, and this one died otherwise.
        if _ran_out(end) and all(_may_be_memory(other) for other in ends):
            words = _queue_words(end, str(end.get("memory", "")))
            return Setback(Kind.HOST_MEMORY, words, epoch=epoch)
    told = [_exit_words(end).removesuffix("; ") for end in ends if "exit" in end]
    told += [_queue_words(end) for end in ends if end.get("text")]
    text = "; ".join(told)
    return Setback(Kind.LOST, text or "nobody saw how", epoch=epoch)


def _ran_out(end: Mapping[str, Any]) -> bool:
    """Say whether a job ended for want of memory, by the queue's word or by its log."""
    return end.get("state") == _MEMORY or bool(end.get("memory"))


def _crashed(end: Mapping[str, Any]) -> bool:
    """Say whether a process ended in a way in which no queue ends one."""
    code = int(end.get("exit", 0))
    return code != 0 and (-code if code < 0 else code - 128) not in _FROM_OUTSIDE


def _may_be_memory(end: Mapping[str, Any]) -> bool:
    """Say whether a process may have ended for want of memory, by its exit code alone."""
    return end.get("exit", -signal.SIGKILL) in (-signal.SIGKILL, 128 + signal.SIGKILL)


def _queue_words(end: Mapping[str, Any], *more: str) -> str:
    """Write what a queue tells of a job's end, in its own words."""
    told = end.get("text") or end.get("state")
    words = [f"the queue says {told}"] if told else []
    return "; ".join([*words, *filter(None, more)])


def _exit_words(end: Mapping[str, Any]) -> str:
    """Write an exit code for people, as the beginning of a sentence."""
    if "exit" not in end:
        return ""
    code = int(end["exit"])
    number = -code if code < 0 else code - 128 if 128 < code < 160 else 0
    if number:
        try:
            return f"killed by {signal.Signals(number).name}; "
        except ValueError:
            return f"killed by signal {number}; "
    return f"it exited with status {code}; "
