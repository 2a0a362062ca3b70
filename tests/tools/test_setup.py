"""Set-up: what it makes, what a kill leaves behind, and what it says when something is missing."""

import shutil
import socket
import subprocess
import sys
import tarfile
import time
import zipfile

import pytest

from tools import ROOT
from tools.dev import environments, machine, process
from tools.dev.base_directory import link_entries, link_file, link_folder, shipped_entries
from tools.dev.errors import DevError
from tools.dev.lock import exclusive
from tools.dev.paths import Host
from tools.dev.releases import Release, ensure_tree, unpack
from tools.dev.setup_host import selected_host
from tools.dev.steps import made_whole

# What the machine must offer


def test_a_taken_port_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(DevError, match=rf"Expected a free port, got {port}, which is in use: .* --port"):
            machine.require_free_port(port)
    machine.require_free_port(port)


def test_too_small_a_disk_is_refused(tmp_path):
    with pytest.raises(DevError, match=r"Expected 1e\+06 GB of free disk for .*, got \d+\.\d GB: free some"):
        machine.require_disk(tmp_path, 1e6)


# Hosts and their trees


def test_an_unknown_host_is_refused():
    with pytest.raises(DevError, match=r"Expected --host 0.30.0 or 0.3.75, got 1.0"):
        selected_host("1.0", None)


def test_a_given_tree_is_taken_as_it_is(tmp_path):
    with pytest.raises(DevError, match="Expected a ComfyUI tree with main.py"):
        selected_host("0.30.0", str(tmp_path))
    (tmp_path / "main.py").touch()
    (tmp_path / "comfyui_version.py").write_text('__version__ = "0.31.0"\n')
    host = selected_host("0.30.0", str(tmp_path))
    assert (host.release, host.comfyui, host.is_external) == ("0.31.0", tmp_path.resolve(), True)
    assert not host.folder.is_relative_to(tmp_path)


@pytest.mark.parametrize("name", ["a.whl", "a.tar.gz"])
def test_of_an_archive_only_the_tree_is_taken(tmp_path, name):
    archive, target = tmp_path / "fresh" / name, tmp_path / "tree"
    archive.parent.mkdir()
    target.mkdir()
    (tmp_path / "sd.py").write_text("sd")
    if name.endswith(".whl"):
        with zipfile.ZipFile(archive, "w") as wheel:
            for inside in ("pack/tree/comfy/sd.py", "pack/other.py"):
                wheel.write(tmp_path / "sd.py", inside)
    else:
        with tarfile.open(archive, "w:gz") as sdist:
            for inside in ("pack/tree/comfy/sd.py", "pack/other.py"):
                sdist.add(tmp_path / "sd.py", inside)
    unpack(archive, "pack/tree", target)
    assert [path.relative_to(target).as_posix() for path in target.rglob("*.py")] == ["comfy/sd.py"]


def test_a_tree_of_another_release_is_refused_and_a_whole_one_is_kept(tmp_path, monkeypatch):
    def clone(_, folder):
        (folder / "main.py").touch()
        (folder / "comfyui_version.py").write_text('__version__ = "0.31.0"\n')
        return True

    monkeypatch.setattr("tools.dev.releases._clone", clone)
    with pytest.raises(DevError, match="Expected ComfyUI 0.30.0, got 0.31.0: its source has changed"):
        ensure_tree(Release("0.30.0", "a==1", "", ""), tmp_path / "ComfyUI")
    assert not (tmp_path / "ComfyUI").exists()
    for release in ("0.31.0", "0.32.0"):
        ensure_tree(Release(release, "a==1", "", ""), tmp_path / "ComfyUI")
    assert (tmp_path / "ComfyUI" / "main.py").is_file()


# Packages, by the real uv


class Packages:
    """A host in a repository of its own, whose requirements are wheels made on the spot."""

    def __init__(self, folder):
        self.folder = folder
        self.host = Host("0.30.0", folder / "host" / "ComfyUI", folder / "host")
        self.host.comfyui.mkdir(parents=True)
        (folder / "group").mkdir()
        self.require("host/ComfyUI/requirements.txt", "of_tree")
        self.require("requirements-dev.txt", "of_tests")
        self.require("group/requirements.txt", "of_group")

    def require(self, file, name):
        wheel = self.folder / f"{name}-1-py3-none-any.whl"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n"
        tags = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        with zipfile.ZipFile(wheel, "w") as archive:
            for path, text in {f"{name}.py": "", f"{name}-1.dist-info/METADATA": metadata}.items():
                archive.writestr(path, text)
            archive.writestr(f"{name}-1.dist-info/WHEEL", tags)
            archive.writestr(f"{name}-1.dist-info/RECORD", "")
        (self.folder / file).write_text(f"{name} @ {wheel.as_uri()}\n")

    def ensure(self, group=None):
        """The modules there afterwards."""
        environments.ensure_host_venv(self.host, group)
        return {path.stem for path in self.host.venv.rglob("of_*.py")}


@pytest.fixture
def packages(tmp_path, monkeypatch):
    (tmp_path / "torch.txt").touch()
    monkeypatch.setattr(environments, "ROOT", tmp_path)
    monkeypatch.setattr(environments, "TORCH", tmp_path / "torch.txt")
    monkeypatch.setattr(environments, "DEV_REQUIREMENTS", tmp_path / "requirements-dev.txt")
    monkeypatch.setattr(environments, "UV_VARIABLES", {"UV_CACHE_DIR": str(tmp_path / "cache")})
    monkeypatch.setattr(environments, "DISK_GB", 0.0)
    monkeypatch.setattr(process, "LOGS", tmp_path / "logs")
    return Packages(tmp_path)


def test_packages_are_installed_once_until_a_file_asks_for_more(packages, capsys):
    assert packages.ensure() == {"of_tree", "of_tests"}
    assert "packages of ComfyUI 0.30.0 and of the tests" in capsys.readouterr().out
    packages.ensure()
    assert capsys.readouterr().out == ""
    assert packages.ensure("group") == packages.ensure() == {"of_tree", "of_tests", "of_group"}
    packages.require("requirements-dev.txt", "of_new_tests")
    assert "of_new_tests" in packages.ensure()


def test_packages_of_a_killed_set_up_are_installed_anew(packages, monkeypatch):
    def killed(command, *_):
        subprocess.run([str(word) for word in command], check=True)
        for half in packages.host.venv.rglob("of_tests.py"):
            half.unlink()
            raise KeyboardInterrupt

    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr(environments, "run_logged", killed)
        packages.ensure()
    assert packages.ensure() == {"of_tree", "of_tests"}


def test_an_environment_of_another_python_is_made_anew(packages):
    packages.ensure()
    settings = packages.host.venv / "pyvenv.cfg"
    settings.write_text(settings.read_text().replace("version_info = ", "version_info = 2."))
    (packages.host.venv / "old").touch()
    packages.ensure()
    assert not (packages.host.venv / "old").exists()


def test_a_failed_installation_shows_the_end_of_its_log(packages):
    (packages.folder / "of_tests-1-py3-none-any.whl").unlink()
    shutil.rmtree(packages.folder / "cache", ignore_errors=True)
    with pytest.raises(
        DevError, match=r"Could not install packages: expected exit status 0, got(.|\n)*of_tests"
    ):
        packages.ensure()


def test_no_network_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "LOGS", tmp_path)
    for said in ("NewConnectionError(...)", "cause: error sending request for url"):
        code = f"print({said!r}); raise SystemExit(1)"
        with pytest.raises(DevError, match="Could not install a: expected a reachable package index, got no"):
            process.run_logged([sys.executable, "-c", code], "log", "install a")


# Steps and the lock


def test_a_folder_is_made_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "folder"
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), made_whole(folder) as partial:
            (partial / "half").mkdir()
            raise KeyboardInterrupt
    assert not folder.exists()
    for name in ("one", "two"):
        with made_whole(folder) as partial:
            (partial / name).touch()
        assert [path.name for path in folder.iterdir()] == [name]


HOLD = """
import sys, subprocess, time
from pathlib import Path
from tools.dev.lock import exclusive
with exclusive(Path(sys.argv[1])):
    sleep = [sys.executable, "-c", f"import time; time.sleep({sys.argv[2]})"]
    subprocess.Popen(sleep, close_fds=False, stdout=subprocess.DEVNULL)
    print(flush=True)
    time.sleep(60)
"""


def test_the_lock_of_a_killed_set_up_is_free_once_what_it_left_running_ends(tmp_path, capsys):
    hold = [sys.executable, "-c", HOLD, str(tmp_path / "lock"), "2"]
    child = subprocess.Popen(hold, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    began = time.monotonic()
    assert child.stdout is not None
    child.stdout.readline()
    child.kill()
    child.communicate()
    with exclusive(tmp_path / "lock"):
        assert sys.platform == "win32" or time.monotonic() - began > 1.5
    assert sys.platform == "win32" or "waiting for its end" in capsys.readouterr().out
    with exclusive(tmp_path / "lock"):
        assert capsys.readouterr().out == ""


# Links


def test_links_follow_a_target_that_moved(tmp_path):
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


def test_the_pack_in_a_base_directory_holds_no_way_back_to_itself(tmp_path):
    """A link to the whole repository made ComfyUI walk in circles through .dev."""
    folder = tmp_path / "ComfyUI-FreeScale"
    folder.symlink_to(ROOT, target_is_directory=True)
    for names in (["freescale_core"], shipped_entries()):
        link_entries(folder, names)
        assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    assert {"__init__.py", "freescale_core", "nodes", "pyproject.toml"} <= set(names)
    assert not {".dev", ".git", "tools", "tests"} & set(names)
