"""Claims: jobs on one node that were told of a number of GPUs alone share them out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dasktune.cluster import claim as module
from dasktune.cluster.claim import claim, granted
from dasktune.cluster.devices import Device, Machine, computing
from dasktune.errors import ClusterError

DRIVER = Path(__file__).parent / "fake-driver"
JOB = """
import os, sys
from dasktune.cluster.claim import claim
claim(patience=float(sys.argv[1]))
print(os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def job(tmp_path):
    """Start jobs on a node with four GPUs; each tells what it sees."""
    started = []

    def start(count, patience=0.0, **more):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("CUDA_")}
        environment |= {"DASKTUNE_GPUS": str(count), "DASKTUNE_CLAIMS": str(tmp_path)}
        environment |= {"PYTHONPATH": str(DRIVER), "FAKE_GPUS": "whole whole old whole", **more}
        process = subprocess.Popen(
            [sys.executable, "-c", JOB, str(patience)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=60)


def sees(process):
    """Give what a job sees."""
    return process.stdout.readline().strip()


def test_jobs_on_one_node_take_gpus_that_no_other_has(job):
    """Until one of them ends, however it does: what it had is free at once."""
    first, second = job(1), job(2)
    seen = [sees(first), *sees(second).split(",")]
    assert len(set(seen)) == 3
    assert set(seen) < {"0", "1", "2", "3"}
    late = job(2)
    assert late.wait(60) == 1
    told = late.stderr.read()
    assert "and of the 4 of this node 1 are free (" in told
    assert f"{seen[0]} is another job's" in told
    waiting = job(2, patience=600)
    second.send_signal(signal.SIGKILL)
    assert len(set(sees(waiting).split(",")) - {seen[0]}) == 2


def test_a_gpu_on_which_others_compute_is_not_taken(job):
    """Who uses it without a claim, such as a job that is not dasktune's; MPS is not one."""
    assert sees(job(2, FAKE_PROCESSES="0:4242 1:1 3:4243")) == "1,2"


def test_what_the_queue_has_set_is_left_as_it_is(job):
    """Also if that is nothing."""
    assert sees(job(1, CUDA_VISIBLE_DEVICES="3")) == "3"
    assert sees(job(1, CUDA_VISIBLE_DEVICES="")) == ""
    assert sees(job(0)) == "None"


def test_what_another_vendors_queue_has_set_is_left_as_it_is(monkeypatch):
    """Numbers count within it: more of them would name what the job does not have."""
    environment = {"DASKTUNE_GPUS": "1", "ROCR_VISIBLE_DEVICES": "3"}
    assert claim(environment) == []
    assert "CUDA_VISIBLE_DEVICES" not in environment


def test_what_the_job_before_had_claimed_is_not_handed_down(tmp_path, monkeypatch):
    """Slurm gives a job the environment of the one that has submitted it."""
    monkeypatch.setattr(module, "look", lambda: FOUR)
    first = {"DASKTUNE_GPUS": "1", "DASKTUNE_CLAIMS": str(tmp_path)}
    assert claim(first, patience=0) == ["0"]
    second = dict(first)
    assert claim(second, patience=0) == ["1"]
    assert claim({**second, "CUDA_VISIBLE_DEVICES": "3"}, patience=0) == []
    assert claim({"DASKTUNE_GPUS": "1", "CUDA_VISIBLE_DEVICES": ""}) == []
    without = {**second, "DASKTUNE_GPUS": ""}
    assert claim(without) == []
    assert "CUDA_VISIBLE_DEVICES" not in without


def test_where_nobody_knows_what_there_is_they_are_numbered(job):
    """The queue counts them, so that those with the lowest numbers are there."""
    assert [sees(job(2, FAKE_GPUS="")), sees(job(1, FAKE_GPUS=""))] == ["0,1", "2"]


FOUR = Machine(tuple(Device(str(n), f"GPU-{n}") for n in range(4)), "NVML")


@pytest.mark.parametrize(
    ("told", "machine", "devices"),
    [
        ({"SGE_HGR_gpu": "1 3"}, FOUR, ["1", "3"]),
        ({"SGE_HGR_NVIDIA_GPUS": "GPU-2 GPU-0"}, FOUR, ["GPU-2", "GPU-0"]),
        ({"SGE_HGR_gpu_card": "2 3"}, Machine(), ["2", "3"]),
        ({"SGE_GPU": "2,3"}, FOUR, ["2", "3"]),
        ({"SGE_GPU": " 0 1"}, FOUR, ["0", "1"]),
        ({"SGE_HGR_gpu": "6 7"}, Machine(FOUR.devices[:2], "NVML"), ["0", "1"]),  # a control group
        ({"SGE_HGR_gpu": "6 7"}, FOUR, []),
        ({"SGE_HGR_gpu": "GPU1 GPU2"}, FOUR, []),  # of which nobody knows where they begin
        ({"SGE_HGR_gpu": "1"}, FOUR, []),
        ({"SGE_HGR_fthread": "1 2"}, FOUR, []),
        ({"SGE_GPU": ""}, FOUR, []),
    ],
)
def test_what_grid_engine_tells_in_its_own_ways_is_believed(told, machine, devices):
    """By a resource map, or by the prolog that many sites have; but only what can be so."""
    assert granted(told, machine, 2) == devices


def test_what_is_granted_needs_no_claim(tmp_path, monkeypatch, capsys):
    """It is told in the job's log."""
    monkeypatch.setattr(module, "look", lambda: FOUR)
    environment = {"DASKTUNE_GPUS": "2", "SGE_HGR_gpu": "1 3", "DASKTUNE_CLAIMS": str(tmp_path)}
    assert claim(environment) == ["1", "3"]
    assert environment["CUDA_VISIBLE_DEVICES"] == "1,3"
    assert environment["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert capsys.readouterr().err == "dasktune: the queue gives GPU 1, 3\n"
    assert [*tmp_path.iterdir()] == []


def test_more_gpus_than_a_node_has_are_an_error(tmp_path, monkeypatch):
    """With what the site can do."""
    monkeypatch.setattr(module, "look", lambda: FOUR)
    environment = {"DASKTUNE_GPUS": "5", "DASKTUNE_CLAIMS": str(tmp_path)}
    with pytest.raises(ClusterError, match="must set CUDA_VISIBLE_DEVICES for its jobs"):
        claim(environment, patience=0)
    assert "CUDA_VISIBLE_DEVICES" not in environment


def test_a_node_on_which_nothing_can_be_locked_is_told(tmp_path, monkeypatch):
    """Such as one whose disk is full."""
    monkeypatch.setattr(module, "look", lambda: FOUR)
    environment = {"DASKTUNE_GPUS": "1", "DASKTUNE_CLAIMS": str(tmp_path / "file" / "below")}
    (tmp_path / "file").touch()
    with pytest.raises(ClusterError, match="DASKTUNE_CLAIMS names another folder"):
        claim(environment, patience=0)


def test_what_another_user_has_left_in_a_folder_for_all_is_no_hindrance(tmp_path, monkeypatch):
    """Its files stay there, and their owner alone could write into them or remove them."""
    monkeypatch.setattr(module, "look", lambda: FOUR)
    tmp_path.chmod(0o1777)
    for name in ("all", *(device.uuid for device in FOUR.devices[:3])):
        path = tmp_path / f"dasktune-gpu-{name}.lock"
        path.touch(0o444)
        if os.geteuid() == 0:
            os.chown(path, 65534, 65534)
    environment = {"DASKTUNE_GPUS": "4", "DASKTUNE_CLAIMS": str(tmp_path)}
    before = os.umask(0o077)
    try:
        assert claim(environment, patience=0) == ["0", "1", "2", "3"]
    finally:
        os.umask(before)
    assert all(path.stat().st_mode & 0o004 for path in tmp_path.iterdir())


def test_without_a_driver_nothing_is_known_to_compute():
    """And that is no error."""
    assert computing("0") == []
