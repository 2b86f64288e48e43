"""A real browser for the tests of the page, and a page to open in it."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from commands import tell

selenium = pytest.importorskip("selenium.webdriver", reason="selenium is in the extra dev")

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


@contextmanager
def start_browser() -> Iterator[Any]:
    """A driver of chromium; skips the test without one."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("needs chromium and chromedriver (Debian: chromium chromium-driver)")
    options = selenium.ChromeOptions()
    options.binary_location = chromium
    with tempfile.TemporaryDirectory() as profile:
        for switch in (*SWITCHES, f"--user-data-dir={profile}"):
            options.add_argument(switch)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        found = selenium.Chrome(options=options, service=selenium.ChromeService(driver))
        yield found
        found.quit()


def write_page(source: Path, root: Path, *options: str) -> Path:
    """The report of a results folder or a table, by the command line."""
    tell("report", source, "--root", root, *options)
    return root / "reports" / source.stem / "index.html"


def open_page(
    browser: Any, page: Path, *, size: tuple[int, int] = WIDE, dark: bool = False
) -> None:
    """The page at a size of the window, in a colour scheme."""
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    browser.get(page.as_uri())
