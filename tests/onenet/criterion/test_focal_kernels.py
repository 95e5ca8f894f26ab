"""The kernels for GPUs: what they compute in Triton's interpreter, and that they compile for a GPU.

Their speed, and that they run there, needs one: see test_gpu.py.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from onenet.criterion import focal_losses
from onenet.criterion.focal_losses import negative_focal_loss

triton = pytest.importorskip("triton", reason="Triton comes with PyTorch for CUDA alone")
PROGRAM = Path(__file__).with_name("interpreted_kernels.py")


def test_they_compute_what_the_operators_do():
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, PROGRAM], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("all equal\n")


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["sum_kernel", "gradient_kernel"])
def test_they_compile_for_a_gpu(name, weighted):
    from onenet.criterion import focal_kernels
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    kernel = getattr(focal_kernels, name)
    floats, static = {"alpha", "gamma"}, {"WEIGHTED": weighted, "BLOCK": 4096}
    tensors = {"logits", "weight", "sums", "factor", "gradient"}
    kinds = {
        x: "*fp32" if x in tensors else "fp32" if x in floats else "i32" for x in kernel.arg_names
    }
    signature = {x: "constexpr" if x in static else kind for x, kind in kinds.items()}
    source = ASTSource(kernel, signature, static)
    compiled = triton.compile(source, target=GPUTarget("cuda", 80, 32))
    assert ".entry" in compiled.asm["ptx"]


def test_only_a_gpu_gets_them(monkeypatch):
    monkeypatch.setattr(focal_losses, "_fused", pytest.fail)
    negative_focal_loss(torch.zeros(1, 2, 3))
