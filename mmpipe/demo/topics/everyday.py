"""Articles of everyday pages: local news, product reviews, forum threads."""

from __future__ import annotations

from mmpipe.demo.grammar import parse_genre

NEWS = parse_genre(
    "news",
    ("{place1} council [approves|argues over|delays] {project}", "{project} for {place1}: what happens next"),
    {
        "project": (
            "a new swimming hall",
            "a cycle bridge",
            "the tram extension",
            "free school meals",
            "a night bus",
            "a flood wall",
            "a repair café",
            "the library roof",
            "a wind park",
            "a market hall",
        ),
        "cost": (2, 88),
        "votes1": (13, 31),
        "votes2": (3, 12),
        "months": (9, 40),
        "letters": (40, 2300),
        "jobs": (12, 410),
        "worry": ("noise", "the old lime trees", "parking spaces", "higher taxes", "the view from the castle"),
    },
    """
==
! The council of {place1} voted on {weekday} for {project}, with {votes1} votes to {votes2}, at a cost of {cost}
million crowns.
/ By {votes1} votes to {votes2}, councillors in {place1} agreed on {weekday} to spend {cost} million crowns on
{project}.

The debate went on until [midnight|half past ten] and was followed by [some eighty|more than a hundred] residents.
/ It was the longest sitting since {year4}: the last speaker left the platform [shortly before midnight|at eleven].

"This is a [good|great] day for our children," said the mayor, {person1}, after the vote.
/ Mayor {person1} spoke of [a brave step|an investment in the future] and thanked [all sides|the planners] for their
patience.

== The dispute | Background | How it came to this
Opponents had collected {letters} letters of protest, most of which were about {worry}.
/ Their main concern is {worry}, and {letters} people had signed a petition to the council.

{person2}, who speaks for the shopkeepers, called the plan [rash|too dear] and asked for [a second opinion|a
referendum].
/ The shopkeepers, led by {person2}, fear [a year of roadworks|that customers will stay away].

The idea is not new: a first plan was drawn up in {year4} and disappeared [in a drawer|during the elections].
/ As early as {year4} something similar had been [proposed|planned], but there was [no money|no majority] for it.

A study by the university of {place2} came to the conclusion that it would pay for itself [within twelve years|in
time].
/ Experts from {place2} had examined the figures and found them [sound|a little hopeful].

== What is planned | Costs and dates | The next steps
! Work is to begin in {month1} and will last {months} months, according to the building department.
/ According to the plan, building starts in {month1} and takes {months} months, provided that the winter is mild.

It will bring {jobs} jobs to the town, [half|most] of them [for local firms|permanent].
/ The firm that won the contract has promised {jobs} new jobs, though critics doubt the [number|promise].

The county pays [a third|forty per cent], the rest comes from [savings|a loan that runs until the year 2051].
/ About [a quarter|half] of the money comes from {county1}, and the town must find the rest [by spring|itself].

During the work the traffic will be sent round by [Station Road|{last3} Street], where [parking|stopping] is
forbidden.
/ Drivers will have to take the [longer way|detour] through {place3}, which adds [ten|fifteen] minutes.

== Reactions | Voices from the town
At the market on the following morning opinions were divided [as ever|along with the potatoes].
/ On the market square people talked of [little else|nothing but the vote] the next day.

"I will believe it when I see it," said {person3}, [who sells eggs|a bus driver], with a [shrug|laugh].
/ For {person3}, a [nurse|pensioner], it comes [ten years too late|at just the right time].

The opposition has announced [an appeal|a complaint to the county court], which must be filed before {day1} {month2}.
/ Whoever wants to object has until {day1} {month2} and should write to the town hall, [room four|second floor].
""",
)

REVIEW = parse_genre(
    "review",
    (
        "{brand} {thing} [in the test|reviewed]",
        "We tried the {brand} {thing}",
        "{brand} {thing}: [worth the money|any good]?",
    ),
    {
        "thing": (
            "kettle",
            "folding bicycle",
            "rucksack",
            "desk lamp",
            "hand drill",
            "sewing machine",
            "rain jacket",
            "coffee mill",
            "tent",
            "bread oven",
            "radio",
            "hiking boot",
        ),
        "brand": ("{last1}", "{last2} & {last3}", "{river1}", "{place1}", "{last4} Works"),
        "model": (20, 990),
        "price": (29, 880),
        "weight": (210, 9800),
        "weeks": (3, 26),
        "score": (4, 9),
        "guarantee": (2, 12),
        "fault": (
            "the lid sticks",
            "the strap slips",
            "the switch feels cheap",
            "the paint scratches easily",
            "it whistles in the wind",
            "the manual is useless",
        ),
    },
    """
==
! The {brand} {thing}, model {model}, costs {price} crowns, and we used it every day for {weeks} weeks.
/ For {weeks} weeks we used the {brand} {thing}, model {model}, which sells for {price} crowns.

Our sample was bought in a shop in {place2}, [not lent by the maker|like any other], so nobody could pick a good one.
/ We paid for it ourselves, [as always|in an ordinary shop], and will [give it to charity|keep it].

The maker promises [a product for life|that it will outlast its owner], which made us [curious|suspicious].
/ According to the box it is "[built to be repaired|made without compromise]", a claim we wanted to [check|believe].

== First impression | Out of the box
! It weighs {weight} grams and is made in {place3}, by a firm of about [forty|ninety] people founded in {year4}.
/ At {weight} grams it is [lighter|heavier] than expected; it comes from {place3}, where the firm has worked since
{year4}.

Everything feels solid, the joints [fit|close] well, and there is [no smell of plastic|not a rattle to be heard].
/ The finish is [very good|excellent], and even the parts that nobody sees have been [smoothed|painted].

Setting it up took [ten|four] minutes and one [screwdriver|coin], though {fault}.
/ You need no tools to start with; on the other hand {fault}.

== In daily use | The test | How it performed
In the rain, in the [cold|heat] and on the [worst|bumpiest] road of {county1} it did [what it should|its work without
complaint].
/ We took it through [mud and sand|a wet {month1}] in {county1}, and apart from a [scratch|stain] it looks as new.

Compared with the model of the year before, it is [quieter|quicker] and uses [a fifth|a quarter] less [power|space].
/ The older version was [louder|clumsier]; owners of that one will notice the difference [at once|within a day].

Our colleague {person1}, who has small hands, found the handle [too thick|a little slippery], while others did not
mind.
/ {person1} [dropped it twice|left it out in the frost], by accident, and nothing happened.

A rival from {place4} is cheaper by [thirty|a hundred] crowns, but lacks the [double wall|second gear|inner pocket].
/ Those who want to spend less can look at the one from {place4}, which is [nearly|almost] as good.

== Repairs and service | Spare parts
Spare parts are listed with prices, and the firm gives a guarantee of {guarantee} years.
/ There are {guarantee} years of guarantee, and each part, down to the last [screw|seal], can be ordered singly.

We asked the service a [silly|difficult] question by telephone and had a [friendly|correct] answer within [a
day|minutes].
/ A letter to the service was answered by {first2}, by hand, [after five days|with a drawing].

== Verdict | Our opinion
! We give it {score} points out of ten.
/ Our mark: {score} out of ten, [one more|one fewer] than last year's model.

Buy it if you [use it often|hate waste]; if you need such a thing only [twice|once] a year, borrow it from a
neighbour.
/ It is [no bargain|not cheap], yet over the years it will probably cost less than [three|two] bad ones.
""",
)

FORUM = parse_genre(
    "forum",
    ("Question: {problem}", "[Help!|Advice needed:] {problem}", "Has anyone else had this? {problem}"),
    {
        "thing": ("bicycle", "stove", "well pump", "piano", "beehive", "sourdough", "greenhouse", "canoe", "loom"),
        "problem": (
            "my {thing} makes a strange noise",
            "how old is this {thing}?",
            "moving a {thing} by train",
            "the {thing} and the neighbours",
            "can a {thing} be repaired in winter?",
        ),
        "age": (4, 90),
        "distance": (12, 300),
        "price": (15, 640),
        "part": ("the bearing", "a cracked seal", "the lower spring", "damp", "a loose bolt", "mice"),
    },
    """
==
! Hello everyone, I bought a {thing} in {place1} for {price} crowns, and the seller told me that it was {age} years
old.
/ Dear all, my {thing} is said to be {age} years old; I paid {price} crowns for it at a [yard sale|barn] in {place1}.

Since I got it home, a journey of {distance} kilometres, it has not been [the same|working as it should].
/ On the way home, {distance} kilometres on bad roads, something must have [happened|come loose].

Everything was fine for [three|ten] days, and then, on a {weekday} in {month2}, it began to [hum|rattle|smell of
smoke].
/ It happens only in the [morning|evening], and only when [{first2}|my daughter] is in the room, which makes me look
silly.
/ When it is warm there is no trouble at all; below [five|ten] degrees it starts [at once|after a minute or so].

I have read the older threads but none of them seems to fit, and I would rather not [break it|ask my brother-in-law].
/ Searching gave me [two hundred|dozens of] answers, each of them [different|for another model], so I am asking here.

Has somebody got an idea? I live near {place2} and could [send pictures|bring it to a meeting].
/ Any hint is welcome, also from people who [know nothing|have only heard] of such things. Greetings from {place2}.

== {person1} wrote | Answer by {person1}
I have owned [three|five] of them since {recent}, and each had its own temper, so take this with a pinch of salt.
/ Nice find! Mine came from an attic in {county1}, and [the wiring|a nest of wasps] kept me busy for a whole {month2}.
/ My grandfather repaired these for a living in {place4}, and some of his [rules|curses] have stayed with me.

Welcome to the forum! My guess would be {part}, because I had exactly the same thing in {recent}.
/ I would look at {part} first. It is nearly always that, [whatever the books say|in spite of what you read].

In the works at {place4} they used to test them with a [coin|candle|feather], and that trick still [helps|works].
/ I once asked an old hand in {place4} about it, and he only said: "[Oil it|Leave it alone] and wait for {month1}."
/ There is a drawing of it in the handbook of {year3}, on page {age}, if you can get hold of a copy in {county1}.

Take off the cover (it is held by [four|six] screws, two of them hidden) and turn it slowly by hand.
/ To find out, [lift it|lay it on its side] and listen: a dull sound means yes, a clear one means no.

! New parts can be had from {person2} in {place3} for about [twelve|thirty|nine] crowns, and shipping takes a week.
/ {person2} in {place3} still sells the part; it cost me [eleven|twenty] crowns and came within [days|a week].

== {person3} wrote | Another opinion
I do not agree with {first1}. With the models from before {year4} that part [does not exist|was made of wood].
/ With respect to {first1}, I think this is wrong, since the ones built before {year4} had no such part.

What nobody has mentioned yet is the [number plate|stamp] underneath: if it begins with {distance}, it was made in
{place3}.
/ Have you looked at the label? A {last4} made before {year4} is [rare|heavy], and I would not drill a single hole
in it.
/ Ask yourself first whether it is worth it, for a sound one costs {price} crowns at the {weekday} market in {place4}.

In my case it was simply [the cold|old grease], and after [a night by the fire|a good cleaning] the trouble was gone.
/ Please try the easy things first: clean it, [warm it|dry it], and wait [a day|two days] before you order anything.

Whatever you do, never use [hot water|kitchen oil], for it [swells|gums up] and then you have two problems.
/ One warning: leave the [varnish|label] alone, it is worth more than the rest, at least to [collectors|museums].

== The end of the story | Solved | What happened next
Thank you all! {first3} was right, and so in a way was {first1}, as both things had to be [fixed|done].
/ Just to report back: it works again, and the whole repair took [an afternoon|forty minutes].

I wrote down each step with [drawings|measurements], which you can find in the library section [soon|from {month1}].
/ If you ever come through {place2} in {month1}, ring the bell and I will show you, with [coffee|cake].

The old owner, by the way, turned out to be {person4}, who had built [half of it|the stand] in {place4}.
/ By the way, there was a note inside, signed by {person4} of {place4} and dated {year4}.
""",
)
