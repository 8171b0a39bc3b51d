"""NVML of a machine with the GPUs that ``FAKE_GPUS`` lists: ``whole``, ``old`` and ``cut`` ones.

Those that are cut have two slices (MIG); old ones cannot be cut. It stands before the real
module on PYTHONPATH, so that NVIDIA's own Python code, dask-cuda above all, runs as it is on a
machine that has no driver.
"""

from __future__ import annotations

import os
from types import SimpleNamespace

NVML_DEVICE_MIG_DISABLE, NVML_DEVICE_MIG_ENABLE = 0, 1


class NVMLError(Exception):
    pass


class NVMLError_LibraryNotFound(NVMLError):
    pass


class NVMLError_DriverNotLoaded(NVMLError):
    pass


class NVMLError_Unknown(NVMLError):
    pass


class NVMLError_NotFound(NVMLError):
    pass


class NVMLError_NotSupported(NVMLError):
    pass


def _gpus():
    return os.environ.get("FAKE_GPUS", "").split()


def nvmlInit():
    if not _gpus():
        raise NVMLError_LibraryNotFound("no such library")


def nvmlSystemGetDriverVersion():
    return "999.0"


def nvmlSystemGetCudaDriverVersion():
    return 12080


def nvmlDeviceGetCount():
    return len(_gpus())


def nvmlDeviceGetHandleByIndex(index):
    if not 0 <= int(index) < len(_gpus()):
        raise NVMLError_NotFound(index)
    return f"GPU-{int(index)}0000000-feed"


def nvmlDeviceGetHandleByUUID(uuid):
    word = uuid.decode() if isinstance(uuid, bytes) else uuid
    found = [nvmlDeviceGetHandleByIndex(i) for i in range(len(_gpus()))]
    found += [part for gpu in found for part in _parts(gpu)]
    if word not in found:
        raise NVMLError_NotFound(word)
    return word


def _parts(handle):
    cut = _gpus()[int(handle[4])] == "cut"
    return [f"MIG-{handle[4]}{part}000000-feed" for part in range(2)] if cut else []


def nvmlDeviceGetUUID(handle):
    return handle


def nvmlDeviceGetIndex(handle):
    return int(handle[4])


def nvmlDeviceGetName(handle):
    return "a GPU that is not there"


def nvmlDeviceGetMigMode(handle):
    if _gpus()[int(handle[4])] == "old":
        raise NVMLError_NotSupported
    return [int(bool(_parts(handle)))] * 2


def nvmlDeviceGetMaxMigDeviceCount(handle):
    return 7


def nvmlDeviceGetMigDeviceHandleByIndex(device, index):
    try:
        return _parts(device)[index]
    except IndexError:
        raise NVMLError_NotFound(index) from None


def nvmlDeviceIsMigDeviceHandle(handle):
    return handle.startswith("MIG-")


def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle):
    return nvmlDeviceGetHandleByIndex(int(handle[4]))


def nvmlDeviceGetMemoryInfo(handle):
    return SimpleNamespace(used=2**30, total=80 * 2**30, free=79 * 2**30)


def nvmlDeviceGetUtilizationRates(handle):
    return SimpleNamespace(gpu=50, memory=10)


def nvmlDeviceGetComputeRunningProcesses(handle):
    """List those of ``FAKE_PROCESSES``, such as ``"0:4242"``; 1 is that of MPS."""
    words = [word.split(":") for word in os.environ.get("FAKE_PROCESSES", "").split()]
    return [SimpleNamespace(pid=int(pid)) for gpu, pid in words if handle[4] == gpu]


def nvmlSystemGetProcessName(pid):
    if pid == 1:
        return b"/usr/bin/nvidia-cuda-mps-server"
    raise NVMLError_NotFound(pid)


nvmlDeviceGetComputeRunningProcesses_v2 = nvmlDeviceGetComputeRunningProcesses


def nvmlDeviceGetCpuAffinity(handle, words):
    mask = sum(1 << cpu for cpu in os.sched_getaffinity(0))
    return [mask >> 64 * word & (1 << 64) - 1 for word in range(words)]
