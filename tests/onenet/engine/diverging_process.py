"""What test_distributed.py runs: ``... CONFIG``; the second of two processes gets a loss of NaN."""

import sys

import onenet  # noqa: F401  (makes older Detectron2 versions importable)

# isort: split
from assigners import add_assigners_config
from detectron2.engine import HookBase, default_argument_parser
from detectron2.utils import comm
from onenet.engine import Trainer, launch, setup_cfg, setup_run


class Spoil(HookBase):
    def before_step(self):
        if comm.get_rank() == 1 and self.trainer.iter == 1:
            next(self.trainer.model.parameters()).data.fill_(float("nan"))


def main(cfg, args):
    setup_run(cfg, args)
    trainer = Trainer(cfg)
    trainer.register_hooks([Spoil()])
    trainer.train()


if __name__ == "__main__":
    cfg = setup_cfg(sys.argv[1], add_configs=[add_assigners_config])
    launch(main, cfg, default_argument_parser().parse_args(["--num-gpus", "2"]))
