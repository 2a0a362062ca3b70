"""The figures of docs/BATCH.md are those that `dev.py bench batch` kept."""

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
