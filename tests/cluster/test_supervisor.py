"""How many jobs there should be."""

from __future__ import annotations

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
    assert decide(5, [], 8) == Decision(submit=5)
    assert decide(5, [], 3) == Decision(submit=3)
    assert decide(5, [busy, waiting, starting], 8) == Decision(submit=2)
    assert decide(3, [busy, waiting, starting], 8) == Decision()


def test_jobs_that_wait_go_first_then_idle_workers_and_busy_ones_never():
    """Nor one that starts, which is about to be of use."""
    assert decide(2, [busy, waiting, idle], 8) == Decision(cancel=("w",))
    assert decide(1, [busy, waiting, idle], 8) == Decision(cancel=("w",), retire=("i",))
    assert decide(0, [busy, starting], 8) == Decision()


def test_a_worker_that_leaves_is_replaced_at_once():
    """It takes no trial any more."""
    assert decide(1, [leaving], 1) == Decision(submit=1)


def test_a_run_that_stops_submits_nothing():
    """What waits is cancelled; what runs reaches its checkpoint."""
    assert decide(9, [busy, waiting, starting], 9, stopping=True) == Decision(cancel=("w",))


def test_the_pause_after_refusals_grows_to_a_minute():
    """From one second."""
    assert [pause(n) for n in (1, 2, 3, 9)] == [1, 2, 4, 60]


sights = st.lists(
    st.builds(
        lambda waiting, connected, busy, leaving: (
            waiting,
            connected and not waiting,
            busy,
            leaving,
        ),
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.booleans(),
    ),
    max_size=12,
)


@given(st.integers(0, 12), sights, st.integers(1, 12), st.booleans())
def test_whatever_is_seen_nothing_that_works_is_let_go(wanted, rows, limit, stopping):
    """And there are never more jobs than the limit because of a decision."""
    jobs = [
        Sight(str(number), waiting, connected, busy and connected, leaving)
        for number, (waiting, connected, busy, leaving) in enumerate(rows)
    ]
    by_name = {job.name: job for job in jobs}
    decision = decide(wanted, jobs, limit, stopping=stopping)
    assert all(by_name[name].waiting for name in decision.cancel)
    assert all(by_name[n].connected and not by_name[n].busy for n in decision.retire)
    staff = sum(not job.leaving for job in jobs)
    assert decision.submit == 0 or staff + decision.submit <= min(wanted, limit)
    gone = {*decision.cancel, *decision.retire}
    assert stopping or len(gone) <= max(0, staff - min(wanted, limit))
