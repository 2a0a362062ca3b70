"""The one table of settings: which pictures are made, by which methods."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from tools.harness import demo_prompts

ALPHA, BASE_SIDE, CFG = demo_prompts.ALPHA, demo_prompts.BASE_SIDE, demo_prompts.CFG
DEFAULT_ALPHA = demo_prompts.SDXL_ALPHA
"""What the nodes and the templates have."""
STEPS = 20
RESTART = 0.3
FAST_STEPS = 15
"""As the node's speed Fast has it."""
SAMPLER, SCHEDULER = "euler", "ddim_uniform"
THREADS = 1
"""One, so that two processes can share the work."""

OURS = "full"
KNOWN = {"base": "base picture", "render": "true render"}
"""Rows that are no methods: what the best values are."""


class Measure(NamedTuple):
    """One column. better: +1 more is better, -1 less is better, 0 neither (compare it with the row of true
    renders)."""

    label: str
    unit: float
    better: int


MEASURES = {
    "kid": Measure("KID of the whole", 1e-3, -1),
    "fd": Measure("FD of the whole", 1.0, -1),
    "kid_crops": Measure("KID of crops", 1e-3, -1),
    "fd_crops": Measure("FD of crops", 1.0, -1),
    "repetition": Measure("repetition", 1.0, -1),
    "consistency": Measure("consistency", 1.0, 1),
    "sharpness": Measure("sharpness", 1e-3, 0),
}

SEEDS = (100, 200, 300)
"""Stage r samples with seed + r, as the cascade does."""
REFERENCE_SEEDS = tuple(range(1001, 1009))
"""Of the base pictures and of the renders that the methods are compared with; never seeds of the methods."""

PROMPTS = (
    ("tiger", "on a green background"),
    ("house", "in a meadow"),
    ("panda", "on a yellow background"),
    ("red car", "on a gray background"),
    ("owl", "at night"),
    ("robot", "on a blue background"),
    ("penguin", "on a teal background"),
    ("rocket", "at night"),
    ("sunflower", "on a white background"),
    ("fox", "in a meadow"),
    ("castle", "on a pink background"),
    ("frog", "on a purple background"),
    ("snowman", "on a brown background"),
    ("ladybug", "on a orange background"),
    ("red apple", "on a blue background"),
    ("bus", "in a meadow"),
    ("sailboat", "on a teal background"),
    ("cactus", "on a yellow background"),
    ("mushroom", "at night"),
    ("strawberry", "on a white background"),
)
"""(concept, place), as tools/demo/train/concepts.py names them: everything the demo model knows.

The tables take the first ones.
"""


@dataclass(frozen=True)
class Method:
    """How a picture of the target size is made. The defaults are FreeScale's, as released."""

    label: str
    kind: str = "cascade"
    """cascade (from the base picture, stage by stage), direct (from noise at the target size) or lanczos
    (base picture enlarged)."""
    patched: bool = True
    """With those parts of FreeScale that are not None below."""
    blur_axes: str | None = "3-D (h, w, channel)"
    """None: no scale fusion."""
    fusion: str = "exact"
    """How both branches of it attend, as the node names it."""
    dilation: str | None = "deepest"
    """deepest (the method), up (the deepest up blocks as well) or None."""
    dilation_end: float = 0.7
    alpha: float | None = ALPHA
    """None: no blend."""
    in_latents: bool = False
    """Enlarge the latent instead of the picture."""
    restart: float = RESTART
    steps: int = STEPS
    """Of the stages after the base."""
    against: str = "full"
    """The row that its differences are taken from."""


FULL = Method("FreeScale (3-D blur)")
METHODS = {
    "lanczos": Method("Lanczos of the base", kind="lanczos"),
    "direct": Method("direct sampling", kind="direct", patched=False),
    "hires_fix": Method("plain hires-fix", patched=False),
    "no_fusion": replace(FULL, label="without scale fusion", blur_axes=None),
    "no_dilation": replace(FULL, label="without dilation", dilation=None),
    "up_dilation": replace(FULL, label="dilated up blocks", dilation="up"),
    "latent": replace(FULL, label="latent upsampling", in_latents=True),
    "no_blend": replace(FULL, label="without blend", alpha=None),
    "blur_2d": replace(FULL, label="2-D blur", blur_axes="2-D (h, w)"),
    "full": FULL,
    "neighbourhood": replace(FULL, label="neighbourhoods for windows", fusion="neighbourhood"),
    "balanced": replace(FULL, label="speed Balanced", fusion="fast"),
    "fast": replace(FULL, label="speed Fast", fusion="fast neighbourhood", steps=FAST_STEPS),
}
FREE = replace(FULL, label="alpha 2.0", alpha=2.0)
"""At the release's alpha the blend leaves the other parts more to do."""
WITHIN_FREE = replace(FREE, against="alpha_2.0")
EXTRA = {
    "direct": {"patched_direct": Method("direct, fusion and dilation", kind="direct", alpha=None)},
    "alpha": {
        f"alpha_{alpha}": replace(FULL, label=f"alpha {alpha}", alpha=alpha) for alpha in (1.0, 2.0, 3.0)
    },
    "restart": {"restart_0.5": replace(FULL, label="restart 0.5", restart=0.5)},
    "denoise": {
        f"hires_{part}": Method(f"hires-fix, denoise {1 - part:.1f}", patched=False, restart=part)
        for part in (0.5, 0.6, 0.7, 0.8)
    },
    "dilation": {
        f"dilation_{end}": replace(FULL, label=f"dilation until {end:.0%}", dilation_end=end)
        for end in (0.3, 0.5, 1.0)
    },
    "parts": {
        "alpha_2.0": FREE,
        "free_no_fusion": replace(WITHIN_FREE, label="alpha 2.0, no fusion", blur_axes=None),
        "free_no_dilation": replace(WITHIN_FREE, label="alpha 2.0, no dilation", dilation=None),
        "free_blur_2d": replace(WITHIN_FREE, label="alpha 2.0, 2-D blur", blur_axes="2-D (h, w)"),
    },
    "steps": {f"steps_{steps}": replace(FULL, label=f"{steps} steps", steps=steps) for steps in (6, 10, 15)},
}
"""Rows of a further 2x table with fewer pictures, by the word of --extra."""


@dataclass(frozen=True)
class Group:
    """One table: pictures of one size. Sizes are (width, height) in pixels."""

    name: str
    base: tuple[int, int]
    stages: tuple[tuple[int, int], ...]
    methods: dict[str, Method]
    seeds: tuple[int, ...]
    prompts: int
    """How many of PROMPTS."""
    steps: int = STEPS
    """Of the base picture and of direct sampling."""

    @property
    def target(self) -> tuple[int, int]:
        return self.stages[-1]

    @property
    def title(self) -> str:
        base, size = ("x".join(map(str, sides)) for sides in (self.base, self.target))
        return TABLES[self.name].format(base=base, size=size)

    @property
    def labels(self) -> dict[str, str]:
        """Of the table's rows."""
        return KNOWN | {name: method.label for name, method in self.methods.items()}


class Extent(NamedTuple):
    """How many of the prompts and seeds are used; few: of the tables other than 2x, which have one seed."""

    prompts: int
    few_prompts: int
    seeds: int
    reference_seeds: int


TABLES = {
    "2x": "2x: {size} from {base}",
    "4x": "4x: {size} from {base} in two stages",
    "wide": "16:9-like, 2x: {size} from {base}",
    "2x_more": "2x, further rows: {size} from {base}",
}
"""Name and title of the tables, the last one of the rows of --extra."""
FULL_TABLE = Extent(prompts=14, few_prompts=6, seeds=len(SEEDS), reference_seeds=len(REFERENCE_SEEDS))
SMOKE = Extent(prompts=2, few_prompts=2, seeds=1, reference_seeds=2)


def groups(extent: Extent, extra: Sequence[str] = ()) -> tuple[Group, ...]:
    """The tables; extra: keys of EXTRA whose rows get a 2x table of their own."""
    square, twice = (BASE_SIDE, BASE_SIDE), (2 * BASE_SIDE, 2 * BASE_SIDE)
    few = {name: METHODS[name] for name in ("lanczos", "direct", "hires_fix", "full", "balanced", "fast")}
    more = {name: METHODS[name] for name in ("direct", "hires_fix", "full")}
    for word in extra:
        more |= EXTRA[word]
    seeds, rest = SEEDS[: extent.seeds], (SEEDS[:1], extent.few_prompts)
    tables = (
        Group("2x", square, (twice,), METHODS, seeds, extent.prompts),
        Group("4x", square, (twice, (4 * BASE_SIDE, 4 * BASE_SIDE)), few, *rest),
        Group("wide", (320, 192), ((640, 384),), few, *rest),
        Group("2x_more", square, (twice,), more, *rest),
    )
    return tables if extra else tables[:-1]
