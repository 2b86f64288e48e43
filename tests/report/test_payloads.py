"""The report in a real browser: no name of a sweep, run or failure is executed."""

import html
import http.server
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from simulated import standard_data, with_hostile_text

from scaling.report.page import render_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here (Debian: apt install chromium)"),
]

# A payload that is executed marks the document, or calls the test's own server.
MARK = "document.documentElement.setAttribute('data-owned',1)"
CALL = "http://127.0.0.1:PORT"
PAYLOADS = (
    f"<script>{MARK}</script>",
    f"<ScRiPt>{MARK}</sCrIpT>",
    f"</title><script>{MARK}</script>",
    f"</style><script>{MARK}</script>",
    f"</pre></code><script>{MARK}</script>",
    f"</svg><script>{MARK}</script>",
    f"</textarea></noscript><script>{MARK}</script>",
    f"--><script>{MARK}</script><!--",
    f"]]><script>{MARK}</script>",
    f"<script src={CALL}/script.js></script>",
    f'<script type="module">import "{CALL}/module.js"</script>',
    f'<img src=x onerror="{MARK}">',
    f'"><img src=x onerror="{MARK}">',
    f'\'><img src=x onerror="{MARK}">',
    f"<img src={CALL}/image.png>",
    f'<img srcset="{CALL}/srcset.png 1x">',
    f'<svg onload="{MARK}">',
    f'<svg><animate onbegin="{MARK}" attributeName=x dur=1s>',
    f'<svg><image href="{CALL}/svg.png"/></svg>',
    f'<svg><use href="{CALL}/use.svg#x"/></svg>',
    f"<svg><style>@import '{CALL}/svg.css';</style></svg>",
    f'<body onload="{MARK}">',
    f'<details open ontoggle="{MARK}">x</details>',
    f'<input autofocus onfocus="{MARK}">',
    f'<video><source onerror="{MARK}" src=x></video>',
    f'<audio src="{CALL}/audio.mp3" autoplay></audio>',
    f'<iframe src="javascript:parent.{MARK}"></iframe>',
    f'<iframe srcdoc="<script>parent.{MARK}</script>"></iframe>',
    f'<object data="{CALL}/object.html"></object>',
    f'<embed src="{CALL}/embed.html">',
    f'<link rel=stylesheet href="{CALL}/style.css">',
    f'<link rel=prefetch href="{CALL}/prefetch">',
    f"<style>@import '{CALL}/import.css'; body {{background: url({CALL}/background.png)}}</style>",
    f'<meta http-equiv=refresh content="0;url={CALL}/refresh">',
    f'<base href="{CALL}/base/"><img src=relative.png>',
    f'<form action="{CALL}/form"><input autofocus onfocus=this.form.submit()></form>',
    f'" style="background:url({CALL}/attribute.png)" onmouseover="{MARK}',
    f'x" onload="{MARK}" y="',
    f"&lt;script&gt;{MARK}&lt;/script&gt;&#60;img src=x onerror={MARK}&#62;",
    f"\u2028<script>{MARK}</script>\x00<scr\x00ipt>{MARK}</scr\x00ipt>",
    "{{7*7}}{% for x in y %}${7*7}#{7*7}<%= 7*7 %>",
    r"$\frac{$ \href{javascript:alert(1)}{x} $$",
)


class _Listener(http.server.BaseHTTPRequestHandler):
    heard: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.heard.append(self.path)
        self.send_response(404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on standard error."""


@pytest.fixture
def server() -> Iterator[tuple[int, list[str]]]:
    """A local port, and the requests it received."""
    _Listener.heard = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Listener) as one:
        threading.Thread(target=one.serve_forever, daemon=True).start()
        yield one.server_address[1], _Listener.heard
        one.shutdown()


def load(page: str, folder: Path) -> str:
    """The document after three seconds of the browser's virtual time."""
    path = folder / "page.html"
    path.write_text(page, encoding="utf-8", errors="surrogatepass")
    words = ["--headless", "--disable-gpu", "--dump-dom", "--virtual-time-budget=3000"]
    # Chromium refuses to run as root otherwise.
    words += ["--no-sandbox"] if os.geteuid() == 0 else []
    words += ["--disable-dev-shm-usage", f"--user-data-dir={folder / 'profile'}"]
    assert CHROMIUM is not None
    done = subprocess.run(
        [CHROMIUM, *words, path.as_uri()], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.startswith("<!DOCTYPE html>"), done.stderr[-2000:]
    return done.stdout


def is_owned(document: str) -> bool:
    return re.match(r"<!DOCTYPE html>\s*<html[^>]*data-owned", document) is not None


def test_forty_payloads_are_inert(server: tuple[int, list[str]], tmp_path: Path) -> None:
    port, heard = server
    assert len(PAYLOADS) >= 40
    payloads = tuple(payload.replace("PORT", str(port)) for payload in PAYLOADS)
    document = load(render_page(with_hostile_text(payloads)), tmp_path)
    assert not is_owned(document)
    assert heard == []
    page = render_page(standard_data())
    for tag in ("script", "iframe", "object", "embed", "base", "form", "img", "video", "link"):
        assert document.count(f"<{tag}") == page.count(f"<{tag}"), tag
    shown = html.unescape(re.sub(r"<[^>]+>", "", document))
    assert f"<script>{MARK}</script>" in shown  # shown as text
    assert "{{7*7}}{% for x in y %}" in shown


def test_the_policy_holds_even_where_escaping_fails(
    server: tuple[int, list[str]], tmp_path: Path
) -> None:
    port, heard = server
    payloads = "\n".join(PAYLOADS[:33]).replace("PORT", str(port))
    page = render_page(standard_data())
    document = load(page.replace("</main>", f"{payloads}</main>", 1), tmp_path)
    assert payloads.splitlines()[0] in page.replace("</main>", f"{payloads}</main>", 1)
    assert not is_owned(document)
    assert heard == []


def test_the_payloads_work_on_an_unprotected_page(
    server: tuple[int, list[str]], tmp_path: Path
) -> None:
    """Otherwise the claims above would hold for a browser that executes nothing."""
    port, heard = server
    for payload in (PAYLOADS[0], PAYLOADS[14]):
        page = f"<!DOCTYPE html><html><body>{payload.replace('PORT', str(port))}</body></html>"
        document = load(page, tmp_path)
    assert "/image.png" in heard
    assert is_owned(load(f"<!DOCTYPE html><html><body>{PAYLOADS[0]}</body></html>", tmp_path))
    assert document
