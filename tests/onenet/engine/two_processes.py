"""What test_distributed.py runs under torchrun: ``... FOLDER``.

Trains every config in FOLDER/configs and evaluates a pretended detector. Each process saves what it
has seen to FOLDER/process<rank>.pt. Then a process dies in another training.
"""

import sys
from pathlib import Path

import onenet  # noqa: F401  (makes older Detectron2 versions importable)

# isort: split
import torch
from assigners import add_assigners_config
from detectron2.data import DatasetCatalog
from detectron2.engine import HookBase, default_argument_parser
from detectron2.structures import Boxes, Instances
from detectron2.utils import comm
from onenet.engine import Trainer, launch, setup_cfg, setup_run

from .first_step import first_step


class Oracle(torch.nn.Module):
    """Detects the ground truths of an image, some better than others."""

    def __init__(self, dataset):
        super().__init__()
        self.records = {record["image_id"]: record for record in DatasetCatalog.get(dataset)}

    def forward(self, inputs):
        return [{"instances": self.detect(self.records[image["image_id"]])} for image in inputs]

    def detect(self, record):
        generator = torch.Generator().manual_seed(record["image_id"])
        objects = record["annotations"]
        boxes = torch.tensor([x["bbox"] for x in objects], dtype=torch.float32)
        boxes[:, 2:] += boxes[:, :2]
        return Instances(
            (record["height"], record["width"]),
            pred_boxes=Boxes(boxes + 4 * torch.rand(boxes.shape, generator=generator)),
            scores=torch.rand(len(objects), generator=generator),
            pred_classes=torch.tensor([x["category_id"] for x in objects]),
        )


class Die(HookBase):
    def before_step(self):
        # In the last iteration Detectron2 would still evaluate, together with the other process.
        if comm.get_rank() == 1 and self.trainer.iter + 1 == self.trainer.max_iter:
            raise RuntimeError("process 1 has had enough")


def read_configs(folder):
    return {
        path.stem: setup_cfg(path, add_configs=[add_assigners_config])
        for path in sorted((folder / "configs").iterdir())
    }


def evaluate(cfg):
    return Trainer.test(cfg, Oracle(cfg.DATASETS.TEST[0]))


def main(cfg, args):
    folder = Path(args.opts[0])
    seen = {}
    for name, config in read_configs(folder).items():
        setup_run(config, args)
        seen[name] = tuple(first_step(config))
    seen["evaluation"] = evaluate(cfg)
    torch.save(seen, folder / f"process{comm.get_rank()}.pt")
    cfg = cfg.clone()
    cfg.defrost()
    cfg.OUTPUT_DIR = str(folder / "dies")
    setup_run(cfg, args)
    trainer = Trainer(cfg)
    trainer.register_hooks([Die()])
    trainer.train()


if __name__ == "__main__":
    args = default_argument_parser().parse_args([])
    args.opts = sys.argv[1:]
    launch(main, read_configs(Path(args.opts[0]))["mincost"], args)
