"""Talks to a running ComfyUI as its web page does: prompts over HTTP, what happens to them over a
websocket."""

import io
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import requests
import websocket
from PIL import Image

PREVIEW_IMAGE = 1
"""Type of a binary message with a picture; 4 bytes of type and 4 of format come before the file."""
SILENCE_SECONDS = 300
"""Longest wait for the next message."""

Prompt = dict[str, dict[str, Any]]
"""A workflow in API form: node id -> class_type and inputs."""
OnMessage = Callable[[str, dict[str, Any]], None]


class PromptRejected(Exception):
    """The server's validation refused a prompt; the text is its answer."""


@dataclass(frozen=True)
class Message:
    """One text message of the websocket. seconds: since the prompt was sent."""

    kind: str
    data: dict[str, Any]
    seconds: float


@dataclass
class Run:
    """All that the server told about one prompt."""

    prompt_id: str
    messages: list[Message] = field(default_factory=list)
    previews: list[bytes] = field(default_factory=list)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message.data for message in self.messages if message.kind == kind]

    @property
    def outcome(self) -> str:
        """success, error or interrupted."""
        ends = [
            m.kind.removeprefix("execution_")
            for m in self.messages
            if m.kind in ("execution_success", "execution_error", "execution_interrupted")
        ]
        return ends[-1] if ends else "unknown"

    @property
    def error(self) -> str:
        """The message of the exception that ended the run, empty without one."""
        errors = self.of("execution_error")
        return str(errors[-1]["exception_message"]).strip() if errors else ""

    @property
    def started_nodes(self) -> list[str]:
        """Nodes that were really run, in order; those whose results were still in the cache are not among
        them."""
        return [data["node"] for data in self.of("executing") if data["node"] is not None]

    def progress(self, node: str) -> list[tuple[int, int]]:
        """(value, maximum) of each progress message of a node."""
        return [(data["value"], data["max"]) for data in self.of("progress") if data["node"] == node]

    def files(self, node: str) -> list[dict[str, str]]:
        """The pictures a node saved or showed, as the parameters of /view."""
        return [
            image
            for data in self.of("executed")
            if data["node"] == node
            for image in data["output"].get("images", [])
        ]

    def node_seconds(self) -> dict[str, float]:
        """How long each node ran."""
        marks = [(m.data["node"], m.seconds) for m in self.messages if m.kind == "executing"]
        return {node: end - start for (node, start), (_, end) in pairwise(marks) if node is not None}


class ComfyClient:
    """address: host:port of a ComfyUI server."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._http = requests.Session()
        self._http.trust_env = False  # A proxy of the environment is not for this machine's own server.

    def get(self, path: str) -> Any:
        """The JSON answer of a GET."""
        answer = self._http.get(f"http://{self.address}{path}", timeout=30)
        answer.raise_for_status()
        return answer.json()

    def post(self, path: str, body: dict[str, Any]) -> requests.Response:
        return self._http.post(f"http://{self.address}{path}", json=body, timeout=30)

    def interrupt(self) -> None:
        """What the Cancel button does."""
        self.post("/interrupt", {}).raise_for_status()

    def picture(self, file: dict[str, str]) -> Image.Image:
        """A picture of Run.files, with its PNG text."""
        return self.picture_at("/view", file)

    def file(self, file: dict[str, str]) -> bytes:
        """A file of Run.files as it is, such as a video."""
        return self._content("/view", file)

    def picture_at(self, path: str, parameters: dict[str, str] | None = None) -> Image.Image:
        image = Image.open(io.BytesIO(self._content(path, parameters)))
        image.load()
        return image

    def _content(self, path: str, parameters: dict[str, str] | None) -> bytes:
        answer = self._http.get(f"http://{self.address}{path}", params=parameters, timeout=30)
        answer.raise_for_status()
        return answer.content

    def run(
        self, prompt: Prompt, workflow: dict[str, Any] | None = None, on_message: OnMessage | None = None
    ) -> Run:
        """Run a prompt to its end, successful or not. workflow: its UI form, which the server writes into the
        PNGs.

        Raises:
            PromptRejected: validation refused it, nothing ran.
        """
        client_id = uuid.uuid4().hex
        socket = websocket.create_connection(
            f"ws://{self.address}/ws?clientId={client_id}", timeout=SILENCE_SECONDS
        )
        try:
            start = time.monotonic()
            run = Run(self._queue(prompt, workflow, client_id))
            while not _is_over(run):
                _receive(socket, run, start, on_message)
            return run
        finally:
            socket.close()

    def _queue(self, prompt: Prompt, workflow: dict[str, Any] | None, client_id: str) -> str:
        extra = {"extra_pnginfo": {"workflow": workflow}} if workflow is not None else {}
        answer = self.post("/prompt", {"prompt": prompt, "client_id": client_id, "extra_data": extra})
        body = answer.json()
        if not answer.ok or body.get("node_errors"):
            raise PromptRejected(json.dumps(body, ensure_ascii=False))
        return str(body["prompt_id"])


def _receive(socket: websocket.WebSocket, run: Run, start: float, on_message: OnMessage | None) -> None:
    received = socket.recv()
    if isinstance(received, bytes):
        if int.from_bytes(received[:4], "big") == PREVIEW_IMAGE:
            run.previews.append(received[8:])
        return
    message = json.loads(received)
    data = message["data"]
    if data.get("prompt_id", run.prompt_id) != run.prompt_id:
        return
    run.messages.append(Message(message["type"], data, time.monotonic() - start))
    if on_message is not None:
        on_message(message["type"], data)


def _is_over(run: Run) -> bool:
    """After the outcome the server says that no node is executing; only then is its queue ready for the next
    prompt."""
    if not run.messages:
        return False
    last = run.messages[-1]
    return last.kind == "executing" and last.data["node"] is None
