"""A sweep that is sent to a real Slurm and goes on by itself: nobody is logged in."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import dasktune as dt

HERE = ("-O", "host=127.0.0.1", "-O", "memory=1GB", "-O", "driver-memory=1GB")


def epochs(driver):
    """List the epochs that were trained."""
    return [(word[1], word[2]) for word in driver.words("epoch")]


def dispatched(driver):
    """Find the folder of the only dispatch."""
    (folder,) = (driver.path / "dist" / "slow" / "dispatched").iterdir()
    return folder


def jobs(driver):
    """List the numbers of its jobs."""
    lines = (dispatched(driver) / "jobs.jsonl").read_text().splitlines()
    return [json.loads(line)["number"] for line in lines]


def test_the_page_on_slurm_can_be_followed_from_the_login_node_to_the_result(
    driver, slurm, monkeypatch
):
    """Line by line; only this site's size and addresses are not those of the page."""
    monkeypatch.setenv("DASK_DASKTUNE__CLUSTER__SLURM__HOST", "127.0.0.1")
    monkeypatch.setenv("DASK_DASKTUNE__CLUSTER__SLURM__DRIVER_MEMORY", "1GB")
    monkeypatch.setenv("DASK_DASKTUNE__CLUSTER__SLURM__MEMORY", "1GB")
    mine = 'objective="min loss", resources={"CPU": 1}'  # there is no GPU that torch would see
    text = driver.file.read_text().replace('objective="min loss"', mine)
    (driver.path / "pipeline.py").write_text(text)
    page = (Path(__file__).parent.parent.parent / "docs" / "how-to" / "slurm.md").read_text()
    block = page.partition("```sh\n")[2].partition("```")[0]
    block = block.replace("memory=16GB", "memory=1GB").replace("-j 32", "-j 2")
    told = {}
    for line in block.splitlines():
        words = shlex.split(line, comments=True)
        if words[0] == "dasktune":
            command = [sys.executable, "-m", *words]
            run = subprocess.run(
                command, cwd=driver.path, capture_output=True, text=True, timeout=150
            )
            assert run.returncode == 0, run.stdout + run.stderr
            told[words[1]] = run.stdout
    assert [line.split()[:2] for line in told["doctor"].splitlines()[:-1]] == [
        ["ok", name] for name in ("queue", "python", "torch", "device", "folder", "scheduler")
    ]
    assert "connects to tls://127.0.0.1" in told["doctor"]
    assert told["doctor"].endswith("a sweep would work\n")
    assert [*(driver.path / "dist").glob("doctor-*")] == []
    assert "you may log out" in told["submit"]
    assert told["attach"].rstrip().endswith("ended with exit code 0")
    assert "best" in told["results"]
    assert dt.open_results(driver.path / "dist" / "pipeline").sizes["trial"] == 4


def test_a_submitted_sweep_is_made_as_it_was_and_attach_gives_its_exit_code(driver, slurm):
    """Edits after that do not matter; nothing secret is in the job; the queue is empty then."""
    words = ["submit", "slurm", *HERE, "-j2", "a=1,2", "epochs=6"]
    out = driver.run(*words)
    (job,) = jobs(driver)
    assert f"submitted slow as job {job} of slurm; you may log out" in out
    assert "was submitted already: slurm job" in driver.run(*words, code=2)
    text = driver.file.read_text()
    driver.file.write_text(text.replace("lr=0.1", "lr=0.3"))
    script = slurm.ask("scontrol", "write", "batch_script", job, "-")
    assert "BEGIN" not in script
    assert "gres" not in script  # the driver needs no GPU
    out = driver.run("attach")
    assert "[collated] collate" in out
    assert "best     loss" in out
    assert out.rstrip().endswith("ended with exit code 0")
    assert "[collated] collate" in driver.run("logs")
    slurm.empty()
    driver.file.write_text(text)
    assert len(epochs(driver)) == 12
    driver.same_as_undisturbed("a=1,2", "epochs=6")
    assert "Nothing to be done" in driver.run(*words)


def test_a_driver_whose_walltime_ends_goes_on_in_another_job(driver, slurm):
    """No epoch is trained twice, and no result differs."""
    walltime = ("-O", "driver-walltime=00:01:00", "-O", "lead=45", "-O", "walltime=1h")
    driver.run("submit", "slurm", *HERE, *walltime, "-j1", "a=1", "epochs=12", PAUSE="1.4")
    out = driver.run("attach", seconds=250)
    assert "this driver's time is over; job " in out
    assert len(jobs(driver)) > 1
    assert len(epochs(driver)) == len(set(epochs(driver))) == 12
    driver.same_as_undisturbed("a=1", "epochs=12")


def test_cancel_ends_driver_and_workers_and_leaves_checkpoints(driver, slurm):
    """What waits in the queue is cancelled at once, too."""
    driver.run("submit", "slurm", *HERE, "-j1", "a=1", "epochs=500")
    driver.wait_until(lambda: len(driver.words("epoch")) > 3)
    driver.run("cancel")
    assert "cancelled" in driver.run("attach", code=2)
    slurm.empty()
    trained = len(epochs(driver))
    assert list((driver.path / "dist" / "slow" / "checkpoints").glob("*/epoch-*.pt"))
    assert "nothing is left to cancel" in driver.run("cancel", code=2)
    slurm.ask("scontrol", "update", "partition=main", "state=down")
    try:
        driver.run("submit", "slurm", *HERE, "-j1", "a=1", "epochs=500")
        assert "waits in the queue (PartitionDown)" in driver.run("status")
        driver.run("cancel")
        assert slurm.jobs("PENDING") == []
    finally:
        slurm.ask("scontrol", "update", "partition=main", "state=up")
    assert len(epochs(driver)) == trained


def test_one_job_may_hold_the_driver_and_its_workers(driver, slurm):
    """With a search as well as with a grid."""
    text = driver.file.read_text()
    driver.file.write_text(text.replace('"min loss"', '"min loss", budget="epochs"'))
    search = ["--search", "hyperband(max_epochs=3)"]
    driver.run("submit", "slurm", "--in-job", *HERE, "-O", "gpus=0", "-j2", *search)
    (job,) = jobs(driver)
    assert "NumCPUs=2" in slurm.ask("scontrol", "show", "job", job)
    assert "trained " in driver.run("attach")
    assert {str(w) for w in driver.dataset().worker.values} <= {"0", "1"}


def test_a_driver_that_somebody_cancels_in_the_queue_is_over(driver, slurm):
    """It is told, nothing of it is left there, and the sweep may be sent again."""
    driver.run("submit", "slurm", *HERE, "-j1", "a=1", "epochs=500")
    driver.wait_until(lambda: len(driver.words("epoch")) > 3)
    (job,) = jobs(driver)
    slurm.ask("scancel", job)
    assert f"job {job} was cancelled in the queue" in driver.run("attach", code=2)
    slurm.empty()
    assert list((driver.path / "dist" / "slow" / "checkpoints").glob("*/epoch-*.pt"))


def driver_after(driver, job):
    """Wait for a driver that runs as another job than this one, and tell of it."""
    file = dispatched(driver) / "driver.json"
    found = {"job": job}

    def there():
        if file.exists():
            found.update(json.loads(file.read_text()))
        return found["job"] != job

    driver.wait_until(there)
    return found


def test_a_driver_that_is_driven_out_and_one_whose_node_dies_go_on(driver, slurm, ungraceful):
    """The one sends its successor, the other is started again by Slurm; no result differs."""
    driver.write(checkpoint_every=0)
    more = ("-O", "driver-queue=low", "-j1", "a=1", "epochs=60")
    driver.run("submit", "slurm", *HERE, *more)
    driver.wait_until(lambda: len(driver.words("epoch")) > 3)
    (first,) = jobs(driver)
    node = slurm.ask("squeue", "-h", "-j", first, "-o", "%N")
    room = ("-p", "high", "-w", node, "--mem=2900", "-o", "/dev/null")
    slurm.ask("sbatch", *room, "--wrap", "sleep 1")
    second = driver_after(driver, first)
    with slurm.dying_node(slurm.ask("squeue", "-h", "-j", second["job"], "-o", "%N")):
        os.kill(second["pid"], signal.SIGKILL)
    out = driver.run("attach", seconds=250)
    assert f"this driver was driven out; job {second['job']} goes on" in out
    assert out.count(f"the driver begins as job {second['job']}") == 2
    assert out.rstrip().endswith("ended with exit code 0")
    driver.same_as_undisturbed("a=1", "epochs=60")


def test_what_the_queue_refuses_is_one_line_in_its_own_words(driver, slurm):
    """Exit code 2, and nothing was submitted."""
    out = driver.run("submit", "slurm", "-O", "queue=nonsense", code=2)
    assert "invalid partition specified: nonsense" in out
    assert out.count("\n") == 1
    assert not [*(driver.path / "dist" / "slow" / "dispatched").glob("*")]


def test_an_array_of_jobs_makes_the_same_without_a_scheduler(driver, slurm):
    """Jobs that leave, and one that dies, leave their trials to those that come after them."""
    walltime = ("-O", "walltime=00:01:00", "-O", "lead=51")
    words = ["submit", "slurm", "--array", *HERE, *walltime, "-j2", "a=1,2", "epochs=10"]
    driver.write(checkpoint_every=0)
    driver.run(*words, PAUSE="0.4")
    driver.wait_until(lambda: len(driver.words("epoch")) > 6)
    name, pid = (driver.words("epoch")[-1][i] for i in (1, 3))
    os.kill(int(pid), signal.SIGKILL)
    out = driver.run("attach", seconds=250)
    assert "what is left goes on in the array" in out
    # The array's last job has asked the queue, unless the job was about to leave when it died.
    told = r"the queue says JobState=FAILED .*ExitCode=0:9$|its worker had to leave"
    befell = driver.setbacks()[int(name[2])]
    assert befell
    assert all(re.match(told, setback["evidence"]) for setback in befell), befell
    assert "train a=1-" in out
    assert "trained 2 of 2 trials" in out
    assert len(epochs(driver)) <= 21  # at most the epoch in training was lost
    driver.same_as_undisturbed("a=1,2", "epochs=10")
    workers = {str(worker) for worker in driver.dataset().worker.values}
    assert workers <= {"slurm-1", "slurm-2"}
    assert not (driver.path / "dist" / "slow" / "runs" / dispatched(driver).name).exists()


def test_a_job_of_an_array_with_several_gpus_trains_several_trials_at_once(driver, slurm):
    """Each in a process that sees its own GPU alone; the result is the same."""
    seen = """
    note(f"saw {os.environ['CUDA_VISIBLE_DEVICES']} {os.environ['SLURM_ARRAY_TASK_ID']}")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:  # until both train
        with open(f"{HERE}/log") as file:
            if len({line for line in file if line.startswith("saw")}) == 2:
                break
        time.sleep(0.05)
    x = data"""
    plain = driver.file.read_text()
    driver.file.write_text(plain.replace("\n    x = data", seen))
    driver.run("submit", "slurm", "--array", *HERE, "-O", "gpus=2", "-j2", "a=1,2", "epochs=2")
    assert "trained 2 of 2 trials" in driver.run("attach")
    assert {tuple(word[1:]) for word in driver.words("saw")} == {("0", "1"), ("1", "1")}
    assert {str(worker) for worker in driver.dataset().worker.values} == {"slurm-1", "slurm-2"}
