"""The report in a real browser: what its scripts add, and what works without them."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import PHONE, WIDE, open_page, start_browser, write_page
from commands import CODE

pytestmark = pytest.mark.slow
selenium = pytest.importorskip("selenium.webdriver", reason="selenium is in the extra dev")
By = pytest.importorskip("selenium.webdriver.common.by").By
WebDriverWait = pytest.importorskip("selenium.webdriver.support.ui").WebDriverWait


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(CODE, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with start_browser() as found:
        yield found


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


@pytest.mark.parametrize(("form", "kind"), [("SVG", "image/svg+xml"), ("PNG", "image/png")])
def test_a_figure_can_be_downloaded(browser: Any, page: Path, form: str, kind: str) -> None:
    open_page(browser, page)
    figure = browser.find_element(By.CSS_SELECTOR, "[data-key=compute]")
    button = figure.find_element(By.XPATH, f".//button[text()='{form}']")
    browser.execute_script("arguments[0].click()", button)
    WebDriverWait(browser, 20).until(lambda _: figure.get_attribute("data-saved"))
    assert figure.get_attribute("data-saved").startswith(f"data:{kind}")


@pytest.mark.parametrize("key", ["isoflop", "surface"])
def test_hovering_over_a_run_names_it(browser: Any, page: Path, key: str) -> None:
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


def test_the_page_logs_nothing_and_fetches_nothing(browser: Any, page: Path) -> None:
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
