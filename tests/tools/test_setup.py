"""Set-up: what it makes, what a kill leaves behind, and what it says when something is missing."""

import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from tools import ROOT
from tools.dev import environments, process
from tools.dev.base_directory import demo_workflow, link, link_entries, shipped_entries
from tools.dev.errors import DevError
from tools.dev.paths import Host
from tools.dev.releases import unpack
from tools.dev.setup_host import selected_host
from tools.dev.steps import exclusive, made_whole


def test_a_release_that_is_not_supported_and_a_folder_without_comfyui_are_refused(tmp_path):
    with pytest.raises(DevError, match=r"Expected --host 0.30.0 or 0.3.75, got 1.0"):
        selected_host("1.0", None)
    (tmp_path / "comfyui_version.py").write_text('__version__ = "0.31.0"\n')
    with pytest.raises(DevError, match="Expected a ComfyUI tree with main.py"):
        selected_host("0.30.0", str(tmp_path))


def test_a_given_tree_is_taken_as_it_is(tmp_path):
    (tmp_path / "main.py").touch()
    (tmp_path / "comfyui_version.py").write_text('__version__ = "0.31.0"\n')
    host = selected_host("0.30.0", str(tmp_path))
    assert (host.release, host.comfyui, host.is_external) == ("0.31.0", tmp_path.resolve(), True)
    assert not host.folder.is_relative_to(tmp_path)


@pytest.mark.parametrize(("name", "kind"), [("a.whl", "zip"), ("a.tar.gz", "gztar")])
def test_of_an_archive_only_the_tree_is_taken(tmp_path, name, kind):
    for file in ("all/pack/tree/comfy/sd.py", "all/pack/other.py"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    made = shutil.make_archive(str(tmp_path / "made"), kind, tmp_path / "all")
    for folder in ("fresh", "tree"):
        (tmp_path / folder).mkdir()
    unpack(Path(shutil.move(made, tmp_path / "fresh" / name)), "pack/tree", tmp_path / "tree")
    assert [path.name for path in (tmp_path / "tree").rglob("*.py")] == ["sd.py"]


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
        parts = {
            f"{name}.py": "",
            f"{name}-1.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n",
            f"{name}-1.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{name}-1.dist-info/RECORD": "",
        }
        with zipfile.ZipFile(wheel, "w") as archive:
            for path, text in parts.items():
                archive.writestr(path, text)
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


def test_freescale_batch_has_an_environment_without_comfyuis_packages(packages, monkeypatch):
    monkeypatch.setattr(environments, "BATCH", packages.folder / "batch")
    monkeypatch.setattr(environments, "BATCH_TESTS", packages.folder / "group" / "requirements.txt")
    packages.require("requirements-batch.txt", "of_batch")
    environments.ensure_batch_venv()
    installed = {path.stem for path in (packages.folder / "batch" / "venv").rglob("of_*.py")}
    assert installed == {"of_batch", "of_group"}


def test_packages_of_a_killed_set_up_are_installed_anew(packages, monkeypatch):
    def killed(command, *_, **__):
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


def test_what_keeps_packages_from_being_installed_is_told(packages, monkeypatch):
    monkeypatch.setattr(environments, "DISK_GB", 1e6)
    with pytest.raises(DevError, match=r"Expected 1e\+06 GB of free disk for .*, got \d+\.\d GB: free"):
        packages.ensure()
    monkeypatch.setattr(environments, "DISK_GB", 0)
    (packages.folder / "of_tests-1-py3-none-any.whl").unlink()
    said = r"Could not install packages: expected exit status 0, got exit status .*\.log,(.|\n)*of_tests"
    with pytest.raises(DevError, match=said):
        packages.ensure()


def test_no_network_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "LOGS", tmp_path)
    for said in ("NewConnectionError(...)", "cause: error sending request for url"):
        code = f"print({said!r}); raise SystemExit(1)"
        with pytest.raises(DevError, match="Could not install a: expected a reachable package index, got no"):
            process.run_logged([sys.executable, "-c", code], "log", "install a")


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


SET_UP = """
import sys
from pathlib import Path
from tools.dev import process, steps
process.LOGS = Path(sys.argv[1])
with steps.exclusive(process.LOGS / "lock"):
    process.attempt([sys.executable, "-c", "import time; print(flush=True); time.sleep(2)"], "child")
"""

if sys.platform != "win32":  # where a child inherits no lock

    def test_the_lock_of_a_killed_set_up_is_free_once_what_it_left_running_ends(tmp_path, capsys):
        set_up = subprocess.Popen([sys.executable, "-c", SET_UP, str(tmp_path)], cwd=ROOT)
        while not (tmp_path / "child.log").is_file() or not (tmp_path / "child.log").read_text():
            assert set_up.poll() is None
            time.sleep(0.05)
        set_up.kill()
        set_up.wait()
        began = time.monotonic()
        for said, seconds in (("waiting", 1.0), ("", 0)):
            with exclusive(tmp_path / "lock"):
                assert time.monotonic() - began > seconds
            assert said in (out := capsys.readouterr().out) and bool(said) == bool(out)


def test_links_follow_a_target_that_moved(tmp_path):
    old, new, place = tmp_path / "old", tmp_path / "new", tmp_path / "link"
    old.mkdir()
    link(place, old)
    old.rename(new)  # the link is broken now
    link(place, new)
    assert place.samefile(new)
    (new / "model").write_text("weights")
    for _ in range(2):
        link(tmp_path / "checkpoint", new / "model")
    assert (tmp_path / "checkpoint").read_text() == "weights"


def test_the_pack_in_a_base_directory_holds_no_way_back_to_itself(tmp_path):
    """A link to the whole repository made ComfyUI walk in circles through .dev."""
    folder = tmp_path / "ComfyUI-FreeScale"
    folder.symlink_to(ROOT, target_is_directory=True)
    shipped = shipped_entries()
    for names in (shipped, ["freescale_core"]):
        link_entries(folder, names)
        assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    assert {"__init__.py", "freescale_core", "nodes", "pyproject.toml"} <= set(shipped)
    assert not {".dev", ".git", "tools", "tests"} & set(shipped)


def test_the_demo_workflow_is_laid_once_and_not_over_what_the_user_made_of_it(tmp_path):
    host = Host("0.30.0", tmp_path / "ComfyUI", tmp_path)
    file = host.base / "user" / "default" / "workflows" / f"{demo_workflow(host)}.json"
    assert "tiny_sdxl" in file.read_text()
    file.write_text("mine")
    demo_workflow(host)
    assert file.read_text() == "mine"
