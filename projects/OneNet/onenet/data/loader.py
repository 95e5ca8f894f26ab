"""Loaders over checked annotations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetFromList, MetadataCatalog, build_detection_test_loader
from detectron2.data.build import (
    filter_images_with_only_crowd_annotations,
    print_instances_class_histogram,
    trivial_batch_collator,
)
from detectron2.data.samplers import RepeatFactorTrainingSampler, TrainingSampler
from detectron2.utils import comm
from torch.utils.data import DataLoader, Dataset, Sampler

from ..errors import ConfigError, UserError, choose
from .augmentation import check_augmentation
from .classes import check_labels
from .mapper import OneNetDatasetMapper
from .records import load_records
from .sampler import SeededDataset, TrainingBatches

SAMPLERS = ("TrainingSampler", "RepeatFactorTrainingSampler")


class TrainLoader:
    """Training batches without end, each of them a function of the seed and its iteration.

    Iterating costs nothing before the first batch is asked for: the worker processes start then.

    Args:
        dataset: gives an image.
        batches: says which.
        num_workers: processes that read images.
        pin_memory: whether a GPU takes the images, which can then be copied while it computes.
    """

    def __init__(
        self,
        dataset: Dataset,
        batches: TrainingBatches,
        num_workers: int,
        pin_memory: bool = False,
    ):
        self.dataset = dataset
        self.batches = batches
        self.num_workers = num_workers
        self.pin_memory = pin_memory

    def start_at(self, iteration: int) -> None:
        """Let whoever iterates from now on begin with the batch of this iteration."""
        self.batches.start = iteration

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        yield from DataLoader(
            self.dataset,
            batch_sampler=self.batches,
            num_workers=self.num_workers,
            collate_fn=trivial_batch_collator,
            pin_memory=self.pin_memory,
        )


def build_train_loader(cfg: CfgNode) -> TrainLoader:
    """Build what gives a process its training batches, with checked annotations.

    Images and their order are those of Detectron2's training loader. Unlike there, which of them
    share a batch is decided before they are read, and what augmentation makes of one depends only
    on ``SEED`` and its place in the order; so a run can go on from any iteration. Where
    ``SEED`` is negative, each call draws a new seed.

    Raises:
        UserError: see :func:`load_train_dicts`.
        ConfigError: there is no such ``DATALOADER.SAMPLER_TRAIN``.
    """
    records = load_train_dicts(cfg)
    seed = cfg.SEED if cfg.SEED >= 0 else comm.shared_random_seed()
    one_group = [0] * len(records)
    batches = TrainingBatches(
        build_sampler(cfg, records, seed),
        cfg.SOLVER.IMS_PER_BATCH // comm.get_world_size(),
        group_by_aspect(records) if cfg.DATALOADER.ASPECT_RATIO_GROUPING else one_group,
    )
    dataset = SeededDataset(DatasetFromList(records, copy=False), build_train_mappers(cfg), seed)
    on_gpu = cfg.MODEL.DEVICE.startswith("cuda")
    return TrainLoader(dataset, batches, cfg.DATALOADER.NUM_WORKERS, pin_memory=on_gpu)


def build_train_mappers(cfg: CfgNode) -> list[OneNetDatasetMapper]:
    """Build the training mapper, or with ``INPUT.ONE_SIZE_PER_BATCH`` one for each size."""
    regions = cfg.MODEL.OneNet.IGNORE_REGIONS
    sizes = [cfg.INPUT.MIN_SIZE_TRAIN]
    if cfg.INPUT.ONE_SIZE_PER_BATCH:
        sizes = [(size,) for size in cfg.INPUT.MIN_SIZE_TRAIN]
    mappers = []
    for size in sizes:
        cfg = cfg.clone()
        cfg.defrost()
        cfg.INPUT.MIN_SIZE_TRAIN = size
        mappers.append(OneNetDatasetMapper(cfg, is_train=True, ignore_regions=regions))
    return mappers


def check_loader(cfg: CfgNode) -> None:
    """Check the keys for the order and the sizes of training images.

    Raises:
        ConfigError: there is no such ``DATALOADER.SAMPLER_TRAIN``, one size for each batch is
            asked for, of a range instead of a list, or see
            :func:`~onenet.data.augmentation.check_augmentation`.
    """
    choose("DATALOADER.SAMPLER_TRAIN", cfg.DATALOADER.SAMPLER_TRAIN, SAMPLERS)
    check_augmentation(cfg)
    sampling = cfg.INPUT.MIN_SIZE_TRAIN_SAMPLING
    if cfg.INPUT.ONE_SIZE_PER_BATCH and sampling != "choice":
        raise ConfigError(
            "INPUT.ONE_SIZE_PER_BATCH draws from the list INPUT.MIN_SIZE_TRAIN, but "
            f'INPUT.MIN_SIZE_TRAIN_SAMPLING is "{sampling}" (use "choice")'
        )


def group_by_aspect(records: list[dict[str, Any]]) -> list[int]:
    """Number the groups that should share batches, for less padding: 1 = wider than tall, else 0.

    Where the annotations do not tell an image's size, it is 0.
    """
    return [int(record.get("width", 0) > record.get("height", 0)) for record in records]


def build_sampler(cfg: CfgNode, records: list[dict[str, Any]], seed: int) -> Sampler:
    """Build the one of Detectron2's samplers that ``DATALOADER.SAMPLER_TRAIN`` names, seeded.

    Raises:
        ConfigError: there is none of that name.
    """
    check_loader(cfg)
    if cfg.DATALOADER.SAMPLER_TRAIN == "TrainingSampler":
        return TrainingSampler(len(records), seed=seed)
    factors = RepeatFactorTrainingSampler.repeat_factors_from_category_frequency(
        records, cfg.DATALOADER.REPEAT_THRESHOLD
    )
    if not cfg.DATALOADER.get("REPEAT_SQRT", True):  # a key of main; the factors are square roots
        factors = factors**2
    return RepeatFactorTrainingSampler(factors, seed=seed)


def build_test_loader(cfg: CfgNode, dataset_name: str) -> DataLoader:
    """Detectron2's test loader with this project's mapper, which names an image it cannot use.

    With ``TEST.TILE`` it gives the records alone: the images are read by who cuts them into tiles.

    Raises:
        ConfigError, UserError: see :func:`~onenet.data.load_records`.
    """
    return build_detection_test_loader(
        load_records(dataset_name),
        mapper=dict if cfg.TEST.get("TILE") else OneNetDatasetMapper(cfg, is_train=False),
        num_workers=cfg.DATALOADER.NUM_WORKERS,
    )


def load_train_dicts(cfg: CfgNode) -> list[dict[str, Any]]:
    """Read the datasets of ``DATASETS.TRAIN``.

    Raises:
        ConfigError, UserError: see :func:`~onenet.data.load_records`,
            :func:`select_train_dicts`.
    """
    names = cfg.DATASETS.TRAIN
    records = select_train_dicts(cfg, {name: load_records(name) for name in names})
    num_classes = cfg.MODEL.OneNet.NUM_CLASSES
    classes = MetadataCatalog.get(names[0]).get("thing_classes", map(str, range(num_classes)))
    print_instances_class_histogram(records, list(classes))
    return records


def select_train_dicts(
    cfg: CfgNode, datasets: Mapping[str, list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """The images of the datasets that are trained on: those with objects, where this is asked for.

    Args:
        cfg: reads ``DATALOADER.FILTER_EMPTY_ANNOTATIONS`` and ``MODEL.OneNet.NUM_CLASSES``.
        datasets: records by the name of the dataset, as ``load_records`` has them.

    Raises:
        UserError: there is nothing to learn, or something that the model has no class for.
    """
    for name, records in datasets.items():
        check_labels(records, name, cfg.MODEL.OneNet.NUM_CLASSES)
    records = list(chain.from_iterable(datasets.values()))
    annotations = [one for record in records for one in record["annotations"]]
    if all(one.get("iscrowd") for one in annotations):
        raise UserError(
            f"DATASETS.TRAIN {tuple(datasets)} has no image with a box to train on: "
            f'{len(records)} images, {len(annotations)} boxes, all of them "iscrowd"; '
            "boxes without area do not count"
        )
    if cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS:
        records = filter_images_with_only_crowd_annotations(records)
    return records
