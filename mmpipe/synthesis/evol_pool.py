"""Says what the pool of Evol-Instruct is between two rounds, what its settings are, and how it begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from mmpipe.errors import ConfigurationError, SchemaError

#: The table that evolved instructions stand in, and seeds that do not say where they stand.
GROWN_TABLE = "synthesized_instructions"

_POOL: dict[str, Any] = {
    "root_id": pl.String,
    "instruction_id": pl.String,
    "table": pl.String,
    "dump": pl.String,
    "instruction": pl.String,
    "evolutions": pl.Int64,
    "attempts": pl.Int64,
    "prompt_tokens": pl.Int64,
    "completion_tokens": pl.Int64,
}
#: The state between rounds: of each seed (`root_id`) the instruction it has become, where that stands, how often it
#: evolved, and what was spent on evolutions of it that failed since; the next row made of it is charged with that.
POOL = pl.Schema(_POOL)

#: What became of each attempt: `reason` is null where the evolved instruction is a row.
LINEAGE = pl.Schema(
    {
        "instruction_id": pl.String,
        "parent_id": pl.String,
        "root_id": pl.String,
        "round": pl.Int64,
        "operator": pl.String,
        "reason": pl.String,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvolInstructSettings:
    """How instructions evolve (arXiv 2304.12244, sections 3.2 and 4.2, and the published program).

    Attributes:
        rounds: of evolution; the paper's M.
        temperature: of evolved instructions and answers; the judge is greedy.
        top_p: nucleus.
        max_tokens: of an evolved instruction, and of an answer.
        sorry_words: an answer that says sorry in fewer words is none.
        seed: of the choice of operators and of the requests.
        dump: what the rows of seeds without a dump say.
        judges_own_family: whether who says that evolving gained nothing may be of the family that evolves, as in the
            paper (section 3.2: the same model); the rows say who it was.
        families: those that names do not tell, see `tables.teacher_families.find_family`.
        refuses_other_script: whether what is in another script than it was asked in is eliminated (ours).
    """

    rounds: int = 4
    temperature: float = 1.0
    top_p: float = 0.95
    max_tokens: int = 2048
    sorry_words: int = 80
    seed: int = 0
    dump: str = "evol_instruct"
    judges_own_family: bool = True
    families: Mapping[str, str] = field(default_factory=dict)
    refuses_other_script: bool = True

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.sorry_words < 0:
            raise ConfigurationError("Evol-Instruct: rounds must be at least 1, and sorry_words at least 0.")


def start_pool(seeds: pl.DataFrame, settings: EvolInstructSettings) -> pl.DataFrame:
    """Return the pool before the first round: columns of POOL.

    Args:
        seeds: `instruction_id` (once each), `instruction`; if there, `context` is put behind the instruction as its
            input, `dump` is handed on to the rows, and `table` says where the seeds stand (else GROWN_TABLE).
        settings: for the dump of seeds that have none.

    Raises:
        SchemaError: an id stands there twice, or an instruction is null or empty.
    """
    twice = seeds.filter(pl.col("instruction_id").is_duplicated()).get_column("instruction_id").sort().to_list()
    if twice:
        raise SchemaError(f"Seeds of Evol-Instruct: {twice[0]} stands there twice. Give each seed an id of its own.")
    empty = (
        seeds.filter(pl.col("instruction").fill_null("").str.strip_chars() == "").get_column("instruction_id").to_list()
    )
    if empty:
        raise SchemaError(
            f"Seeds of Evol-Instruct: {len(empty)} have no instruction, first {empty[0]}. Leave them out."
        )
    given = pl.col("context").fill_null("").str.strip_chars() if "context" in seeds.columns else pl.lit("")
    return seeds.select(
        root_id="instruction_id",
        instruction_id="instruction_id",
        table=pl.col("table") if "table" in seeds.columns else pl.lit(GROWN_TABLE),
        dump=pl.col("dump") if "dump" in seeds.columns else pl.lit(settings.dump),
        instruction=pl.when(given == "").then("instruction").otherwise(pl.format("{}\n{}", "instruction", given)),
        evolutions=pl.lit(0, dtype=pl.Int64),
        attempts=pl.lit(0, dtype=pl.Int64),
        prompt_tokens=pl.lit(0, dtype=pl.Int64),
        completion_tokens=pl.lit(0, dtype=pl.Int64),
    )
