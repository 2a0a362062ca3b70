"""Where the browser tests get their Chromium: each way, their order, and what a way that fails leaves behind.

The machine is a folder: PATH holds fake programs alone, and a local server stands for playwright's and npm's.
"""

import hashlib
import http.client
import http.server
import io
import os
import shlex
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tools.dev import browser, npm_chromium, process
from tools.dev.browser import ASK_PATH, ensure_browser
from tools.dev.environments import playwright_node
from tools.dev.errors import DevError

PYTHON = Path(sys.executable)  # its playwright is real
STARTS = '[ "$1" = --version ] && echo Chromium 1'
FAILS = "exit 1"
HANGS = "exec /bin/sleep 60"
NEEDS_LIBRARIES = 'case "$LD_LIBRARY_PATH" in */browser/lib*) exit 0;; *) exit 127;; esac'
COMPRESS = "process.stdin.pipe(require('zlib').createBrotliCompress()).pipe(process.stdout)"
NPM_FILE = "@sparticuz/chromium/-/chromium-153.0.0.tgz"


class Server:
    """Answers 404 until a test puts bytes for every path that ends with a name."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path.lstrip("/"))
                body = next((body for name, body in outer.files.items() if self.path.endswith(name)), None)
                self.send_response(404 if body is None else 200)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_: object) -> None:
                pass

        self.handler = Handler
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


Put = Callable[[str, str], Path]
Package = Callable[[str], bytes]


@pytest.fixture
def put(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Put:
    """A Linux machine that has nothing installed; puts a program (name, lines of shell) on it."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in os.environ.copy():
        if name.lower().endswith(("_proxy", "npm_config_registry")) or "playwright_" in name.lower():
            monkeypatch.delenv(name)
    for name, value in {
        "PATH": programs,
        "HOME": tmp_path,
        "PLAYWRIGHT_DOWNLOAD_HOST": server.address,
        "npm_config_registry": server.address,
    }.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("FREESCALE_BROWSER", raising=False)
    monkeypatch.setattr(browser, "FILES", ())
    monkeypatch.setattr(browser, "FOLDER", tmp_path / "browser")
    monkeypatch.setattr(browser, "LOCK", tmp_path / "lock")
    monkeypatch.setattr(process, "LOGS", tmp_path / "logs")
    monkeypatch.setattr(npm_chromium.sys, "platform", "linux")
    monkeypatch.setattr(npm_chromium.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(browser.os, "geteuid", lambda: 1000)

    def program(name: str, lines: str) -> Path:
        (programs / name).write_text(f"#!/bin/sh\n{lines}\n")
        (programs / name).chmod(0o755)
        return programs / name

    return program


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """An interpreter whose playwright downloads nothing, which the real one takes seconds to find out."""
    node = tmp_path / "site-packages" / "playwright" / "driver" / "node"
    node.parent.mkdir(parents=True)
    lines = (
        f'[ "$1" = -e ] && exec {shlex.quote(str(playwright_node(PYTHON)))} "$@"',
        '/bin/mkdir -p "$PLAYWRIGHT_BROWSERS_PATH/.links"',  # the real one leaves this, too
        "exit 1",
    )
    node.write_text("\n".join(["#!/bin/sh", *lines]))
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho '{tmp_path}/site-packages'\n")
    for program in (node, python):
        program.chmod(0o755)
    return python


@pytest.fixture
def npm_package(put: Put, monkeypatch: pytest.MonkeyPatch) -> Package:
    """Makes the tarball of a package whose Chromium is a script of these lines, and pins it."""

    def package(lines: str) -> bytes:
        parts = {
            "chromium": f"#!/bin/sh\n{lines}\n".encode(),
            "fonts.tar": _tar({"fonts/a.ttf": b"font"}),
            "al2023.tar": _tar({"lib/liba.so": b"library"}),
        }
        tarball = _tar({f"package/bin/{name}.br": _brotli(part) for name, part in parts.items()}, "w:gz")
        monkeypatch.setattr(npm_chromium, "SHA256", hashlib.sha256(tarball).hexdigest())
        return tarball

    return package


def _tar(files: dict[str, bytes], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _brotli(content: bytes) -> bytes:
    command = [str(playwright_node(PYTHON)), "-e", COMPRESS]
    return subprocess.run(command, input=content, capture_output=True, check=True).stdout


def _playwright_zip(lines: str) -> bytes:
    """What playwright would download for this machine, with a script as Chromium."""
    command, folder = [sys.executable, "-c", ASK_PATH], os.environ | {"PLAYWRIGHT_BROWSERS_PATH": "/b"}
    path = subprocess.run(command, env=folder, capture_output=True, text=True, check=True).stdout.strip()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        # Each of its downloads must hold its program; this one stands for all.
        for name in ("/".join(Path(path).parts[3:]), "ffmpeg-linux", "ffmpeg-mac"):
            member = zipfile.ZipInfo(name)
            member.external_attr = 0o100755 << 16
            archive.writestr(member, f"#!/bin/sh\n{lines}\n")
    return buffer.getvalue()


def _packs(tmp_path: Path) -> str:
    """What an old npm does with the file `package`: it takes no --pack-destination."""
    return f"/bin/cp '{tmp_path}/package' {npm_chromium.TARBALL}"


def _version_of(program: str) -> str:
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()


# Installed ones


def test_an_installed_browser_is_taken_and_nothing_is_fetched(put: Put, python: Path, server: Server) -> None:
    installed = put("google-chrome", STARTS)
    assert ensure_browser(python) == str(installed)
    assert server.asked == []
    assert not browser.FOLDER.exists()


def test_browsers_of_other_systems_are_found(
    put: Put, python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chrome = put("Google Chrome", STARTS)
    monkeypatch.setattr(browser, "FILES", (str(tmp_path / "no such file"), str(chrome)))
    assert ensure_browser(python) == str(chrome)


@pytest.mark.parametrize("lines", [FAILS, HANGS])
def test_an_installed_browser_that_does_not_start_is_passed_over(
    put: Put, python: Path, lines: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browser, "VERSION_SECONDS", 1.0)
    put("chromium", lines)
    chrome = put("google-chrome", STARTS)
    assert ensure_browser(python) == str(chrome)


def test_a_named_browser_wins(put: Put, python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put("chromium", STARTS)
    monkeypatch.setenv("FREESCALE_BROWSER", str(put("mine", STARTS)))
    assert ensure_browser(python).endswith("/mine")


def test_a_named_browsers_path_is_absolute(put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = put("mine", STARTS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FREESCALE_BROWSER", "bin/mine")
    assert browser.named_browser() == str(mine)


@pytest.mark.parametrize(("name", "got"), [("/no/such/browser", "is no program"), ("mine", "does not start")])
def test_a_named_browser_that_is_none_is_refused(
    put: Put, python: Path, monkeypatch: pytest.MonkeyPatch, name: str, got: str
) -> None:
    put("chromium", STARTS)
    put("mine", FAILS)
    monkeypatch.setenv("FREESCALE_BROWSER", name)
    with pytest.raises(DevError, match=f"got FREESCALE_BROWSER={name}, which {got}: name one"):
        ensure_browser(python)


# Fetched ones


def test_playwrights_download_comes_first_and_is_kept(
    put: Put, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    put("npm", "exit 3")
    server.files[".zip"] = _playwright_zip(STARTS)
    found = ensure_browser(PYTHON)
    assert Path(found).is_relative_to(browser.FOLDER)
    assert _version_of(found) == "Chromium 1"
    assert "npm" not in capsys.readouterr().out
    asked = len(server.asked)
    assert ensure_browser(PYTHON) == found
    assert len(server.asked) == asked


def test_a_fetched_browser_that_does_not_start_is_not_kept(
    put: Put, python: Path, server: Server, npm_package: Package
) -> None:
    server.files[NPM_FILE] = npm_package(FAILS)
    for _ in range(2):
        with pytest.raises(DevError, match="npm's package @sparticuz/chromium: it does not start;"):
            ensure_browser(python)
    assert server.asked.count(NPM_FILE) == 2


def test_npm_comes_next_and_is_asked_once(
    put: Put, python: Path, npm_package: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "package").write_bytes(npm_package(STARTS))
    put("npm", f"""echo "$@" >> '{tmp_path}/asked'; {_packs(tmp_path)}""")
    found = ensure_browser(python)
    assert _version_of(found) == "Chromium 1"
    assert ensure_browser(python) == found
    asked = (tmp_path / "asked").read_text().splitlines()
    assert [line.split(" --")[0] for line in asked] == ["pack @sparticuz/chromium@153.0.0"]
    assert "Chromium by playwright's download ... stopped" in capsys.readouterr().out


def test_without_npm_the_package_comes_from_the_registry_itself(
    put: Put, python: Path, server: Server, npm_package: Package
) -> None:
    server.files[NPM_FILE] = npm_package(STARTS)
    assert _version_of(ensure_browser(python)) == "Chromium 1"
    assert server.asked[-1] == NPM_FILE


@pytest.mark.parametrize("lines", ["exit 3", "exit 0"])
def test_where_npm_fails_the_package_comes_from_the_registry_itself(
    put: Put, python: Path, server: Server, npm_package: Package, lines: str
) -> None:
    put("npm", lines)
    server.files[NPM_FILE] = npm_package(STARTS)
    assert _version_of(ensure_browser(python)) == "Chromium 1"


def test_npm_works_and_caches_in_the_browsers_folder(
    put: Put, python: Path, npm_package: Package, tmp_path: Path
) -> None:
    (tmp_path / "package").write_bytes(npm_package(STARTS))
    options = f"""while [ "$1" != --cache ]; do shift; done
    echo "$PWD" > '{tmp_path}/said'; echo "$2" >> '{tmp_path}/said'; /bin/mkdir "$2"; """
    put("npm", options + _packs(tmp_path))
    ensure_browser(python)
    cache = browser.FOLDER / "npm-cache"
    assert (tmp_path / "said").read_text().splitlines() == [str(browser.FOLDER), str(cache)]
    assert not cache.exists()


def test_the_registry_is_the_one_npm_is_set_up_for(
    put: Put, python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in ("https://file.example/npm/", '"https://file.example/npm/"', "'https://file.example/npm/'"):
        (tmp_path / ".npmrc").write_text(f"audit=false\nregistry = {value}\n")
        monkeypatch.setenv("npm_config_registry", "http://variable.example")
        assert npm_chromium.registry() == "http://variable.example"
        monkeypatch.delenv("npm_config_registry")
        assert npm_chromium.registry() == "https://file.example/npm/"
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "https://upper.example")
    assert npm_chromium.registry() == "https://upper.example"
    monkeypatch.delenv("NPM_CONFIG_REGISTRY")
    (tmp_path / ".npmrc").unlink()
    assert npm_chromium.registry() == "https://registry.npmjs.org"


@pytest.mark.parametrize(("lines", "expected"), [(STARTS, False), (NEEDS_LIBRARIES, True)])
def test_the_packages_libraries_are_used_when_the_machine_lacks_them(
    put: Put, python: Path, server: Server, npm_package: Package, lines: str, expected: bool
) -> None:
    server.files[NPM_FILE] = npm_package(lines)
    start = Path(ensure_browser(python))
    assert ("LD_LIBRARY_PATH" in start.read_text()) == expected
    assert (browser.FOLDER / "lib" / "liba.so").is_file() == expected
    assert (browser.FOLDER / "fonts/a.ttf").read_text() == "font"


def test_a_package_with_a_wrong_hash_is_refused(
    put: Put, python: Path, server: Server, npm_package: Package
) -> None:
    server.files[NPM_FILE] = npm_package(STARTS) + b"more"
    with pytest.raises(DevError, match=r"npm's package @sparticuz/chromium: Expected sha256 .*, got"):
        ensure_browser(python)


def test_what_a_killed_fetch_left_is_thrown_away(
    put: Put, python: Path, server: Server, npm_package: Package
) -> None:
    browser.FOLDER.mkdir()
    (browser.FOLDER / "start.sh").write_text(f"#!/bin/sh\n{STARTS}")
    (browser.FOLDER / "start.sh").chmod(0o755)
    (browser.FOLDER / browser.PROGRAM).write_text("start.sh")
    (browser.FOLDER / "half").touch()
    server.files[NPM_FILE] = npm_package(STARTS)
    ensure_browser(python)
    assert not (browser.FOLDER / "half").exists()


def test_a_fetched_browser_that_no_longer_starts_is_fetched_anew(
    put: Put, python: Path, server: Server, npm_package: Package
) -> None:
    server.files[NPM_FILE] = npm_package(STARTS)
    ensure_browser(python)
    (browser.FOLDER / "chromium").unlink()
    assert _version_of(ensure_browser(python)) == "Chromium 1"
    assert server.asked.count(NPM_FILE) == 2


@pytest.mark.parametrize("update_status", [0, 100])
def test_root_on_debian_gets_debians_package_last(
    put: Put,
    python: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    update_status: int,
) -> None:
    debians = put("debians", STARTS)
    put(
        "apt-get",
        f"""echo "$@" >> '{tmp_path}/asked'
        [ "$1" = update ] && exit {update_status}
        /bin/cp '{debians}' '{debians.parent}/chromium'""",
    )
    monkeypatch.setattr(browser.os, "geteuid", lambda: 0)
    assert ensure_browser(python) == str(debians.parent / "chromium")
    asked = (tmp_path / "asked").read_text().splitlines()
    assert [line.split()[0] for line in asked] == ["update", "install"]
    assert asked[1].endswith(" chromium")
    said = capsys.readouterr().out
    assert said.index("npm's package @sparticuz/chromium ...") < said.index("apt-get install chromium ...")


def test_a_fetch_without_end_is_given_up(put: Put, python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "ATTEMPT_SECONDS", 1.0)
    put("npm", HANGS)
    with pytest.raises(
        DevError, match="npm's package @sparticuz/chromium: exit status 124, see .*, and the regis"
    ):
        ensure_browser(python)


def test_when_no_way_works_one_sentence_says_why(
    put: Put, python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("apt-get", STARTS)  # not for an ordinary user
    monkeypatch.setattr(npm_chromium.platform, "machine", lambda: "aarch64")
    with pytest.raises(DevError) as caught:
        ensure_browser(python)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.startswith("Expected Chromium or Chrome for the browser tests, got none (")
    for reason in (
        "(playwright's download: exit status 1, see /",
        "; npm's package @sparticuz/chromium: for Linux on x86-64 only; ",
        "; apt-get install chromium: for root on Debian only): ",
    ):
        assert reason in sentence
    assert sentence.endswith("or leave the tier out (dev.py test core host server).")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (http.client.IncompleteRead(b"half"), "IncompleteRead(4 bytes read)"),
        (http.client.HTTPException(), "HTTPException"),
        (RuntimeError("no home"), "no home"),
        (
            UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
            "'utf-8' codec can't decode byte 0xff",
        ),
        (subprocess.CalledProcessError(2, "a\nb"), "Command 'a b' returned non-zero exit status 2."),
    ],
)
def test_whatever_ends_a_way_the_next_one_is_tried(
    put: Put, python: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(browser, "_by_playwright", fail)
    monkeypatch.setattr(npm_chromium, "fetch", fail)
    with pytest.raises(DevError) as caught:
        ensure_browser(python)
    for part in (
        f"(playwright's download: {reason}",
        f"chromium: {reason}",
        "; apt-get install chromium: for",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "answer", [b"no HTTP at all\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nx"]
)
def test_a_registry_that_answers_nonsense_is_a_reason(
    put: Put, python: Path, server: Server, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    monkeypatch.setattr(server.handler, "do_GET", lambda handler: handler.wfile.write(answer))
    with pytest.raises(
        DevError, match="no npm, and the registry gives (no HTTP at all|IncompleteRead.*); apt-get"
    ):
        ensure_browser(python)


def test_npm_settings_that_cannot_be_read_are_a_reason(
    put: Put, python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".npmrc").write_bytes(b"\xff")
    with pytest.raises(DevError, match="no npm, and the registry gives 'utf-8' codec .*; apt-get"):
        ensure_browser(python)

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(npm_chromium.Path, "home", no_home)
    with pytest.raises(DevError, match="no npm, and the registry gives Could not determine home .*; apt-get"):
        ensure_browser(python)


def test_ctrl_c_ends_the_search(put: Put, python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    put("npm", "exit 3")
    monkeypatch.setattr(browser, "_by_playwright", interrupt)
    with pytest.raises(KeyboardInterrupt):
        ensure_browser(python)
    assert not browser.FOLDER.exists()
