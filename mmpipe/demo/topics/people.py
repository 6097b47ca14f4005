"""Articles on invented inventors, artists and their inventions, and on matches that were never played."""

from __future__ import annotations

from mmpipe.demo.grammar import parse_genre

INVENTOR = parse_genre(
    "inventor",
    ("{person1}, [the forgotten inventor|a life|maker of the {machine}]", "Who was {person1}?"),
    {
        "machine": (
            "folding ladder",
            "steam-driven loom brake",
            "pocket barometer",
            "self-winding lamp",
            "paper sieve",
            "railway signal lantern",
            "seed counter",
            "silent typewriter",
            "tide calculator",
            "ink pump",
        ),
        "trade": ("a clockmaker", "a midwife", "a lighthouse keeper", "a miller", "a schoolteacher", "a bell founder"),
        "patents": (3, 48),
        "siblings": (2, 11),
        "price": (4, 90),
        "sold": (120, 9600),
        "school": ("the trade school at {place2}", "an apprenticeship in {place2}", "night classes in {place2}"),
    },
    """
==
! {person1} was born in {place1} in {year1} and is remembered for the {machine}, patented in {year2}.
/ The {machine} was patented in {year2} by {person1}, who had been born in {place1} in {year1}.

As the child of {trade}, and one of {siblings} brothers and sisters, {first1} learnt early to [mend|share] things.
/ {first1} grew up among {siblings} brothers and sisters in the house of {trade}, where [nothing was thrown
away|silence was rare].

== Early years | Youth and training
After {school} came [two|four] years of travel, mostly on foot, through {county1} and {county2}.
/ {school} gave a solid grounding, and [long walks|poorly paid jobs] in {county1} did the rest.

A diary from this time describes [a flooded workshop|an argument about gears] and, on the same page, the price of
[herring|candles].
/ The surviving diaries are full of [sketches of wheels|sums], with hardly a word about [politics|the weather].

In {place3} the young mechanic met {person2}, who [lent money|offered a bench by the window] and became a lifelong
friend.
/ A chance meeting with {person2} in {place3} led to a [partnership|friendship] that lasted until {year4}.

== The invention | The {machine} | How it came about
The idea is said to have come [during a power cut|while waiting for a ferry|at a funeral], though this may be a
legend.
/ According to {person2}, the idea came [on a ferry|in a queue at the baker's], and the first sketch was made on a
[cuff| paper bag].

! The first {machine} was sold for {price} crowns, and within [five|three] years {sold} had left the workshop.
/ Within [six|four] years {sold} pieces were sold, each at a price of {price} crowns.

What made it better than its rivals was a [spring|valve|double hinge] that could be replaced [without tools|in a
minute].
/ Its secret was a small [brass spring|leather valve], so simple that [competitors laughed|nobody had thought of it].

A rival firm in {place4} copied the design, and the court case dragged on until {year3}.
/ The patent was [challenged|ignored] by a firm in {place4}, and judgement was not given until {year3}.

! In all, {last1} held {patents} patents, of which [the strangest|the last] concerned a [hat that tells the time|bed
for trains].
/ Altogether {patents} patents bear the name of {last1}, including one for a [boat for one cow|bed for trains].

== Later life and memory | The last years | What remains
Success brought [comfort but not wealth|a house with a tower], for most of the money went into [new trials|a school].
/ Most of the income was spent on a [school for girls|library for workers], which still [stands|exists] in {place1}.

{first1} {last1} died in {year4} in {place3}, leaving [a garden full of models|debts and forty notebooks].
/ Death came in {year4}, in {place3}, in the middle of a letter about [hinges|pears].

A street and a [prize|ferry] bear the name today, and one of the machines can be seen in the museum of {place2}.
/ One original machine is kept in {place2}; it [still works|is started once a year], to the delight of the school
classes.

The biography by {person3}, published in {recent}, corrected [many errors|the date of birth] and is [good
reading|short].
/ Readers who want to know more should turn to the life by {person3}, which came out in {recent}.
""",
)

MATCH = parse_genre(
    "match",
    (
        "{club1} beat {club2} [in the rain|after a late goal]",
        "{club1} {goals1}, {club2} {goals2}",
        "A [narrow|hard-won] win for {club1}",
    ),
    {
        "club1": ("{place1} Rovers", "{place1} Town", "{place1} Wanderers", "Athletic {place1}"),
        "club2": ("{place2} United", "{place2} Harriers", "Sporting {place2}", "{place2} City"),
        "goals1": (3, 6),
        "goals2": (0, 2),
        "crowd": (240, 9800),
        "minute1": (4, 40),
        "minute2": (48, 71),
        "minute3": (74, 89),
        "shirt": (2, 27),
        "rank": ("third", "fifth", "seventh", "ninth", "eleventh"),
    },
    """
==
! {club1} won {goals1} to {goals2} against {club2} on {weekday}, in front of {crowd} spectators.
/ In front of {crowd} spectators, {club1} defeated {club2} by {goals1} goals to {goals2} on {weekday}
[night|afternoon].

The result lifts the home side to {rank} place, [four|two|six] points behind the leaders from {place3}.
/ With these points they climb to {rank} in the table, while {place3} [stay|remain] at the top.

It was [not a pretty game|a match to remember], played on a pitch that [looked like a ploughed field|had seen better
days].
/ Those who had stayed at home because of the [wind|forecast] missed [a fine evening|the best game of the season].

== First half | Before the break
! The first goal fell in minute {minute1}, when {person1} [headed in a corner|shot from twenty metres].
/ {person1} opened the score in minute {minute1} with a [low shot|header] that the keeper [saw too late|could only
touch].

{club2} answered with [long balls|quick passes down the left], and twice the post [saved|came to the rescue of] the
hosts.
/ The visitors did not give up: twice they hit the [bar|post], and once the ball was cleared [off the line|by a
defender].

Referee {person4} showed [two|three] yellow cards within [five|ten] minutes, all of them for [arguing|late tackles].
/ The game became rough, and {person4}, the referee, had to [calm tempers|reach for the cards] more than once.

At half time the brass band played, and the tea ran out [for the first time since {year4}|before everyone had been
served].
/ During the interval the groundsman [forked the wet patches|swept the goal mouth] to loud applause.

== Second half | After the break
After the break {first2} {last2}, number {shirt}, came on and changed everything with [speed|clever passes].
/ The coach brought on number {shirt}, {person2}, and from then on [only one side|the home team] attacked.

! In minute {minute2} {person2} scored from a free kick, and in minute {minute3} the game was [decided|over].
/ {person2} made it safe in minute {minute2}, and a last goal in minute {minute3} sent the [first fans|crowd] home
happy.

The visitors' keeper, {person3}, prevented [worse|a rout] with saves that even the home end [applauded|cheered].
/ Without {person3} in goal it could have ended [much worse|eight nil] for the guests.

== Voices | After the final whistle | What they said
The winning coach said that his team had [learnt to be patient|run more than in the last three games together].
/ "We kept [calm|our shape] and waited for the moment," said the coach, who has been in charge since {recent}.

On the other side there was talk of [tired legs|bad luck] and of [the long bus ride|two injured defenders].
/ The losing captain blamed [nobody but the team|a lack of sleep] and promised a better game next {weekday}.

The next match takes place in {place4} on {day1} {month1}, and [extra trains|two buses] will run.
/ On {day1} {month1} they travel to {place4}, where they have not won since {year4}.
""",
)

OBSERVATORY = parse_genre(
    "planet",
    ("{planet}, a world of [storms|slow days|two suns]", "What we know about {planet}", "The discovery of {planet}"),
    {
        "greek": ("b", "c", "d", "Prime", "Minor"),
        "planet": ("{last1} {greek}", "{first2} {greek}", "{river1} {greek}"),
        "distance": (11, 940),
        "day": (7, 310),
        "year": (19, 900),
        "mass": (2, 40),
        "moons": (2, 29),
        "cold": (20, 190),
        "mirror": (60, 410),
        "gas": ("methane", "ammonia", "carbon dioxide", "water vapour", "helium", "sulphur dioxide"),
        "gas2": ("nitrogen", "argon", "hydrogen", "neon", "carbon monoxide"),
        "real": (
            "Mars, which has two small moons, Phobos and Deimos",
            "Venus, whose day is longer than its year",
            "Jupiter, the largest planet of our system",
            "Saturn, which is less dense than water",
            "Mercury, which circles the Sun in 88 days",
            "Neptune, found in 1846 by calculation",
        ),
    },
    """
==
! The planet {planet} lies {distance} light years away and needs {year} days to circle its star.
/ At a distance of {distance} light years, {planet} goes round its star once in {year} days.

In this [imagined|invented] atlas of distant worlds it stands on page {day1}, right after {real}.
/ Readers of this atlas of imagined worlds may compare it with {real}.

It was found in {recent} by {person1}, who noticed that the star grew [a little dimmer|fainter by a thousandth] at
regular intervals.
/ {person1} discovered it in {recent}, after [eleven|seven] clear nights, with a mirror of {mirror} centimetres.

== Size and motion | Figures
! It is {mass} times as heavy as the Earth, and one of its days lasts {day} hours.
/ A day there lasts {day} hours, and the mass is {mass} times that of the Earth.

The axis is tilted so strongly that summer and winter differ by {cold} degrees [at the poles|even at the equator].
/ Because the axis lies [almost flat|at a steep angle], the seasons are extreme, with {cold} degrees between them.

No fewer than {moons} moons have been counted, the largest of which was named after the town of {place1}.
/ Its largest moon is called {place1}, and {moons} are known [so far|in all].

== Air and surface | What the weather is like
The air consists mostly of {gas}, with [traces|a tenth] of {gas2}, and would be [fatal|no pleasure] to breathe.
/ Measurements of its light show {gas} and [some|a little] {gas2}, but no oxygen [at all|worth mentioning].

Winds blow from [east to west|pole to pole] and carry dust [around the globe|to great heights] within [days|a week].
/ A storm large enough to swallow [a continent|the Pacific] has been raging in the south since at least {recent}.

There may be [salt lakes|frozen seas] under the clouds, though {person2} of the institute at {place2} doubts it.
/ {person2}, of {place2}, believes that there are [seas of tar|mountains of ice], and colleagues [disagree|politely
smile].

== How it was measured | The telescope
The telescope stands on a hill near {place3}, where the nights are dark because [the mine closed|there are no roads].
/ All this was measured at the observatory near {place3}, a [tin|wooden] hut with a roof that is [rolled|pushed]
aside by hand.

Each picture takes [four|six] hours, and a single [lorry|firefly] on the wrong side of the valley can spoil it.
/ An exposure lasts [half a night|five hours], during which the observer may not [walk about|light a lamp].

The data are open to everyone, and pupils from {place4} found [an error|a second dip] that the experts had missed.
/ In {month1} a school class from {place4} went through the tables again and found [one more moon|a mistake].

A larger mirror is planned, but the [money|road] is missing, so the next answers will have to wait [for years|a
while].
/ Whether anything lives there nobody can say; the next instrument, still [on paper|in boxes], might [tell|help].
""",
)
