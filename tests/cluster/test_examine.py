"""Examining a queue that does not answer as it should."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from dasktune.cluster import ending
from dasktune.cluster.examine import _Examination
from dasktune.cluster.slurm import QUEUE


@pytest.mark.parametrize("does", ["exec sleep 600", "exit 1", "echo JobState=RUNNING", None])
def test_a_queue_that_does_not_tell_how_the_job_ended_ends_no_examination(
    tmp_path, monkeypatch, does
):
    """Slow, of no use, without an exit code, or not there."""
    if does is not None:
        (tmp_path / "scontrol").write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / "scontrol").chmod(0o755)
    path = ["/bin", "/usr/bin"] if does is not None else []
    monkeypatch.setenv("PATH", ":".join([str(tmp_path), *path]))
    monkeypatch.setattr(ending, "SECONDS", 0.5 if "sleep" in str(does) else 60)
    examination = _Examination.__new__(_Examination)
    examination._jobs, examination._folder = SimpleNamespace(queue=QUEUE), str(tmp_path)
    examination._demand = SimpleNamespace(folder=str(tmp_path))
    assert examination._end("12") == ""


def test_a_jobs_words_are_found_in_a_folder_of_any_name(tmp_path):
    """Brackets are not a pattern."""
    folder = tmp_path / "run[1]"
    (folder / "jobs").mkdir(parents=True)
    (folder / "jobs" / "dasktune-12.out").write_text("module: not found\n")
    examination = _Examination.__new__(_Examination)
    examination._folder, examination._demand = str(folder), SimpleNamespace(folder=str(folder))
    check = examination._without_report("12", "127")
    assert check.text.endswith("module: not found")
