"""The GPUs of this machine: which there are, which are chosen, how full they are."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dasktune.errors import UsageError

INVISIBLE = ("-1", "none", "void", "NoDevFiles")
"""What people write into CUDA_VISIBLE_DEVICES for: no device at all."""


@dataclass(frozen=True)
class Device:
    """A GPU, or one slice of a GPU that is cut into slices (MIG).

    Attributes
    ----------
    index : str
        Its number, as ``nvidia-smi`` counts; empty for a slice, which has none.
    uuid : str
        Such as ``GPU-5d5ba0d6-…`` or ``MIG-c7384736-…``.
    """

    index: str
    uuid: str

    @property
    def name(self) -> str:
        """What CUDA_VISIBLE_DEVICES calls it: its number, or the UUID of a slice."""
        return self.index or self.uuid


@dataclass(frozen=True)
class Machine:
    """What is known of this machine's GPUs.

    Attributes
    ----------
    devices : tuple of Device
        All that the driver knows of.
    source : str
        Who said so; empty if nobody could.
    visible : str or None
        ``CUDA_VISIBLE_DEVICES`` of this process.
    """

    devices: tuple[Device, ...] = ()
    source: str = ""
    visible: str | None = None

    def names(self) -> list[str]:
        """List the devices that this process may use."""
        if self.visible is None:
            return [device.name for device in self.devices]
        words = _words(self.visible)
        if not words or words[0] in INVISIBLE:
            return []
        if not self.source:
            return words  # nobody knows better
        found = []
        for word in words:
            device = _find(word, self.devices)
            if device is None:
                break  # CUDA too sees those ahead of the first that does not exist
            found.append(device.name)
        return found

    def chosen(self, text: str) -> list[str]:
        """Read which devices are to be used: ``"0,2"``, or UUIDs, whole or their beginning.

        Raises
        ------
        UsageError
            If one of them is not here, is given twice, or is no device at all.
        """
        visible = self.names()
        known = [_find(name, self.devices) or Device(name, name) for name in visible]
        found: list[str] = []
        for word in _words(text):
            if not re.fullmatch(r"\d+|(GPU|MIG)-\S+", word):
                raise UsageError(
                    "GPUs are chosen by number or UUID, as in --gpus 0,2 or --gpus GPU-5d5ba0d6, "
                    f"but got {word!r}."
                )
            device = _find(word, known)
            if device is None:
                raise UsageError(
                    f"there is no GPU {word} that may be used here; there is "
                    f"{', '.join(visible) or 'none'}{self._why(word)}."
                )
            if device.name in found:
                raise UsageError(f"the GPU {word} is given twice in {text!r}.")
            found.append(device.name)
        if not found:
            raise UsageError("--gpus takes numbers or UUIDs, as in --gpus 0,2, but got nothing.")
        return found

    def text(self) -> str:
        """Say in a few words what is known of them."""
        count = len(self.devices)
        if not self.source:
            return f"as CUDA_VISIBLE_DEVICES ({self.visible!r}) says; nobody lists any"
        hidden = "" if self.visible is None else f", and CUDA_VISIBLE_DEVICES is {self.visible!r}"
        return f"of {count} that {self.source} lists{hidden}"

    def _why(self, word: str) -> str:
        hidden = _find(word, self.devices) is not None
        return f" (CUDA_VISIBLE_DEVICES is {self.visible!r})" if hidden else ""


@dataclass(frozen=True)
class Driver:
    """NVIDIA's driver.

    Attributes
    ----------
    version : str
        Its version, such as ``"570.86.15"``.
    cuda : str
        The newest CUDA that it runs, such as ``"12.8"``.
    """

    version: str
    cuda: str


def driver() -> Driver | None:
    """Ask NVML for the driver; None if it does not answer."""
    nvml = _nvml()
    if nvml is None:
        return None
    try:
        version, cuda = nvml.nvmlSystemGetDriverVersion(), nvml.nvmlSystemGetCudaDriverVersion()
    except nvml.NVMLError:
        return None
    return Driver(_text(version), f"{cuda // 1000}.{cuda % 1000 // 10}")


def look() -> Machine:
    """Look which GPUs this machine has: ask NVML, else nvidia-smi, else torch if it is there.

    None of them starts CUDA, and torch is not imported for it.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    for source, ask in (("NVML", _ask_nvml), ("nvidia-smi", _ask_smi), ("torch", _ask_torch)):
        devices = ask()
        if devices:
            return Machine(tuple(devices), source, visible)
    return Machine(visible=visible)


def memory(device: str) -> tuple[int, int] | None:
    """Give the bytes of a device that are in use, and all that it has; None if nobody knows."""
    nvml = _nvml()
    if nvml is None:
        return None
    try:
        told = nvml.nvmlDeviceGetMemoryInfo(_handle(nvml, device))
        return int(told.used), int(told.total)
    except nvml.NVMLError:
        return None


def computing(device: str) -> list[int]:
    """List the processes that compute on a device, as far as its driver tells; MPS is none."""
    nvml = _nvml()
    found: list[int] = []
    if nvml is None:
        return found
    with contextlib.suppress(nvml.NVMLError):
        for process in nvml.nvmlDeviceGetComputeRunningProcesses(_handle(nvml, device)):
            name = ""
            with contextlib.suppress(nvml.NVMLError):
                name = _text(nvml.nvmlSystemGetProcessName(process.pid))
            if not name.endswith("nvidia-cuda-mps-server"):
                found.append(int(process.pid))
    return found


def _handle(nvml: Any, device: str) -> Any:
    return (
        nvml.nvmlDeviceGetHandleByIndex(int(device))
        if device.isdigit()
        else nvml.nvmlDeviceGetHandleByUUID(device.encode())
    )


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _find(word: str, devices: Sequence[Device]) -> Device | None:
    """Find the one device that a number, or the beginning of a UUID, stands for."""
    if word.isdigit():
        found = [device for device in devices if device.index == str(int(word))]
    else:
        found = [device for device in devices if device.uuid.startswith(word)]
    return found[0] if len(found) == 1 else None


def _nvml() -> Any:
    """Give NVML, ready to be asked, or None."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


def _ask_nvml() -> list[Device]:
    nvml = _nvml()
    found: list[Device] = []
    if nvml is None:
        return found
    try:
        count = nvml.nvmlDeviceGetCount()
    except nvml.NVMLError:
        return found
    for index in range(count):
        with contextlib.suppress(nvml.NVMLError):  # one that fell off the bus
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            slices = _slices(nvml, handle)
            uuid = _text(nvml.nvmlDeviceGetUUID(handle))
            found += slices or [Device(str(index), uuid)]
    return found


def _slices(nvml: Any, handle: Any) -> list[Device]:
    """List the slices of a GPU that is cut into some."""
    found = []
    with contextlib.suppress(nvml.NVMLError):  # one that cannot be cut
        if nvml.nvmlDeviceGetMigMode(handle)[0]:
            for number in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
                with contextlib.suppress(nvml.NVMLError):
                    part = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, number)
                    found.append(Device("", _text(nvml.nvmlDeviceGetUUID(part))))
    return found


def _text(told: str | bytes) -> str:
    return told.decode() if isinstance(told, bytes) else told


def _ask_smi() -> list[Device]:
    try:
        listed = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return read_listing(listed.stdout)


def read_listing(text: str) -> list[Device]:
    """Read what ``nvidia-smi -L`` prints: a line a GPU, and below it one a slice."""
    found: list[Device] = []
    for line in text.splitlines():
        gpu = re.match(r"GPU (\d+):.*\(UUID: (GPU-[^)]+)\)", line)
        part = re.match(r"\s+MIG .*\(UUID: (MIG-[^)]+)\)", line)
        if gpu:
            found.append(Device(gpu[1], gpu[2]))
        elif part:
            if found and found[-1].index:
                del found[-1]  # cut into slices: it is of no use as a whole
            found.append(Device("", part[1]))
    return found


def _ask_torch() -> list[Device]:
    """Ask torch, where the user's own pipeline has imported it: it knows other makers' GPUs."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return []  # it would count those from 0, whatever they are called
    cuda: Any = getattr(sys.modules.get("torch"), "cuda", None)
    count = cuda.device_count() if hasattr(cuda, "device_count") else 0
    return [Device(str(index), "") for index in range(count)]
