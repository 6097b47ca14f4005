"""Says which units measure the same thing and by what factor, so that 1.5 km is 1500 m and never 1500 g."""

from __future__ import annotations

from fractions import Fraction

#: dimension, then each unit's names and its size in the dimension's first unit. Names are matched as written first,
#: then in lower case; what differs by case alone (MW and mW) has no lower-case name.
_TABLE: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("length", (
        ("m metre metres meter meters", "1"), ("km kilometre kilometres kilometer kilometers", "1000"),
        ("cm centimetre centimetres centimeter centimeters", "0.01"),
        ("mm millimetre millimetres millimeter millimeters", "0.001"), ("μm micrometre micrometer microns", "0.000001"),
        ("nm nanometre nanometres nanometer nanometers", "0.000000001"), ("in inch inches", "0.0254"),
        ("ft foot feet", "0.3048"), ("yd yard yards", "0.9144"), ("mi mile miles", "1609.344"),
    )),
    ("mass", (
        ("g gram grams gramme grammes", "1"), ("kg kilogram kilograms kilo kilos", "1000"),
        ("mg milligram milligrams", "0.001"), ("t tonne tonnes", "1000000"), ("lb lbs pound pounds", "453.59237"),
        ("oz ounce ounces", "28.349523125"),
    )),
    ("time", (
        ("s sec secs second seconds", "1"), ("ms millisecond milliseconds", "0.001"), ("min mins minute minutes", "60"),
        ("h hr hrs hour hours", "3600"), ("d day days", "86400"), ("week weeks", "604800"),
    )),
    ("calendar", (("month months", "1"), ("year years yr yrs", "12"))),
    ("volume", (
        ("l litre litres liter liters", "1"), ("ml millilitre millilitres milliliter milliliters", "0.001"),
        ("m3 m^3", "1000"), ("cm3 cm^3 cc", "0.001"),
    )),
    ("area", (
        ("m2 m^2", "1"), ("cm2 cm^2", "0.0001"), ("km2 km^2", "1000000"), ("ha hectare hectares", "10000"),
    )),
    ("speed", (("m/s", "1"), ("km/h kph kmh", "5/18"), ("mph mi/h", "0.44704"))),
    ("angle", (("° degree degrees deg", "1"),)),
    ("celsius", (("°C", "1"),)),
    ("fahrenheit", (("°F", "1"),)),
    ("dollar", (("$ US$ usd dollar dollars", "1"), ("¢ cent cents", "0.01"))),
    ("euro", (("€ eur euro euros", "1"),)),
    ("sterling", (("£ gbp", "1"),)),
    ("yen", (("¥ jpy yen", "1"),)),
    ("power", (("W watt watts", "1"), ("kW kilowatt kilowatts", "1000"), ("MW megawatt megawatts", "1000000"),
               ("mW milliwatt milliwatts", "0.001"))),
    ("energy", (("J joule joules", "1"), ("kJ kilojoule kilojoules", "1000"))),
    ("dozens", (("dozen dozens", "1"),)),
)  # fmt: skip

_UNITS = {
    name: (dimension, Fraction(factor))
    for dimension, units in _TABLE
    for names, factor in units
    for name in names.split()
}


def measure_unit(unit: str) -> tuple[str, Fraction]:
    """Return what `unit` measures and its size in that dimension's first unit.

    A unit nobody lists measures itself, singular: apples are one dimension, pears another.
    """
    if unit in _UNITS:
        return _UNITS[unit]
    folded = unit.casefold()
    if folded in _UNITS:
        return _UNITS[folded]
    return f"counted:{make_singular(folded)}", Fraction(1)


def make_singular(word: str) -> str:
    """Return an English plural's singular by its ending; words of other scripts stay as they are."""
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    if word.endswith(("ches", "shes", "xes", "sses")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word
