"""`dev.py bench` and `dev.py train`: which script they start, and packages that are installed only for
them."""

from pathlib import Path

import pytest

from tools.dev import cli, environments
from tools.dev.paths import Host


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host("0.30.0", tmp_path / "host" / "ComfyUI", tmp_path / "host")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """The repository is tmp_path; what pip would have been asked for."""
    seen: list[tuple[object, ...]] = []
    monkeypatch.setattr(environments, "ROOT", tmp_path)
    monkeypatch.setattr(environments, "_pip", lambda python, log, *arguments: seen.append(arguments))
    (tmp_path / "tools" / "demo" / "train").mkdir(parents=True)
    (tmp_path / "tools" / "demo" / "train" / "requirements.txt").write_text("a==1\n")
    return seen


def test_a_group_is_installed_once_until_its_file_changes(
    host: Host, installed: list[tuple[object, ...]], tmp_path: Path
) -> None:
    file = tmp_path / "tools" / "demo" / "train" / "requirements.txt"
    for _ in range(2):
        environments.ensure_group(host, "tools/demo/train")
    assert installed == [("-r", file)]
    file.write_text("a==2\n")
    environments.ensure_group(host, "tools/demo/train")
    assert len(installed) == 2


def test_a_failed_installation_is_tried_again(
    host: Host, installed: list[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as broken:
        broken.setattr(environments, "_pip", fail)
        with pytest.raises(RuntimeError):
            environments.ensure_group(host, "tools/demo/train")
    environments.ensure_group(host, "tools/demo/train")
    assert len(installed) == 1


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """The repository is tmp_path with two benchmarks and the training; (group, script, arguments) of what
    would have been started."""
    groups: list[object] = []
    seen: list[tuple[object, ...]] = []
    monkeypatch.setattr(cli, "ROOT", tmp_path)
    monkeypatch.setattr(cli, "set_up", lambda host, group=None: groups.append(group))
    monkeypatch.setattr(cli, "become", lambda command, environment: seen.append((groups[-1], *command[1:])))
    for name in (
        "tools/bench/_shared.py",
        "tools/bench/speed.py",
        "tools/bench/quality.py",
        "tools/demo/train/run.py",
        "tests/print_tables.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return seen


def test_bench_and_train_start_their_scripts_with_their_packages(
    started: list[tuple[object, ...]], tmp_path: Path
) -> None:
    for words in (["bench", "quality", "--smoke"], ["train", "--minutes", "5"], ["tables"]):
        cli.main(words)
    assert started == [
        ("tools/bench", "-m", "tools.bench.quality", "--smoke"),
        ("tools/demo/train", "-m", "tools.demo.train.run", "--minutes", "5"),
        (None, "-m", "tests.print_tables"),
    ]


def test_bench_without_a_name_lists_them(
    started: list[tuple[object, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["bench"]) == 0
    assert capsys.readouterr().out.split() == ["quality", "speed"]
    assert not started


def test_an_unknown_benchmark_is_refused(
    started: list[tuple[object, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["bench", "beauty"]) == 1
    assert "Expected a benchmark (quality, speed), got beauty" in capsys.readouterr().err
