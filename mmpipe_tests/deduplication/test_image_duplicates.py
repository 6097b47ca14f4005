from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.deduplication.evaluation_images import parse_hashes, sort_evaluation_hashes
from mmpipe.deduplication.image_duplicates import ImageEmbeddings, ImageSearch, cite_duplicates, find_duplicates
from mmpipe.errors import ConfigurationError, SchemaError
from mmpipe.tables.image_duplicates import IMAGE_DUPLICATE_METHODS
from mmpipe.tables.removals import IMAGE_REMOVALS

CAPTIONS = ["a cat", "a  cat ", "a dog"]


def make_pairs(seed: int, count: int, published: int = 0, *, wanders: bool = True) -> pl.DataFrame:
    """Return pairs around few pictures, with turned and trimmed hashes, ties in all they may be preferred by."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 2**64, 1 + count // 8, dtype=np.uint64)

    def draw() -> str:
        flips = sum(1 << bit for bit in set(rng.integers(0, 64, int(rng.integers(0, 6)) if wanders else 0).tolist()))
        return f"{int(rng.choice(centres)) ^ flips:016x}"

    rows = []
    for number in range(count):
        upright = draw()
        turned = [draw() if rng.random() < 0.05 else f"{int(rng.integers(0, 2**63)):016x}" for _ in range(7)]
        rows.append(
            {
                "pair_id": f"p{number:05}",
                "dump": "old" if number < published else "new",
                "caption": str(rng.choice(CAPTIONS)),
                "dump_sequence": int(rng.integers(0, 2)) if number < published else None,
                "area": float(rng.integers(1, 4)) if rng.random() < 0.9 else None,
                "clip_similarity": float(rng.integers(0, 3)) if rng.random() < 0.8 else float("nan"),
                "caption_chars": float(rng.integers(5, 7)),
                "phash": upright if rng.random() < 0.95 else None,
                "phash_orientations": " ".join([upright, *turned]) if rng.random() < 0.9 else None,
                "phash_trimmed": draw() if rng.random() < 0.2 else upright,
                "image_sha256": f"{number % 50:064x}",
            }
        )
    schema = {"dump_sequence": pl.Int64, "area": pl.Float64, "phash": pl.String, "phash_orientations": pl.String}
    return pl.DataFrame(rows, schema_overrides=schema)


def decide_plainly(  # noqa: C901 - the definition, read aloud
    pairs: list[dict[str, Any]], search: ImageSearch
) -> dict[str, tuple[str, str | None, int | None]]:
    """Return pair_id → (kept, method, bits), one pair after the other, as the definition reads."""

    def rank(pair: dict[str, Any]) -> tuple[Any, ...]:
        sequence = pair["dump_sequence"]
        values = [
            pair[{"area": "area", "similarity": "clip_similarity", "caption": "caption_chars"}[n]] for n in search.keep
        ]
        known = [
            (value is None or value != value, -(value if value is not None and value == value else 0))
            for value in values
        ]
        return ((sequence is None, sequence or 0), *known, pair["pair_id"])

    def bits(one: str, other: str) -> int:
        return (int(one, 16) ^ int(other, 16)).bit_count()

    decided: dict[str, tuple[str, str | None, int | None]] = {}
    kept: list[dict[str, Any]] = []
    for pair in sorted(pairs, key=rank):
        found: list[tuple[int, int, int, dict[str, Any], str]] = []
        for place, other in enumerate(kept):
            if pair["dump_sequence"] is not None or pair["phash"] is None or other["phash"] is None:
                continue
            if search.same_caption and pair["caption"].split() != other["caption"].split():
                continue
            trimmed = search.trims_borders
            turned = (pair["phash_orientations"] or pair["phash"]).split() if search.orientations else []
            stored = [("", other["phash"]), *([("border", other["phash_trimmed"])] if trimmed else [])]
            asked = [
                (0, "phash", pair["phash"]),
                *((1, "orientation", value) for value in turned if value != pair["phash"]),
                *([(2, "border", pair["phash_trimmed"])] if trimmed and pair["phash_trimmed"] != pair["phash"] else []),
            ]
            for order, method, value in asked:
                for side, against in stored:
                    distance = bits(value, against)
                    if distance <= search.phash_distance:
                        found.append((order, distance, place, other, side or method))
        if found:
            order, distance, place, other, _ = min(found, key=lambda item: item[:3])
            methods = {item[4] for item in found if item[:3] == (order, distance, place)}
            decided[pair["pair_id"]] = (other["pair_id"], "/".join(sorted(methods)), distance)
        else:
            kept.append(pair)
            decided[pair["pair_id"]] = (pair["pair_id"], None, None)
    return decided


SEARCHES = st.builds(
    ImageSearch,
    phash_distance=st.integers(0, 12),
    orientations=st.booleans(),
    trims_borders=st.booleans(),
    same_caption=st.booleans(),
    keep=st.permutations(["area", "similarity", "caption"]).map(tuple),
)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 70), st.sampled_from([0, 10]), SEARCHES, st.randoms(use_true_random=False))
def test_pairs_are_decided_as_the_definition_reads_whatever_their_order(
    tmp_path_factory, seed, count, published, search, random
) -> None:
    pairs = make_pairs(seed, count, min(count, published))
    order = list(range(count))
    random.shuffle(order)
    found = find_duplicates(pairs[order], search, scratch=tmp_path_factory.getbasetemp()).duplicates
    decided = decide_plainly(pairs.to_dicts(), search)
    clusters: dict[str, list[str]] = {}
    for pair_id, (kept, _, _) in decided.items():
        clusters.setdefault(kept, []).append(pair_id)
    fresh = set(pairs.filter(pl.col("dump_sequence").is_null()).get_column("pair_id"))
    expected = {
        pair_id: (kept, bits, min(clusters[kept]), len(clusters[kept]), pair_id == kept)
        for pair_id, (kept, _, bits) in decided.items()
        if len(clusters[kept]) > 1 and pair_id in fresh
    }
    columns = ("pair_id", "kept_pair_id", "distance", "cluster_id", "cluster_pairs", "is_kept")
    assert {row[0]: row[1:] for row in found.select(columns).iter_rows()} == expected
    for pair_id, method in found.select("pair_id", "method").iter_rows():
        assert (method is None) == (decided[pair_id][1] is None)
        assert method is None or method in decided[pair_id][1].split("/")


@pytest.mark.parametrize("orientations", [False, True])
def test_many_pairs_are_decided_by_the_index_as_by_the_definition(orientations: bool, tmp_path: Path) -> None:
    # more hashes stay than are scanned, so that most are looked up in bands
    rng = np.random.default_rng(3)
    count = 12_000
    hashes = rng.integers(0, 2**64, count, dtype=np.uint64)
    near = rng.integers(0, count, count // 4)
    hashes[near] = hashes[rng.integers(0, count, len(near))] ^ (
        np.uint64(0b1011) << rng.integers(0, 60, len(near)).astype(np.uint64)
    )
    pairs = make_pairs(3, 1).drop("phash", "phash_orientations", "pair_id").join(
        pl.DataFrame({"pair_id": [f"p{n:06}" for n in range(count)], "phash": [f"{int(h):016x}" for h in hashes]}),
        how="cross",
    ).with_columns(phash_orientations=pl.concat_str([pl.col("phash")] * 8, separator=" "))  # fmt: skip
    search = ImageSearch(phash_distance=6, same_caption=False, orientations=orientations)
    found = find_duplicates(pairs, search, scratch=tmp_path).duplicates
    kept = np.empty(count, dtype=np.uint64)
    stays, expected = 0, {}
    names = []
    for row, value in enumerate(hashes):
        bits = np.bitwise_count(kept[:stays] ^ value)
        if stays and bits.min() <= 6:
            expected[f"p{row:06}"] = (names[int(bits.argmin())], int(bits.min()))
        else:
            kept[stays] = value
            names.append(f"p{row:06}")
            stays += 1
    assert stays > 8192
    gone = found.filter(~pl.col("is_kept")).select("pair_id", "kept_pair_id", "distance")
    assert {pair_id: (keeper, bits) for pair_id, keeper, bits in gone.iter_rows()} == expected


def test_of_two_pictures_as_near_the_better_is_named_whichever_turn_finds_it(tmp_path: Path) -> None:
    best, second, turned = "00000000ffffffff", "ffffffff00000000", "0f0f0f0f0f0f0f0f"
    far = [f"{digit}" * 16 for digit in "356ac"]
    pairs = make_pairs(1, 3).with_columns(
        phash=pl.Series([best, second, turned]),
        phash_orientations=pl.Series([None, None, " ".join([turned, second, best, *far])]),
        area=pl.Series([3.0, 2.0, 1.0]),
        caption=pl.lit("x"),
    )
    found = find_duplicates(pairs, ImageSearch(phash_distance=2, orientations=True), scratch=tmp_path).duplicates
    assert found.filter(~pl.col("is_kept")).select("pair_id", "kept_pair_id", "method").rows() == [
        ("p00002", "p00000", "orientation")
    ]


def test_of_a_chain_the_far_end_stays(tmp_path: Path) -> None:
    hashes = ["0000000000000000", "000000000000001f", "00000000000003ff"]
    pairs = make_pairs(1, 3).with_columns(
        phash=pl.Series(hashes), area=pl.Series([3.0, 2.0, 1.0]), caption=pl.lit("x"), phash_orientations=None
    )
    found = find_duplicates(pairs, ImageSearch(phash_distance=5), scratch=tmp_path).duplicates
    assert found.select("pair_id", "kept_pair_id", "distance", "is_kept").rows() == [
        ("p00000", "p00000", None, True),
        ("p00001", "p00000", 5, False),
    ]


def make_embeddings(pairs: pl.DataFrame, seed: int) -> ImageEmbeddings:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(4, 16))
    vectors = centres[rng.integers(0, 4, pairs.height)] + rng.normal(size=(pairs.height, 16)) * 0.12
    return ImageEmbeddings(pairs.get_column("pair_id"), vectors.astype("<f2"))


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 60), st.booleans(), st.randoms(use_true_random=False))
def test_near_embeddings_go_for_the_nearest_that_stays(tmp_path_factory, seed, count, same_caption, random) -> None:
    scratch = tmp_path_factory.mktemp("scratch")
    pairs = make_pairs(seed, count)
    embeddings = make_embeddings(pairs, seed)
    search = ImageSearch(phash_distance=2, same_caption=same_caption, embedding_similarity=0.985, embedding_clusters=1)
    found = find_duplicates(pairs, search, scratch=scratch, embeddings=embeddings).duplicates
    order = list(range(count))
    random.shuffle(order)
    shuffled = ImageEmbeddings(embeddings.pair_ids[order], embeddings.vectors[order])
    assert found.equals(find_duplicates(pairs.reverse(), search, scratch=scratch, embeddings=shuffled).duplicates)
    assert not list(scratch.iterdir())

    vectors = embeddings.vectors.astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1)[:, None]
    place = {pair_id: number for number, pair_id in enumerate(pairs.get_column("pair_id"))}
    gone = set(found.filter(~pl.col("is_kept")).get_column("pair_id"))
    for pair_id, kept, similarity in (
        found.filter(pl.col("method") == "embedding").select("pair_id", "kept_pair_id", "similarity").iter_rows()
    ):
        assert kept not in gone
        assert similarity == pytest.approx(vectors[place[pair_id]] @ vectors[place[kept]], abs=1e-6)
        assert similarity >= 0.985 - 1e-6
    # no two that stay are near, unless their captions tell them apart
    words = [caption.split() for caption in pairs.get_column("caption")]
    stays = [number for pair_id, number in place.items() if pair_id not in gone]
    for one in stays:
        for other in stays:
            if one < other and (not same_caption or words[one] == words[other]):
                assert vectors[one] @ vectors[other] < 0.985 + 1e-5


def test_what_clusters_part_is_counted(tmp_path: Path) -> None:
    pairs = make_pairs(5, 400)
    embeddings = make_embeddings(pairs, 5)
    counts = [
        find_duplicates(
            pairs,
            ImageSearch(phash_distance=None, embedding_similarity=0.95, embedding_clusters=clusters),
            scratch=tmp_path,
            embeddings=embeddings,
        ).counts
        for clusters in (1, 40)
    ]
    unit = embeddings.vectors.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1)[:, None]
    assert counts[0]["sampled_embedding_pairs"] == counts[1]["sampled_embedding_pairs"] > 1000
    assert counts[0]["sampled_embedding_pairs"] == int((unit @ unit.T >= 0.95).sum()) - 400
    assert counts[0]["sampled_embedding_pairs_parted"] == 0
    assert 0 < counts[1]["sampled_embedding_pairs_parted"] < counts[1]["sampled_embedding_pairs"]


def test_evaluation_images_go_and_are_kept_for_nobody(tmp_path: Path) -> None:
    pairs = make_pairs(2, 6).with_columns(
        phash=pl.Series(["00000000000000ff", "00000000000000fe", *["aaaaaaaaaaaaaaaa"] * 2, None, "1234567812345678"]),
        phash_orientations=pl.lit(None, dtype=pl.String),
        phash_trimmed=pl.lit(None, dtype=pl.String),
        caption=pl.lit("x"),
        image_sha256=pl.Series([f"{n:064x}" for n in range(6)]),
        image_md5=pl.Series([f"{n:032x}" for n in range(6)]),
    )  # fmt: skip
    evaluation = sort_evaluation_hashes(["00000000000000FF", "0" * 16, f"{0:064x}", f"{2:064x}", f" {5:032X}"])
    found = find_duplicates(
        pairs,
        ImageSearch(phash_distance=4, evaluation_distance=1, trims_borders=True),
        scratch=tmp_path,
        evaluation=evaluation,
    ).duplicates  # fmt: skip
    assert found.select("pair_id", "method", "distance", "evaluation_hash", "kept_pair_id", "is_kept").rows() == [
        ("p00000", "evaluation_set", None, f"{0:064x}", None, False),
        ("p00001", "evaluation_set", 1, "00000000000000ff", None, False),
        ("p00002", "evaluation_set", None, f"{2:064x}", None, False),
        ("p00005", "evaluation_set", None, f"{5:032x}", None, False),
    ]
    removals = cite_duplicates(found)
    assert removals.select("rule", "signal", "value", "value_text", "low").rows()[1:3] == [
        ("coyo_evaluation_image", "phash_distance", 1.0, "00000000000000ff", 2.0),
        ("coyo_evaluation_image", "image_sha256", None, f"{2:064x}", None),
    ]


def test_removals_name_the_paper_the_value_and_the_limit(tmp_path: Path) -> None:
    pairs = make_pairs(1, 4, wanders=False).with_columns(
        phash=pl.Series(["00000000000000ff", "00000000000000ff", "00000000000000fe", "00000000000000ff"]),
        area=pl.Series([4.0, 3.0, 2.0, 1.0]),
        caption=pl.Series(["x y", " x  y", "x y", "z"]),
    )
    for same_caption, rules in ((True, ["coyo_duplicate_pair", "mmpipe_near_duplicate_image"]), (False, None)):
        search = ImageSearch(phash_distance=3, same_caption=same_caption)
        removals = cite_duplicates(find_duplicates(pairs, search, scratch=tmp_path).duplicates)
        assert IMAGE_REMOVALS.conform(removals).equals(removals)
        assert removals.get_column("rule").to_list() == (
            rules or ["coyo_duplicate_pair", "mmpipe_near_duplicate_image", "mmpipe_near_duplicate_image"]
        )
        assert set(removals.get_column("low")) == {4.0}
        assert removals.get_column("value").to_list()[:2] == [0.0, 1.0]
        assert set(removals.get_column("value_text")) == {"p00000"}


@given(st.lists(st.one_of(st.none(), st.lists(st.integers(0, 2**64 - 1), min_size=8, max_size=8)), max_size=9))
def test_hashes_in_hexadecimal_are_read_as_they_were_written(rows) -> None:
    written = pl.Series(
        "h", [None if row is None else " ".join(f"{value:016x}" for value in row) for row in rows], dtype=pl.String
    )
    numbers, has_hash = parse_hashes(written, 8)
    assert has_hash.tolist() == [row is not None for row in rows]
    assert numbers.tolist() == [row or [0] * 8 for row in rows]


def test_what_is_no_hash_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="'xyz' is no hash"):
        sort_evaluation_hashes(["0" * 16, "xyz"])
    with pytest.raises(SchemaError, match="1 rows do not hold 1 hashes"):
        parse_hashes(pl.Series("phash", ["0" * 16, "12", None]))
    with pytest.raises(ConfigurationError, match="no preference 'aera'"):
        ImageSearch(keep=("aera",))
    with pytest.raises(SchemaError, match="no column phash_trimmed"):
        find_duplicates(make_pairs(1, 2).drop("phash_trimmed"), ImageSearch(trims_borders=True), scratch=tmp_path)
    with pytest.raises(SchemaError, match="listed by md5"):
        find_duplicates(
            make_pairs(1, 2), ImageSearch(), scratch=tmp_path, evaluation=sort_evaluation_hashes(["0" * 32])
        )


def test_what_is_found_keeps_the_contract(tmp_path: Path) -> None:
    contract = yaml.safe_load((Path(__file__).parents[2] / "data_contracts/image_duplicates.odcs.yaml").read_text())
    asked = {rule["id"]: rule["query"].replace("${table}", "found") for rule in contract["schema"][0]["quality"]}
    pairs = make_pairs(9, 300, 40)
    search = ImageSearch(
        phash_distance=6, orientations=True, trims_borders=True, same_caption=False, embedding_similarity=0.99,
        evaluation_distance=2,
    )  # fmt: skip
    found = find_duplicates(
        pairs, search, scratch=tmp_path, embeddings=make_embeddings(pairs, 9),
        evaluation=sort_evaluation_hashes([pairs["phash"][100], pairs["image_sha256"][7]]),
    ).duplicates  # fmt: skip
    assert set(found.get_column("method").drop_nulls()) == set(IMAGE_DUPLICATE_METHODS)

    def count(query: str, found: pl.DataFrame) -> int:
        with duckdb.connect() as connection:
            connection.register("found", found.to_arrow())
            return int(connection.sql(query).fetchall()[0][0])

    assert {name: count(query, found) for name, query in asked.items()} == dict.fromkeys(asked, 0)
    gone = ~pl.col("is_kept")
    broken = {
        "kept_pairs_stay": found.with_columns(is_kept=pl.lit(value=False)),
        "kept_is_itself": found.with_columns(is_kept=pl.col("is_kept").not_()),
        "removed_within_the_limit": found.with_columns(near_limit=pl.when(pl.col("distance") > 0).then(0.0)),
        "removed_for_a_reason": found.with_columns(method=pl.when(gone).then(None).otherwise("method")),
    }
    assert asked.keys() == broken.keys()
    for name, frame in broken.items():
        assert count(asked[name], frame) > 0, name
