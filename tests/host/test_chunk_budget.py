"""How many bytes of temporaries one run may take, on devices with any amount of free memory."""

import pytest
import torch
from freescale_pack.nodes.fused_attention import WORTH_CUTTING, ChunkBudget

MIB = 2**20
HUGE = 2**40
CPU = torch.device("cpu")


def test_temporaries_get_a_quarter_of_the_memory_that_is_free_when_the_run_begins():
    """The rest is for the output itself, the UNet's own activations and whatever else the device is for."""
    free = iter([400 * MIB, 8 * MIB])
    budget = ChunkBudget(lambda device: next(free))
    assert [budget.within(lambda size: size, 1000 * MIB, CPU) for _ in range(2)] == [100 * MIB, 100 * MIB]


def test_once_memory_ran_out_a_sixteenth_of_an_output_is_enough_for_the_rest_of_the_run():
    budget, asked = ChunkBudget(lambda device: HUGE), []

    def compute(size):
        asked.append(size)
        if len(asked) == 1:
            raise torch.cuda.OutOfMemoryError("injected")
        return size

    assert [budget.within(compute, 64 * MIB, CPU) for _ in range(2)] == [4 * MIB, 4 * MIB]
    assert len(asked) == 3
    assert asked[0] > 4 * MIB


@pytest.mark.parametrize("free", [0, 1])
def test_a_full_device_gets_small_chunks_and_not_single_queries(free):
    assert ChunkBudget(lambda device: free).within(lambda size: size, 64 * MIB, CPU) == 4 * MIB


def test_tiny_outputs_are_not_cut():
    assert ChunkBudget(lambda device: 40 * MIB).within(lambda size: size, 1000, CPU) == WORTH_CUTTING


def test_half_an_output_is_enough_and_a_sixteenth_of_what_is_free_is_taken_where_it_is_more():
    """Each piece costs the CPU more than a fast GPU."""
    for free, expected in ((400, 50), (800, 50), (1600, 100), (16000, 1000)):
        assert ChunkBudget(lambda device, free=free: free * MIB).within(lambda size: size, 100 * MIB, CPU) == expected * MIB


def test_other_errors_are_not_tried_again():
    asked = []

    def broken(size):
        asked.append(size)
        raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape mismatch"):
        ChunkBudget(lambda device: HUGE).within(broken, 64 * MIB, CPU)
    assert len(asked) == 1
