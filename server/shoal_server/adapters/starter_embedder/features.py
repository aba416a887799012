"""EfficientNet-Lite0 for PyTorch on a CPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import torch
    from efficientnet_lite_pytorch import EfficientNet


class Features:
    """EfficientNet-Lite0 up to its last convolution, put together again for inference.

    The same function to rounding, in less than half of the time on a CPU: batch normalisation is folded into the
    convolutions, 1 x 1 convolutions are matrix products over channels-last activations, and padding is left to the
    convolutions.
    """

    def __init__(self, network: EfficientNet) -> None:
        """Takes the weights of a network in evaluation mode, where they are."""
        stem = _Convolution.folded(network._conv_stem, network._bn0, clamped=True)
        head = _Convolution.folded(network._conv_head, network._bn1, clamped=True)
        self._blocks = [([stem], False), *map(_block, network._blocks), ([head], False)]

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Images (n, 3, 224, 224), channels last, to features (n, 1280, 7, 7)."""
        for convolutions, adds_input in self._blocks:
            found = batch
            for convolution in convolutions:
                found = convolution(found)
            batch = found.add_(batch) if adds_input else found
        return batch


def _block(block: Any) -> tuple[list[_Convolution], bool]:
    """The convolutions of an inverted residual, and whether what comes in is added to what comes out."""
    known = block._block_args
    convolutions = [
        _Convolution.folded(block._depthwise_conv, block._bn1, clamped=True),
        _Convolution.folded(block._project_conv, block._bn2, clamped=False),
    ]
    if known.expand_ratio != 1:
        convolutions.insert(0, _Convolution.folded(block._expand_conv, block._bn0, clamped=True))
    return convolutions, known.id_skip and known.stride == 1 and known.input_filters == known.output_filters


@dataclass(frozen=True, slots=True)
class _Convolution:
    """A convolution with its normalisation and, if it is clamped, ReLU6.

    Attributes:
        weight: (out, in / groups, height, width) channels last, or (in, out) if it is 1 x 1.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    stride: int
    padding: int
    groups: int
    clamped: bool

    @classmethod
    def folded(cls, convolution: Any, normalisation: Any, *, clamped: bool) -> Self:
        """Of the network's own parts."""
        import torch

        fused = torch.nn.utils.fusion.fuse_conv_bn_eval(convolution, normalisation)
        weight, stride = fused.weight.detach(), convolution.stride[0]
        before, after = getattr(convolution.static_padding, "padding", (0, 0))[:2]
        if before < after:
            # TensorFlow pads one more behind than before. With a row and a column of zeros before the kernel it is the
            # same on both sides, which the convolution does by itself; padding the activations would copy them.
            weight = torch.nn.functional.pad(weight, (1, 0, 1, 0))
        if weight.shape[2:] == (1, 1):
            weight = weight[:, :, 0, 0].T.contiguous()
        else:
            weight = weight.contiguous(memory_format=torch.channels_last)
        return cls(weight, fused.bias.detach(), stride, after, convolution.groups, clamped)

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Activations, channels last, to new ones."""
        from torch.nn import functional

        if self.weight.dim() == 2:
            count, channels, height, width = batch.shape
            points = batch.permute(0, 2, 3, 1).reshape(-1, channels)
            # addmm first spreads the bias over the result, which takes longer than adding it.
            product = points.mm(self.weight).add_(self.bias)
            found = product.view(count, height, width, -1).permute(0, 3, 1, 2)
        else:
            found = functional.conv2d(batch, self.weight, self.bias, self.stride, self.padding, groups=self.groups)
        return functional.hardtanh_(found, 0, 6) if self.clamped else found
