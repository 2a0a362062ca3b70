"""Which pictures a table is made of, and the table."""

from dataclasses import replace
from functools import partial

from tools.bench.picture_quality import settings
from tools.bench.picture_quality.jobs import Job, base_jobs, method_jobs
from tools.bench.picture_quality.metrics import resized
from tools.bench.picture_quality.pictures import Pictures
from tools.bench.picture_quality.report import Table
from tools.bench.picture_quality.scores import Reference, Row, figures
from tools.bench.picture_quality.settings import Extent, Group
from tools.bench.picture_quality.store import Store
from tools.demo.train.pictures import render_picture

PLACES = {f"{concept} {place}": (concept, place) for concept, place in settings.PROMPTS}
Done = dict[tuple[str, int], dict[str, Job]]
"""(prompt, seed) -> its jobs by method, the base picture's among them."""


def all_jobs(shown: list[Job], groups: tuple[Group, ...], extent: Extent) -> list[Job]:
    """`shown`, then references, since no table can do without them.

    Tables may share pictures: each comes once.
    """
    # A run that ends early has these tables at least.
    short_first = sorted(groups, key=lambda group: len(group.seeds))
    references = settings.REFERENCE_SEEDS[: extent.reference_seeds]
    known = [job for group in groups for job in base_jobs(group, (*references, *group.seeds))]
    jobs = [*shown, *known, *method_jobs(short_first)]
    once: dict[str, Job] = {}
    for job in jobs:
        once.setdefault(str(job.key), job)
    return list(once.values())


def shown_bases(groups: tuple[Group, ...]) -> list[Job]:
    """One base picture of every prompt."""
    return base_jobs(replace(groups[0], prompts=len(settings.PROMPTS)), settings.SEEDS[:1])


def complete(group: Group, store: Store) -> Done:
    """(prompt, seed) -> its jobs by method, base picture included, as far as all of them are done."""
    found: Done = {}
    for job in [*base_jobs(group, group.seeds), *method_jobs([group])]:
        found.setdefault((job.text, job.seed), {})[job.name] = job
    return {where: jobs for where, jobs in found.items() if all(store.has(job.key) for job in jobs.values())}


def table_of(group: Group, extent: Extent, pictures: Done, store: Store) -> Table:
    def stored(name: str) -> Pictures:
        return Pictures([partial(store.picture, jobs[name].key) for jobs in pictures.values()])

    def rendered(wheres: list[tuple[str, int]]) -> Pictures:
        return Pictures(
            [partial(render_picture, *PLACES[text], group.target[::-1], seed) for text, seed in wheres]
        )

    known = base_jobs(group, settings.REFERENCE_SEEDS[: extent.reference_seeds])
    reference = Reference.of(
        Pictures([partial(store.picture, job.key) for job in known]),
        rendered([(job.text, job.seed) for job in known]),
        group,
    )
    bases, renders = stored("base"), rendered(list(pictures))
    shrunk = [resized(picture, group.base[::-1]) for picture in renders]
    rows = {"base": Row(bases, None), "render": Row(renders, shrunk)} | {
        name: Row(stored(name), bases) for name in group.methods
    }
    return figures(group, rows, [text for text, _ in pictures], reference)
