from setuptools import find_packages, setup

PROJECTS = {"onenet": "projects/OneNet/onenet", "assigners": "projects/Assigners/assigners"}


def packages():
    for name, folder in PROJECTS.items():
        yield name
        yield from (f"{name}.{sub}" for sub in find_packages(folder))


setup(
    name="onenet-detectron2",
    version="0.1.0",
    description="OneNet: one-to-one object detection without NMS, as a Detectron2 extension",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=list(packages()),
    package_dir=PROJECTS,
)
