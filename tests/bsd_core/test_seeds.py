from __future__ import annotations

import hashlib

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from bsd_core.seeds import derive_seed, numpy_stream, torch_stream
from tests._dummies import PROPERTY


def test_a_seed_is_half_the_64_bit_hash_of_root_and_names() -> None:
    digest = hashlib.blake2b(b"7\x1fbsd/none\x1f3", digest_size=8).digest()
    assert derive_seed(7, "bsd/none", 3) == int.from_bytes(digest, "little") // 2


def test_seeds_never_change_from_one_version_to_the_next() -> None:
    assert derive_seed(0) == 4246866556266386882
    assert derive_seed(1, "weights") == 6335956507797610733


@PROPERTY
@given(st.integers(), st.lists(st.text(max_size=5), max_size=3))
def test_seeds_fit_in_63_bits(root: int, names: list[str]) -> None:
    assert 0 <= derive_seed(root, *names) < 2**63


def test_names_count_by_their_text_and_by_where_they_end() -> None:
    assert derive_seed(1, "a", 3) == derive_seed(1, "a", "3")
    streams = [(1, "ab", "c"), (1, "a", "bc"), (1, "abc"), (1, "c", "ab"), (2, "ab", "c"), (12, "c")]
    seeds = [derive_seed(int(root), *names) for root, *names in streams]
    assert len(set(seeds)) == len(seeds)


def test_a_stream_does_not_depend_on_the_streams_made_before_it() -> None:
    alone = numpy_stream(5, "b").integers(0, 2**32, 4)
    numpy_stream(5, "a").integers(0, 2**32, 100)
    assert np.array_equal(numpy_stream(5, "b").integers(0, 2**32, 4), alone)
    assert not np.array_equal(numpy_stream(5, "a").integers(0, 2**32, 4), alone)


def test_torch_streams_of_one_name_are_equal_and_of_two_differ() -> None:
    first, again, other = (torch.rand(8, generator=torch_stream(5, name)) for name in ("a", "a", "b"))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_making_streams_leaves_the_global_random_states_alone() -> None:
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state(legacy=False)
    torch_stream(0, "a")
    numpy_stream(0, "a")
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert str(np.random.get_state(legacy=False)) == str(numpy_state)
