"""The schemas of a run's four Arrow tables: each column with its type, unit and one sentence.

Other code has them from `studies.tables`; they stand alone because the ledger is checked against them as it is read.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa


def _schema(**columns: tuple[pa.DataType, str]) -> pa.Schema:
    return pa.schema([pa.field(name, kind, metadata={"description": text}) for name, (kind, text) in columns.items()])


_TEXT, _INT, _FLOAT, _BOOL = pa.string(), pa.int64(), pa.float64(), pa.bool_()

TRIALS: Final = _schema(
    study=(_TEXT, "name of the study"),
    run_id=(_TEXT, "the run this trial belongs to"),
    phase=(_TEXT, "search or confirm"),
    arm=(_TEXT, "<method>/<condition>, and /random for a baseline that searches at random"),
    method=(_TEXT, "training method"),
    condition=(_TEXT, "label noise the trial trained under"),
    sampler=(_TEXT, "tpe, or random for a baseline: what suggested the settings after the published ones"),
    noise_kind=(_TEXT, "none, symmetric, symmetric_inclusive, asymmetric, pairflip, instance, human, confusion or saved"),
    noise_rate=(_FLOAT, "share of training labels that are wrong, in [0, 1): as asked for, or counted where the kind leaves it to chance"),
    n_wrong_labels=(_INT, "training labels that are wrong, counted; null of a trial that failed before it had data"),
    dataset=(_TEXT, "data source"),
    model=(_TEXT, "network"),
    trial_id=(_TEXT, "unique within the run"),
    trial_number=(_INT, "within arm and phase, from 0, in the order of suggestion"),
    chosen_as=(
        _TEXT,
        "of search trials that are confirmed, by validation values: best_accuracy, knee, best_ece or front of its arm; among all methods "
        "condition_knee, accurate_and_calibrated or no_worse_than_cross_entropy; null otherwise",
    ),
    confirms=(_TEXT, "of confirm trials: the search trial whose settings were trained again; null otherwise"),
    replicate=(
        _INT,
        "of confirm trials: which fresh seed, from 0; equal ones have equal seeds and wrong labels in every arm; null otherwise",
    ),
    seed=(_INT, "of this trial: weights, order, augmentation, partners"),
    noise_seed=(_INT, "of confirm trials: of their wrong labels; null where they are those of the search, or none"),
    noise_fingerprint=(_TEXT, "of the labels it was given; null of a trial that failed before it had data"),
    state=(_TEXT, "complete, failed, or stopped: ended early because others of its arm were better"),
    epochs=(_INT, "epochs trained"),
    stopped_at=(_INT, "epoch after which early stopping decided against it; null otherwise"),
    audited=(_BOOL, "decided against, but run to its end to see what is lost; state is stopped all the same"),
    val_accuracy=(_FLOAT, "on validation images by the study's validation labels, last epoch; fraction, null if it trained on them"),
    val_ece=(_FLOAT, "expected calibration error there, 15 bins; fraction"),
    val_nll=(_FLOAT, "negative log-likelihood there; nats"),
    val_brier=(_FLOAT, "Brier score there; 0 to 2"),
    validation_labels=(_TEXT, "which validation labels chose: clean or noisy"),
    val_accuracy_clean_labels=(_FLOAT, "accuracy by the true validation labels; fraction"),
    val_ece_clean_labels=(_FLOAT, "ECE by the true validation labels; fraction"),
    val_accuracy_noisy_labels=(_FLOAT, "accuracy by validation labels with the condition's noise; fraction"),
    val_ece_noisy_labels=(_FLOAT, "ECE by validation labels with the condition's noise; fraction"),
    objectives=(_TEXT, "the two columns that the search looked for and that on_front judges by"),
    val_corrupted_accuracy=(
        _FLOAT,
        "mean accuracy over the corrupted validation images, by the study's validation labels; fraction, null if none",
    ),
    val_corrupted_ece=(_FLOAT, "mean ECE over the corrupted validation images, by the study's validation labels; fraction, null if none"),
    val_corrupted_nll=(_FLOAT, "mean NLL over the corrupted validation images, by the study's validation labels; nats, null if none"),
    val_mean_corruption_error=(_FLOAT, "plain mean of the error rates of all corruptions and severities; fraction"),
    val_corruption_error_vs_cross_entropy=(
        _FLOAT,
        "mean over corruptions of the errors summed over severities, divided by those of this run's cross_entropy trial of the condition "
        "that is best in the first objective, without corruptions on which that trial makes none; 1 is as good as that; null without it",
    ),
    val_worst_corruption=(_TEXT, "the corruption with the lowest mean accuracy over its severities"),
    val_worst_corruption_accuracy=(_FLOAT, "that accuracy; fraction"),
    val_flip_probability=(_FLOAT, "mean over the perturbations of how often the predicted class changes along a sequence; null if none"),
    val_top5_distance=(_FLOAT, "mean over the perturbations of the top-5 distance; null if none, or with five classes or fewer"),
    temperature=(_FLOAT, "fitted on clean validation images by NLL; null if it trained on them"),
    test_accuracy=(_FLOAT, "on test images by their true labels, only reported; fraction, null in phase search"),
    test_accuracy_low=(_FLOAT, "lower end of its 95 % bootstrap interval over images; fraction"),
    test_accuracy_high=(_FLOAT, "upper end"),
    test_ece=(_FLOAT, "expected calibration error on test images, 15 bins, only reported; fraction, null in phase search"),
    test_ece_low=(_FLOAT, "lower end of its 95 % bootstrap interval over images, centred on the value; fraction"),
    test_ece_high=(_FLOAT, "upper end"),
    test_nll=(_FLOAT, "negative log-likelihood there; nats"),
    test_brier=(_FLOAT, "Brier score there; 0 to 2"),
    test_ece_temperature_scaled=(
        _FLOAT,
        "ECE there after temperature scaling by `temperature`, or by that of the trial it confirms if it trained on all; fraction",
    ),
    test_corrupted_accuracy=(_FLOAT, "mean accuracy over the corrupted test images; fraction"),
    test_corrupted_ece=(_FLOAT, "mean ECE over the corrupted test images; fraction"),
    test_corrupted_nll=(_FLOAT, "mean NLL over the corrupted test images; nats"),
    test_mean_corruption_error=(_FLOAT, "plain mean of the error rates of all corruptions and severities of test images; fraction"),
    test_corruption_error_vs_cross_entropy=(
        _FLOAT,
        "as val_corruption_error_vs_cross_entropy, on test images, against the training with the same fresh seed that confirms the "
        "condition's most accurate cross_entropy trial",
    ),
    test_worst_corruption=(_TEXT, "the corruption of test images with the lowest mean accuracy over its severities"),
    test_worst_corruption_accuracy=(_FLOAT, "that accuracy; fraction"),
    test_flip_probability=(_FLOAT, "mean over the perturbations of how often the predicted class changes along a sequence of test images"),
    test_top5_distance=(_FLOAT, "mean over the perturbations of the top-5 distance of test images"),
    on_front=(_BOOL, "phase search: no finished trial of the arm is better in both objectives; false in phase confirm"),
    train_seconds=(_FLOAT, "wall time of the epochs, validation included"),
    evaluate_seconds=(_FLOAT, "wall time of the final evaluation"),
    images_per_second=(_FLOAT, "images pushed through the network a second of training"),
    images_seen=(_INT, "images pushed through the network in training, partners included"),
    n_parameters=(_INT, "trainable parameters"),
    node=(_TEXT, "host name"),
    device=(_TEXT, "cpu, or the GPU's name"),
    error=(_TEXT, "why a trial failed; null otherwise"),
)  # and param_<name> (float64, or text) for each hyperparameter, null where a method has none
EPOCHS: Final = _schema(
    trial_id=(_TEXT, "of table trials"),
    epoch=(_INT, "1 is the first"),
    train_loss=(_FLOAT, "mean total loss; nats"),
    train_accuracy=(_FLOAT, "training images predicted as their given label when they were trained on; fraction"),
    val_accuracy=(_FLOAT, "by the study's validation labels; fraction"),
    val_ece=(_FLOAT, "by the study's validation labels; fraction"),
    val_nll=(_FLOAT, "by the study's validation labels; nats"),
    learning_rate=(_FLOAT, "of the epoch's last step"),
    label_recovery=(_FLOAT, "wrongly labelled training images whose label is estimated right; fraction, null without noise"),
    memorised=(_FLOAT, "wrongly labelled training images predicted as their wrong label; fraction, null without noise"),
    images_seen=(_INT, "images pushed through the network in this epoch, partners included"),
    seconds=(_FLOAT, "wall time, validation included"),
)
_SHIFT_KEY: Final = {
    "trial_id": (_TEXT, "of table trials"),
    "phase": (_TEXT, "search or confirm"),
    "split": (_TEXT, "val (by the study's validation labels), val_clean_labels, val_noisy_labels, or test"),
    "shift": (_TEXT, "clean, corruption or perturbation"),
    "name": (_TEXT, "of the corruption or perturbation; clean"),
    "severity": (_INT, "1 to 5; 0 for clean, 1 for a perturbation"),
}
EVALUATIONS: Final = _schema(
    **_SHIFT_KEY,
    n=(_INT, "images, or sequences"),
    accuracy=(_FLOAT, "fraction"),
    top5_accuracy=(_FLOAT, "label among the five most probable; fraction, null with five classes or fewer"),
    ece=(_FLOAT, "expected calibration error, 15 equal bins (low, high]; fraction"),
    adaptive_ece=(_FLOAT, "15 bins of equal mass; fraction"),
    classwise_ece=(_FLOAT, "mean over classes, 15 equal bins; fraction"),
    maximum_calibration_error=(_FLOAT, "largest gap of the 15 equal bins; fraction"),
    rms_calibration_error=(_FLOAT, "root mean square gap, 15 equal bins; fraction"),
    debiased_calibration_error=(_FLOAT, "RMS error, 15 bins of equal mass, less what sampling adds; fraction"),
    nll=(_FLOAT, "negative log-likelihood; nats"),
    brier=(_FLOAT, "Brier score; 0 to 2"),
    aurc=(_FLOAT, "area under the risk-coverage curve; fraction"),
    excess_aurc=(_FLOAT, "aurc less that of an ideal order; fraction"),
    ece_temperature_scaled=(_FLOAT, "ECE after temperature scaling; fraction; optimistic on val, where the temperature is fitted"),
    temperature=(_FLOAT, "fitted on clean validation images by NLL"),
    flip_probability=(_FLOAT, "of perturbation sequences, whose other metrics are null; null otherwise"),
    top5_distance=(_FLOAT, "of perturbation sequences; null otherwise, and with five classes or fewer"),
)
RELIABILITY: Final = _schema(
    **_SHIFT_KEY,
    bin=(_INT, "0 to 14; bin b is (b/15, (b+1)/15]"),
    count=(_INT, "images"),
    mean_confidence=(_FLOAT, "fraction; null in an empty bin"),
    accuracy=(_FLOAT, "fraction; null in an empty bin"),
)
