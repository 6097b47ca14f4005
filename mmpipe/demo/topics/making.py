"""Articles that tell how to make something: recipes, crafts, drawings and gardens."""

from __future__ import annotations

from mmpipe.demo.grammar import parse_genre

RECIPE = parse_genre(
    "recipe",
    ("{dish} from {place1}", "How to make {dish}", "{dish}: an old recipe, step by step"),
    {
        "main": (
            "Leek",
            "Walnut",
            "Barley",
            "Plum",
            "Smoked Trout",
            "Pumpkin",
            "Chestnut",
            "Beetroot",
            "Rye",
            "Apricot",
        ),
        "form": ("Pie", "Dumplings", "Soup", "Bread", "Pudding", "Tart", "Stew", "Fritters", "Loaf"),
        "dish": "{main} {form}",
        "flour": (150, 620),
        "butter": (40, 240),
        "minutes": (18, 95),
        "heat": (150, 230),
        "serves": (2, 10),
        "rest": (15, 80),
        "spice": ("nutmeg", "caraway", "dried thyme", "cardamom", "juniper", "smoked paprika", "lemon peel"),
        "side": (
            "a cucumber salad",
            "pickled onions",
            "a spoon of sour cream",
            "stewed pears",
            "plain boiled potatoes",
        ),
    },
    """
==
! {dish} is the dish that people in {place1} cook on the [first cold evening|eve of the fair], and this version serves
{serves}.
/ This recipe for {dish} serves {serves} people and comes from {place1}, where [every family|each farm] has its own
way.

I learnt it from {person1}, who [cooked for the ferrymen|ran the station kitchen] and never [weighed|wrote down]
anything.
/ {person1}, my neighbour [for years|in {place2}], dictated it to me while [peeling|stirring], so forgive the odd
measure.

The oldest written version stands in a household book of {year2}, between a cure for [hiccups|rust] and a list of
debts.
/ It is first mentioned in {year2}, in a letter that complains of [the price of butter|a burnt crust].

== What you need | Ingredients
! Take {flour} grams of flour, {butter} grams of cold butter, [two|three] eggs, a good pinch of salt and some {spice}.
/ You need {flour} grams of flour, {butter} grams of butter, [one egg|two eggs], salt, {spice} and a [little|splash
of] milk.

Choose [firm|ripe but firm|small] produce for the filling; what is too [wet|old] will make the whole thing heavy.
/ The filling should be [dry to the touch|cut small], for nothing spoils the dish so surely as too much water.

If you cannot find {spice}, use [a bay leaf|black pepper] instead, though purists from {place3} will [object|sigh].
/ Some cooks replace the {spice} with [mustard|honey]; I have tried it and [went back|was pleasantly surprised].

== Method | Step by step | How it is done
Rub the butter into the flour with your fingertips until it looks like [coarse sand|oatmeal], then add the eggs.
/ Begin with flour and butter: work them together quickly, so that your hands do not [warm|melt] the fat.

! Let the dough rest for {rest} minutes in a cool place under a damp cloth.
/ Cover the bowl and leave it alone for {rest} minutes, [however impatient you are|on a cold windowsill].

Meanwhile fry [one onion|two shallots] slowly until [golden|soft], and let everything cool before you go on.
/ While you wait, soften [an onion|a leek] in the [smallest|heaviest] pan you own; it must not brown.

Put the two together, [press the edges with a fork|brush the top with milk], and do not worry if it looks
[rough|uneven].
/ Now fill, fold and seal; [a fork|a wet thumb] does the job better than any gadget sold for it.

! Cook it for {minutes} minutes at {heat} degrees, until the top is [brown|crisp] and a knife comes out clean.
/ It goes into the oven at {heat} degrees for {minutes} minutes; turn it once if yours [is hotter at the back|burns].

Wait [ten|five] minutes before you cut it, or the [steam|juice] will run out and the bottom turn soft.
/ The hardest part is to wait [ten|fifteen] minutes before cutting, but it [pays|matters].

== To serve | Keeping it | At the table
Serve it with {side}, as {person2} does at the inn on the {river1}.
/ At the inn by the {river1} it comes with {side} and a [glass of cider|pot of black tea].

It keeps for [three|four] days in the cold and can be warmed, though [never|preferably not] in a microwave oven.
/ What is left over tastes even better on the [second|next] day, [fried in slices|cold, with mustard].

Children like it [without the {spice}|in small pieces], and a vegan version works with [rapeseed oil|oat cream].
/ For a larger party double everything except the salt, and bake it in [two|three] tins.
""",
)

CRAFT = parse_genre(
    "craft",
    ("Learning {craft}", "{craft} for beginners", "What I wish I had known about {craft}"),
    {
        "craft": (
            "basket weaving",
            "bookbinding",
            "spoon carving",
            "felt making",
            "candle dipping",
            "block printing",
            "soap boiling",
            "kite building",
            "paper marbling",
            "chair caning",
            "net making",
            "clock repair",
        ),
        "hours": (3, 40),
        "price": (12, 190),
        "tool": ("a bone folder", "a hooked knife", "a brass needle", "a wooden mallet", "a pair of round pliers"),
        "mistake": ("working too fast", "buying too many tools", "skipping the test piece", "pulling too hard"),
        "length": (20, 180),
        "age": (61, 93),
    },
    """
==
! My first attempt at {craft} took {hours} hours and ended in [the stove|a drawer], but it taught me [a great
deal|what patience is].
/ It took me {hours} hours to finish my first piece, and even so {craft} has become [my favourite evening|an
addiction].

I took a course in {place1} with {person1}, who is {age} years old and has [practised|taught] it since {year4}.
/ {person1} of {place1}, now {age}, showed me the [first|basic] steps at a kitchen table covered with newspaper.

People often think it is [difficult|expensive], yet all you need for a start costs about {price} crowns.
/ The outlay is small: {price} crowns will buy everything for the [first|whole] winter.

== Tools and material | What to buy | The workbench
! The one tool worth real money is {tool}, and a good one [lasts for life|can be resharpened for ever].
/ Spend your money on {tool}; everything else can be [borrowed|found in a kitchen drawer].

Material is best ordered from [the mill near {place2}|a dealer in {place3}], in [autumn|spring] when it is fresh.
/ I buy my material at the market in {place2}, from {person2}, who [lets me choose|keeps the odd pieces for me].

Cut it {length} centimetres long, always with the grain, and keep the [offcuts|short ends] for repairs.
/ Pieces of {length} centimetres are easy to handle; longer ones [tangle|crack] before you know it.

Store it [damp|dry] and away from [sunlight|the radiator], because it turns [brittle|yellow] within [a week|days].
/ A [shoe box|jar] with a lid keeps everything [clean|supple] over the summer.

== The work itself | Getting started | Step by step
Begin by marking the middle, for every later measure [depends on it|starts from there].
/ Mark the centre first; if that is wrong, [nothing will be right|you will notice too late].

Then fix the first [three|four|six] pieces with [thread|clamps|pins] and check that they lie [flat|at right angles].
/ Lay out the first pieces side by side and [hold|clip] them before you go any further.

Work from left to right, [or the other way if you are left-handed|whatever the books say], and rest your wrists often.
/ Change hands now and then, since the same movement over [an hour|two hours] will make itself felt the next morning.

! The mistake that nearly everybody makes is {mistake}.
/ If I could give just one piece of advice, it would be to avoid {mistake}.

When it begins to look [uneven|crooked], stop, undo the last [row|step], and go on only after a cup of tea.
/ Undoing a row is no shame: {person1} undoes [one in five|every tenth] and calls it [tuition|breathing].

== Finishing | The last touches | Afterwards
A thin coat of [linseed oil|beeswax|starch] brings out the colour and keeps [moths|moisture] away.
/ Rub the finished piece with [beeswax|a wool cloth] and let it dry for [two days|a night].

My third piece now stands in the library of {place4}, and I am [absurdly|a little] proud of it.
/ I gave the [best|second] one to my [aunt|landlord], who has used it every day since {recent}.

There is a meeting of the guild in {month1}, where beginners may [ask anything|try all tools] free of charge.
/ Anyone curious should visit the guild's open evening in {place3}, on the [first|second] {weekday} of {month1}.
""",
)

DRAWING = parse_genre(
    "drawing",
    (
        "Drawing lesson {number}: shapes and colours",
        "Simple shapes, lesson {number}",
        "Cut paper pictures with {person1}",
    ),
    {
        "number": (2, 400),
        "paper": (80, 320),
        "pupils": (7, 34),
        "minutes": (20, 75),
        "medium": ("poster paint", "felt pens", "cut paper", "wax crayons", "chalk", "coloured pencils", "linocut"),
        "school": ("primary school in {place1}", "evening class at {place1}", "art room of the {place1} library"),
    },
    """
==
! This is lesson {number} of the course that {person1} gives at the {school}, and it takes {minutes} minutes.
/ Lesson {number}, held at the {school} by {person1}, lasts {minutes} minutes and needs no [skill|experience] at all.

The class has {pupils} pupils, and their pictures are shown on this page [with their permission|just as they came].
/ All pictures here were made by the {pupils} pupils of the class, the youngest of whom is [six|seven].

We work with {medium} on plain paper, because a simple shape in one strong colour [says|teaches] more than a crowded
sheet.
/ Only {medium} and plain paper are used, so that everybody looks at [form|edges] and colour and nothing else.

{person4}, who could not come because of [a cold|the snow|a late train], sent [a postcard|two sheets] from {place3}
instead.
/ On the wall hung work by {person4} of {place3}, a former pupil, who now [paints trams|designs stamps] for a living.
/ Before we began, {first4} read us a letter of {year3} in which a [sailor|baker|nun] explains how to mix a good
[blue|grey].

== What to do | The exercise
Choose one shape: a circle, a square, a star, a heart, or whatever [you can draw with your eyes shut|comes to mind].
/ Pick a single shape and stay with it, since [mixing|changing] shapes is the subject of [lesson nine|another day].

Decide how many there will be, from one to four, and leave enough room [between them|at the edges].
/ Four shapes are plenty; with more than that the eye [stops counting|sees a pattern] instead of things.

! The paper should weigh at least {paper} grams per square metre, or it will [buckle|tear] when it gets wet.
/ Use paper of {paper} grams; thinner sheets [curl|wrinkle] as soon as the colour dries.

A shape turned a little to one side looks [alive|as if it were falling], while an upright one looks [calm|stern].
/ Try turning the shape slightly and notice how [quickly|strangely] the picture begins to move.

Leave the first sheet to dry for [ten|twenty] minutes on the [stove|line|floor] and start a second one in the
meantime.
/ Fold the sheet [once|twice] and open it again: the crease will tell you where the middle is without any measuring.
/ Hold the sheet at arm's length now and then, or look at it in a mirror, as {last2} the sign painter used to do.

If the {medium} runs out, ask {first3} at table [two|five], who keeps the [spare box|key to the cupboard].
/ For {medium} you need a firm base, and the [drawing boards|tiles] under the window of room {pupils} are just right.
/ The {medium} came from a shop in {place4}, which has [given|lent] the school its remainders since {recent}.

== Talking about the pictures | Looking together
Afterwards we hang up the sheets and each child says in one sentence what can be seen, [nothing more|no stories yet].
/ At the end every pupil describes a neighbour's sheet: how many, which shape, which colour, on what ground.

{first2} said that a dark shape on a pale ground looks nearer, and [nobody could disagree|the class tested it at
once].
/ It was {first2} who [noticed|found out] that the same red looks brighter on grey than on cream.

{person3}, a [painter|sign writer] from {place2}, visited us in {month1} and brought samples of [old|hand-made] paper.
/ In {month1} {person3} came from {place2} to show how signs were [painted|lettered] before {year4}.

Parents often ask what this is good for; the answer is that it trains [careful looking|a steady hand] and plain words.
/ Such exercises look childish, but they train [the eye|attention], and the words for what one sees come by
themselves.

The next lesson is about [shadows|overlapping|stripes], and we need [old newspapers|empty jars] for it.
/ For the coming week please collect [leaves|bottle caps], which will be our [stamps|models].
""",
)

GARDEN = parse_genre(
    "garden",
    (
        "Growing {plant} in a [small garden|cold climate|raised bed]",
        "{plant}: from seed to table",
        "A year with {plant}",
    ),
    {
        "plant": (
            "runner beans",
            "black currants",
            "garlic",
            "sweet peas",
            "rhubarb",
            "tomatoes",
            "lavender",
            "leeks",
            "pumpkins",
            "asparagus",
            "dahlias",
            "parsnips",
        ),
        "depth": (1, 14),
        "spacing": (8, 120),
        "days": (7, 34),
        "yield": (2, 19),
        "pest": ("slugs", "aphids", "pigeons", "leaf miners", "voles", "flea beetles"),
        "cure": ("a ring of crushed eggshells", "fine netting", "soapy water", "a border of marigolds", "wood ash"),
    },
    """
==
! Of all the things I grow, {plant} give me the most pleasure, with about {yield} kilograms from a single bed.
/ A single bed of {plant} yields some {yield} kilograms in a good year, which is [ample|more than enough] for two.

My plot lies on the edge of {place1}, on [heavy clay|light sand|stony ground], and faces [east|south-west].
/ I garden near {place1}, where the soil is [clay|sand] and late frosts are [common|feared] until the middle of May.

The variety I [trust|prefer] is called '{first2} {last3}' and was bred at {place3} in {year4}.
/ Seedsmen offer dozens of kinds, but I stay with '{last3}'s Early', [raised|bred] in {place3} in {year4}.

== Sowing and planting | The start | Getting them into the ground
! Sow or set them {depth} centimetres deep and {spacing} centimetres apart, as soon as the soil [is dry enough|warms
up].
/ They want a distance of {spacing} centimetres and a depth of {depth}; [crowding|shallow planting] is the usual
error.

Water once, thoroughly, and then not again until the first leaves show after about {days} days.
/ After roughly {days} days the first green appears; until then [resist|avoid] watering more than [once|twice].

Before that I dig in [two barrows|one barrow] of compost that has lain for [a year|eighteen months].
/ Compost makes all the difference, and mine rests [a full year|two winters] before it is spread.

== Care through the season | Summer work | Keeping them healthy
The worst enemy here is {pest}, against which {cure} has [worked best|proved its worth] for me.
/ Where {pest} are a plague, try {cure}; it is [cheaper than|as good as] anything sold in bottles.

Weed by hand in the first month, since the roots lie [close to the surface|nearer the top than you think].
/ A hoe does more harm than good near the stems, so [kneel down|use your fingers] and pull the weeds.

In dry weeks give each plant [one can|half a can] in the [morning|evening], at the root and never over the leaves.
/ They are thirsty in {month1}, and a mulch of [straw|grass cuttings] saves half the water.

My neighbour {person1} swears by [music|nettle tea|full moon], and I must admit that her plants are [taller|earlier].
/ {person1}, next door, feeds hers with [nettle|comfrey] brew, which smells so bad that [even|the] cats stay away.

== Harvest | When they are ready | Picking and storing
You can begin to pick in {month2}, and the more you [take|cut], the more [will follow|they give].
/ The harvest starts in {month2} and goes on until the first [hard frost|storms].

What we cannot eat fresh goes [into jars|to the freezer], or to the [school kitchen|food bank] in {place2}.
/ Surplus is [dried on racks|bottled] in the shed, and a basket goes to {place2} every {weekday}.

Save seed only from the [strongest|earliest] plants, and write the year on the [packet|jar] at once.
/ I keep seed in paper bags [marked|labelled] with the year, for after [four|three] years few will sprout.
""",
)
