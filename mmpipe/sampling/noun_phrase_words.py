"""Lists the English words that the rule chunker of noun phrases knows: closed classes, and what suffixes mislead."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Open a phrase, and are no part of its name.
DETERMINERS = _words(
    "a an the this that these those my your his her its our their some any each every no another both all either "
    "neither such what which whose many much several few more most other various certain enough "
)

#: Numbers may modify a noun and are none.
NUMBERS = _words(
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion first "
    "second third fourth fifth sixth seventh eighth ninth tenth dozen half "
)

#: End a phrase: prepositions, conjunctions, pronouns, auxiliaries, adverbs without -ly, question words.
BREAKS = _words(
    # prepositions and particles
    "of in on at by for with about against between among into through during before after above below to from up down "
    "over under near beside besides behind beneath beyond inside outside along across around onto upon off out toward "
    "towards within without via per than like unlike as despite except until till since amid amongst atop throughout "
    "alongside underneath past away back together ahead apart aside "
    # conjunctions
    "and or but nor so yet if because while although though unless whereas whether "
    # pronouns
    "i you he she it we they me him us them mine yours hers ours theirs myself yourself himself herself itself "
    "ourselves themselves who whom someone anyone everyone somebody anybody everybody nobody something anything "
    "everything nothing there here where when why how "
    # auxiliaries
    "am is are was were be been being do does did doing done have has had having can could may might must shall "
    "should will would ought cannot can't don't doesn't didn't isn't aren't wasn't weren't won't wouldn't couldn't "
    "shouldn't hasn't haven't hadn't i'm it's that's there's he's she's we're you're they're i've we've you've "
    "they've i'll we'll you'll they'll let's "
    # adverbs
    "not never ever always often sometimes again also too very quite rather just only even still already soon then "
    "now once twice perhaps maybe almost however therefore thus hence else instead well far less least today "
    "yesterday tomorrow please etc vs "
)

#: Verbs as captions use them, which no suffix gives away. Of a form that is a noun too (`looks`) the verb wins.
VERBS = _words(
    "sit sits sat stand stands stood hold holds held show shows shown showed wear wears wore worn look looks go goes "
    "went gone get gets got make makes made take takes took taken give gives gave given come comes came run runs ran "
    "ride rides rode ridden eat eats ate eaten fly flies flew flown lie lies lay lays laid walks see sees saw "
    "seen say says said know knows knew known think thinks thought want wants use uses find finds found feel feels "
    "felt leave leaves left put puts keep keeps kept let lets begin begins began seem seems help helps talk talks "
    "turn turns start starts play plays move moves live lives believe bring brings brought happen happens write "
    "writes wrote written provide provides read reads lose loses lost pay pays paid meet meets met include includes "
    "continue continues set sets learn learns lead leads led understand watch watches follow follows stop stops "
    "create creates speak speaks spoke allow allows add adds spend spends grow grows grew grown open opens win wins "
    "won offer offers remember love loves consider appear appears buy buys bought wait waits serve serves "
    "prepare prepares expect expects die dies "
    "send sends sent build builds built stay stays fall falls fell fallen cut cuts reach reaches kill kills remain "
    "remains suggest raise raises pass passes sell sells sold require requires report reports decide pulls carry "
    "carries hang hangs hung lean leans smile smiles pose poses depict depicts feature features contain contains "
    "click download view visit choose join enjoy "
)

#: Adjectives as captions use them, which no suffix gives away. No phrase ends with one.
ADJECTIVES = _words(
    "big small large little tiny huge long short tall high low wide narrow deep thick thin old new young ancient "
    "modern good bad great nice best better worst worse top main major minor same different own real true false full "
    "empty open closed hot cold warm cool wet dry clean dirty dark light bright pale black white red green blue "
    "yellow orange purple pink brown gray grey beige golden silver round square flat sharp soft hard heavy quick slow "
    "fast early late easy safe free fresh raw sweet sour rich poor cheap clear simple plain smooth rough strong weak "
    "happy sad angry cute pretty lovely lonely friendly elderly ugly fair rare common public private local global "
    "rural urban royal wild tame busy quiet loud calm crazy funny silly lazy proud shy brave alive asleep afraid "
    "alone aware bare blank blind bold broad brief chief civil daily double dull entire equal exact extra final fine "
    "firm gentle grand holy human ill inner outer upper lower joint keen mad mild multiple naked native neat only "
    "overall proper pure ready recent rigid severe similar single slim solid steep still straight strange stiff "
    "sudden super sure tight upset usual vast vivid whole wooden woolen north-facing next last front rear left right "
    "middle available popular "
)

#: Nouns that look like adverbs.
NOUNS_IN_LY = _words(
    "family butterfly dragonfly fly belly jelly lily italy july ally bully assembly supply reply monopoly anomaly "
    "rally valley alley trolley volley folly holly polly sally melancholy homily "
)

#: Nouns that look like adjectives.
NOUNS_LIKE_ADJECTIVES = _words(
    "music fabric plastic picnic clinic comic logic magic mosaic traffic topic public republic mechanic ceramic "
    "graphic infographic critic fish dish radish polish finish english spanish british irish table vegetable cable "
    "marble bible bubble pebble stable olive archive motive detective executive initiative perspective native "
    "representative relative hospital animal capital festival metal petal journal terminal medal pedal manual "
    "material tutorial memorial official editorial trial dial signal rival arrival carnival cathedral goal coal seal "
    "meal deal "
)

#: Nouns that look like participles.
NOUNS_LIKE_PARTICIPLES = _words(
    "building painting drawing ceiling wedding king ring string spring wing thing clothing lighting evening morning "
    "meeting sibling feeling railing earring swing sling sting parking crossing opening engraving carving sterling "
    "pudding icing frosting stocking duckling dumpling gosling bed shed sled seed weed reed feed speed breed bread "
    "red hundred steed creed greed deed need embed outing blessing sewing bearing flooring bedding setting training "
    "processing programming marketing engineering housing shipping pricing planning funding "
)
