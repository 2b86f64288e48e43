"""Claims about the words in which trackers say how a run ended."""

import pytest

from scaling.tables.states import (
    TRACKERS,
    USUAL,
    StateTally,
    describe_unfinished,
    fold_word,
    read_state_rule,
)


def tally(words, rule=USUAL):
    counted = StateTally("status", rule)
    found = [counted.judge(word) for word in words]
    for word, counts in zip(words, found, strict=True):
        counted.count(word, counts=counts)
    return found, counted


@pytest.mark.parametrize("tracker", TRACKERS, ids=lambda one: one.name)
def test_every_trackers_words_are_classified_correctly(tracker):
    for word in (*tracker.finished, *tracker.unfinished, *tracker.unclear):
        for written in (word, word.lower(), word.upper(), word.title(), f" {word} "):
            (counts,), counted = tally([written])
            assert counts == (word not in tracker.unfinished), written
            if word in tracker.finished:
                assert counted.list_notes() == []
            elif word in tracker.unclear:
                assert "is no state of a run" in counted.list_notes()[0]


def test_no_word_is_both_finished_and_unfinished():
    finished = {fold_word(word) for one in TRACKERS for word in one.finished}
    unfinished = {fold_word(word) for one in TRACKERS for word in one.unfinished}
    assert finished.isdisjoint(unfinished)


def test_words_are_folded_as_programs_write_them():
    assert fold_word("TrialState.COMPLETE") == "complete"
    assert fold_word("In Progress") == "in_progress"
    assert fold_word("CANCELLED by 1000") == "cancelled"
    assert fold_word("CANCELLED+") == "cancelled"


def test_accepted_words_are_those_named_and_no_others():
    rule = read_state_rule("status=Failed, done")
    counts, counted = tally(["FAILED", "done", "finished", ""], rule)
    assert counts == [True, True, False, False]
    (note,) = counted.list_notes()
    assert "2 of 4 rows left out by --state (finished 1, empty 1)" in note


def test_any_state_counts_and_says_what_it_kept():
    counts, counted = tally(["crashed", "finished"], read_state_rule("any"))
    assert counts == [True, True]
    assert "1 rows of runs that did not finish are kept" in counted.list_notes()[0]


def test_the_problem_counts_words_and_names_both_ways_out():
    _, counted = tally(["TERMINATED"] * 3 + ["ERROR"] * 2 + ["PENDING"])
    said = describe_unfinished(counted)
    assert "3 of 6 runs did not finish (ERROR 2, PENDING 1)" in said
    assert "--state status=TERMINATED" in said
    assert "--state any" in said


@pytest.mark.parametrize("text", ["finished", "status=", "=a", "status"])
def test_a_rule_of_another_form_is_refused(text):
    with pytest.raises(ValueError, match="write COLUMN=word"):
        read_state_rule(text)
