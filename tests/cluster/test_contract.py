"""The contract of clusters, on all that run without a queue; those are in files of their own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import dask
import pytest
from distributed import Client

import dasktune as dt
from dasktune.cluster import Demand, connect
from dasktune.cluster.running import Running as Backend
from dasktune.contract import ClusterContract
from dasktune.errors import ClusterError, UsageError


@pytest.fixture(autouse=True, scope="module")
def elsewhere(tmp_path_factory):
    """Work in a folder of our own."""
    before = os.getcwd()
    os.chdir(tmp_path_factory.mktemp("contract"))
    yield
    os.chdir(before)


class TestNone(ClusterContract):
    word = "none"
    jobs = 1
    sets_environment = False


class TestLocal(ClusterContract):
    word = "local"


@contextlib.contextmanager
def devices(text):
    """Pretend that there are GPUs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", text)
        yield


class TestCuda(ClusterContract):
    """Our own nannies."""

    word = "cuda"

    @contextlib.contextmanager
    def around(self):
        with devices("3,5"):
            yield self.word

    def test_each_trial_sees_its_own_device_alone(self):
        seen = [told["environment"]["CUDA_VISIBLE_DEVICES"] for told in self.made().told.values()]
        assert set(seen) == {"3", "5"}


DRIVER = Path(__file__).parent / "fake-driver"


class TestDaskCuda(ClusterContract):
    """NVIDIA's own LocalCUDACluster, on a driver whose GPUs are not there."""

    word = "cuda"
    settings: ClassVar = {"dask-cuda": "true"}

    @contextlib.contextmanager
    def around(self):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FAKE_GPUS", "whole whole whole")
            patch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-00000000-feed")
            patch.setenv("PYTHONPATH", str(DRIVER))  # for the workers
            patch.setenv("RAPIDS_NO_INITIALIZE", "")  # dask-cuda sets it
            patch.syspath_prepend(DRIVER)
            for name in ("pynvml", "cuda", "cuda.core"):
                patch.delitem(sys.modules, name, raising=False)
            yield self.word
            for name in [name for name in sys.modules if name.startswith(("dask_cuda", "cuda"))]:
                del sys.modules[name]

    def test_each_trial_sees_its_own_device_alone(self):
        """Dask-cuda by itself lets it see all of them, its own first."""
        seen = [told["environment"]["CUDA_VISIBLE_DEVICES"] for told in self.made().told.values()]
        assert set(seen) == {"2", "0"}

    def test_it_is_dask_cuda(self):
        """Which marks its workers, and names none of them as we do not."""
        for told in self.made().told.values():
            assert told["environment"]["RAPIDS_NO_INITIALIZE"] == "True"
        workers = {str(worker) for worker in self.made().dataset.worker.values[:4]}
        assert workers == {"gpu2", "gpu0"}

    def test_what_it_cannot_do_is_refused_if_it_was_asked_for(self):
        """One worker a GPU is all that it starts."""
        with self.around(), pytest.raises(ClusterError, match="it starts one worker a GPU"):
            with connect("cuda", Demand({"GPU": 0.5}), {"dask-cuda": "true"}):
                pass


@pytest.fixture(scope="module")
def running(elsewhere):
    """Start a scheduler and three workers, as somebody else would."""
    file = Path("scheduler.json").absolute()
    where = ["--scheduler-file", str(file), "--no-dashboard"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    quiet["env"] = {**os.environ, "PYTHONPATH": str(Path(dt.__file__).parent.parent)}
    command = [sys.executable, "-m", "dask"]
    scheduler = [*command, "scheduler", "--host", "127.0.0.1", "--port", "0", *where]
    workers = [*command, "worker", "--nthreads", "1", "--nworkers", "3", "--resources", "GPU=1"]
    with contextlib.ExitStack() as stack:
        for words in (scheduler, [*workers, *where]):
            started = stack.enter_context(subprocess.Popen(words, **quiet))
            stack.callback(started.terminate)
            deadline = time.monotonic() + 60
            while not file.exists():
                assert time.monotonic() < deadline, "the scheduler does not start"
                time.sleep(0.05)
        with Client(scheduler_file=str(file)) as client:
            client.wait_for_workers(3, timeout=60)
        yield file


class Running(ClusterContract):
    """A scheduler and workers that somebody else started, more than -j allows."""

    sets_environment = False

    @pytest.fixture(autouse=True)
    def there(self, running):
        """See to it that they are there."""
        self.file = running


class TestFile(Running):
    @property
    def word(self):
        return f"file:{self.file}"


class TestAddress(Running):
    @property
    def word(self):
        return json.loads(self.file.read_text())["address"]


class TestSection(Running):
    """A name of the user's in the configuration."""

    word = "mine"

    @contextlib.contextmanager
    def around(self):
        with dask.config.set({"dasktune.cluster.mine": {"kind": f"file:{self.file}"}}):
            yield self.word


class TestEntryPoint(Running):
    """Another package's."""

    word = "theirs"

    @contextlib.contextmanager
    def around(self):
        entry = EntryPoint("theirs", "theirs_module:theirs", "dasktune.clusters")

        def entry_points(*, group, name):
            return [entry] if (group, name) == (entry.group, entry.name) else []

        def theirs(settings):
            if settings:
                raise UsageError(f"their cluster has no settings, but got {sorted(settings)}.")
            return Backend(f"file:{self.file}")

        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, "theirs_module", SimpleNamespace(theirs=theirs))
            patch.setattr("importlib.metadata.entry_points", entry_points)
            yield self.word
