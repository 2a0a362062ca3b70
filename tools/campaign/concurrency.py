"""Two clients at one server: two models, a few workflows, sent again changed or as they were, and taken back.

Prompts are interrupted, deleted from the queue and cleared with it at random. Every prompt ends as a client
asked: finished, interrupted or removed. Every image is, to the byte of its pixels, the one that its workflow
gives alone.
"""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from threading import Lock

from tools.campaign.parts.server import SECOND_MODEL, shared_client
from tools.campaign.runner import CaseResult
from tools.harness.comfy_client import ComfyClient, Prompt
from tools.harness.demo_prompts import CHECKPOINT

CLIENTS, PROMPTS = 2, 5
"""Of a case, and of each client in it."""
MANY_SECONDS = 300
"""For a queue of that many to come to its end."""
CLIENT_ID = "freescale-campaign"
BETWEEN = 0.2
"""Seconds between two looks at the queue."""
MODELS = (CHECKPOINT, SECOND_MODEL)
ACTS = ("wait", "interrupt", "interrupt any", "delete", "clear", *["send more"] * 3)
"""What a client does after it has sent a prompt."""
ALLOWS = {"interrupt": "interrupted", "interrupt any": "interrupted", "delete": "removed", "clear": "removed"}
"""What a client does -> how a prompt may end that would finish otherwise."""
OF_ALL = ("interrupt any", "clear")
"""Acts that may hit any prompt that was sent before."""

Alone = dict[int, bytes]
"""Number of a workflow -> the pixels of its image when it ran alone."""


@dataclass
class Sent:
    """A prompt as its client sees it."""

    number: str
    workflow: int
    acts: set[str] = field(default_factory=set)
    """What was done to it."""
    ending: str = "unknown"
    pixels: bytes | None = None


class Desk:
    """Where the clients note what they send, and what they then do to it."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self._lock = Lock()

    def send(self, client: ComfyClient, workflow: int, blanks: int) -> Sent:
        with self._lock:  # So that no act falls between a prompt's arrival and its note.
            # Without a client ComfyUI 0.3.75 leaves outputs that it had cached out of a prompt's history.
            message = {"prompt": _salted(WORKFLOWS[workflow], blanks), "client_id": CLIENT_ID}
            answer = client.post("/prompt", message)
            answer.raise_for_status()
            self.sent.append(Sent(answer.json()["prompt_id"], workflow))
            return self.sent[-1]

    def note(self, act: str, one: Sent) -> None:
        """Note an act on one prompt, or on all that are known by now."""
        with self._lock:
            for other in self.sent if act in OF_ALL else [one]:
                other.acts.add(act)


def run_case(draw: random.Random):
    return crowded(shared_client(), draw, PROMPTS)


def crowded(client: ComfyClient, draw: random.Random, prompts: int):
    """Let the clients send so many prompts each, and wait until the queue is empty."""
    expected, desk = alone(client.address), Desk()
    draws = [random.Random(draw.random()) for _ in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda own: _send_and_act(client.address, own, prompts, desk), draws))
    broken = [] if _is_idle(client, MANY_SECONDS) else [f"no end for {MANY_SECONDS} s"]
    for one in desk.sent:
        one.ending, one.pixels = _ending(client, one.number)
    broken += [text for one in desk.sent for text in problems(one, expected)]
    endings = sorted({one.ending for one in desk.sent})
    return CaseResult(f"{len(desk.sent)} prompts", " and ".join(endings), ", ".join(broken) or None)


def problems(sent: Sent, expected: Alone) -> list[str]:
    """What is wrong with how a prompt ended."""
    allowed = {"finished", *(ALLOWS[act] for act in sent.acts & ALLOWS.keys())}
    name = f"workflow {sent.workflow} after {sorted(sent.acts)}"
    if sent.ending not in allowed:
        return [f"{name} ended as {sent.ending}"]
    is_same = sent.ending != "finished" or sent.pixels == expected[sent.workflow]
    return [] if is_same else [f"{name} gave another image"]


@cache
def alone(address: str) -> Alone:
    """The image of each workflow on a server that does nothing else meanwhile."""
    client = ComfyClient(address)
    return {number: _alone(client, prompt) for number, prompt in enumerate(WORKFLOWS)}


def _alone(client: ComfyClient, prompt: Prompt) -> bytes:
    run = client.run(prompt)
    if run.outcome != "success":
        raise RuntimeError(f"Expected an image of a workflow alone, got {run.outcome}: {run.error}")
    return _pixels(client, run.files("image"))


def _send_and_act(address: str, draw: random.Random, prompts: int, desk: Desk) -> None:
    client = ComfyClient(address)  # A session of requests is not for two threads.
    for _ in range(prompts):
        one = desk.send(client, draw.randrange(len(WORKFLOWS)), draw.choice((0, draw.randrange(1, 999))))
        time.sleep(draw.choice((0, 0, draw.uniform(0, 2))))
        act = draw.choice(ACTS)
        desk.note(act, one)
        _act(client, act, one)
        desk.note(act, one)  # Others may have been sent meanwhile.


def _act(client: ComfyClient, act: str, one: Sent) -> None:
    if act == "wait":
        _is_idle(client, MANY_SECONDS)
    elif act == "interrupt":
        client.post("/interrupt", {"prompt_id": one.number}).raise_for_status()
    elif act == "interrupt any":
        client.post("/interrupt", {}).raise_for_status()
    elif act == "delete":
        client.post("/queue", {"delete": [one.number]}).raise_for_status()
    elif act == "clear":
        client.post("/queue", {"clear": True}).raise_for_status()


def _salted(prompt: Prompt, blanks: int) -> Prompt:
    """The same to the text encoder, which ignores trailing blanks; to the server's cache another prompt."""
    text = prompt["text"]["inputs"]
    return prompt | {"text": prompt["text"] | {"inputs": text | {"text": text["text"] + " " * blanks}}}


def _is_idle(client: ComfyClient, seconds: float) -> bool:
    """Wait until nothing runs or waits; False if that does not happen in time."""
    deadline = time.monotonic() + seconds
    while any(client.get("/queue").values()):
        if time.monotonic() > deadline:
            return False
        time.sleep(BETWEEN)
    return True


def _ending(client: ComfyClient, number: str) -> tuple[str, bytes | None]:
    """How a prompt that neither runs nor waits ended, and the pixels of its image."""
    entry = client.get(f"/history/{number}").get(number)
    if entry is None:
        return "removed", None
    if entry["status"]["status_str"] == "success":
        return "finished", _pixels(client, entry["outputs"]["image"]["images"])
    kinds = {kind for kind, _ in entry["status"]["messages"]}
    return ("interrupted" if "execution_interrupted" in kinds else "error"), None


def _pixels(client: ComfyClient, files: list[dict[str, str]]) -> bytes:
    (file,) = files
    return client.picture(file).convert("RGB").tobytes()


def _workflow(model: str, alpha: float) -> Prompt:
    """A base image of 64 x 64 by an ordinary sampler and FreeScale's at twice its side."""
    sampling = {"steps": 2, "cfg": 3.0, "sampler_name": "euler", "scheduler": "ddim_uniform", "seed": 7}
    texts = {"positive": ["text", 0], "negative": ["no text", 0]}
    patch = {"preset": "Auto", "speed": "Exact", "alpha": alpha, "base_width": 64, "base_height": 64}
    nodes = {
        "model": ("CheckpointLoaderSimple", {"ckpt_name": model}),
        "text": ("CLIPTextEncode", {"clip": ["model", 1], "text": "red car on a yellow background"}),
        "no text": ("CLIPTextEncode", {"clip": ["model", 1], "text": ""}),
        "empty": ("EmptyLatentImage", {"width": 64, "height": 64, "batch_size": 1}),
        "base": (
            "KSampler",
            {"model": ["model", 0], "latent_image": ["empty", 0], "denoise": 1.0} | texts | sampling,
        ),
        "patch": ("FreeScaleModelPatch", {"model": ["model", 0]} | patch),
        "cascade": (
            "FreeScaleCascade",
            {"model": ["patch", 0], "vae": ["model", 2], "latent": ["base", 0], "factor": 2.0}
            | texts
            | sampling,
        ),
        "image": ("PreviewImage", {"images": ["cascade", 1]}),
    }
    return {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in nodes.items()}


WORKFLOWS = [_workflow(model, alpha) for model in MODELS for alpha in (0.5, 2.0)]
"""The models in turn, and one changed widget."""
