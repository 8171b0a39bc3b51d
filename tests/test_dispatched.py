"""The jobs of a dispatch, without a queue: what they do when it takes them away."""

from __future__ import annotations

import math
import os
import shutil
import signal
import socket
import subprocess
import sys

import pytest

from dasktune.attempt import Attempt, job_of_environment
from dasktune.cli import driving
from dasktune.cluster import ending
from dasktune.dispatch.dispatch import Dispatch, Job, Order
from dasktune.dispatch.inquiry import inquire, note_restart, run_of
from dasktune.dispatch.sending import send
from dasktune.dispatch.standstill import Standstill
from dasktune.failure.kind import Kind
from dasktune.runfolder import RunFolder

TOLD = """OFFSET = 0


def collate(dataset):
    tell("collate", 15)
    return dataset


def tell(who, number):
    if not os.path.exists(f"{HERE}/told-{who}"):
        open(f"{HERE}/told-{who}", "w").close()
        os.kill(os.getpid(), number)
"""


def dispatch_of(project, kind="array", *words):
    """Give a dispatch of the toy pipeline, as it is now."""
    sweep = project.sweep()
    where = ("-f", str(project.file), "--store", str(project.folder / "dist"))
    order = Order(
        "slurm",
        {},
        (*where, *words),
        "none",
        str(project.folder),
        sweep.codes.digest,
        count=2,
        kind=kind,
    )
    sweep.store.prepare()
    sweep.codes.save(sweep.store)
    return Dispatch.create(sweep.store.root, order)


def job(dispatch, *role, number="7"):
    """Be a job of it, and give the exit code."""
    command = [sys.executable, "-m", "dasktune", *role, dispatch.path, "--seconds", "900"]
    environment = {**os.environ, "SLURM_JOB_ID": number, "SLURM_ARRAY_TASK_ID": "1"}
    done = subprocess.run(
        [*command, "--lead", "1"], env=environment, capture_output=True, text=True, timeout=100
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode


def test_the_first_and_last_job_of_an_array_that_the_queue_takes_away_may_be_started_again(project):
    """Their end is no end of the sweep: what each had to do is done by its second copy."""
    project.edit("OFFSET = 0\n", TOLD)
    project.edit('objective="max score"', 'objective="max score", collate=collate')
    project.edit('    note("preprocess")\n', '    note("preprocess")\n    tell("preprocess", 15)\n')
    dispatch = dispatch_of(project)
    taken_away = 128 + signal.SIGTERM
    for role in ("prepare", "train", "finish"):
        if role != "train":
            assert job(dispatch, "share", role) == taken_away
            assert dispatch.ended() is None
        assert job(dispatch, "share", role) == 0
    assert dispatch.ended().code == 0
    assert project.dataset().sizes["trial"] == 4


def test_grid_engines_word_ahead_of_the_end_leaves_a_driver_to_be_started_again(project):
    """SIGUSR2, in the midst of training: nothing new is begun, and the sweep is not over."""
    project.edit("OFFSET = 0\n", TOLD)
    project.edit("        trial.report(", "        tell('train', 12)\n        trial.report(")
    dispatch = dispatch_of(project, "driver")
    assert job(dispatch, "drive") == 128 + signal.SIGTERM
    assert dispatch.ended() is None
    assert job(dispatch, "drive") == 0
    assert dispatch.ended().code == 0


@pytest.fixture
def own_signals():
    """Give the handlers of this process back."""
    numbers = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_an_error_of_a_driver_that_leaves_is_no_end(project, monkeypatch, own_signals, capsys):
    """It comes again where the sweep goes on, if it is a real one; of another driver it is one."""
    sent = []
    monkeypatch.setattr(
        "dasktune.dispatch.sending.send",
        lambda dispatch, roles, **how: sent.append(roles) or "8",
    )
    dispatch = dispatch_of(project, "driver")
    driver = driving._Driver(dispatch, math.inf)
    driver._leaving = True
    assert driver._conclude(2) == 0
    assert dispatch.ended() is None
    assert sent == [["driver"]]
    assert "job 8 goes on" in capsys.readouterr().out
    assert driving._Driver(dispatch, math.inf)._conclude(2) == 2
    assert dispatch.ended().code == 2
    assert len(sent) == 1


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """Give a Slurm without jobs, and the file that lists what it was told to cancel."""
    folder = tmp_path / "bin"
    folder.mkdir()
    commands = {
        "squeue": "",
        "scancel": f'echo "$@" >>{folder}/cancelled',
        "scontrol": "echo JobId=7 JobState=RUNNING Restarts=0",
        "sbatch": f'cp "$1" {folder}/part; mv {folder}/part {folder}/sent; echo Submitted job 8',
    }
    for name, text in commands.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder / "cancelled"


LEAVING = """

def leave():
    import time

    if os.path.exists(f"{HERE}/left"):
        return
    open(f"{HERE}/left", "w").close()
    os.kill(os.getpid(), 10)
    deadline = time.time() + 60
    while not os.path.exists(f"{HERE}/bin/sent"):
        assert time.time() < deadline, "no successor was sent"
        time.sleep(0.05)
    os.kill(os.getpid(), 15)


def train("""


def test_a_driver_sends_the_next_one_ahead_and_is_not_killed_by_one_more_word(project, queue):
    """While what trains goes on to its checkpoint; the next one waits for this one's end."""
    project.edit("\n\ndef train(", LEAVING)
    project.edit("        trial.report(", "        leave()\n        trial.report(")
    dispatch = dispatch_of(project, "driver")
    dispatch.add(Job("7"))
    assert job(dispatch, "drive") == 0
    assert "--dependency=afterany:7" in (queue.parent / "sent").read_text()
    assert [job.number for job in dispatch.jobs()] == ["7", "8"]
    assert dispatch.ended() is None
    assert project.ran().count("train a=1,b=3") == 1


def watch(driver):
    """Let a driver look once at what happens to it."""
    driver._hearing.end()
    driver._watch()


def test_who_cancels_a_driver_that_leaves_does_not_kill_it(project, queue, monkeypatch):
    """A second signal would; and the next driver, which was sent ahead, does not come up."""
    killed = []
    monkeypatch.setattr(driving.os, "kill", lambda pid, number: killed.append(number))
    dispatch = dispatch_of(project, "driver")
    driver = driving._Driver(dispatch, math.inf)
    driver._leaving, driver._successor = True, "8"
    dispatch.cancel()
    watch(driver)
    assert killed == []
    assert driver._conclude(-signal.SIGTERM) == 2
    assert dispatch.ended().why == "cancelled"
    assert queue.read_text().split() == ["8"]


def test_a_driver_that_leaves_asks_why_it_is_told_to_end_once_more(project, queue, monkeypatch):
    """Who cancels its job in the queue does not want to see it come back."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    (queue.parent / "scontrol").write_text("#!/bin/sh\necho JobId=7 JobState=COMPLETING\n")
    dispatch = dispatch_of(project, "driver")
    driver = driving._Driver(dispatch, math.inf)
    driver._leaving, driver._successor = True, "8"
    driver._hearing._mouth.send(bytes([signal.SIGTERM]))
    watch(driver)
    assert dispatch.ended().why == "job 7 was cancelled in the queue"
    assert driver._conclude(-signal.SIGTERM) == 2
    assert queue.read_text().split() == ["8"]


def test_drivers_that_get_no_further_do_not_follow_each_other_for_ever(
    project, monkeypatch, capsys
):
    """Three with all workers in their own jobs, one after another; then the sweep is over."""
    dispatch = dispatch_of(project, "whole")
    still = Standstill(dispatch)
    assert [still.begin(number) for number in ("7-0", "8-0", "9-0")] == [""] * 3
    still.excuse("9-0")  # which was driven out
    assert still.begin("9-1") == ""  # started again, as after its node has failed
    monkeypatch.setenv("SLURM_JOB_ID", "11")
    dispatch.add(Job("11"))
    assert driving._Driver(dispatch, math.inf).run() == 2
    assert "3 jobs one after another ended before any trial" in dispatch.ended().why
    assert dispatch.ended().why in capsys.readouterr().out


@pytest.mark.parametrize("made", ["checkpoints/a-b/epoch-1.pt", "trained/a-b/x", "failed/a-b/x"])
def test_a_trial_that_gets_on_lets_drivers_follow_each_other(project, made):
    """One more epoch is enough."""
    still = Standstill(dispatch_of(project, "whole"))
    old = project.root / "checkpoints" / "a-c" / "epoch-9.pt"
    old.parent.mkdir(parents=True)
    old.touch()
    for path in (old, old.parent):
        os.utime(path, (0, 0))
    for number in range(3):
        assert still.begin(f"{number}") == ""
    (project.root / made).parent.mkdir(parents=True)
    (project.root / made).touch()
    if made.startswith("checkpoints"):
        still.excuse("2")  # what it came to counts all the same
    for number in range(3, 6):
        assert still.begin(f"{number}") == ""
    assert still.begin("6")


def test_an_odd_error_where_the_next_driver_is_sent_is_told(project, monkeypatch, capsys):
    """And it is tried again before it is given up."""
    calls = []

    def send(dispatch, roles, **how):
        calls.append(roles)
        raise ValueError("signal only works in main thread")

    monkeypatch.setattr("dasktune.dispatch.sending.send", send)
    monkeypatch.setattr("dasktune.cluster.supervisor.pause", lambda tries: 0)
    driver = driving._Driver(dispatch_of(project, "driver"), -math.inf)
    driver._leaving = True
    assert driver._conclude(-signal.SIGTERM) == 2
    assert len(calls) == 5
    assert capsys.readouterr().out.count("signal only works in main thread; trying") == 4


def test_a_job_that_the_queue_took_after_it_was_given_up_does_nothing(project, monkeypatch):
    """Another one goes on for it; and of the first job nothing may be noted yet."""
    monkeypatch.setattr("dasktune.dispatch.dispatch.NOTED_SECONDS", 0.1)
    dispatch = dispatch_of(project, "driver")
    assert dispatch.knows("7")
    dispatch.add(Job("8"))
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("DASKTUNE_GPUS", "1")  # nor does it end the other if there is none left
    monkeypatch.setenv("DASKTUNE_CLAIMS", "/nowhere")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for role in (["drive"], ["share", "finish"]):
        result = project.run_cli([*role, dispatch.path, "--seconds", "60", "--lead", "5"])
        assert (result.code, dispatch.driver(), dispatch.ended()) == (0, None, None)
        assert "job 7 is an old copy" in result.out
    assert project.ran() == []


def test_a_job_that_is_taken_without_an_answer_is_found_by_its_name(project, queue):
    """And is noted as the one that was sent."""
    name = "sed -n 's/^#SBATCH -J //p'"
    listing = f"{queue.parent}/listing"
    text = f'#!/bin/sh\nprintf "%-128s" 9 PENDING 0 None $({name} "$1") >{listing}\nexit 1\n'
    (queue.parent / "sbatch").write_text(text)
    (queue.parent / "squeue").write_text(f"#!/bin/sh\ncat {listing}\n")
    dispatch = dispatch_of(project, "driver")
    assert send(dispatch, ["driver"]) == "9"
    assert dispatch.jobs() == [Job("9")]


def test_cancel_now_kills_the_jobs_of_its_own_driver_and_no_others(project, queue):
    """Another run in the same store goes on with its workers."""
    dispatch = dispatch_of(project, "driver")
    dispatch.add(Job("7"))
    ours = {"host": socket.gethostname(), "pid": os.getpid()}
    dispatch.begin({**ours, "job": "7"})
    for name, pid, number in (("ours", ours["pid"], "21"), ("theirs", 1, "31")):
        run = RunFolder(f"{project.root}/runs/{name}")
        run.create()
        run.tell({**ours, "pid": pid})
        run.note_job(number)
    assert project.cli("cancel", "--now").code == 0
    assert queue.read_text().split() == ["7", "21"]


def test_cancel_where_there_is_no_queue_says_that_its_jobs_are_left(project, queue, monkeypatch):
    """Unless the driver has seen in the shared folder that it is to end."""
    (queue.parent / "scancel").unlink()
    monkeypatch.setenv("PATH", str(queue.parent))
    dispatch = dispatch_of(project, "driver")
    dispatch.add(Job("7"))
    result = project.cli("cancel", "--now")
    assert result.code == 2
    assert "has not cancelled 7" in result.err
    assert dispatch.ended() is None
    asked = dispatch.cancel

    def end(self):
        asked()
        dispatch.end(2, "cancelled")

    monkeypatch.setattr(type(dispatch), "cancel", end)
    assert project.cli("cancel").code == 0


def test_a_queue_that_hangs_is_not_asked_for_each_job_of_an_array(project, element, monkeypatch):
    """A result waits for the ends of jobs half a minute, and not a minute for each."""
    dispatch = dispatch_of(project)
    run, asked = run_of(dispatch), []
    run.create()
    for restarts in range(9):
        element(restarts)
        Attempt(run, f"t{restarts}-k")
    monkeypatch.setattr("dasktune.dispatch.inquiry.PATIENCE", -1)
    monkeypatch.setattr(ending, "ask", lambda queue, number: asked.append(number) or "")
    inquire(dispatch)
    assert len(asked) == 1


@pytest.fixture
def element(monkeypatch):
    """Be an element of an array of Slurm's, started as often as is said."""

    def be(restarts):
        monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "40")
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
        monkeypatch.setenv("SLURM_RESTART_COUNT", str(restarts))
        name = job_of_environment()
        monkeypatch.setenv("DASKTUNE_JOB", name)
        return name

    return be


def test_how_the_jobs_of_an_array_ended_is_asked_by_its_last_job(project, element, monkeypatch):
    """Of those that left a trial in training and could not say why; each by its own name."""
    dispatch = dispatch_of(project)
    run, asked = run_of(dispatch), []
    run.create()
    assert element(0) == "40_3-0"
    Attempt(run, "a-k")
    done = Attempt(run, "b-k")
    done.end()

    def ask(queue, number):
        asked.append(number)
        return "JobId=40 JobState=OUT_OF_MEMORY Reason=OutOfMemory ExitCode=0:125 UserId=root(0)"

    monkeypatch.setattr(ending, "ask", ask)
    for _ in range(2):
        inquire(dispatch)
    assert asked == ["40_3"]
    [setback] = Attempt(run, "a-k").past()
    assert setback.kind is Kind.HOST_MEMORY
    words = "the queue says JobState=OUT_OF_MEMORY Reason=OutOfMemory ExitCode=0:125"
    assert setback.evidence == words


def test_a_job_of_an_array_that_the_queue_starts_again_knows_that_of_itself(project, element):
    """Its first copy was preempted, or lost its node: that counts for nothing."""
    dispatch = dispatch_of(project)
    run = run_of(dispatch)
    run.create()
    note_restart(dispatch, element(0))
    Attempt(run, "a-k")
    note_restart(dispatch, element(1))
    [setback] = Attempt(run, "a-k").past()
    assert (setback.kind, setback.free) == (Kind.PREEMPTED, True)
    assert setback.evidence == "the queue says JobState=REQUEUED"


def test_a_queue_that_does_not_answer_tells_nothing(queue, monkeypatch):
    """Nor one that has no command for it, nor one whose command fails."""
    from dasktune.cluster import sge, slurm

    assert ending.ask(sge.QUEUE, "7") == ""
    (queue.parent / "scontrol").write_text("#!/bin/sh\nexit 1\n")
    (queue.parent / "scontrol").chmod(0o755)
    assert ending.ask(slurm.QUEUE, "7") == ""


def test_a_last_job_that_is_driven_out_sends_another_unless_somebody_cancelled_it(project, queue):
    """While it can; what it was to do is done by the one that comes."""
    project.edit("OFFSET = 0\n", TOLD)
    project.edit('objective="max score"', 'objective="max score", collate=collate')
    dispatch = dispatch_of(project)
    for role in ("prepare", "train"):
        assert job(dispatch, "share", role) == 0
    dispatch.add(Job("7", "finish"))
    for told, why in ((None, "job 7 was cancelled in the queue"), ("2026-11-24T13:15:41", "")):
        words = f"JobId=7 JobState=COMPLETING PreemptTime={told}"
        (queue.parent / "scontrol").write_text(f"#!/bin/sh\necho {words}\n")
        assert job(dispatch, "share", "finish") == 128 + signal.SIGTERM
        assert (dispatch.ended().why if dispatch.ended() else "") == why
        if why:
            assert [job.number for job in dispatch.jobs()] == ["7"]
            os.unlink(f"{dispatch.path}/ended.json")
            (project.folder / "told-collate").unlink()
            shutil.rmtree(project.root / "collated")  # it had come so far
    assert [job.number for job in dispatch.jobs()] == ["7", "8"]
    assert "--dependency=afterany:7" in (queue.parent / "sent").read_text()
    assert job(dispatch, "share", "finish", number="8") == 0
    assert dispatch.ended().code == 0
    assert project.dataset().sizes["trial"] == 4
