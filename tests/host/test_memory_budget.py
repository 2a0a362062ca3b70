"""How many bytes of temporaries one run may take, on devices with any amount of free memory."""

import pytest
import torch
from comfy.ldm.modules import attention
from freescale_pack.nodes.patching.memory_budget import MIN_CHUNK_BYTES, MemoryBudget

MIB = 2**20
HUGE = 2**40
CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_temporaries_get_a_quarter_of_the_memory_that_is_free_when_the_run_begins():
    """The rest is for the output itself, the UNet's own activations and whatever else the device is for."""
    free = iter([400 * MIB, 8 * MIB])
    budget = MemoryBudget(lambda device: next(free))
    assert [budget.within(lambda size: size, 1000 * MIB, CPU) for _ in range(2)] == [100 * MIB, 100 * MIB]


def test_once_memory_ran_out_a_sixteenth_of_an_output_is_enough_for_the_rest_of_the_run():
    budget, asked = MemoryBudget(lambda device: HUGE), []

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
    assert MemoryBudget(lambda device: free).within(lambda size: size, 64 * MIB, CPU) == 4 * MIB


def test_tiny_outputs_are_not_cut():
    assert MemoryBudget(lambda device: 40 * MIB).within(lambda size: size, 1000, CPU) == MIN_CHUNK_BYTES


def test_half_an_output_is_enough_and_a_sixteenth_of_a_gpus_free_memory_is_taken_where_it_is_more():
    """Each piece costs the CPU more than a fast GPU."""
    for free, expected in ((400, 50), (800, 50), (1600, 100), (16000, 1000)):
        assert (
            MemoryBudget(lambda device, free=free: free * MIB).within(lambda size: size, 100 * MIB, GPU)
            == expected * MIB
        )


@pytest.mark.parametrize("device", [CPU, torch.device("mps")])
def test_other_devices_keep_to_half_an_output(device):
    assert MemoryBudget(lambda device: HUGE).within(lambda size: size, 100 * MIB, device) == 50 * MIB


@pytest.mark.parametrize("name", ["attention_sub_quad", "attention_split", "attention_basic"])
def test_so_does_an_attention_that_keeps_its_scores(name, monkeypatch):
    monkeypatch.setattr(attention, "optimized_attention", getattr(attention, name))
    assert MemoryBudget(lambda device: HUGE).within(lambda size: size, 100 * MIB, GPU) == 50 * MIB


def test_other_errors_are_not_tried_again():
    asked = []

    def broken(size):
        asked.append(size)
        raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape mismatch"):
        MemoryBudget(lambda device: HUGE).within(broken, 64 * MIB, CPU)
    assert len(asked) == 1
