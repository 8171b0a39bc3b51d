"""Which trials may share a step."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from dasktune.grouping import Candidate, partition

candidates = st.lists(
    st.tuples(st.sampled_from([None, "a", "b", "c"]), st.sampled_from(["x", "y", "z"])),
    max_size=60,
).map(lambda rows: [Candidate(f"t{i}", kind, (like,)) for i, (kind, like) in enumerate(rows)])


@given(candidates, st.integers(1, 8), st.integers(2, 20))
def test_a_group_holds_trials_of_one_kind_and_no_trial_twice(given, workers, widest):
    """Nor more than it may."""
    kinds = {candidate.name: candidate.kind for candidate in given}
    groups = partition(given, workers, widest)
    names = [name for group in groups for name in group]
    assert max(Counter(names).values(), default=1) == 1
    for group in groups:
        assert 2 <= len(group) <= widest
        assert len({kinds[name] for name in group}) == 1
        assert kinds[group[0]] is not None


@given(st.integers(1, 200), st.integers(1, 8), st.integers(2, 50))
def test_all_workers_get_some_and_groups_are_of_one_size(count, workers, widest):
    """Where there are two trials for each of them."""
    given = [Candidate(f"t{i}", "a") for i in range(count)]
    groups = partition(given, workers, widest)
    left = count - sum(map(len, groups))
    assert left <= len(groups) + 1
    if count >= 2 * workers:
        assert len(groups) >= min(workers, count // widest or 1)
    if groups:
        assert max(map(len, groups)) - min(map(len, groups)) <= 1


def test_trials_of_one_likeness_are_put_together():
    """In the order of the plan otherwise."""
    given = [Candidate(f"t{i}", "a", (str(i % 2),)) for i in range(8)]
    assert partition(given, 2) == [("t0", "t2", "t4", "t6"), ("t1", "t3", "t5", "t7")]


def test_the_same_trials_give_the_same_groups_in_any_process():
    """Nothing depends on hashes or on time."""
    given = [Candidate(f"t{i}", ("sgd", 64), (str(i % 3),)) for i in range(10)]
    assert partition(given, 3) == partition(list(given), 3)
    assert partition([], 3) == []
