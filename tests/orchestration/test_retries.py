"""Claims about the retry policy: each cause has its own limit, so every run ends."""

import itertools
from typing import get_args

import pytest

from scaling.ledger.signs import FailureCause
from scaling.orchestration.retries import RetryPolicy

CAUSES: tuple[FailureCause, ...] = get_args(FailureCause)


def make_policy(*, crashes_in_a_row: int = 99, budget: int = 99) -> RetryPolicy:
    return RetryPolicy(
        crash_retries=3, backoff=1.0, crashes_in_a_row=crashes_in_a_row, budget=budget
    )


@pytest.mark.parametrize(
    ("cause", "actions"),
    [
        ("exception", ["again", "give_up"]),
        ("out_of_memory", ["again", "give_up"]),
        ("crash", ["again", "again", "again", "give_up"]),
        ("hang", ["again", "give_up"]),
        ("preempted", ["again"] * 9),
        ("time_limit", ["give_up"]),
        ("environment", ["stop"]),
    ],
)
def test_each_cause_has_its_own_number_of_retries(cause: FailureCause, actions: list[str]) -> None:
    policy = make_policy()
    assert [policy.judge("run", cause, "same").action for _ in actions] == actions


def test_pauses_between_retries_double() -> None:
    policy = make_policy()
    assert [policy.judge("run", "crash", "").pause for _ in range(3)] == [1.0, 2.0, 4.0]


def test_different_exceptions_are_counted_apart() -> None:
    policy = make_policy()
    assert [policy.judge("run", "exception", f"{n}").action for n in range(5)] == [
        *["again"] * 4,
        "give_up",
    ]


def test_a_result_resets_the_count_of_consecutive_deaths() -> None:
    policy = make_policy(crashes_in_a_row=3)
    assert [policy.judge(f"{n}", "crash", "").action for n in range(2)] == ["again"] * 2
    policy.note_result()
    assert [policy.judge(f"{n}", "crash", "").action for n in range(3)] == [
        "again",
        "again",
        "stop",
    ]


def test_only_out_of_memory_halves_the_micro_batch() -> None:
    halved = {cause for cause in CAUSES if make_policy().judge("run", cause, "").halve}
    assert halved == {"out_of_memory"}


def test_out_of_memory_is_counted_whatever_its_message() -> None:
    policy = make_policy()
    actions = [policy.judge("run", "out_of_memory", f"{n} bytes").action for n in range(2)]
    assert actions == ["again", "give_up"]


def test_hung_workers_count_as_consecutive_deaths() -> None:
    policy = make_policy(crashes_in_a_row=2)
    assert policy.judge("a", "crash", "").action == "again"
    verdict = policy.judge("b", "hang", "")
    assert (verdict.action, verdict.why) == ("stop", "2 workers died in a row")


def test_all_retries_together_have_a_budget() -> None:
    policy = make_policy(budget=3)
    assert [policy.judge(f"{n}", "exception", "").action for n in range(3)] == ["again"] * 3
    assert policy.judge("0", "exception", "").action == "give_up"  # uses no retry
    verdict = policy.judge("9", "preempted", "")
    assert (verdict.action, verdict.why) == ("stop", "all 3 retries are spent")


def test_every_sequence_of_failures_ends_within_five_attempts() -> None:
    # Preemption is not the run's fault: only the budget ends it.
    for sequence in itertools.product(set(CAUSES) - {"preempted"}, repeat=5):
        policy = make_policy()
        verdicts = [policy.judge("run", c, f"{n}").action for n, c in enumerate(sequence)]
        assert set(verdicts) != {"again"}
