"""Planning: what of a sweep is out of date, and why.

It reads stamps and lists folders, and does nothing else.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from dasktune.config import TrialSpec
from dasktune.cost import Cost, seconds_an_epoch
from dasktune.errors import StampError, UsageError
from dasktune.fingerprint import key as key_of
from dasktune.keys import collate_key, lineage, preprocess_parts, train_parts
from dasktune.outcome import Outcome
from dasktune.pipeline import Pipeline
from dasktune.plan import Plan, Request, State, Target, resolve_goal
from dasktune.recipe import Codes, read_codes
from dasktune.stamp import Stamp
from dasktune.store import SavedEpoch, Store, saved_epochs

FAILED = "failed last time"
"""The reason for a trial that has a record of its failure."""

FAILED_BEFORE = "never trained, but failed before"
"""The reason for one that failed with other code, data or variables than it has now."""

_SAMPLE = 20  # stamps that are read to tell how earlier trials went


class Planner:
    """Makes the plan of one pipeline, from what its store holds now.

    Parameters
    ----------
    pipeline : Pipeline
        The sweep.
    name : str
        Its name.
    store : Store
        Where its targets are.
    codes : Codes
        The fingerprints of its recipes.
    inputs : mapping of str to str
        Digests of its raw inputs.
    specs : sequence of TrialSpec, optional
        The trials; those of the pipeline's design if not given.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        name: str,
        store: Store,
        codes: Codes,
        inputs: Mapping[str, str],
        specs: Sequence[TrialSpec] | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.name = name
        self.store = store
        self.codes = codes
        self.inputs = inputs
        self.specs = pipeline.trials() if specs is None else tuple(specs)
        self._by_name = {f"trained/{spec.id}": spec for spec in self.specs}
        self._listings: dict[str, dict[str, list[str]]] = {}
        self._stored_codes: dict[str, dict[str, Any] | None] = {}

    def plan(self, request: Request) -> Plan:
        """Make the plan.

        Raises
        ------
        UsageError
            If a goal, or a target of ``-o`` or ``-W``, does not exist.
        """
        request = replace(
            request,
            goals=tuple(resolve_goal(goal, self.specs) for goal in request.goals),
            old=frozenset(resolve_goal(goal, self.specs) for goal in request.old),
            new=frozenset(resolve_goal(goal, self.specs) for goal in request.new),
        )
        if "trained" in request.old:  # a barrier has nothing of its own that could be old
            request = replace(request, old=request.old - {"trained"} | set(self._by_name))
        targets: dict[str, Target] = {}
        for name in self._visit(request):
            targets[name] = self._judge(name, request, targets)
        trials = [t.outcome for t in targets.values() if t.spec and t.outcome]
        seconds = [outcome.seconds for outcome in trials if outcome.status == "ok"]
        if not seconds and any(t.state is not State.DONE for t in targets.values()):
            seconds = self._earlier_seconds()
        median = statistics.median(seconds) if seconds else None
        cost = self._cost(targets.values())
        return Plan(self.name, request, targets, self.specs, median, cost=cost)

    def _needs(self, name: str) -> tuple[str, ...]:
        if name == "all":
            return ("collated",)
        if name == "collated":
            return ("trained",)
        if name == "trained":
            return tuple(self._by_name)
        return ("preprocessed",) if name in self._by_name else ()

    def _visit(self, request: Request) -> Iterator[str]:
        """Walk from the goals, depth first; do not look behind what ``-o`` names."""
        seen: set[str] = set()
        for goal in request.goals:
            stack = [(goal, False)]
            while stack:
                name, ready = stack.pop()
                if ready:
                    yield name
                elif name not in seen:
                    seen.add(name)
                    stack.append((name, True))
                    if name not in request.old:
                        stack.extend((need, False) for need in reversed(self._needs(name)))

    def _judge(self, name: str, request: Request, targets: dict[str, Target]) -> Target:
        needs = self._needs(name)
        target = Target(name, needs, spec=self._by_name.get(name))
        if name in request.old:
            return replace(target, outcome=self._as_it_is(name), needs=())
        if target.phony:
            return self._judge_phony(target, targets)
        if request.always_make:
            return replace(target, state=State.STALE, reason="forced by -B", force=True)
        changed = next((need for need in needs if need in request.new), "") or next(
            (x for need in needs if need == "trained" for x in self._by_name if x in request.new),
            "",
        )
        upstream = [targets[need] for need in needs if need in targets]
        if not changed and any(up.force and up.reason.startswith("-W") for up in upstream):
            changed = upstream[0].reason.removeprefix("-W ")
        if changed:
            return replace(target, state=State.STALE, reason=f"-W {changed}", force=True)
        if name == "preprocessed":
            return self._judge_preprocessed(target)
        if target.spec is not None:
            return self._judge_trial(target, target.spec, targets.get("preprocessed"))
        return self._judge_collated(target, targets)

    def _judge_phony(self, target: Target, targets: dict[str, Target]) -> Target:
        needs = [targets[need] for need in target.needs if need in targets]
        for state in (State.STALE, State.PENDING):
            waiting = [need for need in needs if need.state is state]
            if waiting:
                forced = next((n for n in waiting if n.force and n.reason.startswith("-W")), None)
                reason = forced.reason if forced else f"{waiting[0].name}: {waiting[0].reason}"
                return replace(target, state=state, reason=reason, force=forced is not None)
        return target

    def _judge_preprocessed(self, target: Target) -> Target:
        key = key_of("preprocess", self.preprocess_parts())
        wrong = self.store.damage(key)
        if wrong:
            if wrong == "never made":
                wrong = self._difference("preprocessed", "", self.preprocess_parts()) or wrong
            return replace(target, state=State.STALE, reason=wrong)
        stamp = self.store.stamp(self.store.preprocessed(key))
        assert stamp is not None
        return replace(target, outcome=_outcome(target.name, stamp))

    def _judge_trial(self, target: Target, spec: TrialSpec, preprocessed: Target | None) -> Target:
        assert preprocessed is not None
        data = preprocessed.outcome
        if data is None:
            if spec.id in self._listing("trained"):
                reason = "if preprocessed comes out different"
                return replace(target, state=State.PENDING, reason=reason)
            return replace(target, state=State.STALE, reason=self._untrained(spec))
        parts = self._train_parts(spec, data.digest)
        key = key_of("train", parts)
        try:
            stamp = self.store.stamp(self.store.trained(spec.id, key))
        except StampError:
            return replace(target, state=State.STALE, reason="its stamp is damaged")
        if stamp is not None:
            return replace(target, outcome=_outcome(target.name, stamp))
        saved = self._saved(spec, parts)
        reason = self._why_trial(spec, key, parts, saved)
        begins = saved.epoch if saved is not None else 0
        return replace(target, state=State.STALE, reason=reason, begins=begins)

    def _why_trial(
        self, spec: TrialSpec, key: str, parts: dict[str, Any], saved: SavedEpoch | None
    ) -> str:
        failed = key in self._listing("failed").get(spec.id, ())
        record = self.store.failure(spec.id, key) if failed else {}
        if record.get("type") == "Stopped":
            return "stopped by request last time"
        under_way = saved is not None and not saved.final
        if failed and not (under_way and saved is not None and _newer(saved, record)):
            return FAILED
        if under_way:
            return "interrupted; goes on from its checkpoint"
        reason = self._difference("trained", spec.id, parts) or self._untrained(spec)
        return f"{reason}; goes on from epoch {saved.epoch}" if saved is not None else reason

    def _untrained(self, spec: TrialSpec) -> str:
        record, _ = self.store.last_failure(spec.id, self._listing("failed").get(spec.id, []))
        failed = bool(record) and record.get("type") != "Stopped"
        return FAILED_BEFORE if failed else "never trained"

    def _saved(self, spec: TrialSpec, parts: dict[str, Any]) -> SavedEpoch | None:
        """Find the checkpoint that a trial would go on from."""
        found = self._listing("checkpoints").get(spec.id)
        if not found:
            return None
        budget = self.pipeline.budget_of(spec.config)
        line = lineage(parts, budget)
        if line not in found:
            return None
        most = self.pipeline.variables["train"].get(budget)
        folder = self.store.checkpoints(spec.id, line)
        saved = saved_epochs(folder, most if isinstance(most, int) else None)
        return saved[0] if saved else None

    def _judge_collated(self, target: Target, targets: dict[str, Target]) -> Target:
        trials = [targets[name] for name in self._by_name if name in targets]
        waiting = [trial for trial in trials if trial.state is not State.DONE]
        exists = self._listing("collated")
        if waiting:
            if not exists:
                return replace(target, state=State.STALE, reason="never collated")
            reason = f"if a result of {len(waiting)} trials is new"
            return replace(target, state=State.PENDING, reason=reason)
        known = [trial.outcome for trial in trials if trial.outcome is not None]
        key = collate_key(self._code("collate"), self.pipeline.objective, known)
        try:
            stamp = self.store.stamp(self.store.collated(key))
        except StampError:
            return replace(target, state=State.STALE, reason="its stamp is damaged")
        if stamp is not None:
            return replace(target, outcome=_outcome(target.name, stamp))
        reason = "the set of results changed" if exists else "never collated"
        return replace(target, state=State.STALE, reason=reason)

    def _as_it_is(self, name: str) -> Outcome | None:
        """Give the newest that there is of a target that ``-o`` forbids to make."""
        if name == "preprocessed":
            key = key_of("preprocess", self.preprocess_parts())
            keys = self._listing("preprocessed").get("", [])
            good = [k for k in keys if not self.store.damage(k)]
            stamp = self.store.newest("preprocessed", "", [key] if key in good else good)
            if stamp is None:
                raise UsageError(
                    "-o preprocessed needs preprocessed data of some kind, but there is none."
                )
            return _outcome(name, stamp)
        spec = self._by_name.get(name)
        if spec is None:
            return None
        keys = self._listing("trained").get(spec.id, [])
        stamp = self.store.newest("trained", spec.id, keys)
        if stamp is None:
            return Outcome(name, "", status="failed", made=False, error="not trained (-o)")
        return _outcome(name, stamp)

    def _difference(self, kind: str, trial: str, parts: Mapping[str, Any]) -> str:
        """Say what differs between a target's parts and those of its newest older version."""
        keys = self._listing(kind).get(trial, [])
        stamp = self.store.newest(kind, trial, keys) if keys else None
        if stamp is None:
            return ""
        older = stamp.body["parts"]
        words = []
        if older.get("code") != parts.get("code"):
            role = "preprocess" if kind == "preprocessed" else "train"
            words.append(f"code changed: {self._code_difference(role, stamp)}")
        old, new = older.get("variables", {}), parts.get("variables", {})
        words += [
            f"{name}: {show(old.get(name))} -> {show(new.get(name))}"
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
        ]
        if older.get("data") != parts.get("data"):
            words.append("preprocessed data changed")
        if older.get("seed") != parts.get("seed"):
            words.append("seed changed")
        old, new = older.get("inputs", {}), parts.get("inputs", {})
        names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
        if names:
            words.append(f"raw input changed: {', '.join(names)}")
        return "; ".join(words) or "its result is gone"

    def _code_difference(self, role: str, stamp: Stamp) -> str:
        digest = stamp.body["sources"]
        if digest not in self._stored_codes:
            self._stored_codes[digest] = read_codes(self.store, digest)
        tree = self._stored_codes[digest]
        old = tree["codes"].get(role, {}).get("parts", {}) if tree else {}
        new = self.codes.codes[role].parts
        names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return (", ".join(names[:3]) + more) or role

    def _listing(self, kind: str) -> dict[str, list[str]]:
        if kind not in self._listings:
            self._listings[kind] = self.store.listing(kind)
        return self._listings[kind]

    def _earlier_seconds(self) -> list[float]:
        return [stamp.seconds for stamp in self._some_stamps()]

    def _cost(self, targets: Iterable[Target]) -> Cost | None:
        """Tell what the trials cost that are to be trained, if a variable says for how long."""
        most = self.pipeline.variables["train"].get(self.pipeline.budget)
        waiting = [t for t in targets if t.spec is not None and t.state is not State.DONE]
        if not waiting or not isinstance(most, int):
            return None
        epochs = tuple(max(0, most - target.begins) for target in waiting)
        return Cost(epochs, seconds_an_epoch(self._some_stamps()))

    def earlier_fusing(self) -> dict[str, int]:
        """Tell how some earlier trials were trained together, or why not.

        Returns
        -------
        dict of str to int
            The reasons that their stamps hold, with how many were trained as one.
        """
        found: dict[str, int] = {}
        for stamp in self._some_stamps():
            fused = stamp.body.get("fused")
            if fused:
                found.setdefault(fused["why"], fused["lanes"])
        return found

    def _some_stamps(self) -> list[Stamp]:
        """Read the stamps of a few trials, evenly chosen."""
        listing = self._listing("trained")
        some = list(listing)[:: max(1, len(listing) // _SAMPLE)][:_SAMPLE]
        stamps = (self.store.newest("trained", trial, listing[trial]) for trial in some)
        return [stamp for stamp in stamps if stamp is not None]

    def _code(self, role: str) -> str:
        return self.codes.codes[role].digest if role in self.codes.codes else ""

    def forget(self) -> None:
        """Look at the store anew at the next plan."""
        self._listings.clear()

    def preprocess_parts(self) -> dict[str, Any]:
        """Collect what goes into the key of the preprocessed data."""
        variables = self.pipeline.variables["preprocess"]
        return preprocess_parts(self._code("preprocess"), variables, self.inputs)

    def _train_parts(self, spec: TrialSpec, data: str) -> dict[str, Any]:
        return train_parts(spec, self._code("train"), self.pipeline.variables_of(spec), data)


def _newer(saved: SavedEpoch, record: Mapping[str, Any]) -> bool:
    """Say whether a checkpoint was written after a failure: then the trial was tried again."""
    try:
        return os.stat(saved.path).st_mtime > float(record.get("when", 0.0))
    except OSError:
        return False


def _outcome(name: str, stamp: Stamp) -> Outcome:
    return Outcome(name, stamp.key, stamp.digest, made=False, seconds=stamp.seconds)


def show(value: Any) -> str:
    """Write a typed value for people."""
    if isinstance(value, dict) and len(value) == 1:
        kind, text = next(iter(value.items()))
        return str(float.fromhex(text)) if kind == "float" and text != "nan" else str(text)
    return "absent" if value is None else str(value)
