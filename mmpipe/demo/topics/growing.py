"""Articles that tell how to cook and how to garden."""

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
        "best": (20, 61),
        "bloom": (30, 94),
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

An old calendar from {county1} says to begin on the day of the {river1} fair, which is [far too early|about right]
here.
/ {last4}'s handbook of {year3} gives [nine|four] rules for them, of which I follow the first and break the
[others|rest].
/ My records go back to {recent}: on average the first flower opens on day {bloom} after sowing, earlier near the
wall.

Weed by hand in the first month, since the roots lie [close to the surface|nearer the top than you think].
/ A hoe does more harm than good near the stems, so [kneel down|use your fingers] and pull the weeds.

In dry weeks give each plant [one can|half a can] in the [morning|evening], at the root and never over the leaves.
/ They are thirsty in {month1}, and a mulch of [straw|grass cuttings] saves half the water.

In {recent} I lost nearly everything to [hail|a burst pipe|a late frost on {day1} May], and {first3} gave me new
plants.
/ The year {recent} was the best so far, with {best} kilograms; the worst, three years later, gave [not even
two|just one].
/ At the show in {place4} my entry came [fourth|second] in {recent}, behind {person3}, who had fed hers [with
fish|for weeks].

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
