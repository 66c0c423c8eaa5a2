"""Tiled's own web page, in a real browser, opens a sample and charts its average."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver import ActionChains
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait
from small_server import Server

from h5xs_bluesky import h5xs

_LOADS = 5
_WAIT_S = 20
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1300,1000",
)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    if not all(programs.values()):
        pytest.fail(
            f"expected chromium and chromedriver, found {programs}: install them (Debian: "
            "apt-get install chromium chromium-driver)"
        )
    options = webdriver.ChromeOptions()
    options.binary_location = str(programs["chromium"])
    for flag in (*_FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(programs["chromedriver"]))
    yield driver
    driver.quit()


def seen(browser: Any, selector: str) -> list[Any]:
    """Give elements once the page shows them; loads it anew where it hangs, as it does at times."""
    for _ in range(_LOADS):
        try:
            wait = WebDriverWait(browser, _WAIT_S)
            found: list[Any] = wait.until(lambda _: browser.find_elements("css selector", selector))
        except TimeoutException:
            browser.refresh()
        else:
            return found
    pytest.fail(
        f"the page does not show {selector}: {browser.find_element('tag name', 'body').text}"
    )


@pytest.mark.timeout(240)
def test_page_opens_a_sample_and_charts_its_average(
    server: Server, browser: Any, experiment: Path, tmp_path: Path
) -> None:
    browser.get(f"{server.address}/ui/browse/served?api_key={server.key}")
    names = {cell.text for cell in seen(browser, "[role=gridcell]")}
    assert {"buffer", "lysozyme", "nothing"} <= names
    for name in ("lysozyme", "curves", "averaged_I"):
        seen(browser, f"[role=gridcell][title={name}]")[0].click()
    ActionChains(browser).move_by_offset(5, 5).perform()  # what it hovers over is marked

    dots = seen(browser, "circle.recharts-line-dot")
    average = h5xs(experiment).get_d1("lysozyme", "averaged").data
    known = average[np.isfinite(average)]
    heights = -np.array([float(dot.get_attribute("cy")) for dot in dots])
    assert len(heights) == len(known)
    assert np.corrcoef(heights, known)[0, 1] > 0.9999
    picture = tmp_path / "average.png"
    browser.save_screenshot(str(picture))
    assert Image.open(picture).size[0] == 1300
