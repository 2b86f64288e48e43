"""Every check has its own words for passing and for failing."""

import dataclasses

from simulated import standard_data

from scaling.fitting.fitted import Check
from scaling.words.checks import name_check


def test_every_check_of_a_fit_is_named_in_plain_words() -> None:
    fit = standard_data().fit
    assert fit is not None
    unnamed = [one.code for one in fit.checks if _falls_back(one)]
    assert len(fit.checks) >= 24
    assert unnamed == []


def _falls_back(check: Check) -> bool:
    """Whether passing and failing read the same: the code itself, with its lines blanked."""
    passed, failed = (dataclasses.replace(check, passed=passed) for passed in (True, False))
    return name_check(passed) == name_check(failed)
