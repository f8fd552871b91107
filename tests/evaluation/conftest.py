"""A measurement that nobody made: records with known differences, and pictures to go with them."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from espcn_core.evaluation.records import About, Example, Record

LEVEL = {"nearest": -2.0, "bicubic": 0.0, "bspline": 0.2, "espcn-r-x4": 3.0, "espcn-x4": 1.0}
DEGRADATION = {"bicubic": 0.0, "area": -0.3, "bicubic+rician2": -1.5, "point": -6.0}
REGION = {"image": 0.0, "head": -4.0, "tumor": -5.0, "ring": -4.5}
PATIENTS, SLICES = 9, 3


def _about() -> About:
    cards = {
        name: {
            "name": name,
            "degradation": "bicubic",
            "training": {"data": "figshare", "held_out_fold": 5, "patients": 170, "slices": 2092},
        }
        for name in ("espcn-r-x4", "espcn-x4")
    }
    return About(
        data="figshare brain tumor dataset",
        kind="figshare",
        fold=5,
        slices=PATIENTS * SLICES,
        patients=PATIENTS,
        scale=4,
        shrink=1,
        degradations=tuple(DEGRADATION),
        methods=tuple(LEVEL),
        peak="range of the true slice",
        shifts={name: (0.001, -0.002) for name in LEVEL},
        cards=cards,
        command="espcn-core evaluate --data DATA --models espcn-r-x4,espcn-x4 --fold 5 --out REPORT",
        version="0.1.0",
    )


def _records(about: About) -> list[Record]:
    random = np.random.default_rng(4)
    hard = random.normal(33, 2, PATIENTS)
    records = []
    for patient in range(PATIENTS):
        for number in range(SLICES):
            for region, lower in REGION.items():
                # The first patient has no tumor.
                if patient == 0 and region in ("tumor", "ring"):
                    continue
                for degradation, harm in DEGRADATION.items():
                    for method, level in LEVEL.items():
                        learned = harm if method in about.cards else 0.0
                        psnr = hard[patient] + lower + level + learned + random.normal(0, 0.3)
                        whole = region == "image"
                        records.append(
                            Record(
                                case=str(patient * 50 + number + 1),
                                patient=f"P{patient:05}",
                                degradation=degradation,
                                method=method,
                                region=region,
                                pixels=1000,
                                psnr=psnr,
                                ssim=1 - 10 ** (-psnr / 28),
                                mse=10 ** (9 - psnr / 10),
                                rmse=10 ** (4.5 - psnr / 20),
                                hfen=10 ** (-psnr / 60) if whole else math.nan,
                                checkerboard=1e-3 + 1e-5 * level if whole else math.nan,
                                drift=random.normal(0, 1e-4) if whole else math.nan,
                                consistency=50 + level if whole else math.nan,
                                truth_checkerboard=1.1e-3 if whole else math.nan,
                            )
                        )
    return records


def _example(case: str, patient: str, tumor: bool) -> Example:
    """A bright disc in a darker one, in air."""
    y, x = np.mgrid[:128, :112] + 0.5
    head = np.hypot(y - 64, x - 56) < 48
    inside = np.hypot(y - 70, x - 60) < 12
    truth = 400.0 * head + 500.0 * inside + 20 * np.sin(x / 2) * head
    coarse = truth.reshape(32, 4, 28, 4).mean((1, 3))
    rough = coarse.repeat(4, 0).repeat(4, 1)
    images = {name: truth + (rough - truth) * (1 - level / 4) for name, level in LEVEL.items()}
    regions = {"image": np.ones_like(head), "head": head}
    if tumor:
        regions |= {"tumor": inside, "ring": (np.hypot(y - 70, x - 60) < 20) & ~inside}
    return Example(case, patient, truth, coarse, images, regions)


@pytest.fixture(scope="session")
def about() -> About:
    return _about()


@pytest.fixture(scope="session")
def records(about) -> list[Record]:
    """Nine patients of three slices; gains over bicubic as in `LEVEL`, give or take 0.3 dB by slice."""
    return _records(about)


@pytest.fixture(scope="session")
def plain(about, records) -> tuple[About, list[Record]]:
    """The same without models, tumors and other degradations: what a folder of volumes can give."""
    methods = tuple(name for name in about.methods if name not in about.cards)
    regions = "image", "head"
    few = [r for r in records if r.degradation == "bicubic" and r.method in methods and r.region in regions]
    return dataclasses.replace(
        about, kind="volumes", fold=None, degradations=("bicubic",), methods=methods, cards={}
    ), few


@pytest.fixture(scope="session")
def volumes(about, records) -> tuple[About, list[Record]]:
    """The same of volumes that hold no tumor, with one model."""
    methods = "espcn-r-x4", "nearest", "bicubic", "bspline"
    few = [
        dataclasses.replace(r, case=f"{r.patient} {r.case}")
        for r in records
        if r.degradation == "bicubic" and r.method in methods and r.region in ("image", "head")
    ]
    names = sorted({r.patient for r in few})
    return dataclasses.replace(
        about,
        kind="volumes",
        fold=None,
        degradations=("bicubic",),
        methods=methods,
        cards={"espcn-r-x4": about.cards["espcn-r-x4"]},
        volumes={name: "axial, 1 x 1 mm" for name in names},
    ), few


@pytest.fixture(scope="session")
def make_example():
    return _example
