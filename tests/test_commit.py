"""Stamps and the commit protocol: whole or not at all."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dasktune.commit import publish, shared_sync, staging, sweep, write_atomically
from dasktune.errors import StampError
from dasktune.stamp import Stamp, parse_stamp, read_stamp
from dasktune.store import Store

STAMP = Stamp.of("train", "trained/a=1-00000000", "k" * 16, "d" * 64, 1.25, {"value": "é", "n": 1})


@pytest.fixture
def store(tmp_path):
    """Give an empty store."""
    store = Store.at(tmp_path, "p")
    store.prepare()
    return store


def test_a_stamp_is_read_back_as_it_was_written():
    """Both lines, unicode too."""
    again = parse_stamp(STAMP.to_bytes(), "x")
    assert again == STAMP
    assert again.body == {"value": "é", "n": 1}


def test_a_stamp_truncated_anywhere_is_refused():
    """At each of its bytes."""
    whole = STAMP.to_bytes()
    for length in range(len(whole)):
        with pytest.raises(StampError):
            parse_stamp(whole[:length], "x")


@given(st.integers(0, len(STAMP.to_bytes()) - 1), st.integers(1, 255))
def test_a_stamp_with_any_byte_changed_is_refused(position, change):
    """A hand that edits a metric does not make a result."""
    edited = bytearray(STAMP.to_bytes())
    edited[position] ^= change
    with pytest.raises(StampError):
        parse_stamp(bytes(edited), "x")


def test_no_stamp_is_no_error(tmp_path):
    """It only means that there is no target."""
    assert read_stamp(f"{tmp_path}/nowhere/.stamp") is None


def test_a_target_appears_whole_and_its_staging_folder_goes(store):
    """Files and stamp at once."""
    final = store.trained("a=1-00000000", "k" * 16)
    with staging(store, "t") as folder:
        Path(folder, "log.txt").write_text("hello")
        publish(store, folder, final, STAMP, replace=False)
    assert sorted(os.listdir(final)) == [".stamp", "log.txt"]
    assert os.listdir(store.tmp) == []


def test_a_failure_in_the_making_leaves_nothing(store):
    """The staging folder goes with the exception."""

    def fail() -> None:
        with staging(store, "t") as folder:
            Path(folder, "half").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert os.listdir(store.tmp) == []


def commit(store: Store, word: str, *, replace: bool) -> Stamp:
    """Make the same target with a content of its own."""
    stamp = Stamp.of("train", STAMP.target, STAMP.key, word * 64, 1.0, {})
    with staging(store, "t") as folder:
        Path(folder, "log.txt").write_text(word)
        return publish(store, folder, store.trained("t", STAMP.key), stamp, replace=replace)


def test_the_first_of_two_stays(store):
    """The second learns what stands there."""
    commit(store, "a", replace=False)
    assert commit(store, "b", replace=False).digest == "a" * 64
    assert Path(store.trained("t", STAMP.key), "log.txt").read_text() == "a"


def test_a_forced_one_replaces(store):
    """As -B demands."""
    commit(store, "a", replace=False)
    assert commit(store, "b", replace=True).digest == "b" * 64
    assert Path(store.trained("t", STAMP.key), "log.txt").read_text() == "b"
    assert os.listdir(store.tmp) == []


def test_a_damaged_one_is_replaced(store):
    """Its stamp cannot be trusted."""
    commit(store, "a", replace=False)
    Path(store.trained("t", STAMP.key), ".stamp").write_text("{")
    assert commit(store, "b", replace=False).digest == "b" * 64


@pytest.mark.parametrize("replace", [False, True])
def test_many_that_commit_at_once_leave_one_whole_result(store, replace):
    """Stamp and files belong together, whoever won."""
    threads = [
        threading.Thread(target=commit, args=(store, word), kwargs={"replace": replace})
        for word in "abcdef"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    final = store.trained("t", STAMP.key)
    stamp = read_stamp(f"{final}/.stamp")
    assert stamp.digest == Path(final, "log.txt").read_text() * 64
    assert os.listdir(store.tmp) == []


def test_what_a_dead_process_left_is_swept_and_what_a_live_one_makes_is_not(store):
    """By the process id in the folder's name."""
    script = f"""
        import os
        from dasktune.commit import staging
        from dasktune.store import Store
        with staging(Store({store.root!r}), "dead"):
            os._exit(0)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)
    assert [name.split(".")[0] for name in os.listdir(store.tmp)] == ["dead"]
    with staging(store, "live"):
        sweep(store)
        assert [name.split(".")[0] for name in os.listdir(store.tmp)] == ["live"]


def test_what_another_machine_left_is_swept_after_a_day(store):
    """Its processes cannot be asked."""
    old, new = f"{store.tmp}/t.elsewhere.1.abc", f"{store.tmp}/u.elsewhere.1.abc"
    for folder in (old, new):
        os.mkdir(folder)
    os.utime(old, (time.time() - 90_000,) * 2)
    sweep(store)
    assert os.listdir(store.tmp) == ["u.elsewhere.1.abc"]


def test_a_file_is_replaced_at_once_and_leaves_no_scratch(tmp_path):
    """A reader sees the older or the newer one."""
    path = tmp_path / "x"
    write_atomically(str(path), b"old")
    with pytest.raises(TypeError):
        write_atomically(str(path), "not bytes")
    assert path.read_bytes() == b"old"
    write_atomically(str(path), b"new")
    assert os.listdir(tmp_path) == ["x"]
    assert path.read_bytes() == b"new"


@pytest.fixture
def synced(monkeypatch):
    """List the files that are flushed to the disk."""
    paths = []
    real = os.fsync

    def fsync(descriptor):
        paths.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return paths


def file_away(store, name, *more):
    """Publish a target, with more files if told so."""
    final = store.trained(name, "k" * 16)
    with staging(store, name) as folder:
        for file in more:
            Path(folder, file).write_text("x")
        publish(store, folder, final, STAMP, replace=False)
    return final


def test_a_target_is_on_the_disk_before_it_is_in_its_place(store, synced):
    """Its files first, then the folder that names it."""
    file_away(store, "a", "model.safetensors")
    assert [os.path.basename(path) for path in synced] == ["model.safetensors", ".stamp", "trained"]


def test_short_trials_appear_one_by_one_and_are_flushed_together(store, synced):
    """Each is there at once; the folder that names them is flushed once, after them all."""
    with shared_sync(store):
        finals = [file_away(store, name, "log.txt") for name in "abc"]
        assert all(store.stamp(final) == STAMP for final in finals)
        assert synced == []
    assert synced == [*(f"{final}/.stamp" for final in finals), f"{store.root}/trained"]


def test_a_model_is_never_in_its_place_before_it_is_on_the_disk(store, synced):
    """Its digest is not looked at again, so that it cannot wait."""
    with shared_sync(store):
        file_away(store, "a", "model.safetensors")
        assert [os.path.basename(p) for p in synced] == ["model.safetensors", ".stamp", "trained"]


def test_what_was_published_is_flushed_also_after_an_error(store, synced):
    """An error later on takes nothing back."""
    with contextlib.suppress(KeyboardInterrupt), shared_sync(store):
        final = file_away(store, "a")
        raise KeyboardInterrupt
    assert synced == [f"{final}/.stamp", f"{store.root}/trained"]


def test_a_trial_leaves_one_file_and_no_more_than_it_has_to(project):
    """A log if it printed, a model and its card if it gave one back; nothing of it elsewhere."""
    project.edit("    print(", "    trial.config.a == 2 and print(")
    project.edit(
        "for epoch in",
        "model = {'w': np.zeros(2)} if trial.config.b == 4 else None\n    for epoch in",
    )
    project.edit('raise RuntimeError("told to fail")', "raise RuntimeError\n    return model")
    assert project.make().code == 0
    found = {
        path.name.rpartition("-")[0].rpartition("-")[0]: sorted(os.listdir(path))
        for path in (project.root / "trained").iterdir()
    }
    assert found == {
        "a=1,b=3": [".stamp"],
        "a=1,b=4": [".stamp", "model.json", "model.safetensors"],
        "a=2,b=3": [".stamp", "log.txt"],
        "a=2,b=4": [".stamp", "log.txt", "model.json", "model.safetensors"],
    }
    for name in ("tmp", "runs", "checkpoints", "failed"):
        folder = project.root / name
        assert not folder.exists() or os.listdir(folder) == []
