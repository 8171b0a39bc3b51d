"""How a queue's job ended, from what was told of it and from its own log."""

from __future__ import annotations

import pytest

from dasktune.cluster.ending import end_of, last_words
from dasktune.cluster.slurm import QUEUE


@pytest.mark.parametrize("folder", ["run", "run[1]"])
@pytest.mark.parametrize(
    ("name", "logs"),
    [
        ("dasktune-p-{}.out", ["dasktune-p-120.out", "dasktune-p-312.out"]),
        ("dasktune-p.o{}", ["dasktune-p.o120", "dasktune-p.e512"]),
        ("{}.server-3.OU", ["120.server-3.OU"]),
        ("lsf-0-{}.err", ["lsf-12-345.err", "lsf-0-120.err"]),
        ("worker-{}.0.out", ["worker-120.0.out"]),
        ("OAR.{}.stdout", ["OAR.120.stdout"]),
    ],
)
def test_a_jobs_own_log_is_read_and_no_other(tmp_path, folder, name, logs):
    """Whatever its queue calls it, and its folder is called."""
    (tmp_path / folder).mkdir()
    for log in logs:
        (tmp_path / folder / log).write_text("another's\n")
    (tmp_path / folder / name.format(12)).write_text("ours\n")
    for number in ("12", "12.0"):
        assert last_words(f"{tmp_path}/{folder}", "dasktune-p", number) == ["ours"]
    assert last_words(f"{tmp_path}/none", "dasktune-p", "12") == []


def test_a_name_with_a_number_in_it_is_not_taken_for_a_job(tmp_path):
    """Neither a sweep's."""
    (tmp_path / "dasktune-exp-12-345.out").write_text("another's\n")
    assert last_words(str(tmp_path), "dasktune-exp-12", "12") == []
    assert last_words(str(tmp_path), "dasktune-exp-12", "345") == ["another's"]


@pytest.mark.parametrize(
    ("line", "memory"),
    [
        ("slurmstepd-n4: error: Detected 1 oom-kill event(s) in StepId=4.batch.", True),
        ("slurmstepd: error: Detected 1 oom_kill event in StepId=4.batch.", True),
        ("slurmstepd: error: Job 12 exceeded memory limit (3000 > 1500), being killed", True),
        ("slurmstepd: error: killed by the cgroup out-of-memory handler.", True),
        (
            "slurmstepd: error: *** JOB 12 ON bloom01 CANCELLED AT 10:00 DUE TO TIME LIMIT ***",
            False,
        ),
        ("slurmstepd: error: *** STEP 12.0 ON oom CANCELLED AT 10:00 ***", False),
    ],
)
def test_a_log_speaks_of_memory_where_the_queue_does_and_not_a_nodes_name(line, memory):
    """As Slurm has worded it over the years."""
    assert bool(end_of(QUEUE, "12-0", "", [line])["memory"]) is memory
