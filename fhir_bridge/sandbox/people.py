"""The made-up people of Larkspur: names of many backgrounds, addresses, phones, languages, kin, insurance, allergies.

Any likeness to a real person is chance: names are drawn part by part from tables, phones are 555-01xx, streets and
towns do not exist. Everything comes from the `random.Random` that is passed in. What happens to a person, and how HL7
writes it down, stand elsewhere (`day`, `messages`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import TYPE_CHECKING

from fhir_bridge.sandbox.hospital import PAYERS, Payer, Provider, providers_of

if TYPE_CHECKING:
    import random


@dataclass(frozen=True, slots=True)
class Background:
    """Where a family's names come from, which languages it prefers (code, name, weight), and its CDC race code."""

    weight: int
    families: tuple[str, ...]
    women: tuple[str, ...]
    men: tuple[str, ...]
    languages: tuple[tuple[str, str, int], ...]
    race: tuple[str, str]
    hispanic: bool = False
    two_families: bool = False


@dataclass(frozen=True, slots=True)
class Kin:
    """A next of kin; `relation` is (code, text) of HL7 table 0063."""

    family: str
    given: str
    relation: tuple[str, str]
    phone: str


@dataclass(frozen=True, slots=True)
class Allergy:
    """An allergy; `kind` is of HL7 table 0127, `severity` of 0128."""

    kind: str
    code: str
    text: str
    severity: str
    reaction: str


@dataclass(frozen=True, slots=True)
class Insurance:
    """A policy of a person's, from `since` on."""

    payer: Payer
    member: str
    group: str
    since: date


@dataclass(frozen=True, slots=True)
class Person:
    """A made-up patient as registration knows them. Empty text means that nobody asked, or nobody knows.

    `mother` is a newborn's mother's record number; `unknown` marks one whose name nobody knows yet; `died_at` is in µs.
    """

    mrn: str
    family: str
    given: str
    middle: str
    born: date
    sex: str
    language: tuple[str, str]
    race: tuple[str, str]
    hispanic: bool
    marital: str
    street: str
    city: str
    postcode: str
    phone: str
    mobile: str
    email: str
    living_will: str
    lives_alone: bool
    directory: bool
    kin: tuple[Kin, ...]
    allergies: tuple[Allergy, ...]
    insurance: tuple[Insurance, ...]
    primary_care: Provider | None
    mother: str = ""
    unknown: bool = False
    died_at: int | None = None


_ENGLISH = ("en", "English", 1)

BACKGROUNDS: tuple[Background, ...] = (
    Background(
        22,
        ("Aldridge", "Beckwith", "Carmody", "Dunleavy", "Ellsworth", "Fairbanks", "Gallagher", "Hathaway", "O'Rourke",
         "Pemberton", "Redfern", "Satterlee", "Thornbury", "Van Houten", "Whitcomb", "Yarrow"),
        ("Agnes", "Beatrice", "Colleen", "Doris", "Eleanor", "Gwen", "Harriet", "Joan", "Maeve", "Ruth", "Tess"),
        ("Alan", "Bernard", "Calvin", "Dennis", "Emmett", "Francis", "Gerald", "Howard", "Liam", "Owen", "Roy"),
        (_ENGLISH,),
        ("2106-3", "White"),
    ),
    Background(
        12,
        ("Ashby", "Broadnax", "Crenshaw", "Dupree", "Everett", "Goodwin", "Hollins", "Merriweather", "Pettway",
         "Rollins", "Tolliver", "Winbush"),
        ("Aaliyah", "Bernice", "Denise", "Ebony", "Gloria", "Imani", "Keisha", "Lorraine", "Odessa", "Tamika"),
        ("Andre", "Cedric", "Darius", "Elijah", "Jerome", "Lamar", "Marcus", "Otis", "Reginald", "Tyrone"),
        (_ENGLISH,),
        ("2054-5", "Black or African American"),
    ),
    Background(
        14,
        ("Acevedo", "Báez", "Colón", "De la Cruz", "Figueroa", "Guzmán", "Maldonado", "Nieves", "Ortiz", "Peña",
         "Quiñones", "Rosario", "Santana", "Vélez"),
        ("Altagracia", "Beatriz", "Carmen", "Dolores", "Esperanza", "Iris", "Luz", "Marisol", "Rosa", "Yolanda"),
        ("Ángel", "Benito", "César", "Domingo", "Efraín", "Héctor", "José", "Luis", "Ramón", "Wilfredo"),
        (("es", "Spanish", 3), ("en", "English", 2)),
        ("2131-1", "Other Race"),
        hispanic=True,
        two_families=True,
    ),
    Background(
        6,
        ("Chen", "Fang", "Huang", "Lau", "Liang", "Ng", "Shao", "Tan", "Wu", "Zhou"),
        ("Fang", "Hui-Min", "Jing", "Lan", "Mei", "Xiu", "Yan", "Ying"),
        ("Bo", "Chun", "Guo", "Jian", "Kai", "Ming", "Wei", "Zhi"),
        (("zh", "Chinese", 2), ("en", "English", 1)),
        ("2028-9", "Asian"),
    ),
    Background(
        5,
        ("Bùi", "Đặng", "Hồ", "Lê", "Nguyễn", "Phạm", "Trần", "Võ"),
        ("Hạnh", "Hương", "Lan", "Mai", "Thảo", "Thu", "Tuyết"),
        ("Bình", "Đức", "Hùng", "Long", "Minh", "Quang", "Tuấn"),
        (("vi", "Vietnamese", 3), ("en", "English", 1)),
        ("2028-9", "Asian"),
    ),
    Background(
        5,
        ("Abdi", "Farah", "Hassan", "Jama", "Mohamud", "Nur", "Warsame"),
        ("Amina", "Fadumo", "Halima", "Hodan", "Khadija", "Sahra"),
        ("Abdirahman", "Bashir", "Guled", "Ismail", "Liban", "Yusuf"),
        (("so", "Somali", 4), ("en", "English", 1)),
        ("2054-5", "Black or African American"),
    ),
    Background(
        5,
        ("Al-Masri", "Darwish", "Haddad", "Khoury", "Nasser", "Saleh", "Zaidan"),
        ("Amal", "Dalia", "Layla", "Mariam", "Noor", "Salma"),
        ("Adnan", "Fadi", "Ibrahim", "Karim", "Nabil", "Tariq"),
        (("ar", "Arabic", 3), ("en", "English", 1)),
        ("2106-3", "White"),
    ),
    Background(
        5,
        ("Bondarenko", "Hrytsenko", "Koval", "Lysenko", "Marchenko", "Petrova", "Shevchuk", "Volkov"),
        ("Halyna", "Iryna", "Larysa", "Nadiya", "Oksana", "Svetlana"),
        ("Andriy", "Bohdan", "Dmytro", "Mykola", "Oleksandr", "Yuri"),
        (("uk", "Ukrainian", 2), ("ru", "Russian", 2), ("en", "English", 1)),
        ("2106-3", "White"),
    ),
    Background(
        4,
        ("Adhikari", "Bhattarai", "Gurung", "Khadka", "Rai", "Subedi", "Tamang"),
        ("Asmita", "Bimala", "Kamala", "Laxmi", "Sarita", "Sunita"),
        ("Arjun", "Bishnu", "Dil", "Hari", "Prakash", "Suresh"),
        (("ne", "Nepali", 3), ("en", "English", 1)),
        ("2028-9", "Asian"),
    ),
    Background(
        4,
        ("Antoine", "Baptiste", "Célestin", "Desrosiers", "Jean-Louis", "Pierre", "Toussaint"),
        ("Fabienne", "Guerline", "Marie-Ange", "Nadège", "Rose-Laure", "Wideline"),
        ("Emmanuel", "Frantz", "Jean-Robert", "Ricot", "Stanley", "Wilner"),
        (("ht", "Haitian Creole", 3), ("en", "English", 1)),
        ("2054-5", "Black or African American"),
    ),
    Background(
        4,
        ("Banerjee", "Chaudhary", "Iyer", "Kulkarni", "Mehta", "Reddy", "Sharma"),
        ("Anjali", "Kavita", "Lakshmi", "Meera", "Priya", "Shanti"),
        ("Anand", "Gopal", "Mohan", "Rajesh", "Sanjay", "Vikram"),
        (("en", "English", 3), ("hi", "Hindi", 1)),
        ("2028-9", "Asian"),
    ),
    Background(
        3,
        ("Benedict", "Cook", "Herne", "Jacobs", "Swamp", "Tarbell", "Thompson"),
        ("Bernadette", "Iona", "Louella", "Theresa", "Winona"),
        ("Angus", "Eli", "Kanen", "Mitchell", "Orville"),
        (_ENGLISH,),
        ("1002-5", "American Indian or Alaska Native"),
    ),
)  # fmt: skip
_BACKGROUND_WEIGHTS = [background.weight for background in BACKGROUNDS]

STREETS = ("Alder Street", "Birchwood Lane", "Canal Street", "Depot Road", "Foundry Hill", "Glebe Street",
           "Hemlock Drive", "Ironworks Road", "Juniper Court", "Kiln Street", "Mill Race Road", "Orchard Terrace",
           "Quarry Road", "Sexton Avenue", "Tannery Street", "Weaver Street")  # fmt: skip
TOWNS = (("Larkspur", "13991", 8), ("Cedar Hollow", "13992", 3), ("Millrace Falls", "13993", 3),
         ("North Tansy", "13994", 2), ("Sorrel Junction", "13995", 2), ("Yarrow Lake", "13996", 1))  # fmt: skip
ALLERGIES = (
    Allergy("DA", "PCN", "Penicillin", "SV", "Anaphylaxis"),
    Allergy("DA", "SULFA", "Sulfonamides", "MO", "Rash"),
    Allergy("DA", "CODEINE", "Codeine", "MI", "Nausea"),
    Allergy("DA", "ASA", "Aspirin", "MO", "Wheezing"),
    Allergy("FA", "PEANUT", "Peanut", "SV", "Anaphylaxis"),
    Allergy("FA", "SHELL", "Shellfish", "MO", "Hives"),
    Allergy("EA", "LATEX", "Latex", "MO", "Contact dermatitis"),
)
EMPLOYERS = ("Larkspur Unified Schools", "Hartwell & Sons Foundry", "Millrace Dairy Cooperative", "Tansy County",
             "Quarry Road Logistics")  # fmt: skip
_COVERAGE_BY_AGE = (
    (19, {"medicaid": 45, "commercial": 48, "": 7}),
    (65, {"medicaid": 24, "commercial": 56, "medicare": 6, "": 14}),
    (200, {"medicare": 88, "commercial": 6, "": 6}),
)
_AGES = ((0, 17, 10), (18, 39, 24), (40, 64, 30), (65, 84, 28), (85, 99, 8))


def person(rng: random.Random, mrn: str, today: date, age: tuple[int, int] | None = None, sex: str = "") -> Person:
    """Make up a person with record number `mrn`; `age` (years, both included) and `sex` narrow the choice."""
    background = rng.choices(BACKGROUNDS, _BACKGROUND_WEIGHTS)[0]
    low, high = age or rng.choices([(a, b) for a, b, _ in _AGES], [weight for _, _, weight in _AGES])[0]
    born = today - timedelta(days=rng.randrange(low * 365 + 20, high * 365 + 364))
    years = (today - born).days // 365
    sex = sex or rng.choice("FM")
    given, middle = _given(rng, background, sex)
    family = family_name(rng, background)
    codes = [(code, name) for code, name, _ in background.languages]
    city, postcode, _ = rng.choices(TOWNS, [weight for _, _, weight in TOWNS])[0]
    phone = phone_number(rng)
    has_mobile = years >= 14 and rng.random() < 0.7
    return Person(
        mrn=mrn,
        family=family,
        given=given,
        middle=middle,
        born=born,
        sex=sex,
        language=rng.choices(codes, [weight for _, _, weight in background.languages])[0],
        race=background.race,
        hispanic=background.hispanic,
        marital=rng.choices(("S", "M", "D", "W"), (3, 5, 1, 3 if years > 65 else 0))[0] if years >= 18 else "S",
        street=f"{rng.randrange(2, 990)} {rng.choice(STREETS)}" if rng.random() > 0.02 else "",
        city=city,
        postcode=postcode,
        phone=phone if rng.random() > 0.06 else "",
        mobile=phone_number(rng) if has_mobile else "",
        email=_email(given, family, mrn) if has_mobile and rng.random() < 0.6 else "",
        living_will=rng.choices(("N", "U", "", "I", "F", "Y"), (4, 2, 2, 4, 3, 2))[0] if years >= 18 else "",
        lives_alone=years > 60 and rng.random() < 0.3,
        directory=rng.random() > 0.04,
        kin=_kin(rng, background, family, years),
        allergies=tuple(rng.sample(ALLERGIES, rng.choices((0, 1, 2), (6, 3, 1))[0])),
        insurance=_insurance(rng, mrn, years, today),
        primary_care=rng.choice(providers_of("PED" if years < 18 else "MED")) if rng.random() < 0.85 else None,
    )


def family_name(rng: random.Random, background: Background) -> str:
    """A family name of a background; Spanish ones often come in twos."""
    first = rng.choice(background.families)
    second = rng.choice(background.families)
    return f"{first} {second}" if background.two_families and first != second and rng.random() < 0.5 else first


def phone_number(rng: random.Random) -> str:
    """A number of the range kept for fiction, as (area)555-01xx."""
    return f"({rng.choice((315, 518, 607))})555-{rng.randrange(100, 200):04d}"


def _given(rng: random.Random, background: Background, sex: str) -> tuple[str, str]:
    names = background.women if sex == "F" else background.men
    given = rng.choice(names)
    return given, rng.choice(names)[0] if rng.random() < 0.5 else ""


def _kin(rng: random.Random, background: Background, family: str, years: int) -> tuple[Kin, ...]:
    if years >= 18 and rng.random() < 0.15:
        return ()
    relations = (("MTH", "Mother"), ("FTH", "Father")) if years < 18 else _ADULT_RELATIONS
    code, text = rng.choice(relations)
    given = rng.choice(background.men if code in {"FTH", "BRO"} else background.women)
    return (Kin(family, given, (code, text), phone_number(rng)),)


_ADULT_RELATIONS = (("SPO", "Spouse"), ("CHD", "Child"), ("SIS", "Sister"), ("BRO", "Brother"), ("FND", "Friend"))


@cache
def _payers(kind: str) -> tuple[tuple[Payer, ...], tuple[int, ...]]:
    payers = tuple(payer for payer in PAYERS if payer.kind == kind)
    return payers, tuple(payer.weight for payer in payers)


def _insurance(rng: random.Random, mrn: str, years: int, today: date) -> tuple[Insurance, ...]:
    shares = next(shares for below, shares in _COVERAGE_BY_AGE if years < below)
    kind = rng.choices(list(shares), list(shares.values()))[0]
    kinds = [kind] if kind else []
    if kind == "medicare" and rng.random() < 0.25:
        kinds.append(rng.choice(("medicaid", "commercial")))
    return tuple(_policy(rng, mrn, kind, today) for kind in kinds)


def _policy(rng: random.Random, mrn: str, kind: str, today: date) -> Insurance:
    payers, weights = _payers(kind)
    payer = rng.choices(payers, weights)[0]
    group = rng.choice(EMPLOYERS) if kind == "commercial" else ""
    return Insurance(payer, f"{payer.plan[:2]}{mrn}{rng.randrange(10, 99)}", group, date(today.year, 1, 1))


def _email(given: str, family: str, mrn: str) -> str:
    letters = "".join(c for c in f"{given}.{family}" if c.isascii() and (c.isalpha() or c == ".")).lower()
    return f"{letters}{mrn[-2:]}@example.org"
