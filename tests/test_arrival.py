"""Files of other machines, which a shared folder shows late, or never."""

from __future__ import annotations

import os
import threading

import pytest

from dasktune.arrival import VARIABLE, awaited, patience
from dasktune.collate import assemble
from dasktune.errors import StoreError
from dasktune.job import open_splits


@pytest.fixture
def made(project, monkeypatch):
    """Give a sweep that is made, and the outcomes of its targets."""
    project.make()
    sweep = project.sweep()
    monkeypatch.setenv(VARIABLE, "20")
    return sweep, {name: target.outcome for name, target in sweep.plan().targets.items()}


def later(path, seconds=0.5):
    """Hide a file or folder, and show it in a while."""
    os.rename(path, f"{path}.hidden")
    timer = threading.Timer(seconds, os.rename, [f"{path}.hidden", path])
    timer.start()
    return timer


def test_data_that_are_shown_late_are_waited_for(made):
    """Their stamp, and then the files that it lists."""
    sweep, outcomes = made
    data = outcomes["preprocessed"]
    folder = sweep.store.preprocessed(data.key)
    timer = later(folder)
    assert open_splits(sweep.store, data)["train"].x.shape == (4,)
    timer.join()
    (path, *_), *_ = sweep.store.stamp(folder).body["files"]
    timer = later(f"{folder}/{path}")
    assert open_splits(sweep.store, data)["train"].x.shape == (4,)
    timer.join()


def test_a_stamp_that_is_shown_late_is_waited_for_by_its_digest(made):
    """An older one in its place is not taken for it."""
    sweep, outcomes = made
    specs = sweep.plan().specs
    told = [outcomes[f"trained/{spec.id}"] for spec in specs]
    path = f"{sweep.store.trained(specs[0].id, told[0].key)}/.stamp"
    other = f"{sweep.store.trained(specs[1].id, told[1].key)}/.stamp"
    os.rename(path, f"{path}.hidden")
    os.link(other, path)
    timer = threading.Timer(0.5, os.replace, [f"{path}.hidden", path])
    timer.start()
    dataset = assemble(sweep.store, specs, told, sweep.pipeline.objective, "toy")
    assert dataset.objective.values[0] == 14
    timer.join()


def test_a_file_that_never_comes_is_an_error_that_names_the_mount(tmp_path, monkeypatch):
    """And how long it was waited for."""
    monkeypatch.setenv(VARIABLE, "0.3")
    with pytest.raises(StoreError, match=r"not to be seen here after 0\.3 s. It is on the mount /"):
        awaited(lambda: None, f"{tmp_path}/gone")


def test_on_a_disk_of_this_machine_nothing_is_late(tmp_path, monkeypatch):
    """What is gone there is gone at once."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr("dasktune.arrival.mount_of", lambda path: ("/", "ext4"))
    assert patience(str(tmp_path)) == 0
    with pytest.raises(StoreError, match="is gone; run again to make it"):
        awaited(lambda: None, f"{tmp_path}/gone")
    monkeypatch.setattr("dasktune.arrival.mount_of", lambda path: ("/home", "nfs4"))
    assert patience(str(tmp_path)) == 60
