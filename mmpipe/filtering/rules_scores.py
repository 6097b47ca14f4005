"""Lists the rules on what classifiers say of a text; BLOOM's on perplexity stands with its others."""

from __future__ import annotations

from mmpipe.filtering.rules import Rule

_DCLM = (
    "DCLM (Li et al. 2024, arXiv 2406.11794), baselines_configs/fasttext_filter.yaml: the score of "
    "fasttext_oh_eli5.bin that a tenth of DCLM's pool reaches; another classifier or pool has another"
)
_FINEWEB_EDU = "FineWeb (Penedo et al. 2024, arXiv 2406.17557), §4: FineWeb-Edu, scores 0 to 5"

SCORES = (
    Rule(name="dclm_quality_score", signal="quality_score", low=0.018112, source=_DCLM),
    Rule(name="fineweb_edu_encoder_score", signal="encoder_score", low=3, source=_FINEWEB_EDU),
)
