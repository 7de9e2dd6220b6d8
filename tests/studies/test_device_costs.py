from __future__ import annotations

import time

import torch

from studies.device_costs import measure_costs
from studies.device_hours import Sizes, search_work
from studies.prepare import prepare
from studies.trial import trial_events
from tests.studies._dummies import make_spec, make_task

SIZES = Sizes(n_train=1000, n_val=200, n_test=300, image_shape=(1, 8, 8), n_classes=10)


def test_a_trial_takes_about_as_long_as_its_costs_say() -> None:
    """Seconds of computing of one real trial, the second of its kind: the first also loads and compiles."""
    spec = make_spec(methods=["cross_entropy"], trials=1, epochs=4, width=16, evaluate={"corruptions": ["contrast", "pixelate"]})
    prepared = prepare(spec)
    sizes = Sizes.of(spec, prepared)
    assert sizes is not None
    expected = measure_costs(spec, sizes).seconds(search_work(spec, sizes))
    for _ in range(2):
        started = time.process_time()
        *_, end = trial_events(make_task(), prepared.settings, prepared.data, torch.device("cpu"))
        seconds = time.process_time() - started
    assert end["state"] == "complete"
    assert seconds / 2.5 < expected < seconds * 2.5


def test_a_wider_network_costs_more() -> None:
    """Eight times as wide: 64 times the arithmetic, of which a few times remain beside what every step costs."""
    narrow, wide = (measure_costs(make_spec(width=width), SIZES) for width in (4, 32))
    assert wide.train > 2 * narrow.train
    assert wide.predict > 2 * narrow.predict


def test_what_is_shown_in_either_phase_is_timed() -> None:
    confirm = {"corruptions": ["contrast"], "perturbations": ["rotate"]}
    shown, nothing = measure_costs(make_spec(confirm=confirm), SIZES), measure_costs(make_spec(), SIZES)
    assert min(shown.corrupt, shown.frame) > 0
    assert nothing.corrupt == nothing.frame == 0


def test_timing_leaves_the_number_of_threads_as_it_was() -> None:
    before = torch.get_num_threads()
    measure_costs(make_spec(cpus_per_trial=2.0), SIZES)
    assert torch.get_num_threads() == before


def test_the_gpu_is_timed_only_where_there_is_one() -> None:
    assert measure_costs(make_spec(gpus_per_trial=1.0), SIZES).on_gpu == torch.cuda.is_available()
    assert not measure_costs(make_spec(), SIZES).on_gpu
