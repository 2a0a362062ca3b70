"""The command line: what each command sets up and starts."""

import os
import socket

import pytest

from tools.dev import cli, tiers
from tools.dev.errors import DevError


@pytest.fixture
def done(monkeypatch):
    """What the commands do, in its order; every tier that runs passes three tests."""
    seen = []

    def run(host, tier, paths, arguments):
        seen.append(tier)
        return tier, 3, 0, 0, 0.1

    monkeypatch.setattr(cli, "set_up", lambda host, group=None: seen.append(f"set up {group or 'tests'}"))
    monkeypatch.setattr(cli, "set_up_batch", lambda: seen.append("set up batch"))
    monkeypatch.setattr(cli, "ensure_browser", lambda python: seen.append("find a browser"))
    monkeypatch.setattr(cli, "become", lambda command, environment: seen.append(" ".join(command[1:])))
    monkeypatch.setattr(tiers, "_run_tier", run)
    monkeypatch.delenv("FREESCALE_BROWSER", raising=False)
    return seen


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["test", "core"], ["set up tests", "core"]),
        (["test", "browser"], ["set up tests", "find a browser", "browser"]),
        (["test", "batch"], ["set up tests", "set up batch", "batch"]),
        (["bench", "quality", "--smoke"], ["set up tools/bench", "-m tools.bench.quality --smoke"]),
        (["train", "--minutes", "5"], ["set up tools/demo/train", "-m tools.demo.train.run --minutes 5"]),
        (["batch-demo", "--output", "o"], ["set up tests", "-m tools.demo.batch_demo --output o"]),
        (["campaign", "fuzz", "--seed", "3"], ["set up tests", "-m tools.campaign.runner fuzz --seed 3"]),
        (["tables"], ["set up tests", "-m tests.print_tables"]),
    ],
)
def test_a_command_sets_up_what_it_needs_and_starts_it(done, words, expected):
    cli.main(words)
    assert done == expected


@pytest.mark.parametrize(
    "words", ["--host 0.3.75 test core -k a", "test core --host 0.3.75 -k a", "test core -k a --host=0.3.75"]
)
def test_global_options_may_stand_anywhere(words, monkeypatch):
    monkeypatch.setattr(cli, "_test", lambda host, arguments: (host.release, arguments))
    assert cli.main(words.split()) == ("0.3.75", ["core", "-k", "a"])


def test_bench_without_a_name_lists_them_and_refuses_another(done, capsys):
    assert cli.main(["bench"]) == 0
    names = capsys.readouterr().out.split()
    assert {"quality", "speed"} <= set(names) and "__init__" not in names
    assert cli.main(["bench", "beauty"]) == 1
    assert f"Expected a benchmark ({', '.join(names)}), got beauty" in capsys.readouterr().err
    assert done == []


def test_without_a_browser_the_other_tiers_run_and_the_command_fails_at_its_end(done, monkeypatch, capsys):
    def fail(python):
        raise DevError("Expected a browser, got none: install one.")

    monkeypatch.setattr(cli, "ensure_browser", fail)
    assert cli.main(["test", "core", "host", "browser"]) == 1
    assert done == ["set up tests", "core", "host"]
    said = capsys.readouterr().out.splitlines()
    assert said[-2:] == ["Expected a browser, got none: install one.", "6 passed, 1 failed"]


@pytest.mark.parametrize("command", ["test", "pictures"])
def test_a_named_browser_is_handed_on_by_its_absolute_path_and_a_wrong_one_told_before_the_set_up(
    done, tmp_path, monkeypatch, command
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FREESCALE_BROWSER", "./mine")
    assert cli.main([command]) == 1
    assert done == []
    (tmp_path / "mine").write_text("#!/bin/sh\n")
    (tmp_path / "mine").chmod(0o755)
    cli.main([command])
    assert os.environ["FREESCALE_BROWSER"] == str(tmp_path / "mine")
    assert done


def test_a_taken_port_is_refused_before_the_set_up(done, capsys):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert cli.main(["serve", "--port", str(port)]) == 1
        assert f"Expected a free port, got {port}, which is in use" in capsys.readouterr().err
        assert done == []
    cli.main(["serve", "--port", str(port), "--gpu"])
    assert done[0] == "set up tests" and "main.py" in done[1] and "--cpu" not in done[1]
