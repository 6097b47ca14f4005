"""Holds the invented names and years that articles are filled from."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmpipe.demo.grammar import Dice

_PLACE_STARTS = (
    "Ash", "Bram", "Cold", "Dun", "Elder", "Fern", "Glen", "Hazel", "Iron", "Kes", "Lang", "Mill", "Nether", "Oaken",
    "Penn", "Quarry", "Raven", "Stone", "Thorn", "Ulver", "Wether", "Yarrow", "Amber", "Black", "Crag", "Drake",
    "Ember", "Fair", "Green", "Hallow", "Lark", "Marsh", "North", "Otter", "Pebble", "Rook", "Salt", "Tarn", "West",
    "Winter", "Swan", "Holm", "Barley", "Copper", "Dove", "Finch", "Gold", "Harrow",
)  # fmt: skip
_PLACE_ENDS = (
    "ford", "bridge", "well", "ton", "field", "mere", "combe", "wick", "stead", "ham", "port", "dale", "mouth",
    "brook", "leigh", "haven", "worth", "minster", "by", "thorpe", "hurst", "den", "shaw", "gate",
)  # fmt: skip
_FIRST_NAMES = (
    "Tamsin", "Edwin", "Clara", "Marcus", "Ingrid", "Joseph", "Amara", "Leopold", "Nadia", "Oscar", "Priya", "Rufus",
    "Selma", "Tobias", "Una", "Victor", "Wilhelmina", "Yusuf", "Zelda", "Arthur", "Beatrice", "Caleb", "Dorothea",
    "Elias", "Florence", "Gideon", "Harriet", "Ivan", "Judith", "Kenji", "Lucia", "Mateo", "Noor", "Olive", "Pascal",
    "Rosalind", "Samuel", "Theodora", "Ulrich", "Verity", "Winston", "Xenia", "Agnes", "Bruno", "Cosima", "Desmond",
    "Esther", "Felix",
)  # fmt: skip
_LAST_NAMES = (
    "Abernathy", "Brandt", "Castellan", "Delacroix", "Eastwood", "Fairweather", "Grimshaw", "Holloway", "Ibarra",
    "Jessop", "Kowalski", "Lindqvist", "Marchetti", "Nakamura", "Okafor", "Pemberton", "Quill", "Rosenthal", "Sato",
    "Thackeray", "Underhill", "Vasquez", "Whitlock", "Yilmaz", "Zeller", "Achterberg", "Bellweather", "Crowther",
    "Dunmore", "Ellery", "Farouk", "Gantry", "Hartnell", "Iyer", "Janssen", "Kilbride", "Lomax", "Mbeki", "Norwood",
    "Oduya", "Pryce", "Ravenscroft", "Stavros", "Tolland", "Varga", "Wexford", "Yates", "Bancroft",
)  # fmt: skip
_RIVER_NAMES = (
    "Ilver", "Tarrow", "Wend", "Sable", "Corrin", "Lune", "Medlar", "Osk", "Brathe", "Fenn", "Garrow", "Hyle", "Issel",
    "Kerne", "Lathe", "Morrow", "Nare", "Orrin", "Pell", "Rill", "Stour", "Thrane", "Ursk", "Vane", "Wyle", "Yarl",
)  # fmt: skip
_COUNTIES = (
    "Aldershire", "Brackenmoor", "Castershire", "the Lower Weald", "Dunsmark", "the Eastern Marches", "Fellshire",
    "Granby County", "the Hollow Hills", "Kettleshire", "the Long Coast", "Merrowdale", "the Northern Reach",
    "Saltmarsh County", "Tolverne", "the Upper Vale", "Westermark", "the Wold",
)  # fmt: skip
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def make_known_facts(dice: Dice) -> dict[str, str]:
    """Return the facts any article may use.

    Three places, people and rivers, a county, four years in order of time, and dates; person and place names run into
    the thousands, so that articles of one genre tell of different things.
    """
    facts: dict[str, str] = {}
    starts, ends = dice.sample(_PLACE_STARTS, 4), dice.sample(_PLACE_ENDS, 4)
    places = [start + end for start, end in zip(starts, ends, strict=True)]
    firsts, lasts = dice.sample(_FIRST_NAMES, 4), dice.sample(_LAST_NAMES, 4)
    rivers, counties = dice.sample(_RIVER_NAMES, 2), dice.sample(_COUNTIES, 2)
    for place in range(4):
        facts[f"place{place + 1}"] = places[place]
        facts[f"first{place + 1}"] = firsts[place]
        facts[f"last{place + 1}"] = lasts[place]
        facts[f"person{place + 1}"] = f"{firsts[place]} {lasts[place]}"
    year = dice.number(1780, 1890)
    for index in range(4):
        facts[f"year{index + 1}"] = str(year)
        year += dice.number(4, 38)
    facts |= {"river1": rivers[0], "river2": rivers[1], "county1": counties[0], "county2": counties[1]}
    facts |= {"month1": dice.pick(_MONTHS), "month2": dice.pick(_MONTHS), "weekday": dice.pick(_WEEKDAYS)}
    facts |= {"day1": str(dice.number(1, 28)), "day2": str(dice.number(1, 28)), "recent": str(dice.number(1988, 2021))}
    return facts


#: Two of these make a host name.
WORDS_FOR_SITES = (
    "valley", "lantern", "harbour", "notebook", "copper", "field", "weekly", "county", "open", "kitchen", "garden",
    "north", "city", "river", "paper", "wander", "little", "daily", "bench", "hobby", "old", "post", "quiet", "maple",
    "orchard", "signal", "tide", "thread", "workshop", "almanac",
)  # fmt: skip
