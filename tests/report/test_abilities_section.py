"""Claims about the page's section of abilities."""

import dataclasses
import re

import pytest
from ability_worlds import independent, make_runs, score
from simulated import make_data

from scaling.fitting.abilities.ability import judge_ability
from scaling.report.abilities import show_abilities
from scaling.report.data import ReportData
from scaling.report.page import render_page


@pytest.fixture(scope="module")
def data() -> ReportData:
    """One ability whose jump is due to the metric; the page's sweep is unrelated."""
    ability = judge_ability(score(make_runs(independent)), count=20)
    return dataclasses.replace(make_data(bootstrap=None), abilities=(ability,))


def test_the_page_shows_an_ability_with_verdict_figure_and_forecasts(data: ReportData) -> None:
    page = render_page(data)
    assert '<a href="#abilities">Abilities</a>' in page
    section = page.partition('<section id="abilities"')[2].partition("</section>")[0]
    assert "is the metric&#39;s: answer_exact is what independent token errors give" in section
    assert section.count("<svg") == 2  # for a wide page and for a phone
    assert "Predictable: every criterion holds." in section
    (forecast,) = show_abilities(data.abilities)
    for row in (*forecast.forecasts, *forecast.criteria):
        assert row[0] in section
    assert "answer_loss = E" not in section
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_a_page_without_abilities_has_no_such_section(data: ReportData) -> None:
    page = render_page(dataclasses.replace(data, abilities=()))
    assert 'href="#abilities"' not in page
    assert 'id="abilities"' not in page


def test_the_same_abilities_draw_the_same_bytes(data: ReportData) -> None:
    first, second = show_abilities(data.abilities), show_abilities(data.abilities)
    assert first == second
