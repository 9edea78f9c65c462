from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execution_ledger.domain import Tree

# The leaf inputs of the reference tests of Certificate Transparency (RFC 6962), and the roots published with them.
CT_LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
CT_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def leaf(data: bytes) -> bytes:
    return sha256(b"\x00" + data).digest()


def naive_root(leaves: list[bytes]) -> bytes:
    """The definition of RFC 9162, section 2.1.1, to the letter."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + naive_root(leaves[:split]) + naive_root(leaves[split:])).digest()


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_published_with_certificate_transparency(size: int) -> None:
    leaves = [leaf(bytes.fromhex(data)) for data in CT_LEAVES[:size]]
    tree = Tree()
    tree.extend(leaves)
    assert tree.root.hex() == CT_ROOTS[size]
    assert naive_root(leaves).hex() == CT_ROOTS[size]


@settings(deadline=None)  # a slow machine is no failure
@given(st.integers(0, 200), st.binary(max_size=4))
def test_a_growing_tree_has_the_root_of_the_definition(size: int, seed: bytes) -> None:
    leaves = [leaf(seed + at.to_bytes(2)) for at in range(size)]
    tree = Tree()
    tree.extend(leaves)
    assert (tree.root, tree.size) == (naive_root(leaves), size)


def test_the_root_is_right_at_every_size_on_the_way() -> None:
    leaves = [leaf(bytes([at])) for at in range(130)]
    tree = Tree()
    for size, each in enumerate(leaves, 1):
        tree.append(each)
        assert tree.root == naive_root(leaves[:size])
        assert tree.root == tree.root, "asking does not change it"


@settings(deadline=None)  # a slow machine is no failure
@given(st.lists(st.binary(min_size=1, max_size=3), min_size=1, max_size=40, unique=True), st.data())
def test_every_leaf_and_its_place_count(inputs: list[bytes], data: st.DataObject) -> None:
    def root(each: list[bytes]) -> bytes:
        tree = Tree()
        tree.extend(map(leaf, each))
        return tree.root

    at = data.draw(st.integers(0, len(inputs) - 1))
    changed = [*inputs[:at], inputs[at] + b"!", *inputs[at + 1 :]]
    assert len({root(inputs), root(changed), root(inputs[:at] + inputs[at + 1 :])}) == 3
    if len(inputs) > 1:
        assert root(inputs[::-1]) != root(inputs)


def test_an_inner_node_cannot_pass_for_a_leaf() -> None:
    two, one = Tree(), Tree()
    two.extend([leaf(b"a"), leaf(b"b")])
    one.append(leaf(leaf(b"a") + leaf(b"b")))
    assert two.root != one.root
