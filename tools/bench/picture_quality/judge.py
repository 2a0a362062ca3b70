"""Every measure of every image, kept beside the image; then figures of sets of images."""

from collections.abc import Sequence

import numpy as np

from tools.bench.picture_quality import features
from tools.bench.picture_quality.experiment import Job, Subject, Table
from tools.bench.picture_quality.families import true_images
from tools.bench.picture_quality.features import JUDGES
from tools.bench.picture_quality.figures import cubic_kernel, inception_score, kid, mean, weights_of_known
from tools.bench.picture_quality.metrics import as_tensor, consistency, repetition, sharpness
from tools.bench.picture_quality.store import Key, Store

Found = dict[str, np.ndarray]


class Judge:
    """references: base images of other seeds. Their own tiles, or those of true renders if the subject has
    such, are what tiles are compared with."""

    def __init__(self, subject: Subject, table: Table, references: Sequence[Job], store: Store) -> None:
        self._subject, self._table, self._store = subject, table, store
        self._known = {judge: self._seen_of_references(judge, references) for judge in JUDGES}

    def samples(self, jobs: Sequence[Job], weights: np.ndarray) -> Found:
        """Sample (see figures.py) of every measure over the images of `jobs`."""
        scores = [self._scores(job) for job in jobs]
        found = {name: mean([score[name] for score in scores], weights) for name in scores[0]}
        prompts = [job.text for job in jobs]
        for judge in JUDGES:
            suffix = "" if judge == JUDGES[0] else f"_{judge}"
            seen = [self._networks(job.key, judge) for job in jobs]
            for part, name in (("whole", "kid"), ("tiles", "kid_crops")):
                known = self._known[judge][part]
                found[f"{name}{suffix}"] = known.distance([one[part] for one in seen], prompts, weights)
            if judge == JUDGES[0]:
                found["is"] = inception_score(np.concatenate([one["classes"] for one in seen]), weights)
        return found

    def _scores(self, job: Job) -> dict[str, float]:
        found = self._store.judged(job.key, "scores")
        if found is None:
            image, base = (as_tensor(self._store.image(key)) for key in (job.key, job.base_key))
            found = {
                "repetition": np.array(repetition(image, base)),
                "consistency": np.array(consistency(image, base)),
                "sharpness": np.array(sharpness(image, self._table.base[::-1])),
            }
            self._store.save_judged(job.key, "scores", found)
        return {name: float(value) for name, value in found.items()}

    def _networks(self, key: Key, judge: str) -> Found:
        """whole (1, c), tiles (n, c), classes (1, 1000) of an image by a network."""
        found = self._store.judged(key, judge)
        if found is None:
            found = self._look(self._store.image(key), judge)
            self._store.save_judged(key, judge, found)
        return found

    def _look(self, image: np.ndarray, judge: str) -> Found:
        tensor, side = as_tensor(image), min(self._table.base)
        whole, classes = features.seen(judge, features.whole(tensor, side))
        return {
            "whole": whole,
            "classes": classes,
            "tiles": features.seen(judge, features.tiles(tensor, side))[0],
        }

    def _seen_of_references(self, judge: str, references: Sequence[Job]) -> "dict[str, _Known]":
        bases = [self._networks(job.key, judge) for job in references]
        sharp = [self._render(job, judge) for job in references] if self._subject.renders else bases
        prompts = [job.text for job in references]
        return {
            "whole": _Known([b["whole"] for b in bases], prompts),
            "tiles": _Known([b["tiles"] for b in sharp], prompts),
        }

    def _render(self, job: Job, judge: str) -> Found:
        """A true image of the job's prompt and the table's target size."""
        key = {"render": job.text, "seed": job.seed, "target": list(self._table.target)}
        if not self._store.has(key):
            self._store.save(key, true_images.drawn(job.text, self._table.target, job.seed))
        return self._networks(key, judge)


class _Known:
    """Features of the reference images, equally many of each."""

    def __init__(self, images: Sequence[np.ndarray], prompts: Sequence[str]) -> None:
        self._rows, self._crops, self._prompts = np.concatenate(images), len(images[0]), prompts
        self._kernel = cubic_kernel(self._rows, self._rows)

    def distance(
        self, images: Sequence[np.ndarray], prompts: Sequence[str], weights: np.ndarray
    ) -> np.ndarray:
        rows, crops = np.concatenate(images), (len(images[0]), self._crops)
        kernels = cubic_kernel(rows, rows), cubic_kernel(rows, self._rows), self._kernel
        of_known = weights_of_known(self._prompts, prompts, weights)
        return kid(*kernels, crops, (weights, of_known), (prompts, self._prompts))
