"""Articles on invented rivers and animals, and on walks among them."""

from __future__ import annotations

from mmpipe.demo.grammar import parse_genre

RIVER = parse_genre(
    "river",
    ("The River {river1}", "{river1}: [course, wildlife and floods|a river and its towns|from source to mouth]"),
    {
        "length": (48, 930),
        "source": (240, 2300),
        "basin": (900, 38000),
        "flow": (9, 480),
        "fish": ("trout and grayling", "pike and perch", "salmon", "eels and roach", "barbel and chub"),
        "bird": ("kingfishers", "herons", "dippers", "grey wagtails", "sand martins"),
        "goods": ("timber", "salt", "wool", "slate", "cider", "coal", "grain"),
        "peak": (3, 11),
        "locks": (4, 37),
    },
    """
==
! The River {river1} is {length} kilometres long and rises at {source} metres above sea level in {county1}.
/ From its source, {source} metres up in {county1}, the River {river1} runs {length} kilometres to [the sea|a broad
estuary|its meeting with the {river2}].

It drains an area of {basin} square kilometres, [roughly|about] half of which is [forest|pasture|moorland].
/ Its basin covers {basin} square kilometres of [forest|heath|farmland] and a few [small towns|old mining villages].

Several towns lie on its banks, among them {place1}, {place2} and, near the mouth, {place3}.
/ It passes {place1}, turns [south|east] at {place2} and [slows down|widens] before it reaches {place3}.

== Course | From the hills to the plain
In the upper valley the stream is [narrow and quick|cold and clear] and falls over [a dozen|a series of] ledges of
dark [basalt|slate|gneiss].
/ The first stretch is steep: the water drops [eighty|a hundred and ten|sixty] metres within [two|three] kilometres.

Below {place1} it is joined by the {river2}, which brings down [red silt|fine gravel] after every [storm|thaw].
/ Its largest tributary is the {river2}, and for a while the two waters, [brown and green|clear and cloudy], flow
side by side.

On the plain it winds so much that a boat needs [a whole day|nine hours] to cover what a crow flies in [one
hour|minutes].
/ Across the plain it forms wide loops, and old arms of the river survive as [ponds full of reeds|crescent lakes].

! On average {flow} cubic metres of water pass {place3} each second, most of them in {month1}.
/ The mean flow at {place3} is {flow} cubic metres per second, with [a marked|the] peak in {month1}.

== Floods | High water
The worst flood on record came in {year2}, when the level rose by {peak} metres in a [single night|day and a half].
/ In {year2} the river rose {peak} metres above its usual height and carried away [a mill|two bridges] at {place2}.

After that the engineer {person1} proposed a chain of [basins|dykes], but work did not start until {year3}.
/ It was {person1} who then argued for giving the river more room, an idea [laughed at|ignored] until {year3}.

Since {recent} gauges have sent their readings to {place3} every [ten|fifteen] minutes, so that people have at least
[six hours|half a day] of warning.
/ Today a network of [eighteen|thirty] gauges gives {place3} warning [well before|hours before] the water comes.

== Wildlife | Life in the water
Anglers know the river for its {fish}, while {bird} nest in the banks [above {place1}|between {place1} and {place2}].
/ {bird} are common along the middle reaches, and the water holds {fish}, though [fewer than before|numbers vary].

Otters returned in {recent} after an absence of [forty|fifty-five] years and now breed [at three places|near
{place2}].
/ A pair of otters was seen near {place2} in {recent}, the first for [two generations|half a century].

The [yellow flag iris|marsh marigold|flowering rush] grows in the quiet arms, where [dragonflies hunt|frogs spawn].
/ In [late spring|early summer] the old arms turn yellow with [iris|water lilies] and [hum with|are loud with]
insects.

== Trade and travel | The river at work
! For two centuries barges carried {goods} downstream, through {locks} locks, to the warehouses of {place3}.
/ {goods} was the chief cargo: it went down through {locks} locks and was sold at the quays of {place3}.

The last working barge, the [Patience|Grey Goose|Clara Bell], made her final trip in {year4} under [Captain
{last2}|{person2}].
/ Trade ended in {year4}, when {person2} brought the last loaded barge home to {place1}.

Nowadays the towpath is a favourite with cyclists, who take [three|four] days from {place1} to the mouth.
/ Most people now know the river from the saddle: a cycle route follows it for [sixty|ninety] kilometres below
{place1}.
""",
)

WALK = parse_genre(
    "walk",
    ("Walking from {place1} to {place2}", "A [day|long day|winter day] on the {trail}", "The {trail} on foot"),
    {
        "trail": (
            "Smugglers' Way",
            "Drovers' Road",
            "Cloudberry Path",
            "Old Mail Route",
            "Ridge of Bells",
            "Tin Trail",
        ),
        "distance": (9, 31),
        "hours": (3, 9),
        "climb": (120, 1150),
        "summit": ("{last2} Pike", "Cold {first3}", "the Giant's Table", "Hen Hill", "Mount {last3}"),
        "altitude": (380, 1640),
        "weather": ("a thin drizzle", "bright frost", "a warm wind", "low cloud", "the first real sun of the year"),
        "food": ("oatcakes and blue cheese", "a pot of lentils", "apple pancakes", "smoked trout", "barley broth"),
    },
    """
==
! The {trail} runs {distance} kilometres from {place1} to {place2} and takes about {hours} hours.
/ Between {place1} and {place2} lie {distance} kilometres of path, and you should allow {hours} hours for them.

I set out with [my sister|an old friend|a borrowed dog] in {weather}, [late as usual|well before breakfast].
/ We left on a {weekday} in {month1}, under {weather}, with [too much luggage|one map between us].

The total climb of {climb} metres sounds [worse|milder] than it is, because [it comes all at once|the slopes are
gentle].
/ There are {climb} metres of ascent, nearly all of it [in the first two hours|between the mill and the ridge].

== The first half | Up to the ridge
Leave the square at {place1} by the lane beside the [smithy|bakery|chapel] and cross the {river1} on the [plank|stone]
bridge.
/ Start behind the [smithy|church|old dairy], follow the {river1} upstream and do not be tempted by the [first|wider]
bridge.

After [a kilometre|half an hour] the path enters a wood of [beech|larch|old oak], where the ground is soft and
[silent|full of roots].
/ A wood of [beech|pine|hazel] follows, with wooden markers put up in {recent} by [scouts|the forest office].

Keep left at the [ruined sheepfold|iron gate]; the right-hand track only goes to a quarry that closed in {year4}.
/ At the fork by the [sheepfold|stone cross] choose the left branch, as the other ends in a quarry given up in
{year4}.

! The highest point is {summit}, {altitude} metres above the sea, where {person1} built a shelter in {year3}.
/ At {altitude} metres {summit} is the top of the walk; its little stone shelter was built by {person1} in {year3}.

From here we could make out [the lakes of {county2}|a white line of surf|smoke over {place3}], and ate {food} [out
of the wind|with numb fingers].
/ We sat down behind the wall, ate {food} and watched [a buzzard|two ravens|a train] far below.

== The second half | Down again | To the valley
The way down is [stony|slippery when wet], and a stick is a great help for the first [two hundred|three hundred]
metres.
/ Going down, take care on the [loose slate|wet grass]; my [knees|boots] have not forgiven me yet.

Halfway stands a hut where {person2} sells [tea|cider|goat's cheese] from a window [on weekends|between {month1} and
{month2}].
/ Do stop at {person2}'s hut, which has had the same [enamel sign|grumpy cat|guest book] since {recent}.

You then pass [a tarn so black that it seems to have no bottom|three standing stones, each with its own legend].
/ Further on there is [a waterfall you hear long before you see it|a chapel no larger than a cupboard].

The last stretch follows an old tramway that once carried [ore|peat|ice] to {place2}.
/ An old tramway, laid in {year2} to bring [ore|peat|stone] to {place2}, makes for easy walking at the end.

== Practical notes | Getting there and back | What to take
Buses return from {place2} at [ten past four|half past five] and [seven|eight] o'clock, except on {weekday}.
/ The last bus leaves {place2} at [twenty to seven|half past six], and a taxi costs [thirty|forty-five] crowns.

Bring water, since the spring marked on older maps [has dried up|is on private land].
/ There is no water between the ridge and the hut, so carry at least [one and a half|two] litres each.

The path is kept up by the [ramblers of {place3}|{county1} path society], who are thankful for any [help|news of
fallen trees].
/ If you find a broken stile, write to the path society in {place3}; they [answer quickly|mended one within a week].
""",
)

ANIMAL = parse_genre(
    "animal",
    ("The {name}", "{name}: [how it lives|habits and habitat]", "On the trail of the {name}"),
    {
        "kind": ("warbler", "owl", "vole", "newt", "moth", "hare", "crane", "lizard", "beetle", "bat", "otter"),
        "colour": ("ash", "copper", "violet", "pale", "rust", "olive", "silver"),
        "name": ("{colour}-[backed|throated|footed] {kind}", "{last1}'s {kind}", "{place1} {kind}"),
        "length": (3, 88),
        "weight": (6, 940),
        "young": (2, 9),
        "age": (3, 22),
        "pairs": (90, 7600),
        "food": ("seeds and beetles", "small snails", "the larvae of crane flies", "berries", "spiders", "pond weed"),
        "home": ("wet meadows", "old quarries", "birch woods", "reed beds", "dry stone walls", "high moorland"),
    },
    """
==
! The {name} is {length} centimetres long and weighs about {weight} grams.
/ With a length of {length} centimetres and a weight of {weight} grams, the {name} is easily [overlooked|recognised].

It lives in {home}, mainly in {county1} and [locally|here and there] in {county2}.
/ You will find it in {home}, above all in {county1}, rarely [elsewhere|anywhere else].

The first to describe it was {person1}, a [vicar|country doctor] in {place1}, in a paper of {year2}.
/ It was described in {year2} by {person1} of {place1}, who at first took it for [a young one of another kind|a
hybrid].

Males have a [dark band|white spot] on the [breast|tail], which fades [in autumn|with age]; females are plainer.
/ The sexes look alike, except that the male shows a [bright|dark] patch behind the [eye|ear] in spring.

== Food and habits | Way of life
! It feeds on {food}, which it [seeks at dusk|finds by smell|collects in the early morning].
/ Its diet consists of {food}, and in hard winters of [bark|whatever it can find].

In {month1} one can hear its call, a [soft double note|dry rattle], repeated for [minutes|half an hour] on end.
/ Its voice, a [low whistle|series of clicks], is heard most often [after rain|before sunrise] in {month1}.

It is active [by night|at dawn], and spends the rest of the day in [a hollow|a nest of moss] close to water.
/ By day it [sleeps|hides] under [roots|flat stones], often several together for warmth.

== Breeding | Raising the young
A pair raises {young} young each year, in a nest that both partners [line with wool|build within three days].
/ Each year {young} young are born, blind and [naked|helpless], and both parents [feed|guard] them for [four|six]
weeks.

In the wild it reaches an age of {age} years; the oldest known one lived near {place2}.
/ The record age is {age} years, held by an animal that was marked near {place2}.

Its enemies are [foxes|crows|pike] and, more and more, [cats|traffic].
/ Many fall victim to [cats|mowing machines], and in some years [floods|late snow] destroy most nests.

== Protection | How many are left | Counting them
! A count in {recent} found {pairs} pairs, [a third fewer|slightly more] than ten years before.
/ In {recent} volunteers counted {pairs} pairs, which is [more|fewer] than had been feared.

{person2} of the nature society in {place3} asks farmers to mow [after the middle of July|in strips].
/ The nature society of {place3}, led by {person2}, has bought [two ponds|eleven hectares] where it is left in peace.

If you see one, keep a distance of [twenty|fifty] metres and write down place and time for the atlas.
/ Sightings are welcome at the society's office, best of all with [a drawing|an exact place], [even|also] if
uncertain.
""",
)
