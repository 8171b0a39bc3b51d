"""A real Slurm on this machine: sweeps on it complete, whatever it does to their jobs."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
import time
from typing import ClassVar

import pytest

from dasktune.cluster.jobs import look
from dasktune.cluster.queue import Seen
from dasktune.cluster.slurm import QUEUE
from dasktune.contract import ClusterContract


def epochs(driver):
    """List the epochs that were trained."""
    return [(word[1], word[2]) for word in driver.words("epoch")]


def test_a_sweep_runs_on_jobs_over_tls_which_are_gone_at_the_end(driver, slurm):
    """With a GPU each; keys only this user reads; nothing of it in the job's script."""
    process = driver.start(*slurm.options, "-j2")
    driver.wait_for("epoch", 1, process)
    run = next((driver.path / "dist" / "slow" / "runs").iterdir())
    assert stat.S_IMODE(os.stat(run / "tls").st_mode) == 0o700
    assert {stat.S_IMODE(os.stat(path).st_mode) for path in (run / "tls").iterdir()} == {0o600}
    job = slurm.jobs()[0]
    script = slurm.ask("scontrol", "write", "batch_script", job, "-")
    assert "tls://127.0.0.1" in script
    assert "BEGIN" not in script
    assert "gres:gpu:1" in slurm.ask("scontrol", "show", "job", job)
    address = script.partition("dasktune.cluster.node ")[2].split()[0]
    plain = f"""
import distributed
try:
    distributed.Client({address.replace("tls", "tcp")!r}, timeout=3)
except (OSError, TimeoutError):
    raise SystemExit(7)
"""
    assert subprocess.run([sys.executable, "-c", plain], capture_output=True).returncode == 7
    driver.finish(process)
    slurm.empty()
    assert len(epochs(driver)) == 40
    assert not (run / "tls").exists()
    workers = {str(worker) for worker in driver.dataset().worker.values}
    assert workers <= {"slurm-0", "slurm-1", "slurm-2", "slurm-3"}


def test_a_job_that_is_cancelled_is_replaced_and_its_trials_go_on_from_their_checkpoints(
    driver, slurm
):
    """It has two GPUs, and a worker for each, which sees its own alone; ``-j`` is kept."""
    seen = """
    note(f"saw {os.environ.get('CUDA_VISIBLE_DEVICES')} {os.environ.get('SLURM_JOB_ID')}")
    x = data"""
    driver.file.write_text(driver.file.read_text().replace("\n    x = data", seen))
    process = driver.start(*slurm.options, "-O", "gpus=2", "-j3", "epochs=20", PAUSE="0.4")
    driver.wait_until(lambda: len({word[3] for word in driver.words("epoch")}) == 3, process)
    first, second = sorted(slurm.jobs(), key=int)
    told = slurm.ask("scontrol", "show", "job", first)
    assert "NumCPUs=2" in told
    assert "gres:gpu:2" in told
    saw = {tuple(word[1:]) for word in driver.words("saw")}
    assert saw == {("0", first), ("1", first), ("0", second)}
    slurm.ask("scancel", first)
    out = driver.finish(process)
    assert "worker slurm-0-0 leaves (SIGTERM)" in out, out
    assert "worker slurm-0-1 leaves (SIGTERM)" in out, out
    assert "3 workers" in out
    assert "4 workers" not in out
    assert len(epochs(driver)) == len(set(epochs(driver))) == 80
    assert len(driver.words("start")) > 4
    workers = {str(worker) for worker in driver.dataset().worker.values}
    assert workers <= {"slurm-0-0", "slurm-0-1", "slurm-1", "slurm-2-0", "slurm-2-1", "slurm-3"}
    driver.same_as_undisturbed("epochs=20")


def test_trials_longer_than_the_walltime_complete(driver, slurm):
    """Each job trains as far as it gets; the next ones go on from there."""
    options = ["-O", "walltime=00:01:00", "-O", "lead=48", "-j1"]
    process = driver.start(*slurm.options, *options, "a=1", "epochs=12", PAUSE="1.2")
    out = driver.finish(process, 240)
    assert "leaves (its time is over)" in out, out
    assert len(epochs(driver)) == len(set(epochs(driver))) == 12
    assert len(driver.words("start")) > 1
    driver.same_as_undisturbed("a=1", "epochs=12")


@pytest.fixture
def moody(slurm, tmp_path, monkeypatch):
    """Put an sbatch in front of the real one, which refuses as often as a file says."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sbatch").write_text(
        f"""#!/bin/bash
left=$(cat {folder}/refusals)
if [ "$left" -gt 0 ]; then
    echo $((left - 1)) > {folder}/refusals
    echo "sbatch: error: $(cat {folder}/why)" >&2
    exit 1
fi
exec /usr/bin/sbatch "$@"
"""
    )
    (folder / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def refuse(times: int, why: str) -> None:
        (folder / "refusals").write_text(str(times))
        (folder / "why").write_text(why)

    return refuse


def test_a_refused_submission_is_tried_again(driver, slurm, moody):
    """A limit on jobs is no error, and is shown."""
    moody(2, "AssocMaxSubmitJobLimit")
    out = driver.finish(driver.start(*slurm.options, "-j1", "a=1", "epochs=2"))
    assert "the queue refused a job (sbatch: error: AssocMaxSubmitJobLimit)" in out
    assert "trying again in 2 s" in out


def test_a_submission_that_is_not_answered_is_known_by_its_name_when_the_queue_has_it(
    driver, slurm, moody, tmp_path, monkeypatch
):
    """It is taken on: there are no more jobs than ``-j`` allows, and none is left."""
    real = (tmp_path / "bin" / "sbatch").read_text()
    slow = real.replace("exit 1", '/usr/bin/sbatch "$@" >/dev/null; exit 1')
    (tmp_path / "bin" / "sbatch").write_text(slow)
    moody(1, "Batch job submission failed: Socket timed out on send/recv operation")
    out = driver.finish(driver.start(*slurm.options, "-j1", "a=1,2", "epochs=2"))
    assert "the queue refused a job (sbatch: error: Batch job submission failed: Socket" in out
    assert re.search(r"the queue has taken job \d+ after all", out)
    slurm.empty()
    assert {str(worker) for worker in driver.dataset().worker.values} == {"slurm-0"}


def test_what_slurm_lists_of_a_job_is_read(slurm):
    """Its state, its reason, and how often it was started again."""
    script = ("-o", "/dev/null", "--wrap", "exec sleep 600")
    job = slurm.ask("sbatch", "--parsable", "--requeue", "-J", "one", *script)
    array = slurm.ask("sbatch", "--parsable", "--begin=now+1hour", "--array=1-2", *script)
    while job not in slurm.jobs():
        time.sleep(0.1)
    assert look(QUEUE) == {
        job: Seen(False, restarts=0, name="one"),
        array: Seen(True, "BeginTime", restarts=0, name="wrap"),
    }
    slurm.ask("scontrol", "requeue", job)
    assert look(QUEUE)[job].restarts == 1  # whatever its state is by now


def test_a_job_that_the_queue_never_takes_is_an_error(driver, slurm):
    """With the queue's own words."""
    process = driver.start(*slurm.options, "-O", "queue=nonsense", "-j1", "a=1")
    out, err = process.communicate(timeout=100)
    assert process.returncode == 2, out
    assert "the queue takes no such job" in err
    assert "invalid partition specified: nonsense" in err
    assert err.count("\n") == 1


def test_jobs_that_fail_at_once_are_an_error_with_their_own_words(driver, slurm):
    """After a few tries; nothing is left in the queue."""
    broken = "echo no module named torch here >&2; exit 3"
    process = driver.start(*slurm.options, "-O", f"prologue={broken}", "-j2", "a=1")
    out, err = process.communicate(timeout=100)
    assert process.returncode == 2, out
    assert "jobs one after another ended before their workers had connected" in err
    assert "no module named torch here" in err
    assert "ExitCode=3:0" in err
    assert "Traceback" not in err


def test_waiting_is_shown_with_the_queues_reason_and_ctrl_c_ends_it(driver, slurm):
    """It is no error; the jobs that wait are cancelled."""
    slurm.ask("scontrol", "update", "partition=main", "state=down")
    try:
        process = driver.start(*slurm.options, "-j1")
        lines = iter(process.stdout.readline, "")
        assert any("1 job waits in the queue (PartitionDown)" in line for line in lines)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGINT
        assert slurm.jobs("PENDING") == []
    finally:
        slurm.ask("scontrol", "update", "partition=main", "state=up")


class TestContract(ClusterContract):
    """What every cluster keeps."""

    word = "slurm"
    settings: ClassVar = {"host": "127.0.0.1", "memory": "1GB"}

    @pytest.fixture(autouse=True)
    def there(self, slurm, tmp_path, monkeypatch):
        """See to it that Slurm is there."""
        monkeypatch.chdir(tmp_path)


def test_the_doctor_says_what_is_wrong_on_a_node_and_what_mends_it(driver, slurm):
    """A torch that does not import, and a GPU that torch does not see."""
    (driver.path / "broken").mkdir()
    (driver.path / "broken" / "torch.py").write_text("raise ImportError('libcudart.so is missing')")
    prologue = f"prologue=export PYTHONPATH={driver.path}/broken"
    out = driver.run("doctor", *slurm.options, "-O", prologue, code=2)
    assert "FAIL  torch      ImportError: libcudart.so is missing" in out
    assert "FAIL  device     torch sees 0 GPUs" in out
    assert "1 asked for; CUDA_VISIBLE_DEVICES is '0'" in out
    assert out.count("fix: ") == 2
    assert "a sweep would not work yet" in out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            ["-O", "prologue=mv dist/doctor-* hidden"],
            ["FAIL  folder", "is not seen on its node", "fix: name a folder on the file system"],
        ),
        (
            ["-O", "prologue=echo no module python here >&2; exit 3"],
            ["FAIL  python", "ended with exit code 3", "no module python here"],
        ),
        (["-O", "queue=nonsense"], ["FAIL  queue", "invalid partition specified: nonsense"]),
    ],
)
def test_the_doctor_tells_why_its_job_left_no_report(driver, slurm, options, told):
    """A folder that the node does not see, a Python that it has not, a job that is refused."""
    out = driver.run("doctor", *slurm.options, *options, code=2)
    for words in told:
        assert words in out


def test_the_doctor_does_not_wait_for_ever(driver, slurm):
    """It says what the queue waits for, and cancels its job."""
    slurm.ask("scontrol", "update", "partition=main", "state=down")
    try:
        out = driver.run("doctor", *slurm.options, "--wait", "1", code=2)
        assert "waits since 1 s (PartitionDown)" in out
        assert slurm.jobs("PENDING") == []
    finally:
        slurm.ask("scontrol", "update", "partition=main", "state=up")
