"""The ends that a real Slurm puts to jobs: each is told by its word, and nothing is lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time

import psutil
import pytest

ALONE = ("-O", "cpus=2")
"""Options that give each job a node of its own."""

FATES = """
import psutil


def fate(a):
    if a > FATED:
        return
    open(f"{HERE}/ready-{a}", "w").close()
    while not all(os.path.exists(f"{HERE}/ready-{b}") for b in range(1, FATED + 1)):
        time.sleep(0.05)
    try:
        os.close(os.open(f"{HERE}/fate-{a}", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        while a == 2 and not os.path.exists(f"{HERE}/queue-knows"):
            time.sleep(0.05)
        return
    note(f"fate {a} {os.getpid()} {os.environ['SLURM_JOB_ID']} {os.environ['SLURMD_NODENAME']}")
    if a == 4:
        # As where the kernel ends all of a job at once: the nanny first, and it can say nothing.
        for process in psutil.Process().parents():
            if "dasktune.cluster.node" in process.cmdline():
                with open(f"/proc/{process.pid}/oom_score_adj", "w") as file:
                    file.write("1000")
        hog = os.memfd_create("hog")  # counts for the job, and not for this process
        for _ in range(30):
            os.write(hog, bytes(10**8))
    import ctypes

    ctypes.PyDLL(None).sleep(600)  # it keeps the interpreter, so that no signal is heard


space ="""


@pytest.fixture
def fated(driver, slurm, ungraceful):
    """Give a sweep of trials that wait for their end, and one that takes too much memory.

    And how many of the four do so: where the memory of jobs has no limit, the last does not.
    """
    count = 4 if (slurm.folder / "cgroup.conf").exists() else 3
    driver.write(checkpoint_every=0)
    text = driver.file.read_text().replace("\nspace =", FATES.replace("FATED", str(count)))
    epoch = '        note(f"epoch'
    fate = "        if epoch == 2:\n            fate(trial.config.a)\n"
    driver.file.write_text(text.replace(epoch, fate + epoch))
    return driver, count


@pytest.fixture
def mortal(slurm):
    """Let nodes die, and bring them back."""
    dead = []

    def die(node, pid):
        worker = psutil.Process(pid)
        above = worker.parents()
        (step,) = (n for n, p in enumerate(above) if p.name().startswith("slurmstepd"))
        os.kill(int((slurm.folder / f"{node}.pid").read_text()), signal.SIGKILL)
        dead.append(node)
        for process in (*above[step::-1], worker):
            process.kill()

    def revive():
        while dead:
            node = dead.pop()
            subprocess.run(["/usr/sbin/slurmd", "-N", node], check=True, timeout=60)
            subprocess.run(["scontrol", "update", f"nodename={node}", "state=resume"], timeout=60)

    yield die, revive
    revive()


def test_what_a_queue_does_to_jobs_without_a_warning_is_told_and_loses_nothing(
    fated, slurm, mortal
):
    """A walltime, a node, a job of more importance, and memory: each is recognised and told."""
    (die, revive), (driver, count) = mortal, fated
    process = driver.start(*slurm.options, *ALONE, "-O", "queue=low", "-j4")
    driver.wait_for("fate", count, process)
    pid, job, node = ({int(w[1]): w[i] for w in driver.words("fate")} for i in (2, 3, 4))
    slurm.ask("scontrol", "update", f"job={job[1]}", "EndTime=now")
    die(node[2], int(pid[2]))
    whole = ("-w", node[3], "--ntasks=2", "--mem=3900", "-o", "/dev/null", "--wrap", "true")
    slurm.ask("sbatch", "-p", "high", *whole)
    told = driver.path / "dist" / "slow" / "runs"
    driver.wait_until(lambda: [*told.glob(f"*/deaths/job-{job[2]}-0")], process)
    revive()
    (driver.path / "queue-knows").touch()
    driver.finish(process)
    ends = [
        ("out of time", "the queue says JobState=TIMEOUT "),
        ("worker lost", "the queue says JobState=NODE_FAIL "),
        ("preempted", "the queue says JobState=PREEMPTED "),
        ("out of memory", "the queue says JobState=OUT_OF_MEMORY "),
    ]
    found = driver.setbacks()
    for a, (kind, words) in enumerate(ends[:count], start=1):
        [setback] = found[a]
        assert (setback["kind"], setback["evidence"][: len(words)]) == (kind, words)
    if count == 4:
        assert "oom" in found[4][0]["evidence"]  # the words in the job's log
    epochs = [(word[1], word[2]) for word in driver.words("epoch")]
    assert len(epochs) == len(set(epochs)) == 40  # each went on from its checkpoint
    driver.same_as_undisturbed()


class Fate:
    """What befalls the jobs of a sweep, one after another, as a seed has it."""

    HARD = ("worker killed", "nanny killed", "node lost")
    SOFT = ("cancelled", "requeued", "asleep")

    def __init__(self, slurm, mortal, seed):
        self.ask = slurm.ask
        self.die, self.revive = mortal
        self.random = random.Random(seed)
        self.order = self.random.sample(self.HARD + self.SOFT, 6)

    def strike(self, what, pid):
        """Let it befall the job of a worker; say whether there was one."""
        try:
            worker = psutil.Process(pid)
            variables = worker.environ()
        except psutil.NoSuchProcess:
            return False
        job, node = variables["SLURM_JOB_ID"], variables["SLURMD_NODENAME"]
        if what == "worker killed":
            worker.kill()
        elif what == "nanny killed":
            worker.parent().kill()
        elif what == "node lost":
            self.die(node, pid)
            self.ask("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
            self.revive()
        elif what == "cancelled":
            self.ask("scancel", job)
        elif what == "requeued":
            self.ask("scontrol", "update", f"job={job}", "requeue=1")
            self.ask("scontrol", "requeue", job)
        else:
            worker.suspend()
            time.sleep(self.random.random())
            worker.resume()
        return True


@pytest.mark.parametrize("seed", os.environ.get("DASKTUNE_SEEDS", "2").split())
def test_whatever_befalls_the_jobs_of_a_sweep_the_result_is_the_same(driver, slurm, mortal, seed):
    """Bit for bit; nothing fails, and no epoch behind a checkpoint is trained twice."""
    driver.write(checkpoint_every=0)
    fate = Fate(slurm, mortal, seed)
    process = driver.start(*slurm.options, *ALONE, "-j2", PAUSE="0.3")
    for number, what in enumerate(fate.order):
        driver.wait_for("epoch", 2 + 5 * number, process)
        driver.wait_until(lambda: fate.strike(what, int(driver.words("epoch")[-1][3])), process)  # noqa: B023
    driver.finish(process)
    epochs = [(word[1], word[2]) for word in driver.words("epoch")]
    assert len(set(epochs)) == 40
    assert len(epochs) <= 40 + len(fate.HARD)  # only what was in training then
    assert set(driver.dataset().status.values) == {"ok"}
    driver.same_as_undisturbed()
