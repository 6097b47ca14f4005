"""Lists come by path or URL, checked, with a licence; and the lines that are printed load as a recipe."""

from __future__ import annotations

import hashlib
import io
import lzma
import tarfile
from pathlib import Path

import polars as pl
import pytest
import yaml

from mmpipe.commands.lists import check_list, fetch_list, list_fetched, write_recipe_lines
from mmpipe.errors import ConfigurationError
from mmpipe.filtering.list_catalogue import read_catalogue
from mmpipe.filtering.recipes import load_recipe
from mmpipe.filtering.url_signals import measure_urls
from mmpipe_tests.commands.conftest import TinyProject
from mmpipe_tests.storage.flaky_host import Answer, FlakyHost, open_host

DOMAINS = lzma.compress(b"bad.example\n0.0.0.0 broken line\nworse.example\n")
SHA256 = hashlib.sha256(DOMAINS).hexdigest()


def test_the_catalogue_names_what_recipes_need() -> None:
    known = read_catalogue()
    sets = {name for name, entry in known.items() if entry.kind == "evaluation"}
    assert sets == {
        "boolq", "piqa", "siqa", "hellaswag", "winogrande", "arc", "openbookqa", "naturalquestions", "triviaqa", "race",
        "math", "gsm8k", "humaneval", "mbpp", "mmlu", "ceval", "bbh", "tydiqa", "mgsm",
    }  # fmt: skip
    assert {"ut1", "ut1-domains", "ut1-urls", "ldnoobw"} == set(known) - sets
    assert all(entry.homepage.startswith("https://") and entry.licence for entry in known.values())
    assert not any(known[name].is_checked for name in sets)  # said so until somebody reads them


def test_a_list_is_fetched_from_a_host_that_breaks_off_and_used(tmp_path: Path) -> None:
    with open_host(FlakyHost({"domains.xz": DOMAINS})) as host:
        host.plan = [Answer(cut_after=40)]
        fetched = fetch_list("ut1-domains", host.url("domains.xz"), tmp_path, sha256=SHA256.upper())
    assert (fetched.sha256, fetched.is_verified, fetched.file) == (SHA256, True, "ut1-domains/domains.xz")
    assert list_fetched(tmp_path) == [fetched]
    (tmp_path / "r.yaml").write_text(write_recipe_lines(fetched, tmp_path))
    recipe = load_recipe(str(tmp_path / "r.yaml"))
    assert "Toulouse" in recipe.url.domains[0].licence
    urls = pl.Series(["http://worse.example/", "http://good.example/"])
    assert measure_urls(urls, recipe.url, tmp_path).get_column("url_blocked_domain").to_list() == [1, 0]
    finding = check_list(fetched, tmp_path)
    assert (finding.problem, finding.entries, finding.broken) == ("", 2, 1)
    assert "line 2" in finding.examples[0]


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("ut1-domains", "https://data.example/x"), {}, "state the --sha256"),
        (("ut1-domains", "{folder}/absent"), {}, "is not there"),
        (("ut1-domain", "{folder}/list"), {}, "Did you mean 'ut1-domains'.*--kind and --licence"),
        (("mine", "{folder}/list"), {"kind": "domain", "licence": "MIT"}, "Did you mean 'domains'"),
        (("../mine", "{folder}/list"), {}, "cannot name a list"),
        (("ut1-domains", "{folder}/list"), {"sha256": "12"}, "is no sha256"),
        (("ut1-domains", "{folder}/list"), {"sha256": "0" * 64}, "is not the file it should be"),
    ],
)
def test_what_cannot_be_fetched_is_refused(
    tmp_path: Path, arguments: tuple[str, str], options: dict[str, str], message: str
) -> None:
    (tmp_path / "list").write_text("bad.example\n")
    name, source = arguments
    with pytest.raises(ConfigurationError, match=message):
        fetch_list(name, source.format(folder=tmp_path), tmp_path / "lists", **options)
    assert not list((tmp_path / "lists").glob("*.json"))


def test_folders_archives_and_sets_give_lines_that_load(tmp_path: Path) -> None:
    words = tmp_path / "words"
    words.mkdir()
    (words / "en.txt").write_text("worst\n")
    with tarfile.open(tmp_path / "ut1.tar.gz", "w:gz") as archive:
        for name in ("blacklists/adult/domains", "blacklists/adult/urls", "blacklists/press/domains"):
            entry = tarfile.TarInfo(name)
            entry.size = 12
            archive.addfile(entry, io.BytesIO(b"bad.example\n"))
    (tmp_path / "gsm8k.jsonl").write_text('{"question": "one?", "answer": "two"}\n')
    lists = tmp_path / "lists"
    sources = {"ldnoobw": words, "ut1": tmp_path / "ut1.tar.gz", "gsm8k": tmp_path / "gsm8k.jsonl"}
    merged: dict[str, object] = {}
    for name, source in sources.items():
        fetched = fetch_list(name, str(source), lists)
        assert not fetched.is_verified
        merged |= yaml.safe_load(write_recipe_lines(fetched, lists))
        assert check_list(fetched, lists).problem == ""
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(merged))
    recipe = load_recipe(str(tmp_path / "r.yaml"))
    assert list(recipe.words.flagged) == ["en"]
    assert [reference.member for reference in recipe.url.categories["adult"]] == ["adult/domains", "adult/urls"]
    assert [item.name for item in recipe.contamination.sets] == ["gsm8k"]
    flags = measure_urls(pl.Series(["http://bad.example"]), recipe.url, tmp_path).get_column("url_ut1_adult")
    assert flags.to_list() == [1]


def test_a_changed_or_lost_list_is_found(tmp_path: Path) -> None:
    (tmp_path / "d.txt").write_text("bad.example\n")
    fetched = fetch_list("mine", str(tmp_path / "d.txt"), tmp_path / "lists", kind="domains", licence="CC0")
    place = tmp_path / "lists" / fetched.file
    place.write_text("other.example\n")
    assert "was" in check_list(fetched, tmp_path / "lists").problem
    place.unlink()
    assert "is gone" in check_list(fetched, tmp_path / "lists").problem
    (tmp_path / "lists" / "bad.json").write_text("{")
    with pytest.raises(ConfigurationError, match="no record of a list"):
        list_fetched(tmp_path / "lists")


def test_the_commands(tiny: TinyProject) -> None:
    (tiny.folder / "domains.xz").write_bytes(DOMAINS)
    shown = tiny.run("lists", "show")
    assert "gsm8k" in shown.stdout
    assert "not verified" in shown.stdout
    ran = tiny.run("lists", "fetch", "ut1-domains", "--from", str(tiny.folder / "domains.xz"), "--sha256", SHA256)
    assert ran.returncode == 0, ran.stderr
    assert yaml.safe_load(ran.stdout)["url"]["domains"][0]["sha256"] == SHA256
    assert "as stated" in ran.stderr
    checked = tiny.run("lists", "check")
    assert checked.returncode == 0
    assert "as it was fetched" in checked.stdout
    (tiny.folder / "var" / "lists" / "ut1-domains" / "domains.xz").write_bytes(b"x")
    assert tiny.run("lists", "check").returncode == 1
    ran = tiny.run("lists", "fetch", "ut1", "--from", "https://host.example/x")
    assert (ran.returncode, ran.stderr[:6]) == (1, "error:")
