"""Articles on crafts and drawing lessons."""

from __future__ import annotations

from mmpipe.demo.grammar import parse_genre

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
        "distance": (14, 2200),
        "income": (18, 460),
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
The pattern for this piece goes back to {person4} of {place4}, who sold {distance} of them between {year3} and
{year4}.
/ An old [sample book|photograph] of {year3}, kept in {place4}, shows the same piece made by {person4} in
[willow|red].
/ I copied the shape from a stall in {place4}, where {first4} {last4} has shown such work every {month2} since
{recent}.

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

Selling is another matter: at the fair in {county1} I took {income} crowns in two days and gave [half|most] of it to
{first2}.
/ A shop in {place3} asked for [a dozen|twenty] pieces at {income} crowns each; I declined, and [do not regret
it|sleep well].
/ In {county1} such things fetch up to {income} crowns, more if {last2}'s mark is [burnt|pressed] into the base.

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
        "pupils": (29, 34),
        "visitors": (60, 3400),
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
/ Why {medium}, one colour and no lines? Because, as {first1} likes to say, {place3} was not [drawn|painted] in a day.

{person4}, who could not come because of [a cold|the snow|a late train], sent [a postcard|two sheets] from {place3}
instead.
/ On the wall hung work by {person4} of {place3}, a former pupil, who now [paints trams|designs stamps] for a living.
/ Before we began, {first4} read us a letter of {year3} in which a [sailor|baker|nun] explains how to mix a good
[blue|grey].

== What to do | The exercise
Choose one shape: a circle, a square, a star, a heart, or whatever [you can draw with your eyes shut|comes to mind].
/ Pick a single shape and stay with it, since [mixing|changing] shapes is the subject of [lesson nine|another day].
/ Today's shape is yours to choose; {first2} took a ring, {first3} a cross, and [both|neither] came out as planned.

Decide how many there will be, from one to four, and leave enough room [between them|at the edges].
/ Four shapes are plenty; with more than that the eye [stops counting|sees a pattern] instead of things.
/ How many? {first4} says two, because one is [lonely|a dot] and three are [a crowd|a pattern].

! The paper should weigh at least {paper} grams per square metre, or it will [buckle|tear] when it gets wet.
/ Use paper of {paper} grams; thinner sheets [curl|wrinkle] as soon as the colour dries.

A shape turned a little to one side looks [alive|as if it were falling], while an upright one looks [calm|stern].
/ Try turning the shape slightly and notice how [quickly|strangely] the picture begins to move.
/ Draw it {day1} times on scrap paper, as {first4} did, before you [dare|begin] the real one.

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
/ On {weekday} all the sheets hung in the window facing {last4} Street, and [passers-by|the postman] counted along.

{first2} said that a dark shape on a pale ground looks nearer, and [nobody could disagree|the class tested it at
once].
/ It was {first2} who [noticed|found out] that the same red looks brighter on grey than on cream.

{person3}, a [painter|sign writer] from {place2}, visited us in {month1} and brought samples of [old|hand-made] paper.
/ In {month1} {person3} came from {place2} to show how signs were [painted|lettered] before {year4}.

The sheet that was liked best, by {first1} from {place3}, shows one shape only and is now kept in [a drawer|the hall].
/ Two sheets were sent to the exhibition in {place4}, where {visitors} people saw them between {day1} and {day2}
{month2}.
/ {last3} measured all sheets and found that the shapes cover between {day1} and {pupils} per cent of the
[paper|ground].

Parents often ask what this is good for; the answer is that it trains [careful looking|a steady hand] and plain words.
/ Such exercises look childish, but they train [the eye|attention], and the words for what one sees come by
themselves.
/ People in {county1} have taught in this way since {year3}; it costs [little|nothing], and it [lasts|sticks].

The next lesson is about [shadows|overlapping|stripes], and we need [old newspapers|empty jars] for it.
/ For the coming week please collect [leaves|bottle caps], which will be our [stamps|models].
""",
)
