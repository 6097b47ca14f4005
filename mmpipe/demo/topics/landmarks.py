"""Articles on invented bridges, piers and aqueducts, and on museums."""

from __future__ import annotations

from mmpipe.demo.grammar import parse_genre

LANDMARK = parse_genre(
    "landmark",
    ("The {name}: [a short history|history and figures|what every visitor should know]", "{name}, {place1}"),
    {
        "kind": ("Bridge", "Viaduct", "Pier", "Causeway", "Aqueduct", "Harbour Wall"),
        "name": ("{last3} {kind}", "{place1} {kind}", "{first2} {kind}"),
        "length": (34, 870),
        "height": (18, 96),
        "material": ("granite", "red brick", "wrought iron", "limestone", "oak and slate", "cast iron", "sandstone"),
        "workers": (60, 900),
        "cost": (11, 480),
        "steps": (70, 340),
        "visitors": (12, 240),
        "fault": (
            "a crack in the eastern foundation",
            "a fire in the keeper's rooms",
            "a spring flood",
            "subsidence in the old mine below",
            "a lightning strike",
            "rust in the main girders",
        ),
        "use": ("a small exhibition", "a tea room", "a weather station", "a school for masons", "a bird hide"),
        "festival": ("lantern walk", "kite day", "brass band contest", "open day", "torchlight supper"),
    },
    """
==
! The {name} was opened in {year1} and is {length} metres long.
/ Opened in {year1}, the {name} [measures|has a length of] {length} metres and is [the best known sight|the pride] of
{place1}.

It stands on the [north|south|western|eastern] bank of the River {river1}, about {day1} kilometres from {place2}.
/ Travellers on the road from {place2} see it first, rising [above the River {river1}|behind the poplars of the
{river1}].

The design came from {person1}, who was only [twenty-six|thirty-one|forty-four] years old [at the time|then] and had
never built anything [so large|of the kind] before.
/ {person1}, [an engineer|a surveyor|a master mason] from {place3}, drew the plans in a single winter and defended
them before [a doubtful committee|the county board].

Most of the {material} was brought by [barge|ox cart|a narrow railway] from quarries near {place4}.
/ {place4} supplied the {material}, and a good deal of it is still [sound|as sharp as on the day it was cut].

== History | How it was built | The early years
Work began in [the wet spring|the autumn] two years before the opening, and at its height {workers} people were
employed on the site.
/ As many as {workers} labourers worked on it, and their names are kept in a ledger in the [parish|county] archive.

! The whole undertaking cost {cost} thousand crowns, of which the [wool merchants|salt traders|shipowners] of {place2}
paid [a third|nearly half].
/ Its price, {cost} thousand crowns, was [raised by a toll on cattle|lent by a bank in {place3}] and was not paid off
until {year3}.

In {year2} {fault} closed it for [eleven weeks|most of a year|two summers], and many [feared|expected] it would be
pulled down.
/ Disaster nearly struck in {year2}, when {fault} was [found|discovered] by {person2} during a routine walk.

{person2} led the repairs and added the [iron railings|copper roof|stone benches|double doors] that visitors admire
[today|now].
/ The repairs, directed by {person2}, gave the building its [copper roof|stone benches|painted ceiling|iron railings].

During the [long strike|dry years|coal shortage] of {year3} it served as [a store for grain|a signal post|an
infirmary].
/ For [a short while|several years] after {year3} the council used it as [a store for grain|a signal post].

== Figures | Dimensions and details | Facts and figures
! At its highest point the structure reaches {height} metres, and {steps} steps lead to the top.
/ A climb of {steps} steps brings you to the platform, {height} metres above the ground.

From there, on a clear day, one can see as far as [the hills of {county1}|the sea|the towers of {place3}].
/ The view takes in [{county1}|the whole of {county1}] and, in [fine|cold] weather, the roofs of {place3}.

The foundations go down [nine|fourteen|twenty-two] metres into [blue clay|chalk|gravel], deeper than the plans had
foreseen.
/ Nobody had expected [blue clay|soft chalk|running sand], so the foundations were sunk far deeper than planned.

A bell cast in {place4} weighs [two|three|four] tonnes and is rung [on the first {weekday} of the month|at noon].
/ The bell was cast in {place4}; local people say that it is [half a tone flat|heard in {place2} when the wind is
right].

== Visiting | The place today | Plan your visit
! About {visitors} thousand people visit each year, most of them between {month1} and the [harvest|first frost].
/ Every year some {visitors} thousand visitors come, many of them for the {festival} held in {month1}.

Since {recent} the ground floor has housed {use} run by [volunteers|two sisters from {place1}|the local trust].
/ The trust opened {use} here in {recent}, and the [cakes|tours|drawings] have become [quite famous|a reason to come].

The caretaker, {person3}, gives tours on {weekday} mornings and will gladly show the [old pulley|builders'
marks|drain].
/ Ask for {person3}, who has looked after the place since {recent} and knows the story behind [each carving|every
nail].

Parking is [free|limited], so it is wiser to take the bus from {place2} and walk the last [mile|two miles] by the
water.
/ The nearest station is {place2}; from there a signed path of [forty|fifty|twenty-five] minutes follows the river.
""",
)

MUSEUM = parse_genre(
    "museum",
    ("[Inside|A morning at|Behind the doors of] the {name}", "The {name} and its {objects}"),
    {
        "subject": ("Glass", "Clocks", "Rope Making", "Maps", "Toys", "Printing", "Lamps", "Bread", "Salt", "Radio"),
        "name": ("{place1} Museum of {subject}", "Museum of {subject} in {place1}", "{last1} Collection of {subject}"),
        "objects": ("two-headed spoon", "travelling workshop", "blue room", "oldest label", "talking cabinet"),
        "count": (900, 14800),
        "oldest": (300, 1900),
        "ticket": (3, 14),
        "rooms": (5, 23),
        "house": (
            "a former customs house",
            "an old tannery",
            "the stables of a coaching inn",
            "a disused chapel",
            "the first power station of the town",
            "a merchant's villa",
        ),
        "guide": ("{person3}", "{first3}, a retired teacher", "{first3}, who used to drive a tram"),
    },
    """
==
! The {name} owns {count} objects and fills {rooms} rooms of {house}.
/ In {rooms} rooms of {house}, the {name} shows a choice of its {count} objects.

It was founded in {year3} by {person1}, a [doctor|grocer|ship's cook] who [began by|started] collecting [as a boy|as a
girl|during a long illness].
/ {person1} founded it in {year3} after [a dispute with a cousin|a flood had ruined the family shop].

What strikes you first is [the smell of wax and paper|how quiet the rooms are|the light that falls through the old
windows].
/ The first thing you notice is [a smell of wax|the ticking from upstairs|the green light on the stairs].

== The collection | What to look for | Highlights
! The oldest piece dates from the year {oldest} and was found in a [well|cellar|field] near {place2}.
/ Pride of place goes to a piece from the year {oldest}, [dug up|discovered] by a farmer near {place2}.

Next to it lies a notebook in which {person2} wrote down every purchase, with the price and [the weather|the mood of
the seller].
/ {person2} kept careful notes on each purchase, and [three|four] of those notebooks lie open in the second room.

A whole wall is given over to [failures|copies and forgeries|things nobody can explain], which children like best.
/ Children head straight for the wall of [failed experiments|forgeries|unexplained things] on the upper floor.

In the [cellar|attic] you can try [a press|a lathe|a hand pump] yourself, under the eye of [a volunteer|an old hand].
/ Visitors may work the [press|bellows|treadle] themselves, provided that they [wear gloves|ask first].

The labels were rewritten in {recent} by [pupils of the local school|a poet from {place3}], and they are [short and
funny|a pleasure to read].
/ Pupils from {place3} rewrote all the labels in {recent}; the [best|shortest] of them has just four words.

One object is missing: a small [silver|ivory|bronze] figure vanished in {year4} and has never been [seen
again|traced].
/ A pale outline on the velvet marks where a [silver|bronze] figure lay until it was stolen in {year4}.

== A talk with the guide | The people | Who keeps it going
Our guide, {guide}, told us that the roof leaks [whenever the wind turns west|after every thaw].
/ According to {guide}, most visitors ask the same question: [is it all real|may we touch it|who dusts all this]?

The museum lives on gifts and on the work of [twenty|thirty-five|a dozen] helpers, and the town pays for the heating.
/ Without its [two dozen|forty] helpers the house would have to close, since the town pays only for heating and light.

[Plans for a new wing|Ideas for a glass roof] were turned down in {recent}, to the relief of [many neighbours|the
bats in the loft].
/ In {recent} the trustees dropped the plan for a glass extension because [it would have cost too much|no one liked
it].

== Opening times and prices | Before you go | Practical notes
! A ticket costs {ticket} crowns, and children under [six|twelve] go free.
/ Adults pay {ticket} crowns; on the first {weekday} of each month [everyone|the whole town] gets in for nothing.

The doors are open from {month1} to {month2}, every day except {weekday}.
/ It is closed on {weekday} and throughout {month2}, when the [cases are cleaned|floors are waxed].

There is no café, but the bakery across the street sells [plum cake|cheese rolls|ginger bread] that is [worth the
wait|still warm at ten].
/ For lunch walk down to the [harbour|market square], where {first4}'s kitchen serves [fish soup|dumplings|bean stew].
""",
)
