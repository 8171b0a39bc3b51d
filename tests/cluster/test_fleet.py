"""The jobs of a run, with a queue and a scheduler that only pretend."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from dasktune.cluster import Demand, attendance, cancelling, fleet
from dasktune.cluster.command import NoAnswer
from dasktune.cluster.hand import Hand
from dasktune.cluster.queue import Seen
from dasktune.cluster.slurm import QUEUE
from dasktune.events import GIVEN_UP
from dasktune.runfolder import RunFolder

CLOCK = time.monotonic


class Place:
    """A run whose scheduler has tasks, and whose jobs are counted."""

    def __init__(self, folder, *, trials, limit, each=1):
        self.submitted, self.retired, self.removed, self.asked, self.clock = [], [], [], 0, 0.0
        self.cancelled, self.deaf, self.slow, self.notes = [], False, None, []
        self.commands = []
        self.silent = []  # submissions that the queue takes, and does not answer
        self.broken, self.tries = None, 0  # what a submission fails of
        self.given_up = []  # workers, by their own jobs
        self.states, self.told = {}, ""  # how jobs are listed; all others run
        self.folder = RunFolder(str(folder))
        task = SimpleNamespace(state="processing", resource_restrictions={"GPU": 1})
        self.scheduler = SimpleNamespace(
            aliases={}, workers={}, tasks=dict.fromkeys(range(trials), task), address="tls://here"
        )
        place = self

        async def retire_workers(workers, **how):
            place.retired += workers

        async def remove_worker(address, stimulus_id):
            place.removed.append(address)

        def get_events(topic):
            assert topic == GIVEN_UP
            return tuple((0.0, name) for name in place.given_up)

        self.scheduler.get_events = get_events
        self.scheduler.retire_workers = retire_workers
        self.scheduler.remove_worker = remove_worker

        class Job:
            cancel_command = "scancel"

            def __init__(self, address, name, worker_extra_args, job_name):
                self.name, self.arguments, self.job_name = name, worker_extra_args, job_name

            async def start(self):
                if place.broken is not None:
                    place.tries += 1
                    raise place.broken
                place.submitted.append(self)
                if place.slow is not None:
                    await place.slow.wait()
                if place.silent:
                    place.silent.pop()
                    raise NoAnswer("sbatch has not answered for 60 s")
                self.job_id = str(len(place.submitted))

        cluster = SimpleNamespace(
            scheduler=self.scheduler,
            job_cls=Job,
            new_spec={
                "options": {"worker_extra_args": ["--workers", str(each)], "job_name": "dasktune"}
            },
        )
        demand = Demand(folder=str(folder), tell=self.notes.append)
        self.fleet = fleet.Fleet(cluster, None, QUEUE, limit, demand, each)

    async def call(self, command):
        """Answer as the queue's commands do."""
        self.commands.append(command[0])
        if command[0] == "scancel":
            if self.deaf:
                raise NoAnswer("scancel has not answered")
            self.cancelled += command[1:]
            return ""
        if command[0] == "scontrol":
            return self.told
        self.asked += 1
        names = {str(n): job.job_name for n, job in enumerate(self.submitted, start=1)}
        found = dict.fromkeys(names, "RUNNING") | self.states
        rows = ((n, *f"{found[n]} 0".split()[:2], "None", name) for n, name in names.items())
        return "".join("".join(f"{word:128}" for word in row) + "\n" for row in rows)

    def step(self, seconds=0.0):
        """Let some time go by, and look once."""
        self.clock += seconds
        asyncio.run(self.fleet._step())

    def look(self, state="", *, times=1):
        """Let the queue list the first job in this state, or not at all, and look so often."""
        self.states["1"] = state
        for _ in range(times):
            self.step(fleet.CALM_INTERVAL)

    def deaths(self):
        """Read what was noted of the ends of jobs."""
        folder = Path(self.folder.path) / "deaths"
        return {
            name: json.loads((folder / name).read_text())["state"] for name in self.folder.deaths()
        }

    def come(self, name):
        """Let a worker connect."""
        worker = SimpleNamespace(status=SimpleNamespace(name="running"), processing=[1])
        self.scheduler.aliases[name] = name
        self.scheduler.workers[name] = worker
        return worker

    def go(self, name):
        """Let a worker be gone."""
        del self.scheduler.aliases[name], self.scheduler.workers[name]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Give such a run, with a clock of its own."""

    def made(**how):
        found = Place(tmp_path, **how)
        monkeypatch.setattr(fleet.time, "monotonic", lambda: found.clock)
        monkeypatch.setattr(fleet, "call", found.call)
        monkeypatch.setattr(cancelling, "call", found.call)
        return found

    return made


def test_a_worker_that_leaves_is_replaced_before_it_is_gone(place):
    """Once, and not again when it is."""
    run = place(trials=1, limit=1)
    run.step()
    worker = run.come("slurm-0")
    run.step()
    assert len(run.submitted) == 1
    worker.status.name = "closing_gracefully"
    run.step()
    run.go("slurm-0")
    run.step()
    assert [job.name for job in run.submitted] == ["slurm-0", "slurm-1"]


def test_a_worker_that_dies_has_a_nanny_that_may_start_it_again(place):
    """Only if it does not, another job is sent."""
    run = place(trials=1, limit=1)
    run.step()
    run.come("slurm-0")
    run.step()
    run.go("slurm-0")
    run.step(attendance.RETURN_SECONDS / 2)
    run.come("slurm-0")
    run.step(attendance.RETURN_SECONDS)
    assert len(run.submitted) == 1
    run.go("slurm-0")
    run.step()
    run.step(attendance.RETURN_SECONDS + 1)
    assert len(run.submitted) == 2


def test_jobs_of_several_workers_start_no_more_of_them_than_are_allowed(place):
    """The last job is told so; what has left is made up for, worker by worker."""
    run = place(trials=9, limit=6, each=4)
    run.step()
    assert [job.arguments for job in run.submitted] == [
        ["--workers", "4"],
        ["--workers", "4", "--workers", "2"],
    ]
    for name in ("slurm-0-0", "slurm-0-1", "slurm-0-2", "slurm-0-3", "slurm-1-0"):
        worker = run.come(name)
    run.step()
    assert len(run.submitted) == 2
    worker.status.name = "closing_gracefully"
    run.step()
    assert run.submitted[-1].arguments[-2:] == ["--workers", "1"]


def test_a_worker_that_its_own_job_has_given_up_is_replaced(place):
    """Once; the other workers of that job go on."""
    run = place(trials=2, limit=2, each=2)
    run.step()
    run.come("slurm-0-0")
    run.step()
    assert len(run.submitted) == 1
    run.given_up.append("slurm-0-1")
    run.step()
    run.step()
    assert [job.arguments[-2:] for job in run.submitted] == [["--workers", "2"], ["--workers", "1"]]


def test_jobs_that_end_at_once_are_no_end_of_a_run_whose_other_workers_train(place):
    """As on one bad node; they are sent less and less often, and without others it is over."""
    run = place(trials=2, limit=2)
    run.step()
    run.come("slurm-0")
    for _ in range(400):
        run.states |= {str(number): "" for number in range(2, 99)}
        run.step(fleet.CALM_INTERVAL)
    assert run.fleet.failure == ""
    assert 2000 / 70 < len(run.submitted) < 2000 / 50
    run.go("slurm-0")
    for _ in range(60):
        run.states |= {str(number): "" for number in range(1, 99)}
        run.step(fleet.CALM_INTERVAL)
    assert "ended before their workers had connected" in run.fleet.failure


def test_workers_are_not_sent_home_between_two_steps_of_a_run(place):
    """As when all is preprocessed, and the trials are not yet submitted; but after a while."""
    run = place(trials=2, limit=2)
    run.step()
    workers = [run.come("slurm-0"), run.come("slurm-1")]
    run.step()
    tasks = dict(run.scheduler.tasks)
    for seconds in (fleet.CALM_INTERVAL, 60.0):
        run.scheduler.tasks.clear()
        for worker in workers:
            worker.processing = []
        run.step(seconds)
        assert run.retired == []
        run.scheduler.tasks.update(tasks)
        for worker in workers:
            worker.processing = [1]
        run.step(fleet.CALM_INTERVAL)
    run.scheduler.tasks.popitem()
    workers[0].processing = []
    run.step()
    assert run.retired == []
    run.step(attendance.IDLE_SECONDS)
    assert run.retired == ["slurm-0"]


def test_the_queue_is_not_asked_each_time_that_a_worker_moves(place):
    """A thousand of them may come within a second."""
    run = place(trials=3, limit=3)
    run.step()
    run.step()
    asked = run.asked
    for name in ("slurm-0", "slurm-1", "slurm-2"):
        run.come(name)
        run.fleet._ask_at = run.clock + fleet.INTERVAL
        run.step()
    assert run.asked == asked
    run.step(fleet.CALM_INTERVAL + 1)
    assert run.asked == asked + 1


@pytest.fixture
def busy(place):
    """Give a run with one job, whose worker is there."""
    run = place(trials=1, limit=1)
    run.step()
    run.come("slurm-0")
    run.look("RUNNING")
    return run


def test_listings_that_lack_a_job_which_runs_cost_it_nothing(busy):
    """Neither one now and then, nor several where the queue, asked for it, says that it runs."""
    for _ in range(3):
        busy.look("")
        busy.look("RUNNING", times=20)
    busy.told = "JobState=RUNNING Reason=None ExitCode=0:0"
    busy.look("", times=20)
    assert (busy.removed, busy.deaths(), len(busy.submitted)) == ([], {}, 1)


def test_how_a_job_really_ended_is_asked_even_after_it_was_thought_to_be_over(busy):
    """The queue did not answer for a while: its worker stays, and the true end is noted."""
    busy.look("", times=2)
    busy.look("RUNNING", times=200)
    busy.look("")
    assert busy.removed == []
    busy.told = "JobState=TIMEOUT Reason=TimeLimit ExitCode=0:9"
    busy.look("")
    assert busy.deaths() == {"job-1-0": "TIMEOUT"}
    busy.look("", times=10)
    assert set(busy.removed) == {"slurm-0"}  # it has outlived its job


def test_a_job_that_is_suspended_has_not_ended_and_one_that_waits_again_has(busy):
    """The attempts in it go on, or have come to nothing."""
    for state in ("SUSPENDED", "STOPPED", "RUNNING"):
        busy.look(state)
    assert busy.deaths() == {}
    busy.look("SUSPENDED")
    busy.look("PENDING 1", times=2)
    busy.look("RUNNING 1")
    assert busy.deaths() == {"job-1-0": "REQUEUED"}
    assert busy.fleet._hands["slurm-0"].running_since is not None


def test_a_job_that_was_started_again_between_two_looks_is_seen_to_have_been(busy):
    """By the queue's count; also if it is over by then, or was started more often."""
    busy.look("RUNNING 1")
    assert busy.deaths() == {"job-1-0": "REQUEUED"}
    busy.look("RUNNING 1", times=20)
    busy.look("PENDING 2")
    busy.look("RUNNING 3")
    assert busy.deaths() == {f"job-1-{start}": "REQUEUED" for start in range(3)}
    busy.told = "JobState=FAILED Restarts=4 Reason=NonZeroExitCode ExitCode=1:0"
    busy.look("", times=2)
    ends = {f"job-1-{start}": "REQUEUED" for start in range(4)} | {"job-1-4": "FAILED"}
    assert busy.deaths() == ends


def test_a_queue_that_does_not_count_tells_of_a_job_that_waits_again():
    """Each time that it did run."""
    hand = Hand("sge-0", None, ("sge-0",))
    seen = [hand.see(Seen(waiting)) for waiting in (True, False, True, True, False, True)]
    assert [[*over] for over in seen] == [[], [], [0], [], [], [1]]


def test_a_job_that_the_queue_does_not_cancel_stays_in_our_hands_until_it_does(place):
    """It may come yet: it counts as a worker, and is cancelled when the queue answers."""
    run = place(trials=1, limit=1)
    run.step()
    run.deaf = True
    task = run.scheduler.tasks.popitem()
    run.look("PENDING", times=2)
    told = [note["text"] for note in run.notes if note["event"] == "note"]
    assert told == ["the queue has not cancelled 1 (scancel has not answered)"]
    run.scheduler.tasks.update([task])
    run.look("PENDING", times=2)
    assert len(run.submitted) == 1
    run.scheduler.tasks.clear()
    run.deaf = False
    run.look("PENDING", times=2)
    assert run.cancelled == ["1"]


def test_a_job_that_ended_while_it_was_cancelled_is_no_fault_of_the_queue(place):
    """Its command fails then."""
    run = place(trials=1, limit=1)
    run.step()
    run.deaf = True
    run.scheduler.tasks.clear()
    run.look("PENDING")
    run.look("", times=3)
    assert run.fleet._hands == {}
    assert [note["event"] for note in run.notes if "ended before" in note["text"]] == []


def test_a_run_ends_though_the_queue_cancels_nothing(place):
    """The user is told which job is left."""
    run = place(trials=2, limit=2)
    run.step()
    run.deaf = True
    asyncio.run(run.fleet.stop())
    told = [note["text"] for note in run.notes if note["event"] == "note"]
    assert told[0].startswith("the queue has not cancelled 1, 2 (")
    assert "the queue did not cancel 1, 2 in 15 s" in told[1]


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ("scancel: error: Kill job error on job id 1: Unable to contact slurm controller", True),
        ("error: commlib error: got select error (Connection refused)", True),
        ("scancel: error: Kill job error on job id 1: Invalid job id specified", False),
    ],
)
def test_a_queue_that_cannot_be_reached_has_cancelled_nothing(place, monkeypatch, words, left):
    """Though its command says so at once; where it is no job any more, nothing is left."""
    run = place(trials=1, limit=1)
    run.step()

    async def refuse(command):
        raise RuntimeError(f"scancel: exit code 1\nstdout:\n\nstderr:\n{words}\n")

    monkeypatch.setattr(cancelling, "call", refuse)
    asyncio.run(run.fleet.stop())
    told = [note["text"] for note in run.notes if note["event"] == "note"]
    assert [text.partition(" 1 ")[0] for text in told] == left * [
        "the queue has not cancelled",
        "the queue did not cancel",
    ]
    assert all(words in text for text in told[:1])


def test_a_run_ends_soon_though_the_queue_hangs(place, monkeypatch):
    """Whatever command it is that hangs; and what may be left behind is named."""
    run = place(trials=3, limit=3)
    run.step()

    async def stop_meanwhile():
        run.slow = asyncio.Event()
        submission = run.fleet._submission = asyncio.create_task(run.fleet._submit(1))
        await asyncio.sleep(0)
        await run.fleet.stop()
        assert submission.cancelled()

    async def hang(command):
        await asyncio.sleep(1000)

    monkeypatch.setattr(fleet.time, "monotonic", CLOCK)
    monkeypatch.setattr(fleet, "STOP_SECONDS", 0.2)
    monkeypatch.setattr(cancelling, "call", hang)
    asyncio.run(stop_meanwhile())
    name = run.submitted[-1].job_name
    [told] = [note["text"] for note in run.notes if "did not cancel" in note.get("text", "")]
    assert told.startswith(f"the queue did not cancel 1, 2, 3, {name} in 0.2 s")


def test_many_jobs_are_cancelled_by_one_command(place):
    """A thousand commands at a time would be a burden to the machine that they are typed on."""
    run = place(trials=10, limit=10)
    run.step()
    asyncio.run(run.fleet.stop())
    assert run.commands.count("scancel") == 1
    assert len(run.cancelled) == 10


def test_a_job_that_the_queue_took_without_an_answer_is_taken_on_by_its_name(place):
    """No other one is sent for it, and it is cancelled with the others."""
    run = place(trials=1, limit=1)
    run.silent = [True]
    run.step()
    assert run.fleet._hands == {}
    run.step(fleet.CALM_INTERVAL)
    assert len(run.submitted) == 1
    assert "the queue has taken job 1 after all" in [note.get("text") for note in run.notes]
    run.come("slurm-0")
    run.step(fleet.CALM_INTERVAL)
    assert run.folder.queued() == ["1"]
    run.go("slurm-0")
    asyncio.run(run.fleet.stop())
    assert run.cancelled == ["1"]


def test_a_submission_that_fails_on_this_machine_is_tried_again_ever_more_seldom(place):
    """As without memory for one more process; without the queue's command there is no hope."""
    run = place(trials=1, limit=1)
    run.broken = BlockingIOError(11, "Resource temporarily unavailable")
    for _ in range(100):
        run.step(1.0)
    assert run.tries == 7
    assert run.fleet.failure == ""
    run.broken = FileNotFoundError(2, "No such file or directory", "sbatch")
    run.step(60.0)
    assert "sbatch" in run.fleet.failure
    asyncio.run(run.fleet.stop())
    assert not [note for note in run.notes if "did not cancel" in note.get("text", "")]


def test_a_job_that_was_taken_without_an_answer_when_the_run_ends_is_found_and_cancelled(place):
    """The queue is asked for it once more."""
    run = place(trials=1, limit=1)
    run.silent = [True]
    run.step()
    asyncio.run(run.fleet.stop())
    assert run.cancelled == ["1"]
    assert not [note for note in run.notes if "did not cancel" in note.get("text", "")]


def test_a_job_that_is_on_its_way_when_the_run_stops_is_cancelled_as_well(place):
    """The queue has it already, and has yet to tell its number."""
    run = place(trials=1, limit=1)

    async def stop_meanwhile():
        run.slow = asyncio.Event()
        await run.fleet.start()
        while not run.submitted:
            await asyncio.sleep(0)
        stop = asyncio.create_task(run.fleet.stop())
        for _ in range(20):
            await asyncio.sleep(0)
        run.slow.set()
        await stop

    asyncio.run(stop_meanwhile())
    assert run.cancelled == ["1"]
    assert run.folder.queued() == ["1"]
