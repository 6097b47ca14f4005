"""Calls the preference methods that sample a policy anew or go in rounds: SPIN, verified answers, online rounds."""

from __future__ import annotations

from dataclasses import replace
from string import ascii_uppercase
from typing import Any

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.lanes.preference_pair_rows import empty_pairs, read_pairs, set_parents
from mmpipe.lanes.preference_runs import Made, PreferenceRun, name_scores
from mmpipe.lanes.synthesis_inputs import identify_rows, read_records
from mmpipe.lanes.verified_answers import open_verifier, tell_calls


def run_spin(run: PreferenceRun) -> Made:
    """Pair people's answers with the policy's own."""
    from mmpipe.synthesis.spin import generate_answers, pair_with_own

    if "rows" in run.entry.files:
        file = run.entry.files["rows"]
        rows = identify_rows(read_records(file), "prompt_id", "prompt", "answer", file=file.list, dump=run.dump)
        table = "rows"
    else:
        prompt = pl.concat_str("context", "instruction", separator="\n\n", ignore_nulls=True)
        # a talk's answer belongs to its last question, and pictures and tools the policy may not see
        alone = pl.col("images").list.len() == 0
        if "tools" in run.instructions.columns:
            alone &= pl.col("tools").is_null()
        if "turns" in run.instructions.columns:
            alone &= pl.col("turns").is_null()
        rows = run.instructions.filter(alone).select(prompt_id="instruction_id", prompt=prompt, answer="response")
        table = "synthesized_instructions"
    rows = rows.with_columns(answer_id=pl.col("prompt_id"))
    generated = generate_answers(rows, run.policy, run.beside.get("iteration", 0), run.settings)
    made = pair_with_own(rows, generated.frame)
    counts = {f"policy_{name}": count for name, count in generated.rejected.items()}
    return Made(replace(made, frame=set_parents(made.frame, table, "chosen_id")), generated.spent, counts)


def run_previous(run: PreferenceRun) -> Made:
    """Return the pairs of the iteration just before, which SPIN trains on again."""
    from mmpipe.synthesis.comparisons import Comparisons

    previous = read_pairs(run, "previous")
    wanted = previous.filter(pl.col("iteration") == run.beside.get("iteration", 0) - 1)
    older = {"other_iteration": previous.height - wanted.height} if previous.height > wanted.height else {}
    return Made(Comparisons(wanted, previous.height, older))


def run_verified_pairs(run: PreferenceRun) -> Made:
    """Pair right with wrong answers, as the right answer or the tests of each problem say."""
    from mmpipe.synthesis.answer_verifiers import run_tests
    from mmpipe.synthesis.plain_answers import PlainSettings, sample_answers
    from mmpipe.synthesis.verified_pairs import pair_verified

    if "problems" not in run.entry.files:
        verifier = open_verifier(run)
        made = pair_verified(run.list_answers(), verifier, run.settings)
        return Made(made.comparisons, counts=_tell_verdicts(made) | tell_calls(verifier))
    file = run.entry.files["problems"]
    problems = read_records(file)
    problems = problems.rename({} if "prompt" in problems.columns else {"question": "prompt"}, strict=False)
    key = "tests" if "tests" in problems.columns else "answer"
    if problems.schema.get("tests") == pl.List(pl.String):
        problems = problems.with_columns(pl.col("tests").list.join("\n"))
    problems = identify_rows(problems, "prompt_id", "prompt", key, file=file.list, dump=run.dump)
    problems = show_options(problems, file.list)
    # a file that cannot be read stops before anybody is asked
    verify = None if key == "tests" else open_verifier(run, problems.get_column(key).to_list())
    settings = run.beside.get("sampling") or PlainSettings(seed=run.settings.seed)
    sampled = sample_answers(problems, run.policy, settings)
    named = problems.select("prompt_id", "options", pl.col(key).alias("tests" if key == "tests" else "reference"))
    answers = sampled.frame.join(named, on="prompt_id", how="left", maintain_order="left")
    counts: dict[str, float] = {f"policy_{name}": count for name, count in sampled.rejected.items()}
    if verify is None:
        assert run.runner is not None
        passed = run_tests(answers.rows(named=True), run.runner)
        made = pair_verified(answers, lambda row: passed[row["answer_id"]], run.settings)
    else:
        made = pair_verified(answers, verify, run.settings)
        counts |= tell_calls(verify)
    counts |= _tell_verdicts(made)
    frame = set_parents(made.comparisons.frame, "problems", "group_id").with_columns(policy=pl.lit(run.policy.name))
    return Made(replace(made.comparisons, frame=frame), sampled.spent, counts)


def show_options(problems: pl.DataFrame, file: str) -> pl.DataFrame:
    """Return problems whose prompt shows their options, lettered, where they have some; without, `options` is null.

    Args:
        problems: columns prompt_id, prompt and, where there are some, options.
        file: for messages.

    Raises:
        ConfigurationError: a problem has more options than there are letters.
    """
    if problems.schema.get("options") != pl.List(pl.String):
        return problems.with_columns(options=pl.lit(None, pl.List(pl.String)))
    shown = []
    for name, prompt, options in problems.select("prompt_id", "prompt", "options").iter_rows():
        if len(options or ()) > len(ascii_uppercase):
            raise ConfigurationError(
                f"{file}: problem {name} has {len(options)} options, and there are {len(ascii_uppercase)} letters for "
                f"them. Leave it out, or ask it without options."
            )
        lettered = (f"({letter}) {option}" for letter, option in zip(ascii_uppercase, options or (), strict=False))
        shown.append("\n".join([prompt, *lettered]))
    return problems.with_columns(pl.Series("prompt", shown, dtype=pl.String))


def run_online(run: PreferenceRun) -> Made:
    """Compare a round's answers and mix the pairs with those of earlier rounds."""
    from mmpipe.synthesis.comparisons import Comparisons
    from mmpipe.synthesis.online_preferences import mix_rounds, pair_round

    old = read_pairs(run, "old") if "old" in run.entry.files else empty_pairs()
    settings = replace(run.settings, comparing=replace(run.settings.comparing, criterion=name_scores(run)))
    scored = run.list_scored().with_columns(policy=pl.lit(run.policy.name))
    made = pair_round(scored, run.policy.name, old, run.beside["round"], settings)
    if not old.height:
        return Made(made)
    mix = mix_rounds(made.frame, old, settings)
    left_out = dict(made.left_out)
    unmixed = made.frame.height + old.height - mix.frame.height
    if unmixed:
        left_out["over_new_share"] = unmixed
    counts = {"new_prompts": mix.new_prompts, "old_prompts": mix.old_prompts, "unused_prompts": mix.unused_prompts}
    return Made(Comparisons(mix.frame, made.planned + old.height, left_out), counts=counts)


def _tell_verdicts(made: Any) -> dict[str, float]:
    return {f"answers_{name}": count for name, count in made.answers.items()} | {
        f"prompts_{name}": count for name, count in made.prompts.items()
    }
