"""What the host of a GPU would wait for, counted on a CPU."""

from torch.overrides import TorchFunctionMode
from torch.profiler import ProfilerActivity, profile

OPERATORS = {
    "aten::_local_scalar_dense",  # .item(), if tensor:, int(tensor)
    "aten::nonzero",  # indexing with a mask
    "aten::masked_select",
    "aten::repeat_interleave",
    "aten::bincount",
    "aten::equal",
    "aten::_unique2",
    "aten::unique_dim",
    "aten::unique_consecutive",
}
CALLS = {"cpu", "tolist"}
# Its kernel for CPUs reads the number of the step, which the one for GPUs gets as a tensor.
ONLY_ON_A_CPU = {"aten::_fused_adamw_"}


class Fetches(TorchFunctionMode):
    """Collects the calls that bring a tensor to the host."""

    def __init__(self):
        self.names = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if name in CALLS:
            self.names.append(name)
        return func(*args, **(kwargs or {}))


def waits(function):
    """Run a function and tell what the host would wait for.

    Seen are operators whose results the host reads, or whose shapes depend on values, also where a
    backward formula calls them (PyTorch hides those from a ``TorchDispatchMode``), and calls that
    fetch a tensor. A copy to another device is no copy here: it fails on ``device="meta"``.

    Returns:
        Their names, one for each time.
    """
    with Fetches() as fetches, profile(activities=[ProfilerActivity.CPU]) as profiler:
        function()
    events = [e for e in profiler.events() if e.name in OPERATORS]
    return fetches.names + [e.name for e in events if not ONLY_ON_A_CPU & set(callers(e))]


def callers(event):
    """Names of the operators within which one was called."""
    while event.cpu_parent is not None:
        event = event.cpu_parent
        yield event.name
