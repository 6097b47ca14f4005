"""Opens what verifies the answers of a preference run: by the right answer, or by the API call that is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmpipe.lanes.synthesis_inputs import identify_rows, read_records, refuse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from mmpipe.filtering.synthesis_sections import SynthesisMethod
    from mmpipe.lanes.preference_runs import PreferenceRun
    from mmpipe.synthesis.verified_pairs import Verify

#: The check that holds calls against each other, and the file with the cards of the APIs there are.
CALLS, CARDS = "api_call", "cards"


def check_verifier(entry: SynthesisMethod, beside: Mapping[str, Any]) -> None:
    """Refuse cards of APIs where no call is verified.

    Raises:
        RecipeError: naming what to write.
    """
    kind = getattr(beside.get("check"), "kind", None)
    if CARDS in entry.files and kind != CALLS:
        refuse(entry, f"{entry.method}: `cards: FILE` tells of API calls: write `check: {{kind: {CALLS}}}` too.")


def open_verifier(run: PreferenceRun, answers: Sequence[str] = ()) -> Verify:
    """Return what verifies the answers of a run, as its option `check` says.

    Args:
        run: the run; its file `cards` has the calls of further APIs, which make a call another API's and not wrong by
            chance.
        answers: right answers of all problems, where they are those of a file: their APIs are known too. Of the lane's
            rows each shard has others, and which they are must not matter.

    Raises:
        ConfigurationError: the cards have no column `api_call`.
    """
    from mmpipe.synthesis.answer_checks import AnswerCheck
    from mmpipe.synthesis.answer_verifiers import make_verifier
    from mmpipe.synthesis.call_verifier import CallVerifier

    check = run.beside.get("check") or AnswerCheck()
    if check.kind != CALLS:
        return make_verifier(check)
    known = list(answers)
    if CARDS in run.entry.files:
        file = run.entry.files[CARDS]
        cards = identify_rows(read_records(file), "api_id", "api_call", file=file.list, dump=run.dump)
        known += cards.get_column("api_call").drop_nulls().to_list()
    return CallVerifier(known)


def tell_calls(verify: Verify) -> dict[str, float]:
    """Return how many answers were what to Gorilla's evaluation; nothing where no calls are verified."""
    verdicts: Mapping[str, int] = getattr(verify, "verdicts", {})
    return {f"calls_{name}": count for name, count in sorted(verdicts.items())}
