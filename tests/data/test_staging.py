"""Staging: one whole copy a node, whoever comes, and whoever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dask
import numpy as np
import pytest
import xarray as xr

from dasktune.commit import write_atomically
from dasktune.data import Staging, opening, staging
from dasktune.data.staging import is_staged, stage
from dasktune.errors import DataError, StoreError, UsageError
from dasktune.fingerprint import tree_digest
from dasktune.preprocess import list_files
from dasktune.writing import write_split


@pytest.fixture
def source(tmp_path):
    """Give a preprocessed folder, its files and its digest."""
    folder = tmp_path / "source"
    dataset = xr.Dataset({"x": ("row", np.arange(1000)), "w": ("row", ["a"] * 1000)})
    write_split(f"{folder}/data.zarr", "train", dataset)
    files = list_files(str(folder))
    yield str(folder), files, tree_digest((path, sha) for path, _, sha in files)
    for name in list(staging._using):
        os.close(staging._using.pop(name))


@pytest.fixture
def always(tmp_path):
    """Give a way to stage on this machine, whose disk is local."""
    return Staging("always", str(tmp_path / "scratch"))


def copies(tmp_path) -> list[Path]:
    """List the copies, and what is left of some."""
    (place,) = (tmp_path / "scratch").iterdir()
    return [path for path in place.iterdir() if path.is_dir()]


@pytest.mark.parametrize(
    ("mode", "source", "place", "free", "staged"),
    [
        ("auto", "nfs4", "ext4", 10, True),
        ("auto", "lustre", "tmpfs", 10, True),
        ("auto", "nfs4", "ext4", 9, False),
        ("auto", "nfs4", "nfs4", 10, False),
        ("auto", "ext4", "ext4", 10, False),
        ("auto", "", "ext4", 10, False),
        ("always", "ext4", "ext4", 0, True),
        ("never", "nfs4", "ext4", 10, False),
    ],
)
def test_data_is_staged_from_the_network_to_a_disk_with_room(mode, source, place, free, staged):
    """Or always, or never."""
    assert is_staged(mode, source=source, place=place, size=10, free=free) is staged


def test_the_copy_is_the_same(source, always, tmp_path):
    """File by file, and nothing else is left."""
    folder, files, digest = source
    found = stage(folder, files, digest, always)
    assert found != folder
    assert list_files(found) == files
    assert copies(tmp_path) == [Path(found)]
    before = os.stat(f"{found}/data.zarr/train/x/c/0").st_ino
    assert stage(folder, files, digest, always) == found
    assert os.stat(f"{found}/data.zarr/train/x/c/0").st_ino == before


def test_local_data_is_not_copied_by_default(source, tmp_path):
    """Nor is any if it is never to be."""
    folder, files, digest = source
    for mode in ("auto", "never"):
        assert stage(folder, files, digest, Staging(mode, str(tmp_path / "scratch"))) == folder
    assert not (tmp_path / "scratch").exists()


def test_networked_data_is_copied_by_default(source, tmp_path, monkeypatch):
    """If the place is not on the network too."""
    folder, files, digest = source
    kinds = {folder: "nfs4"}
    monkeypatch.setattr(staging, "filesystem_of", lambda path: kinds.get(path, "ext4"))
    assert stage(folder, files, digest, Staging("auto", str(tmp_path / "scratch"))) != folder
    monkeypatch.setattr(staging, "filesystem_of", lambda path: "nfs4")
    assert stage(folder, files, digest, Staging("auto", str(tmp_path / "other"))) == folder


def test_data_that_was_spoilt_is_told(source, always, tmp_path):
    """Even if its size is right, and no copy of it stays."""
    folder, files, digest = source
    with open(f"{folder}/data.zarr/train/x/c/0", "r+b") as file:
        file.write(b"!")
    with pytest.raises(DataError, match="x/c/0 does not have the content"):
        stage(folder, files, digest, always)
    assert copies(tmp_path) == []


def test_a_copy_that_was_damaged_is_made_again(source, always, tmp_path):
    """As when somebody tidied up."""
    folder, files, digest = source
    found = stage(folder, files, digest, always)
    os.unlink(f"{found}/data.zarr/train/x/c/0")
    assert list_files(stage(folder, files, digest, always)) == files
    stage(folder, files, digest, always)


def test_a_place_that_cannot_be_written_is_told_or_done_without(source, tmp_path, monkeypatch):
    """With the fix, if a copy was asked for."""
    folder, files, digest = source
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="stage-folder, or set"):
        stage(folder, files, digest, Staging("always", str(tmp_path / "file")))
    monkeypatch.setattr(staging, "filesystem_of", lambda p: "nfs" if p == folder else "ext4")
    assert stage(folder, files, digest, Staging("auto", str(tmp_path / "file"))) == folder


def test_a_place_that_others_can_write_is_refused(source, always, tmp_path):
    """They could change what is trained on."""
    folder, files, digest = source
    place = Path(always.place({}))
    place.mkdir(parents=True)
    place.chmod(0o777)
    with pytest.raises(StoreError, match="another user"):
        stage(folder, files, digest, always)


def test_the_place_is_the_workers_own(monkeypatch):
    """Variables are expanded where the data is to be."""
    monkeypatch.setenv("NODE_DISK", "/local/disk")
    assert Staging("auto", "$NODE_DISK/x").place({}).startswith("/local/disk/x/dasktune-")
    assert Staging().place({"SLURM_TMPDIR": "/job"}).startswith("/job/dasktune-")


def test_copies_that_nobody_uses_are_swept(source, always, tmp_path):
    """After a day; and at once if there is no room."""
    folder, files, digest = source
    old = stage(folder, files, "a" * 64, always)
    stage(folder, files, "b" * 64, always)
    assert len(copies(tmp_path)) == 2
    os.utime(f"{old}.use", (1, 1))
    found = stage(folder, files, digest, always)
    assert Path(old) not in copies(tmp_path)
    assert len(copies(tmp_path)) == 2
    assert Path(found) in copies(tmp_path)


def test_copies_that_nobody_uses_make_room(source, always, tmp_path, monkeypatch):
    """However young."""
    folder, files, digest = source
    stage(folder, files, "a" * 64, always)
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(staging.shutil, "disk_usage", lambda path: usage)
    found = stage(folder, files, digest, always)
    assert copies(tmp_path) == [Path(found)]


WORKER = """
import json, os, sys, time
from dasktune.data import Staging, staging

real = staging.copy_hashed

def copy(source, path):
    with open(sys.argv[3], "a") as log:
        log.write(f"{os.getpid()} {source}\\n")
    if sys.argv[4] == "stall" and source.endswith("x/c/0"):
        with open(path, "wb") as file:
            file.write(b"half")
        time.sleep(600)
    return real(source, path)

staging.copy_hashed = copy
folder, files, digest = json.loads(sys.argv[1])
found = staging.stage(folder, files, digest, Staging("always", sys.argv[2]))
print(found, flush=True)
sys.stdin.readline()
"""


def worker(source, tmp_path, how: str = "go") -> subprocess.Popen[str]:
    """Start a process that stages, and then uses the copy until it is told to end."""
    import json

    words = [json.dumps(source), str(tmp_path / "scratch"), str(tmp_path / "log"), how]
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_for(condition) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_workers_that_come_at_once_make_one_copy(source, tmp_path):
    """One copies, the others wait for it."""
    workers = [worker(source, tmp_path) for _ in range(4)]
    try:
        found = {process.stdout.readline() for process in workers}
    finally:
        for process in workers:
            process.communicate("\n", timeout=60)
    assert len(found) == 1
    copied = (tmp_path / "log").read_text().splitlines()
    assert len(copied) == len(source[1])
    assert len(copies(tmp_path)) == 1
    assert list_files(found.pop().strip()) == source[1]


def test_a_copy_whose_maker_was_killed_is_made_by_the_next(source, always, tmp_path):
    """And nothing of the first attempt stays."""
    process = worker(source, tmp_path, "stall")
    wait_for(lambda: any(tmp_path.glob("scratch/*/*.tmp/data.zarr/train/x/c/0")))
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    found = stage(*source, always)
    assert list_files(found) == source[1]
    assert copies(tmp_path) == [Path(found)]


def test_a_copy_in_use_is_not_swept(source, always, tmp_path):
    """However old; once its user has ended, it is."""
    folder, files, _ = source
    process = worker((folder, files, "a" * 64), tmp_path)
    used = process.stdout.readline().strip()
    os.utime(f"{used}.use", (1, 1))
    stage(folder, files, "b" * 64, always)
    assert Path(used) in copies(tmp_path)
    process.communicate("\n", timeout=60)
    stage(folder, files, "c" * 64, always)
    assert Path(used) not in copies(tmp_path)


def test_trials_on_workers_read_the_copy_and_give_the_same(project, tmp_path):
    """Told by Dask's configuration, which the driver sends along."""
    project.edit('note("train " + trial.id)', 'note("read " + data.path)')
    with dask.config.set({"dasktune.stage": "never"}):
        assert project.make("trained").code == 0
    assert set(project.ran()) == {"preprocess", f"read {_store(project)}/data.zarr"}
    digests = _results(project)
    place = str(tmp_path / "scratch")
    opening._opened.clear()
    with dask.config.set({"dasktune.stage": "always", "dasktune.stage-folder": place}):
        assert project.cli("make", "-B", "trained", "--cluster", "local", "-j2").code == 0
    assert _results(project) == digests
    (copy,) = copies(tmp_path)
    reads = [word for word in project.ran() if word.startswith("read")]
    assert set(reads) == {f"read {copy}/data.zarr"}


def _store(project) -> Path:
    return next((project.root / "preprocessed").iterdir())


def _results(project) -> dict[str, str]:
    sweep = project.sweep()
    plan = sweep.plan()
    return {t.name: t.outcome.digest for t in plan.targets.values() if t.spec and t.outcome}


def test_nonsense_is_told(project):
    """Before anything runs."""
    with pytest.raises(UsageError, match="Did you mean 'always'"):
        Staging("alway")
    with dask.config.set({"dasktune.stage": "alway"}):
        result = project.make()
    assert result.code == 2
    assert "dasktune.stage must be one of auto, always, never, but got 'alway'" in result.err


def test_data_that_was_damaged_since_the_plan_is_told(project):
    """Where it is opened, with the file's name."""
    assert project.make("preprocessed").code == 0
    sweep = project.sweep()
    store = sweep.store
    key = _store(project).name
    stamp = store.stamp(store.preprocessed(key))
    path = next(p for p, _, _ in stamp.body["files"] if p.endswith("x/c/0"))
    write_atomically(f"{store.preprocessed(key)}/{path}", b"short")
    opening._opened.clear()
    with pytest.raises(DataError, match="has 5 bytes instead of 16"):
        opening.open_data(store.preprocessed(key), stamp)
