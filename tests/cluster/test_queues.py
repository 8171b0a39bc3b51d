"""Queues without any: what their jobs say, and what is read from what they print."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import shlex
import stat
import subprocess
import sys
import tempfile
from types import SimpleNamespace

import psutil
import pytest
from click.testing import CliRunner

from dasktune.cluster import Demand, command, jobs
from dasktune.cluster.choose import QUEUES, backend
from dasktune.cluster.jobs import Jobs
from dasktune.cluster.settings import read
from dasktune.cluster.walltime import read_walltime, seconds_left
from dasktune.errors import ClusterError, UsageError

SETTINGS = {
    "cpus": "4",
    "memory": "6GB",
    "walltime": "02:30:00",
    "queue": "long",
    "account": "physics",
    "lead": "120",
}
MEANINGS = {
    "slurm": [
        "#SBATCH --gres=gpu:1",
        "#SBATCH --cpus-per-task=4",
        "#SBATCH --mem=6G",
        "#SBATCH -t 02:30:00",
        "#SBATCH -p long",
        "#SBATCH -A physics",
        "#SBATCH --no-requeue",
        "#SBATCH --signal=B:USR1@120",
    ],
    "sge": [
        "#$ -l gpu=1",
        "#$ -pe smp 4",
        "#$ -l h_rt=02:30:00",
        "#$ -q long",
        "#$ -P physics",
        "#$ -notify",
        "#$ -r n",
    ],
    "pbs": [
        "#PBS -l select=1:ncpus=4:mem=6GB:ngpus=1",
        "#PBS -l walltime=02:30:00",
        "#PBS -q long",
        "#PBS -A physics",
        "#PBS -r n",
    ],
    "lsf": [
        '#BSUB -gpu "num=1"',
        "#BSUB -n 4",
        "#BSUB -W 02:30",
        "#BSUB -q long",
        '#BSUB -P "physics"',
        "#BSUB -wa USR2 -wt 2",
    ],
    "oar": [
        "#OAR -l /nodes=1/gpu=1,walltime=02:30:00",
        "#OAR -q long",
        "#OAR --project physics",
        "#OAR --checkpoint 120",
    ],
    "htcondor": [
        "request_gpus = 1",
        "RequestCpus = 4",
        "+MaxRuntime = 9000",
        "accounting_group = physics",
    ],
}


WHOLE_NODE = {
    "slurm": "#SBATCH --gres=gpu:4",
    "sge": "#$ -pe smp 8",
    "pbs": "#PBS -l select=1:ncpus=8:mem=60GB:ngpus=4",
    "lsf": '#BSUB -gpu "num=4"',
    "oar": "#OAR -l /nodes=1/gpu=4,walltime=01:00:00",
    "htcondor": "RequestCpus = 8",
}
"""What a job says that takes a node with four GPUs, for trials of two threads."""


def settings_for(kind):
    """Leave out what a queue does not know."""
    return {k: v for k, v in SETTINGS.items() if not (kind == "htcondor" and k == "queue")}


def worker_command(script):
    """Give the words with which a job's script starts the worker."""
    line = next(line for line in script.splitlines() if "dasktune.cluster.node" in line)
    if line.startswith("Arguments"):  # HTCondor's quotes: doubled, and around the whole command
        line = line.partition('"')[2].removesuffix('"')
        line = line.partition("'")[2].removesuffix("'").replace("''", "'").replace('""', '"')
    return shlex.split(line)


@pytest.mark.parametrize("kind", QUEUES)
class TestContract:
    """What every queue keeps."""

    def test_a_job_asks_for_what_was_set_in_the_queues_own_way(self, kind):
        script = backend(kind, settings_for(kind)).script(Demand(threads=2))
        lines = [line.strip() for line in script.splitlines()]
        for meaning in MEANINGS[kind]:
            assert meaning in lines

    def test_its_worker_is_ours_offers_the_resource_and_leaves_in_time(self, kind):
        script = backend(kind, settings_for(kind)).script(Demand(threads=2))
        assert "exec " in script
        assert "--workers" not in script
        for word in (
            "--resources GPU=1",
            "--drain-after 8880",
            "--nthreads 1",
            "--protocol tls://",
        ):
            assert word in script
        assert "export OMP_NUM_THREADS=2" in script

    def test_a_job_of_several_gpus_has_a_worker_for_each(self, kind):
        """Or several on each, or one for several, as a trial says; and processors for all."""
        settings = {"gpus": "4", "memory": "60GB"}
        script = backend(kind, settings).script(Demand(threads=2))
        assert " --workers 4 --gpus 4 --gpus-each 1" in script
        assert "--resources GPU=1 " in script
        mine = WHOLE_NODE[kind]
        assert mine in [line.strip() for line in script.splitlines()]
        assert " --workers 8 --gpus 4 --gpus-each 0.5" in backend(kind, settings).script(
            Demand({"GPU": 0.5})
        )
        assert " --workers 2 --gpus 4 --gpus-each 2" in backend(kind, settings).script(
            Demand({"GPU": 2})
        )
        alone = backend(kind, settings).script(Demand({"GPU": 4}))
        assert "--workers" not in alone
        few = backend(kind, {**settings, "workers": "3"}).script(Demand())
        assert " --workers 3 --gpus 4 --gpus-each 1" in few
        without = backend(kind, {"workers": "3", "gpus": "0"}).script(Demand({"CPU": 1}))
        assert " --workers 3" in without
        assert "--gpus" not in without

    def test_the_first_thing_that_it_does_is_to_look_at_the_clock(self, kind):
        """Whatever the user's own lines take, such as the loading of modules."""
        lines = backend(kind, {"prologue": "module load x"}).script(Demand()).splitlines()
        body = [line for line in lines if line and not line.startswith("#")]
        if kind == "htcondor":  # which has them in one line, after its header
            body = "".join(body).partition("'")[2].split(";")
        assert body[0] == "export DASKTUNE_BEGAN=`date +%s`"
        assert subprocess.check_output(["sh", "-c", f"{body[0]}; echo $DASKTUNE_BEGAN"]).strip()

    def test_nothing_secret_is_in_its_script(self, kind):
        script = backend(kind, {}).script(Demand())
        assert "BEGIN" not in script
        assert "RUN/tls/key.pem" in script

    def test_without_tls_it_says_so_nowhere(self, kind):
        script = backend(kind, {"tls": "false"}).script(Demand())
        assert "--tls-" not in script
        assert "tcp://SCHEDULER:8786" in script

    def test_a_trial_that_needs_no_gpu_asks_for_none(self, kind):
        script = backend(kind, {}).script(Demand({"CPU": 1}))
        ours = script.replace("NAME", "").replace(sys.executable, "python")
        assert "gpu" not in ours.lower()
        whole = backend(kind, {"gpus": "4"}).script(Demand({"CPU": 1}))
        assert "DASKTUNE_GPUS" not in whole  # it claims none, whatever its jobs ask for

    def test_a_job_is_told_how_many_gpus_it_has(self, kind, tmp_path):
        """For the queues, and the sites, that name none; also where it is no worker."""
        told = "export DASKTUNE_GPUS=2"
        assert told in backend(kind, {}).script(Demand({"GPU": 2}))
        sent = Jobs(kind, {}, Demand({"GPU": 2}, folder=str(tmp_path)))
        assert told in sent.script(["-m", "x"], sent.of_worker())
        assert told not in sent.script(["-m", "x"], sent.of_driver())
        sent = Jobs(kind, {"gpus": "2"}, Demand({"CPU": 1}, folder=str(tmp_path)))
        assert told not in sent.script(["-m", "x"], sent.of_worker())

    def test_a_trial_that_needs_nothing_at_all_leaves_no_gap_between_the_words(self, kind):
        """A shell would not see it, and take the next word for what it offers."""
        words = worker_command(backend(kind, {}).script(Demand({})))
        assert "--resources" not in words
        assert words[words.index("--drain-after") + 1].isdigit()

    def test_a_space_in_a_name_splits_no_word(self, kind, tmp_path, monkeypatch):
        """The store's, say; where the header of a job cannot have one, that is said."""
        (tmp_path / "w s").mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "w s"))
        cluster = backend(kind, {"local-directory": "$SCRATCH/my own", "host": "127.0.0.1"})
        if kind in ("sge", "pbs", "lsf"):
            with pytest.raises(UsageError, match="a folder whose name has a space"):
                cluster.script(Demand())
            monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
            (tmp_path / "w s").rmdir()
        script = cluster.script(Demand(name="my sweep"))
        words = worker_command(script)
        for word in ("$SCRATCH/my own", "RUN/tls/key.pem"):
            assert word in words
        assert '"$SCRATCH/my own"' in script.replace('""', '"')
        assert "my sweep" not in script
        if kind == "slurm":
            assert '#SBATCH -o "RUN/jobs/dasktune-my-sweep-%J.out"' in script.splitlines()

    def test_only_its_user_may_read_its_script_on_its_way(self, kind):
        """Its prologue may hold a secret."""
        cluster = backend(kind, {"prologue": "export TOKEN=hunter2"})
        job = cluster.job_class("", name="0", **cluster._options(Demand(folder="RUN"), None))
        with job.job_file() as path:
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
            with open(path) as file:
                assert "hunter2" in file.read()
        assert not os.path.exists(path)

    def test_an_empty_queue_has_no_jobs(self, kind):
        queue = importlib.import_module(f"dasktune.cluster.{kind}").QUEUE
        assert queue.kind == kind
        assert queue.seen("") == {}


def squeue(*jobs):
    """Write a listing as squeue does."""
    return "".join("".join(f"{word:128}" for word in job.split()) + "\n" for job in jobs)


PRINTED = {
    "slurm": squeue("12 PENDING 0 Resources a", "13 RUNNING 0 None b", "14 COMPLETED 0 None c"),
    "sge": (
        "job-ID  prior   name       user  state submit/start at     queue  slots\n"
        "------------------------------------------------------------------------\n"
        "     12 0.00000 dasktune-s root  qw    11/24/2026 07:00:00            1\n"
        "       Full jobname:     dasktune-sweep-1\n"
        "     13 0.55500 dasktune-s root  r     11/24/2026 07:00:00 all.q@vm   1\n"
        "       Full jobname:     dasktune-sweep-2\n"
        "       Master Queue:     all.q@vm\n"
    ),
    "pbs": (
        "Job ID     Username Queue Jobname    SessID NDS TSK Memory Time  S Time\n"
        "---------- -------- ----- ---------- ------ --- --- ------ ----- - -----\n"
        "12.server  root     long  dasktune   --      1   4    6gb 02:30 Q   --\n"
        "13.server  root     long  dasktune   99      1   4    6gb 02:30 R 00:01\n"
    ),
    "lsf": "12|PEND|a|Not enough GPUs\n13|RUN|b|-\n14|DONE|c|-\n",
    "oar": "Job id  S User Duration  System message\n12 W root 0:00:00 R=1\n13 R root 0:01:00 -\n",
    "htcondor": "12 1 undefined\n13 2 undefined\n14 4 undefined\n",
}


@pytest.mark.parametrize("kind", QUEUES)
def test_jobs_that_wait_and_jobs_that_run_are_told_apart(kind):
    """From what the queue's own command prints."""
    seen = importlib.import_module(f"dasktune.cluster.{kind}").QUEUE.seen(PRINTED[kind])
    assert {number.partition(".")[0]: job.waiting for number, job in seen.items()} == {
        "12": True,
        "13": False,
    }


@pytest.mark.parametrize(
    ("kind", "names"),
    [("slurm", ["a", "b"]), ("lsf", ["a", "b"]), ("sge", ["dasktune-sweep-1", "dasktune-sweep-2"])],
)
def test_a_job_is_listed_with_the_whole_of_its_name(kind, names):
    """By which one is known whose submission was not answered."""
    queue = importlib.import_module(f"dasktune.cluster.{kind}").QUEUE
    assert queue.names
    assert [job.name for job in queue.seen(PRINTED[kind]).values()] == names


@pytest.mark.parametrize("kind", QUEUES)
def test_what_a_site_says_besides_is_not_read_as_a_job(kind):
    """Such as a word of warning, or a blank line."""
    queue = importlib.import_module(f"dasktune.cluster.{kind}").QUEUE
    said = "NOTICE: maintenance on Monday\n\nCLUSTER: a\nNotice\n3 nodes are down\n"
    assert queue.seen(said + PRINTED[kind] + "\n") == queue.seen(PRINTED[kind])


SUSPENDED = {
    "slurm": squeue("12 SUSPENDED 0 None a", "13 STOPPED 1 None b"),
    "lsf": "12|SSUSP|a|Load\n13|USUSP|b|-\n",
    "pbs": PRINTED["pbs"].replace(" R ", " S ").replace(" Q ", " S "),
    "oar": PRINTED["oar"].replace(" R ", " S ").replace(" W ", " S "),
    "sge": PRINTED["sge"].replace(" r ", " hr ").replace(" qw ", " s "),  # as one that runs
}


@pytest.mark.parametrize("kind", SUSPENDED)
def test_a_job_that_is_suspended_is_not_one_that_has_yet_to_begin(kind):
    """Its trial goes on where it was."""
    seen = importlib.import_module(f"dasktune.cluster.{kind}").QUEUE.seen(SUSPENDED[kind])
    assert sorted(seen) == ["12", "13"]
    assert all(job.suspended or not job.waiting for job in seen.values())


def test_what_cannot_be_read_is_not_known(monkeypatch):
    """And is no error, which would come in the midst of a job's end."""

    def read(text, *more):
        raise ValueError(text)

    told = SimpleNamespace(stdout="JobId=often")
    monkeypatch.setattr(jobs.subprocess, "run", lambda command, **how: told)
    slurm = jobs.queue_of("slurm")
    monkeypatch.setattr(slurm, "seen", read)
    monkeypatch.setattr(slurm, "fate", read)
    assert jobs.fate(slurm, "7") == ""
    assert jobs.look(slurm) is None


def test_a_queue_that_hangs_is_not_waited_for_without_end(tmp_path, monkeypatch):
    """Its command is killed, lest it send the job after all."""
    sbatch = tmp_path / "sbatch"
    sbatch.write_text(f"#!/bin/sh\necho $$ >{tmp_path}/pid\nexec sleep 600\n")
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(command, "SECONDS", 2)
    sender = jobs.Jobs("slurm", {}, Demand(folder=str(tmp_path)))
    with pytest.raises(ClusterError, match="sbatch has not answered for 2 s"):
        sender.submit(["-c", "pass"], sender.of_driver())
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(int((tmp_path / "pid").read_text())).wait(60)


def test_a_queue_that_refuses_a_job_is_told_in_its_own_words(tmp_path, monkeypatch):
    """Without what ours did to ask it."""
    sbatch = tmp_path / "sbatch"
    sbatch.write_text("#!/bin/sh\necho 'sbatch: error: no such partition' >&2\nexit 1\n")
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    sender = jobs.Jobs("slurm", {}, Demand(folder=str(tmp_path)))
    with pytest.raises(ClusterError) as caught:
        sender.submit(["-c", "pass"], sender.of_driver())
    assert str(caught.value) == "the queue refused a job: sbatch: error: no such partition"


SCONTROL = "JobId=7 JobName=dasktune JobState={} Reason={} Restarts={} PreemptTime={}"
RESTARTED = {"SLURM_RESTART_COUNT": "1"}


@pytest.mark.parametrize(
    ("words", "environment", "fate"),
    [
        (SCONTROL.format("COMPLETING", "None", 0, "None"), {}, "cancelled"),
        (SCONTROL.format("COMPLETING", "None", 0, "2026-11-24T13:15:41"), {}, "driven out"),
        (SCONTROL.format("RUNNING", "None", 0, "2026-11-24T13:15:41"), {}, "driven out"),
        (SCONTROL.format("COMPLETING", "TimeLimit", 0, "None"), {}, "driven out"),
        (SCONTROL.format("RUNNING", "None", 0, "None"), {}, "driven out"),
        (SCONTROL.format("PENDING", "BeginTime", 1, "None"), {}, "again"),
        (SCONTROL.format("COMPLETING", "None", 1, "None"), {}, "again"),
        (SCONTROL.format("COMPLETING", "None", 1, "None"), RESTARTED, "cancelled"),
        (SCONTROL.format("SUSPENDED", "None", 0, "None"), {}, "driven out"),
        (
            SCONTROL.format("RUNNING", "None", "N/A", "None"),
            {"SLURM_RESTART_COUNT": ""},
            "driven out",
        ),
        ("slurm_load_jobs error: Invalid job id specified", {}, ""),
    ],
)
def test_slurm_tells_why_it_ends_a_job(words, environment, fate):
    """Whether a person cancelled it, others need its place, or Slurm starts it once more."""
    queue = importlib.import_module("dasktune.cluster.slurm").QUEUE
    assert queue.fate_command("7") == ("scontrol", "-o", "show", "job", "7")
    assert queue.fate(words, "7", environment) == fate


@pytest.mark.parametrize(
    ("state", "fate"), [("dr", "cancelled"), ("Rr", "again"), ("r", ""), ("qw", "")]
)
def test_grid_engine_tells_a_deleted_job_from_one_that_starts_anew(state, fate):
    """By its state's letters; what it does not list, nobody knows."""
    queue = importlib.import_module("dasktune.cluster.sge").QUEUE
    words = f"      7 0.55500 dasktune-s root  {state}  11/24/2026 07:00:00 all.q@vm   1\n"
    assert queue.fate(words, "7", {}) == fate
    assert queue.fate(words, "8", {}) == ""


def test_a_job_learns_its_number_and_its_place_from_its_environment():
    """Each PBS has words of its own."""
    pbs = importlib.import_module("dasktune.cluster.pbs").QUEUE
    assert pbs.number({"PBS_JOBID": "12.server", "SLURM_JOB_ID": "7"}) == "12"
    assert pbs.number({}) == ""
    assert pbs.place({"PBS_ARRAY_INDEX": "2"}) == pbs.place({"PBS_ARRAYID": "2"}) == 2
    assert pbs.array_name("12", "12[].server") == "12[]"  # and not from what is no array's
    assert pbs.array_name("12", "12") == "12"
    with pytest.raises(UsageError, match="learns its place from PBS_ARRAY_INDEX or PBS_ARRAYID or"):
        pbs.place({"SGE_TASK_ID": "undefined"})


def test_other_queues_do_not_tell():
    """Then the driver ends, and it is left to the queue whether it starts it again."""
    for kind in ("pbs", "lsf", "oar", "htcondor"):
        assert importlib.import_module(f"dasktune.cluster.{kind}").QUEUE.fate_command("7") == ()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("01:00:00", 3600),
        ("2-01:00:00", 176400),
        ("01:30", 5400),
        ("2h", 7200),
        ("90 minutes", 5400),
        (600, 600),
    ],
)
def test_a_walltime_is_read_in_all_ways_that_people_write_it(text, seconds):
    """Hours come first where there are two numbers."""
    assert read_walltime(text) == seconds


@pytest.mark.parametrize(
    ("environment", "left"),
    [
        ({}, 600),
        ({"DASKTUNE_BEGAN": "9940"}, 540),  # a minute, until Python ran
        ({"DASKTUNE_BEGAN": "10060"}, 600),  # a clock that was set
        ({"DASKTUNE_BEGAN": "9"}, 600),  # another job's
        ({"DASKTUNE_BEGAN": "`date +%s`"}, 600),
        ({"DASKTUNE_BEGAN": "9990", "SLURM_JOB_END_TIME": "10560"}, 500),
        ({"DASKTUNE_BEGAN": "9990", "SLURM_JOB_END_TIME": "99999"}, 590),  # longer than was asked
        ({"SLURM_JOB_END_TIME": "0"}, 600),
    ],
)
def test_a_jobs_time_counts_from_its_own_start(environment, left, monkeypatch):
    """Not from Python's, which may be slow to come; nonsense shortens it by nothing."""
    monkeypatch.setattr("dasktune.cluster.walltime.time.time", lambda: 10000.0)
    assert seconds_left(600, 60, environment) == left


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"walltime": "soon"}, "a walltime is HH:MM:SS"),
        ({"wall-time": "1h"}, "has no setting 'wall-time'. Did you mean 'walltime'?"),
        ({"cpus": "many"}, "cpus is a whole number"),
        ({"tls": "perhaps"}, "tls is true or false"),
        ({"lead": "3600"}, "would never train"),
        ({"workers": "0"}, "workers is a whole number of at least 1"),
        ({"workers": "3", "gpus": "2"}, "a job with 2 GPUs holds 2 workers"),
    ],
)
def test_a_wrong_setting_is_told(settings, words):
    """With the rule and what was received."""
    with pytest.raises(UsageError, match=re.escape(words)):
        backend("slurm", settings).script(Demand())


def test_flags_come_before_the_configuration_and_that_before_the_defaults(tmp_path, monkeypatch):
    """And each value tells where it is from: a flag, a variable, a file, the user's jobqueue."""
    import dask

    monkeypatch.setenv("DASK_DASKTUNE__CLUSTER__SLURM__ACCOUNT", "physics")
    (tmp_path / "mine.yaml").write_text(
        "dasktune:\n  cluster:\n    slurm:\n      walltime: 3h\n      memory: 8GB\n"
        "jobqueue:\n  slurm:\n    queue: long\n    walltime: 9h\n"
    )
    monkeypatch.setattr(dask.config, "paths", [str(tmp_path)])
    with dask.config.set({}):
        dask.config.refresh(paths=[str(tmp_path)])
        settings = read("slurm", "slurm", {"memory": "1GB"}, {})
    dask.config.refresh()
    told = {key: (setting.value, setting.origin) for key, setting in settings.items()}
    assert told["memory"] == ("1GB", "-O memory=…")
    assert told["account"] == ("physics", "$DASK_DASKTUNE__CLUSTER__SLURM__ACCOUNT")
    assert told["walltime"] == (
        "3h",
        f"dasktune.cluster.slurm.walltime in {tmp_path / 'mine.yaml'}",
    )
    assert told["queue"] == ("long", f"jobqueue.slurm.queue in {tmp_path / 'mine.yaml'}")
    assert told["tls"] == (True, "default")


def test_a_name_of_the_users_is_a_section_with_a_kind():
    """The same queue, other settings."""
    import dask

    with dask.config.set({"dasktune.cluster.big": {"kind": "slurm", "memory": "9GiB"}}):
        assert "--mem=9G" in backend("big", {}).script(Demand())
    with pytest.raises(ClusterError, match="a cluster is 'none', 'local', 'cuda', 'slurm'"):
        backend("big", {})


ARRAYS = {
    "slurm": ["#SBATCH --array=1-4", "#SBATCH --dependency=afterany:JOB"],
    "sge": ["#$ -t 1-4", "#$ -hold_jid JOB"],
    "pbs": ["#PBS -J 1-4", "#PBS -W depend=afterany:JOB"],
    "lsf": ['#BSUB -J "dasktune[1-4]"', '#BSUB -w "ended(JOB)"'],
}


@pytest.mark.parametrize("kind", QUEUES)
def test_the_jobs_of_a_submitted_sweep_are_shown(kind, project):
    """A driver asks for little, may be started again, and writes its log as it goes."""
    result = project.cli("submit", kind, "--print-job", "-j4", "-O", "memory=6GB")
    assert result.code == 0, result.err
    assert "-m dasktune drive STORE/" in result.out
    assert "--seconds 86400 --lead 300 >>STORE/" in result.out
    ours = result.out.replace(sys.executable, "python").replace("/gpu", "")
    assert "gpu" not in ours.lower()
    array = project.cli("submit", kind, "--array", "--print-job", "-j4")
    if kind not in ARRAYS:
        assert array.code == 2
        assert "--array" in array.err
        return
    assert array.code == 0, array.err
    lines = [line.strip() for line in array.out.splitlines()]
    for meaning in ARRAYS[kind]:
        assert meaning in lines
    for role in ("prepare", "train", "finish"):
        assert f"-m dasktune share {role} STORE/" in array.out
    assert not project.root.exists()


def test_the_command_line_shows_settings_and_jobs():
    """Without starting anything."""
    from dasktune.cli import cli

    shown = CliRunner().invoke(cli, ["cluster", "slurm", "-O", "memory=7GB"], standalone_mode=False)
    assert "memory 7GB -O memory=…" in " ".join(shown.output.split())
    for words in (["none"], ["local", "--show"], ["--show"]):
        shown = CliRunner().invoke(cli, ["cluster", *words], standalone_mode=False)
        assert shown.output.endswith(" has no settings\n"), shown
    job = CliRunner().invoke(cli, ["cluster", "slurm", "--print-job"], standalone_mode=False)
    assert job.output.startswith("#!/usr/bin/env bash\n")
