"""Chooses per page, block by block, what is main text, by a small model over what the blocks' markup and text say."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from mmpipe.errors import ConfigurationError
from mmpipe.extraction.decoding import encode_page
from mmpipe.light_imports import start_numba

#: The packaged model; `benchmarks/train_chooser.py` makes it.
MODEL_FILE = Path(__file__).with_name("chooser.npz")


class ChooserModel(NamedTuple):
    """Decision trees for the log odds that a block is main text, as `block_trees.score_blocks` takes them, and limits.

    Attributes:
        cautious_limit, least_share: as `block_trees.choose_blocks` takes them.
    """

    starts: NDArray[np.int32]
    features: NDArray[np.int16]
    limits: NDArray[np.float32]
    masks: NDArray[np.uint32]
    leaves: NDArray[np.float32]
    cautious_limit: float
    least_share: float


class BlockChoice(NamedTuple):
    """A page's text and blocks as `html_blocks.read_blocks` gives them, and which blocks are main text.

    Attributes:
        expected_f1: word F1 with the main text that the model expects of the choice, 0 to 1.
        is_cut: whether the page has more blocks than are read.
    """

    text: NDArray[np.uint8]
    blocks: NDArray[np.int32]
    chosen: NDArray[np.bool_]
    expected_f1: float
    is_cut: bool


@cache
def load_model(path: Path = MODEL_FILE) -> ChooserModel:
    """Return a model from its file.

    Raises:
        ConfigurationError: the file is no model, or was trained for other features than this version measures.
    """
    start_numba()
    from mmpipe.extraction.block_features import FEATURES

    remedy = "train one with benchmarks/train_chooser.py, or set another `extraction.extractor`"
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = dict(stored)
    except (OSError, ValueError, BadZipFile) as error:
        raise ConfigurationError(
            f"extraction: the chooser's model {path} cannot be read ({error}): {remedy}."
        ) from error
    if tuple(arrays.get("names", ())) != FEATURES:
        raise ConfigurationError(f"extraction: the chooser's model {path} was trained for other features: {remedy}.")
    trees = arrange_trees(*(arrays[name] for name in ("roots", "features", "limits", "children", "values")))
    return ChooserModel(*trees, *(float(value) for value in arrays["choice"]))


def arrange_trees(
    roots: NDArray[np.int32],
    features: NDArray[np.int16],
    limits: NDArray[np.float32],
    children: NDArray[np.int32],
    values: NDArray[np.float32],
) -> tuple[NDArray[np.int32], NDArray[np.int16], NDArray[np.float32], NDArray[np.uint32], NDArray[np.float32]]:
    """Return trees as `block_trees.score_blocks` takes them: starts, features, limits, masks, leaves.

    Args:
        roots: node at which each tree begins.
        features: measure that a node asks for, -1 in a leaf.
        limits: a block goes left where its measure is at most this.
        children: left child of a node; the right one follows it.
        values: what a leaf adds.

    Raises:
        ConfigurationError: a tree has more than 32 leaves.
    """
    from mmpipe.extraction.block_trees import MOST_LEAVES, place_leaf

    asked, first_children = features.tolist(), children.tolist()
    starts, splits, masks = [0], [], []
    leaves = np.zeros((len(roots), MOST_LEAVES), np.float32)
    for tree, root in enumerate(roots.tolist()):
        # from the left: a split comes up again with its first leaf's number once all leaves on its left are numbered
        waiting, number = [(root, -1)], 0
        while waiting:
            node, first_leaf = waiting.pop()
            if first_leaf >= 0:
                splits.append(node)
                masks.append(0xFFFFFFFF ^ (1 << number) - (1 << first_leaf))
            elif asked[node] >= 0:
                waiting += ((first_children[node] + 1, -1), (node, number), (first_children[node], -1))
            elif number == MOST_LEAVES:
                raise ConfigurationError(
                    f"extraction: a tree of the chooser's model has more than {MOST_LEAVES} leaves: train with fewer."
                )
            else:
                leaves[tree, place_leaf(number)] = values[node]
                number += 1
        starts.append(len(splits))
    return np.array(starts, np.int32), features[splits], limits[splits], np.array(masks, np.uint32), leaves


@cache
def read_model_digest(path: Path = MODEL_FILE) -> str:
    """Return the first 8 hexadecimal digits of the SHA-256 of a model's file."""
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()[:8]


def choose_page_blocks(html: str, model: ChooserModel) -> BlockChoice:
    """Read a page's blocks and choose those that are its main text."""
    from mmpipe.extraction.block_features import measure_blocks
    from mmpipe.extraction.block_trees import choose_blocks, score_blocks
    from mmpipe.extraction.html_blocks import read_blocks
    from mmpipe.extraction.html_runs import WORDS
    from mmpipe.extraction.html_vocabulary import load_vocabulary

    page = np.frombuffer(encode_page(html), np.uint8)
    text, blocks, marks, elements, is_cut = read_blocks(page, load_vocabulary())
    measures = measure_blocks(blocks, marks, elements, page.size)
    probabilities = score_blocks(measures, *model[:5])
    words = np.maximum(blocks[:, WORDS], 0.5)
    chosen, best, cautious = choose_blocks(probabilities, words, model.cautious_limit, model.least_share)
    is_cautious = cautious >= model.least_share * best
    return BlockChoice(text, blocks, chosen, cautious if is_cautious else best, bool(is_cut))
