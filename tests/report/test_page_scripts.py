"""The report in a real browser: what its scripts add, and what is there without them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from scaling.cli import cli

pytestmark = pytest.mark.slow
selenium = pytest.importorskip("selenium.webdriver", reason="selenium is in the extra dev")
By = pytest.importorskip("selenium.webdriver.common.by").By
Keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
WebDriverWait = pytest.importorskip("selenium.webdriver.support.ui").WebDriverWait

REPOSITORY = Path(__file__).parents[2]
CODE = REPOSITORY / "results" / "code"
WIDE, PHONE = (1280, 900), (390, 844)
SWITCHES = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("report")
    words = ["report", str(CODE), "--root", str(root)]
    done = CliRunner().invoke(cli, words, standalone_mode=False)
    assert done.exception is None
    return root / "reports" / "code" / "index.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("needs chromium and chromedriver (Debian: chromium chromium-driver)")
    options = selenium.ChromeOptions()
    options.binary_location = chromium
    for switch in SWITCHES:
        options.add_argument(switch)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = selenium.Chrome(options=options, service=selenium.ChromeService(driver))
    yield found
    found.quit()


def open_page(
    browser: Any, page: Path, *, size: tuple[int, int] = WIDE, dark: bool = False
) -> None:
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    browser.get(page.as_uri())


def show_figure(browser: Any, key: str) -> Any:
    """The interactive figure, once it is drawn."""
    figure = browser.find_element(By.CSS_SELECTOR, f'[data-live="{key}"]')
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", figure)
    waiting = """const [figure, done] = arguments;
        const look = () => {
          if (figure.classList.contains('drawn')) done(); else requestAnimationFrame(look);
        };
        look();"""
    browser.set_script_timeout(30)
    browser.execute_async_script(waiting, figure)
    return figure


ASK = """
const [flops, served, unique] = arguments;
const typed = document.querySelector('[data-types=flops]');
typed.value = flops;
typed.dispatchEvent(new Event('change'));
for (const [name, stop] of [['served', served], ['unique', unique]]) {
  const slider = document.getElementById('ask-' + name);
  slider.value = stop === null ? (name === 'served' ? 0 : slider.max) : stop;
  slider.dispatchEvent(new Event('input'));
}
const {params, tokens, loss} = document.getElementById('calculator-live').dataset;
return [[params, tokens, loss].map(Number),
        document.querySelector('[data-show=command]').textContent];
"""


@pytest.mark.parametrize(
    ("flops", "served", "unique"),
    [
        ("3.21e11", None, None),
        ("1.37e12", None, None),
        ("9.9e13", None, None),
        ("2e11", 4, None),
        ("2e12", 7, None),
        ("4.5e12", None, 5),
        ("5e12", 5, 5),
    ],
)
def test_the_calculator_says_what_the_command_line_says(
    browser: Any, page: Path, flops: str, served: int | None, unique: int | None
) -> None:
    open_page(browser, page)
    shown, command = browser.execute_script(ASK, flops, served, unique)
    words = command.removeprefix("scaling ").split()
    done = subprocess.run(
        [sys.executable, "-m", "scaling", *words, "--no-bootstrap", "--json"],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout)["answers"]
    # Half a unit of the third digit of 1.00.
    assert shown == pytest.approx([answer[name] for name in ("params", "tokens", "loss")], rel=5e-3)


def test_what_the_command_line_refuses_the_calculator_refuses(browser: Any, page: Path) -> None:
    open_page(browser, page)
    _, command = browser.execute_script(ASK, "5e12", None, 0)
    assert "--unique-tokens" in command
    assert browser.find_element(By.CSS_SELECTOR, "[data-show=refusal]").is_displayed()
    assert not browser.find_element(By.ID, "calculator-answer").is_displayed()


def show(browser: Any, name: str) -> str:
    return browser.find_element(By.CSS_SELECTOR, f"[data-show={name}]").text


@pytest.mark.parametrize(
    ("typed", "words"),
    [("many", "is no number"), ("-3", "is no number"), ("10T10", "is no number"), ("1e30", "from")],
)
def test_what_cannot_be_answered_is_said_and_no_old_answer_stays(
    browser: Any, page: Path, typed: str, words: str
) -> None:
    open_page(browser, page)
    browser.execute_script(ASK, typed, None, None)
    assert words in show(browser, "refusal")
    assert not browser.find_element(By.ID, "calculator-answer").is_displayed()
    assert (show(browser, "loss"), show(browser, "command")) == ("–", "–")
    browser.execute_script(ASK, "3e11", None, None)  # and the next question is answered
    assert browser.find_element(By.ID, "calculator-answer").is_displayed()


def test_a_distance_says_its_side(browser: Any, page: Path) -> None:
    open_page(browser, page)
    for typed, words in (("3.2e12", "1 decade above"), ("1e11", "inside")):
        browser.execute_script(ASK, typed, None, None)
        assert words in show(browser, "distance")


@pytest.mark.parametrize(("form", "kind"), [("SVG", "image/svg+xml"), ("PNG", "image/png")])
def test_a_figure_can_be_taken_along(browser: Any, page: Path, form: str, kind: str) -> None:
    open_page(browser, page)
    figure = browser.find_element(By.CSS_SELECTOR, "[data-key=compute]")
    button = figure.find_element(By.XPATH, f".//button[text()='{form}']")
    browser.execute_script("arguments[0].click()", button)
    WebDriverWait(browser, 20).until(lambda _: figure.get_attribute("data-saved"))
    assert figure.get_attribute("data-saved").startswith(f"data:{kind}")


def test_sliders_answer_the_keyboard(browser: Any, page: Path) -> None:
    open_page(browser, page)
    slider = browser.find_element(By.ID, "ask-flops")
    before = browser.find_element(By.CSS_SELECTOR, "[data-show=params]").text
    for _ in range(40):
        slider.send_keys(Keys.ARROW_RIGHT)
    assert browser.find_element(By.CSS_SELECTOR, "[data-show=params]").text != before
    assert "e" in slider.get_attribute("aria-valuetext")


@pytest.mark.parametrize("key", ["isoflop", "surface"])
def test_pointing_at_a_run_names_it(browser: Any, page: Path, key: str) -> None:
    open_page(browser, page)
    figure = show_figure(browser, key)
    dot = figure.find_elements(By.CSS_SELECTOR, ".scatterlayer .point")[-1]
    selenium.ActionChains(browser).move_to_element(dot).perform()
    words = browser.execute_script(
        "return [...arguments[0].querySelectorAll('.hoverlayer text')]"
        ".map((one) => one.textContent).join(' ')",
        figure,
    )
    known = {folder.name for folder in (CODE / "runs").iterdir()}
    assert any(run_id in words for run_id in known)


def test_nothing_is_refused_or_fetched(browser: Any, page: Path) -> None:
    open_page(browser, page)
    show_figure(browser, "isoflop")
    assert browser.get_log("browser") == []
    fetched = "return performance.getEntriesByType('resource').map((one) => one.name)"
    assert browser.execute_script(fetched) == []


def test_without_scripts_figures_and_answers_remain(browser: Any, page: Path) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        open_page(browser, page)
        for key in ("isoflop", "surface"):
            picture = browser.find_element(By.CSS_SELECTOR, f'[data-live="{key}"] .wide svg')
            assert picture.is_displayed()
        assert not browser.find_element(By.ID, "calculator-live").is_displayed()
        table = browser.find_element(By.CSS_SELECTOR, "#calculator table")
        assert "1e12" in table.text
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


@pytest.mark.parametrize("size", [WIDE, PHONE])
def test_the_page_is_no_wider_than_the_screen(
    browser: Any, page: Path, size: tuple[int, int]
) -> None:
    open_page(browser, page, size=size)
    show_figure(browser, "surface")
    widths = "return [document.documentElement.scrollWidth, window.innerWidth]"
    needed, there = browser.execute_script(widths)
    assert needed <= there


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core: from the folder in SCALING_AXE, else from the npm registry."""
    named = os.environ.get("SCALING_AXE")
    if named:
        return (Path(named) / "axe.min.js").read_text(encoding="utf-8")
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs axe-core: set SCALING_AXE to its folder, or install npm")
    folder = tmp_path_factory.mktemp("axe")
    done = subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", "axe-core@4"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        pytest.skip("axe-core cannot be fetched from npm; set SCALING_AXE to its folder")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("size", [WIDE, PHONE])
@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_no_serious_violation(
    browser: Any, page: Path, axe: str, size: tuple[int, int], dark: bool
) -> None:
    open_page(browser, page, size=size, dark=dark)
    for key in ("isoflop", "surface"):
        show_figure(browser, key)
    browser.execute_script(axe)
    browser.set_script_timeout(120)
    found = browser.execute_async_script(
        "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']})"
        ".then((result) => done(result.violations));"
    )
    serious = [
        (one["id"], one["help"], one["nodes"][0]["html"][:200], one["nodes"][0]["failureSummary"])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []
