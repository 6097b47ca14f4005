"""Languages are told in batches, whatever the strings hold, as datatrove tells them; missing weights say what to do."""

from __future__ import annotations

import gzip
import json
import pickle
import subprocess
from pathlib import Path

import pytest

from mmpipe.errors import WeightsNotFound
from mmpipe.models.fasttext_files import find_fault
from mmpipe.models.fasttext_training import train_fasttext
from mmpipe.models.language import (
    LANGUAGE_COLUMNS,
    LanguageModel,
    describe_languages,
    find_language_weights,
    measure_other_languages,
)
from mmpipe.tables.text import EXTRACTED_TEXT
from mmpipe_tests.peers import find_peer

try:
    WEIGHTS = find_language_weights()
except WeightsNotFound as error:
    pytest.skip(str(error), allow_module_level=True)

ENGLISH = "This is an English sentence about nothing at all, and another one follows it. "
GERMAN = "Das ist ein deutscher Satz, der hier eigentlich gar nichts zu suchen hat. "


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return LanguageModel(WEIGHTS)


def test_languages_in_order(model: LanguageModel) -> None:
    texts = [
        "The cat sat on the mat\nand slept.",
        "",
        "Der Hund schläft unter dem Tisch.",
        " \n\0",
        "これは日本語です。",
        "\ud800",
    ]
    found = model.identify(texts)
    assert [language for language, _ in found] == ["en", "und", "de", "und", "ja", "und"]
    assert found[1] == ("und", 0.0)
    assert all(0 <= score <= 1 for _, score in found)
    assert model.identify([]) == []


def test_only_the_start_is_looked_at(model: LanguageModel) -> None:
    start = ENGLISH * 20
    assert model.identify([start]) == model.identify([start + GERMAN * 500])
    assert model.identify_all([start + GERMAN * 500], prefix_chars=None)[0][0][0] == "de"


def test_batches_and_single_texts_agree(model: LanguageModel) -> None:
    texts = ["une phrase en français", "una frase en español", "een zin in het Nederlands", "x" * (1 << 24), ENGLISH]
    for prefix in (None, 1000):
        together = model.identify_all(texts, prefix_chars=prefix, top_k=3)
        assert together == [model.identify_all([text], prefix_chars=prefix, top_k=3)[0] for text in texts]


def test_the_most_likely_languages_come_best_first(model: LanguageModel) -> None:
    (scores,) = model.identify_all([ENGLISH + GERMAN], top_k=5)
    assert len(scores) == 5
    assert {label for label, _ in scores[:2]} == {"en", "de"}
    values = [score for _, score in scores]
    assert values == sorted(values, reverse=True)
    assert sum(score for _, score in model.identify_all([ENGLISH], top_k=200)[0]) == pytest.approx(1, abs=1e-3)


def test_columns_are_those_of_the_table(model: LanguageModel) -> None:
    frame = describe_languages(model, [ENGLISH, None, ""], prefix_chars=1000, top_k=2, identify_lines=True)
    assert frame.schema == {name: EXTRACTED_TEXT.schema[name] for name in LANGUAGE_COLUMNS}
    assert frame.get_column("language").to_list() == ["en", None, "und"]
    assert frame.row(1) == (None,) * 4
    first = frame.row(0, named=True)
    assert first["language_scores"][0]["language"] == "en"
    assert first["language_score"] == first["language_scores"][0]["score"]
    assert first["other_language_char_ratio"] == 0
    assert frame.item(2, "other_language_char_ratio") is None
    unasked = describe_languages(model, [ENGLISH], top_k=1)
    assert unasked.item(0, "other_language_char_ratio") is None
    assert describe_languages(model, []).height == 0


def test_lines_of_another_language_are_measured_in_characters(model: LanguageModel) -> None:
    english, german = ENGLISH.strip(), GERMAN.strip()
    text = f"{english}\n\n  {german}  \nKurz.\r\n{english}"
    (ratio,) = measure_other_languages(model, [text], ["en"])
    assert ratio == pytest.approx(len(german) / (2 * len(english) + len(german) + len("Kurz.")))
    assert measure_other_languages(model, [text], ["en"], least_chars=len(german) + 1) == [0]
    assert measure_other_languages(model, [text, " \n ", text], ["en", "en", "und"]) == [ratio, None, None]


def test_a_model_crosses_to_another_process_by_its_path(model: LanguageModel) -> None:
    name_one = pickle.loads(pickle.dumps(model.identify_one))
    assert name_one(GERMAN) == model.identify_one(GERMAN) == model.identify_all([GERMAN], prefix_chars=None)[0][0]


def test_loading_says_nothing_and_digest_is_of_the_file(capfd: pytest.CaptureFixture[str]) -> None:
    digest = LanguageModel(WEIGHTS).digest
    assert len(digest) == 16
    assert capfd.readouterr() == ("", "")


def test_missing_or_wrong_weights_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFound, match=r"lid\.176\.bin"):
        find_language_weights(str(tmp_path))
    (tmp_path / "lid.176.ftz").write_bytes(b"no model" * 100)
    assert find_language_weights(str(tmp_path)) == tmp_path / "lid.176.ftz"
    with pytest.raises(WeightsNotFound, match="no fastText model"):
        LanguageModel(tmp_path / "lid.176.ftz")
    with pytest.raises(WeightsNotFound, match="no file at"):
        LanguageModel(tmp_path)


@pytest.mark.parametrize("kept", [0.0001, 0.01, 0.5, 0.99999])
def test_a_file_that_was_cut_off_is_refused_and_not_read(kept: float, tmp_path: Path) -> None:
    whole = WEIGHTS.read_bytes()
    assert find_fault(WEIGHTS) is None
    cut = tmp_path / "lid.176.ftz"
    cut.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(WeightsNotFound, match=r"cut off|too short"):
        LanguageModel(cut)


def train_on(folder: Path, rows: list[tuple[str, str]], settings: dict[str, int]) -> Path:
    source, made = folder / "texts.txt", folder / "model.bin"
    source.write_text("".join(f"__label__{label} {text}\n" for label, text in rows))
    train_fasttext(source, made, {"dim": 8, "bucket": 1000, "epoch": 50, **settings})
    return made


@pytest.mark.parametrize("settings", [{}, {"wordNgrams": 2}, {"minn": 2, "maxn": 4}])
def test_labels_of_own_models_stay_as_they_are(settings: dict[str, int], tmp_path: Path) -> None:
    rows = [("eng_Latn", ENGLISH), ("deu_Latn", GERMAN)] * 20
    made = train_on(tmp_path, rows, settings)
    own = LanguageModel(find_language_weights(str(made)))
    assert [scores[0][0] for scores in own.identify_all([ENGLISH, GERMAN], top_k=2)] == ["eng_Latn", "deu_Latn"]
    made.write_bytes(made.read_bytes()[:-1])
    with pytest.raises(WeightsNotFound, match="cut off"):
        LanguageModel(made)


def test_word_vectors_are_no_identifier(tmp_path: Path) -> None:
    made = train_on(tmp_path, [("a", ENGLISH)], {})
    data = bytearray(made.read_bytes())
    data[8 + 7 * 4] = 2  # the kind of model: skip-gram
    made.write_bytes(data)
    with pytest.raises(WeightsNotFound, match="word vectors"):
        LanguageModel(made)


_ASK_DATATROVE = """
import json, sys
from datatrove.data import Document
from datatrove.utils import lid
lid.check_required_dependencies = lambda *_: None  # it asks for one of the packages that bring the module by name
lid.cached_asset_path_or_download = lambda *_, **__: sys.argv[1]
identifier = lid.FT176LID()
for line in sys.stdin:
    (label, score), _ = identifier.predict(Document(text=json.loads(line), id=""))
    print(json.dumps([label, float(score)]))
"""


@pytest.mark.real_data
def test_whole_texts_have_datatroves_label_and_score(model: LanguageModel, shared_data: Path) -> None:
    python = find_peer()
    with gzip.open(shared_data / "web" / "gold.jsonl.gz", "rt") as stream:
        texts = [text for line in stream if (text := json.loads(line)["gold_text"])]
    # what splits words for Python and not for fastText, and what ends a line for fastText
    texts += [f"{ENGLISH}\u00a0\u3000{GERMAN}", f"{ENGLISH}\t\r\f\v\0{GERMAN}", f"{ENGLISH} </s> {GERMAN}"]
    asked = subprocess.run(
        [str(python), "-c", _ASK_DATATROVE, str(WEIGHTS)],
        input="".join(f"{json.dumps(text)}\n" for text in texts),
        capture_output=True,
        text=True,
        check=False,
    )
    if "No module named 'datatrove'" in asked.stderr:
        pytest.skip(f"datatrove is the oracle and {python} has none: make bench-setup")
    assert asked.returncode == 0, asked.stderr
    theirs = [json.loads(line) for line in asked.stdout.splitlines()]
    ours = [list(scores[0]) for scores in model.identify_all(texts, prefix_chars=None)]
    assert len(theirs) == len(texts) > 900
    assert ours == [[label, min(score, 1.0)] for label, score in theirs]
