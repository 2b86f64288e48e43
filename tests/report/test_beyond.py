"""The section on measurements beside the loss: its runs, lines and text."""

import dataclasses
import html
import json
import re

import numpy as np
import pytest
from simulated import standard_data, with_status

from scaling.files.sealed import build_value, open_document, seal_document
from scaling.ledger.probes import ProbeValue
from scaling.report.beyond import (
    Beyond,
    ProbedRun,
    ProbedSweep,
    describe_lost,
    group_probes,
    list_accounts,
    list_probe_rows,
)
from scaling.report.beyond_figures import show_beyond
from scaling.report.beyond_panels import list_panels
from scaling.report.markdown import render_markdown
from scaling.report.page import render_page
from scaling.sweep.probes import PROBES, ProbeCurve
from scaling.tables.metrics import Metric
from scaling.tables.run_table import make_table
from scaling.units.losses import NATS
from scaling.workflow.metric_laws import judge_metrics

CURVE = ProbeCurve(
    x_label="distance j [tokens]",
    y_label="g",
    x=(1.0, 2.0, 4.0),
    y=(1.0, 1e-3, 0.0),
    errors=(0.1, 1e-4, 0.0),
    y_log=True,
)


def make_value(name, value, *, curve=None):
    probe = PROBES.get(name)
    return ProbeValue(
        run_id="0" * 16, attempt_id="1-1-00000000", name=name, version=1,
        unit=probe.unit if probe else "", direction="lower", bound=None, options={}, value=value,
        standard_error=0.1, measured_at="2026-11-29T00:00:00+00:00", curve=curve,
    )  # fmt: skip


def make_sweep(name, values=("gradient_decay_start", "gradient_decay")):
    runs = tuple(
        ProbedRun(params=params, tokens=tokens, flops=params * tokens, loss=3.0 - params * 1e-5,
                  series=tokens,
                  values={one: make_value(one, params * 1e-4, curve=CURVE) for one in values})
        for params in (1e4, 3e4)
        for tokens in (1e5, 4e5)
    )  # fmt: skip
    return ProbedSweep(name=name, runs=runs)


def draw_pictures(beyond):
    return [one.picture for one in show_beyond(beyond, NATS)]


def test_lines_join_runs_of_equal_tokens_and_the_last_has_the_most() -> None:
    series = make_sweep("rnn").list_series()
    assert [[(one.params, one.tokens) for one in row] for row in series] == [
        [(1e4, 1e5), (3e4, 1e5)],
        [(1e4, 4e5), (3e4, 4e5)],
    ]


def test_seeds_of_a_cell_are_drawn_as_their_mean_and_listed_each() -> None:
    sweep = make_sweep("a")
    other = {"gradient_decay": make_value("gradient_decay", 3.0, curve=dataclasses.replace(
        CURVE, y=(3.0, 1e-3, 0.0)))}  # fmt: skip
    twin = dataclasses.replace(sweep.runs[0], loss=sweep.runs[0].loss + 1.0, values=other)
    both = ProbedSweep(name="a", runs=(sweep.runs[0], twin, *sweep.runs[1:]))
    assert [len(row) for row in both.list_series()] == [2, 2]
    merged = both.list_series()[0][0]
    assert merged.loss == pytest.approx(sweep.runs[0].loss + 0.5)
    found = merged.values["gradient_decay"]
    assert (found.value, found.standard_error) == (pytest.approx(2.0), pytest.approx(1.0))
    assert found.curve.y == (2.0, 1e-3, 0.0)
    assert merged.values["gradient_decay_start"] == sweep.runs[0].values["gradient_decay_start"]
    assert len(list_probe_rows(Beyond(sweeps=(both,), lost={}))) == 9
    captions = [draw_pictures(Beyond(sweeps=(one,), lost={}))[0].caption for one in (both, sweep)]
    assert ["Means over seeds" in one for one in captions] == [True, False]


def test_a_control_is_drawn_beside_what_it_controls() -> None:
    names = ("code_valid_text", "longest_match_control", "code_valid", "code_valid_ngram")
    beyond = Beyond(sweeps=(make_sweep("a", names),), lost={})
    groups = [[one.name for one in group] for group in group_probes(beyond)]
    # Without longest_match its control has a figure of its own.
    assert groups == [
        ["longest_match_control"],
        ["code_valid", "code_valid_ngram", "code_valid_text"],
    ]
    for probe in PROBES.values():
        assert not probe.beside or probe.beside in PROBES


def test_families_and_probes_are_drawn_with_their_curves() -> None:
    beyond = Beyond(sweeps=tuple(map(make_sweep, ("transformer", "lstm"))), lost={})
    families, probe = draw_pictures(beyond)
    assert "best learning rate of each size" in families.caption
    for picture in (families, probe):
        for svg in (picture.wide, picture.narrow):
            assert svg.count(">transformer<") >= 1
            assert svg.count(">lstm<") >= 1
    assert "Dashed, and hollow against the loss: gradient_decay_start" in probe.caption
    assert "distance j [tokens]" in probe.wide
    assert draw_pictures(beyond) == [families, probe]  # byte for byte


def test_one_sweep_has_no_figure_of_families_and_colours_curves_by_size() -> None:
    (probe,) = draw_pictures(Beyond(sweeps=(make_sweep("a"),), lost={}))
    assert ">10k<" in probe.wide
    assert ">30k<" in probe.wide


def test_a_probe_that_only_a_trainer_knows_is_drawn_by_its_name() -> None:
    (picture,) = draw_pictures(Beyond(sweeps=(make_sweep("a", ("accuracy",)),), lost={}))
    assert picture.caption.startswith("accuracy.")


def test_every_value_is_a_row_and_lost_values_are_named_with_the_remedy() -> None:
    beyond = Beyond(sweeps=(make_sweep("rnn"),), lost={"copy_gain": 4})
    rows = list_probe_rows(beyond)
    assert len(rows) == 8
    assert rows[0] == ("gradient_decay", "rnn", "10k", "100k", "1 ± 0.1", "1/token")
    assert "copy_gain (4)" in describe_lost(beyond)
    assert '"scaling run"' in describe_lost(beyond)
    assert describe_lost(Beyond(sweeps=(), lost={})) == ""


@pytest.mark.parametrize("curve", [None, CURVE])
def test_a_value_is_read_as_it_was_written(curve) -> None:
    value = make_value("gradient_decay", 0.5, curve=curve)
    body, _ = open_document(json.loads(seal_document(dataclasses.asdict(value))))
    assert build_value(ProbeValue, body, "probe") == value


def test_a_page_without_a_law_of_the_loss_points_to_what_was_measured_beside_it() -> None:
    data = with_status(standard_data(), "failed", "Too few runs.")
    told = "What was measured beside it stands in"
    assert told not in render_page(data)
    page = render_page(dataclasses.replace(data, beyond=Beyond(sweeps=(make_sweep("a"),), lost={})))
    assert told in page[page.index("No answer: Too few runs.") :]


def judge_sweep(sweep, metrics):
    """The sweep with its laws, judged from values that follow a power of N and D."""
    runs = sweep.runs
    table = make_table(
        [one.params for one in runs], [one.tokens for one in runs],
        loss=[one.loss for one in runs], metrics=metrics,
    )  # fmt: skip
    laws = {one.name: one for one in judge_metrics(table, None)}
    return dataclasses.replace(sweep, laws=laws, source="results/some")


def test_every_probe_of_a_page_has_law_or_reason_control_and_command() -> None:
    names = ("code_valid", "code_valid_ngram", "longest_match", "accuracy", "few_shot_phase")
    sweep = make_sweep("a", names)
    values = np.array([one.params * 1e-4 for one in sweep.runs])
    metrics = tuple(
        Metric(name=one, values=values, higher_is_better=False, unit="") for one in names
    )
    beyond = Beyond(sweeps=(judge_sweep(sweep, metrics),), lost={})
    accounts = {one.name: one for one in list_accounts(beyond)}
    assert set(accounts) == set(names)
    for name, one in accounts.items():
        assert one.laws[0].startswith(("None: ", f"{name} = "))
        assert one.control
        assert f"scaling fit results/some --metric {name}" in one.commands
    assert "code_valid_ngram" in accounts["code_valid"].control
    assert "Itself what code_valid compares with" in accounts["code_valid_ngram"].control
    assert accounts["accuracy"].control == "None: its probe names none."
    assert "scaling abilities results/some --sharp code_valid" in accounts["code_valid"].commands
    assert "scaling few-shot results/some" in accounts["few_shot_phase"].commands
    data = dataclasses.replace(standard_data(), beyond=beyond)
    for told in (render_page(data), render_markdown(data).replace("\\", "")):
        for one in accounts.values():
            assert f"--metric {one.name}" in re.sub("<[^>]*>", "", told)
            assert one.control in html.unescape(told)


def test_every_shipped_probe_says_what_it_compares_with() -> None:
    besides = {one.beside for one in PROBES.values()}
    for one in PROBES.values():
        assert one.control or one.beside or one.guessed or one.name in besides, one.name


def test_only_what_varies_has_a_panel() -> None:
    sweep = make_sweep("a")
    one_d = ProbedSweep(name="a", runs=tuple(one for one in sweep.runs if one.tokens == 1e5))
    one_n = ProbedSweep(name="a", runs=tuple(one for one in sweep.runs if one.params == 1e4))
    every = [list_panels(Beyond(sweeps=(one,), lost={})) for one in (sweep, one_d, one_n)]
    assert every == [["params", "tokens", "flops", "loss"], ["params", "loss"], ["tokens"]]


def test_seeds_of_one_cell_are_drawn_against_its_size() -> None:
    runs = tuple(one for one in make_sweep("a").runs if (one.params, one.tokens) == (1e4, 1e5))
    again = dataclasses.replace(runs[0], loss=runs[0].loss + 0.1)  # of another seed
    for own in ((runs[0],), (runs[0], again)):
        beyond = Beyond(sweeps=(ProbedSweep(name="a", runs=own),), lost={})
        assert list_panels(beyond) == ["params"]
        assert all("<svg" in group.picture.wide for group in show_beyond(beyond, NATS))


def test_guessing_is_named_where_it_is_known() -> None:
    beyond = Beyond(
        sweeps=(make_sweep("a", ("answer_accuracy",)),), lost={}, chances={"answer_accuracy": 0.1}
    )
    (group,) = show_beyond(beyond, NATS)
    assert "Dotted: guessing" in group.picture.caption
    assert group.accounts[0].control.startswith("Guessing scores 0.1 (dotted).")
