"""The pair of text encoders: taught in minutes to tell captions apart, then frozen.

Heads on top of both encoders name the concept, the place and the size of a caption. Unknown words are mixed
into the captions, so that they change nothing; a text of unknown words alone must name nothing, like the
empty one. That is what a negative prompt made for SDXL becomes.
"""

import torch
import torch.nn.functional as F

from tools.demo.train.concepts import CONCEPTS, PLACES, SIZES, caption
from tools.demo.train.host import extension, new_text_encoders, tokenizer

STEPS = 1500
BATCH = 48
UNKNOWN = 40000
"""A token id that is in no caption."""


def encode(text: torch.nn.Module, tokens: tuple[list, list]) -> tuple[torch.Tensor, torch.Tensor]:
    """tokens: ids for encoder L and G, each (captions, 77).

    Context (captions, 77, 2 * TEXT_WIDTH), pooled (captions, TEXT_WIDTH).
    """
    context_l = text.clip_l(tokens[0])[0]
    context_g, pooled = text.clip_g(tokens[1])
    return torch.cat((context_l, context_g), dim=-1), pooled


def tokenize(words: list[str]) -> tuple[list, list]:
    stock = tokenizer()
    both = [stock.tokenize_with_weights(text) for text in words]
    return tuple([[token[0] for token in tokens[name][0]] for tokens in both] for name in ("l", "g"))


def known_tokens() -> list[int]:
    """All token ids of all captions: what the host extension lists."""
    words = [caption(concept, place, size) for concept in CONCEPTS for place in PLACES[:1] for size in SIZES]
    words += [caption(next(iter(CONCEPTS)), place) for place in PLACES]
    return sorted({token for group in tokenize(["", *words]) for ids in group for token in ids})


def train_text(seed: int = 0) -> torch.nn.Module:
    if known_tokens() != sorted(extension.KNOWN_TOKENS):
        raise ValueError(
            "Expected the host extension's KNOWN_TOKENS to be those of the captions, got others: set them "
            f"to {known_tokens()}."
        )
    torch.manual_seed(seed)
    text, width = new_text_encoders(), 2 * extension.TEXT_WIDTH
    # One class more than there are: "says nothing of it".
    counts = (len(CONCEPTS) + 1, len(PLACES) + 1, len(SIZES))
    heads = torch.nn.ModuleList(
        torch.nn.Linear(size, sum(counts)) for size in (width // 2, width // 2, width // 2)
    )
    optimizer = torch.optim.AdamW([*text.parameters(), *heads.parameters()], lr=2e-3, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, STEPS, pct_start=0.1)
    captions = Captions(seed)
    for step in range(STEPS):
        tokens, labels = captions.batch(BATCH)
        context, pooled = encode(text, tokens)
        loss = 0.0
        # The context is pooled by its mean: the UNet's cross-attention reads all 77 positions.
        for head, feature in zip(heads, (*context.mean(1).chunk(2, dim=-1), pooled), strict=True):
            for logits, label in zip(head(feature).split(counts, dim=-1), labels.T, strict=True):
                loss = loss + F.cross_entropy(logits, label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            print(f"text {step + 1}/{STEPS} loss {loss.item():.4f}", flush=True)
    return text.eval().requires_grad_(False)


class Captions:
    """Random captions with labels (concept, place, size), unknown words mixed in."""

    def __init__(self, seed: int) -> None:
        self.draw = torch.Generator().manual_seed(seed)
        plain = [
            (concept, place, size)
            for size in range(len(SIZES))
            for concept in range(len(CONCEPTS))
            for place in range(len(PLACES))
        ]
        words = [
            caption(list(CONCEPTS)[concept], PLACES[place], SIZES[size]) for concept, place, size in plain
        ]
        only = [(concept, len(PLACES), 0) for concept in range(len(CONCEPTS))] + [
            (len(CONCEPTS), place, 0) for place in range(len(PLACES))
        ]
        words += [*CONCEPTS, *PLACES]
        self.labels = torch.tensor([*plain, *only, (len(CONCEPTS), len(PLACES), 0)])
        self.tokens = tokenize([*words, ""])

    def batch(self, count: int) -> tuple[tuple[list, list], torch.Tensor]:
        chosen = torch.randint(len(self.labels), (count,), generator=self.draw)
        chosen[: count // 8] = len(self.labels) - 1  # the empty caption is not rare
        groups: tuple[list, list] = ([], [])
        for index in chosen.tolist():
            unknown = self._unknown_words()
            for side in (0, 1):
                groups[side].append(self._mixed(self.tokens[side][index], unknown))
        return groups, self.labels[chosen]

    def _unknown_words(self) -> int:
        if torch.rand((), generator=self.draw) < 0.6:
            return 0
        return int(torch.randint(1, 24, (), generator=self.draw))

    def _mixed(self, ids: list[int], unknown: int) -> list[int]:
        """`unknown` words in front of the caption or behind it; padded to its length again."""
        end = ids.index(extension.END_TOKEN)
        words, extra = ids[1:end], [UNKNOWN] * unknown
        mixed = [ids[0], *(extra + words if unknown % 2 else words + extra), extension.END_TOKEN]
        return mixed + [ids[-1]] * (len(ids) - len(mixed))
