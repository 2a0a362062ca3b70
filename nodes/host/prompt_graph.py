"""A prompt in API form as a graph, and the one that is being validated.

It is a dict: node id -> {"class_type", "inputs"}.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

Prompt = Mapping[str, Any]
_QUEUED: ContextVar[Prompt] = ContextVar("freescale_queued_prompt")


def upstream(prompt: Prompt, links: Iterable[Any]) -> Iterator[str]:
    """The ids of all nodes that some inputs come from, each once.

    links: the inputs' values, of which some are links.
    """
    found: set[str] = set()
    open_links = list(links)
    while open_links:
        link = open_links.pop()
        source = source_of(prompt, link)
        if source is not None and source not in found:
            found.add(source)
            yield source
            open_links += prompt[source]["inputs"].values()


def source_of(prompt: Prompt, link: Any) -> str | None:
    """The id of the node that an input's value comes from; None for a value that is no link."""
    if isinstance(link, list) and link and str(link[0]) in prompt:
        return str(link[0])
    return None


def note_queued(request: dict[str, Any]) -> dict[str, Any]:
    """For ComfyUI's list of on_prompt handlers.

    It validates the prompt in the same task, where `queued` finds it.
    """
    prompt = request.get("prompt")
    _QUEUED.set(prompt if isinstance(prompt, dict) else {})
    return request


def queued() -> Prompt:
    """The prompt that is being validated; empty outside a server."""
    return _QUEUED.get({})
