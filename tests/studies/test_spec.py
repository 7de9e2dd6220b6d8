from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bsd_core.errors import ConfigError
from bsd_core.robustness.corruptions import CORRUPTIONS
from studies.condition import Condition
from studies.confirm_fields import Confirm
from studies.run_folder import create_run
from studies.shifts import Evaluate
from studies.spec import Arm, Augment, StudySpec
from studies.stopping_fields import Stopping
from studies.study_file import STUDY_FOLDER, check_spec, field_documentation, find_study, load_spec, study_names
from studies.yaml_strict import parse_yaml
from tests._dummies import PROPERTY
from tests.studies._dummies import make_document, make_spec, write_study


def refused(document: dict[str, Any], message: str) -> str:
    """The message with which a document is refused: one line that names the file and matches."""
    with pytest.raises(ConfigError, match=message) as caught:
        check_spec(document, where="mine.yaml")
    text = str(caught.value)
    assert text.startswith("mine.yaml: ")
    assert len(text.splitlines()) == 1
    return text


def read_back(spec: StudySpec) -> StudySpec:
    """The spec as a run folder keeps it."""
    with tempfile.TemporaryDirectory() as folder:
        return create_run(Path(folder), "mine", spec).spec()


# --- what is refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epohcs": 3}, r"unknown field 'epohcs'\. Did you mean 'epochs'\?"),
        ({"Batch-Size": 3}, r"unknown field 'Batch-Size'\. Did you mean 'batch_size'\?"),
        (
            {"zzz": 3},
            r"unknown field 'zzz'\. Known: augment, baseline, batch_size, .*[a-z] and \d+ more\. `make fields` explains all of them\.",
        ),
        ({"evaluate": {"severity": [3]}}, r"unknown field 'evaluate\.severity'\. Did you mean 'severities'\?"),
        ({"augment": {"flp": True}}, r"unknown field 'augment\.flp'\. Did you mean 'flip'\?"),
        ({"conditions": [{"kind": "symmetric", "rat": 0.3}]}, r"unknown field 'conditions\.0\.rat'\. Did you mean 'rate'\?"),
        ({"methods": ["cskd"]}, r"methods: Unknown method 'cskd'\. Did you mean 'cs_kd'\? Known: bsd, .*, tf_kd"),
        ({"model": "resnet9"}, r"model: Unknown model 'resnet9'\. Did you mean 'resnet\d+'\? Known: densenet121, .*, wide_resnet"),
        ({"dataset": "digit"}, r"dataset: Unknown data set 'digit'\. Did you mean 'digits'\? Known: .*parquet:<path>"),
        ({"dataset": "parqet:x"}, r"dataset: Unknown data set 'parqet:x'\. .*Did you mean 'parquet:<path>'\?"),
        (
            {"search_space": "ful"},
            r"search_space: Unknown search space 'ful'\. Did you mean 'full'\? Known: full, method_only, published",
        ),
        ({"conditions": ["symetric:0.3"]}, r"conditions\.0: Unknown condition 'symetric'\. .*Did you mean 'symmetric'\?"),
        (
            {"conditions": ["none", {"kind": "asym"}]},
            r"conditions\.1: Unknown condition 'asym'\. Did you mean 'asymmetric'\? Known: asymmetric, confusion, .*symmetric_inclusive\.",
        ),
        ({"evaluate": {"corruptions": ["smog", "gausian_noise"]}}, r"evaluate\.corruptions: Unknown corruption 'smog'\."),
        ({"evaluate": {"corruptions": ["gausian_noise"]}}, r"Unknown corruption 'gausian_noise'\. .*Did you mean 'gaussian_noise'\?"),
        ({"fixed": {"bds": {"discount": 1.0}}}, r"[Uu]nknown method in `fixed` 'bds'\. .*Did you mean 'bsd'\?"),
        ({"fixed": {"bsd": {"temprature": 1.0}}}, r"nknown setting in `fixed\.bsd` 'temprature'\. .*Did you mean 'temperature'\?"),
        ({"fixed": {"shared": {"learning_rat": 1.0}}}, r"nknown setting in `fixed\.shared` .*Did you mean 'learning_rate'\?"),
        (
            {"fixed": {"shared": {"temperature": 1.0}}},
            r"nknown setting in `fixed\.shared` 'temperature'\. Known: learning_rate, weight_decay",
        ),
        ({"fixed": {"cs_kd": {"temperature": 1.0}}}, r"nknown method in `fixed` 'cs_kd'\. .*Known: bsd, cross_entropy, shared\."),
    ],
)
def test_unknown_names_are_refused_with_the_nearest_valid_name(changes: dict[str, Any], message: str) -> None:
    refused(make_document(**changes), message)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("symmetric:1.2", r"conditions\.0: `0 <= rate < 1` must hold, but condition 'symmetric' has rate=1\.2\."),
        ("symmetric:1", r"`0 <= rate < 1` must hold, .*rate=1\."),
        ("asymmetric:-0.1", r"`0 <= rate < 1` must hold, but condition 'asymmetric' has rate=-0\.1\."),
        ("symmetric_100", r"`0 <= rate < 1` must hold, .*rate=1\."),
        ({"kind": "symmetric", "rate": 7}, r"`0 <= rate < 1` must hold, .*rate=7\."),
        ("symmetric:nan", r"conditions\.0\.rate: input should be a finite number, but got nan"),
        ("symmetric:1e999", r"conditions\.0\.rate: input should be a finite number, but got inf"),
        ("symmetric:many", r"The rate of condition 'symmetric:many' is not a number; write it like symmetric:0\.4"),
        ("symmetric", r"Condition 'symmetric' needs a rate above 0, e\.g\. symmetric:0\.4"),
        ("symmetric_0", r"Condition 'symmetric' needs a rate above 0"),
        ("none:0.2", r"Condition 'none' has no rate, but got rate=0\.2"),
        (
            {"kind": "symmetric", "rate": 0.2, "mapping": {0: 1}},
            r"Only asymmetric noise takes `mapping`, but condition 'symmetric' has one",
        ),
        ({"kind": "symmetric", "rate": "0.2"}, r"conditions\.0\.rate: input should be a valid number, but got '0\.2'"),
        ({"kind": "symmetric", "rate": True}, r"conditions\.0\.rate: input should be a valid number, but got True"),
        ({"rate": 0.2}, r"the field 'conditions\.0\.kind' is missing"),
        (3, r"conditions\.0: .*but got 3"),
        (None, r"conditions\.0: .*but got None"),
    ],
)
def test_conditions_that_cannot_be_are_refused(condition: object, message: str) -> None:
    refused(make_document(conditions=[condition]), message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trials": True}, r"trials: input should be a valid integer, but got True"),
        ({"trials": "8"}, r"trials: input should be a valid integer, but got '8'"),
        ({"trials": 8.0}, r"trials: input should be a valid integer, but got 8\.0"),
        ({"trials": 0}, r"trials: input should be greater than or equal to 1, but got 0"),
        ({"trials": 10**9}, r"trials: input should be less than or equal to 1000000, but got 1000000000"),
        ({"epochs": [3]}, r"epochs: input should be a valid integer, but got \[3\]"),
        ({"seed": -1}, r"seed: input should be greater than or equal to 0, but got -1"),
        ({"seed": 2**63}, r"seed: input should be less than 9223372036854775808, but got 9223372036854775808"),
        ({"momentum": False}, r"momentum: input should be a valid number, but got False"),
        ({"momentum": 1}, r"momentum: input should be less than 1, but got 1"),
        ({"val_fraction": 0}, r"val_fraction: input should be greater than 0, but got 0"),
        ({"val_fraction": 1.0}, r"val_fraction: input should be less than 1, but got 1\.0"),
        ({"cpus_per_trial": 0}, r"cpus_per_trial: input should be greater than .*but got 0"),
        ({"cpus_per_trial": float("inf")}, r"cpus_per_trial: input should be a finite number, but got inf"),
        ({"gpus_per_trial": -0.5}, r"gpus_per_trial: input should be greater than or equal to 0, but got -0\.5"),
        ({"download": 1}, r"download: input should be a valid boolean, but got 1"),
        ({"question": 3}, r"question: input should be a valid string, but got 3"),
        ({"n_classes": 1}, r"n_classes: input should be greater than or equal to 2, but got 1"),
        ({"validation_labels": "clear"}, r"validation_labels: input should be 'clean' or 'noisy', but got 'clear'"),
        ({"methods": []}, r"methods: .*at least 1 item.*but got \[\]"),
        ({"conditions": []}, r"conditions: .*at least 1 item.*but got \[\]"),
        ({"methods": [3]}, r"methods\.0: input should be a valid string, but got 3"),
        ({"methods": ["bsd", "bsd"]}, r"methods: The method 'bsd' is listed twice"),
        ({"conditions": ["none", "none"]}, r"conditions: The condition 'none' is listed twice"),
        ({"conditions": ["symmetric:0.4", "symmetric_40"]}, r"conditions: The condition 'symmetric_40' is listed twice"),
        ({"evaluate": {"corruptions": ["contrast", "contrast"]}}, r"evaluate\.corruptions: The corruption 'contrast' is listed twice"),
        ({"evaluate": {"severities": [3, 3]}}, r"evaluate\.severities: The severity 3 is listed twice"),
        ({"evaluate": {"severities": [0]}}, r"evaluate\.severities: A severity is 1, 2, 3, 4 or 5, but got 0"),
        ({"evaluate": {"severities": [True]}}, r"evaluate\.severities\.0: input should be a valid integer, but got True"),
        ({"evaluate": {"images": 0}}, r"evaluate\.images: input should be greater than or equal to 1, but got 0"),
        ({"evaluate": 3}, r"evaluate: .*but got 3"),
        ({"augment": {"crop_padding": 2, "resized_crop": 0.5}}, r"augment: `crop_padding is 0 with resized_crop` must hold, but got crop_"),
        ({"augment": "much"}, r"augment: input should be 'auto' or 'none', but got 'much'"),
        ({"fixed": {"bsd": {"discount": True}}}, r"fixed\.bsd\.discount: input should be a number or a text, but got True"),
        ({"fixed": {"bsd": {"discount": "x"}}}, r"fixed\.bsd: Setting 'discount' of 'bsd' must be a number, but got 'x'"),
        ({"fixed": {"bsd": 3}}, r"fixed\.bsd: input should be a valid dictionary, but got 3"),
        ({"fixed": {"shared": {"learning_rate": 0}}}, r"fixed\.shared: `0 < learning_rate < inf` must hold, but got learning_rate=0"),
        ({"fixed": {"bsd": {"weight_decay": -1.0}}}, r"fixed\.bsd: `0 <= weight_decay < inf` must hold, but got weight_decay=-1"),
        ({"warmup_epochs": 3.0}, r"`0 <= warmup_epochs <= epochs` must hold, but got warmup_epochs=3\.0, epochs=2"),
        ({"model": "resnet18"}, r"resnet18 has a fixed width: leave `width` out"),
        ({"model": "vit_b_16"}, r"vit_b_16 has a fixed width: leave `width` out"),
        ({"width": 5000}, r"`1 <= width <= 1024` must hold, but got width=5000"),
        ({"stem": "smal"}, r"stem: "),
        ({"pretrained": 3}, r"pretrained: input should be a valid string, but got 3"),
        ({"nesterov": True, "momentum": 0.0}, r"`momentum > 0 with nesterov` must hold, but got momentum=0"),
        ({"question": None}, r"the field 'question' is missing"),
        ({"trials": None, "epochs": None}, r"the field 'epochs' is missing\. \(and 1 more\)"),
    ],
)
def test_wrong_types_and_impossible_values_name_the_field_and_the_value(changes: dict[str, Any], message: str) -> None:
    refused(make_document(**changes), message)


@pytest.mark.parametrize("setting", [{"temperature": -1.0}, {"discount": 1.5}])
def test_a_fixed_setting_out_of_range_names_its_place_and_value(setting: dict[str, float]) -> None:
    ((name, value),) = setting.items()
    refused(make_document(fixed={"bsd": setting}), rf"fixed\.bsd.*{name}.*{re.escape(str(value))}")


@pytest.mark.parametrize(
    ("name", "value"),
    [("crop_padding", "x"), ("crop_padding", -1), ("flip", 3), ("cutout", -1), ("rand_augment", 11), ("resized_crop", 1.0)],
)
def test_a_wrong_augmentation_names_the_setting_that_is_wrong(name: str, value: object) -> None:
    refused(make_document(augment={name: value}), rf"augment\.{name}: .*but got {re.escape(repr(value))}")


def test_all_beside_another_corruption_is_not_called_unknown() -> None:
    message = refused(make_document(evaluate={"corruptions": ["all", "pixelate"]}), r"evaluate\.corruptions: ")
    assert "Did you mean 'all'?" not in message


def test_a_typo_is_named_before_the_missing_field_it_was_meant_for() -> None:
    document = make_document(epochs=None, epohcs=3)
    refused(document, r"unknown field 'epohcs'\. Did you mean 'epochs'\? \(and 1 more\)")


@pytest.mark.parametrize(
    "changes",
    [
        {"x\ny": 3},
        {"fixed": {"x\ny": 3}},
        {"fixed": {"bsd": {"x\ny": "z"}}},
        {"model": "x\ny"},
        {"conditions": ["x\ny"]},
        {"evaluate": {"x\ny": 3}},
    ],
)
def test_a_line_break_in_a_name_does_not_break_the_message(changes: dict[str, Any]) -> None:
    refused(make_document(**changes), r"x\\ny")


@pytest.mark.parametrize("changes", [{"x\x1b[31m": 3}, {"fixed": {"bsd": {"x\x1b[31m": "z"}}}, {"model": "x\x1b[31m"}])
def test_an_escape_sequence_in_a_name_does_not_reach_the_terminal(changes: dict[str, Any]) -> None:
    assert "\x1b" not in refused(make_document(**changes), r"x\\x1b\[31m")


def test_a_text_that_no_file_can_hold_is_refused(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    path.write_text(path.read_text(encoding="utf-8").replace("Does it work?", '"\\ud800"'), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"mine\.yaml"):
        load_spec(path, [])


def test_an_enormous_value_gives_a_short_message() -> None:
    assert len(refused(make_document(trials="9" * 100_000), r"trials: ")) < 300


def test_an_enormous_name_gives_a_short_message() -> None:
    assert len(refused(make_document(model="m" * 100_000), r"model: Unknown model")) < 1000


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "but this is empty"),
        ("- bsd\n", "but this is a list"),
        ("bsd\n", "but this is a text"),
        ("3\n", "but this is an? "),
        ("question: q\ntrials: [2\n", r"line \d: not valid YAML"),
        ("question: q\nmethods: bsd\nconditions: none\ntrials: 1\nepochs: 1\n1: 2\n", r"unknown field '1'\."),
    ],
)
def test_a_file_that_is_no_study_is_refused_by_name(text: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"^{re.escape(str(path))}.*{problem}") as caught:
        load_spec(path, [])
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"question: \xff\xfe\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml: not readable as UTF-8 text"):
        load_spec(path, [])


# --- what is accepted


def test_defaults_stand_for_what_their_description_says() -> None:
    spec = check_spec(make_document(evaluate=None), where="mine.yaml")
    assert spec.evaluate.corruptions == list(CORRUPTIONS)
    assert spec.evaluate.severities == [1, 2, 3, 4, 5]


def test_severities_alone_leave_all_corruptions() -> None:
    assert make_spec(evaluate={"severities": [3]}).evaluate.corruptions == list(CORRUPTIONS)


@pytest.mark.parametrize(
    ("given_as", "meaning"), [("all", list(CORRUPTIONS)), (["all"], list(CORRUPTIONS)), ("none", []), ([], []), ("contrast", ["contrast"])]
)
def test_corruptions_may_be_a_list_or_one_name(given_as: object, meaning: list[str]) -> None:
    assert make_spec(evaluate={"corruptions": given_as}).evaluate.corruptions == meaning


def test_one_value_stands_for_a_list_of_one() -> None:
    spec = make_spec(methods="bsd", conditions="symmetric:0.4", evaluate={"severities": 3})
    assert (spec.methods, spec.evaluate.severities) == (["bsd"], [3])
    assert [condition.name for condition in spec.conditions] == ["symmetric_40"]


@pytest.mark.parametrize(
    ("short", "kind", "rate", "name"),
    [
        ("none", "none", 0.0, "none"),
        ("symmetric:0.4", "symmetric", 0.4, "symmetric_40"),
        ("symmetric_40", "symmetric", 0.4, "symmetric_40"),
        ("asymmetric_12.5", "asymmetric", 0.125, "asymmetric_12.5"),
        ("symmetric:0.07", "symmetric", 0.07, "symmetric_7"),
        ("asymmetric:1e-3", "asymmetric", 0.001, "asymmetric_0.1"),
    ],
)
def test_short_forms_of_conditions(short: str, kind: str, rate: float, name: str) -> None:
    (condition,) = make_spec(conditions=[short]).conditions
    assert (condition.kind, condition.name) == (kind, name)
    assert condition.rate == pytest.approx(rate)


def test_arms_are_methods_within_conditions() -> None:
    spec = make_spec(methods=["bsd", "cs_kd"], conditions=["none", "symmetric:0.4"])
    assert [arm.name for arm in spec.arms] == ["bsd/none", "cs_kd/none", "bsd/symmetric_40", "cs_kd/symmetric_40"]
    assert spec.arms[3] == Arm("cs_kd", spec.conditions[1])


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        make_spec().trials = 3


def test_whole_numbers_are_accepted_where_fractions_are() -> None:
    spec = make_spec(cpus_per_trial=2, momentum=0, fixed={"bsd": {"temperature": 1}})
    assert (spec.cpus_per_trial, spec.momentum, spec.fixed) == (2.0, 0.0, {"bsd": {"temperature": 1.0}})


# --- overrides


@pytest.mark.parametrize(
    ("overrides", "place", "value"),
    [
        (["trials=32"], "trials", 32),
        (["dataset=parquet:/data, all/x"], "dataset", "parquet:/data, all/x"),
        (["train_images=null"], "train_images", None),
        (["evaluate.severities=3,5"], "evaluate.severities", [3, 5]),
        (["evaluate.severities=[3, 5]"], "evaluate.severities", [3, 5]),
        (["evaluate.severities=4"], "evaluate.severities", [4]),
        (["evaluate.corruptions=contrast,pixelate"], "evaluate.corruptions", ["contrast", "pixelate"]),
        (["evaluate.corruptions=none"], "evaluate.corruptions", []),
        (["evaluate.images=10"], "evaluate.images", 10),
        (["methods=bsd,cs_kd"], "methods", ["bsd", "cs_kd"]),
        (["fixed.bsd.temperature=1"], "fixed", {"bsd": {"temperature": 1.0}}),
        (
            ["fixed.bsd.temperature=1", "fixed.shared.weight_decay=1e-3"],
            "fixed",
            {"bsd": {"temperature": 1}, "shared": {"weight_decay": 0.001}},
        ),
        (["fixed={bsd: {discount: 1}}"], "fixed", {"bsd": {"discount": 1.0}}),
        (["augment=none"], "augment", "none"),
        (["augment.flip=true"], "augment", Augment(flip=True)),
        (["augment.resized_crop=0.25"], "augment", Augment(resized_crop=0.25)),
        (["momentum=1e-1"], "momentum", 0.1),
        (["trials=3", "trials=4"], "trials", 4),
        (["question=What = better?"], "question", "What = better?"),
    ],
)
def test_overrides_replace_values(overrides: list[str], place: str, value: object, tmp_path: Path) -> None:
    found: Any = load_spec(write_study(tmp_path), overrides)
    for part in place.split("."):
        found = getattr(found, part)
    assert found == value


@pytest.mark.parametrize("text", ["none,symmetric:0.4", "[none, symmetric_40]", "[{kind: none}, {kind: symmetric, rate: 0.4}]"])
def test_conditions_can_be_overridden_in_every_form(text: str, tmp_path: Path) -> None:
    spec = load_spec(write_study(tmp_path), [f"conditions={text}"])
    assert [condition.name for condition in spec.conditions] == ["none", "symmetric_40"]


def test_a_nested_override_leaves_its_neighbours_alone(tmp_path: Path) -> None:
    path = write_study(tmp_path, evaluate={"corruptions": ["contrast"], "severities": [1]}, fixed={"bsd": {"discount": 0.9}})
    spec = load_spec(path, ["evaluate.severities=5", "fixed.bsd.temperature=1"])
    assert spec.evaluate == Evaluate(corruptions=["contrast"], severities=[5])
    assert spec.fixed == {"bsd": {"discount": 0.9, "temperature": 1.0}}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trials", r"An override is key=value, but got 'trials'"),
        ("=3", r"An override is key=value, but got '=3'"),
        ("triels=3", r"Unknown field 'triels'\. .*Did you mean 'trials'\?"),
        ("evaluate.sevrities=3", r"Unknown field 'evaluate\.sevrities'\. .*Did you mean 'evaluate\.severities'\?"),
        ("evalute.severities=3", r"Unknown field 'evalute\.severities'\. .*Did you mean 'evaluate\.severities'\?"),
        ("trials=many", r"mine\.yaml with your overrides: trials: input should be a valid integer, but got 'many'"),
        ("trials=", r"trials: input should be a valid integer, but got None"),
        ("trials.x=3", r"Unknown field 'trials\.x'"),
        ("methods=bds", r"Unknown method 'bds'\. .*Did you mean 'bsd'\?"),
        ("fixed.bsd.temprature=1", r"setting in `fixed\.bsd` 'temprature'\. .*Did you mean 'temperature'\?"),
        ("conditions=symmetric:1.5", r"conditions\.0: `0 <= rate < 1` must hold, .*rate=1\.5"),
        ("trials=[1", r"override 'trials', line 1: not valid YAML"),
        ("trials=*x", r"override 'trials', line 1: not valid YAML: aliases"),
        ("model=!!python/object/apply:os.getcwd []", r"override 'model', line 1: not valid YAML: tags"),
        ("evaluate.severities.x=3", r"evaluate\.severities"),
    ],
)
def test_overrides_that_make_no_sense_are_refused_in_one_line(override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_spec(write_study(tmp_path), [override])
    assert "\n" not in str(caught.value)


def test_two_overrides_of_which_one_undoes_the_other_are_refused(tmp_path: Path) -> None:
    for overrides in (["confirm=none", "confirm.seeds=2"], ["confirm.seeds=2", "confirm=none"]):
        with pytest.raises(ConfigError, match=r"The overrides say both confirm and confirm\.seeds, and one would undo the other"):
            load_spec(write_study(tmp_path), overrides)


@pytest.mark.parametrize("value", ["none", "no", "off", "null"])
def test_the_confirm_phase_can_be_left_out_in_many_words(value: str, tmp_path: Path) -> None:
    assert load_spec(write_study(tmp_path, confirm={"seeds": 2}), [f"confirm={value}"]).confirm is None


def test_the_short_form_of_stopping_keeps_its_kind_when_a_field_is_overridden(tmp_path: Path) -> None:
    stopping = load_spec(write_study(tmp_path, stopping="pareto_halving"), ["stopping.reduction=4"]).stopping
    assert (stopping.kind, stopping.reduction) == ("pareto_halving", 4)


def test_fields_of_a_stopping_that_is_off_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"`reduction` is set, but nothing stops early: say stopping: \{kind: pareto_halving"):
        load_spec(write_study(tmp_path), ["stopping.reduction=4"])


@pytest.mark.parametrize(
    ("confirm", "message"),
    [
        ({"seeds": 0}, r"confirm\.seeds: `seeds >= 1` must hold, but got seeds=0\. To leave the confirm phase out, say confirm: none\."),
        ({"points": "kne"}, r"Unknown choice of points 'kne'\. .*Did you mean 'knee'\?"),
        ({"at_most": 0}, r"confirm\.at_most: input should be greater than or equal to 1"),
        ({"sedes": 3}, r"unknown field 'confirm\.sedes'\. Did you mean 'seeds'\?"),
        ({"max_ece": 0}, r"confirm\.max_ece: input should be greater than 0"),
    ],
)
def test_a_confirm_phase_that_cannot_be_is_refused(confirm: dict[str, Any], message: str) -> None:
    refused(make_document(confirm=confirm), message)


def test_an_override_below_a_list_speaks_of_what_the_user_wrote(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'evaluate\.severities\.x'"):
        load_spec(write_study(tmp_path), ["evaluate.severities.x=3"])


def test_an_override_below_a_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"fixed\.bsd\.temperature"):
        load_spec(write_study(tmp_path), ["fixed.bsd.temperature=1", "fixed.bsd.temperature.x=3"])


# --- round trip, shipped files, documentation

ROUND_TRIPS: dict[str, dict[str, Any]] = {
    "plain": {},
    "defaults": {"evaluate": None},
    "fixed": {"fixed": {"bsd": {"temperature": 1.0}, "shared": {"weight_decay": 1e-5}}},
    "augment": {"augment": {"crop_padding": 2, "flip": True}},
    "strong augment": {"augment": {"cutout": 16, "rand_augment": 9, "resized_crop": 0.08}},
    "conditions": {"conditions": ["none", "symmetric:0.4", {"kind": "asymmetric", "rate": 0.2}]},
    "mapping": {"conditions": [{"kind": "asymmetric", "rate": 0.2, "mapping": {0: 1, 1: 0}}]},
    "largest seed": {"seed": 2**63 - 1},
    "text like a number": {"question": "1e-3", "data_dir": "1e5"},
    "text like a date or a boolean": {"question": "2024-01-01", "data_dir": "yes"},
    "odd unicode": {"question": "a\x85b\u2028c\ufeffd \U0001f600 \x7f \t\n'\": #"},
}


@pytest.mark.parametrize("changes", ROUND_TRIPS.values(), ids=ROUND_TRIPS.keys())
def test_a_spec_reads_back_from_its_run_folder_as_itself(changes: dict[str, Any]) -> None:
    spec = make_spec(**changes)
    assert read_back(spec) == spec


def test_the_shipped_studies_are_those_of_the_issue() -> None:
    assert {"clean", "corruption", "label_noise", "quick"} <= set(study_names())


@pytest.mark.parametrize("name", sorted(study_names()))
def test_every_shipped_study_loads_and_survives_a_round_trip(name: str) -> None:
    found, path = find_study(name)
    spec = load_spec(path, [])
    assert found == name
    assert spec.question.endswith(("?", "."))
    assert set(spec.methods) >= {"cross_entropy", "label_smoothing", "cs_kd", "bsd"}
    assert read_back(spec) == spec


def test_the_default_study_is_as_large_as_the_issue_asks() -> None:
    spec = load_spec(study_names()["label_noise"], [])
    assert len(spec.conditions) >= 2
    assert spec.trials >= 6
    assert spec.dataset == "digits"


def test_the_quick_study_has_two_conditions_and_two_trials_an_arm() -> None:
    spec = load_spec(study_names()["quick"], [])
    assert (len(spec.conditions), spec.trials) == (2, 2)


@pytest.mark.parametrize("model", [StudySpec, Evaluate, Condition, Augment, Confirm, Stopping])
def test_every_field_is_described_where_it_is_defined(model: Any) -> None:
    bare = [name for name, info in model.model_fields.items() if not (info.description or "").strip()]
    assert bare == []


def test_the_documentation_lists_every_field_that_can_be_set() -> None:
    listed = [name for name, _, _ in field_documentation()]
    expected = {name for name in StudySpec.model_fields if name not in ("evaluate", "confirm", "stopping")}
    expected |= {f"confirm.{name}" for name in Confirm.model_fields}
    expected |= {f"stopping.{name}" for name in Stopping.model_fields}
    expected |= {f"evaluate.{name}" for name in Evaluate.model_fields}
    expected |= {f"conditions[].{name}" for name in Condition.model_fields}
    expected |= {f"augment.{name}" for name in Augment.model_fields}
    assert set(listed) == expected
    assert len(listed) == len(expected)


# --- finding a study


def test_an_unknown_study_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"Unknown study 'label-nois'\. Did you mean 'label_noise'\? Known: all_methods,"):
        find_study("label-nois")


@pytest.mark.parametrize("name", ["", ".", "..", "../quick", "/etc/passwd", "quick/", "~", "a" * 5000])
def test_names_that_are_paths_are_not_studies(name: str) -> None:
    with pytest.raises(ConfigError, match="Unknown study"):
        find_study(name)


def test_a_file_of_ones_own_is_named_after_its_file(tmp_path: Path) -> None:
    path = write_study(tmp_path, name="my-study_2")
    assert find_study(str(path)) == ("my-study_2", path)


@pytest.mark.parametrize("name", ["no_such.yaml", "no_such.yml", "~no_such_user_at_all/x.yaml", "a" * 5000 + ".yaml"])
def test_a_missing_file_is_refused_by_name(name: str) -> None:
    with pytest.raises(ConfigError, match=r"No such study file: '"):
        find_study(name)


@pytest.mark.parametrize("name", ["My Study", "ünder", "-x", "_x", "x" * 65, "latest\n"])
def test_a_file_name_that_makes_no_folder_name_is_refused(name: str, tmp_path: Path) -> None:
    path = write_study(tmp_path, name=name)
    with pytest.raises(ConfigError, match="file name becomes a folder name"):
        find_study(str(path))


# --- documents that nobody would write

WEIRD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        ["all", "none", "symmetric:0.4", "symmetric:2", "bsd", "../../x", "a\nb", "\x1b[2J", "[red]", 10**400, -(2**70), 5e-324]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6) | st.integers(), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [*StudySpec.model_fields, "epohcs", "", "a\nb"]
NESTED = {
    "evaluate": st.dictionaries(st.sampled_from([*Evaluate.model_fields, "x"]), WEIRD, max_size=3),
    "augment": st.dictionaries(st.sampled_from([*Augment.model_fields, "x"]), WEIRD, max_size=3),
    "conditions": st.lists(st.dictionaries(st.sampled_from([*Condition.model_fields, "x"]), WEIRD, max_size=3), max_size=3),
    "fixed": st.dictionaries(
        st.sampled_from(["bsd", "shared", "cs_kd", "a\nb"]),
        st.dictionaries(st.sampled_from(["temperature", "learning_rate", "a\nb"]), WEIRD),
    ),
}


@st.composite
def documents(draw: st.DrawFn) -> dict[Any, Any]:
    document: dict[Any, Any] = make_document()
    for field in draw(st.lists(st.sampled_from(FIELDS), min_size=1, max_size=3)):
        document[field] = draw(NESTED[field] | WEIRD if field in NESTED else WEIRD)
    for field in draw(st.lists(st.sampled_from(list(document)), max_size=1)):
        del document[field]
    return document


def refusal(attempt: Callable[[], object]) -> str | None:
    """The message with which something is refused; None if it is accepted."""
    try:
        attempt()
    except ConfigError as error:
        return str(error)
    return None


def accept_or_refuse(document: Any) -> None:
    """A document gives a study that reads back as itself, or one line."""
    message = refusal(lambda: check_spec(document, where="mine.yaml"))
    if message is None:
        spec = check_spec(document, where="mine.yaml")
        assert read_back(spec) == spec
    else:
        assert message.startswith("mine.yaml: ")
        assert message.isprintable()  # no line break and no escape sequence


@settings(PROPERTY, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(documents())
@example(make_document(fixed={"a\nb": 3}))
def test_generated_documents_give_a_study_or_one_line(document: dict[Any, Any]) -> None:
    accept_or_refuse(document)


TEXT = study_names()["label_noise"].read_text(encoding="utf-8")
SPLINTERS = [
    "\t",
    "- ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "*a",
    "&a ",
    "!!python/name:os.system ",
    "!!bool ",
    "!!timestamp ",
    "<<: ",
    "\x00",
    "'",
    '"',
    "%",
    "---\n",
    "? ",
    "1e999",
    "\n\n  ",
]


@settings(PROPERTY, max_examples=300)
@given(
    st.lists(
        st.tuples(st.integers(0, len(TEXT)), st.integers(0, 12), st.sampled_from(SPLINTERS) | st.text(max_size=3)), min_size=1, max_size=3
    )
)
def test_a_study_file_with_damage_gives_a_study_or_one_line(damage: list[tuple[int, int, str]]) -> None:
    text = TEXT
    for place, length, splinter in damage:
        text = text[:place] + splinter + text[place + length :]
    message = refusal(lambda: parse_yaml(text, where="mine.yaml"))
    if message is not None:
        assert len(message.splitlines()) == 1
    elif isinstance(document := parse_yaml(text, where="mine.yaml"), dict):
        accept_or_refuse(document)


@settings(PROPERTY, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "trials",
                    "evaluate",
                    "evaluate.severities",
                    "fixed.bsd",
                    "fixed.bsd.discount",
                    "fixed.a.b.c.d",
                    "conditions.0.kind",
                    "augment.flip",
                    "x.y",
                    "",
                    ".",
                    "methods",
                    "conditions",
                ]
            ),
            st.text(max_size=8) | st.sampled_from(["3", "null", "[1,2]", "{a: 1}", "{bsd: 3}", "none", "!!bool x", "all", "bsd,cs_kd"]),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_generated_overrides_give_a_study_or_one_line(tmp_path: Path, overrides: list[tuple[str, str]]) -> None:
    path = tmp_path / "mine.yaml"
    if not path.exists():
        write_study(tmp_path)
    message = refusal(lambda: load_spec(path, [f"{key}={value}" for key, value in overrides]))
    assert message is None or message.isprintable()


def test_loading_a_shipped_study_shows_a_short_path() -> None:
    with pytest.raises(ConfigError, match=r"^studies/quick\.yaml with your overrides: trials: "):
        load_spec(STUDY_FOLDER / "quick.yaml", ["trials=0"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gpus_per_trial": 1.5}, r"gpus_per_trial above 1 is a whole number, but got 1\.5"),
        ({"gpus_per_trial": 0.001}, r"gpus_per_trial is 0 or at least 0\.01, but got 0\.001"),
        ({"evaluate": {"severities": []}}, r"evaluate\.severities: .*at least 1 item"),
        ({"batch_size": 1}, r"batch_size: input should be greater than or equal to 2, but got 1"),
    ],
)
def test_budgets_that_cannot_be_meant_are_refused(changes: dict[str, Any], message: str) -> None:
    refused(make_document(**changes), message)


@pytest.mark.parametrize("text", ["010", "1:30", "0x10", "1_000"])
def test_only_decimal_integers_are_numbers(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"trials: input should be a valid integer, but got '{text}'"):
        load_spec(write_study(tmp_path), [f"trials={text}"])


def test_close_rates_have_names_of_their_own() -> None:
    names = [
        condition.name
        for condition in check_spec(make_document(conditions=["symmetric:0.99999999", "symmetric:0.4"]), where="x").conditions
    ]
    assert names == ["symmetric_99.999999", "symmetric_40"]
