"""Browser tier: ComfyUI's web page in a real Chromium, on a real server with the demo model.

Every test that takes `ui` runs with both renderers of nodes: on the canvas (classic) and as HTML (Nodes 2.0).
The page stays open from test to test, for loading it is what takes longest.
"""

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tools.dev.paths import DEV
from tools.harness.comfy_client import ComfyClient
from tools.harness.comfy_page import ComfyPage, chromium
from tools.harness.comfy_server import ComfyServer

RENDERERS = {"classic": {"Comfy.VueNodes.Enabled": False}, "nodes2": {"Comfy.VueNodes.Enabled": True}}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep a picture of the page on which a test failed, then load it anew for the next test."""
    report = yield
    if report.failed and "open_page" in item.funcargs:
        page = item.funcargs["open_page"]
        page.screenshot(f"failed_{item.name}")
        page.open()
    return report


@pytest.fixture(scope="session")
def client() -> Iterator[ComfyClient]:
    with ComfyServer.from_environment() as client:
        yield client


@pytest.fixture(scope="session")
def object_info(client: ComfyClient) -> dict:
    return client.get("/object_info")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def screenshots(client: ComfyClient) -> Path:
    return DEV / "screenshots" / client.get("/system_stats")["system"]["comfyui_version"]


@pytest.fixture(scope="session", params=RENDERERS)
def open_page(
    request: pytest.FixtureRequest, client: ComfyClient, browser: Browser, screenshots: Path
) -> ComfyPage:
    return ComfyPage(browser, client, screenshots / request.param, RENDERERS[request.param])


@pytest.fixture
def ui(open_page: ComfyPage) -> Iterator[ComfyPage]:
    """The page with an empty graph.

    A test fails if the page has logged an error that is not ComfyUI's own.
    """
    open_page.clear()
    yield open_page
    complaints, open_page.complaints = open_page.complaints, []
    assert complaints == []
