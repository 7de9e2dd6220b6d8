from __future__ import annotations

import random
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import TrialState

from bsd_core.errors import DataError
from bsd_core.seeds import derive_seed
from search_spaces import SEARCH_SPACES, SHARED
from studies.outcome import Outcome
from studies.search import ArmSpace, StudySearch, Suggestion, export_journal, split_params
from tests._dummies import PROPERTY
from tests.studies._dummies import make_spec, objectives, play

ALL = ["cross_entropy", "label_smoothing", "cs_kd", "bsd"]


def of_arm(suggestions: list[Suggestion], arm: str) -> list[Suggestion]:
    return [suggestion for suggestion in suggestions if suggestion.arm.name == arm]


def tell(search: StudySearch, suggestion: Suggestion, *, failed: bool = False) -> None:
    search.tell(suggestion.arm.name, suggestion.number, Outcome(values=None if failed else objectives(suggestion)))


def rebuild(
    search: StudySearch, told: list[Suggestion], interrupted: list[Suggestion], failed: Collection[tuple[str, int]] = ()
) -> StudySearch:
    """A new search that takes in what an earlier process did."""
    for suggestion in told:
        outcome = Outcome(values=None if (suggestion.arm.name, suggestion.number) in failed else objectives(suggestion))
        search.arms[suggestion.arm.name].replay(suggestion.number, suggestion.params, outcome)
    for suggestion in interrupted:
        search.arms[suggestion.arm.name].replay(suggestion.number, suggestion.params, None)
    return search


# --- budgets


def test_every_arm_gets_the_same_number_of_trials() -> None:
    search = StudySearch(make_spec(methods=ALL, conditions=["none", "symmetric:0.4"], trials=3), slots=1)
    handed_out = play(search)
    assert {arm: len(of_arm(handed_out, arm)) for arm in search.arms} == dict.fromkeys(search.arms, 3)
    assert len(search.arms) == 8
    assert search.done


def test_arms_take_turns() -> None:
    search = StudySearch(make_spec(methods=ALL, trials=2), slots=1)
    order = [suggestion.arm.method for suggestion in play(search)]
    assert order == ALL + ALL


def test_a_failed_trial_is_replaced_so_that_finished_trials_are_equal() -> None:
    search = StudySearch(make_spec(trials=3), slots=1)
    handed_out = play(search, fail=[("bsd/none", 0), ("bsd/none", 2)])
    assert [suggestion.number for suggestion in of_arm(handed_out, "bsd/none")] == [0, 1, 2, 3, 4]
    assert [suggestion.number for suggestion in of_arm(handed_out, "cross_entropy/none")] == [0, 1, 2]
    assert (search.arms["bsd/none"].budget.completed, search.arms["bsd/none"].budget.failed) == (3, 2)


def test_an_arm_that_only_fails_gives_up_after_as_many_failures_as_it_has_trials() -> None:
    search = StudySearch(make_spec(trials=3), slots=1)
    handed_out = play(search, fail=[("bsd/none", number) for number in range(100)])
    assert len(of_arm(handed_out, "bsd/none")) == 3
    assert (search.arms["bsd/none"].budget.completed, search.arms["bsd/none"].budget.failed) == (0, 3)
    assert search.arms["cross_entropy/none"].budget.completed == 3
    assert search.done


def test_a_search_with_running_trials_is_not_done() -> None:
    search = StudySearch(make_spec(methods=["bsd"], trials=1), slots=1)
    assert not search.done
    suggestion = search.next()
    assert suggestion is not None
    assert search.next() is None
    assert not search.done
    tell(search, suggestion)
    assert search.done


def test_a_failure_is_replaced_although_all_others_are_handed_out() -> None:
    search = StudySearch(make_spec(methods=["bsd"], trials=2), slots=8)
    first, second = search.next(), search.next()
    assert first is not None
    assert second is not None
    assert search.next() is None
    tell(search, first, failed=True)
    third = search.next()
    assert third is not None
    assert third.number == 2


@settings(PROPERTY)
@given(slots=st.integers(1, 7), trials=st.integers(1, 4), share=st.sampled_from([0.0, 0.3, 1.0]), seed=st.integers(0, 2**32))
def test_budgets_hold_whatever_ends_first_and_whatever_fails(slots: int, trials: int, share: float, seed: int) -> None:
    stream = random.Random(seed)
    search = StudySearch(make_spec(trials=trials), slots=slots)
    running: list[Suggestion] = []
    names = set()
    while True:
        while len(running) < slots and (suggestion := search.next()) is not None:
            names.add(suggestion.trial_id)
            running.append(suggestion)
        assert sum(arm.running for arm in search.arms.values()) == len(running)
        if not running:
            break
        tell(search, running.pop(stream.randrange(len(running))), failed=stream.random() < share)
    assert search.done
    assert len(names) == sum(arm.issued for arm in search.arms.values())
    for arm in search.arms.values():
        assert arm.budget.completed <= trials
        assert arm.budget.completed == trials or arm.budget.failed >= trials
        assert arm.budget.failed < trials + slots


# --- order, independence, repeatability


def test_published_settings_come_first() -> None:
    handed_out = play(StudySearch(make_spec(methods=ALL, trials=4), slots=1))
    for method in ALL:
        published = SEARCH_SPACES[method].published
        first = [suggestion.params for suggestion in of_arm(handed_out, f"{method}/none")]
        assert first[: len(published)] == [dict(point) for point in published]
        assert first[len(published)] not in published


def test_a_budget_smaller_than_the_published_settings_tries_the_first_of_them() -> None:
    (only,) = play(StudySearch(make_spec(methods=["cs_kd"], trials=1), slots=1))
    assert only.params == SEARCH_SPACES["cs_kd"].published[0]


def settings_by_arm(values: Callable[[int], tuple[float, float]]) -> dict[str, list[dict[str, Any]]]:
    """What a study with random twins suggests where trial n comes to `values(n)`."""
    search = StudySearch(make_spec(methods=["bsd"], trials=14, baseline="random"), slots=1)
    found: dict[str, list[dict[str, Any]]] = {arm: [] for arm in search.arms}
    while (suggestion := search.next()) is not None:
        found[suggestion.arm.name].append(suggestion.params)
        search.tell(suggestion.arm.name, suggestion.number, Outcome(values=values(suggestion.number)))
    return found


def test_a_random_twin_begins_as_its_arm_does_and_then_learns_nothing() -> None:
    rising = settings_by_arm(lambda number: (number / 20, 0.5 - number / 40))
    falling = settings_by_arm(lambda number: (1 - number / 20, 0.1 + number / 40))
    n_published = len(SEARCH_SPACES["bsd"].published)
    assert rising["bsd/none/random"][:n_published] == rising["bsd/none"][:n_published]
    assert rising["bsd/none/random"][n_published:] != rising["bsd/none"][n_published:]
    assert rising["bsd/none/random"] == falling["bsd/none/random"]
    assert rising["bsd/none"] != falling["bsd/none"]


def test_suggestions_lie_in_the_space() -> None:
    for suggestion in play(StudySearch(make_spec(methods=ALL, trials=8), slots=1)):
        space = SEARCH_SPACES[suggestion.arm.method].distributions()
        assert set(suggestion.params) == set(space)
        assert all(values.low <= suggestion.params[name] <= values.high for name, values in space.items())  # type: ignore[attr-defined]


def test_an_arm_is_searched_alike_whatever_other_arms_there_are() -> None:
    alone = play(StudySearch(make_spec(methods=["bsd"], trials=10), slots=1))
    among = play(StudySearch(make_spec(methods=ALL, conditions=["symmetric:0.4", "none"], trials=10), slots=1))
    assert of_arm(among, "bsd/none") == alone


def test_an_arm_is_searched_alike_whatever_another_arms_results_are() -> None:
    spec = make_spec(trials=8)
    good = play(StudySearch(spec, slots=1))
    bad = play(StudySearch(spec, slots=1), fail=[("cross_entropy/none", 1), ("cross_entropy/none", 4)])
    assert of_arm(good, "bsd/none") == of_arm(bad, "bsd/none")


def test_the_study_seed_decides_what_is_suggested() -> None:
    first, again = (play(StudySearch(make_spec(trials=6), slots=1)) for _ in range(2))
    other = play(StudySearch(make_spec(trials=6, seed=1), slots=1))
    assert first == again
    assert [suggestion.params for suggestion in first] != [suggestion.params for suggestion in other]
    assert {suggestion.seed for suggestion in first}.isdisjoint(suggestion.seed for suggestion in other)


def test_results_decide_what_is_suggested_once_there_are_enough() -> None:
    """Otherwise the search would be a random one."""
    spec = make_spec(methods=["cross_entropy"], trials=12)

    def searched(sign: float) -> list[dict[str, float]]:
        search, params = StudySearch(spec, slots=1), []
        while (suggestion := search.next()) is not None:
            params.append(suggestion.params)
            accuracy, ece = objectives(suggestion)
            search.tell("cross_entropy/none", suggestion.number, Outcome(values=(sign * accuracy, sign * ece)))
        return params

    up, down = searched(1.0), searched(-1.0)
    assert up[:4] == down[:4]  # two published, two drawn before there is enough to learn from
    assert up != down


def test_sequential_arms_give_one_history_whatever_the_slots_and_whoever_ends_first() -> None:
    spec = make_spec(methods=ALL, trials=8)
    expected = {arm: of_arm(play(StudySearch(spec, slots=1)), arm) for arm in ("bsd/none", "cs_kd/none")}
    stream = random.Random(0)
    search = StudySearch(spec, slots=4)
    running: list[Suggestion] = []
    handed_out: list[Suggestion] = []
    while True:
        while len(running) < 4 and (suggestion := search.next()) is not None:
            assert search.arms[suggestion.arm.name].running == 1
            running.append(suggestion)
            handed_out.append(suggestion)
        if not running:
            break
        tell(search, running.pop(stream.randrange(len(running))))
    assert search.repeatable
    assert {arm: of_arm(handed_out, arm) for arm in expected} == expected


@pytest.mark.parametrize(("slots", "repeatable", "at_once"), [(1, True, 2), (2, True, 2), (3, False, 6)])
def test_an_arm_runs_one_trial_at_a_time_while_there_are_arms_for_all_slots(slots: int, repeatable: bool, at_once: int) -> None:
    search = StudySearch(make_spec(trials=3), slots=slots)
    assert search.repeatable is repeatable
    handed_out = []
    while (suggestion := search.next()) is not None:
        handed_out.append(suggestion.arm.name)
    assert len(handed_out) == at_once
    assert handed_out[:2] == ["cross_entropy/none", "bsd/none"]


# --- continuing


@pytest.mark.parametrize("cut", [0, 1, 5, 11, 14, 19])
def test_a_rebuilt_search_goes_on_exactly_as_an_uninterrupted_one(cut: int) -> None:
    spec = make_spec(trials=10)
    failed = {("bsd/none", 3)}
    whole = play(StudySearch(spec, slots=1), fail=failed)
    search = rebuild(StudySearch(spec, slots=1), whole[:cut], [], failed)
    assert play(search, fail=failed) == whole[cut:]
    assert [arm.budget.completed for arm in search.arms.values()] == [10, 10]


@pytest.mark.parametrize("cut", [1, 2, 7, 15])
def test_an_interrupted_trial_comes_again_and_all_that_follow_are_as_they_would_have_been(cut: int) -> None:
    spec = make_spec(trials=10)
    whole = play(StudySearch(spec, slots=1))
    search = rebuild(StudySearch(spec, slots=1), whole[:cut], [whole[cut]])
    remaining = play(search)
    assert remaining[0] == whole[cut]
    for arm in search.arms:
        assert of_arm(remaining, arm) == of_arm(whole[cut:], arm)
    assert [arm.budget.completed for arm in search.arms.values()] == [10, 10]
    assert sum(len(arm.study.trials) for arm in search.arms.values()) == 20


def test_several_interrupted_trials_of_one_arm_come_again_in_their_order() -> None:
    search = StudySearch(make_spec(methods=["bsd"], trials=5), slots=4)
    running = [search.next() for _ in range(4)]
    interrupted = [suggestion for suggestion in running if suggestion is not None]
    again = rebuild(StudySearch(make_spec(methods=["bsd"], trials=5), slots=4), [], interrupted)
    assert [again.next() for _ in range(4)] == interrupted
    last = again.next()
    assert last is not None
    assert last.number == 4
    assert again.next() is None


def test_replayed_trials_count_towards_the_budget() -> None:
    spec = make_spec(trials=2)
    whole = play(StudySearch(spec, slots=1))
    search = rebuild(StudySearch(spec, slots=1), whole, [])
    assert search.done
    assert search.next() is None


def test_replayed_failures_count_towards_giving_up() -> None:
    spec = make_spec(methods=["bsd"], trials=2)
    failed = {("bsd/none", 0), ("bsd/none", 1)}
    whole = play(StudySearch(spec, slots=1), fail=failed)
    assert rebuild(StudySearch(spec, slots=1), whole, [], failed).done


# --- seeds, names, fixed settings


def test_arms_meet_the_same_seeds_and_each_trial_of_an_arm_its_own() -> None:
    handed_out = play(StudySearch(make_spec(methods=ALL, conditions=["none", "symmetric:0.4"], trials=4), slots=1))
    assert len({(suggestion.number, suggestion.seed) for suggestion in handed_out}) == 4
    assert len({suggestion.seed for suggestion in handed_out}) == 4


def test_a_seed_is_a_function_of_study_seed_and_number() -> None:
    for suggestion in play(StudySearch(make_spec(trials=3, seed=9), slots=1)):
        assert suggestion.seed == derive_seed(9, "trial", suggestion.number)


def test_trial_ids_are_unique_and_say_what_the_trial_is() -> None:
    handed_out = play(StudySearch(make_spec(conditions=["none", "symmetric:0.4"]), slots=1))
    ids = [suggestion.trial_id for suggestion in handed_out]
    assert len(set(ids)) == len(ids)
    assert "bsd-symmetric_40-0001" in ids


def test_a_fixed_setting_is_the_same_in_every_trial_and_not_searched() -> None:
    spec = make_spec(methods=["bsd", "cs_kd"], trials=6, fixed={"bsd": {"temperature": 0.7}, "shared": {"weight_decay": 0.001}})
    search = StudySearch(spec, slots=1)
    handed_out = play(search)
    assert {suggestion.params["temperature"] for suggestion in of_arm(handed_out, "bsd/none")} == {0.7}
    assert {suggestion.params["weight_decay"] for suggestion in handed_out} == {0.001}
    assert len({suggestion.params["temperature"] for suggestion in of_arm(handed_out, "cs_kd/none")}) > 1
    assert set(search.arms["bsd/none"].space.searched) == {"prior_strength", "discount", "learning_rate"}


def test_published_settings_that_fixing_makes_equal_are_tried_once() -> None:
    """BSD's two published points differ in temperature alone."""
    assert len(ArmSpace.of(make_spec(), "bsd").published) == 2
    assert len(ArmSpace.of(make_spec(fixed={"bsd": {"temperature": 1.0}}), "bsd").published) == 1


def test_a_methods_own_fixed_value_beats_the_shared_one() -> None:
    spec = make_spec(fixed={"shared": {"learning_rate": 0.2}, "bsd": {"learning_rate": 0.3}})
    rates = {suggestion.arm.method: suggestion.params["learning_rate"] for suggestion in play(StudySearch(spec, slots=1))}
    assert rates == {"cross_entropy": 0.2, "bsd": 0.3}


def recipe_of(method: str) -> dict[str, Any]:
    """Learning rate and weight decay of the first published point."""
    return {name: SEARCH_SPACES[method].published[0][name] for name in SHARED}


def test_method_only_leaves_the_recipe_as_published() -> None:
    search = StudySearch(make_spec(methods=ALL, trials=5, search_space="method_only"), slots=1)
    for suggestion in play(search):
        recipe = recipe_of(suggestion.arm.method)
        assert {name: suggestion.params[name] for name in recipe} == recipe
    assert set(search.arms["bsd/none"].space.searched) == {"prior_strength", "discount", "temperature"}


def test_an_arm_without_anything_to_search_repeats_its_setting_with_new_seeds() -> None:
    handed_out = play(StudySearch(make_spec(methods=["cross_entropy"], trials=4, search_space="method_only"), slots=1))
    assert [suggestion.params for suggestion in handed_out] == [recipe_of("cross_entropy")] * 4
    assert len({suggestion.seed for suggestion in handed_out}) == 4


def test_an_interrupted_trial_without_anything_to_search_comes_again() -> None:
    spec = make_spec(methods=["cross_entropy"], trials=2, search_space="method_only")
    first = StudySearch(spec, slots=1).next()
    assert first is not None
    assert rebuild(StudySearch(spec, slots=1), [], [first]).next() == first


def test_settings_are_told_apart_into_shared_and_own() -> None:
    params = {"temperature": 4.0, "learning_rate": 0.1, "weight_decay": 1e-4, "distill_weight": 1.0}
    assert split_params(params) == ({"learning_rate": 0.1, "weight_decay": 1e-4}, {"temperature": 4.0, "distill_weight": 1.0})


# --- export


def load_journal(path: Path) -> dict[str, optuna.Study]:
    storage = JournalStorage(JournalFileBackend(str(path)))
    return {name: optuna.load_study(study_name=name, storage=storage) for name in optuna.get_all_study_names(storage)}


def test_the_journal_holds_every_arm_with_directions_values_and_states(tmp_path: Path) -> None:
    search = StudySearch(make_spec(trials=3), slots=1)
    handed_out = play(search, fail=[("bsd/none", 1)])
    export_journal(search, tmp_path / "optuna.journal")
    studies = load_journal(tmp_path / "optuna.journal")
    assert set(studies) == {"cross_entropy/none", "bsd/none"}
    for name, study in studies.items():
        own = of_arm(handed_out, name)
        assert study.directions == [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]
        assert study.metric_names == ["val_accuracy", "val_ece"]
        assert [trial.params for trial in study.trials] == [suggestion.params for suggestion in own]
        assert [trial.user_attrs["number"] for trial in study.trials] == [suggestion.number for suggestion in own]
        failed = [index for index, trial in enumerate(study.trials) if trial.state == TrialState.FAIL]
        assert failed == ([1] if name == "bsd/none" else [])
        finished = [index for index in range(len(own)) if index not in failed]
        assert [study.trials[index].values for index in finished] == [list(objectives(own[index])) for index in finished]


def test_the_journal_leaves_running_trials_out(tmp_path: Path) -> None:
    search = StudySearch(make_spec(methods=["bsd"], trials=3), slots=2)
    first, second = search.next(), search.next()
    assert first is not None
    assert second is not None
    tell(search, first)
    export_journal(search, tmp_path / "optuna.journal")
    (study,) = load_journal(tmp_path / "optuna.journal").values()
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE]


def test_a_rebuilt_search_exports_the_same_trials(tmp_path: Path) -> None:
    spec = make_spec(trials=4)
    search = StudySearch(spec, slots=1)
    whole = play(search)

    def facts(of: StudySearch, name: str) -> list[Any]:
        export_journal(of, tmp_path / name)
        return [(trial.params, trial.values, trial.state) for study in load_journal(tmp_path / name).values() for trial in study.trials]

    assert facts(rebuild(StudySearch(spec, slots=1), whole, []), "second") == facts(search, "first")


def test_a_ledger_of_another_study_is_refused() -> None:
    event = {"event": "suggest", "phase": "search", "trial_id": "x", "arm": "cs_kd/none", "trial_number": 0, "params": {}}
    with pytest.raises(DataError, match=r"trial x does not belong to this study: was study\.yaml changed\?"):
        StudySearch(make_spec(), slots=1).replay([event])


def test_trials_of_the_confirm_phase_are_no_trials_of_the_search() -> None:
    search = StudySearch(make_spec(), slots=1)
    event = {"event": "suggest", "phase": "confirm", "trial_id": "x", "arm": "bsd/none", "trial_number": 0, "params": {}}
    assert search.replay([event]) == []
    assert search.arms["bsd/none"].issued == 0
