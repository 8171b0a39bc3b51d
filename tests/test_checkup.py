"""A check-up of a machine: a line for each thing, with what mends what is wrong."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from dasktune.checkup import check_device, check_folder, check_torch, lines
from dasktune.cluster.probe import check_scheduler


def test_this_machine_is_told_line_by_line(project):
    """Without a queue: Python, the folder, torch, devices, a worker that is reached."""
    result = project.run_cli(["doctor", "--store", str(project.folder / "dist")])
    assert result.code == 0, result.out
    assert [line.split()[1] for line in result.out.splitlines()[1:-1]] == [
        "python",
        "folder",
        "torch",
        "device",
        "workers",
    ]
    assert result.out.endswith("a sweep would work\n")


def test_a_torch_that_does_not_import_is_told_with_its_own_words(monkeypatch):
    """And how to come by one."""
    monkeypatch.setitem(sys.modules, "torch", None)
    check = check_torch()
    assert not check.good
    assert "ImportError" in check.text or "ModuleNotFoundError" in check.text
    assert "install torch for" in "\n".join(lines(check))
    assert not check_device(1).good


def test_gpus_that_were_asked_for_and_are_not_seen_are_told(monkeypatch):
    """With what the queue gave."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    check = check_device(2)
    assert not check.good
    assert "torch sees 0 GPUs (none), 2 asked for; CUDA_VISIBLE_DEVICES is ''" in check.text


def test_a_folder_that_cannot_be_written_is_told_with_its_mount(tmp_path):
    """And another one proposed."""
    check = check_folder(str(tmp_path / "missing"))
    assert not check.good
    assert f"cannot write to {tmp_path / 'missing'} on /" in check.text
    assert "--store" in check.fix


def test_a_folder_that_shows_files_late_passes_and_one_that_never_does_not(tmp_path):
    """It is polled until a deadline."""
    check = check_folder(str(tmp_path), "token", patience=0.3)
    assert not check.good
    assert "shows no file of the login node within 0.3 s" in check.text
    timer = threading.Timer(0.5, (tmp_path / "token").write_text, ["token"])
    timer.start()
    check = check_folder(str(tmp_path), "token", patience=20)
    assert check.good, check
    assert os.listdir(tmp_path) == ["token"]


def test_a_scheduler_that_cannot_be_reached_is_told(monkeypatch):
    """Within its time, with ways around it."""
    monkeypatch.setattr("dasktune.cluster.probe.CONNECT_SECONDS", 1)
    check = check_scheduler("tcp://127.0.0.1:1")
    assert not check.good
    assert "cannot connect to tcp://127.0.0.1:1" in check.text
    assert "--array" in check.fix


@pytest.mark.parametrize("where", ["tcp://127.0.0.1:1", "nonsense"])
def test_only_a_queue_is_examined_by_a_job(project, where):
    """Others have no nodes to look at."""
    result = project.run_cli(["doctor", "--cluster", where])
    assert result.code == 2
    assert where in result.err + result.out
