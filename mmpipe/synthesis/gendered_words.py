"""Lists English words and given names of one gender beside their counterparts, as the gender swap reads them."""

from __future__ import annotations

#: Words that mean a person, male and female. Compiled by us; every word stands once, so that a swap can be undone.
WORD_PAIRS = (
    ("man", "woman"), ("men", "women"), ("boy", "girl"), ("boys", "girls"), ("male", "female"), ("males", "females"),
    ("gentleman", "lady"), ("gentlemen", "ladies"), ("guy", "gal"), ("guys", "gals"), ("lad", "lass"),
    ("lads", "lasses"), ("father", "mother"), ("fathers", "mothers"), ("dad", "mom"), ("dads", "moms"),
    ("daddy", "mommy"), ("papa", "mama"), ("son", "daughter"), ("sons", "daughters"), ("brother", "sister"),
    ("brothers", "sisters"), ("uncle", "aunt"), ("uncles", "aunts"), ("nephew", "niece"), ("nephews", "nieces"),
    ("grandfather", "grandmother"), ("grandfathers", "grandmothers"), ("grandpa", "grandma"),
    ("grandson", "granddaughter"), ("grandsons", "granddaughters"), ("stepfather", "stepmother"),
    ("stepson", "stepdaughter"), ("stepbrother", "stepsister"), ("godfather", "godmother"),
    ("fatherhood", "motherhood"), ("fatherly", "motherly"), ("manhood", "womanhood"), ("boyhood", "girlhood"),
    ("husband", "wife"), ("husbands", "wives"), ("boyfriend", "girlfriend"), ("boyfriends", "girlfriends"),
    ("groom", "bride"), ("grooms", "brides"), ("fiancé", "fiancée"), ("widower", "widow"), ("widowers", "widows"),
    ("bachelor", "bachelorette"), ("king", "queen"), ("kings", "queens"), ("prince", "princess"),
    ("princes", "princesses"), ("emperor", "empress"), ("duke", "duchess"), ("baron", "baroness"),
    ("heir", "heiress"), ("hero", "heroine"), ("heroes", "heroines"), ("actor", "actress"), ("actors", "actresses"),
    ("waiter", "waitress"), ("waiters", "waitresses"), ("host", "hostess"), ("steward", "stewardess"),
    ("landlord", "landlady"), ("monk", "nun"), ("monks", "nuns"), ("priest", "priestess"),
    ("policeman", "policewoman"), ("policemen", "policewomen"), ("fireman", "firewoman"), ("firemen", "firewomen"),
    ("businessman", "businesswoman"), ("businessmen", "businesswomen"), ("salesman", "saleswoman"),
    ("sportsman", "sportswoman"), ("sportsmen", "sportswomen"), ("spokesman", "spokeswoman"),
    ("chairman", "chairwoman"), ("congressman", "congresswoman"), ("cameraman", "camerawoman"),
    ("craftsman", "craftswoman"), ("horseman", "horsewoman"), ("fisherman", "fisherwoman"),
    ("cowboy", "cowgirl"), ("cowboys", "cowgirls"), ("schoolboy", "schoolgirl"), ("schoolboys", "schoolgirls"),
    ("masculine", "feminine"), ("sir", "madam"), ("mr", "mrs"), ("he", "she"), ("himself", "herself"),
)  # fmt: skip

#: Given names, male and female, of about the same age and frequency (Hall Maudslay et al. 2019, section 4). Names that
#: are also everyday words (Mark, Will, Grace, Rose) are left out.
NAME_PAIRS = (
    ("James", "Mary"), ("John", "Patricia"), ("Robert", "Jennifer"), ("Michael", "Linda"), ("David", "Elizabeth"),
    ("William", "Barbara"), ("Richard", "Susan"), ("Joseph", "Jessica"), ("Thomas", "Sarah"), ("Charles", "Karen"),
    ("Daniel", "Lisa"), ("Matthew", "Nancy"), ("Anthony", "Sandra"), ("Donald", "Betty"), ("Steven", "Ashley"),
    ("Andrew", "Emily"), ("Paul", "Donna"), ("Joshua", "Michelle"), ("Kenneth", "Carol"), ("Kevin", "Amanda"),
    ("Brian", "Melissa"), ("George", "Deborah"), ("Timothy", "Stephanie"), ("Ronald", "Rebecca"),
    ("Edward", "Sharon"), ("Jason", "Laura"), ("Jeffrey", "Cynthia"), ("Ryan", "Kathleen"), ("Jacob", "Amy"),
    ("Nicholas", "Angela"), ("Peter", "Anna"), ("Henry", "Emma"), ("Noah", "Olivia"), ("Liam", "Sophia"),
    ("Oliver", "Amelia"), ("Benjamin", "Hannah"), ("Samuel", "Julia"), ("Alexander", "Victoria"),
)  # fmt: skip

#: Words after `her` or `his` that begin no noun phrase with it: the pronoun stands alone (`with her in`, `is his and`).
CLOSED_WORDS = frozenset(
    """
    a about above across after again against all along also although always am an and any are around as at away
    because been before behind below beside between both but by can could did do does down during each either else
    ever every for from had has have he here how i if in inside into is it just may me might must near never no nor
    not now of off often on once onto or out outside over she should since so some soon than that the their them then
    there these they this those through to today together tomorrow tonight too toward towards under until up upon us
    was we were what when where whether which while who whom why will with within without would yesterday yet you
    """.split()  # noqa: SIM905 - a list of words is read as words
)

#: Verbs after which a person and what the person does or gets may follow (`watches her dance`, `gives her flowers`), so
#: that `her` has two readings.
TWO_OBJECT_VERBS = frozenset(
    """
    see sees saw seen seeing watch watches watched watching hear hears heard hearing feel feels felt feeling notice
    notices noticed let lets letting make makes made making help helps helped helping give gives gave given giving
    show shows showed shown showing tell tells told telling teach teaches taught buy buys bought bring brings brought
    send sends sent hand hands handed offer offers offered
    """.split()  # noqa: SIM905 - a list of words is read as words
)
