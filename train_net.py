"""Train and evaluate OneNet: the flags are those of Detectron2's own train_net.py."""

from argparse import Namespace

import onenet  # noqa: F401  (makes an old Detectron2 importable)

# isort: split
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode
from detectron2.engine import default_argument_parser, launch
from detectron2.evaluation import verify_results
from detectron2.utils import comm
from onenet.engine import Trainer, setup_cfg, setup_run


def main(cfg: CfgNode, args: Namespace) -> dict:
    """Run one of the processes."""
    setup_run(cfg, args)
    if not args.eval_only:
        trainer = Trainer(cfg)
        trainer.resume_or_load(resume=args.resume)
        return trainer.train()
    model = Trainer.build_model(cfg)
    checkpointer = DetectionCheckpointer(model, save_dir=cfg.OUTPUT_DIR)
    checkpointer.resume_or_load(cfg.MODEL.WEIGHTS, resume=args.resume)
    results = Trainer.test(cfg, model)
    if comm.is_main_process():
        verify_results(cfg, results)
    return results


if __name__ == "__main__":
    args = default_argument_parser().parse_args()
    cfg = setup_cfg(args.config_file, args.opts)
    launch(
        main,
        args.num_gpus,
        num_machines=args.num_machines,
        machine_rank=args.machine_rank,
        dist_url=args.dist_url,
        args=(cfg, args),
    )
