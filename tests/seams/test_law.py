"""A law from outside the package is fitted, asked, scored, named and offered like a built-in
one."""

import json
from pathlib import Path

import numpy as np
import pytest
from commands import call

from scaling.laws.chinchilla import CHINCHILLA
from scaling.laws.family import LawWords
from scaling.laws.power_sum import PowerSum, Term
from scaling.laws.registry import FAMILIES, list_scored, name_families
from scaling.verbs import asking
from scaling.words.letters import spell_letter, write_formula
from tools.laws_table import write_laws_table

CROSSED = PowerSum(
    "crossed",
    equation="E + A/N^alpha + B/D^beta + G/(N*D)^gamma",
    terms=(
        Term(letter="A", factors=(("alpha", "N"),)),
        Term(letter="B", factors=(("beta", "D"),)),
        Term(letter="G", factors=(("gamma", "ND"),)),
    ),
    parent="chinchilla",
    scored=True,
    words=LawWords(title="A crossed law", origin="nobody, never: one more power", beside="crossed"),
)


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAMILIES, "crossed", CROSSED)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Noise-free runs of Chinchilla's law: the crossed law's extra term must come out unused."""
    params, tokens = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e6, 1e9, 7),
                                                          np.geomspace(1e8, 1e11, 7)))  # fmt: skip
    loss = CHINCHILLA.loss(np.array([1.7, 400.0, 2000.0, 0.34, 0.37]), params, tokens)
    rows = zip(params.tolist(), tokens.tolist(), loss.tolist(), strict=True)
    path = tmp_path / "runs.csv"
    path.write_text("N,D,loss\n" + "".join(f"{n!r},{d!r},{one!r}\n" for n, d, one in rows))
    return path


def ask(*words: object) -> dict:
    return json.loads(call(*words, "--json").out)


def test_an_added_law_is_fitted_and_answers(table: Path) -> None:
    law = ("--family", "crossed", "--no-bootstrap")
    said = ask("fit", table, *law)
    assert said["law"]["family"] == "crossed"
    assert list(said["law"]["params"]) == ["E", "A", "B", "G", "alpha", "beta", "gamma"]
    (predicted,) = ask("predict", table, "--params", 3e8, "--tokens", 3e10, *law)["predictions"]
    truth = CHINCHILLA.loss(np.array([1.7, 400.0, 2000.0, 0.34, 0.37]), 3e8, 3e10)
    # Noise-free, and within the data.
    assert predicted["loss"] == pytest.approx(float(truth), rel=1e-4)


def test_a_backtest_scores_an_added_law_by_default(table: Path) -> None:
    assert "crossed" in list_scored()
    said = ask("backtest", table, "--families", "chinchilla,crossed")
    assert "crossed" in {one["family"] for one in said["laws"]}


def test_help_page_and_documents_name_what_the_registry_holds() -> None:
    assert "crossed" in name_families()
    assert "| `crossed` | E + A/N^α + B/D^β + G/(N·D)^γ | nobody, never" in write_laws_table()
    (option,) = (one for one in asking.fit.params if one.name == "family")
    for name in FAMILIES.keys() - {"crossed"}:  # help texts are built at program start
        assert name in option.help


@pytest.mark.parametrize(
    ("equation", "written"),
    [
        (CHINCHILLA.equation, "E + A / N<sup>α</sup> + B / D<sup>β</sup>"),
        ("(a*M^-eta)*C", "(a·M<sup>−η</sup>)·C"),
        ("[(N_c/N)^(alpha_N/alpha_D)]^k", "[(N<sub>c</sub> / N)<sup>α<sub>N</sub> / α<sub>D</sub>"
         "</sup>]<sup>k</sup>"),
        ("D^-exp(a1*N^alpha + b1)", "D<sup>−exp(a1·N<sup>α</sup> + b1)</sup>"),
        ("<b> & N'", "&lt;b&gt; &amp; N'"),
    ],
)  # fmt: skip
def test_a_formula_is_printed_with_its_powers(equation: str, written: str) -> None:
    assert write_formula(equation) == written


def test_greek_letters_are_spelled_and_words_are_not() -> None:
    assert [spell_letter(one) for one in ("alpha", "alpha_N", "eta", "beta_1", "metal")] == [
        "α", "α_N", "η", "β_1", "metal"
    ]  # fmt: skip
