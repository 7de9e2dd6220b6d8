"""Label noise: which training labels are wrong, and what they say instead.

The noise of a run depends on (labels, kind, rate, seed) alone, with the images or a file where the kind needs them, never on the method
that trains on it. `NOISE_KINDS` says of each kind what it needs and whether its number of wrong labels is exact.
"""

from bsd_core.data.label_noise.class_maps import ASYMMETRIC_MAPS, next_in_group
from bsd_core.data.label_noise.given import Noise, Split, given_labels
from bsd_core.data.label_noise.human import human_labels
from bsd_core.data.label_noise.instance import check_instance_size, instance_features
from bsd_core.data.label_noise.kinds import check_spoils_any, expected_rate
from bsd_core.data.label_noise.record import NoiseRecord, file_details
from bsd_core.data.label_noise.saved import SplitLabels, load_labels, save_labels
from bsd_core.data.label_noise.spoil import spoil_labels
from bsd_core.data.label_noise.transition import check_transition_matrix, load_transition_matrix
from bsd_core.data.noise_kinds import HUMAN_SETS, NOISE_KINDS, Need, NoiseKind

__all__ = [
    "ASYMMETRIC_MAPS",
    "HUMAN_SETS",
    "NOISE_KINDS",
    "Need",
    "Noise",
    "NoiseKind",
    "NoiseRecord",
    "Split",
    "SplitLabels",
    "check_instance_size",
    "check_spoils_any",
    "check_transition_matrix",
    "expected_rate",
    "file_details",
    "given_labels",
    "human_labels",
    "instance_features",
    "load_labels",
    "load_transition_matrix",
    "next_in_group",
    "save_labels",
    "spoil_labels",
]
