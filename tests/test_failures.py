"""Failures have kinds: each is provoked, recognised, recorded, and borne as it should be."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

import dasktune as dt
from dasktune.attempt import Attempt, setbacks
from dasktune.errors import ClusterError, TrialLost, UsageError
from dasktune.failure.company import among
from dasktune.failure.death import judge
from dasktune.failure.kind import Kind, Setback, cause_of, kind_of
from dasktune.failure.leniency import Verdict, must_be_apart, tries_again, verdict_on
from dasktune.failure.tolerance import Tolerance
from dasktune.giveup import GiveUp
from dasktune.nanny import memory_words, note_end, oom_kills
from dasktune.outcome import Outcome
from dasktune.runfolder import RunFolder
from dasktune.stamp import read_stamp
from dasktune.store import Store
from dasktune.tries import Tries

UGLY = """
import ctypes
import os
import sys
import time

import numpy as np
import xarray as xr

import dasktune as dt

HERE = os.path.dirname(__file__)


def note(word):
    with open(f"{HERE}/log", "a") as file:
        file.write(f"{word} {os.getpid()}\\n")


def first(word):
    try:
        os.close(os.open(f"{HERE}/{word}", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def preprocess():
    return {"train": xr.Dataset({"x": ("row", np.zeros(4, "float32"))})}


def train(trial, data):
    how = trial.config.how
    note(f"start {how}")
    here = f"{HERE}/here-{how}-{os.getpid()}"
    open(here, "w").close()
    try:
        if how == "raise":
            raise RuntimeError(f"told to fail by {how}")
        if how == "flaky" and first("flaky"):
            raise OSError("the network is gone")
        if how == "memory":
            raise MemoryError("no room for 8 GB")
        if how == "gpu":
            import torch

            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        if how == "nan":
            trial.report(score=float("nan"))
            return
        if how == "stuck":  # in C, and without letting go of the interpreter
            print("about to hang")
            ctypes.PyDLL(None).sleep(1000)
        if how == "hog" and first("hog"):
            held = []
            for step in range(300):
                held += [np.ones(10**8, "uint8")] if step < 30 else []
                trial.report(score=0)
                time.sleep(0.1)
        if how.startswith("packed"):
            if first(f"came-{how}"):
                while len([n for n in os.listdir(HERE) if n.startswith("came-")]) < 2:
                    time.sleep(0.05)
                import torch

                raise torch.OutOfMemoryError("CUDA out of memory.")
            time.sleep(0.5)
            others = [n for n in os.listdir(HERE) if n.startswith("here-packed")]
            note("alone" if len(others) == 1 else "crowded")
        for epoch in trial.epochs(3):
            time.sleep(0.1)
            trial.report(score=epoch)
    finally:
        os.unlink(here)
    note(f"end {how}")


space = dt.Space(how=dt.choice("fine", "raise", "memory", "gpu", "nan", "flaky", "stuck"))
pipeline = dt.Pipeline(space, preprocess, train, objective="max score")
"""


class Ugly:
    """A folder with a pipeline whose trials fail as their config says."""

    def __init__(self, folder: Path, run_cli) -> None:
        self.folder = folder
        self.file = folder / "ugly.py"
        self.file.write_text(UGLY)
        self.root = folder / "dist" / "ugly"
        self._run_cli = run_cli

    def cli(self, command: str, *words: str):
        """Run a command in this process."""
        where = ["-f", str(self.file), "--store", str(self.folder / "dist")]
        return self._run_cli([command, *where, *words])

    def make(self, *words: str, within: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        """Run a make with real workers."""
        command = [*within, sys.executable, "-m", "dasktune", "make", "-f", str(self.file)]
        return subprocess.run(
            [*command, "--store", str(self.folder / "dist"), *words],
            capture_output=True,
            text=True,
            timeout=200,
        )

    def words(self, kind: str) -> list[str]:
        """List what trials noted, of a kind."""
        log = self.folder / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [line for line in lines if line.startswith(kind)]

    def space(self, *how: str) -> None:
        """Let the trials be these."""
        text = self.file.read_text()
        head, _, tail = text.partition("space = dt.Space(")
        tail = tail.partition("\n")[2]
        self.file.write_text(
            f"{head}space = dt.Space(how=dt.choice({', '.join(map(repr, how))}))\n{tail}"
        )

    def body(self, how: str) -> dict:
        """Read the stamp of a trial."""
        path = next((self.root / "trained").glob(f"how={how}-*"))
        stamp = read_stamp(str(path / ".stamp"))
        assert stamp is not None
        return stamp.body

    def error(self, how: str) -> dict:
        """Read the record of a trial's failure."""
        path = next((self.root / "failed").glob(f"how={how}-*"))
        return {**json.loads((path / "error.json").read_text()), "folder": path}


@pytest.fixture
def ugly(tmp_path, run_cli, monkeypatch):
    """Give a folder with a pipeline whose trials fail."""
    monkeypatch.chdir(tmp_path)
    return Ugly(tmp_path, run_cli)


def test_each_kind_of_exception_is_told_apart_and_recorded_on_its_trial(ugly):
    """In the dataset, the record, the summary, status and why; NaN is a result."""
    ugly.space("fine", "raise", "memory", "gpu", "nan")
    result = ugly.cli("make", "--cluster", "none", "-i")
    assert result.code == 0, result.err
    kinds = "1 exception, 1 out of memory, 1 out of GPU memory"
    assert f"trained 2 of 5 trials (1 to NaN), 3 failed ({kinds});" in result.out
    dataset = dt.open_results(ugly.root)
    kinds = dict(zip(dataset.how.values, dataset.failure.values, strict=True))
    assert kinds == {
        "fine": "",
        "raise": "exception",
        "memory": "out of memory",
        "gpu": "out of GPU memory",
        "nan": "NaN",
    }
    assert dataset.status.values.tolist() == ["ok", *["failed"] * 3, "ok"]
    assert ugly.error("raise")["failure"] == "exception"
    status = ugly.cli("status").out
    assert "failed        3 (1 exception, 1 out of memory, 1 out of GPU memory)" in status
    assert json.loads(ugly.cli("status", "--json").out)["failures"]["out of memory"] == 1
    why = ugly.cli("why", "trained/how=gpu").out
    assert "out of GPU memory: OutOfMemoryError: CUDA out of memory." in why
    assert "tried again after out of GPU memory" in why
    assert "log.txt" in why
    table = ugly.cli("results", "--trials").out
    assert "out of GPU memory" in table
    assert "NaN" in table
    # Memory is tried once more, with nothing beside; NaN and exceptions are not.
    starts = [word.split()[1] for word in ugly.words("start")]
    assert starts == ["fine", "raise", "memory", "memory", "gpu", "gpu", "nan"]
    ugly.cli("make", "--cluster", "none", "-i")
    assert len(ugly.words("start nan")) == 1


def test_partial_results_tell_the_kinds_as_well(ugly):
    """From the records, before anything is collated."""
    ugly.space("fine", "raise")
    assert ugly.cli("make", "--cluster", "none", "-k").code == 2
    table = json.loads(ugly.cli("results", "--trials", "--json").out)
    assert [row["failure"] for row in sorted(table, key=lambda row: row["how"])] == [
        "",
        "exception",
    ]


def test_retries_forgive_exceptions_and_nothing_is_retried_without(ugly):
    """The setback stays on record."""
    ugly.space("flaky")
    failed = ugly.cli("make", "--cluster", "none")
    assert failed.code == 2
    assert "OSError: the network is gone" in failed.err
    (ugly.folder / "flaky").unlink()
    result = ugly.cli("make", "--cluster", "none", "--retries", "1")
    assert result.code == 0, result.err
    assert "is tried again after OSError: the network is gone" in result.out
    assert len(ugly.words("start flaky")) == 3
    assert ugly.body("flaky")["setbacks"][0]["kind"] == "exception"
    assert "tried again after exception: OSError" in ugly.cli("why", "trained/how=flaky").out
    assert not list((ugly.root / "failed").iterdir())
    ugly.space("raise")
    assert ugly.cli("make", "--cluster", "none", "--retries", "2").code == 2
    assert len(ugly.words("start raise")) == 3
    assert len(ugly.error("raise")["setbacks"]) == 2


def test_trials_that_crowd_a_gpu_are_tried_again_each_with_nothing_beside(ugly):
    """Two workers that share it: both run out of memory together, and both fit alone."""
    ugly.space("packed1", "packed2")
    done = ugly.make("-j2", "--cluster", "local")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(ugly.words("start")) == 4
    assert len(ugly.words("alone")) == 2
    assert ugly.words("crowded") == []
    for how in ("packed1", "packed2"):
        assert [s["kind"] for s in ugly.body(how)["setbacks"]] == ["out of GPU memory"]


def test_on_a_cluster_of_others_a_hang_and_a_limit_on_memory_are_told_and_cost_no_other(ugly):
    """One worker with two threads, which Dask's own nanny ends when it holds too much."""
    import dask
    from distributed import Client, LocalCluster

    def sweep(*how):
        ugly.space(*how)
        return dt.Sweep.load(str(ugly.file), store=str(ugly.folder / "dist"))

    events = []
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "1h"}),
        LocalCluster(
            n_workers=1,
            threads_per_worker=2,
            host="127.0.0.1",
            dashboard_address=None,
            resources={"GPU": 2},
            memory_limit="1500MB",
            silence_logs=50,
        ) as cluster,
        Client(cluster) as client,
    ):
        options = dt.Options(cluster=client, ignore_errors=True, trial_timeout=6)
        first = dt.make(sweep("fine", "stuck"), options=options, observe=events.append)
        client.wait_for_workers(1)
        second = dt.make(sweep("hog"), options=options, observe=events.append)
    outcomes = {**first.outcomes, **second.outcomes}
    found = {name.partition("=")[2].partition("-")[0]: o for name, o in outcomes.items()}
    assert found["fine"].status == "ok", found["fine"]
    assert found["hog"].status == "ok", found["hog"]
    assert found["stuck"].failure == Kind.HANG
    assert re.match(r"no report for 6 s; it hung at ugly.py:\d+ in train", found["stuck"].error)
    assert [setback["kind"] for setback in ugly.body("hog")["setbacks"]] == ["out of memory"]
    log = (ugly.error("stuck")["folder"] / "log.txt").read_text()
    assert "about to hang" in log
    assert "in train" in log
    notes = [event["text"] for event in events if event["event"] == "note"]
    assert sum("gives up a trial that was on 4 workers" in note for note in notes) == 1


@pytest.fixture
def little_memory():
    """Give the words that run a command in a control group with 1 GB of memory."""
    group = Path("/sys/fs/cgroup/memory") / f"dasktune-test-{os.getpid()}"
    try:
        if not (group.parent / "memory.oom_control").exists():
            raise OSError("/sys/fs/cgroup/memory is not of version 1")
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(10**9))
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    yield ["sh", "-c", f'echo $$ >{group}/cgroup.procs && exec "$@"', "sh"]
    deadline = time.monotonic() + 30
    while (group / "cgroup.procs").read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    group.rmdir()


def test_a_hang_and_the_kernels_kill_for_want_of_memory_are_told_of_their_trials(
    ugly, little_memory
):
    """A real one each: what took too much memory is tried once more alone; a hang fails."""
    ugly.space("fine", "hog", "stuck")
    words = ("-j2", "--cluster", "local", "-i", "--trial-timeout", "6")
    done = ugly.make(*words, within=little_memory)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "trained 2 of 3 trials, 1 failed (1 hang)" in done.stdout
    killed = "killed by SIGKILL; the kernel ended a process here for want of memory"
    assert ugly.body("hog")["setbacks"] == [{"kind": "out of memory", "evidence": killed}]
    assert "setbacks" not in ugly.body("fine")
    assert re.match(
        r"no report for 6 s; it hung at ugly.py:\d+ in train", ugly.error("stuck")["error"]
    )


def test_a_hang_needs_a_worker_that_can_be_ended(ugly):
    """Not this process, and not one that nobody starts again."""
    from distributed import Client

    result = ugly.cli("make", "--cluster", "none", "--trial-timeout", "5")
    assert result.code == 2
    assert "with --cluster none there is only this process" in result.err
    ugly.space("fine")
    sweep = dt.Sweep.load(str(ugly.file), store=str(ugly.folder / "dist"))
    with Client(
        processes=False, n_workers=1, dashboard_address=None, resources={"GPU": 1}
    ) as client:
        with pytest.raises(ClusterError, match="1 of 1 workers have no nanny"):
            dt.make(sweep, options=dt.Options(cluster=client, trial_timeout=5))


@pytest.mark.parametrize("flag", ["-k", "-i"])
def test_a_sweep_whose_first_trials_all_fail_in_the_same_way_stops_and_says_so(project, flag):
    """Also where failures are borne; but not if that is asked for."""
    project.edit('    print("training", trial.id)', "    raise KeyError(trial.id)")
    result = project.make(flag, "--give-up-after", "3")
    assert result.code == 2
    assert len(project.ran()) == 4
    assert re.search(
        r"\*\*\* the first 3 trials all failed with KeyError at toy.py:\d+", result.err
    )
    assert not (project.root / "collated.zarr").exists()
    assert project.make(flag, "--give-up-after", "0").code == (2 if flag == "-k" else 0)
    assert len(project.ran()) == 4


def test_how_long_failures_are_borne_is_configured_and_checked(project, monkeypatch):
    """The command line comes before Dask's configuration."""
    import dask

    with dask.config.set({"dasktune.retries": 2, "dasktune.trial-timeout": 60}):
        assert dt.Options().tolerance == Tolerance(2, 60)
        assert dt.Options(retries=1, give_up_after=3).tolerance == Tolerance(1, 60, 3)
    assert "retries is a whole number" in project.make("--retries", "-1").err
    assert "trial_timeout is a number of seconds" in project.make("--trial-timeout", "nan").err
    with pytest.raises(UsageError, match="give_up_after"):
        Tolerance(give_up_after=True)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("no"), Kind.EXCEPTION),
        (MemoryError(), Kind.HOST_MEMORY),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), Kind.HOST_MEMORY),
        (OSError(12, "Cannot allocate memory"), Kind.HOST_MEMORY),
        (torch.OutOfMemoryError("CUDA out of memory."), Kind.GPU_MEMORY),
        (RuntimeError("CUDA error: out of memory"), Kind.GPU_MEMORY),
        (type("KilledWorker", (Exception,), {})(), Kind.LOST),
    ],
)
def test_an_exception_is_told_by_its_name_and_its_words(error, kind):
    """Also where it was raised from another."""
    assert kind_of(error) is kind
    with pytest.raises(RuntimeError) as outer:
        raise RuntimeError("in epoch 3") from error
    assert kind_of(outer.value) is kind
    assert re.fullmatch(r"RuntimeError at test_failures.py:\d+", cause_of(outer.value))


def lost(**more):
    """Give a death that counts."""
    return Setback(Kind.LOST, "killed by SIGSEGV", **more)


def test_deaths_count_and_what_came_from_outside_does_not():
    """Three of the first are too many; of the second there are never too many."""
    free = [Setback(kind, "", free=True) for kind in (Kind.PREEMPTED, Kind.LOST)] * 50
    assert verdict_on([*free, lost(), lost()], -1).kind is None
    verdict = verdict_on([lost(), *free, lost(), lost()], -1)
    assert verdict.kind is Kind.LOST
    assert "died 3 times while it trained (at last: killed by SIGSEGV)" in verdict.text


def test_time_that_runs_out_counts_only_where_no_checkpoint_was_come_to():
    """Else a trial longer than the walltime would never end, or be started for ever."""
    gets_on = [Setback(Kind.TIME, "", True, epoch) for epoch in range(-1, 50)]
    assert verdict_on(gets_on, 50).kind is None
    stands = [Setback(Kind.TIME, "", True, -1)] * 3
    assert verdict_on(stands[:2], -1).kind is None
    verdict = verdict_on(stands, -1)
    assert verdict.kind is Kind.TIME
    assert "longer walltime" in verdict.text
    assert verdict_on(stands, 2).kind is None


def felled(number, **more):
    """Give the loss of a node under a job."""
    return Setback(Kind.LOST, "the queue says NODE_FAIL", True, felled=f"{number}-0", **more)


def test_a_trial_that_fells_one_node_after_another_is_at_last_tried_alone_and_then_fails():
    """Three in a row without a checkpoint; a neighbour's fault is none, nor is preemption."""
    assert verdict_on([felled(1)], -1) == Verdict()
    assert verdict_on([felled(1), felled(2)], -1) == Verdict(alone=Kind.LOST)
    assert verdict_on([felled(1), felled(2), felled(3)], -1) == Verdict(alone=Kind.LOST)
    verdict = verdict_on([felled(1), felled(2), felled(3, alone=True)], -1)
    assert verdict.kind is Kind.LOST
    assert verdict.text.startswith("3 nodes failed, one after another, while it trained and before")
    assert "the queue says NODE_FAIL" in verdict.text
    driven = [Setback(Kind.PREEMPTED, "", True)] * 50
    assert verdict_on([felled(1), *driven, felled(2), *driven], -1) == Verdict(alone=Kind.LOST)
    assert verdict_on([*driven, felled(1), *driven], -1) == Verdict()
    assert verdict_on([felled(1), *driven, felled(2), felled(3, alone=True)], -1).kind
    # One job that was lost with its node says it once, of however many attempts.
    assert verdict_on([felled(1), felled(1), felled(1, alone=True)], -1) == Verdict()


def test_a_trial_that_gets_on_may_lose_as_many_nodes_as_there_are():
    """One more epoch is enough."""
    gets_on = [felled(epoch, epoch=epoch, alone=True) for epoch in range(50)]
    assert verdict_on(gets_on, 50) == Verdict()
    stands = [*gets_on, *(felled(number, epoch=50, alone=True) for number in range(50, 53))]
    assert verdict_on(stands[:-1], 50).kind is None
    assert verdict_on(stands, 50).kind is Kind.LOST
    assert verdict_on(stands, 51) == Verdict()


def test_memory_is_tried_once_more_alone_and_a_hang_never():
    """Unless others were trained in the same process: then it may have been their fault."""
    for kind in (Kind.HOST_MEMORY, Kind.GPU_MEMORY):
        assert verdict_on([Setback(kind, "")], -1).alone is kind
        assert verdict_on([Setback(kind, ""), lost(), Setback(kind, "")], -1).kind is kind
        assert tries_again(kind, [], retries=0)
        assert not tries_again(kind, [Setback(kind, "")], retries=5)
    hang = Setback(Kind.HANG, "no report for 5 s")
    assert verdict_on([hang], -1).kind is Kind.HANG
    beside = Setback(Kind.HANG, "", beside=True)
    assert verdict_on([beside], -1) == verdict_on([], -1).__class__(alone=Kind.HANG)
    assert verdict_on([beside, beside], -1).kind is Kind.HANG
    together = Setback(Kind.HANG, "", together=True)
    assert verdict_on([together], -1).kind is None
    assert must_be_apart([together]) == "the group hung"
    assert must_be_apart([lost(), lost()])
    assert not must_be_apart([lost(), lost(free=True)])
    assert must_be_apart([felled(1), felled(2)]) == "nodes failed under the group"
    assert not must_be_apart([felled(1), felled(1)])


@pytest.mark.parametrize(
    ("record", "ends", "expected"),
    [
        ({}, [], (Kind.LOST, False, "nobody saw how")),
        ({}, [{"exit": -11}], (Kind.LOST, False, "killed by SIGSEGV")),
        (
            {},
            [{"exit": 137, "memory": "want"}],
            (Kind.HOST_MEMORY, False, "killed by SIGKILL; want"),
        ),
        ({}, [{"exit": 3}], (Kind.LOST, False, "it exited with status 3")),
        (
            {},
            [{"state": "OUT_OF_MEMORY", "text": "x"}],
            (Kind.HOST_MEMORY, False, "the queue says x"),
        ),
        # The log of a job that ran out of memory under one trial tells of it at the job's end.
        (
            {},
            [{"job": "7-0", "state": "PREEMPTED", "memory": "oom-kill"}],
            (Kind.PREEMPTED, True, "the queue says PREEMPTED"),
        ),
        (
            {},
            [{"exit": -11}, {"job": "7-0", "state": "OUT_OF_MEMORY", "text": "x"}],
            (Kind.LOST, False, "killed by SIGSEGV; the queue says x"),
        ),
        (
            {},
            [{"exit": -9}, {"job": "7-0", "state": "OUT_OF_MEMORY", "memory": "oom-kill"}],
            (Kind.HOST_MEMORY, False, "the queue says OUT_OF_MEMORY; oom-kill"),
        ),
        (
            {},
            [{"job": "7-0", "state": "", "memory": "PBS: job killed: mem 3 exceeded"}],
            (Kind.HOST_MEMORY, False, "PBS: job killed: mem 3 exceeded"),
        ),
        ({}, [{"state": "PREEMPTED"}], (Kind.PREEMPTED, True, "the queue says PREEMPTED")),
        ({}, [{"state": "TIMEOUT"}], (Kind.TIME, True, "the queue says TIMEOUT")),
        # A job outlives the trials that crash in it, and may be started once more afterwards.
        (
            {},
            [{"exit": -11}, {"job": "7-0", "state": "REQUEUED", "text": "x"}],
            (Kind.LOST, False, "killed by SIGSEGV; the queue says x"),
        ),
        ({}, [{"exit": 3}, {"state": "TIMEOUT"}], (Kind.LOST, False, None)),
        ({}, [{"exit": -9}, {"state": "REQUEUED"}], (Kind.PREEMPTED, True, None)),
        ({}, [{"exit": 143}, {"state": "PREEMPTED"}], (Kind.PREEMPTED, True, None)),
        ({"leaving": "SIGTERM"}, [{"exit": 1}, {"state": "TIMEOUT"}], (Kind.TIME, True, None)),
        ({}, [{"state": "NODE_FAIL"}], (Kind.LOST, True, "the queue says NODE_FAIL")),
        ({}, [{"state": "FAILED", "text": "y"}], (Kind.LOST, False, "the queue says y")),
        ({"leaving": "SIGTERM"}, [], (Kind.PREEMPTED, True, "its worker had to leave (SIGTERM)")),
        ({"leaving": "its time is over"}, [{"exit": -9}], (Kind.TIME, True, None)),
        ({"leaving": "SIGTERM"}, [{"state": "TIMEOUT"}], (Kind.TIME, True, None)),
        # The job ran out of memory earlier; nobody saw that this one did.
        (
            {"leaving": "its time is over"},
            [{"job": "7-0", "state": "OUT_OF_MEMORY", "text": "x"}],
            (Kind.TIME, True, "its worker had to leave (its time is over)"),
        ),
    ],
)
def test_a_death_is_judged_by_what_others_saw_of_it(record, ends, expected):
    """The nanny, the kernel, the queue, and what the worker could still say."""
    found = judge({"name": "a", **record}, ends, [])
    assert (found.kind, found.free) == expected[:2]
    assert expected[2] in (None, found.evidence)


def test_the_node_that_failed_under_a_trial_is_told_by_its_job():
    """And whether it was there alone; of a job that ended otherwise neither is."""
    lost = {"job": "7-0", "state": "NODE_FAIL", "text": "JobState=NODE_FAIL"}
    found = judge({"name": "a", "epoch": 3, "alone": True}, [lost], [])
    words = "the queue says JobState=NODE_FAIL"
    assert found == Setback(Kind.LOST, words, True, 3, felled="7-0", alone=True)
    assert not judge({"name": "a"}, [{**lost, "state": "PREEMPTED"}], []).felled
    assert not judge({"name": "a"}, [{"exit": -11}, lost], []).felled


def test_what_hung_is_told_apart_from_what_was_trained_beside_it():
    """The others lose nothing by it."""
    hangs = [{"names": ["a"], "text": "no report"}]
    assert judge({"name": "a"}, [{"exit": 1}], hangs).kind is Kind.HANG
    other = judge({"name": "b"}, [{"exit": 1}], hangs)
    assert (other.kind, other.free) == (Kind.LOST, True)
    assert judge({"name": "b"}, [], [{"names": ["a", "b"], "text": ""}]).together


def test_one_cause_of_all_first_failures_ends_a_sweep_and_two_do_not():
    """Nor does what is the cluster's fault, nor one success."""
    bad = Outcome("t", "", status="failed", failure=Kind.EXCEPTION, cause="KeyError at a.py:1")
    other = Outcome("t", "", status="failed", failure=Kind.EXCEPTION, cause="KeyError at a.py:2")
    lost = Outcome("t", "", status="failed", failure=Kind.LOST, cause="worker lost")
    good = Outcome("t", "")
    left = Outcome("t", "", status="interrupted")

    def told(*outcomes):
        hope = GiveUp(3)
        return [bool(hope.take(outcome)) for outcome in outcomes]

    assert told(bad, left, bad, bad, bad) == [False, False, False, True, False]
    assert not any(told(bad, other, bad, bad, bad))
    assert not any(told(bad, good, bad, bad, bad))
    assert not any(told(lost, lost, lost, lost))
    assert not GiveUp(0).take(bad)


class Kernel:
    """What a kernel tells of control groups, in a folder."""

    MOUNTS = (
        "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
        "35 31 0:32 {root} {point} rw,relatime - {kind} rw{options}\n"
    )

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("proc/vmstat", "nr_free_pages 5\noom_kill 7\n")

    def write(self, path: str, text: str) -> None:
        """Write a file."""
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text)

    def group(self, version: int, path: str, root: str = "/") -> None:
        """Let this process be in a group, and groups be mounted from one on."""
        kind, options = ("cgroup2 none", "") if version == 2 else ("cgroup cgroup", ",memory")
        point = f"{self.folder}/my groups".replace(" ", "\\040")
        mounts = self.MOUNTS.format(root=root, point=point, kind=kind, options=options)
        self.write("proc/self/mountinfo", mounts)
        line = f"0::{path}\n" if version == 2 else f"4:cpu,memory:{path}\n0::/\n"
        self.write("proc/self/cgroup", line)

    def kills(self) -> int:
        """Count."""
        return oom_kills(f"{self.folder}/proc")


def test_the_kernels_count_of_kills_is_read_of_the_job_or_else_of_the_machine(tmp_path):
    """Of control groups of either version."""
    kernel = Kernel(tmp_path)
    assert kernel.kills() == 7
    kernel.group(2, "/")
    assert kernel.kills() == 7
    kernel.group(2, "/job_3")
    kernel.write("my groups/job_3/memory.events", "\noom 3\noom_kill 2\n")
    assert kernel.kills() == 2
    kernel.group(1, "/job_3")
    kernel.write("my groups/job_3/memory.oom_control", "under_oom 0\noom_kill 1\n")
    assert kernel.kills() == 1
    assert memory_words(-9, 1, 2, False)
    assert memory_words(-15, 0, 0, True)
    assert not memory_words(-9, 1, 1, False)
    assert not memory_words(-11, 1, 2, False)


def test_in_a_container_no_kill_of_another_is_counted(tmp_path):
    """There the path may be the machine's, or lead nowhere, and the machine is not ours."""
    kernel = Kernel(tmp_path)
    kernel.write("my groups/memory.oom_control", "under_oom 0\noom_kill 3\n")
    kernel.group(1, "/docker/abc", root="/docker/abc")
    assert kernel.kills() == 3
    kernel.write("my groups/step/memory.oom_control", "under_oom 0\noom_kill 2\n")
    kernel.group(1, "/docker/abc/step", root="/docker/abc")
    assert kernel.kills() == 2
    kernel.write("my groups/cgroup.events", "populated 1\n")  # no group of all has this
    for version, path in ((2, "/docker/abc"), (1, "/docker/abcd/step"), (2, "/../../other")):
        kernel.group(version, path, root="/docker/abc")
        assert kernel.kills() == 0
    kernel.group(2, "/")
    assert kernel.kills() == 0
    kernel.write("my groups/old/memory.oom_control", "under_oom 0\n")  # an old kernel
    kernel.group(1, "/old")
    assert kernel.kills() == 0


def test_a_nanny_notes_the_end_of_its_worker_where_the_next_attempt_looks(tmp_path, monkeypatch):
    """In the run that the worker had something in training for, and no other."""
    work = tmp_path / "work"
    monkeypatch.setenv("DASKTUNE_WATCHED", str(work))
    run = RunFolder(str(tmp_path / "run"))
    attempt = Attempt(run, "a-k")
    note_end(str(work), -9, before=0, after=1)
    [setback] = Attempt(run, "a-k").past()
    assert setback.kind is Kind.HOST_MEMORY
    assert setback.evidence.startswith("killed by SIGKILL; the kernel ended")
    assert not attempt.holds()
    second = Attempt(run, "b-k")
    second.end()
    note_end(str(work), -9, before=0, after=0)
    assert len(run.deaths()) == 1
    note_end(str(tmp_path / "nothing"), -9, before=0, after=0)  # a worker that had nothing to do


def test_a_trial_whose_nodes_fail_in_a_row_fails_when_it_was_alone_there(tmp_path, monkeypatch):
    """An attempt whose node is lost while it waits for its neighbours to end says nothing."""
    store = Store(str(tmp_path))
    store.prepare()
    run = RunFolder(store.run("run"))
    run.create()

    def attempt(number):
        monkeypatch.setenv("DASKTUNE_JOB", f"{number}-0")
        tries = Tries(store, "run", "a-k", "worker", Tolerance(), str(tmp_path / "saved"), None)
        if tries.begin():
            tries.judge()
        run.note_death(f"job-{number}-0", {"job": f"{number}-0", "state": "NODE_FAIL"})
        return tries

    for number in range(1, 5):
        attempt(number)  # which has trained beside others, or was to be alone
    with attempt(5).company() as may:
        assert may
    with pytest.raises(TrialLost, match="5 nodes failed, one after another"):
        attempt(6)


def test_the_newest_attempt_holds_and_others_can_undo_nothing(tmp_path):
    """Numbers are taken exclusively; an old copy that ends removes nothing of the new one's."""
    run = RunFolder(str(tmp_path / "run"))
    first = Attempt(run, "a-k")
    assert first.holds()
    second = Attempt(run, "a-k")
    third = Attempt(run, "a-k")
    assert [a.holds() for a in (first, second, third)] == [False, False, True]
    first.leaving("SIGTERM")
    second.give_back(Kind.PREEMPTED, "late")
    first.end()
    assert third.holds()
    assert [s.evidence for s in third.past()] == ["nobody saw how"] * 2
    third.give_back(Kind.PREEMPTED, "SIGTERM")
    assert setbacks(run, "a-k")[-1].kind is Kind.PREEMPTED
    fourth = Attempt(run, "a-k")
    assert fourth.number == 4
    assert run.running() == ["a-k"]
    fourth.end()
    assert run.running() == []
    assert setbacks(run, "a-k") == []


def test_who_must_be_alone_waits_for_the_others_and_they_for_it(tmp_path, monkeypatch):
    """On the GPU that they share, and not on others."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    refused = iter([True, True, False])
    with among("run"), among("run"):
        with among("run", Kind.GPU_MEMORY, lambda: next(refused)):
            pass
        assert next(refused, "none") == "none"  # it waited, and then went without
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
        with among("run", Kind.GPU_MEMORY, lambda: pytest.fail("nobody is there")):
            refused = iter([True, False])
            with among("run", None, lambda: next(refused)):
                pass
            assert next(refused, "none") == "none"
    with among("run", Kind.HOST_MEMORY, lambda: pytest.fail("nobody is there")):
        pass


def test_a_file_that_cannot_be_read_for_a_moment_is_no_word_of_another_attempt(
    tmp_path, monkeypatch
):
    """Too many open files, or a network file system that hiccups."""
    attempt = Attempt(RunFolder(str(tmp_path / "run")), "a-k")

    def broken(*args, **more):
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", broken)
        held = attempt.holds()
    assert held


def test_a_link_in_the_place_of_the_locks_is_not_followed(tmp_path, monkeypatch):
    """Or who planted it would have folders of ours swept."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    old = tmp_path / "home" / "thesis"
    old.mkdir(parents=True)
    os.utime(old, (0, 0))
    (tmp_path / f"dasktune-locks-{os.getuid()}").symlink_to(tmp_path / "home")
    with contextlib.suppress(OSError), among("run"):
        pass
    assert list((tmp_path / "home").iterdir()) == [old]
