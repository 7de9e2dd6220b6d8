"""Maps of features by t-SNE, kept from one report to the next: one takes seconds."""

from __future__ import annotations

import contextlib
import hashlib
import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from bsd_core.errors import StorageError
from studies.parquet_file import read_parquet
from studies.run_folder import write_atomically

Float32 = npt.NDArray[np.float32]
MOST_PLACES: Final = 8_000  # of all maps of a report together: four of 2,000 take 8 to 12 s, and many small ones less
FEWEST: Final = 4  # images: with fewer no perplexity is possible
_PERPLEXITY: Final = 30.0
_STEPS: Final = 500  # 1,000 take 2.5 times as long and keep neighbours as well: trustworthiness 0.913 and 0.913 with 2,000 images


def perplexity_of(n: int) -> float:
    """For a map of n images: 30, or a third of the others where they are fewer."""
    return min(_PERPLEXITY, (n - 1) / 3)


def map_features(values: npt.NDArray[np.floating], *, seed: int) -> Float32:
    """Where t-SNE puts images in the plane by the directions of their features, as Recall@1 compares them.

    Begins at the first two principal components and runs in one thread, so a machine gives the same map each time.

    Args:
        values: (n, D), finite, n >= `FEWEST`.
        seed: of what is random in it.

    Returns:
        (n, 2), without unit; all 0 where all features point one way.

    References:
        van der Maaten & Hinton, JMLR 2008, by scikit-learn.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    features = np.asarray(values, dtype=np.float64)
    features = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    if np.ptp(features, axis=0).max() < 1e-9:
        return np.zeros((len(features), 2), dtype=np.float32)
    begin = "pca" if features.shape[1] >= 2 else "random"
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = {"perplexity": perplexity_of(len(features)), "init": begin, "max_iter": _STEPS, "n_jobs": 1}
        tsne = TSNE(**plain, random_state=seed % 2**32)
        places: Float32 = tsne.fit_transform(features).astype(np.float32)
    return places if np.isfinite(places).all() else np.zeros_like(places)


class FeatureMaps:
    """Maps that were made before, in report/feature_maps.parquet: columns key, x and y, a row an image.

    What cannot be read is made again, and what cannot be written is only slower next time.

    Args:
        path: of the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._changed, self._used = path, False, dict[str, Float32]()
        self._known = _read(path)

    def map(self, values: npt.NDArray[np.floating], *, seed: int) -> Float32:
        """As `map_features`, from the file where it has the map of these very features."""
        key = _key(values, seed)
        found = self._known.get(key)
        if found is None or len(found) != len(values):
            found, self._changed = map_features(values, seed=seed), True
        self._used[key] = found
        return found

    def save(self) -> None:
        """Keep the maps that were asked for, and no others."""
        if not self._changed and self._used.keys() == self._known.keys():
            return
        keys = [key for key, places in self._used.items() for _ in places]
        places = np.concatenate([*self._used.values(), np.zeros((0, 2), dtype=np.float32)])
        sink = io.BytesIO()
        pq.write_table(pa.table({"key": keys, "x": places[:, 0], "y": places[:, 1]}, schema=_SCHEMA), sink)
        with contextlib.suppress(StorageError):
            write_atomically(self._path, sink.getvalue())


_SCHEMA: Final = pa.schema([("key", pa.string()), ("x", pa.float32()), ("y", pa.float32())])


def _key(values: npt.NDArray[np.floating], seed: int) -> str:
    """Names features and everything that a map depends on besides."""
    import sklearn

    settings = ("t-SNE of directions", perplexity_of(len(values)), _STEPS, seed, sklearn.__version__, values.dtype.str, values.shape)
    digest = hashlib.blake2b(repr(settings).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _read(path: Path) -> Mapping[str, Float32]:
    """By key; nothing of a file that is not there or is none of maps."""
    try:
        with pq.ParquetFile(path) as file:
            if file.metadata.num_rows > MOST_PLACES:
                return {}
        table: Any = read_parquet(path, ["key", "x", "y"]).cast(_SCHEMA)
    except (OSError, ValueError, pa.ArrowException):
        return {}
    keys = table["key"].combine_chunks().dictionary_encode()
    if keys.null_count:
        return {}
    places = np.stack([table[name].to_numpy() for name in ("x", "y")], axis=1)
    of_key = keys.indices.to_numpy()
    order = np.argsort(of_key, kind="stable")
    parts = np.split(places[order], np.flatnonzero(np.diff(of_key[order])) + 1) if len(order) else []
    return {key: own for key, own in zip(keys.dictionary.to_pylist(), parts, strict=True) if np.isfinite(own).all()}
