"""What `fit` prints by default: fifteen lines that name every failed check."""

import re

import pytest
from commands import CODE, tell

from scaling.fitting.fitted import Check
from scaling.words.checks import CHECK_WORDS, describe_failure, sort_by_gravity

FEW = ("--bootstrap", "20")


def fail(code: str) -> Check:
    return Check(code=code, passed=False, seen="", advice="")


def test_a_fit_with_many_failed_checks_takes_fifteen_lines_and_names_each() -> None:
    said = tell("fit", CODE, *FEW)
    whole = tell("fit", CODE, *FEW, "--verbose")
    failed = set(re.findall(r"^  ! (\w+): ", whole, flags=re.M))
    assert len(failed) > 4  # more than get a line of their own
    assert len(said.splitlines()) <= 15
    assert all(code in said for code in failed)
    assert "held-out error" in whole
    assert whole.rstrip().endswith("What to do about each: docs/checks.md")
    assert "\nprojection: N* = " in whole


def test_parameters_and_exponents_agree_with_the_verbose_text() -> None:
    said, whole = (tell("fit", CODE, *FEW, *more) for more in ((), ("--verbose",)))
    alpha = re.search(r"alpha (\S+) \[(\S+), (\S+)\]", said)
    full = re.search(r"alpha +(\S+) +\[(\S+), (\S+)\]", whole)
    assert alpha is not None
    assert full is not None
    # The short text prints four digits, the verbose one five.
    assert [float(one) for one in alpha.groups()] == pytest.approx(
        [float(one) for one in full.groups()], rel=1e-3
    )
    slopes = dict(re.findall(r"^(\w+): N\* = \S+ · C\^(\S+) ", whole, flags=re.M))
    shown = dict(re.findall(r"^(\w+) +(0\.\d{3})  \[", said, flags=re.M))
    assert shown == {name: one for name, one in slopes.items() if name != "projection"}


def test_the_gravest_check_stands_first() -> None:
    checks = [fail(code) for code in ("seed_spread", "new_one", "not_converged")]
    codes = [check.code for check in sort_by_gravity(checks)]
    assert codes == ["not_converged", "seed_spread", "new_one"]


def test_every_check_states_what_its_failure_means() -> None:
    for code, words in CHECK_WORDS.items():
        said = describe_failure(fail(code))
        assert said.startswith(words.fails)
        assert words.consequence.endswith(".")
        assert len(said) <= 160
