"""``dasktune doctor --cluster cuda``, with a driver and a torch whose GPUs are not there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from dasktune.cluster import gpucheck
from dasktune.cluster.devices import Driver

TORCH = """
import os
from types import SimpleNamespace

class Tensor:
    def sum(self):
        return self
    def item(self):
        return 0.0

def zeros(n):
    return Tensor()

def get_device_properties(index):
    return SimpleNamespace(name="a GPU", total_memory=80 * 2**30)

__version__ = "9.9"
version = SimpleNamespace(cuda="CUDA", hip=None)
cuda = SimpleNamespace(
    is_available=lambda: True,
    device_count=lambda: COUNT,
    get_device_properties=get_device_properties,
)
"""
OWN = "len(os.environ['CUDA_VISIBLE_DEVICES'].split(','))"


def doctor(folder, *words, torch=None, gpus="whole whole"):
    """Give the exit code, and a line for each check."""
    path = [str(Path(__file__).parent / "fake-driver")]
    if torch is not None:
        (folder / "torch.py").write_text(TORCH.replace("CUDA", torch[0]).replace("COUNT", torch[1]))
        path.append(str(folder))
    told = subprocess.run(
        [sys.executable, "-m", "dasktune", "doctor", "--cluster", "cuda", *words],
        cwd=folder,
        env={**os.environ, "FAKE_GPUS": gpus, "PYTHONPATH": ":".join([*path, *sys.path])},
        capture_output=True,
        text=True,
        timeout=150,
    )
    lines = {line.split()[1]: line for line in told.stdout.splitlines() if line[:4] != "    "}
    return told.returncode, lines, told.stdout + told.stderr


def test_a_machine_where_all_is_well_is_told_line_by_line(tmp_path):
    """Driver, devices, how full they are, dask-cuda, torch, and what each worker sees."""
    code, lines, text = doctor(tmp_path, torch=("12.6", OWN))
    assert code == 0, text
    assert "999.0, for CUDA up to 12.8" in lines["driver"]
    assert "GPU 0, 1, of 2 that NVML lists" in lines["devices"]
    assert "0: 1.0 of 80.0 GiB in use; 1: 1.0 of 80.0 GiB" in lines["memory"]
    assert "imports, of none of its extras" in lines["dask-cuda"]
    assert "built with CUDA 12.6" in lines["torch"]
    told = "each sees its own GPU and no other: gpu0: CUDA_VISIBLE_DEVICES=0, torch sees 1"
    assert told in lines["workers"]
    assert text.endswith("a sweep would work\n")


def test_what_is_wrong_is_told_with_what_mends_it(tmp_path):
    """A torch that is too new for the driver, and workers that see what is not theirs."""
    code, lines, text = doctor(tmp_path, "-O", "dask-cuda=false", torch=("13.0", "2"))
    assert code == 2
    assert lines["torch"].startswith("FAIL")
    assert "CUDA 13.0, which this driver is too old for" in lines["torch"]
    assert "fix: install a build of torch for CUDA 12.8 or older" in text
    assert lines["workers"].startswith("FAIL")
    assert "gpu1 sees CUDA_VISIBLE_DEVICES=1, torch sees 2" in lines["workers"]
    assert text.count("fix: ") == 2


def test_a_machine_without_a_driver_is_told_so(tmp_path):
    """Nothing else is tried then."""
    code, lines, text = doctor(tmp_path, gpus="")
    assert code == 2
    assert "neither NVML nor nvidia-smi lists a GPU" in lines["driver"]
    assert "fix: install NVIDIA's driver" in text
    assert list(lines)[-2:] == ["devices", "sweep"]


def test_a_gpu_that_is_full_is_told(monkeypatch):
    """Of one that nobody knows anything about it is said, too."""
    known = {"0": (79 * 2**30, 80 * 2**30), "1": (2**30, 80 * 2**30), "2": None}
    monkeypatch.setattr(gpucheck, "memory", known.get)
    check = gpucheck.check_memory(["0", "1", "2"])
    assert not check.good
    assert "0: 79.0 of 80.0 GiB in use; 1: 1.0 of 80.0 GiB in use; 2: unknown" in check.text
    assert "nvidia-smi names the processes" in check.fix
    assert gpucheck.check_memory(["1"]).good


def test_a_dask_cuda_that_cannot_be_used_is_an_error_only_if_it_was_asked_for(monkeypatch):
    """The extra that suits the driver is named."""
    driver = Driver("580.1", "13.0")
    broken = SimpleNamespace(unusable=lambda: "it cannot be imported (no cuda.bindings)")
    assert gpucheck.check_dask_cuda(SimpleNamespace(wished=None, **vars(broken)), driver).good
    check = gpucheck.check_dask_cuda(SimpleNamespace(wished=True, **vars(broken)), driver)
    assert not check.good
    assert "pip install 'dask-cuda[cu13]'" in check.fix
    monkeypatch.setattr(gpucheck, "_version", {"cuda-bindings": "13.1", "dask-cuda": "26.10"}.get)
    good = SimpleNamespace(wished=None, unusable=lambda: "")
    assert gpucheck.check_dask_cuda(good, driver).text.endswith("libraries of its extra cu13")
    old = gpucheck.check_dask_cuda(good, Driver("550.1", "12.4"))
    assert not old.good
    assert "dask-cuda[cu12]" in old.fix
