"""The HTTP interface of a running ComfyUI, as far as a batch needs it.

What became of a prompt is polled from /history: a websocket may fall silent while the server works on.
"""

import re
import uuid
from dataclasses import dataclass
from typing import Any

import httpx

from .errors import JobFailed, TryAgain
from .workflow import Prompt

CLIENT_ID = "freescale-batch"
ANSWER_SECONDS = 30.0
MAX_SENTENCE = 600
"""Characters of a server's own text that an error repeats."""
OUT_OF_MEMORY = re.compile(
    r"out\s?of\s?memory|allocation on device|can't allocate memory|not enough memory", re.I
)
BROKEN_DEVICE = re.compile(r"cuda error|hip error|device-side assert|acceleratorerror", re.I)
"""After such an error every later prompt of the same process fails, too."""


class OutOfMemory(TryAgain):
    """A node ran out of memory; freeing all models may help."""


class BrokenDevice(TryAgain):
    """The GPU is of no use to this process any more."""


@dataclass(frozen=True)
class OutputFile:
    """A file that a node saved. node: its id. kind: output or temp."""

    node: str
    name: str
    subfolder: str
    kind: str


class Comfy:
    """port: of a server on this machine."""

    def __init__(self, port: int) -> None:
        # A proxy of the environment is not for this machine's own server.
        address = f"http://127.0.0.1:{port}"
        self._http = httpx.Client(base_url=address, timeout=ANSWER_SECONDS, trust_env=False)

    def close(self) -> None:
        self._http.close()

    def get(self, path: str) -> Any:
        """The JSON answer of a GET.

        Raises:
            httpx.HTTPError: no answer, or one that is an error.
        """
        return self._http.get(path).raise_for_status().json()

    def queue(self, prompt: Prompt) -> str:
        """Queue a prompt; returns its id.

        Raises:
            JobFailed: the server's validation refused it.
            httpx.HTTPError: no answer.
        """
        prompt_id = str(uuid.uuid4())
        # Without a client older ComfyUI (0.3.75) leaves what it had cached out of the prompt's outputs.
        message = {"prompt": prompt, "prompt_id": prompt_id, "client_id": CLIENT_ID}
        answer = self._http.post("/prompt", json=message)
        if answer.status_code == httpx.codes.BAD_REQUEST:
            raise JobFailed(f"the server refused the prompt: {_refusal(answer)}")
        answer.raise_for_status()
        if problems := answer.json().get("node_errors"):
            raise JobFailed(f"the server refused a part of the prompt: {_node_problems(problems)}")
        return str(answer.json()["prompt_id"])

    def result(self, prompt_id: str) -> list[OutputFile] | None:
        """The files that a prompt saved, None while it waits or runs.

        Raises:
            JobFailed, OutOfMemory, BrokenDevice: it ended with an error.
            httpx.HTTPError: no answer.
        """
        entry = self.get(f"/history/{prompt_id}").get(prompt_id)
        if entry is None:
            return None
        status = entry.get("status") or {}
        if status.get("status_str") == "error":
            raise _failure(status.get("messages", []))
        return _files(entry.get("outputs", {}))

    def forget(self, prompt_id: str) -> None:
        """Take a prompt out of the server's history, which keeps thousands in memory."""
        self._http.post("/history", json={"delete": [prompt_id]})

    def interrupt(self, prompt_id: str) -> None:
        """What the Cancel button does."""
        self._http.post("/interrupt", json={"prompt_id": prompt_id})

    def free(self) -> None:
        """Ask the server to unload all models and to forget cached results before its next prompt."""
        self._http.post("/free", json={"unload_models": True, "free_memory": True})


def _refusal(answer: httpx.Response) -> str:
    try:
        body = answer.json()
    except ValueError:
        return shortened(str(answer.text))
    error = body.get("error", {})
    text = f"{error.get('message', '')} {error.get('details', '')}" if isinstance(error, dict) else str(error)
    return shortened("; ".join(filter(None, [text.strip(), _node_problems(body.get("node_errors"))])))


def _node_problems(node_errors: Any) -> str:
    """All errors of nodes in one line; the server sends an empty list where there are none."""
    found = []
    for node, told in (node_errors or {}).items():
        for error in told.get("errors", []):
            found.append(f"node {node}: {error.get('message', '')} {error.get('details', '')}".strip())
    return shortened("; ".join(found))


def _failure(messages: list[Any]) -> Exception:
    """The exception for a prompt that ended with an error."""
    for kind, data in reversed(messages):
        if kind == "execution_interrupted":
            return JobFailed("it was interrupted at the server")
        if kind == "execution_error":
            what, text = data.get("exception_type", ""), str(data.get("exception_message", "")).strip()
            node = f"node {data.get('node_id')} ({data.get('node_type')})"
            sentence = shortened(f"{node}: {text or what}")
            if OUT_OF_MEMORY.search(f"{what} {text}"):
                return OutOfMemory(f"out of memory in {sentence}")
            if BROKEN_DEVICE.search(f"{what} {text}"):
                return BrokenDevice(sentence)
            return JobFailed(sentence)
    return JobFailed("the server reports an error without a message: see its log")


def _files(outputs: dict[str, Any]) -> list[OutputFile]:
    """Files that nodes saved; without any the ones that they only showed."""
    found = [
        OutputFile(node, file["filename"], file.get("subfolder", ""), file.get("type", "output"))
        for node, told in outputs.items()
        for files in told.values()
        if isinstance(files, list)
        for file in files
        if isinstance(file, dict) and file.get("filename") and file.get("type") != "input"
    ]
    return [file for file in found if file.kind == "output"] or found


def shortened(text: str) -> str:
    """`text` in one line of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_SENTENCE else f"{line[:MAX_SENTENCE]} ..."
