"""Dilation acts inside its context and is gone after it, whatever happens in between."""

import pytest
import torch
from torch import nn

from freescale_core.dilation import dilated


@pytest.fixture
def conv():
    torch.manual_seed(0)
    return nn.Conv2d(2, 3, 3, padding=1, stride=2)


def attributes(conv):
    return conv.dilation, conv.padding, conv.stride, list(conv._reversed_padding_repeated_twice)


def test_the_convolution_is_dilated_and_keeps_its_output_size(conv):
    x = torch.randn(1, 2, 16, 16)
    with dilated([conv], 3):
        out = conv(x)
    assert torch.equal(out, nn.functional.conv2d(x, conv.weight, conv.bias, stride=2, padding=3, dilation=3))
    assert out.shape == conv(x).shape


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_attributes_come_back_after_any_error(conv, error):
    before = attributes(conv)
    with pytest.raises(error), dilated([conv], 2):
        raise error
    assert attributes(conv) == before


def test_attributes_come_back_when_a_later_layer_fails_on_entering(conv):
    before = attributes(conv)
    with pytest.raises(AttributeError), dilated([conv, nn.Linear(1, 1)], 2):
        pass
    assert attributes(conv) == before


def test_seamless_padding_follows_the_dilation():
    conv = nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular")
    with dilated([conv], 4):
        assert conv(torch.randn(1, 1, 16, 16)).shape == (1, 1, 16, 16)
