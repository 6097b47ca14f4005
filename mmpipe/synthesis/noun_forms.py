"""Says which English nouns may mean the same thing: number, synonyms, and kinds of things with their members.

Rules and lists are small and plain on purpose: they serve to prove that a thing is *not* told of, so a doubtful match
counts as one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_IRREGULAR = (
    "man men,woman women,child children,person people,foot feet,tooth teeth,goose geese,mouse mice,ox oxen,die dice,"
    "policeman policemen,policewoman policewomen,fireman firemen,fisherman fishermen,snowman snowmen"
)
_NUMBERS = {word: frozenset(pair.split()) for pair in _IRREGULAR.split(",") for word in pair.split()}

#: Words for one thing.
_SYNONYMS = (
    "sofa couch settee,bike bicycle cycle,motorbike motorcycle,automobile car,aeroplane airplane plane aircraft jet,"
    "tv television telly,phone telephone cellphone smartphone mobile,laptop notebook,boat ship vessel,sea ocean,"
    "child kid,boy lad,girl lass,baby infant toddler,person human,woman lady,man guy gentleman,dog puppy,cat kitten,"
    "cow cattle,pavement sidewalk,street road,lorry truck,rubbish trash garbage,bin trashcan,mug cup,rug carpet mat,"
    "picture painting portrait,curtain drape,fridge refrigerator,stove cooker oven,tap faucet,bag handbag purse sack,"
    "backpack rucksack,hat cap,trousers pants,shirt blouse,coat jacket,glasses spectacles eyeglasses,forest wood woods,"
    "stone rock,lamp light,sign signboard,shop store,house home,beach shore seaside,hill mountain,"
    "bloom blossom flower,photo photograph,meal dish,bunny rabbit,donut doughnut,umbrella parasol,cushion pillow,"
    "monitor screen,soccer football"
)  # fmt: skip

#: A kind, and what is of it. Members may be kinds themselves.
_KINDS = {
    "person": "man woman child boy girl baby adult player rider driver skier surfer skater worker cook chef farmer "
    "soldier policeman fireman fisherman crowd family couple group teacher student passenger pedestrian tourist bride",
    "adult": "man woman",
    "child": "boy girl baby",
    "animal": "dog cat horse cow sheep goat pig donkey bird fish bear elephant zebra giraffe lion tiger monkey rabbit "
    "mouse deer fox wolf camel snake frog turtle insect pet livestock",
    "pet": "dog cat rabbit bird",
    "livestock": "cow sheep goat pig horse",
    "bird": "gull seagull pigeon duck goose swan eagle owl parrot chicken hen rooster crow sparrow penguin",
    "insect": "bee butterfly ant fly beetle",
    "vehicle": "car bus truck van train tram bike motorcycle boat plane taxi tractor scooter ambulance helicopter "
    "cart wagon",
    "boat": "canoe kayak ferry sailboat yacht dinghy raft",
    "furniture": "chair table sofa bed desk shelf bookshelf cupboard wardrobe bench stool armchair dresser cabinet",
    "chair": "armchair stool",
    "food": "bread cake pizza sandwich fruit vegetable meat cheese egg soup salad pasta rice burger cookie donut meal",
    "fruit": "apple banana orange pear grape lemon cherry strawberry peach melon mango pineapple",
    "vegetable": "carrot potato tomato onion broccoli cabbage lettuce pepper cucumber",
    "drink": "water coffee tea milk juice beer wine soda",
    "plant": "tree flower grass bush shrub fern vine cactus",
    "tree": "palm pine oak birch willow",
    "flower": "rose tulip daisy sunflower lily",
    "building": "house church tower castle barn hut skyscraper temple shop school hotel cottage station factory",
    "clothing": "shirt coat trousers dress skirt hat shoe sock glove scarf tie jeans sweater suit boot",
    "clothes": "shirt coat trousers dress skirt hat shoe sock glove scarf tie jeans sweater suit boot",
    "shoe": "boot sandal sneaker slipper",
    "tool": "hammer saw spade shovel knife drill axe rake screwdriver",
    "cutlery": "knife fork spoon",
    "container": "cup bowl bottle box jar basket bucket bag glass vase pot can",
    "toy": "doll ball teddy kite lego",
    "instrument": "guitar piano violin drum trumpet flute",
    "device": "phone laptop tv camera computer keyboard mouse monitor radio tablet remote",
}


@lru_cache(maxsize=65536)
def list_forms(word: str) -> frozenset[str]:
    """Return what a lower-case word may be the plural or the singular of, itself included.

    More than one reading is given where spelling does not decide (`cookies`: cookie, cooky; `buses`: bus, buse).
    """
    forms = {word} | _NUMBERS.get(word, frozenset())
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        forms.add(word[:-1])
        if word.endswith("es"):
            forms.add(word[:-2])
        if word.endswith("ies"):
            forms.add(word[:-3] + "y")
        if word.endswith("ves"):
            forms |= {word[:-3] + "f", word[:-3] + "fe"}
    return frozenset(forms)


@dataclass(frozen=True)
class Lexicon:
    """Nouns for the same thing, and kinds with their members; all words lower-case singulars.

    Attributes:
        synonyms: sets of words for one thing.
        kinds: (kind, its members).
    """

    synonyms: tuple[frozenset[str], ...] = ()
    kinds: tuple[tuple[str, frozenset[str]], ...] = ()

    def list_same(self, word: str) -> frozenset[str]:
        """Return the forms of `word` and those of its synonyms."""
        return self._add_synonyms(list_forms(word))

    def list_narrower(self, word: str) -> frozenset[str]:
        """Return words for `word` and for all members of the kind it names."""
        return self._close(word, lambda found: [members for kind, members in self.kinds if kind in found])

    def list_wider(self, word: str) -> frozenset[str]:
        """Return words for `word` and for all kinds it is a member of."""
        return self._close(word, lambda found: [{kind} for kind, members in self.kinds if members & found])

    def list_related(self, word: str) -> frozenset[str]:
        """Return narrower and wider words: a thing of such a name may be the one `word` means."""
        return self.list_narrower(word) | self.list_wider(word)

    def _close(self, word: str, step: Callable[[frozenset[str]], Iterable[Iterable[str]]]) -> frozenset[str]:
        found = self.list_same(word)
        while True:
            grown = self._add_synonyms(found.union(*step(found)))
            if grown == found:
                return found
            found = grown

    def _add_synonyms(self, words: frozenset[str]) -> frozenset[str]:
        return words.union(*(group for group in self.synonyms if group & words))


def make_lexicon(synonyms: Iterable[Iterable[str]] = (), kinds: Iterable[tuple[str, Iterable[str]]] = ()) -> Lexicon:
    """Return the words known here with those given added."""
    known = [frozenset(group.split()) for group in _SYNONYMS.split(",")]
    members = [(kind, frozenset(words.split())) for kind, words in _KINDS.items()]
    return Lexicon(
        (*known, *(frozenset(group) for group in synonyms)),
        (*members, *((kind, frozenset(words)) for kind, words in kinds)),
    )


#: The words known here.
ENGLISH = make_lexicon()
