"""What tests share: a toy pipeline in a folder of its own, and the command line in-process."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from browser import browser, find_browser
from hypothesis import settings

import dasktune as dt
from dasktune.cli import main

# The gate draws the same examples each time, so that no change fails for another's sake; a
# developer's runs go on looking.
settings.register_profile("gate", derandomize=True)
if os.environ.get("DASKTUNE_CI"):
    settings.load_profile("gate")

# Under 'make test' the makes that tests start would think themselves part of that one.
for _name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
    os.environ.pop(_name, None)

QUEUES = {"slurm_folder", "sge_variables"}
"""Fixtures that start a queue, of which a machine has one at a time."""


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file in one process, and all that need a queue in one, too."""
    for item in items:
        needs = QUEUES.intersection(getattr(item, "fixturenames", ()))
        group = "queues" if needs else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))


def pytest_collection_finish(session: pytest.Session) -> None:
    """See to it that the groups hold: another pytest may hide them from pytest-xdist."""
    if getattr(session.config.option, "loadgroup", False):
        assert all("@" in item.nodeid for item in session.items), "pytest-xdist groups no tests"


TOY = """
import os
import time

import numpy as np
import xarray as xr

import dasktune as dt

HERE = os.path.dirname(__file__)
OFFSET = 0


def note(word):
    with open(f"{HERE}/log", "a") as file:
        file.write(word + "\\n")


def score(a, b):
    return a * 10 + b


def preprocess(rows: int = 4):
    note("preprocess")
    return {"train": xr.Dataset({"x": ("row", np.arange(rows, dtype="float32"))})}


def train(trial, data, epochs=2):
    note("train " + trial.id)
    print("training", trial.id)
    for epoch in trial.epochs(epochs):
        noise = float(np.random.random())
        trial.report(score=score(trial.config.a, trial.config.b) + epoch + OFFSET, noise=noise)
    if os.path.exists(f"{HERE}/fail-{trial.config.a}-{trial.config.b}"):
        raise RuntimeError("told to fail")


space = dt.Space(a=dt.choice(1, 2), b=dt.choice(3, 4))
pipeline = dt.Pipeline(space, preprocess, train, objective="max score")
"""

SEARCHED = """
import time

import dasktune as dt


def train(trial, data, epochs=9):
    total = Total()
    trial.checkpoint(total=total)
    for epoch in trial.epochs(epochs):
        line = f"from {trial.parent} at {trial.began}" * bool(trial.parent)
        note(f"{trial.config.a}/{trial.replicate.get('seed', 0)}{line} {epoch}")
        if os.path.exists(f"{HERE}/fail-{trial.config.a}-{epoch}"):
            raise RuntimeError("told to fail")
        time.sleep(0.1 * os.path.exists(f"{HERE}/slow"))
        total.value += trial.config.a
        nan = os.path.exists(f"{HERE}/nan-{trial.config.a}")
        trial.report(score=float("nan") if nan else trial.config.a - 50 / (epoch + 1))


space = dt.Space(a=dt.choice(*range(1, 10)))
pipeline = dt.Pipeline(
    space.grid(), preprocess, train, objective="max score", budget="epochs",
    checkpoint_every=0.0, search=dt.SuccessiveHalving(),
)
"""


@dataclass
class Result:
    """What the command line did."""

    code: int
    out: str
    err: str


@dataclass
class Project:
    """A folder with a pipeline file and a store."""

    folder: Path
    run_cli: Callable[[list[str]], Result]
    file: Path = field(init=False)

    def __post_init__(self) -> None:
        self.file = self.folder / "toy.py"
        self.file.write_text(TOY)

    @property
    def root(self) -> Path:
        """The toy pipeline's store."""
        return self.folder / "dist" / "toy"

    def cli(self, command: str, *arguments: str) -> Result:
        """Run a command on the pipeline."""
        return self.run_cli(
            [command, "-f", str(self.file), "--store", str(self.folder / "dist"), *arguments]
        )

    def make(self, *arguments: str) -> Result:
        """Run ``make`` in this process."""
        return self.cli("make", "--cluster", "none", *arguments)

    def edit(self, old: str, new: str, file: str = "toy.py") -> None:
        """Replace text in a file."""
        path = self.folder / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def ran(self) -> list[str]:
        """List the recipes that ran since the last call, trials without their hash."""
        log = self.folder / "log"
        words = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return [re.sub(r"-[0-9a-f]{8}$", "", word) for word in words]

    def sweep(self, **overrides: list[str]) -> dt.Sweep:
        """Load the pipeline as a sweep."""
        return dt.Sweep.load(
            str(self.file), store=str(self.folder / "dist"), overrides=overrides or None
        )

    def dataset(self) -> object:
        """Open the newest collation."""
        return dt.open_results(self.root)


@pytest.fixture
def run_cli(capsys: pytest.CaptureFixture[str]) -> Callable[[list[str]], Result]:
    """Run the command line in this process, and give exit code, stdout and stderr."""

    def run(arguments: list[str]) -> Result:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main(arguments)
        captured = capsys.readouterr()
        return Result(int(exit_.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def project(tmp_path: Path, run_cli: Callable[[list[str]], Result]) -> Iterator[Project]:
    """Give a folder with a toy pipeline of four trials."""
    before = os.getcwd()
    os.chdir(tmp_path)
    yield Project(tmp_path, run_cli)
    os.chdir(before)


@pytest.fixture(scope="session")
def searched() -> str:
    """Give the text of a pipeline with a search over nine configs."""
    return (Path(__file__).parent / "counting.py").read_text() + SEARCHED


@pytest.fixture
def search(project: Project, searched: str) -> Project:
    """Give a project with a search over nine configs."""
    project.file.write_text(searched)
    return project


@pytest.fixture
def module_file(tmp_path: Path) -> Callable[[str, str], Path]:
    """Write a module's text, dedented, into a folder of its own."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    return write


@pytest.fixture(scope="module")
def opened_browser():
    """Give a tab of a real browser; where there is none the gate fails, a person skips."""
    if find_browser() is None:
        missing = "chromium is not here; run scripts/install-debian-packages"
        if os.environ.get("DASKTUNE_CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    with browser() as opened:
        yield opened


@pytest.fixture
def tab(opened_browser):
    """Give the tab, empty, as at its first use."""
    opened_browser.open("about:blank")
    opened_browser.wait("location.href == 'about:blank'")
    opened_browser.errors.clear()
    return opened_browser
