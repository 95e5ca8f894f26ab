"""Train and evaluate detectors; the flags are those of Detectron2's own train_net.py.

python train_net.py --config-file configs/onenet_R50.yaml --num-gpus 8
torchrun --nproc-per-node 8 train_net.py --config-file configs/onenet_R50.yaml
python train_net.py --config-file configs/onenet_R50.yaml --eval-only MODEL.WEIGHTS model.pth
"""

import os
from argparse import ArgumentParser, Namespace
from typing import Any

import onenet  # noqa: F401  (makes older Detectron2 versions importable)

# isort: split
from assigners import add_assigners_config
from detectron2.config import CfgNode
from detectron2.engine import default_argument_parser
from detectron2.evaluation import verify_results
from detectron2.utils import comm
from onenet.data import told_names
from onenet.engine import (
    Checkpointer,
    Trainer,
    check_run,
    count_processes,
    exit_on_user_error,
    launch,
    setup_cfg,
    setup_run,
)
from onenet.paths import expand_home


def argument_parser() -> ArgumentParser:
    """Detectron2's flags and two more."""
    parser = default_argument_parser()
    parser.add_argument(
        "--allow-partial", action="store_true", help="load what fits of weights of another model"
    )
    parser.add_argument(
        "--unsafe-load",
        metavar="FILE",
        type=os.path.expanduser,
        help="load these weights even if they can run code",
    )
    return parser


def main(cfg: CfgNode, args: Namespace) -> dict[str, Any] | None:
    """Train, or evaluate, in one of perhaps several processes."""
    setup_run(cfg, args, packages=["assigners"])
    if args.eval_only:
        return evaluate(cfg, args)
    trainer = Trainer(cfg)
    trainer.checkpointer.allow_partial = args.allow_partial
    trainer.checkpointer.unsafe_load = args.unsafe_load
    trainer.resume_or_load(resume=args.resume)
    return trainer.train()


def evaluate(cfg: CfgNode, args: Namespace) -> dict[str, Any]:
    """Evaluate the weights of the config, or with ``--resume`` the last ones of the run."""
    model = Trainer.build_model(cfg)
    checkpointer = Checkpointer(
        model,
        cfg.OUTPUT_DIR,
        allow_partial=args.allow_partial,
        unsafe_load=args.unsafe_load,
        need_detector=True,
        class_names=told_names(cfg.DATASETS.TEST, cfg.MODEL.OneNet.NUM_CLASSES),
    )
    checkpointer.resume_or_load(cfg.MODEL.WEIGHTS, resume=args.resume)
    results = Trainer.test(cfg, model)
    if comm.is_main_process():
        verify_results(cfg, results)
    return results


if __name__ == "__main__":
    with exit_on_user_error():
        args = argument_parser().parse_args()
        args.config_file = expand_home(args.config_file, "--config-file")
        cfg = setup_cfg(args.config_file, args.opts, add_configs=[add_assigners_config])
        check_run(
            cfg,
            num_processes=count_processes(cfg, args),
            eval_only=args.eval_only,
            resume=args.resume,
            allow_partial=args.allow_partial,
            unsafe_load=args.unsafe_load,
        )
        launch(main, cfg, args)
