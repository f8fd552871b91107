from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espcn_core.degradation import KINDS
from espcn_core.errors import RequestError
from espcn_core.training.config import (
    LOSSES,
    OPTIMIZERS,
    PRECISIONS,
    TrainingConfig,
    parse_config,
    read_config,
)

RECIPES = sorted((Path(__file__).parents[2] / "recipes").rglob("*.toml"))

fractions = st.floats(0, 1e9, allow_nan=False)
shares = st.floats(0, 1, allow_nan=False)
weights = st.one_of(st.integers(1, 10**6), st.floats(0, 1e9, exclude_min=True))
networks = st.one_of(
    st.tuples(st.sampled_from(["espcn", "espcn-2016"]), st.just({})),
    st.tuples(
        st.just("espcn-r"),
        st.fixed_dictionaries(
            {},
            optional={
                "width": st.integers(1, 8),
                "depth": st.integers(0, 3),
                "activation": st.sampled_from(["relu", "prelu"]),
                "adaptive": st.booleans(),
            },
        ),
    ),
)


@st.composite
def configs(draw):
    """Any configuration that is allowed."""
    model, arguments = draw(networks)
    per_slice = draw(st.integers(1, 64))
    name = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), max_size=20)
    return TrainingConfig(
        name=draw(name.filter(lambda text: text in ("", Path(text).name))),
        model=model,
        arguments=arguments,
        scale=draw(st.integers(2, 16)),
        start=draw(st.text()),
        degradation=draw(st.sampled_from(sorted(KINDS))),
        mixture=draw(st.dictionaries(st.sampled_from(sorted(KINDS)), weights)),
        eight_bits=model == "espcn-r" and draw(st.booleans()),
        noise=draw(shares),
        contrast=draw(shares),
        blur=draw(st.one_of(st.just(0.0), st.floats(0.3, 16))),
        air=draw(shares),
        shrink=draw(st.integers(1, 8)),
        shrinks=draw(st.lists(st.one_of(st.integers(1, 16), st.floats(1, 16)), max_size=6)),
        data=draw(st.text()),
        fold=draw(st.integers(1, 5)),
        epochs=draw(st.integers(1, 10**6)),
        steps_per_epoch=draw(st.integers(1, 10**6)),
        minutes=draw(fractions),
        batch=per_slice * draw(st.integers(1, 64)),
        patch=draw(st.integers(1, 512)),
        patches_per_slice=per_slice,
        optimizer=draw(st.sampled_from(OPTIMIZERS)),
        learning_rate=draw(fractions.filter(bool)),
        warmup=draw(st.integers(0, 10**6)),
        clip=draw(fractions),
        loss=draw(st.sampled_from(LOSSES)),
        ema=draw(st.floats(0, 1, exclude_min=True, exclude_max=True)),
        validation_slices=draw(st.integers(0, 10**6)),
        precision=draw(st.sampled_from(PRECISIONS)),
        device=draw(st.sampled_from(["auto", "cpu", "cuda", "mps"])),
        seed=draw(st.integers(0, 2**63 - 1)),
    )


@pytest.fixture
def write(tmp_path):
    """Writes a configuration file and returns its path."""

    def writer(content: str | bytes) -> Path:
        path = tmp_path / "run.toml"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return writer


@settings(max_examples=30)
@given(configs())
def test_a_configuration_comes_back_from_its_text(tmp_path_factory, config):
    path = tmp_path_factory.mktemp("config") / "config.toml"
    path.write_bytes(config.to_toml().encode())
    assert read_config(path) == config


def test_a_configuration_comes_back_from_its_dictionary():
    config = TrainingConfig(
        name="mine", arguments={"width": 8}, mixture={"area": 1, "point": 0.5}, shrinks=[1, 1.5], clip=0.5
    )
    assert parse_config(dataclasses.asdict(config)) == config


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_the_recipes_are_allowed_and_named_after_their_weights(recipe):
    config = read_config(recipe)
    assert config.name == recipe.stem
    if recipe.parent.name == "trials":
        return
    name = f"{config.model}-{'through-' if config.through_plane else ''}x{config.scale}"
    specialist = f"{name}-{config.degradation}"
    assert config.name in (name, specialist)
    if config.name == specialist:
        assert config.mixture.keys() <= {config.degradation}


def test_there_are_recipes():
    assert {path.stem for path in RECIPES} >= {"espcn-r-x2", "espcn-r-x4", "espcn-x4"}


def test_without_a_file_the_defaults_count():
    assert read_config() == TrainingConfig() == parse_config({})
    assert TrainingConfig().name == "espcn-r-x4"
    assert TrainingConfig(model="espcn", scale=3).name == "espcn-x3"
    assert TrainingConfig(scale=3).factor == (3, 3)


def test_what_is_given_wins_over_the_file(write):
    path = write('model = "espcn"\nscale = 2\nlearning_rate = 1\n')
    config = read_config(path, scale=3, model=None, seed=7)
    assert (config.model, config.scale, config.seed) == ("espcn", 3, 7)
    assert config.learning_rate == 1.0
    assert isinstance(config.learning_rate, float)


@pytest.mark.parametrize(
    ("key", "nearest"),
    [("learning_rat", "learning_rate"), ("lr_warmup", "warmup"), ("Epochs", "epochs"), ("steps", "epochs")],
)
def test_an_unknown_key_names_the_nearest_known_one(write, key, nearest):
    path = write(f"{key} = 3\n")
    with pytest.raises(
        RequestError, match=f"no setting is called '{key}'; did you mean .*{nearest}"
    ) as caught:
        read_config(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scale": 2.0}, "scale is 2.0: it must be a whole number"),
        ({"scale": "2"}, "scale is '2': it must be a whole number"),
        ({"epochs": True}, "epochs is True: it must be a whole number"),
        ({"clip": "much"}, "clip is 'much': it must be a number"),
        ({"minutes": False}, "minutes is False: it must be a number"),
        ({"model": 4}, "model is 4: it must be text"),
        ({"arguments": [8]}, r"arguments is \[8\]: it must be a table"),
        ({"learning_rate": float("nan")}, "learning_rate is nan: it must be finite"),
        ({"minutes": float("inf")}, "minutes is inf: it must be finite"),
        ({"model": "espcn_r"}, "model is 'espcn_r'; did you mean espcn-r"),
        ({"degradation": "cubic"}, "degradation is 'cubic'; did you mean bicubic"),
        ({"loss": "l2"}, "loss is 'l2'; did you mean l1"),
        ({"loss": "ssim"}, "loss is 'ssim'; there are charbonnier, l1, mse"),
        ({"optimizer": "sgd"}, "optimizer is 'sgd'; there are adam, muon"),
        ({"optimizer": "moun"}, "optimizer is 'moun'; did you mean muon"),
        ({"model": "espcn", "eight_bits": True}, "eight_bits is true: only espcn-r is rounded so, not espcn"),
        ({"start": 4}, "start is 4: it must be text"),
        ({"mixture": ["area"]}, r"mixture is \['area'\]: it must be a table"),
        ({"mixture": {"cubic": 1}}, "mixture is 'cubic'; did you mean bicubic"),
        *[
            ({"mixture": {"area": 1, "point": weight}}, f"mixture gives point the weight {weight!r}: it must")
            for weight in (0, -1, float("inf"), float("nan"), "1", True)
        ],
        ({"shrinks": 2}, "shrinks is 2: it must be a list"),
        *[
            ({"shrinks": [1, value]}, f"shrinks holds {value!r}: it must be a number from 1 to 16")
            for value in (0.5, 0, 16.5, float("nan"), "2", False)
        ],
        *[
            ({name: value}, f"{name} is {value}: it must be from 0 to 1")
            for name in ("noise", "contrast", "air")
            for value in (-0.1, 1.5)
        ],
        *[
            ({"blur": value}, f"blur is {value}: it must be 0, or more than 0.2")
            for value in (-1.0, 0.2, 17.0)
        ],
        ({"noise": "some"}, "noise is 'some': it must be a number"),
        ({"precision": "bfloat"}, "precision is 'bfloat'; did you mean bfloat16"),
        ({"scale": 1}, "scale is 1: it must be from 2 to 16"),
        ({"scale": 17}, "scale is 17: it must be from 2 to 16"),
        ({"fold": 0}, "fold is 0: it must be from 1 to 5"),
        ({"fold": 6}, "fold is 6: it must be from 1 to 5"),
        ({"learning_rate": 0}, "learning_rate is 0.0: it must be more than 0"),
        ({"ema": 1}, "ema is 1.0: it must be between 0 and 1"),
        ({"ema": 0}, "ema is 0.0: it must be between 0 and 1"),
        ({"seed": 2**63}, "seed is 9223372036854775808: it must be less than"),
        ({"batch": 10, "patches_per_slice": 4}, "batch is 10: it must be a whole multiple of .*, 4"),
        ({"name": "runs/mine"}, "name is 'runs/mine': it must be a file name without folders"),
        *[
            ({name: 0}, f"{name} is 0: it must be at least 1")
            for name in ("shrink", "epochs", "steps_per_epoch", "batch", "patch", "patches_per_slice")
        ],
        *[
            ({name: -1}, rf"{name} is -1(\.0)?: it must be at least 0")
            for name in ("minutes", "warmup", "clip", "validation_slices", "seed")
        ],
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(values, message):
    with pytest.raises(RequestError, match=message):
        parse_config(values)


@pytest.mark.parametrize(
    ("model", "arguments"),
    [
        ("espcn", {"width": 8}),
        ("espcn-r", {"width": 0.5}),
        ("espcn-r", {"width": -8}),
        ("espcn-r", {"depth": "six"}),
        ("espcn-r", {"activation": "gelu"}),
        ("espcn-r", {"channels": 3}),
        ("espcn-r", {"factor": 2}),
        ("espcn-r", {"no word": 1}),
    ],
)
def test_arguments_that_the_network_cannot_be_built_with_are_refused(model, arguments):
    (key,) = arguments
    with pytest.raises(RequestError, match=rf"{model}.*{key}|{key}.*{model}") as caught:
        TrainingConfig(model=model, arguments=arguments)
    assert "\n" not in str(caught.value)


def test_trying_the_network_draws_no_random_numbers():
    before = torch.get_rng_state()
    TrainingConfig()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("content", ["scale = ", b"name = '\xff'", "scale = 2\nscale = 3", "= 1"])
def test_a_file_that_is_not_toml_is_named(write, content):
    path = write(content)
    with pytest.raises(RequestError, match=r"run\.toml is not a readable TOML file"):
        read_config(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RequestError, match=r"none\.toml is not there"):
        read_config(tmp_path / "none.toml")
    with pytest.raises(RequestError, match="is not a readable TOML file"):
        read_config(tmp_path)


def test_tables_stand_at_the_end():
    text = TrainingConfig(
        arguments={"depth": 2}, mixture={"area": 1, "point": 0.5}, shrinks=[1, 2.5], thickness=[1, 1.2]
    ).to_toml()
    assert text.endswith("\n[arguments]\ndepth = 2\n\n[mixture]\narea = 1\npoint = 0.5\n")
    assert tomllib.loads(text)["shrinks"] == [1, 2.5]
    assert tomllib.loads(text)["thickness"] == [1, 1.2]
    assert "[" not in TrainingConfig().to_toml().replace("shrinks = []", "").replace("thickness = []", "")


def test_a_table_of_arguments_stands_at_the_end():
    text = TrainingConfig(arguments={"width": 8, "depth": 2}).to_toml()
    assert text.endswith("\n[arguments]\nwidth = 8\ndepth = 2\n")
    assert tomllib.loads(text)["arguments"] == {"width": 8, "depth": 2}


def test_through_plane_only_the_columns_are_coarse():
    config = TrainingConfig(through_plane=True, scale=5, degradation="gaussian", patch=160)
    assert config.factor == (1, 5)
    assert config.patch_size == (160, 32)
    assert config.name == "espcn-r-through-x5"
    assert TrainingConfig(patch=96).patch_size == (96, 96)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"degradation": "kspace"}, "the profile of thick slices is 'kspace'; there are area, gaussian"),
        ({"mixture": {"point": 1}}, "the profile of thick slices is 'point'"),
        ({"thickness": [1]}, r"thickness is \[1\]: it must be two numbers above 0, the smaller one first"),
        ({"thickness": [1.2, 0.8]}, "the smaller one first"),
        ({"thickness": [0, 1]}, "two numbers above 0"),
        ({"thickness": ["a", "b"]}, "two numbers"),
        ({"through_plane": 1}, "through_plane is 1: it must be true or false"),
    ],
)
def test_wrong_thick_slices_are_refused(changes, sentence):
    with pytest.raises(RequestError, match=sentence):
        parse_config({"through_plane": True, "degradation": "gaussian", **changes})
