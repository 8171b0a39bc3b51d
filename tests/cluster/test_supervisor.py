"""How many jobs there should be."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from dasktune.cluster.supervisor import Decision, Sight, decide, pause

waiting = Sight("w")
busy = Sight("b", waiting=False, connected=True, busy=True)
idle = Sight("i", waiting=False, connected=True)
starting = Sight("s", waiting=False)
leaving = Sight("l", waiting=False, connected=True, busy=True, leaving=True)


def test_as_many_jobs_as_trials_up_to_the_limit():
    """Those that are there count, whether they wait or run."""
    assert decide(5, [], 8) == Decision(submit=(1,) * 5)
    assert decide(5, [], 3) == Decision(submit=(1,) * 3)
    assert decide(5, [busy, waiting, starting], 8) == Decision(submit=(1, 1))
    assert decide(3, [busy, waiting, starting], 8) == Decision()


def test_jobs_that_wait_go_first_then_idle_workers_and_busy_ones_never():
    """Nor one that starts, which is about to be of use."""
    assert decide(2, [busy, waiting, idle], 8) == Decision(cancel=("w",))
    assert decide(1, [busy, waiting, idle], 8) == Decision(cancel=("w",), retire=("i",))
    assert decide(0, [busy, starting], 8) == Decision()


def test_a_worker_that_leaves_is_replaced_at_once():
    """It takes no trial any more."""
    assert decide(1, [leaving], 1) == Decision(submit=(1,))


def test_a_job_of_several_workers_is_one_job_and_counts_as_all_of_them():
    """It is submitted as a whole, but no more trials run at a time than ``-j`` allows."""
    assert decide(9, [], 10, each=4) == Decision(submit=(4, 4, 2))
    assert decide(1, [], 10, each=4) == Decision(submit=(4,))
    four = replace(busy, workers=4)
    assert decide(6, [four], 6, each=4) == Decision(submit=(2,))
    assert decide(4, [four, replace(waiting, workers=4)], 8, each=4) == Decision(cancel=("w",))
    assert decide(3, [replace(idle, workers=4)], 8, each=4) == Decision()  # three are of use
    half_gone = replace(busy, workers=2)  # two of its workers have left
    assert decide(9, [half_gone], 4, each=4) == Decision(submit=(2,))


def test_a_run_that_stops_submits_nothing():
    """What waits is cancelled; what runs reaches its checkpoint."""
    assert decide(9, [busy, waiting, starting], 9, stopping=True) == Decision(cancel=("w",))


def test_the_pause_after_refusals_grows_to_a_minute():
    """From one second."""
    assert [pause(n) for n in (1, 2, 3, 9)] == [1, 2, 4, 60]


sights = st.lists(
    st.builds(
        lambda waiting, connected, busy, leaving, workers: (
            waiting,
            connected and not waiting,
            busy,
            leaving,
            workers,
        ),
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.integers(1, 4),
    ),
    max_size=12,
)


@given(st.integers(0, 12), sights, st.integers(1, 12), st.integers(1, 4), st.booleans())
def test_whatever_is_seen_nothing_that_works_is_let_go(wanted, rows, limit, each, stopping):
    """And there are never more workers than the limit because of a decision, nor too few."""
    jobs = [
        Sight(str(number), waiting, connected, busy and connected, leaving, workers)
        for number, (waiting, connected, busy, leaving, workers) in enumerate(rows)
    ]
    by_name = {job.name: job for job in jobs}
    decision = decide(wanted, jobs, limit, each=each, stopping=stopping)
    assert all(by_name[name].waiting for name in decision.cancel)
    assert all(by_name[n].connected and not by_name[n].busy for n in decision.retire)
    staff = sum(job.workers for job in jobs if not job.leaving)
    assert all(1 <= workers <= each for workers in decision.submit)
    assert not decision.submit or min(wanted, limit) <= staff + sum(decision.submit) <= limit
    gone = sum(by_name[name].workers for name in (*decision.cancel, *decision.retire))
    assert stopping or gone <= max(0, staff - min(wanted, limit))
