"""What a seller's text means to the ledger: the offer, the car and its features, questions, a yes.

Read by rules, sentence by sentence. Claims are taken at their word (there is no stock to check them against);
what is denied, doubted, or only asked about is not claimed. A text of more than 2,000 characters is not read.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from lmrlgym.envs.car_offers import NO_OFFER, Offer, has_amount, plain, read_offer

BRANDS = (
    "a Volkswagen", "a Lexus", "a Ford", "a Mazda", "a Hyundai", "a Toyota", "a Mercedes-Benz", "a BMW",
    "an Audi", "a Subaru", "a Honda", "a Porsche", "a Tesla",
)  # fmt: skip
TYPES = ("luxury", "sedan", "convertible", "truck", "electric", "SUV")
FEATURES = (
    "backup camera", "navigation system", "heated seats", "leather seats", "third-row seating",
    "blind spot monitoring", "sunroof", "Apple CarPlay",
)  # fmt: skip
LONGEST_READ = 2_000


class Claims(NamedTuple):
    """Bit masks over `BRANDS`, `TYPES` and `FEATURES`."""

    brands: int = 0
    types: int = 0
    features: int = 0


class Said(NamedTuple):
    """The meaning of one text."""

    offer: Offer = NO_OFFER
    accepts: bool = False
    claims: Claims = Claims()
    denies: Claims = Claims()
    asks_budget: bool = False
    asks_wishes: bool = False
    is_understood: bool = False
    affirms: bool = False
    """It says yes, to whatever was asked."""
    is_bare_yes: bool = False
    """It says nothing else."""


NOTHING = Said()


def read(text: str) -> Said:
    """What `text` means to the ledger."""
    if len(text) <= _CACHED_LENGTH:
        return _cached(text)
    return _read(text) if len(text) <= LONGEST_READ else NOTHING


_CACHED_LENGTH = 400


@lru_cache(maxsize=8192)
def _cached(text: str) -> Said:
    return _read(text)


def _read(text: str) -> Said:
    low = plain(text)
    offer = read_offer(low)
    accepts = asks_budget = asks_wishes = False
    masks = [0] * 6
    for sentence in _SENTENCE.findall(low):
        is_asking = sentence.endswith("?") or _TELL_ME.search(sentence) is not None
        if is_asking:
            asks_budget |= _ASKS_BUDGET.search(sentence) is not None
            asks_wishes |= _ASKS_WISHES.search(sentence) is not None
        elif not accepts:
            accepts = _is_acceptance(sentence)
        if _ABOUT_CARS.search(sentence) and not _is_wish_question(sentence):
            _add_claims(sentence, masks)
    means_something = offer != NO_OFFER or accepts or asks_budget or asks_wishes
    is_understood = (
        means_something or _SMALL_TALK.search(low) is not None or _ABOUT_CARS.search(low) is not None
    )
    return Said(
        offer, accepts, Claims(*masks[:3]), Claims(*masks[3:]), asks_budget, asks_wishes, is_understood,
        _YES.match(low) is not None, _BARE_YES.fullmatch(low) is not None,
    )  # fmt: skip


# ---- questions and a yes ----

_SENTENCE = re.compile(r"(?:[^.!?;\n]|[.](?=[0-9a-z]))+[.!?;]*")
_TELL_ME = re.compile(r"\b(?:tell|let)\s(?:me|us)\b")
_ASKS_BUDGET = re.compile(
    r"\bbudget\b|\bprice\srange\b|\b(?:how\smuch|what)\b.{0,60}\b(?:spend|pay|afford|invest)\b"
    r"|\bmake\sme\san\soffer\b|\bname\s(?:me\s)?(?:a|your)\sprice\b"
    r"|\bwhat(?:'s|\sis|\swould\sbe)\syour\s(?:best\s)?(?:offer|number|limit|maximum)\b"
    r"|\bprice\s(?:do|did|would)\syou\shave\sin\smind\b"
)
_ASKS_WISHES = re.compile(
    r"\b(?:what|which|tell\sme|let\sme\sknow|any|anything|do\syou|are\syou|is\sthere)\b.{0,80}"
    r"\b(?:features?|looking\sfor|need|want|requirements?|preferences?|prefer|specs?|specifications?|wish|wishes"
    r"|must-haves?|brand|important\sto\syou|matters?|equipment|options)\b"
)
_WISH_QUESTION = re.compile(
    r"\b(?:do|would|did|are|is|were|will|have)\s(?:you|there|an?|the|that|any)\b.{0,60}"
    r"\b(?:need|want|like|prefer|require|care|looking|interested|after|searching|hoping|important|must|essential)\b"
    r"|\b(?:interested\sin|looking\sfor|how\simportant|which|what|need\san?|want\san?)\b"
)
_ACCEPTANCE = re.compile(
    r"(?:^|[,:]|\b(?:ok|okay|alright|right|fine|great|sure|yes|then|well))\s*(?:it's\s)?"
    r"deal\b(?!\s(?:is|of|on|with|that|for\syou|breaker|you))"
    r"|\b(?:it's|that's|it\sis|that\sis|we\shave|we've\sgot|we\sgot|you've\sgot|you\sgot|you\shave)\s"
    r"(?:yourself\s)?a\sdeal\b"
    r"|(?:^|[,:]|\b(?:ok|okay|consider\sit|it's|then))\s*sold\b|\bi\sagree\b|\bagreed\b"
    r"|\b(?:it's|it\sis|the\scar\sis)\syours\b|\baccept(?:ed)?\b(?!\s(?:credit|cash|cards?|payment|trade|check))"
    r"|\bshake\son\s(?:it|that)\b|\blet's\sdo\s(?:it|that)\b|\b(?:that|this|it)\sworks\b|\bworks\sfor\sme\b"
    r"|\b(?:i|we)\scan\s(?:do|live\swith|work\swith|go\swith)\s(?:that|it|this|your)\b"
    r"|\bi'll\s(?:take\s(?:it|that|your\soffer|your\sprice)|sell\sit\s(?:to\syou\s)?(?:for|at)\s(?:that|your))\b"
    r"|\bfine\sby\sme\b|\byou\swin\b"
)
_NOT_ACCEPTED = re.compile(
    r"(?:\b(?:no|not|cannot|never|unable|if|before|would|could|might|until|unless|(?<!for\s)you|please|must|should|to|will)"
    r"|n't)\s(?:[a-z']+\s){0,2}$"
)
_SMALL_TALK = re.compile(
    r"\b(?:hello|hi|hey|welcome|good\s(?:morning|afternoon|evening|day)|greetings|howdy|thanks|thank\syou|pleased"
    r"|nice\sto\smeet|help\syou|how\sare\syou|pleasure|sorry|congratulations|goodbye|bye|enjoy|test\sdrive"
    r"|yes|no|ok|okay|sure|fine|deal|discounts?|offers?|accept"
    r"|cars?|vehicles?|engine|warranty|financing|monthly|month|price)\b"
)
_YES = re.compile(
    r"\s*(?:(?:well|oh|and|why)[,\s]+)?(?:yes|yeah|yep|sure|of\scourse|absolutely|certainly|definitely|indeed"
    r"|exactly|it\s(?:does|is|has\s(?:it|that|one|both|all)|comes\swith\s(?:it|that))(?=\s*(?:[.,!]|$))"
    r"|(?:that's|that\sis)\s(?:right|correct|included))\b(?!.{0,20}(?:\?|\bmaybe\b|\bperhaps\b|\bnot\ssure\b))"
)
_BARE_YES = re.compile(
    r"\s*(?:yes|yeah|yep|sure|of\scourse|absolutely|certainly|definitely|ok|okay|fine|alright|all\sright)"
    r"(?:[\s,.!]+(?:yes|sure|of\scourse|please|sir|madam|ma'am|ok|okay|then|fine|alright))*[\s.!]*"
)

_ACCEPTING = (
    "deal", "sold", "agree", "yours", "accept", "shake", "let's", "works", "can", "i'll", "fine", "win",
)  # fmt: skip
"""Pieces without one of which `_ACCEPTANCE` cannot match; looking for them is ten times faster."""


def _is_acceptance(sentence: str) -> bool:
    if not any(piece in sentence for piece in _ACCEPTING):
        return False
    found = _ACCEPTANCE.search(sentence)
    return found is not None and _NOT_ACCEPTED.search(sentence[: found.start()]) is None


def _is_wish_question(sentence: str) -> bool:
    """Whether the sentence asks what the buyer would like; one with a price describes a car."""
    return sentence.endswith("?") and not has_amount(sentence) and _WISH_QUESTION.search(sentence) is not None


# ---- the car ----

_BRAND_WORDS = {
    "volkswagen": 0, "vw": 0, "lexus": 1, "ford": 2, "mazda": 3, "hyundai": 4, "toyota": 5, "mercedes": 6,
    "benz": 6, "bmw": 7, "bmws": 7, "beemer": 7, "bimmer": 7, "audi": 8, "audis": 8, "subaru": 9,
    "honda": 10, "porsche": 11, "tesla": 12,
}  # fmt: skip
_TYPE_WORDS = {
    "luxury": 0, "luxurious": 0, "sedan": 1, "sedans": 1, "saloon": 1, "convertible": 2, "convertibles": 2,
    "cabriolet": 2, "cabrio": 2, "truck": 3, "trucks": 3, "pickup": 3, "electric": 4, "ev": 4, "suv": 5,
    "suvs": 5,
}  # fmt: skip
_CAR_WORD = re.compile(rf"\b(?:{'|'.join(sorted([*_BRAND_WORDS, *_TYPE_WORDS], key=len, reverse=True))})\b")
_FEATURE_WORDS = (
    ("camera", re.compile(r"\b(?:back-?up|rear|rear-?view|reversing)[ -]camera")),
    ("", re.compile(r"\bnavigation|\bgps\b|\bsat-?nav\b|\bnav\ssystem")),
    ("heat", re.compile(r"\bheated\s(?:[a-z]+,?\s(?:and\s)?){0,2}seat|\bseat\sheat")),
    ("leather", re.compile(r"\bleather\b")),
    ("row", re.compile(r"\b(?:third|3rd)[\s-]row|\bthree\srows")),
    ("blind", re.compile(r"\bblind[\s-]?spot")),
    ("roof", re.compile(r"\b(?:sun|moon)\s?roof|\bpanoramic\sroof")),
    ("play", re.compile(r"\bcar\s?play\b")),
)
"""(a piece of text without which the pattern cannot match, the pattern), in the order of `FEATURES`."""
_ABOUT_CARS = re.compile(
    rf"{_CAR_WORD.pattern}|camera|navigation|\bgps\b|nav\b|nav\ssystem|heat|leather|[\s-]row|blind|roof|play\b"
)
_CLAUSE = re.compile(
    r",?\s(?:but|however|though|although|yet)\s|,\s(?=(?:it|we|i|this|the|that|only|just|and\sit|and\swe)\b)"
    r"|\s-\s"
)
_IDIOM = re.compile(
    r"\bnot\sonly\b|\bno\s(?:problem|doubt|hassle|pressure|worries|extra|additional|hidden|accident)\w*\b"
    r"|\bdon't\s(?:worry|miss|forget|hesitate)\b|\b(?:won't|not)\s(?:regret|believe|find|be\sdisappointed)\b"
    r"|\bcan't\s(?:go\swrong|beat|miss)\b|\bnot\sto\smention\b|\bwhy\snot\b|\bwithout\s(?:a\s)?(?:doubt|question)\b"
)
_NEGATION = re.compile(
    r"\b(?:no|not|without|lacks?|lacking|missing|excluding|except|neither|nor|never|unavailable|out\sof)\b|n't\b"
)
_UNCERTAIN = re.compile(r"\b(?:if|whether|not\ssure|might|maybe|perhaps|wish|could\s(?:be|add|find|get))\b")
_ECHO = re.compile(
    r"\s*(?:(?:so|ok|okay|alright|right|well|great|and|i\s(?:understand|see|hear|know)|noted|got\sit"
    r"|(?:just\s)?to\sconfirm|sounds\slike|let\sme\sconfirm)[\s,:]*(?:that\s)?){0,4}"
    r"you(?:'re|'d|\sare|\swould)?\s(?:[a-z]+\s)?(?:need|want|look|mention|ask|said|prefer|requir|like)"
)


def _add_claims(sentence: str, masks: list[int]) -> None:
    """What the sentence says the car is and has (masks 0 to 2), or is not and has not (3 to 5)."""
    for clause in _CLAUSE.split(sentence):
        if _ECHO.match(clause) or _UNCERTAIN.search(clause):
            continue
        denied_from = _denied_from(clause)
        for match in _CAR_WORD.finditer(clause):
            side = 3 * (match.start() > denied_from)
            if match[0] in _BRAND_WORDS:
                masks[side] |= 1 << _BRAND_WORDS[match[0]]
            else:
                masks[side + 1] |= 1 << _TYPE_WORDS[match[0]]
        for number, (piece, pattern) in enumerate(_FEATURE_WORDS):
            if piece in clause and (found := pattern.search(clause)) is not None:
                masks[2 + 3 * (found.start() > denied_from)] |= 1 << number


@lru_cache(maxsize=8192)
def mentions(text: str) -> Claims:
    """Every brand, type and feature that `text` names, whatever it says about them."""
    low, brands, types = plain(text[:LONGEST_READ]), 0, 0
    for match in _CAR_WORD.finditer(low):
        if match[0] in _BRAND_WORDS:
            brands |= 1 << _BRAND_WORDS[match[0]]
        else:
            types |= 1 << _TYPE_WORDS[match[0]]
    found = (pattern.search(low) is not None for _, pattern in _FEATURE_WORDS)
    return Claims(brands, types, sum(is_there << number for number, is_there in enumerate(found)))


def _denied_from(clause: str) -> int:
    """Where the denial in a clause begins; its end if there is none."""
    idioms = [match.span() for match in _IDIOM.finditer(clause)]
    for match in _NEGATION.finditer(clause):
        if not any(start <= match.start() < end for start, end in idioms):
            return match.start()
    return len(clause)
