#!/usr/bin/env python
"""Put an exported model and a page that runs it in the browser into one folder of static files.

npm install --prefix demo/web
tools/build_web_demo.py --model model.onnx --output site
python -m http.server --directory site

The page's copy of the model keeps its weights in half precision. See docs/deployment.md.
"""

from __future__ import annotations

import argparse
import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import onenet  # noqa: F401  (makes an old Detectron2 importable)

# isort: split
from onenet.engine import exit_on_user_error
from onenet.engine.arguments import program_parser
from onenet.errors import UserError
from onenet.export.half_weights import halve_weights
from onenet.export.onnx_file import check_installed
from onenet.export.sample_images import digit_scenes
from onenet.predict import OnnxPredictor, read_image

PAGE = Path(__file__).resolve().parents[1] / "demo" / "web"
SOURCES = ("index.html", "app.js", "detector.js", "model_card.js", "preprocess.js")
RUNTIME = PAGE / "node_modules" / "onnxruntime-web" / "dist"
MODULES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs")  # the former loads the latter
BINARY = "ort-wasm-simd-threaded.wasm"
MAX_BYTES = 10_000_000  # of all files, as they travel


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = program_parser(__doc__)
    parser.add_argument("--model", required=True, metavar="FILE", help="of tools/export_onnx.py")
    parser.add_argument("--output", required=True, metavar="FOLDER", type=Path)
    parser.add_argument("--image", metavar="FILE", help="the sample, default: a scene of digits")
    return parser.parse_args(argv)


def collect(model: str, image: str | None, runtime: Path) -> dict[str, bytes]:
    """The files of the site by name.

    Raises:
        UserError: the runtime is not installed, or the model or the image cannot be used.
    """
    if not (runtime / BINARY).is_file():
        raise UserError(f"there is no {runtime / BINARY}: npm install --prefix demo/web")
    check_installed()
    import onnx

    OnnxPredictor(model)  # says what is wrong with it
    halved = onnx.load(model)
    halve_weights(halved)
    sample = read_image(image) if image else digit_scenes()[0]
    return {
        **{name: (PAGE / name).read_bytes() for name in SOURCES},
        **{name: (runtime / name).read_bytes() for name in MODULES},
        f"{BINARY}.gz": compress((runtime / BINARY).read_bytes()),
        "model.onnx.gz": compress(halved.SerializeToString()),
        "sample.png": cv2.imencode(".png", sample)[1].tobytes(),
    }


def compress(data: bytes) -> bytes:
    """As gzip, the same at all times."""
    return gzip.compress(data, mtime=0)


def check_size(files: Mapping[str, bytes]) -> None:
    """Raise a UserError if the site is too large to be loaded as a page."""
    total = sum(map(len, files.values()))
    if total > MAX_BYTES:
        name = max(files, key=lambda name: len(files[name]))
        raise UserError(
            f"the site would have {total / 1e6:.1f} MB of at most {MAX_BYTES / 1e6:.0f}, "
            f"{len(files[name]) / 1e6:.1f} of them {name}: take a smaller backbone or quantise it"
        )


def main(argv: Sequence[str] | None = None, runtime: Path = RUNTIME) -> None:
    """Write the site."""
    args = parse_args(argv)
    files = collect(args.model, args.image, runtime)
    check_size(files)
    args.output.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (args.output / name).write_bytes(content)
    total = sum(map(len, files.values())) / 1e6
    print(f"{args.output}: {total:.1f} MB; python -m http.server --directory {args.output}")


if __name__ == "__main__":
    with exit_on_user_error():
        main()
