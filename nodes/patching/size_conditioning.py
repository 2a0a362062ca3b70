"""SDXL's size conditioning stays at the base size in every stage (docs/METHOD.md)."""

from typing import Any

from ...freescale_core.geometry import Size


def with_base_size(conds: dict[str, list[dict[str, Any]]], base: Size) -> dict[str, list[dict[str, Any]]]:
    """Copies of a guider's conds that get `base` (pixels) where they name no size themselves."""
    values = {
        "width": base.width,
        "height": base.height,
        "target_width": base.width,
        "target_height": base.height,
    }
    return {name: [{**values, **cond} for cond in entries] for name, entries in conds.items()}
