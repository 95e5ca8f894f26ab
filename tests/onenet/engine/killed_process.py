"""What test_distributed.py runs: of two processes one is killed while the other waits for it."""

import os
import signal

import onenet  # noqa: F401  (makes older Detectron2 versions importable)

# isort: split
import torch.distributed as dist
from detectron2.engine import default_argument_parser
from detectron2.utils import comm
from onenet.engine import launch, setup_cfg


def main(cfg, args):
    print(f"rank {comm.get_rank()} of {comm.get_world_size()}, {dist.get_backend()}", flush=True)
    comm.synchronize()
    if comm.get_rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    comm.synchronize()


if __name__ == "__main__":
    cfg = setup_cfg(opts=["MODEL.DEVICE", "cpu"])
    launch(main, cfg, default_argument_parser().parse_args(["--num-gpus", "2"]))
