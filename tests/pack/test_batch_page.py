"""The figures of docs/BATCH.md are those that `dev.py bench batch` kept, or follow from the cost of SDXL."""

from freescale_core.geometry import MEGAPIXEL, Size, level_size, to_cells
from freescale_core.planning.cost import ATTENTION, CONSTANT, PER_MEGAPIXEL, unet_operations
from tools.bench.batch_growth import page
from tools.bench.performance.results import load

KEPT = load(page.NAME)


def test_the_table_is_the_one_that_was_measured():
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.section(KEPT) in text and page.with_section(text, page.section(KEPT)) == text


def test_another_measurement_changes_nothing_but_the_section():
    text = page.PAGE.read_text(encoding="utf-8")
    other = page.with_section(text, "| jobs |\n\\1")
    assert other == text.replace(page.section(KEPT), "| jobs |\n\\1") != text


def test_3000_jobs_took_less_than_90_s_the_driver_400_mib_and_the_time_grows_in_proportion():
    rows = {row["jobs"]: row for row in KEPT["rows"]}
    assert set(rows) == {300, 3000, 30000}
    assert all(row["driver_mib"] < 400 for row in rows.values())
    assert rows[3000]["seconds"] < 90
    assert page.rate(rows[30000]) > page.rate(rows[3000]) / 2


def test_what_attention_over_gpus_would_give_follows_from_the_cost_of_sdxl():
    said = " ".join(page.PAGE.read_text(encoding="utf-8").split())
    shares = [attention_share(8192), attention_share(4096)]
    percent = [100 * share for share in shares]
    assert (
        "{:.0f} % of the operations of a call of an unpatched SDXL at 8k and {:.0f} %".format(*percent)
        in said
    )
    speeds = [1 / (1 - share + share / gpus) for gpus in (2, 4, 8) for share in shares]
    two = "two GPUs give at most {:.1f} times the speed at 8k ({:.1f} at 4k), "
    assert (two + "four {:.1f} ({:.1f}) and eight {:.1f} ({:.1f})").format(*speeds) in said
    tokens, channels = level_size(to_cells(Size(8192, 8192)), 1).area, ATTENTION[0].channels
    gigabytes = 2 * 2 * 2 * tokens * channels / 1e9  # two bytes, keys and values, cond and uncond
    assert f"{gigabytes:.1f} GB for keys and values ({tokens} tokens with {channels} channels" in said


def attention_share(side: int) -> float:
    """The part of self-attention in the operations of a call of an unpatched SDXL."""
    size = Size(side, side)
    others = CONSTANT + PER_MEGAPIXEL * size.area / MEGAPIXEL.area
    return 1 - others / unet_operations(size)
