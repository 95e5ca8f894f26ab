"""Run the kernels of the focal loss on the CPU, beside PyTorch's operators.

A program, because Triton has to know before it is imported: TRITON_INTERPRET=1 python FILE
"""

from itertools import product

import onenet  # noqa: F401  (makes an old Detectron2 importable)
import torch
from onenet.criterion.focal_kernels import FusedNegativeFocalLoss
from onenet.criterion.focal_losses import negative_focal_loss

SHAPE = 2, 700, 9  # three blocks and a bit
EXTREME = torch.tensor([-1e4, -90, -17, -1e-6, 0, 17, 90, 1e4])
LAYOUTS = {
    "rows of classes": lambda x: x.contiguous(),
    "a map of each class": lambda x: x.transpose(1, 2).contiguous().transpose(1, 2),
    "parts of a larger tensor": lambda x: torch.cat([x, x], dim=2)[..., : x.shape[2]],
}
WEIGHTS = {
    "none": lambda x: None,
    "samples": lambda x: torch.rand(*x.shape[:2], 1),
    "elements": lambda x: torch.rand_like(x).transpose(1, 2).contiguous().transpose(1, 2),
}


def compare(layout, weights, gamma):
    """Loss and gradient of one case."""
    logits = 4 * torch.randn(SHAPE) - 4
    logits[0, : len(EXTREME), 0] = EXTREME
    logits = LAYOUTS[layout](logits)
    arguments = WEIGHTS[weights](logits), 0.25, gamma
    one, other = (logits.detach().requires_grad_() for _ in range(2))
    fused = FusedNegativeFocalLoss.apply(one, *arguments)
    expected = negative_focal_loss(other.double(), *arguments)
    torch.testing.assert_close(fused.double(), expected, rtol=1e-6, atol=0)
    (3 * fused).backward()
    (3 * expected).backward()
    torch.testing.assert_close(one.grad, other.grad, rtol=1e-5, atol=1e-9)


if __name__ == "__main__":
    torch.manual_seed(0)
    for case in product(LAYOUTS, WEIGHTS, (2.0, 1.5, 0.0)):
        print(*case)
        compare(*case)
    print("all equal")
