"""The page in a real browser: it fits a narrow window, its pictures load, dark is dark."""

from __future__ import annotations

import io
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from msgbench.analysis.report import make_report

pytestmark = pytest.mark.browser

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip


@pytest.fixture(scope="session")
def chromium():
    """The browser's program; the test is skipped, and says so, without one."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if program := shutil.which(name):
            return program
    pytest.skip("the report in a browser not run: there is no Chromium")


@pytest.fixture(scope="session")
def report(tmp_path_factory, results_tree):
    tree = results_tree(tmp_path_factory.mktemp("browser"), "smoke").complete(grids=True)
    return make_report(tree.benchmark, tree.layout)


@pytest.fixture
def browse(chromium, tmp_path):
    """A function (page, width, more flags) -> what the browser prints."""

    def run(page, width, *flags):
        command = [
            chromium,
            *FLAGS,
            f"--user-data-dir={tmp_path}/profile",
            f"--window-size={width},900",
            *flags,
        ]
        done = subprocess.run(
            [*command, page.as_uri()], capture_output=True, text=True, timeout=120, check=True
        )
        return done.stdout

    return run


@pytest.mark.parametrize("width", [500, 800, 1400])
def test_fits_the_window_and_every_picture_loads(browse, report, tmp_path, width):
    # The page itself has no scripts; the copy has one that asks the browser.
    probe = """<script>addEventListener("load", () => {
      const pictures = [...document.images];
      document.title = [document.documentElement.scrollWidth, innerWidth, pictures.length,
                        pictures.filter(p => p.naturalWidth > 0).length].join(" ");
    })</script></body>"""
    copy = tmp_path / "copy.html"
    copy.write_text(report.read_text().replace("</body>", probe))
    title = re.search(r"<title>([\d ]+)</title>", browse(copy, width, "--dump-dom"))
    assert title is not None
    needed, window, pictures, loaded = map(int, title[1].split())
    assert needed <= window
    assert pictures == loaded > 60


@pytest.mark.parametrize(("scheme", "dark"), [(0, True), (1, False)])
def test_light_and_dark(browse, report, tmp_path, scheme, dark):
    picture = tmp_path / "page.png"
    browse(
        report, 1200, f"--blink-settings=preferredColorScheme={scheme}", f"--screenshot={picture}"
    )
    with Image.open(io.BytesIO(picture.read_bytes())) as shown:
        grey = np.asarray(shown.convert("L"))
    corner = float(grey[:20, :20].mean())
    assert corner < 60 if dark else corner > 200
    # Something stands on it, in the opposite shade.
    assert (grey > 180).any() if dark else (grey < 80).any()
