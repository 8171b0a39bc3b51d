"""The jobs of one run: a thin loop around the decisions of `supervisor`."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import time
from typing import TYPE_CHECKING, Any

from dasktune.attempt import job_name
from dasktune.cluster.attendance import Attendance
from dasktune.cluster.cancelling import cancelled
from dasktune.cluster.command import call, hopeless, refusal
from dasktune.cluster.demand import Demand, worker_names
from dasktune.cluster.ending import REQUEUED, end_of, is_over, last_words, restarts_of, words_of
from dasktune.cluster.hand import Hand, worded
from dasktune.cluster.supervisor import decide, pause, wanted
from dasktune.cluster.unheard import Unheard
from dasktune.runfolder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from distributed import Client

    from dasktune.cluster.queue import Queue, Seen

INTERVAL = 1.0  # seconds between two looks at the queue, while something is on the move
CALM_INTERVAL = 5.0  # the same, while nothing is
GLANCE_INTERVAL = 0.1  # seconds between two looks at the scheduler, which cost nothing
MOST_AT_ONCE = 10  # submissions between two looks
STILLBORN = 3  # jobs that end at once, one after another, before it is an error
GHOST_SECONDS = 30  # that a worker may outlive its job before it is cut off
FAREWELL_SECONDS = 5  # that workers may take to go home before their jobs are cancelled
STOP_SECONDS = 15.0  # that the end of a run may take, whatever the queue does
SILENT_SECONDS = 90  # that a job may run before its worker has connected, without a word of ours


class Fleet:
    """Keeps as many jobs as there are trials to train.

    Parameters
    ----------
    cluster : dask_jobqueue.JobQueueCluster
        Has the scheduler, and writes the jobs.
    client : distributed.Client
        Whose futures are given up when there is no hope.
    queue : Queue
        Where the jobs are.
    limit : int
        The most trials at a time.
    demand : Demand
        What the run needs.
    each : int
        Workers of a job.

    Attributes
    ----------
    failure : str
        Why no worker will ever come; empty if there is hope.
    """

    def __init__(
        self, cluster: Any, client: Client, queue: Queue, limit: int, demand: Demand, each: int = 1
    ) -> None:
        self._cluster = cluster
        self._client = client
        self._queue = queue
        self._limit = limit
        self._demand = demand
        self._each = each
        self._run = RunFolder(demand.folder)
        self._mark = os.urandom(3).hex()  # of the names of our jobs
        self._attendance = Attendance(cluster.scheduler)
        self._unheard = Unheard()
        self._coming: Hand | None = None  # is being submitted
        self._hands: dict[str, Hand] = {}
        self._number = 0
        self._stillborn = 0
        self._refusals = 0
        self._not_before = 0.0
        self._accepted = False
        self._told = ""
        self._task: asyncio.Task[None] | None = None
        self._submission: asyncio.Task[None] | None = None
        self._asked = self._ask_at = -math.inf  # when the queue was, and is to be
        self._stood: Any = None  # how our workers stood then
        self.failure = ""

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._keep())

    async def stop(self) -> None:
        """Send the workers home, and cancel what is left, in a time that has an end."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        ours = self._ours()
        for address in ours:
            self._scheduler.close_worker(address)
        ends = [asyncio.create_task(end) for end in (self._end_known(ours), self._end_coming())]
        _, late = await asyncio.wait(ends, timeout=STOP_SECONDS)
        for task in late:
            task.cancel()
        await asyncio.gather(*ends, return_exceptions=True)
        left = [hand.job.job_id for hand in self._hands.values() if not hand.over]
        left += self._unheard.hands
        if left:
            self._note(
                f"the queue did not cancel {', '.join(left)} in {STOP_SECONDS:g} s; what it starts "
                "of them ends by itself when it finds no scheduler"
            )

    async def _end_known(self, ours: list[str]) -> None:
        """Cancel the jobs that are there, after their workers have had time to go home."""
        deadline, hands = time.monotonic() + FAREWELL_SECONDS, [*self._hands.values()]
        while time.monotonic() < deadline and any(a in self._scheduler.workers for a in ours):
            await asyncio.sleep(0.05)
        await self._cancel(hands)

    async def _end_coming(self) -> None:
        """Cancel a job that is on its way: the queue may have it already."""
        before = set(self._hands)
        try:
            if self._submission is not None:
                await self._submission
        finally:
            if self._coming is not None:
                self._unheard.expect(self._coming)
        if self._unheard.hands:
            with contextlib.suppress(RuntimeError, OSError):
                self._adopt(self._queue.seen(await call(self._queue.look_command)))
        await self._cancel([hand for name, hand in self._hands.items() if name not in before])

    async def _keep(self) -> None:
        while not self.failure:
            try:
                await self._step()
            except Exception as error:  # a queue that does not answer now answers later
                self._note(f"the queue does not answer ({type(error).__name__}: {error})")
            await self._rest()
        await self._give_up()

    async def _rest(self) -> None:
        """Wait until the queue is to be asked again, or something has moved at the scheduler."""
        hands = self._hands.values()
        calm = hands and all(hand.came and (hand.ended or not hand.missed) for hand in hands)
        since = self._asked if self._hands else time.monotonic()
        self._ask_at = since + (CALM_INTERVAL if calm else INTERVAL)
        await asyncio.sleep(GLANCE_INTERVAL)
        while self._standing() == self._stood and time.monotonic() < self._ask_at:
            await asyncio.sleep(GLANCE_INTERVAL)

    def _standing(self) -> tuple[bool, list[str]]:
        """Say how our workers stand, and whether there is anything to do at all."""
        return bool(self._scheduler.tasks), self._attendance.statuses(self._hands.values())

    def _ours(self) -> list[str]:
        found = map(self._attendance.addresses, self._hands.values())
        return [address for addresses in found for address in addresses]

    async def _step(self) -> None:
        self._stood = self._standing()
        for hand in self._hands.values():
            self._greet(hand)
        if (self._hands or self._unheard.hands) and time.monotonic() >= self._ask_at:
            self._asked = time.monotonic()
            await self._look()
        stopping = self._run.stopping()
        sights = [self._attendance.sight(hand) for hand in self._hands.values()]
        decision = decide(
            wanted(self._scheduler.tasks.values()),
            sights,
            self._limit,
            each=self._each,
            stopping=stopping,
        )
        await self._cancel([self._hands[name] for name in decision.cancel])
        for name in decision.retire:
            self._hands[name].retired = True
            await self._scheduler.retire_workers(
                workers=self._attendance.addresses(self._hands[name]),
                close_workers=True,
                stimulus_id=f"dasktune-retire-{time.time()}",
            )
        for workers in decision.submit[:MOST_AT_ONCE]:
            if time.monotonic() < self._not_before or self.failure:
                break
            self._submission = asyncio.create_task(self._submit(workers))
            await asyncio.shield(self._submission)
        if stopping and all(hand.spared for hand in self._hands.values()):
            await self._give_up()
        self._tell()

    @property
    def _scheduler(self) -> Any:
        return self._cluster.scheduler

    def _greet(self, hand: Hand) -> None:
        if self._attendance.greet(hand):
            self._stillborn = 0

    async def _look(self) -> None:
        """See how our jobs do in the queue."""
        text = await call(self._queue.look_command)
        jobs: dict[str, Seen] = self._queue.seen(text)
        self._adopt(jobs)
        for hand in list(self._hands.values()):
            self._greet(hand)  # some may have come while the queue was asked
            connected = bool(self._attendance.addresses(hand))
            seen = jobs.get(hand.job.job_id)
            if seen is not None:
                for start in hand.see(seen):
                    self._note_end(hand, REQUEUED, start)
                self._tell_silent(hand, connected)
                continue
            if not hand.miss():
                continue
            told = "" if hand.ended else await self._ask(hand)
            if told and not is_over(self._queue, told):
                hand.lives()  # the listing was not whole
                continue
            for start in hand.restarted(restarts_of(told)):
                self._note_end(hand, REQUEUED, start)
            if hand.came and not hand.ended and not hand.retired:
                self._note_end(hand, told, hand.restarts)
            hand.ended = True
            if connected:
                await self._cut_off(hand)
            else:
                del self._hands[hand.name]
                if not hand.came and not hand.spared:
                    self._born_dead(hand, told)

    def _adopt(self, jobs: Mapping[str, Seen]) -> None:
        """Take on jobs that the queue has taken though it did not say so, or not in time."""
        for hand, number in self._unheard.found(jobs):
            self._take_on(hand, number)
            self._note(f"the queue has taken job {number} after all")

    def _take_on(self, hand: Hand, number: str) -> None:
        """Have a job."""
        hand.job.job_id = number
        self._hands[hand.name] = hand
        self._run.note_job(number)

    async def _ask(self, hand: Hand) -> str:
        """Ask the queue how a job ended."""
        command = self._queue.end_command(hand.job.job_id)
        if command:
            with contextlib.suppress(RuntimeError, OSError):
                return await call(command)
        return ""

    def _last_words(self, hand: Hand) -> list[str]:
        """Read the end of a job's own log."""
        return last_words(f"{self._demand.folder}/jobs", hand.job.job_name, hand.job.job_id)

    def _note_end(self, hand: Hand, told: str, start: int) -> None:
        """Note how a job ended that was started again so often, for who judges a trial in it."""
        with contextlib.suppress(OSError):
            job, log = job_name(hand.job.job_id, start), self._last_words(hand)
            self._run.note_death(f"job-{job}", end_of(self._queue, job, told, log))

    async def _cut_off(self, hand: Hand) -> None:
        """Part with a worker whose job has ended, such as an old copy on a node that was lost."""
        hand.gone_since = hand.gone_since or time.monotonic()
        if time.monotonic() - hand.gone_since > GHOST_SECONDS:
            for address in self._attendance.addresses(hand):
                stimulus = f"dasktune-ghost-{time.time()}"
                await self._scheduler.remove_worker(address, stimulus_id=stimulus)

    def _born_dead(self, hand: Hand, told: str) -> None:
        self._stillborn += 1
        evidence = self._evidence(hand, told)
        self._note(f"job {hand.job.job_id} ended before its worker had connected: {evidence}")
        if self._stillborn >= STILLBORN and not self._ours():
            self.failure = (
                f"{STILLBORN} jobs one after another ended before their workers had connected. "
                f"The last one, {hand.job.job_id}: {evidence}"
            )
        elif self._stillborn >= STILLBORN:  # others train, and it may be for want of one node
            self._not_before = time.monotonic() + pause(self._stillborn)

    def _evidence(self, hand: Hand, told: str) -> str:
        """Tell how a job ended: by the queue, and by its own last words."""
        found = [words_of(told), *self._last_words(hand)[-5:]]
        return " | ".join(line for line in found if line)[-1500:] or "it left no word"

    def _tell_silent(self, hand: Hand, connected: bool) -> None:
        if connected or hand.told_silent or hand.running_since is None or hand.came:
            return
        if hand.waiting:  # suspended
            return
        if time.monotonic() - hand.running_since > SILENT_SECONDS:
            hand.told_silent = True
            self._note(
                f"job {hand.job.job_id} has run for {SILENT_SECONDS} s, but its worker has not "
                f"connected to {self._scheduler.address}; see docs/how-to/cannot-connect.md."
            )

    async def _submit(self, workers: int) -> None:
        number, self._number = self._number, self._number + 1
        name = f"{self._queue.kind}-{number}"
        options = dict(self._cluster.new_spec["options"])
        if self._queue.names:
            options["job_name"] = f"{options['job_name']}-{self._mark}-{number}"
        if workers != self._each:  # no more than -j allows
            options["worker_extra_args"] = [
                *options["worker_extra_args"],
                "--workers",
                f"{workers}",
            ]
        job = self._cluster.job_cls(self._scheduler.address, name=name, **options)
        hand = Hand(name, job, worker_names(name, workers))
        self._coming = hand if self._queue.names else None
        try:
            await job.start()
        except (RuntimeError, OSError) as error:
            if self._coming is not None and isinstance(error, RuntimeError):
                self._unheard.expect(self._coming)
            self._refused(str(error))
        else:
            self._refusals, self._accepted = 0, True
            self._take_on(hand, str(job.job_id))
        self._coming = None

    def _refused(self, text: str) -> None:
        """Try again later, unless the queue will never take such a job."""
        reason = refusal(text)
        self._refusals += 1
        if not self._accepted and hopeless(reason) and self._refusals >= STILLBORN:
            self.failure = f"the queue takes no such job: {reason}"
            return
        seconds = pause(self._refusals)
        self._not_before = time.monotonic() + seconds
        self._note(f"the queue refused a job ({reason}); trying again in {seconds:g} s")

    async def _cancel(self, hands: Sequence[Hand]) -> None:
        """Cancel jobs; as long as the queue does not, they are still ours."""
        for hand in await cancelled(hands, self._note):
            self._hands.pop(hand.name, None)

    async def _give_up(self) -> None:
        """Let the run end: nothing that it waits for will come."""
        from distributed import Future

        futures = [Future(key, self._client) for key in list(self._client.futures)]
        if futures:
            await self._client.cancel(futures, asynchronous=True, force=True)

    def _note(self, text: str) -> None:
        self._demand.tell({"event": "note", "text": text})

    def _tell(self) -> None:
        """Tell how many workers there are, and what the others wait for."""
        text = worded(len(self._ours()), [*self._hands.values()])
        if text != self._told:
            self._told = text
            self._demand.tell({"event": "jobs", "text": text})
