"""Write a checkpoint that needs no training, for any config: the weights of formula.py.

python -m tests.write_weights configs/onenet_R50.yaml weights.pth
"""

import argparse

from .formula import make_weights  # before Detectron2, which it makes importable

# isort: split
import torch
from assigners import add_assigners_config
from detectron2.modeling import build_model
from onenet.engine import exit_on_user_error, setup_cfg


def main() -> None:
    """Read the command line and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config_file")
    parser.add_argument("output")
    args = parser.parse_args()
    model = build_model(setup_cfg(args.config_file, add_configs=[add_assigners_config]))
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    torch.save({"model": make_weights(shapes)}, args.output)


if __name__ == "__main__":
    with exit_on_user_error():
        main()
