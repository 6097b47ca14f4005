"""The chooser: main text without what stands around it, the same each time; a model that does not fit stops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmpipe.errors import ConfigurationError
from mmpipe.extraction.chooser import choose_page_blocks, load_model
from mmpipe.extraction.extractors import ExtractionSettings, extract_with_chooser

PARAGRAPH = "The river rose in the night, and by morning the lower fields were under water, as they are every spring. "
LINKS = "".join(f'<li><a href="/{number}">Section {number}</a></li>' for number in range(30))
PAGE = (
    f"<html><body><nav><ul>{LINKS}</ul></nav><article><h1>High water</h1>"
    + "".join(f"<p>{PARAGRAPH * 3}</p>" for _ in range(6))
    + "</article><footer>All rights reserved</footer></body></html>"
)


def test_main_text_without_navigation() -> None:
    settings = ExtractionSettings(extractor="chooser", metadata="none")
    text = extract_with_chooser(PAGE, settings).text
    assert text.count("lower fields") == 18
    assert "Section 7" not in text
    assert "All rights" not in text
    assert text == extract_with_chooser(PAGE, settings).text


def test_a_page_without_words_chooses_nothing() -> None:
    assert not choose_page_blocks("<p></p>", load_model()).chosen.any()


def test_a_file_that_is_no_model_stops(tmp_path: Path) -> None:
    for content in (b"no model", b"PK\x03\x04 broken"):
        path = tmp_path / f"{len(content)}.npz"
        path.write_bytes(content)
        with pytest.raises(ConfigurationError, match="cannot be read"):
            load_model(path)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_model(tmp_path / "missing.npz")
    other = tmp_path / "other.npz"
    np.savez(other, names=np.array(["else"]))
    with pytest.raises(ConfigurationError, match="other features"):
        load_model(other)
