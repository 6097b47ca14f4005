"""Tells by rules whether English words include a noun: closed classes and suffixes, no tagger, no model."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: Kinds of words. What is in no class below and has no suffix of one is a noun: names are, and words not known here.
OTHER, NOUN, DETERMINER, MODIFIER, MAYBE = range(5)

_DETERMINERS = """
a an the this that these those my your his her its our their whose each every either neither some any no another
such what which both all half one's
"""
_NUMBERS = """
one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion first second third
fourth fifth sixth seventh eighth ninth tenth once twice several many few much more most less least fewer enough
"""
#: Pronouns, prepositions, conjunctions, auxiliaries, adverbs without a suffix, interjections, short forms.
_CLOSED = """
i me myself we us ourselves you yourself yourselves he him himself she hers herself it itself they them themselves
theirs ours yours mine who whom someone somebody something anyone anybody anything everyone everybody everything
nobody nothing none oneself whoever whatever whichever about above across after against along amid among amongst
around as at atop before behind below beneath beside besides between beyond but by circa despite down during except
for from in inside into like near of off on onto opposite out outside over past per plus since than through
throughout till to toward towards under underneath unlike until up upon versus via vs with within without and or nor
so yet if because although though while whereas unless whether when where why how am is are was were be been being
have has had having do does did doing done will would shall should can could may might must ought cannot not very
too also again ago already always almost alone apart aside away back ever everywhere far forth forward hence here
hereby instead just later maybe meanwhile never nevertheless now nowhere often only otherwise perhaps quite rather
really seldom somehow sometimes somewhere soon still then there thereby therefore thus today together tomorrow
tonight twice upstairs downstairs well whenever wherever yesterday even abroad ahead anyway anyhow else indoors
outdoors yes no ok okay oh ah wow hey hi hello please thanks thank bye etc eg ie lol omg don't doesn't didn't isn't
aren't wasn't weren't won't wouldn't can't couldn't shouldn't haven't hasn't hadn't i'm you're he's she's it's we're
they're i've you've we've they've i'll you'll he'll she'll it'll we'll they'll i'd you'd he'd she'd we'd they'd
let's that's there's here's what's who's where's how's dont cant im
"""
#: Adjectives without a suffix that tells them; those that are as often nouns (square, gold) are not here.
_MODIFIERS = """
abstract active afraid alive amazing ancient angry awake awesome awful bad bare basic best better big bigger biggest
bitter bizarre black blank bleak blind blond blonde blue blurry bold boring brave brief bright brighter brilliant
broad broken brown busy calm cheap cheaper cheapest chic clean clear clever close closed cloudy cold comfy common
complete cool correct cosy cozy crazy crisp cruel current cute cutest damp dark dead dear deep delicious different
difficult dirty divine double dry due dull each eager early easier easiest easy elderly elegant empty enormous
entire epic equal evil exact exciting exotic expensive extra extreme fair fake false familiar famous fancy fantastic
fast faster fat favorite favourite fierce final fine finest fit flat foggy fond foreign free frequent fresh friendly
full funny furry further general generic gentle genuine giant gigantic glad good gorgeous grand gray great greater
greatest green grey gross grumpy happier happiest happy hard harsh healthy heavy helpless high higher highest
hilarious hollow holy honest hot hottest huge humble hungry idle ill immense important impressive inner innocent
intense interesting jolly junior keen kind large larger largest last late latest lazy left lifelike light little
live lively local lonely long longer longest loose loud lovely low lower lowest lucky luxurious mad magnificent main
major massive mature mean medium mellow merry messy mid mighty mild minor mixed modern modest multiple naked narrow
nasty natural neat new newer newest next nice nicest noble noisy normal odd old older oldest only open orange
ordinary original other outdoor indoor outer overall own pale perfect pink plain pleasant polite poor popular pretty
prettiest previous prime private proper proud pure purple quick quiet quirky rainy random rare raw ready real recent
red regular remote rich right ripe robust romantic rough round royal rude rusty sad safe salty same scary secret
senior separate serious severe shallow sharp shiny short shorter shy sick silent silly similar simple single sleek
sleepy slim slow small smaller smallest smart smooth snowy soft solid sorry sour spare special spicy stale steep
sticky stiff strange strict strong stunning stupid stylish subtle sudden sunny super sure sweet tall taller tallest
tasty tender terrible terrific thick thin tidy tight tiny tired total tough traditional trendy true typical ugly
ultimate unique unknown untitled upper urban useful usual vague vast vegan vintage vivid warm wavy weak wealthy
weird wet white whole wide wider wild windy wise wonderful wooden worst worse worth worthy wrong yellow young
younger youngest yummy various certain latest available related related recommended featured popular
"""
#: Verbs, most of which are nouns too where a determiner or an adjective stands before them ("a view", "new look").
_VERBS = """
add admire allow answer appear apply approve arrive ask attach avoid be beat become begin begins believe belong
bring browse build burn buy call came can care carry catch change check choose click climb close collect come comes
compare complete connect contact continue cook cost cover create cry cut dance delete describe die discover download
draw dream drink drive drop eat enjoy enlarge enter expand explain explore fall feel fight fill find finish fix fly
follow forget gave get gets getting give gives go goes got grow grows guess happen hate hear help hide hit hold hope
hug imagine improve include join jump keep kill knew know known laugh lead learn leave lend let lie lift listen live
load log look looks lose love loves made make makes meet mind miss move need needs offer open order paint pay pick
place plan play plays please post press print promise protect pull push put ran read reach receive relax remember
remove repeat reply report reserve rest return ride rise run runs said save saw say says scroll search see seems
seen select sell send serve set share shop show shows shut sign sing sit sits sleep smell smile sort speak spend
stand stands start starts stay stop submit subscribe swim swipe take takes taken talk tap taste teach tell think
thought throw tie told took touch travel try tweet turn understand update upload use used uses view visit wait wake
walk want wants was wash watch wear went win wish wonder work write zoom
"""
#: Nouns with a suffix that tells another class.
_NOUNS = """
ally anomaly assembly belly bully butterfly dragonfly family firefly fly gadfly gully holly italy jelly lily july
lolly monopoly rally reply supply tally trolley polly sally emily billy molly kelly willy bed bleed breed deed embed
feed greed hundred hybrid need reed seed shed shred sled speed steed thread toolshed weed fred ted jared alfred
mildred seaweed flatbed riverbed watershed awning being building blessing bling boxing briefing bring camping casing
ceiling clothing coating cooking crossing cycling dressing drawing dumpling duckling earring engraving evening
etching fishing flooring frosting gathering greeting hiking housing icing keyring king landing lettering lighting
lightning living meeting morning nothing opening outing painting parking piping pudding railing reading recording
ring roofing sailing savings sewing shipping shopping sibling sling spring stocking string stuffing surfing swimming
swing thing things training viking wedding wing wings wrestling writing yearling beijing nursing skiing knitting
catering bowling carving awning sting king's plumbing clearing sapling cable constable fable stable table tables
timetable turntable vegetable vegetables bible crucible handful mouthful spoonful wireless princess business actress
dress mattress fortress archive captive detective dive drive executive five hive initiative locomotive motive
narrative native objective olive perspective relative representative locomotive
"""

_KINDS: dict[str, int] = {}
for _kind, _words in (
    (MAYBE, _VERBS),
    (MODIFIER, _MODIFIERS),
    (NOUN, _NOUNS),
    (DETERMINER, _DETERMINERS + _NUMBERS),
    (OTHER, _CLOSED),
):
    _KINDS |= dict.fromkeys(_words.split(), _kind)  # later ones win

_SUFFIXES = (
    (("ly", "wise", "wards"), OTHER),
    (("ful", "ous", "less", "able", "ible", "iest", "ed"), MODIFIER),
    (("ing", "ive", "ize", "ise", "ify"), MAYBE),
)
#: Shorter words end so by chance: red, sing, ally.
_LEAST_CHARS = 5


def find_kinds(words: Sequence[str]) -> NDArray[np.int8]:
    """Return the kind of each word by itself, as `OTHER` to `MAYBE` number them.

    Args:
        words: in small letters, stripped of signs at both ends. Of words that hyphens join the last part counts, and a
            possessive's ending does not. A word without two letters in a row is no noun.
    """
    return np.array([_find_kind(word) for word in words], np.int8)


def _find_kind(word: str) -> int:
    word = word.replace("\u2019", "'")
    if word in _KINDS:
        return _KINDS[word]
    word = word.rpartition("-")[2].removesuffix("'s").rstrip("'")
    if word in _KINDS:
        return _KINDS[word]
    if not any(first.isalpha() and second.isalpha() for first, second in pairwise(word)):
        return OTHER
    if len(word) >= _LEAST_CHARS:
        for endings, kind in _SUFFIXES:
            if word.endswith(endings):
                return kind
    return NOUN


def has_noun(kinds: NDArray[np.int8], start: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return for each text whether it has a noun: 1 or 0.

    A word of the kind `MAYBE` (a verb, an -ing form) is one where a determiner or a modifier stands right before it.
    What the rules do not know they take for a noun, so that few captions are removed wrongly: a verb that is not listed
    passes. COYO-700M asks a part-of-speech tagger.

    Args:
        kinds: of the words of all texts, one after the other.
        start: where each text starts; one more than there are texts.
    """
    is_noun = kinds == NOUN
    leads = np.isin(kinds[:-1], (DETERMINER, MODIFIER))
    lasts = start[1:-1] - 1
    leads[lasts[(lasts >= 0) & (lasts < leads.size)]] = False  # the last word of one text leads no other
    is_noun[1:] |= leads & (kinds[1:] == MAYBE)
    total = np.concatenate([np.zeros(1, np.int64), np.cumsum(is_noun)])
    return (total[start[1:]] > total[start[:-1]]).astype(np.float64)
