"""Claims about forecasts of tables: sealed, dated, never replaced, scored with stated outcomes."""

import json
import math

import numpy as np
import pytest
from click.testing import CliRunner

from scaling.cli import cli
from scaling.errors import UsageError

E, A, B, ALPHA, BETA = 1.69, 406.4, 410.7, 0.34, 0.28  # Hoffmann et al. 2022, eq. 10


@pytest.fixture
def ask(tmp_path):
    rng = np.random.default_rng(0)
    rows = [
        (n, d, (E + A / n**ALPHA + B / d**BETA) * math.exp(0.003 * rng.standard_normal()))
        for n in (7e7, 1.6e8, 4.1e8, 1e9, 2.8e9)
        for d in (2e9, 1e10, 3e10, 1e11)
    ]
    path = tmp_path / "runs.csv"
    path.write_text("N,D,loss\n" + "".join(f"{n},{d},{loss!r}\n" for n, d, loss in rows))

    def run(*words):
        fixed = ["forecast", str(path), "--root", str(tmp_path), "--json", "--bootstrap", "50"]
        done = CliRunner().invoke(cli, [*fixed, *words])
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return json.loads(done.stdout)

    return run


def test_a_forecast_of_a_table_is_sealed_told_its_outcome_and_scored(ask, tmp_path):
    (said,) = ask("--flops", "1e22")["forecasts"]
    # The law's optimum, N* = G (C/6)^(β/(α+β)); Hoffmann et al., eq. 4.
    best = (ALPHA * A / (BETA * B)) ** (1 / (ALPHA + BETA)) * (1e22 / 6) ** (BETA / (ALPHA + BETA))
    right = E + A / best**ALPHA + B / (1e22 / 6 / best) ** BETA
    assert said["low"] <= right <= said["high"]
    assert said["outcome"] is None
    assert len(ask("--flops", "1e22")["forecasts"]) == 1  # repeating a forecast adds none
    after = ask("--flops", "1e22", "--outcome", str(right))
    (one,) = after["forecasts"]
    assert one["outcome"]["inside"] is True
    assert one["outcome"]["error"] == pytest.approx(math.log(right / said["loss"]), rel=1e-9)
    assert after["score"]["checked"] == after["score"]["covered"] == 1
    with pytest.raises(UsageError, match="never replaced"):
        ask("--flops", "1e22", "--outcome", "2")
    files = (tmp_path / "forecasts" / "runs").iterdir()
    (path,) = (one for one in files if "outcome" not in one.name)
    path.write_text(path.read_text().replace('"loss":', '"loss" :', 1))
    path.write_text(path.read_text().replace(str(said["loss"])[:6], "9.9999", 1))
    assert len(ask()["damaged"]) == 1


def test_a_budget_without_a_forecast_has_no_outcome(ask):
    with pytest.raises(UsageError, match="there is none"):
        ask("--flops", "1e22", "--outcome", "2")


def test_a_table_is_forecast_by_its_near_runs(ask):
    """Registered beside the law's forecast; both intervals contain the law's true loss."""
    best = (ALPHA * A / (BETA * B)) ** (1 / (ALPHA + BETA)) * (3e21 / 6) ** (BETA / (ALPHA + BETA))
    right = E + A / best**ALPHA + B / (3e21 / 6 / best) ** BETA
    ask("--flops", "3e21")
    by_law, near = sorted(ask("--flops", "3e21", "--near")["forecasts"], key=lambda o: o["law"],
                          reverse=True)  # fmt: skip
    assert (by_law["law"], near["law"]) == ("ensemble", "chinchilla, near runs")
    assert near["loss"] != by_law["loss"]
    for one in (by_law, near):
        assert one["low"] <= right <= one["high"]
        # A decade beyond the data, with .3 % noise.
        assert one["loss"] == pytest.approx(right, rel=0.01)
