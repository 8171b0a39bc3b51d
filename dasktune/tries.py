"""The tries at one trial: whether there is another one, in what company, and who ends it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

from dasktune import drain
from dasktune.attempt import Attempt, setbacks
from dasktune.commit import take_away
from dasktune.errors import TrialLost
from dasktune.failedrecord import one_line
from dasktune.failure import hang
from dasktune.failure.company import among, make_room
from dasktune.failure.death import TIME_WORDS
from dasktune.failure.kind import Kind, Setback, kind_of
from dasktune.failure.leniency import tries_again, verdict_on
from dasktune.failure.tolerance import Tolerance
from dasktune.fingerprint import digest
from dasktune.runfolder import RunFolder
from dasktune.store import Store, saved_epochs


class Tries:
    """The tries at one trial in one run; one at a time is this process's.

    Parameters
    ----------
    store : Store
        Where targets are made.
    run : str
        The run's name.
    name : str
        Trial and key.
    worker : str
        The worker's name.
    tolerance : Tolerance
        How often exceptions are borne, and when a trial hangs.
    checkpoints : str
        The folder of its checkpoints.
    budget : int or None
        The epoch after which a checkpoint is of no use.

    Attributes
    ----------
    staged : str
        What the targets in the making are called after: no other run takes them away.
    past : list of Setback
        What befell earlier tries of this run.
    """

    def __init__(
        self,
        store: Store,
        run: str,
        name: str,
        worker: str,
        tolerance: Tolerance,
        checkpoints: str,
        budget: int | None,
    ) -> None:
        self._store = store
        self._run_name = run
        self._run = RunFolder(store.run(run))
        self._name = name
        self._worker = worker
        self._tolerance = tolerance
        self._checkpoints = checkpoints
        self._budget = budget
        self.staged = f"{name}.{digest(run)[:8]}"
        self.past: list[Setback] = []
        self._attempt: Attempt | None = None
        self._alone: Kind | None = None
        self._forget: Callable[[], None] = lambda: None

    def earlier(self) -> list[Setback]:
        """Tell what befell earlier tries, before another one begins."""
        return setbacks(self._run, self._name)

    def begin(self) -> bool:
        """Begin one; say whether it is not the first: then an older one may have published."""
        attempt = self._attempt = Attempt(self._run, self._name, worker=self._worker)
        # A worker that was told to leave may be killed before it has; that is no failure.
        self._forget = drain.when_requested(lambda: attempt.leaving(drain.why()))
        if attempt.number == 1:
            return False
        take_away(self._store, self.staged, self._run.last_log(self._name))
        return True

    def judge(self) -> None:
        """Look at what befell the earlier ones.

        Raises
        ------
        TrialLost
            If it tells that another one is of no use.
        """
        assert self._attempt is not None
        saved = saved_epochs(self._checkpoints, self._budget)
        epoch = saved[0].epoch if saved else -1
        self._attempt.goes_on_from(epoch)
        self.past = self._attempt.past()
        verdict = verdict_on(self.past, epoch)
        if verdict.kind is not None:
            raise TrialLost(verdict.text, verdict.kind)
        self._alone = verdict.alone

    def hear(self) -> None:
        """Hear what has become known of the earlier ones in the meantime."""
        if self._attempt is not None and self._attempt.number > 1:
            self.past = self._attempt.past(wait=False)

    @contextlib.contextmanager
    def company(self) -> Iterator[bool]:
        """Be among the others that train on this machine, or alone where that is called for.

        Gives whether there is still a reason to train: not if the run, or the worker, was told to
        stop while it waited to be alone.
        """
        with among(self._run_name, self._alone, lambda: not self._must_not_start()):
            if self._alone is not None and self._attempt is not None:
                self._attempt.is_alone()  # and not before: it may be lost while it waits
            yield not self._must_not_start()

    def _must_not_start(self) -> bool:
        return drain.requested() or self._run.stopping()

    def watch(
        self, others: Sequence[Tries] = ()
    ) -> contextlib.AbstractContextManager[Callable[[], None]]:
        """Watch for a hang, of this trial or of several that are trained as one.

        Parameters
        ----------
        others : sequence of Tries
            Those of the other trials.

        Returns
        -------
        context manager
            Gives what takes a sign of life.
        """
        seconds = self._tolerance.trial_timeout
        if not seconds:
            return contextlib.nullcontext(lambda: None)
        return hang.watched(
            self._run.new_hang(), [tries._name for tries in (self, *others)], seconds
        )

    def stacks(self) -> str:
        """Give the stacks of the trial's hangs."""
        return "".join(h["stacks"] for h in self._run.hangs() if self._name in h["names"])

    @property
    def last_log(self) -> str:
        """The file that keeps what a try printed that could not end by itself."""
        return self._run.last_log(self._name)

    def superseded(self) -> bool:
        """Say whether another one has begun elsewhere, so that this one may publish nothing."""
        return self._attempt is not None and not self._attempt.holds()

    def forgives(self, error: Exception) -> bool:
        """Say whether an exception is borne; then this try has ended, and another may begin."""
        kind, text = kind_of(error), one_line(error)
        if self._attempt is None or self._run.stopping():
            return False
        if not tries_again(kind, self.past, self._tolerance.retries):
            return False
        self._attempt.give_back(kind, text)
        self.past = [*self.past, Setback(kind, text)]
        self.end()
        make_room()
        return True

    def give_back(self) -> None:
        """End this one since its worker leaves: the trial goes on elsewhere."""
        if self._attempt is not None and drain.requested():
            kind = Kind.TIME if drain.why() in TIME_WORDS else Kind.PREEMPTED
            self._attempt.give_back(kind, f"its worker had to leave ({drain.why()})")

    def end(self) -> None:
        """Forget them all: this one ended in one way or another."""
        self._forget()
        if self._attempt is not None:
            self._attempt.end()
            self._attempt = None
