"""The exported Makefile: real GNU make, without Dask, gives the same targets and dataset."""

from __future__ import annotations

import shutil
import subprocess

import pytest
import xarray as xr

import dasktune as dt


@pytest.fixture
def exported(project):
    """Give a way to export the toy sweep into a store of its own and run make on it."""

    def export(*variables: str) -> None:
        result = project.cli("export-makefile", *variables)
        assert result.code == 0, result.err
        (project.folder / "Makefile").write_text(result.out)

    def make(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["make", *arguments], cwd=project.folder, capture_output=True, text=True
        )

    project.export, project.gnu_make = export, make
    return project


def test_gnu_make_gives_the_same_dataset(exported):
    """Two runners, one answer, bit for bit."""
    exported.export("a=1,2", "b=3")
    done = exported.gnu_make("-j2")
    assert done.returncode == 0, done.stderr
    assert sorted(exported.ran()) == ["preprocess", "train a=1,b=3", "train a=2,b=3"]
    assert exported.gnu_make("-q").returncode == 0
    theirs = exported.dataset()
    assert exported.make("--store", "other", "a=1,2", "b=3").code == 0
    ours = dt.open_results(exported.folder / "other" / "toy")
    varying = ["seconds", "training_seconds", "finished", "worker"]
    xr.testing.assert_identical(theirs.drop_vars(varying), ours.drop_vars(varying))
    assert exported.make("a=1,2", "b=3").out == "dasktune: Nothing to be done for 'all'.\n"


def test_what_dasktune_made_is_done_for_gnu_make_too(exported):
    """And a result that is deleted is made again, with what needs it."""
    exported.make("a=1", "b=3,4")
    exported.ran()
    exported.export("a=1", "b=3,4")
    assert exported.gnu_make("-q").returncode == 0
    shutil.rmtree(next((exported.root / "trained").glob("a=1,b=4-*")))
    assert exported.gnu_make("-q").returncode == 1
    assert exported.gnu_make("-n").stdout.count("\n") == 2
    assert exported.gnu_make().returncode == 0
    assert exported.ran() == ["train a=1,b=4"]
    assert exported.gnu_make("-q").returncode == 0


def test_a_failure_under_gnu_make(exported):
    """-k makes the others; the failed one leaves nothing that counts."""
    (exported.folder / "fail-1-3").touch()
    exported.export("a=1,2", "b=3")
    done = exported.gnu_make("-k")
    assert done.returncode == 2
    assert "told to fail" in done.stderr
    assert exported.ran() == ["preprocess", "train a=1,b=3", "train a=2,b=3"]
    (exported.folder / "fail-1-3").unlink()
    assert exported.gnu_make().returncode == 0
    assert exported.ran() == ["train a=1,b=3"]
