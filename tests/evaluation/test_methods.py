"""All methods keep the field of view: what is aligned before is aligned after."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import torch

from espcn_core.degradation import degrade
from espcn_core.errors import RequestError
from espcn_core.evaluation.methods import BASELINES, Network, find_methods
from espcn_core.models.cards import Card
from espcn_core.models.registry import build
from espcn_core.models.trained import save_model
from espcn_core.upscaling.engines import Engines

methods = pytest.mark.parametrize("method", BASELINES)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """Weights whose residual is zero."""
    card = Card("untrained", "espcn-r", (3, 3), "bicubic", {"width": 8, "depth": 1})
    return str(save_model(build("espcn-r", (3, 3), width=8, depth=1), card, tmp_path_factory.mktemp("model")))


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(4).normal(size=shape)


@methods
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_flips_and_quarter_turns_commute(method, factor):
    image = noise(14, 9, 2)
    upscale = BASELINES[method]
    fine = upscale(image, factor)
    assert fine.shape == (14 * factor, 9 * factor, 2)
    np.testing.assert_allclose(upscale(np.rot90(image), factor), np.rot90(fine), atol=1e-9)
    np.testing.assert_allclose(upscale(image[::-1], factor), fine[::-1], atol=1e-9)


@methods
def test_slices_do_not_touch_each_other_and_the_type_stays(method):
    image = noise(12, 10, 3).astype(np.float32)
    fine = BASELINES[method](image, 2)
    assert fine.dtype == np.float32
    np.testing.assert_allclose(fine[:, :, [1]], BASELINES[method](image[:, :, [1]], 2), atol=1e-6)


@pytest.mark.parametrize(("method", "tolerance"), [("linear", 1e-12), ("bicubic", 0.05), ("bspline", 1e-6)])
def test_a_ramp_stays_the_same_ramp(method, tolerance):
    """Fine pixel j lies at (j + 1/2) / r. Cubic convolution with a = -0.75 is not quite straight."""
    coarse = np.broadcast_to((np.arange(40.0) + 0.5)[:, None, None], (40, 8, 1))
    fine = BASELINES[method](np.array(coarse), 4)
    expected = (np.arange(160) + 0.5) / 4
    np.testing.assert_allclose(fine[60:-60, 16, 0], expected[60:-60], atol=tolerance)


@methods
def test_the_mean_of_a_flat_image_stays(method):
    """A windowed sinc does not quite sum to one."""
    fine = BASELINES[method](np.full((12, 12, 1), 5.0), 4)
    np.testing.assert_allclose(fine, 5, rtol=1e-2 if method == "lanczos" else 1e-12)


@pytest.mark.parametrize(
    ("method", "interpolator"), [("lanczos", sitk.sitkLanczosWindowedSinc), ("bspline", sitk.sitkBSpline)]
)
@pytest.mark.parametrize("factor", [2, 3])
def test_weights_along_each_axis_are_what_simpleitk_does(method, interpolator, factor):
    image = noise(15, 12)
    resample = sitk.ResampleImageFilter()
    resample.SetInterpolator(interpolator)
    resample.SetSize((12 * factor, 15 * factor))
    resample.SetOutputSpacing((1 / factor, 1 / factor))
    resample.SetOutputOrigin((-(factor - 1) / (2 * factor),) * 2)
    expected = sitk.GetArrayFromImage(resample.Execute(sitk.GetImageFromArray(image)))
    np.testing.assert_allclose(BASELINES[method](image[:, :, None], factor)[:, :, 0], expected, atol=1e-8)


@pytest.mark.parametrize("shape", [(15, 9), (8, 12), (7, 10)])
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_zero_filling_undoes_the_kspace_degradation(shape, factor):
    """What the coarse grid can hold comes back exactly, and stays through both."""
    spectrum = np.fft.fft2(noise(*shape))
    for axis, n in enumerate(shape):
        if n % 2 == 0:  # the Nyquist frequency has no phase of its own
            np.moveaxis(spectrum, axis, 0)[n // 2] = 0
    coarse = np.fft.ifft2(spectrum).real[:, :, None]
    fine = BASELINES["zerofill"](coarse, factor)
    again = degrade(torch.from_numpy(fine[:, :, 0]), (factor, factor), "kspace")
    np.testing.assert_allclose(again.numpy(), coarse[:, :, 0], atol=1e-12)


def test_a_network_without_residual_is_bicubic(untrained):
    (network,) = find_methods([untrained], Engines("cpu")).values()
    assert isinstance(network, Network)
    assert network.card.name == "untrained"
    image = 100 + 50 * noise(20, 16, 2).astype(np.float32)
    fine = network(image, 3)
    expected = BASELINES["bicubic"](image, 3)
    np.testing.assert_allclose(fine, expected, atol=1e-3)


def test_wrong_names_are_refused(untrained):
    engines = Engines("cpu")
    with pytest.raises(RequestError, match=r"'bicubik'.*bicubic"):
        find_methods(["bicubik"], engines)
    with pytest.raises(RequestError, match="untrained is asked for twice"):
        find_methods([untrained, "bicubic", untrained], engines)
    with pytest.raises(RequestError, match="no weight file"):
        find_methods(["nowhere.safetensors"], engines)
