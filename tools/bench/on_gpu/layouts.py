"""Settings of PyTorch that users try: channels_last weights and torch.compile."""

import time
from collections.abc import Iterator

import torch
from comfy_extras.nodes_torch_compile import TorchCompileModel

from tools.bench.on_gpu.calls import one_step
from tools.bench.on_gpu.log_lines import Heard
from tools.bench.on_gpu.record import Row
from tools.bench.on_gpu.subject import Subject, sample
from tools.harness.golden_cases import relative_error

ROUNDS = 4


def channels_last(subject: Subject) -> Iterator[Row]:
    """Least milliseconds of one call with both layouts of the convolutions' weights; needs a model that lies
    in memory as a whole."""
    models = dict(list(subject.variants().items())[:2])
    for layout in (torch.contiguous_format, torch.channels_last):
        sample(subject, subject.model, subject.cells(1))  # The weights are on the device now.
        subject.model.model.diffusion_model.to(memory_format=layout)
        for scale in (1, 2):
            for name, model in models.items():
                taken = [one_step(subject, model, subject.cells(scale))[0] for _ in range(ROUNDS)]
                yield {
                    "layout": str(layout).removeprefix("torch."),
                    "scale": scale,
                    "variant": name,
                    "milliseconds": min(taken),
                }


def compiled(subject: Subject) -> Iterator[Row]:
    """TorchCompileModel: the base size compiled, a patched run above it left out of compilation and said
    so."""
    backend = "cudagraphs" if subject.tiny else "inductor"
    plain, fused = list(subject.variants())[:2]
    start = time.perf_counter()
    compiled_model = TorchCompileModel.execute(subject.model, backend).result[0]
    out = sample(subject, compiled_model, subject.cells(1))
    first = time.perf_counter() - start
    taken = {
        name: min(one_step(subject, model, subject.cells(1))[0] for _ in range(ROUNDS))
        for name, model in ((plain, subject.model), ("compiled", compiled_model))
    }
    yield {
        "size": "base",
        "backend": backend,
        "first_seconds": first,
        **taken,
        "error": relative_error(out, sample(subject, subject.model, subject.cells(1))),
    }
    expected = sample(subject, subject.patched(fused), subject.cells(2))
    patched = subject.patched(fused, compiled_model)
    with Heard() as heard:
        out = sample(subject, patched, subject.cells(2))
    yield {
        "size": "twice the base",
        "variant": fused,
        "error": relative_error(out, expected),
        "log": heard.about("compile")[:3],
    }
