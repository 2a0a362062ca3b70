"""The pack's own patches on the host's real UNet against results of the authors' code, every case of the
golden folder."""

import pytest
from freescale_pack.nodes.patching.model import with_settings

from tools.harness.golden_cases import CASES, MASKED, STAGE, STAGES, Case, first_unet_call, relative_error
from tools.harness.tiny_unet import tiny_model

SINGLE_CALL = 1e-4  # measured: 8e-7


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.mark.parametrize(("name", "r"), STAGES)
def test_stage_equals_the_authors_result(model, name, r):
    case = Case(name)
    out = case.run(with_settings(model, case.settings(r, model)), r)
    error = relative_error(out, case.tensors[f"latent_stage{r}"])
    print(f"{name} stage {r}: relative error {error:.1e}")
    assert error < (MASKED if case.masked else STAGE)


@pytest.mark.parametrize("name", [name for name in CASES if "last_stage_first_out" in Case(name).tensors])
def test_single_call_equals_the_authors_and_unpatched_is_far_away(model, name):
    case = Case(name)
    r = len(case.info["stages"])
    got_in, got_out = first_unet_call(
        model, lambda: case.run(with_settings(model, case.settings(r, model)), r)
    )
    _, unpatched_out = first_unet_call(model, lambda: case.run(model, r))
    print(
        f"{name} single call: {relative_error(got_out, case.tensors['last_stage_first_out']):.1e}", end=", "
    )
    print(f"unpatched {relative_error(unpatched_out, case.tensors['last_stage_first_out']):.1e}")
    assert relative_error(got_in, case.tensors["last_stage_first_in"]) < SINGLE_CALL
    assert relative_error(got_out, case.tensors["last_stage_first_out"]) < SINGLE_CALL
    assert relative_error(unpatched_out, case.tensors["last_stage_first_out"]) > 20 * SINGLE_CALL


@pytest.mark.parametrize("name", [name for name in CASES if "stage0_first_in" in Case(name).tensors])
def test_the_patched_model_draws_the_authors_base_picture(model, name):
    case = Case(name)
    patched = with_settings(model, case.settings(1, model))
    _, got = first_unet_call(model, lambda: case.run(patched, 0))
    assert relative_error(got, case.tensors["stage0_first_out"]) < SINGLE_CALL
    assert relative_error(case.run(patched, 0), case.tensors["latent_stage0"]) < STAGE


def test_the_folder_holds_cases():
    assert STAGES
