"""Workers with GPUs of their own, as far as that goes with devices that are not there."""

from __future__ import annotations

import dask
import pytest

from dasktune.cluster import Demand, demand
from dasktune.cluster.choose import backend
from dasktune.cluster.cuda import Seat, seats
from dasktune.cluster.devices import Device, Machine
from dasktune.errors import ClusterError, UsageError


def test_devices_are_shared_out():
    """Whole, in fractions, several for a trial; few workers are spread over all devices."""
    assert seats(["0", "2"], 1, None) == [Seat("gpu0", "0", 1.0), Seat("gpu2", "2", 1.0)]
    halves = seats(["0", "1"], 0.5, None)
    assert [(seat.devices, seat.gpus) for seat in halves] == [
        ("0", 0.5),
        ("1", 0.5),
        ("0", 0.5),
        ("1", 0.5),
    ]
    assert [seat.devices for seat in seats(["0", "1"], 0.25, 2)] == ["0", "1"]
    assert len(seats(["0"], 1 / 3, None)) == 3
    assert seats(["0", "1", "2"], 2, None) == [Seat("gpu0+1", "0,1", 2.0)]
    with pytest.raises(ClusterError, match=r"a trial needs 2 GPUs, but this machine gives 1 \(0\)"):
        seats(["0"], 2, None)

    packed = seats(["0", "1"], 1, None, pack=2)
    assert [(seat.name, seat.devices, seat.gpus) for seat in packed] == [
        ("gpu0-0", "0", 1.0),
        ("gpu1-0", "1", 1.0),
        ("gpu0-1", "0", 1.0),
        ("gpu1-1", "1", 1.0),
    ]
    assert len(seats(["0"], 0.5, None, pack=1)) == 1
    assert seats(["GPU-5d5ba0d6-d33d-2b2c"], 1, None)[0].name == "gpu5d5ba0d6-d33"


def test_its_settings_come_from_the_configuration_and_flags_override(monkeypatch):
    """As those of a queue; a list in YAML is as good as a text."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,7")
    with dask.config.set({"dasktune.cluster.mine": {"kind": "cuda", "gpus": [7, 3]}}):
        assert backend("mine", {}).devices == ["7", "3"]
        assert backend("mine", {"gpus": "5"}).devices == ["5"]
        assert backend("cuda", {}).devices == ["3", "5", "7"]
    with pytest.raises(UsageError, match="dask-cuda is true, false or auto"):
        backend("cuda", {"dask-cuda": "perhaps"})
    with pytest.raises(UsageError, match=r"no setting 'gpu'\. Did you mean 'gpus'"):
        backend("cuda", {"gpu": "5"})


def test_numbers_of_gpus_mean_what_the_driver_means_by_them(monkeypatch):
    """CUDA by itself counts the fastest first; who numbered GPUs by hand knows that."""
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    cuda = backend("cuda", {})
    assert "CUDA_DEVICE_ORDER" not in cuda.environment(Demand())
    cuda.machine = Machine((Device("0", "GPU-a"),), "NVML")
    assert cuda.environment(Demand())["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


def test_workers_that_share_a_gpu_use_mps_where_it_runs(monkeypatch, tmp_path):
    """They inherit the folder of its pipes, also if it is the usual one, which nobody names."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", str(tmp_path))
    (tmp_path / "control").touch()
    environment = backend("cuda", {}).environment(Demand(threads=3))
    assert environment["CUDA_MPS_PIPE_DIRECTORY"] == str(tmp_path)
    assert environment["OMP_NUM_THREADS"] == "3"


def test_more_threads_than_processors_are_told(monkeypatch):
    """With a number of trials that would keep the machine busy, and no busier."""
    told = []
    monkeypatch.setattr(demand, "processors", lambda: 8)
    demand.check_threads(Demand(threads=4, tell=told.append), 2)
    demand.check_threads(Demand(threads=9, tell=told.append), 1)
    assert not told
    demand.check_threads(Demand(threads=4, tell=told.append), 3)
    assert told[0]["text"] == (
        "3 trials at a time, with 4 threads each, wait for each other on 8 processors; "
        "-j 2 keeps them busy"
    )
    assert [demand.default_jobs(threads) for threads in (1, 3, 8, 16)] == [8, 2, 1, 1]


def test_without_a_gpu_it_says_so(monkeypatch):
    """And what to use instead."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ClusterError, match=r"no GPU is visible here.*--cluster local"):
        backend("cuda", {})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--gpus", "9"], "there is no GPU 9 that may be used here; there is 3, 5."),
        (["--gpus", "two"], "GPUs are chosen by number or UUID"),
        (["--gpus", "3", "--cluster", "slurm"], "A queue's job gets GPUs by -O gpus=N."),
        (["--gpus", "3", "--cluster", "local"], "--gpus chooses GPUs of this machine"),
    ],
)
def test_gpus_that_are_none_are_one_line(project, monkeypatch, options, words):
    """Before anything starts."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    result = project.cli("make", *options)
    assert result.code == 2
    assert words in result.err
    assert result.err.count("\n") == 1
    assert project.ran() == []


def test_the_command_line_shows_what_would_be_used(run_cli, monkeypatch):
    """And what would be chosen."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    shown = run_cli(["cluster", "cuda", "-O", "gpus=5"]).out
    assert shown == "gpus       5     -O gpus=…\ndask-cuda  auto  default\n"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr("dasktune.cluster.choose.look", Machine)
    shown = run_cli(["cluster", "auto"]).out
    assert shown == "cluster local, since no GPU is seen here\nlocal has no settings\n"


def test_trials_that_share_a_gpu_see_it_alone_and_are_processes_of_their_own(project, monkeypatch):
    """Threads of one process would wait for each other."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,7")
    project.edit(
        'note("train " + trial.id)',
        "note(f\"saw {os.environ['CUDA_VISIBLE_DEVICES']} {os.getpid()}\"); time.sleep(1)",
    )
    project.edit('objective="max score")', 'objective="max score", resources={"GPU": 0.5})')
    result = project.cli("make", "--gpus", "7")
    assert result.code == 0, result.err
    saw = [word.split() for word in project.ran() if word.startswith("saw")]
    assert {words[1] for words in saw} == {"7"}
    assert len({words[2] for words in saw}) == 2
    assert "cluster cuda, since GPUs were named" in result.out
    assert "MPS is not running" in result.out
