"""A real Grid Engine on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from dasktune.contract import ClusterContract

DRIVER = Path(__file__).parent / "fake-driver"


@pytest.fixture
def sge(sge_variables, monkeypatch):
    """Point the commands at it, and give the options that send a sweep there."""
    for name, value in sge_variables.items():
        monkeypatch.setenv(name, value)
    return ["--cluster", "sge", "-O", "host=127.0.0.1"]


def test_jobs_there_leave_before_their_walltime_and_when_they_are_deleted(driver, sge, command):
    """With a GPU each, which is a number there; curves are those of an undisturbed run."""
    options = ["-O", "walltime=00:00:40", "-O", "lead=28", "-j1"]
    options += ["-O", "prologue=export PAUSE=1.2"]  # a job there does not inherit variables
    process = driver.start(*sge, *options, "a=1", "epochs=12")
    driver.wait_for("start", 2, process)
    number = command("qstat").splitlines()[-1].split()[0]
    assert "gpu=1" in command("qstat", "-j", number)
    command("qdel", number)
    out = driver.finish(process, 240)
    assert "leaves (its time is over)" in out, out
    assert "leaves (SIGUSR2)" in out, out
    assert [int(word[2]) for word in driver.words("epoch")] == list(range(12))
    assert len(driver.words("start")) > 2
    driver.same_as_undisturbed("a=1", "epochs=12")


class TestContract(ClusterContract):
    """What every cluster keeps."""

    word = "sge"
    settings: ClassVar = {"host": "127.0.0.1"}
    threads = 1  # this one has no parallel environment, in which a job gets more

    @pytest.fixture(autouse=True)
    def there(self, sge, tmp_path, monkeypatch):
        """See to it that Grid Engine is there."""
        monkeypatch.chdir(tmp_path)


def test_a_driver_there_goes_on_in_another_job(driver, sge, sge_variables):
    """Grid Engine counts a walltime in seconds, and has jobs that wait for others."""
    known = " ".join(f"{name}={value}" for name, value in sge_variables.items())
    options = ["-O", "driver-walltime=00:00:46", "-O", "lead=30", "-O", "walltime=1h"]
    options += ["-O", f"prologue=export PAUSE=1.5 {known}"]
    driver.run("submit", *sge[1:], *options, "-j1", "a=1", "epochs=12")
    out = driver.run("attach", seconds=250)
    assert "this driver's time is over; job " in out
    assert [int(word[2]) for word in driver.words("epoch")] == list(range(12))
    driver.same_as_undisturbed("a=1", "epochs=12")


SEEN = """
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    note(f"saw {seen} {os.environ.get('SGE_TASK_ID')}")
    deadline = time.monotonic() + 60
    while "SGE_TASK_ID" in os.environ and time.monotonic() < deadline:
        with open(f"{HERE}/log") as file:  # until both jobs train
            if len({line.split()[2] for line in file if line.startswith("saw")}) == 2:
                break
        time.sleep(0.05)
    x = data"""


def test_an_array_of_jobs_makes_the_same_there(driver, sge, sge_variables):
    """Without a scheduler, and a connection between them; each on a GPU of its own."""
    text = driver.file.read_text()
    driver.file.write_text(text.replace("\n    x = data", SEEN))
    known = " ".join(f"{name}={value}" for name, value in sge_variables.items())
    known += f" DASKTUNE_CLAIMS={driver.path} FAKE_GPUS='whole whole whole' PYTHONPATH={DRIVER}"
    driver.run("submit", "sge", "--array", "-O", f"prologue=export {known}", "-j2", "epochs=1")
    out = driver.run("attach")
    assert "trained 4 of 4 trials" in out
    assert len(driver.words("epoch")) == 4
    seen = {tuple(word[1:]) for word in driver.words("saw")}
    assert len({device for device, _ in seen}) == len(seen) == 2, seen
    assert {device for device, _ in seen} < {"0", "1", "2"}
    driver.same_as_undisturbed("epochs=1")
