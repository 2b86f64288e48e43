"""Claims about laws of another quantity than the loss."""

import json

import numpy as np
import pytest
from commands import call

from scaling.errors import TableError, UsageError
from scaling.fitting.every_approach import fit_runs
from scaling.tables.metric_table import fit_metric
from scaling.tables.metrics import AskedMetric, Metric, MetricFacts
from scaling.tables.run_table import make_table, select_rows
from scaling.workflow.stored import read_runs

BOUND = 0.95
LAW = {"E": 0.05, "A": 40.0, "B": 60.0, "alpha": 0.3, "beta": 0.28}
GRID = np.stack(np.meshgrid(np.geomspace(1e6, 1e9, 7), np.geomspace(1e8, 1e11, 7)))
PARAMS, TOKENS = GRID.reshape(2, -1)
HIGHER = ("--metric", "accuracy", "--higher-is-better", "--bound", str(BOUND))


def miss(params, tokens):
    """B − accuracy under a law with known parameters."""
    return LAW["E"] + LAW["A"] / params ** LAW["alpha"] + LAW["B"] / tokens ** LAW["beta"]


@pytest.fixture
def path(tmp_path):
    """A table without a loss, with an accuracy and an error that follow the law."""
    lines = ["N,D,accuracy,accuracy_se,error"]
    for n, d in zip(PARAMS, TOKENS, strict=True):
        left = float(miss(n, d))
        lines.append(f"{float(n)!r},{float(d)!r},{BOUND - left!r},{0.01 * left!r},{left!r}")
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    "asked",
    [
        AskedMetric(name="accuracy", higher_is_better=True, bound=BOUND),
        AskedMetric(name="error"),
    ],
)
def test_a_law_of_a_metric_is_recovered(path, asked):
    """To six digits: accuracies are stored as doubles, and B − accuracy loses two of 16 digits."""
    table, _ = read_runs(path, metric=asked)
    fit = fit_runs(table, family="chinchilla", bootstrap=None)
    assert fit.law.params == pytest.approx(LAW, rel=1e-6)
    assert fit.metric == table.metric_facts


def test_a_prediction_is_said_in_the_metric(path):
    words = ("predict", path, *HIGHER, "--params", "2e9", "--tokens", "2e11", "--no-bootstrap")
    true = BOUND - float(miss(2e9, 2e11))
    said = call(*words, "--family", "chinchilla")
    assert said.code == 0
    assert f"accuracy {true:.4f}\n" in said.out
    assert "loss" not in said.out.split("?")[0]
    (answer,) = json.loads(call(*words, "--family", "chinchilla", "--json").out)["predictions"]
    assert answer["loss"] == pytest.approx(BOUND - true, rel=1e-6)
    metric = answer["metric"]
    assert metric.pop("value") == pytest.approx(true, rel=1e-6)
    assert metric.pop("intervals") == {"mean": None, "new_run": None}
    assert metric == {
        "name": "accuracy", "unit": None, "higher_is_better": True, "bound": BOUND,
    }  # fmt: skip


def test_intervals_of_a_bounded_metric_keep_their_order(path):
    words = ("allocate", path, *HIGHER, "--flops", "1e20", "--bootstrap", "20", "--json")
    (answer,) = json.loads(call(*words).out)["answers"]
    low, high = answer["metric"]["intervals"]["value"]
    assert low <= answer["metric"]["value"] <= high
    assert [BOUND - high, BOUND - low] == pytest.approx(answer["intervals"]["loss"])


def test_a_fit_of_a_metric_says_what_its_law_gives(path):
    said = call("fit", path, *HIGHER, "--no-bootstrap")
    assert "0.95 − accuracy = E + A/N^alpha + B/D^beta\n" in said.out
    assert "nats" not in said.out
    contract = json.loads(call("fit", path, *HIGHER, "--no-bootstrap", "--json").out)
    assert contract["metric"]["name"] == "accuracy"
    assert "loss_unit" not in contract
    assert "nats" not in json.dumps(contract)
    checks = {one["code"]: one for one in contract["checks"]}
    for code in ("above_unigram", "diverged_cells"):
        assert checks[code]["passed"] is None
        assert "accuracy" in checks[code]["seen"]
    assert checks["implausible_units"]["passed"] is True
    assert "not judged" in checks["implausible_units"]["seen"]


def test_a_page_of_a_metric_is_refused(path, tmp_path):
    words = ("report", path, *HIGHER, "--root", tmp_path, "--format")
    asked = call(*words, "html")
    assert asked.code == 2
    assert "--format md" in asked.errors
    assert not list(tmp_path.rglob("reports"))
    assert call(*words, "md").out.strip().endswith("accuracy.md")


def test_a_report_of_a_metric_is_named_after_it(path, tmp_path):
    said = call("report", path, *HIGHER, "--root", tmp_path)
    assert said.code == 0
    page = (tmp_path / "reports" / "runs" / "accuracy.md").read_text()
    assert "0.95 − accuracy = " in page
    assert "nats" not in page


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--metric", "acuracy"), ("acuracy: no such column", "--metric accuracy?")),
        (("--metric", "accuracy", "--higher-is-better"), ("Say --bound B", "1 for a share")),
        (("--metric", "error", "--bound", "1"), ("lower is better", "leave --bound")),
        (
            (*HIGHER[:3], "--bound", "0.7"),
            ("of 49 rows reach the bound 0.7", "35: 0.725", "raise --bound"),
        ),
        (
            ("--metric", "accuracy"),
            ("1 of 49 rows are not above 0", "(1: -0.079", "--higher-is-better"),
        ),
        (("--bound", "1"), ("are options of --metric",)),
        (("--metric", "loss"), ("name a column that is not of the contract",)),
        (("--metric", "error", "--loss-unit", "bits"), ("--loss-unit is of the loss",)),
        (("--metric", "error", "--of", "C"), ("--metric does not go with --of",)),
        ((*HIGHER[:4], "nan"), ("say a finite number",)),
    ],
)
def test_a_metric_that_no_law_can_describe_is_refused(path, words, parts):
    said = call("fit", path, "--no-bootstrap", *words)
    assert said.code == 2, said.out
    for part in parts:
        assert part in f"{said.out}{said.errors}"


@pytest.mark.parametrize(
    "words",
    [("allocate", "--flops", "1e20"), ("predict", "--params", "2e9", "--tokens", "2e11"),
     ("report",)],
)  # fmt: skip
def test_a_metric_takes_no_loss_unit(path, words):
    said = call(words[0], path, *HIGHER, *words[1:], "--loss-unit", "ppl")
    assert said.code == 2
    assert "--loss-unit is of the loss; leave it or --metric out." in said.errors


def test_a_target_of_a_metric_is_refused(path):
    said = call("allocate", path, *HIGHER, "--target-loss", "0.1")
    assert said.code == 2
    assert "--target-loss is of the loss" in said.errors


def make(**metric):
    values = BOUND - miss(PARAMS, TOKENS)
    one = Metric(name="accuracy", **{"values": values, **metric})
    return make_table(PARAMS, TOKENS, loss=np.full(49, 3.0), metrics=(one,))


def test_the_probe_knows_direction_and_bound():
    table = make(higher_is_better=True, bound=BOUND)
    fitted = fit_metric(table, AskedMetric(name="accuracy"))
    assert fitted.metric_facts == MetricFacts(
        name="accuracy", unit="", higher_is_better=True, bound=BOUND
    )
    further = fit_metric(table, AskedMetric(name="accuracy", bound=1.0))
    assert further.loss == pytest.approx(1.0 - table.metrics[0].values)
    with pytest.raises(UsageError, match="lower is better"):
        fit_metric(
            make(higher_is_better=False), AskedMetric(name="accuracy", higher_is_better=True)
        )


def test_rows_that_state_no_metric_are_left_out_and_counted():
    values = np.where(np.arange(49) < 3, np.nan, 0.5)
    fitted = fit_metric(make(values=values), AskedMetric(name="accuracy"))
    assert len(fitted) == 46
    assert fitted.run[0] == "4"
    assert fitted.notes == ("3 of 49 runs state no accuracy: left out",)
    with pytest.raises(TableError, match="no run states accuracy"):
        fit_metric(make(values=np.full(49, np.nan)), AskedMetric(name="accuracy"))


def test_a_metric_that_the_runs_lack_is_named_with_its_remedy():
    with pytest.raises(TableError, match=r"have accuracy; did you mean accuracy\?"):
        fit_metric(make(), AskedMetric(name="acuracy"))
    with pytest.raises(TableError, match=r"write \"evaluate: \[tail_loss\]\""):
        fit_metric(make(), AskedMetric(name="tail_loss"))


def test_the_digest_tells_metrics_apart():
    table = make(higher_is_better=True, bound=BOUND)
    one, other = (
        fit_metric(table, AskedMetric(name="accuracy", bound=bound)) for bound in (BOUND, 1.0)
    )
    assert len({table.digest, one.digest, other.digest}) == 3
    whole = select_rows(one, range(49))
    assert whole.digest == one.digest
    assert whole.metrics[0].values.tolist() == one.metrics[0].values.tolist()
