"""The command line of dev.py."""

import argparse
import os
import socket
import sys
from collections.abc import Callable
from functools import partial

from tools import ROOT
from tools.dev import checks, tiers
from tools.dev.base_directory import demo_workflow
from tools.dev.browser import ensure_browser, named_browser
from tools.dev.errors import DevError
from tools.dev.mutate import mutate, read_mutations
from tools.dev.paths import Host
from tools.dev.process import become, host_environment
from tools.dev.releases import RELEASES
from tools.dev.setup_host import selected_host, set_up, set_up_batch
from tools.harness.server_command import server_command

DEFAULT_HOST = "0.30.0"
COMMANDS = """\
commands:
  demo [...]               set everything up, make pictures with the demo model in a real ComfyUI
  batch-demo [...]         set everything up, six images by freescale_batch on two real servers
  serve [--port N] [--gpu] [...]
                           set everything up, then ComfyUI in the browser; the rest goes to its main.py
  test [tier ...] [...]    the tests; paths narrow them, the rest goes to pytest
                           tiers: core pack tools host bench server batch browser
  check                    format, lint, types, registry rules
  mutate [name ...]        break the pack in small ways, one by one, and see a test fail each time;
                           --list: in which
  tables                   the tables the tests execute, as Markdown
  locales                  write locales/en from the nodes' own texts
  pictures                 draw the pictures of the help pages anew, in a browser
  bench [name] [...]       a benchmark; without a name: which there are
  campaign [name] [--minutes M] [--seed S] [--cases N] [--case K]
                           random cases that try to break the pack; without a name: which there are
  train [...]              train the demo model anew
"""


def main(argv: list[str]) -> int:
    # The global options may stand before or after the command, so they are taken out first.
    options, rest = _global_options().parse_known_args(argv)
    command, arguments = _command(rest)
    try:
        return command(selected_host(options.host, options.comfyui), arguments)
    except DevError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _global_options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    releases = f"ComfyUI release: {' or '.join(RELEASES)} (default {DEFAULT_HOST})"
    tree = "use this ComfyUI tree; it stays untouched, its packages go into an environment here"
    parser.add_argument("--host", default=DEFAULT_HOST, metavar="RELEASE", help=releases)
    parser.add_argument("--comfyui", metavar="PATH", help=tree)
    return parser


def _command(words: list[str]) -> tuple[Callable[[Host, list[str]], int], list[str]]:
    parser = argparse.ArgumentParser(
        prog="dev.py",
        parents=[_global_options()],
        epilog=COMMANDS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    known: dict[str, Callable[[Host, list[str]], int]] = {
        "demo": partial(_module, "tools.demo.run_demo"),
        "batch-demo": partial(_module, "tools.demo.batch_demo"),
        "serve": _serve,
        "test": _test,
        "check": _check,
        "mutate": _mutate,
        "tables": partial(_module, "tests.print_tables"),
        "locales": partial(_module, "tools.pictures.locales"),
        "pictures": _pictures,
        "bench": _bench,
        "campaign": partial(_module, "tools.campaign.runner"),
        "train": partial(_module, "tools.demo.train.run", group="tools/demo/train"),
    }
    parser.add_argument("command", choices=known)
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    parsed = parser.parse_args(words)
    return known[parsed.command], parsed.arguments


def _test(host: Host, arguments: list[str]) -> int:
    chosen, rest = tiers.select(arguments)
    missing = {}
    if "browser" in chosen:
        _hand_on_browser()
    set_up(host)
    if "batch" in chosen:
        set_up_batch()
    if "browser" in chosen:
        try:
            ensure_browser(host.python)
        except DevError as error:
            missing["browser"] = str(error)
    return tiers.run_tiers(host, chosen, rest, missing)


def _hand_on_browser() -> None:
    """Give the children FREESCALE_BROWSER as an absolute path; a wrong name is told before the set-up."""
    if named := named_browser():
        os.environ["FREESCALE_BROWSER"] = named


def _check(host: Host, arguments: list[str]) -> int:
    if arguments:
        raise DevError(f"Expected nothing after check, got {' '.join(arguments)}: leave it out.")
    set_up(host)
    return checks.run_checks(host)


def _mutate(host: Host, arguments: list[str]) -> int:
    set_up(host)
    return mutate(host, read_mutations(), arguments)


def _serve(host: Host, arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="dev.py serve", allow_abbrev=False)
    parser.add_argument("--port", type=int, default=8188)
    parser.add_argument("--gpu", action="store_true", help="use the GPU; without it ComfyUI runs with --cpu")
    options, rest = parser.parse_known_args(arguments)
    _require_free_port(options.port)
    set_up(host)
    print(f"  ComfyUI {host.release}: http://127.0.0.1:{options.port} (Ctrl-C ends it)")
    print(f"  Open the workflow {demo_workflow(host)!r} and press Run: it is made for the demo model.")
    command = server_command(host.python, host.comfyui, host.base, options.port, gpu=options.gpu)
    become([*command, *rest], host_environment(host))


def _require_free_port(port: int) -> None:
    with socket.socket() as probe:
        probe.settimeout(2)
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise DevError(
                f"Expected a free port, got {port}, which is in use: end the program there or choose another "
                "with --port."
            )


def _pictures(host: Host, arguments: list[str]) -> int:
    _hand_on_browser()
    return _module("tools.pictures.node_pictures", host, arguments)


def _bench(host: Host, arguments: list[str]) -> int:
    files = (ROOT / "tools" / "bench").glob("*.py")
    names = sorted(file.stem for file in files if not file.stem.startswith("_"))
    if not arguments:
        print("\n".join(names))
        return 0
    name, *rest = arguments
    if name not in names:
        raise DevError(f"Expected a benchmark ({', '.join(names)}), got {name}: choose one of them.")
    return _module(f"tools.bench.{name}", host, rest, group="tools/bench")


def _module(name: str, host: Host, arguments: list[str], group: str | None = None) -> int:
    """Set up, with what the folder `group` requires, then go on as one of the repository's modules."""
    set_up(host, group)
    become([host.python, "-m", name, *arguments], host_environment(host))
