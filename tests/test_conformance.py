"""Make is the referee: real GNU make and dasktune on the same states, failures and flags.

Trials of this toy pipeline come out different each time they are trained, so that dasktune has
no early cut-off to take, and what needs a remade target is remade, as in make. Deviations that
are deliberate (see docs/make.md) are named in `deviation`.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

import dasktune as dt
from dasktune.plan import Request
from dasktune.run import Options, make

PIPELINE = """
import os
import time

import xarray as xr

import dasktune as dt

HERE = os.path.dirname(__file__)


def note(word):
    with open(f"{HERE}/log", "a") as file:
        file.write(word + "\\n")


def preprocess():
    note("preprocessed")
    return {"train": xr.Dataset({"now": ("row", [time.time_ns()])})}


def train(trial, data):
    note(f"trained/{trial.config.name}")
    trial.report(score=time.time_ns() % 1_000_000_007)
    if os.path.exists(f"{HERE}/fail-{trial.config.name}"):
        raise RuntimeError("told to fail")


def collate(dataset):
    note("collated")
    return dataset


space = dt.Space(name=dt.choice("A", "B", "C"))
pipeline = dt.Pipeline(space, preprocess, train, collate=collate, objective="max score")
"""

MAKEFILE = """
all: collated
collated: trained/A trained/B trained/C
\techo $@ >> log
\ttouch $@
trained/A trained/B trained/C: preprocessed
\techo $@ >> log
\ttest ! -e fail-$(notdir $@)
\ttouch $@
trained: trained/A trained/B trained/C
preprocessed:
\techo $@ >> log
\ttouch $@
.PHONY: all
"""
NAMES = ("A", "B", "C")
TARGETS = ("preprocessed", "trained/A", "trained/B", "trained/C", "collated")


@dataclass(frozen=True)
class Case:
    """A state, what fails, and what is asked for."""

    missing: tuple[str, ...]
    failing: tuple[str, ...]
    goals: tuple[str, ...]
    keep_going: bool
    ignore: bool
    always: bool
    old: tuple[str, ...]
    new: tuple[str, ...]


def cases(count: int) -> list[Case]:
    """Draw cases, the same each time."""
    draw = random.Random(20261123)

    def some(words, share):
        return tuple(word for word in words if draw.random() < share)

    found = []
    for _ in range(count):
        goal = draw.choice(["all", "collated", "trained/A", "trained/B", "preprocessed"])
        flag = draw.random()
        found.append(
            Case(
                missing=some(TARGETS, draw.choice([0.0, 0.2, 1.0])),
                failing=some(NAMES, draw.choice([0.0, 0.3])),
                goals=(goal,) if draw.random() < 0.8 else (goal, "trained/C"),
                keep_going=draw.random() < 0.4,
                ignore=draw.random() < 0.15,
                always=draw.random() < 0.2,
                old=some(TARGETS, 0.5)[:1] if flag < 0.15 else (),
                new=some(TARGETS, 0.5)[:1] if flag > 0.85 else (),
            )
        )
    return found


def deviation(case: Case) -> str:
    """Name the deliberate deviation that a case runs into, if any."""
    if set(case.missing) & set(case.old):
        return "-o of a missing target: make takes it for there, dasktune needs its content"
    if set(case.missing) & set(case.new):
        return "-W of a missing target: make takes it for made, dasktune makes it"
    if case.new:
        return ""
    return ""


class Sides:
    """The same state on both sides."""

    def __init__(self, folder: Path) -> None:
        self.ours, self.theirs = folder / "ours", folder / "theirs"
        for side in (self.ours, self.theirs):
            side.mkdir()
        (self.theirs / "Makefile").write_text(MAKEFILE)
        (self.theirs / "trained").mkdir()
        (self.ours / "toy.py").write_text(PIPELINE)
        self.sweep = dt.Sweep.load(str(self.ours / "toy.py"), store=str(self.ours / "dist"))
        self.ids = {spec.config.name: f"trained/{spec.id}" for spec in self.sweep.pipeline.trials()}

    def name(self, target: str) -> str:
        """Give our name of a target."""
        return self.ids.get(target.removeprefix("trained/"), target)

    def reset(self, case: Case) -> None:
        """Bring both sides into a case's state: all made, but for what is missing."""
        for name in NAMES:
            for side in (self.ours, self.theirs):
                (side / f"fail-{name}").unlink(missing_ok=True)
        shutil.rmtree(self.sweep.store.root, ignore_errors=True)
        assert make(self.sweep, options=Options(cluster="none")).exit_code == 0
        now = 1_700_000_000
        for index, target in enumerate(TARGETS):
            path = self.theirs / target
            path.touch()
            os.utime(path, (now + index // 4 * 10 + (index > 0) * 5,) * 2)
        for target in case.missing:
            (self.theirs / target).unlink()
            root = Path(self.sweep.store.root)
            pattern = {
                "preprocessed": "preprocessed/*",
                "collated": "collated/*",
            }.get(target) or f"{self.name(target)}-*"
            for path in root.glob(pattern):
                shutil.rmtree(path)
        for name in case.failing:
            for side in (self.ours, self.theirs):
                (side / f"fail-{name}").touch()
        for side in (self.ours, self.theirs):
            (side / "log").unlink(missing_ok=True)

    def log(self, side: Path) -> list[str]:
        """List what ran."""
        log = side / "log"
        return log.read_text().split() if log.exists() else []

    def run_ours(self, case: Case, options: Options) -> int:
        """Run dasktune."""
        request = Request(
            goals=tuple(self.name(goal) for goal in case.goals),
            always_make=case.always,
            old=frozenset(self.name(target) for target in case.old),
            new=frozenset(self.name(target) for target in case.new),
        )
        return make(self.sweep, request, options).exit_code

    def run_theirs(self, case: Case) -> int:
        """Run GNU make."""
        flags = ["-k"] * case.keep_going + ["-i"] * case.ignore + ["-B"] * case.always
        flags += [word for target in case.old for word in ("-o", target)]
        flags += [word for target in case.new for word in ("-W", target)]
        done = subprocess.run(
            ["make", "-s", *flags, *case.goals], cwd=self.theirs, capture_output=True, text=True
        )
        return done.returncode


@pytest.fixture(scope="module")
def sides(tmp_path_factory):
    """Give both sides."""
    return Sides(tmp_path_factory.mktemp("conformance"))


def test_dasktune_runs_what_make_runs_in_its_order_with_its_exit_code(sides):
    """Over states, failures, goals and -k -i -B -o -W."""
    compared = 0
    for case in cases(160):
        if deviation(case):
            continue
        sides.reset(case)
        theirs = sides.run_theirs(case), sides.log(sides.theirs)
        options = Options("none", keep_going=case.keep_going, ignore_errors=case.ignore)
        ours = sides.run_ours(case, options), sides.log(sides.ours)
        assert ours == theirs, case
        compared += 1
    assert compared > 130


def test_each_deviation_is_met_and_is_one(sides):
    """A deviation that nothing shows would be a hole in the test above."""
    met = {}
    for case in cases(160):
        if deviation(case):
            met.setdefault(deviation(case).partition(":")[0], case)
    assert set(met) == {"-o of a missing target", "-W of a missing target"}


def test_a_dry_run_and_a_question_tell_what_make_tells(sides):
    """-q gives make's exit code, and runs nothing."""
    for case in cases(60):
        if deviation(case) or case.failing:
            continue
        sides.reset(case)
        flags = ["-B"] * case.always
        flags += [word for target in case.old for word in ("-o", target)]
        flags += [word for target in case.new for word in ("-W", target)]
        done = subprocess.run(["make", "-q", *flags, *case.goals], cwd=sides.theirs)
        request = Request(
            tuple(sides.name(goal) for goal in case.goals),
            case.always,
            frozenset(sides.name(target) for target in case.old),
            frozenset(sides.name(target) for target in case.new),
        )
        assert int(not sides.sweep.plan(request).up_to_date) == done.returncode, case
        assert sides.log(sides.ours) == []


def test_on_workers_the_same_targets_run(sides):
    """On a cluster with two workers: the same set and exit code, with -k or without failure."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=False,
            protocol="tcp://",
            host="127.0.0.1",
            resources={"GPU": 1},
            dashboard_address=None,
        ) as cluster,
        Client(cluster) as client,
    ):
        for case in cases(60):
            if deviation(case) or (case.failing and not (case.keep_going or case.ignore)):
                continue
            sides.reset(case)
            theirs = sides.run_theirs(case), sorted(sides.log(sides.theirs))
            options = Options(client, keep_going=case.keep_going, ignore_errors=case.ignore)
            ours = sides.run_ours(case, options), sorted(sides.log(sides.ours))
            assert ours == theirs, case
