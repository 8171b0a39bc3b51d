"""A check-up of a machine: whether trials can be trained there, with what mends what is wrong."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from dasktune.arrival import VARIABLE
from dasktune.data.filesystem import mount_of, networked


@dataclass(frozen=True)
class Check:
    """What was found of one thing.

    Attributes
    ----------
    name : str
        The thing, such as ``"torch"``.
    good : bool
        Whether it is as it must be.
    text : str
        What was found.
    fix : str
        What mends it.
    """

    name: str
    good: bool
    text: str
    fix: str = ""


def check_python() -> Check:
    """Tell which Python and which dasktune this is."""
    version = importlib.metadata.version("dasktune")
    here = f"{platform.python_version()} on {socket.gethostname()}, {sys.executable}"
    return Check("python", True, f"{here}, dasktune {version}")


def check_torch() -> Check:
    """Import torch."""
    started = time.perf_counter()
    try:
        import torch

        torch.zeros(2).sum().item()
    except Exception as error:
        return Check(
            "torch",
            False,
            f"{type(error).__name__}: {' '.join(str(error).split())[:300]}",
            f"install torch for {sys.executable}, or load what it needs: "
            "-O prologue='module load …'",
        )
    seconds = time.perf_counter() - started
    return Check("torch", True, f"{torch.__version__} imports in {seconds:.1f} s")


def check_torch_for(cuda: str) -> Check:
    """See whether torch is built for GPUs, and for a CUDA that the driver runs.

    Parameters
    ----------
    cuda : str
        The newest CUDA that the driver runs, such as ``"12.8"``; empty if nobody knows.
    """
    check = check_torch()
    if not check.good:
        return check
    import torch

    version: Any = torch.version
    built = version.cuda or ""
    suits = f" for CUDA {cuda} or older" if cuda else " for your driver"
    fix = f"install a build of torch{suits}, see pytorch.org; or train without: --cluster local"
    if not built and not getattr(version, "hip", None):
        return replace(check, good=False, text=f"{check.text}, is built without CUDA", fix=fix)
    text = f"{check.text}, built with CUDA {built}"
    if cuda and built and _numbers(built)[0] > _numbers(cuda)[0]:
        return replace(check, good=False, text=f"{text}, which this driver is too old for", fix=fix)
    return replace(check, text=text)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


@dataclass(frozen=True)
class Sighting:
    """The GPUs that a process sees.

    Attributes
    ----------
    visible : str or None
        Its ``CUDA_VISIBLE_DEVICES``.
    count : int or None
        How many torch counts; None where torch is built without CUDA, and cannot tell.
    names : tuple of str
        What they are, and how much memory they have.
    """

    visible: str | None
    count: int | None = None
    names: tuple[str, ...] = ()

    def text(self) -> str:
        """Write it for people."""
        seen = f"CUDA_VISIBLE_DEVICES={self.visible or ''}"
        if self.count is None:
            return f"{seen}, torch cannot tell"
        return f"{seen}, torch sees {self.count} ({', '.join(self.names) or 'none'})"


def see_devices() -> Sighting:
    """Tell which GPUs this process sees."""
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if not (torch.version.cuda or getattr(torch.version, "hip", None)):
        return Sighting(visible)
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    found = [torch.cuda.get_device_properties(index) for index in range(count)]
    return Sighting(
        visible, count, tuple(f"{one.name}, {one.total_memory / 2**30:.0f} GiB" for one in found)
    )


def check_device(wanted: int) -> Check:
    """See whether torch sees as many GPUs as were asked for."""
    try:
        import torch

        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        names = [torch.cuda.get_device_name(index) for index in range(count)]
        if count:
            torch.ones(2, device="cuda").sum().item()
    except Exception as error:
        count, names = 0, [f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    text = f"torch sees {count} GPUs ({', '.join(names) or 'none'})"
    if wanted:
        text += f", {wanted} asked for; CUDA_VISIBLE_DEVICES is {visible!r}"
    return Check(
        "device",
        count >= wanted,
        text,
        ""
        if count >= wanted
        else "see that the queue gives GPUs (-O gpu-request=…, -O queue=…) "
        "and that torch is built for their driver; trials that need none: -O gpus=0",
    )


def check_folder(folder: str, token: str = "", patience: float = 60.0) -> Check:
    """Write, move and read back a file, and read one that another machine wrote.

    Parameters
    ----------
    folder : str
        The folder.
    token : str, optional
        What that machine wrote into the file ``token``.
    patience : float
        Seconds that this file may be late.
    """
    point, kind = mount_of(folder)
    where = f"{folder} on {point or '?'} ({kind or 'unknown'})"
    probe = f"{folder}/.probe-{uuid.uuid4().hex[:8]}"
    try:
        with open(probe, "w") as file:
            file.write("here")
            file.flush()
            os.fsync(file.fileno())
        os.rename(probe, f"{probe}-moved")
        os.unlink(f"{probe}-moved")
    except OSError as error:
        fix = "name a folder that all machines see and that you can write: --store /project/you"
        return Check("folder", False, f"cannot write to {where}: {error.strerror}", fix)
    if not token:
        shared = "shared with other machines" if networked(kind) else "of this machine"
        return Check("folder", True, f"{where}, {shared}")
    started = time.monotonic()
    while _read(f"{folder}/token") != token:
        if time.monotonic() - started > patience:
            return Check(
                "folder",
                False,
                f"{where} shows no file of the login node within {patience:g} s",
                f"is that mount the same folder there? If it is only slow, set {VARIABLE}",
            )
        with contextlib.suppress(OSError):
            os.listdir(folder)
        time.sleep(0.2)
    return Check(
        "folder", True, f"{where}, files are seen after {time.monotonic() - started:.1f} s"
    )


def _read(path: str) -> str:
    with contextlib.suppress(OSError), open(path) as file:
        return file.read()
    return ""


def guarded(name: str, check: Callable[[], Check]) -> Check:
    """Let a check that breaks be one that failed."""
    try:
        return check()
    except Exception as error:
        return Check(name, False, f"{type(error).__name__}: {error}", "this is unexpected")


def lines(check: Check) -> Iterator[str]:
    """Write a check for people: a line, and one with what mends it."""
    yield f"{'ok  ' if check.good else 'FAIL'}  {check.name:<10} {check.text}"
    if not check.good and check.fix:
        yield f"      {'':<10} fix: {check.fix}"
