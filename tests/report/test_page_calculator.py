"""The page's calculator in a real browser gives the command line's answers."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import open_page, start_browser, write_page
from commands import CODE, tell

from scaling.allocation import Allocation, Question, allocate
from scaling.errors import NoFitError, QueryError
from scaling.fitting.fitted import Fit
from scaling.units.losses import LossScale
from scaling.units.numbers import NumberError, read_number
from scaling.verbs.asking import allocate as allocate_command
from scaling.verbs.conditions import CONDITION_NAMES
from scaling.verbs.obtaining import obtain_answerer, settle_unit

pytestmark = pytest.mark.slow
By = pytest.importorskip("selenium.webdriver.common.by").By
Keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
WebDriverWait = pytest.importorskip("selenium.webdriver.support.ui").WebDriverWait

FIELDS = ("flops", "loss", "params", "tokens", "served", "unique")
ASKS = {
    "budget": ("flops",),
    "loss": ("loss",),
    "params": ("flops", "params"),
    "tokens": ("flops", "tokens"),
    "both": ("params", "tokens"),
}
# The page has parameters to seven digits and draws to six; half a unit of the third digit is
# between 5e-4 and 5e-3.
THREE_DIGITS = 5e-4

SOLVE = """
const table = read('answers'), done = arguments[1];
done(arguments[0].map((asked) => {
  const inside = table.factor ? asked.loss / table.factor : Math.log(asked.loss);
  const question = {...asked, loss: inside};
  const one = answerPoint(table, question);
  if (one.refusal) return one;
  const found = table.draws.map((_, at) => followDraw(table, question, one, at));
  const { ranges } = gatherIntervals(table, question, one, found);
  return {...one, ranges};
}));
"""
READ = "return arguments[0].map((one) => readNumber(one, arguments[1]))"
NUMBERS = (
    *("10T", "1e24", "6.3e11", "2.5B", "1,000", "1,000,000", "1_000", "3,54", "0,000", "10^21"),
    *("6.3*10^21", "10²¹", "6·10^3", "1e", "1e3k", "5GFLOPs", "5PFLOPs", "2PF-days", "64k", "7.m"),
    *(".5M", "1.2.3", "many", "10T10", "1,00,000", "1.000.000", "12'000", "1,234.5", "1,234,567.8"),
    *("1e400", "1e-3", "+5", "--5", "5tok", "5tokens", "3params", "1e21flop", "5bn", "6trillion"),
    *("7thousand", "0x10", "١٢", "2 PF-days", "300B tokens", "1 000 000", "5 x 10^3", "10 ** 3"),
    *("", " 7 ", "1 0", "1\u202f000"),
)
ASK = """
const [mode, asked] = arguments;
const change = (one, value, event) => {
  one.value = value;
  one.dispatchEvent(new Event(event));
};
change(document.querySelector('[data-mode]'), mode, 'change');
for (const [name, text] of Object.entries(asked)) {
  change(document.querySelector(`[data-types=${name}]`), text, 'change');
}
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with start_browser() as found:
        yield found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(CODE, tmp_path_factory.mktemp("report"))


def read_fit(source: Path, *options: str) -> tuple[Fit, Any, LossScale]:
    """The fit that `scaling allocate` asks, the shapes it may build, and the unit of losses."""
    context = allocate_command.make_context("allocate", [str(source), "--flops", "1", *options])
    said = {**context.params}
    place = said.pop("source")
    for name in (*CONDITION_NAMES, "flops", "far", "verbose", "group_by", "as_json"):
        said.pop(name, None)
    scale, said = settle_unit(place, said)
    fit, ladder, _ = obtain_answerer(place, said)
    return fit, ladder, scale


def draw_questions(fit: Fit, scale: LossScale, count: int, seed: int) -> list[dict[str, Any]]:
    """Questions of every mode around and beyond the data, half of them under conditions."""
    covered = fit.covered
    assert covered is not None
    rng = np.random.default_rng(seed)

    def draw(ends: tuple[float, float], below: float, above: float) -> float:
        low, high = math.log(ends[0]) - below, math.log(ends[1]) + above
        return float(f"{math.exp(rng.uniform(low, high)):.4g}")

    questions: list[dict[str, Any]] = []
    for at in range(count):
        mode = list(ASKS)[at % len(ASKS)]
        values = {
            "flops": draw(covered.flops, 1.0, 7.0),
            "params": draw(covered.params, 1.0, 2.0),
            "tokens": draw(covered.tokens, 1.0, 2.0),
            "loss": draw((scale.to(covered.loss[0]), scale.to(covered.loss[1])), 0.15, 0.05),
        }
        asked: dict[str, Any] = {name: values[name] for name in ASKS[mode]}
        served, unique = draw(covered.tokens, 0.0, 5.0), draw(covered.tokens, 0.0, 4.0)
        asked["served"] = served if rng.random() < 0.4 else None
        asked["unique"] = unique if rng.random() < 0.4 else None
        questions.append({"mode": mode, **asked})
    return questions


def answer(fit: Fit, ladder: Any, scale: LossScale, asked: dict[str, Any]) -> Allocation | None:
    """The command line's answer, or None if it refuses."""
    target = asked.get("loss")
    question = Question(
        flops=asked.get("flops"),
        target_loss=None if target is None else scale.from_(target),
        params=asked.get("params"),
        tokens=asked.get("tokens"),
        inference_tokens=asked["served"],
        unique_tokens=asked["unique"],
    )
    try:
        return allocate(fit, question, ladder=ladder)
    except (NoFitError, QueryError):
        return None


def compare(shown: dict[str, Any], wanted: Allocation, asked: dict[str, Any]) -> list[str]:
    """Quantities in which page and command line differ in the third digit."""
    pairs = [(name, shown[name], getattr(wanted, name)) for name in ("flops", "params", "tokens")]
    pairs.append(("loss", shown["loss"], wanted.loss))
    for name in ("flops", "params", "tokens", "loss"):
        interval, ends = getattr(wanted, f"{name}_interval"), shown["ranges"].get(name)
        if (interval is None) != (ends is None):
            return [f"{asked}: interval of {name}: {ends} for {interval}"]
        if interval is not None and ends is not None:
            # The browser's JSON writes an infinite end as null.
            found = [math.inf if end is None else end for end in ends]
            pairs += list(
                zip(
                    (f"{name} low", f"{name} high"),
                    found,
                    (interval.low, interval.high),
                    strict=True,
                )
            )
    return [
        f"{asked}: {name} {mine} for {theirs}"
        for name, mine, theirs in pairs
        if mine != theirs and not abs(mine / theirs - 1.0) < THREE_DIGITS
    ]


def ask_all(browser: Any, questions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    browser.set_script_timeout(300)
    shown: list[dict[str, Any]] = []
    # A thousand draws each take seconds, more on a busy machine.
    for first in range(0, len(questions), 10):
        shown += browser.execute_async_script(SOLVE, questions[first : first + 10])
    return shown


def count_differences(
    browser: Any, source: Path, page: Path, count: int, seed: int, *options: str
) -> tuple[list[str], int]:
    """Sentences about what differs, and how many questions both answered."""
    fit, ladder, scale = read_fit(source, *options)
    questions = draw_questions(fit, scale, count, seed)
    open_page(browser, page)
    differences, answered = [], 0
    for asked, shown in zip(questions, ask_all(browser, questions), strict=True):
        wanted = answer(fit, ladder, scale, asked)
        if wanted is None or "refusal" in shown:
            if (wanted is None) != ("refusal" in shown):
                differences.append(f"{asked}: {shown}, but {wanted}")
            continue
        answered += 1
        differences += compare(shown, wanted, asked)
    return differences, answered


def test_two_hundred_questions_have_the_command_line_s_answers(browser: Any, page: Path) -> None:
    """Questions of every mode, with and without serving and repeated text; also intervals,
    refusals."""
    differences, answered = count_differences(browser, CODE, page, 200, 0)
    assert differences == []
    assert answered >= 150


def pose(browser: Any, mode: str, **asked: str) -> dict[str, Any]:
    """Ask through the page's inputs; served and unique tokens are empty unless given."""
    browser.execute_script(ASK, mode, {"served": "", "unique": ""} | asked)
    box = browser.find_element(By.ID, "calculator-live")
    WebDriverWait(browser, 60).until(lambda _: box.get_attribute("data-state") != "asking")
    return json.loads(box.get_attribute("data-answer") or "{}")


def show(browser: Any, name: str) -> str:
    return browser.find_element(By.CSS_SELECTOR, f"[data-show={name}]").text


@pytest.mark.parametrize(
    ("mode", "asked"),
    [
        ("budget", {"flops": "3.21e11"}),
        ("budget", {"flops": "99T", "served": "3M"}),
        ("budget", {"flops": "4.5*10^12", "unique": "10M tokens"}),
        ("loss", {"loss": "1.9"}),
        ("loss", {"loss": "1.72", "served": "10M", "unique": "3M"}),
        ("params", {"flops": "1e12", "params": "100k"}),
        ("tokens", {"flops": "1e12", "tokens": "5,000,000"}),
        ("both", {"params": "70k", "tokens": "2M"}),
    ],
)
def test_the_command_beside_an_answer_reproduces_it(
    browser: Any, page: Path, mode: str, asked: dict[str, str]
) -> None:
    open_page(browser, page)
    shown = pose(browser, mode, **asked)
    words = show(browser, "command").removeprefix("scaling ")
    (wanted,) = json.loads(tell(*words.split(), "--json"))["answers"]
    for name in ("flops", "params", "tokens", "loss"):
        assert shown[name] == pytest.approx(wanted[name], rel=THREE_DIGITS)
    # The calculator answers for the held-out set of the runs; the command also for its text.
    there = wanted["intervals"].keys() - _list_empty(wanted) - {"loss_on_text"}
    assert shown["ranges"].keys() == there
    for name, ends in shown["ranges"].items():
        assert ends == pytest.approx(wanted["intervals"][name], rel=THREE_DIGITS)


def _list_empty(wanted: dict[str, Any]) -> set[str]:
    return {name for name, interval in wanted["intervals"].items() if interval is None}


def test_numbers_are_read_as_on_the_command_line(browser: Any, page: Path) -> None:
    open_page(browser, page)
    for of in ("FLOP", "tokens", "parameters"):
        found = browser.execute_script(READ, NUMBERS, of)
        for text, mine in zip(NUMBERS, found, strict=True):
            try:
                wanted: float | None = read_number(text, of=of)  # type: ignore[arg-type]
            except NumberError:
                wanted = None
            if wanted is not None and not 0.0 < wanted < math.inf:
                wanted = None
            assert mine.get("value") == (wanted and pytest.approx(wanted, rel=1e-15)), text


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"flops": "many"}, "is no number"),
        ({"flops": "-3"}, "not positive"),
        ({"flops": "10T10"}, "is no number"),
        ({"flops": "1,000"}, "may be 1000 or 1.000"),
        ({"flops": "5 tokens"}, "number of tokens"),
        ({"flops": "1e30"}, "decades above the data"),
        ({"flops": "1e5"}, "decades below the data"),
        ({"flops": "5e12", "unique": "30k"}, "only runs that repeat their data"),
    ],
)
def test_an_unanswerable_question_is_explained_and_the_old_answer_removed(
    browser: Any, page: Path, asked: dict[str, str], words: str
) -> None:
    open_page(browser, page)
    assert pose(browser, "budget", flops="3e11")
    assert pose(browser, "budget", **asked) == {}
    assert words in show(browser, "refusal")
    assert not browser.find_element(By.ID, "calculator-answer").is_displayed()
    assert {show(browser, name) for name in ("loss", "ratio", "money", "distance")} == {"–"}
    assert pose(browser, "budget", flops="3e11")  # the next question is answered again
    assert browser.find_element(By.ID, "calculator-answer").is_displayed()


def test_a_refused_number_matters_only_where_it_is_asked(browser: Any, page: Path) -> None:
    open_page(browser, page)
    assert pose(browser, "loss", loss="0.01") == {}
    assert "No compute reaches" in show(browser, "refusal")
    assert pose(browser, "loss", loss="low") == {}
    assert pose(browser, "budget", flops="3e11")


@pytest.mark.parametrize(
    ("flops", "words", "tone"),
    [
        ("3.2e12", "C: 1 decade above the trained budgets, more than half", "amber"),
        ("9e13", "C: 2.4 decades above the trained budgets, further out", "red"),
        ("1e10", "C: 0.3 decades below the trained budgets", "good"),
        ("1e11", "inside the trained runs", "good"),
    ],
)
def test_a_distance_is_coloured_and_names_its_side(
    browser: Any, page: Path, flops: str, words: str, tone: str
) -> None:
    open_page(browser, page)
    pose(browser, "budget", flops=flops)
    line = browser.find_element(By.CSS_SELECTOR, "[data-show=distance] span")
    assert line.text.startswith(words)
    assert line.get_attribute("data-tone") == tone


def test_sliders_answer_the_keyboard(browser: Any, page: Path) -> None:
    open_page(browser, page)
    slider = browser.find_element(By.ID, "ask-flops")
    before = show(browser, "params")
    for _ in range(40):
        slider.send_keys(Keys.ARROW_RIGHT)
    assert show(browser, "params") != before
    assert "e" in slider.get_attribute("aria-valuetext")
