"""Random requests to GET /freescale/plan.

Each is answered by JSON with 200 or 400, soon and briefly. No request changes anything or opens a file.
"""

import tools.harness.in_process  # noqa: F401, I001 (ComfyUI, then the pack)

# isort: split
import asyncio
import json
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from freescale_pack.nodes import plan_route
from freescale_pack.nodes.cascade.kept import KEPT
from freescale_pack.nodes.patching.step_times import STEP_TIMES
from freescale_pack.nodes.plan_node import FreeScalePlan
from yarl import URL

from tools.campaign.runner import CaseResult

MAX_BYTES = 32 * 1024
"""Of an answer. The plan with the most stages has a third of it."""
MANY_SECONDS = 10
MAX_QUERY = 6000
"""Characters. aiohttp refuses lines of more than 8190 by itself, before any route is asked."""
MEMORY = "/proc/meminfo"
"""Where ComfyUI reads how much memory a Linux machine has, which the plan is compared with."""
LANGUAGES = ("en", "zh", "ja", "ko")
TEXTS = (
    *("", "0", "-1", "1.5", "2, 4", "nan", "inf", "-inf", "1e400", "1e-400", "0x10", "1_000", " 3 ", "٣"),
    *(
        "null",
        "true",
        "[]",
        "{}",
        "'; --",
        "<script>",
        "\x00",
        "\ud7ff",
        "𝟚",
        "../../../../etc/passwd",
        "%00",
    ),
    *("9" * 400, "x" * 3000, "2," * 900, ",", "1.1," * 40, "linked", "$factor", "{factor}"),
)
"""What nobody types into a widget."""
RAW = ("%", "%zz", "%ff%fe", "&&", "=", "a=b=c", ";", "factor[]=2", "factor", "#", "+")
"""Pieces of a query that are no parameter."""


def run_case(draw: random.Random):
    return asked(_method(draw), _query(draw), plan_route._respond)


def asked(method, query, respond):
    """How a server answers with `respond`, and what is wrong with that."""
    before = _state()
    with OPENED.noted() as opened:
        start = time.monotonic()
        status, kind, body = asyncio.run(_answer(method, query, respond))
        seconds = time.monotonic() - start
    broken = [f"opened {name}" for name in opened]
    if seconds > MANY_SECONDS:
        broken.append(f"took {seconds:.0f} s")
    if len(body) > MAX_BYTES:
        broken.append(f"gave {len(body)} bytes")
    if _state() != before:
        broken.append("changed what the server keeps")
    wanted = (200, 400) if method in ("GET", "HEAD") else (405,)
    if status not in wanted:
        broken.append(f"gave {status}")
    elif method == "GET" and kind == "application/json":
        broken += _json_problems(status, body)
    elif method == "GET" and status == 200:
        broken.append(f"gave {kind}")
    text = f"{method} {query[:200]}: {', '.join(broken)}" if broken else None
    return CaseResult(f"{method} request", f"{status}", text)


def _json_problems(status, body):
    try:
        answer = json.loads(body, parse_constant=_refuse)
    except ValueError as error:
        return [f"gave no JSON: {error}"]
    if status == 400:
        is_sentence = answer.keys() == {"error"} and "\n" not in answer["error"]
        return [] if is_sentence else [f"gave 400 without a sentence: {answer}"]
    return [] if answer.keys() == {"message"} or answer.get("stages") else ["gave no stages"]


def _refuse(name):
    raise ValueError(f"{name} is no JSON")


async def _answer(method, query, respond):
    app = web.Application()
    app.router.add_get(plan_route.PATH, respond)
    async with TestClient(TestServer(app)) as client:
        url = URL(f"{plan_route.PATH}?{query}", encoded=True)
        async with client.request(method, url) as answer:
            return answer.status, answer.content_type, await answer.read()


def _state():
    return repr(STEP_TIMES.__dict__), KEPT.unfinished, len(KEPT)


def _method(draw: random.Random):
    return draw.choice(["GET"] * 12 + ["HEAD", "POST", "DELETE"])


def _query(draw: random.Random):
    """Widgets of FreeScale Plan, parameters of the page and nonsense, now and then twice."""
    schema = FreeScalePlan.define_schema()
    names = [given.id for given in schema.inputs] + ["linked", "language", "alpha", "unknown"]
    parts = []
    for _ in range(draw.choice((0, 1, 2, 4, 20))):
        name = draw.choice(names)
        parts.append(
            draw.choice(RAW) if draw.random() < 0.05 else f"{name}={_value(draw, schema, name, names)}"
        )
    return "&".join(parts)[:MAX_QUERY].rstrip("%0123456789ABCDEF")


def _value(draw: random.Random, schema, name, names):
    if draw.random() < 0.3:
        return quote(draw.choice(TEXTS), errors="replace")
    given = next((given for given in schema.inputs if given.id == name), None)
    options = getattr(given, "options", None)
    if options:
        return quote(draw.choice(options))
    if name in ("linked", "language"):
        return ",".join(draw.sample(names, 2)) if name == "linked" else draw.choice(LANGUAGES)
    least, most = getattr(given, "min", None), getattr(given, "max", None)
    if least is None or most is None:
        return draw.choice(("2", "1.5,%203", "0.5"))
    number = draw.choice((least, most, given.default, draw.uniform(least, most)))
    return str(int(number) if isinstance(least, int) else number)


class OpenedFiles:
    """The files that this process opens. An audit hook cannot be taken away, so there is one."""

    def __init__(self):
        self._names: list[str] | None = None
        self._is_hooked = False

    @contextmanager
    def noted(self) -> Iterator[list[str]]:
        """The names of the files that are opened inside the block."""
        if not self._is_hooked:
            self._is_hooked = True
            self._read_once()
            sys.addaudithook(self._note)
        self._names = names = []
        try:
            yield names
        finally:
            self._names = None

    def _read_once(self):
        """What the route and the server read at their first request alone is read before."""
        for language in LANGUAGES:
            asyncio.run(_answer("GET", f"language={language}", plan_route._respond))
            asyncio.run(_answer("GET", f"language={language}&factor=x", plan_route._respond))

    def _note(self, event, arguments):
        is_file = event == "open" and isinstance(arguments[0], str) and arguments[0] != MEMORY
        if self._names is not None and is_file:
            self._names.append(arguments[0])


OPENED = OpenedFiles()
