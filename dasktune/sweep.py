"""A sweep: a pipeline bound to its name, its store and the code that it was loaded with."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import dask

from dasktune.collate import CollateTask
from dasktune.config import TrialSpec, Value
from dasktune.data import Staging
from dasktune.facts import facts_of
from dasktune.failure.tolerance import Tolerance
from dasktune.graph import Tasks
from dasktune.inputs import input_digests
from dasktune.load import find_pipeline, load_module
from dasktune.pipeline import Pipeline
from dasktune.pipelinefile import name_of
from dasktune.plan import Plan, Request, State, Target
from dasktune.planner import Planner
from dasktune.preprocess import PreprocessTask
from dasktune.recipe import Codes, codes_of, pipeline_of
from dasktune.search import Strategy
from dasktune.searchplanner import SearchPlanner
from dasktune.store import Store
from dasktune.traintask import TrainTask


@dataclass(frozen=True)
class Sweep:
    """A pipeline, ready to be planned and run.

    Attributes
    ----------
    pipeline : Pipeline
        With what the command line overrides.
    name : str
        Names the folder of its store.
    file : str
        The pipeline file, for messages.
    store : Store
        Where its targets are.
    codes : Codes
        Fingerprints of its recipes.
    inputs : dict of str to str
        Digests of its raw inputs.
    searched : str
        The variable that says for how many epochs to train, where a search chose it.
    """

    pipeline: Pipeline
    name: str
    file: str
    store: Store
    codes: Codes
    inputs: dict[str, str]
    searched: str = ""

    @classmethod
    def of(
        cls,
        pipeline: Pipeline,
        *,
        file: str = "",
        name: str = "",
        store: str = "dist",
        overrides: Mapping[str, Sequence[str]] | None = None,
    ) -> Sweep:
        """Bind a pipeline to a store.

        Parameters
        ----------
        pipeline : Pipeline
            The sweep.
        file : str, optional
            Its file; the one that `train` was defined in if not given.
        name : str, optional
            Its name; the file's without ``.py`` if not given.
        store : str, default "dist"
            The folder that holds the stores of all pipelines.
        overrides : mapping of str to sequence of str, optional
            ``VAR=VAL`` of the command line, values split at commas.
        """
        codes = codes_of(pipeline)
        if not file:
            file = str(codes.sources.modules[codes.sources.main]["file"])
        name = name or name_of(file)
        where = Store.at(store, name)
        base = os.path.dirname(os.path.abspath(file))
        inputs = input_digests(pipeline.inputs, base, where)
        if overrides:
            pipeline = pipeline.override(overrides)
        return cls(pipeline, name, file, where, codes, inputs)

    @classmethod
    def load(
        cls,
        file: str,
        *,
        store: str = "dist",
        overrides: Mapping[str, Sequence[str]] | None = None,
        sources: str | None = None,
    ) -> Sweep:
        """Load a pipeline file and bind it to a store.

        Parameters
        ----------
        file, store, overrides
            As for `of`.
        sources : str, optional
            Digest of sources that the store holds: load the file as it was then.

        Raises
        ------
        PipelineError
            If the file cannot be loaded or defines no pipeline.
        """
        if sources is None:
            pipeline = find_pipeline(load_module(file))
        else:
            name = os.path.splitext(os.path.basename(file))[0]
            pipeline = pipeline_of(Store.at(store, name), sources)
        return cls.of(pipeline, file=file, store=store, overrides=overrides)

    def plan(self, request: Request | None = None) -> Plan:
        """Make the plan."""
        return self.planner().plan(request or Request())

    def known_trials(self) -> tuple[TrialSpec, ...]:
        """List the trials; those of a search as far as they are known."""
        return self.pipeline.trials() if self.pipeline.search is None else self.plan().specs

    def planner(self) -> Planner:
        """Give a planner over what the store holds now."""
        kind = Planner if self.pipeline.search is None else SearchPlanner
        return kind(self.pipeline, self.name, self.store, self.codes, self.inputs)

    def searching(
        self, search: Strategy | None, overrides: Mapping[str, Sequence[str]] | None = None
    ) -> Sweep:
        """Give this sweep with another strategy, or with none, and then what is overridden."""
        pipeline = self.pipeline.searching(search).override(overrides or {})
        return replace(self, pipeline=pipeline)

    def at(self, budget: int) -> Sweep:
        """Give this sweep, without a search, with a budget as its number of epochs."""
        return replace(self, pipeline=self.pipeline.at(budget), searched=self.pipeline.budget)

    def tasks(
        self,
        plan: Plan,
        run: str,
        *,
        keep_going: bool = False,
        ignore_errors: bool = False,
        tee: bool = False,
        tolerance: Tolerance | None = None,
    ) -> Tasks:
        """Give the nodes of a plan what they need to know.

        Parameters
        ----------
        plan : Plan
            The targets.
        run : str
            The run's name.
        keep_going, ignore_errors : bool
            ``-k`` and ``-i``.
        tee : bool
            Whether what a trial prints is shown in the terminal as well.
        tolerance : Tolerance, optional
            How often a trial is tried again, and when it hangs.
        """
        root, sources = self.store.root, self.codes.digest
        code = {role: made.digest for role, made in self.codes.codes.items()}
        force = {target.name for target in plan.targets.values() if target.force}
        train = self.train_tasks(
            plan.targets.values(),
            run,
            keep_going=keep_going,
            ignore_errors=ignore_errors,
            tee=tee,
            tolerance=tolerance,
        )
        preprocess = PreprocessTask(
            root,
            run,
            sources,
            code["preprocess"],
            self.pipeline.variables["preprocess"],
            self.inputs,
            force="preprocessed" in force,
        )
        collate = CollateTask(
            root,
            run,
            self.name,
            sources,
            code.get("collate", ""),
            self.pipeline.objective,
            plan.specs,
            facts_of(self.pipeline, self.codes.sources),
            force="collated" in force,
            ignore_errors=ignore_errors,
        )
        return Tasks(preprocess, train, collate, self.pipeline.resources)

    def train_tasks(
        self,
        targets: Iterable[Target],
        run: str,
        *,
        keep_going: bool = False,
        ignore_errors: bool = False,
        tee: bool = False,
        tolerance: Tolerance | None = None,
    ) -> dict[str, TrainTask]:
        """Give the train nodes of those targets that are to be made what they need to know."""
        staging = Staging(
            dask.config.get("dasktune.stage", "auto"), dask.config.get("dasktune.stage-folder", "")
        )
        return {
            target.name: TrainTask(
                self.store.root,
                run,
                self.codes.digest,
                self.codes.codes["train"].digest,
                target.spec,
                self.pipeline.variables_of(target.spec),
                force=target.force,
                ignore_errors=ignore_errors,
                keep_going=keep_going,
                tee=tee,
                budget=self.pipeline.budget_of(target.spec.config),
                searched=self.searched,
                origin_variables=self._origin_variables(target.spec),
                staging=staging,
                tolerance=tolerance or Tolerance(),
            )
            for target in targets
            if target.spec is not None and target.state is not State.DONE
        }

    def _origin_variables(self, spec: TrialSpec) -> dict[str, Value] | None:
        if spec.origin is None or spec.origin.spec is None:
            return None
        return self.pipeline.variables_of(spec.origin.spec)
