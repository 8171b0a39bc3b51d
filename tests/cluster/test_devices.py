"""The GPUs of a machine: read from what its driver says, chosen by number or UUID."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

from dasktune.cluster import mps
from dasktune.cluster.choose import automatic
from dasktune.cluster.demand import Demand
from dasktune.cluster.devices import Device, Machine, look, memory, read_listing
from dasktune.errors import UsageError

TWO = (Device("0", "GPU-aaa-1"), Device("1", "GPU-abb-2"))
CUT = (TWO[0], Device("", "MIG-c1"), Device("", "MIG-c2"))

LISTING = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)
  MIG 1g.5gb      Device  0: (UUID: MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f)
  MIG 1g.5gb      Device  1: (UUID: MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb)
GPU 1: NVIDIA GeForce RTX 3090 (UUID: GPU-5d5ba0d7-1111-2222-3333-444444444444)
"""


@pytest.fixture
def nvml(monkeypatch):
    """Put an NVML that lists GPUs which are not there in the place of the real one."""
    path = Path(__file__).parent / "fake-driver" / "pynvml.py"
    spec = importlib.util.spec_from_file_location("pynvml", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "pynvml", module)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_what_nvidia_smi_lists_is_read_and_a_gpu_that_is_cut_counts_by_its_slices():
    """As CUDA wants to be told of them: numbers, and UUIDs of slices."""
    assert [device.name for device in read_listing(LISTING)] == [
        "MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f",
        "MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb",
        "1",
    ]
    assert read_listing("No devices were found\n") == []


def test_nvml_is_asked_first_and_tells_of_slices_and_of_memory(nvml, monkeypatch):
    """Those that it lists are the devices; how full one is, it knows as well."""
    monkeypatch.setenv("FAKE_GPUS", "whole old cut")
    machine = look()
    assert machine.source == "NVML"
    assert machine.names() == ["0", "1", "MIG-20000000-feed", "MIG-21000000-feed"]
    assert memory("1") == memory("MIG-20000000-feed") == (2**30, 80 * 2**30)
    assert memory("7") is None


def test_where_nobody_can_be_asked_the_environment_is_believed(nvml, monkeypatch):
    """A container may hide the driver's own tools."""
    monkeypatch.delenv("FAKE_GPUS", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5d5ba0d6")
    assert look().names() == ["3", "GPU-5d5ba0d6"]
    assert look().chosen("GPU-5d,3") == ["GPU-5d5ba0d6", "3"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert look() == Machine()


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        (None, ["0", "1"]),
        ("1", ["1"]),
        ("1,GPU-aaa", ["1", "0"]),
        ("1,9,0", ["1"]),  # as in CUDA: nothing counts behind one that is not there
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
    ],
)
def test_what_this_process_may_see_is_all_that_is_used(visible, names):
    """CUDA's own rules, with what the driver lists."""
    assert Machine(TWO, "NVML", visible).names() == names


def test_gpus_are_chosen_by_number_or_by_uuid_or_its_beginning():
    """In the order in which they are named; a slice by its UUID."""
    assert Machine(TWO, "NVML").chosen("1, 0") == ["1", "0"]
    assert Machine(TWO, "NVML").chosen("GPU-abb") == ["1"]
    assert Machine(CUT, "NVML").chosen("MIG-c2,0") == ["MIG-c2", "0"]


@pytest.mark.parametrize(
    ("text", "visible", "words"),
    [
        ("2", None, "there is no GPU 2 that may be used here; there is 0, 1."),
        ("0", "1", "there is no GPU 0 that may be used here; there is 1 (CUDA_VISIBLE_DEVICES is"),
        ("GPU-a", None, "there is no GPU GPU-a that"),  # both begin like that
        ("0,0", None, "the GPU 0 is given twice in '0,0'."),
        ("0,GPU-aaa", None, "the GPU GPU-aaa is given twice"),
        ("cuda:0", None, "GPUs are chosen by number or UUID, as in --gpus 0,2"),
        ("-1", None, "GPUs are chosen by number or UUID"),
        (",", None, "--gpus takes numbers or UUIDs"),
        ("0", "", "there is no GPU 0 that may be used here; there is none"),
    ],
)
def test_a_gpu_that_is_none_is_one_clear_line(text, visible, words):
    """With what there is."""
    with pytest.raises(UsageError, match=re.escape(words)):
        Machine(TWO, "NVML", visible).chosen(text)


@pytest.mark.parametrize(
    ("resources", "settings", "machine", "word", "why"),
    [
        ({"GPU": 1}, {}, Machine(TWO, "NVML"), "cuda", "NVML lists 2 GPUs"),
        ({"GPU": 1}, {}, Machine(TWO, "NVML", "1"), "cuda", "NVML lists 1 GPU"),
        ({"GPU": 1}, {}, Machine(), "local", "no GPU is seen here"),
        ({"GPU": 1}, {}, Machine(visible="0"), "local", "no GPU is seen here"),
        ({"GPU": 1}, {}, Machine(TWO, "NVML", ""), "local", "CUDA_VISIBLE_DEVICES='' hides"),
        ({"CPU": 1}, {}, Machine(TWO, "NVML"), "local", "a trial asks for no GPU"),
        ({"CPU": 1}, {"gpus": "0"}, Machine(), "cuda", "GPUs were named"),
    ],
)
def test_the_cluster_is_chosen_by_what_is_there_and_what_is_asked_for(
    resources, settings, machine, word, why, monkeypatch
):
    """And the reason is said."""
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    chosen, reason = automatic(Demand(resources), settings, machine)
    assert chosen == word
    assert why in reason


def test_gpus_are_of_no_use_to_a_torch_without_them(monkeypatch):
    """As pip installs it where it was told to."""
    from types import SimpleNamespace

    for cuda, word in ((None, "local"), ("12.8", "cuda")):
        torch = SimpleNamespace(version=SimpleNamespace(cuda=cuda, hip=None))
        monkeypatch.setitem(sys.modules, "torch", torch)
        assert automatic(Demand(), {}, Machine(TWO, "NVML"))[0] == word


def test_mps_is_used_when_its_daemon_runs(tmp_path):
    """Its pipes are there, and its process too; one that died has left them behind."""
    import os

    told = {"CUDA_MPS_PIPE_DIRECTORY": str(tmp_path), "CUDA_MPS_LOG_DIRECTORY": "/log", "A": "b"}
    assert mps.running(told) is None
    assert mps.variables(told) == {}
    assert "take turns" in mps.describe(told)
    (tmp_path / "control").touch()
    pid = tmp_path / "nvidia-cuda-mps-control.pid"
    pid.write_text(f"{os.getpid()}\n")
    assert mps.running(told) == str(tmp_path)
    assert mps.variables(told) == {
        "CUDA_MPS_PIPE_DIRECTORY": str(tmp_path),
        "CUDA_MPS_LOG_DIRECTORY": "/log",
    }
    assert f"MPS is running ({tmp_path})" in mps.describe(told)
    pid.write_text("4194305")  # more than a pid can be
    assert mps.running(told) is None
