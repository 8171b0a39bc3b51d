"""MPS, NVIDIA's service by which several processes compute on one GPU at the same time.

Without it their kernels take turns. An administrator, or the user, starts its daemon with
``nvidia-cuda-mps-control -d``; a process uses it if it finds the daemon's folder of pipes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

DEFAULT_PIPES = "/tmp/nvidia-mps"
_PIPES = "CUDA_MPS_PIPE_DIRECTORY"


def running(environment: Mapping[str, str] = os.environ) -> str | None:
    """Give the folder of a running MPS daemon's pipes, or None.

    Parameters
    ----------
    environment : mapping of str to str
        May name the folder as ``CUDA_MPS_PIPE_DIRECTORY``.
    """
    folder = environment.get(_PIPES, DEFAULT_PIPES)
    if not os.path.exists(f"{folder}/control"):
        return None
    try:
        with open(f"{folder}/nvidia-cuda-mps-control.pid") as file:
            os.kill(int(file.read()), 0)
    except (ProcessLookupError, ValueError):
        return None  # a daemon that died leaves its pipes behind
    except OSError:
        pass  # another user's, or one that writes no number: its pipe is all there is to see
    return folder


def variables(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Give what a worker's environment must say, so that it uses the daemon that runs."""
    folder = running(environment)
    if folder is None:
        return {}
    told = {name: value for name, value in environment.items() if name.startswith("CUDA_MPS_")}
    return {**told, _PIPES: folder}


def describe(environment: Mapping[str, str] = os.environ) -> str:
    """Say in a line what trials that share a GPU can expect."""
    folder = running(environment)
    if folder is None:
        return (
            "MPS is not running, so trials that share a GPU take turns on it; "
            "'nvidia-cuda-mps-control -d' starts it"
        )
    return f"MPS is running ({folder}): trials that share a GPU compute at the same time"
