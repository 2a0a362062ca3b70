"""Random graphs of the pack's nodes and ComfyUI's, sent to a real server; types fit, but for a few links.

Each is accepted or refused with a sentence. One that runs ends in time, with images or with one error: of a
node of the pack one clear sentence, of another node nothing that was raised in the pack's own code but such a
sentence.
"""

import random
import time
from collections.abc import Iterator
from functools import cache
from typing import Any

from tools.campaign.parts.sentence import SENTENCE
from tools.campaign.parts.server import SECOND_MODEL, shared_client
from tools.campaign.runner import CaseResult
from tools.harness.comfy_client import ComfyClient, Prompt
from tools.harness.demo_prompts import CHECKPOINT, SIDES

OURS = (
    *("FreeScaleModelPatch", "FreeScaleScaleFusion", "FreeScaleDilatedConv", "FreeScaleDetailControl"),
    *("FreeScaleRoPE", "FreeScalePlan", "FreeScaleStageOverride", "FreeScaleDetailRegion"),
    *("FreeScalePromptRegion", "FreeScaleUpscale", "FreeScaleCascade"),
)
OTHERS = (
    *("CheckpointLoaderSimple", "CLIPTextEncode", "EmptyLatentImage", "EmptySD3LatentImage", "EmptyImage"),
    *("KSampler", "VAEDecode", "VAEEncode", "LatentUpscaleBy", "RepeatLatentBatch", "ImageScaleBy", "FreeU"),
    *("ConditioningCombine", "ConditioningZeroOut", "ConditioningConcat", "SolidMask", "MaskToImage"),
    *("ImageToMask", "InvertMask", "LatentBatch", "ImageBatch", "HyperTile", "PerturbedAttentionGuidance"),
    *("ModelSamplingDiscrete", "SetLatentNoiseMask", "SkipLayerGuidanceDiT", "RescaleCFG"),
)
STARTS = ("CheckpointLoaderSimple", "CLIPTextEncode", "EmptyLatentImage")
"""Without these few graphs hold a model, a text or a latent to go on with."""
ENDS = ("KSampler", "VAEDecode", "PreviewImage")
MANY_SECONDS, MORE_SECONDS = 40, 60
"""Until a run is cancelled, and until it has to be over after that."""
FAULTY = 0.4
"""How many graphs have faults."""
WRONG_LINK, NO_LINK, STRANGE, UNFIT = 0.05, 0.02, 0.02, 0.1
"""How often in these a link is of any type or left out, a value strange, a node without a fitting link."""
OPTIONAL_LINK = 0.4
ONE_OF = {"FreeScaleUpscale": ("samples", "image"), "FreeScaleCascade": ("latent", "image")}
"""Nodes that take exactly one of two inputs, a LATENT and an IMAGE."""
SMALL = {
    **dict.fromkeys(SIDES, (0, 64, 64, 96, 120, 128)),
    **dict.fromkeys(("steps", "later_steps", "batch_size", "amount"), (1, 2)),
    **dict.fromkeys(("factor", "scale_by"), (1.0, 1.5, 2.0)),
    "megapixels": (0.01, 0.02),
}
"""Input -> values that a run of a second or so has, or the least that the node takes."""
STRANGE_VALUES = (None, "", "nan", -1, 0, 1e300, 10**30, [], {}, True, "٣", "x" * 3000)
PREFIX = "input_types - "
"""What ComfyUI sets before a node's own sentence where that is about several inputs."""
OUR_FILES = ("ComfyUI-FreeScale",)
"""In the paths of the pack's own code, as a server's traceback shows it."""

Info = dict[str, Any]
"""The server's /object_info."""


def run_case(draw: random.Random):
    client = shared_client()
    return wired(client, random_graph(draw, known_nodes(client.address)))


@cache
def known_nodes(address: str) -> Info:
    return ComfyClient(address).get("/object_info")


def wired(client: ComfyClient, prompt: Prompt):
    """Send a graph, wait for its end, and judge how it was answered and how it ended."""
    ours = sum(node["class_type"] in OURS for node in prompt.values())
    subject = f"graph with {ours} of the pack's nodes"
    answer = client.post("/prompt", {"prompt": prompt})
    if problem := answer_problem(answer.status_code, answer.json() if answer.status_code < 500 else {}):
        return CaseResult(subject, f"answer {answer.status_code}", problem)
    if answer.status_code != 200:
        return CaseResult(subject, "refused")
    history = _history(client, answer.json()["prompt_id"])
    if history is None:
        return CaseResult(subject, "no end", f"no end {MORE_SECONDS} s after Cancel")
    errors = [data for kind, data in history["status"]["messages"] if kind == "execution_error"]
    interrupted = any(kind == "execution_interrupted" for kind, _ in history["status"]["messages"])
    ending = "error" if errors else "cancelled, too large" if interrupted else "finished"
    return CaseResult(subject, ending, error_problem(errors[0]) if errors else None)


def answer_problem(status: int, answer: dict[str, Any]) -> str | None:
    """What is wrong with the server's answer to a prompt."""
    if status not in (200, 400):
        return f"gave {status}"
    errors = answer.get("node_errors") or {}
    told = [
        error["details"].removeprefix(PREFIX)
        for node in errors.values()
        for error in node["errors"]
        if _is_ours(node, error)
    ]
    unclear = [text for text in told if not SENTENCE.fullmatch(text)]
    if unclear:
        return f"an unclear sentence: {unclear[0]}"
    return None if status == 200 or answer["error"]["message"] else "gave 400 without a sentence"


def _is_ours(node: dict[str, Any], error: dict[str, Any]) -> bool:
    """Whether a node of the pack wrote an error of the validation, not ComfyUI."""
    return node["class_type"] in OURS and error["type"] == "custom_validation_failed"


def error_problem(error: dict[str, Any]) -> str | None:
    """What is wrong with the error that ended a run: execution_error as the server sends it."""
    kind, text = error["exception_type"].split(".")[-1], error["exception_message"].strip()
    if kind == "ValueError" and SENTENCE.fullmatch(text):
        return None
    place = error["traceback"][-1] if error["traceback"] else ""
    if error["node_type"] in OURS or any(name in place for name in OUR_FILES):
        return f"{kind} in {error['node_type']}: {text[:300]} {place.strip()[:200]}"
    return None


def _history(client: ComfyClient, number: str) -> dict[str, Any] | None:
    """What the server keeps of a prompt once it is over; None if it does not come to an end."""
    for wait, then in ((MANY_SECONDS, client.interrupt), (MORE_SECONDS, None)):
        deadline = time.monotonic() + wait
        while time.monotonic() < deadline:
            if found := client.get(f"/history/{number}"):
                return found[number]
            time.sleep(0.1)
        if then is not None:
            then()
    return None


def random_graph(draw: random.Random, info: Info) -> Prompt:
    """Nodes in order, each linked to earlier ones; what was made last is sampled, decoded and shown."""
    graph = _Graph(draw, info, is_faulty=draw.random() < FAULTY)
    for name in STARTS:
        graph.add(name)
    known = [name for name in (*OTHERS, *OURS) if name in info]
    while len(graph.prompt) < draw.randrange(5, 14):
        name = draw.choice((draw.choice(OURS), draw.choice(known)))
        if graph.has_all(name) or graph.drawn(UNFIT):
            graph.add(name)
    for name in ENDS:
        graph.add(name)
    return graph.prompt


class _Graph:
    """A prompt that grows."""

    def __init__(self, draw: random.Random, info: Info, is_faulty: bool) -> None:
        self.prompt: Prompt = {}
        self._draw, self._info, self._is_faulty = draw, info, is_faulty
        self._outputs: dict[str, list[list[Any]]] = {}
        """Type -> links to what there is of it, the newest last."""

    def drawn(self, share: float) -> bool:
        """Whether a fault of that share is due now."""
        return self._is_faulty and self._draw.random() < share

    def has_all(self, name: str) -> bool:
        """Whether all that a node must be linked to is there."""
        kinds = [kind for kind, *_ in self._info[name]["input"].get("required", {}).values()]
        return all(_is_widget(kind) or kind in self._outputs for kind in kinds)

    def add(self, name: str) -> None:
        number = str(len(self.prompt))
        inputs = dict(self._inputs(self._info[name]["input"]))
        if name in ONE_OF and not self.drawn(0.5):
            self._keep_one(inputs, ONE_OF[name])
        self.prompt[number] = {"class_type": name, "inputs": inputs}
        for slot, kind in enumerate(self._info[name]["output"]):
            self._outputs.setdefault(kind, []).append([number, slot])

    def _inputs(self, inputs: Info) -> Iterator[tuple[str, Any]]:
        for section in ("required", "optional"):
            for name, (kind, *rest) in inputs.get(section, {}).items():
                if _is_widget(kind):
                    strange = self.drawn(STRANGE)
                    options = rest[0] if rest else {}
                    yield (
                        name,
                        self._draw.choice(STRANGE_VALUES)
                        if strange
                        else _value(self._draw, name, kind, options),
                    )
                elif section == "required" or self._draw.random() < OPTIONAL_LINK:
                    yield from ((name, link) for link in self._link(kind))

    def _keep_one(self, inputs: dict[str, Any], names: tuple[str, str]) -> None:
        """Leave one of two inputs linked, the one for latents where there is no image yet."""
        kinds = dict(zip(names, ("LATENT", "IMAGE"), strict=True))
        chosen = self._draw.choice([name for name, kind in kinds.items() if kind in self._outputs])
        for name in names:
            inputs.pop(name, None)
        inputs[chosen] = self._draw.choice(self._outputs[kinds[chosen]][-2:])

    def _link(self, kind: str) -> list[list[Any]]:
        """One of the newest of a type, none where there is none."""
        links = self._outputs.get(kind, [])
        if self.drawn(WRONG_LINK):
            links = self._draw.choice(list(self._outputs.values()))
        return [] if not links or self.drawn(NO_LINK) else [self._draw.choice(links[-2:])]


def _is_widget(kind: Any) -> bool:
    return isinstance(kind, list) or kind in ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")


def _value(draw: random.Random, name: str, kind: Any, options: dict[str, Any]) -> Any:
    if name == "ckpt_name":
        return draw.choice((CHECKPOINT, SECOND_MODEL))
    choices = kind if isinstance(kind, list) else options.get("options")
    if choices:
        return draw.choice(choices)
    default = options.get("default", {"INT": 1, "FLOAT": 1.0, "BOOLEAN": False}.get(kind, "red car"))
    if kind not in ("INT", "FLOAT"):
        return default
    least, most = options.get("min", 0), options.get("max", 100)
    if name in SMALL:
        number = max(least, draw.choice(SMALL[name]))
    else:
        number = draw.choice((default, default, draw.uniform(least, max(least, min(most, 100)))))
    return int(number) if kind == "INT" else number
