"""Claims about `evaluate` in a sweep file."""

import pytest

from scaling.errors import SpecError
from scaling.sweep.reading import parse_sweep
from scaling.sweep.runspec import RunSpec

SWEEP = "name: one\ncorpus: {source: novels}\ngrid: {budgets: [1e10]}\n"


def parse(more):
    return parse_sweep((SWEEP + more).encode(), source="s.yaml")


def refuse(more):
    with pytest.raises(SpecError) as error:
        parse(more)
    return str(error.value)


def test_a_probe_is_a_name_or_a_name_with_options():
    (plain,) = parse("evaluate: [tail_loss]\n").evaluate
    assert (plain.probe.name, dict(plain.options), dict(plain.changed)) == (
        "tail_loss", {"share": 0.25}, {},
    )  # fmt: skip
    (half,) = parse("evaluate: [{tail_loss: {share: 0.5}}]\n").evaluate
    assert dict(half.options) == {"share": 0.5}
    (same,) = parse("evaluate:\n- tail_loss: {share: 0.25}\n").evaluate
    assert same == plain


@pytest.mark.parametrize(
    ("more", "place", "part"),
    [
        ("evaluate: [tail_los]\n", "4:12", "Did you mean 'tail_loss'?"),
        ("evaluate: [poetry]\n", "4:12", "Known: tail_loss, context_floor, "),
        ("evaluate: [{tail_loss: {shar: 0.5}}]\n", "4:31", "Did you mean 'share'?"),
        ("evaluate: [{tail_loss: {share: half}}]\n", "4:32", "expected a number such as 0.25"),
        ("evaluate: [{tail_loss: {share: true}}]\n", "4:32", "got 'True'"),
        ("evaluate: [{tail_loss: 3}]\n", "4:24", "are a mapping"),
        ("evaluate: [3]\n", "4:12", "a probe's name, or {name: {option: value}}"),
        ("evaluate: [{a: {}, b: {}}]\n", "4:12", "a probe's name, or"),
        ("evaluate: tail_loss\n", "4:11", "expected a list"),
        ("evaluate: [tail_loss, tail_loss]\n", "4:23", "tail_loss is asked for twice"),
        ("keep_weights: false\nevaluate: [tail_loss]\n", "5:12", "keep_weights is false"),
    ],
)
def test_a_probe_that_cannot_be_measured_is_refused_with_its_place(more, place, part):
    said = refuse(more)
    assert part in said
    assert said.startswith(f"s.yaml:{place}: evaluate")


def test_a_run_spec_does_not_contain_probes():
    assert "evaluate" not in RunSpec.__slots__
    assert "probes" not in RunSpec.__slots__
