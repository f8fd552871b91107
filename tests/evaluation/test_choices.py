from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from espcn_core.errors import DataError, RequestError, WeightsError
from espcn_core.evaluation.cases import FigshareCases, VolumeCases
from espcn_core.evaluation.choices import choose, choose_degradations
from espcn_core.evaluation.methods import BASELINES
from espcn_core.figshare import split
from espcn_core.models.cards import Card
from espcn_core.models.registry import build
from espcn_core.models.trained import save_model


@pytest.fixture
def model(tmp_path):
    """Writes untrained weights with a card that says what is asked for."""

    def make(name="ours", factor=(2, 2), shrink=1, **training):
        training = {"held_out_fold": 5, "folds_from": "cvind", "config": {"shrink": shrink}, **training}
        card = Card(name, "espcn-r", factor, "bicubic", {"width": 8, "depth": 1}, training)
        return str(save_model(build("espcn-r", factor, width=8, depth=1), card, tmp_path))

    return make


@pytest.fixture
def volume(tmp_path):
    folder = tmp_path / "volumes" / "sub"
    folder.mkdir(parents=True)
    image = nib.Nifti1Image(np.random.default_rng(0).uniform(0, 1, (18, 20, 8)).astype(np.float32), np.eye(4))
    nib.save(image, folder / "head.nii.gz")
    return folder.parent


def test_the_fold_is_the_one_that_the_models_have_not_seen(figshare_dir, model):
    wanted = choose(figshare_dir, [model(), "nearest"])
    assert (wanted.fold, wanted.scale, wanted.degradations) == (5, 2, ("bicubic",))
    assert isinstance(wanted.cases, FigshareCases)
    assert wanted.cases.indices == split(wanted.cases.source, 5).validation
    assert wanted.methods[-1] == "bicubic", "gains are measured against it"
    other = choose(figshare_dir, [model("other", held_out_fold=4)])
    assert other.cases.indices == split(other.cases.source, 4).validation


def test_a_fold_that_a_model_has_seen_is_refused(figshare_dir, model):
    ours, other = model(), model("other", held_out_fold=4)
    with pytest.raises(RequestError, match=r"ours was trained on the slices of fold 4"):
        choose(figshare_dir, [ours], fold=4)
    with pytest.raises(RequestError, match=r"different held-out folds \(ours 5, other 4\)"):
        choose(figshare_dir, [ours, other])
    with pytest.raises(RequestError, match=r"was trained on the slices of fold 5"):
        choose(figshare_dir, [ours, other], fold=5)
    unknown = model("unknown", held_out_fold=None)
    with pytest.raises(RequestError, match="card of unknown names no held-out fold"):
        choose(figshare_dir, [unknown])
    assert choose(figshare_dir, [unknown], fold=3).fold == 3
    with pytest.raises(DataError, match=r"come from PID and those of .* from cvind"):
        choose(figshare_dir, [model("dealt", folds_from="PID")])


def test_baselines_have_seen_nothing(figshare_dir):
    every = choose(figshare_dir, list(BASELINES), scale=4)
    assert (every.fold, len(every.cases)) == (None, 12)
    assert choose(figshare_dir, ["bicubic"], scale=4, fold=3).fold == 3
    assert len(choose(figshare_dir, ["bicubic"], scale=4, limit=5).cases) == 5
    with pytest.raises(RequestError, match="give --scale"):
        choose(figshare_dir, ["bicubic"])


def test_models_of_one_scale_and_size_are_compared(figshare_dir, model):
    ours, halved = model(), model("halved", shrink=2)
    assert choose(figshare_dir, [halved]).cases.shrink == 2
    assert choose(figshare_dir, [ours, halved], shrink=3).cases.shrink == 3
    with pytest.raises(RequestError, match=r"ours 1, halved 2\): give --shrink"):
        choose(figshare_dir, [ours, halved])
    with pytest.raises(RequestError, match="ours has scale 2 and triple 3"):
        choose(figshare_dir, [ours, model("triple", (3, 3))])
    with pytest.raises(RequestError, match="ours has scale 2, not 4"):
        choose(figshare_dir, [ours], scale=4)
    with pytest.raises(RequestError, match="uneven has scale 2x3"):
        choose(figshare_dir, [model("uneven", (2, 3))])


def test_a_folder_of_volumes(volume, model):
    wanted = choose(volume, [model(shrink=2, held_out_fold=1)], limit=3)
    assert isinstance(wanted.cases, VolumeCases)
    assert (wanted.fold, wanted.cases.shrink, wanted.cases.names) == (None, 1, ("sub/head",))
    assert len(wanted.cases.read(0).cases) == 3
    assert choose(volume / "sub" / "head.nii.gz", ["bicubic"], scale=2).cases.names == ("head",)
    with pytest.raises(RequestError, match="--fold is one of the figshare"):
        choose(volume, ["bicubic"], scale=2, fold=1)


def test_what_does_not_fit_the_data_is_refused(figshare_dir, tmp_path, volume):
    with pytest.raises(RequestError, match="--plane coronal is for volumes"):
        choose(figshare_dir, ["bicubic"], scale=2, plane="coronal")
    with pytest.raises(DataError, match="is not there"):
        choose(tmp_path / "nowhere", ["bicubic"], scale=2)
    (volume / "sub" / "head.nii").write_bytes(b"")
    with pytest.raises(RequestError, match="two volumes called sub/head"):
        choose(volume, ["bicubic"], scale=2)


def test_degradations():
    assert choose_degradations(["area", "kspace+rician2"]) == ("area", "kspace+rician2")
    every = choose_degradations(["all"])
    assert (len(every), every[0], every[-1]) == (9, "bicubic", "point")
    with pytest.raises(RequestError, match=r"'bicubic\+rician5'.*bicubic\+rician2"):
        choose_degradations(["bicubic+rician5"])
    with pytest.raises(RequestError, match="area is asked for twice"):
        choose_degradations(["all", "area"])


def test_patients_that_a_model_has_seen_in_another_copys_folds_are_left_out(figshare_dir, model):
    wanted = choose(figshare_dir, [model(trained_slices="1-100")])
    assert wanted.cases.indices == (2001, 2002, 2003)
    with pytest.raises(DataError, match="trained on slices of every patient in fold 5"):
        choose(figshare_dir, [model(trained_slices="2000-2001, 7")])
    with pytest.raises(WeightsError, match="does not list its trained_slices"):
        choose(figshare_dir, [model(trained_slices="many")])
