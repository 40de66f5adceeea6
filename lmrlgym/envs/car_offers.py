"""Which price a seller's text offers. Free text is read by rules; the same text always means the same.

An amount counts as a car's price from $1,000 to $9,999,999, written as "$48,000", "48k", "48 thousand",
"48,000 dollars", "forty-eight thousand" or "48 grand". If a text names several, the last one is the offer.
A list price (MSRP, sticker, "was $55,000") is none, a discount is taken off what it is said to be off, and
monthly rates, deposits, mileages, years, fees, other currencies and prices that the seller refuses or
quotes from the buyer are no offers.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

LOWEST_PRICE, HIGHEST_PRICE = 1_000, 9_999_999


class Offer(NamedTuple):
    """What a text says about prices, in dollars. A discount stands here if its base is not in the text."""

    price: int = 0
    """The offer; 0 if there is none."""
    sticker: int = 0
    """The highest amount called a list or former price; 0 if there is none."""
    percent_off: float = 0.0
    amount_off: int = 0
    is_off_standing: bool = False
    """Whether the discount is from the offer made before; else from the sticker."""


NO_OFFER = Offer()


def plain(text: str) -> str:
    """`text` in lower case; full-width digits, curly quotes and special blanks as on a keyboard."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.translate(_KEYBOARD))
    return text.lower()


_KEYBOARD = str.maketrans({"’": "'", "‘": "'", "´": "'", "`": "'", "–": "-", "—": " - "})


def prices_in(low: str) -> list[int]:
    """Every amount in a plain text that could be a car's price, whatever is said about it."""
    money = [a for a in _amounts(low) if a.is_money and not _PERCENT.match(low, a.end)]
    return [round(a.value) for a in money if _could_be_price(a) and not _AFTER_RATE.match(low, a.end)]


def has_amount(low: str) -> bool:
    """Whether a plain text holds any number at all."""
    return _MAYBE_AMOUNT.search(low) is not None


# ---- amounts ----


class _Amount(NamedTuple):
    start: int
    end: int
    value: float
    is_money: bool
    """It looks like money by itself: a $, a scale, thousands separators, or five digits and more."""


def _one_of(*phrases: str) -> str:
    """A pattern of any of `phrases`; a blank in a phrase is any white space."""
    return f"(?:{'|'.join(phrases)})".replace(" ", r"\s")


_SMALL = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_UNITS = {
    **{name: value for value, name in enumerate(_SMALL)},
    **{name: 10 * value for value, name in enumerate(_TENS, start=2)},
    "fourty": 40,
    "ninty": 90,
}
_SCALES = {"thousand": 1_000, "grand": 1_000, "k": 1_000, "million": 1_000_000}
_NUMBER_WORD = _one_of(*sorted([*_UNITS, "hundred", "thousand", "grand", "million"], key=len, reverse=True))
# Number words are looked ahead at and then taken whole: Python 3.11.2 errs in possessive groups.
_AMOUNT = re.compile(
    rf"""(?<![\w.,])
    (?P<sign>us\s?\$|\$|usd\s?|[€£¥]\s?)?\s?
    (?:(?P<digits>[0-9][0-9.,]*+)
       (?:\s?-?(?P<scale>k|thousand|grand|million)\b)?
       (?P<more>(?:\s(?:and\s)?[0-9]{{3}}|\s(?:and\s)?[a-z]{{3,5}}\shundred)(?![\w,.%]))?
    |(?=(?P<words>(?:an?\s(?=hundred|thousand|million))?{_NUMBER_WORD}
       (?:(?:\s-\s|,\s|\s|-)(?:and\s)?{_NUMBER_WORD})*))(?P=words)(?![a-z]))
    (?:\s?(?P<dollars>(?:us\s)?dollars?\b|bucks\b|usd\b|us\$|\$(?![0-9])))?""",
    re.VERBOSE,
)
_MAYBE_AMOUNT = re.compile(r"[0-9]|thousand|grand|hundred|million|per\s?cent")
_GROUPED = re.compile(r"[0-9]{1,3}([.,])[0-9]{3}(?:\1[0-9]{3})*((?!\1)[.,][0-9]{1,2})?")
_LONGEST_NUMBER = 15


def _amounts(low: str) -> list[_Amount]:
    if not has_amount(low):
        return []
    found = (_amount(match) for match in _AMOUNT.finditer(low))
    return [amount for amount in found if amount is not None]


def _amount(match: re.Match[str]) -> _Amount | None:
    """The number at `match`; None in other currencies and for numbers of absurd length."""
    sign, digits, scale, more, words, dollars = match.groups()
    if sign is not None and sign[0] in "€£¥":
        return None
    if words is not None:
        has_scale = "thousand" in words or "grand" in words or "million" in words
        is_money = has_scale or bool(sign or dollars)
        return _Amount(match.start(), match.end(), _words_value(words), is_money)
    trimmed = digits.rstrip(".,")
    number = _digits_value(trimmed)
    if number is None:
        return None
    value, is_grouped = number
    end = match.end()
    if scale:
        value = value * _SCALES[scale] + (_words_value(more) if more else 0)
    elif more and (sign or dollars) and more.strip().isdigit() and len(trimmed) <= 3:
        value, is_grouped = value * 1_000 + int(more), True
    elif not dollars:
        end = match.start("digits") + len(trimmed)
    is_money = bool(sign or scale or dollars or is_grouped) or (value >= 10_000 and "." not in trimmed)
    return _Amount(match.start(), end, value, is_money)


def _digits_value(digits: str) -> tuple[float, bool] | None:
    """The number, and whether its thousands are grouped; None if it is absurdly long or no number."""
    if len(digits) > _LONGEST_NUMBER:
        return None
    if (grouped := _GROUPED.fullmatch(digits)) is not None:
        cents = grouped[2] or ""
        whole = digits.removesuffix(cents).replace(grouped[1], "")
        return float(f"{whole}.{cents[1:] or 0}"), True
    digits = digits.replace(",", "")
    return (float(digits), False) if digits.count(".") <= 1 else None


def _words_value(words: str) -> float:
    """The number that English words and digits name; a word that cannot go on a number begins a new one."""
    total = part = 0
    for word in _WORDS.findall(words):
        if word in _UNITS or word.isdigit():
            unit = _UNITS[word] if word in _UNITS else int(word)
            goes_on = part % 100 == 0 if unit >= 10 else part % 10 == 0 and part % 100 != 10
            part = part + unit if goes_on else unit
        elif word == "hundred":
            part = max(part, 1) * 100
        elif word in _SCALES:
            total, part = total + max(part, 1) * _SCALES[word], 0
    return float(total + part)


_WORDS = re.compile(r"[a-z]+|[0-9]{3}")

# ---- the offer ----

_SEEN_BEFORE = 70
"""So many characters before an amount say what it is."""
_PERCENT = re.compile(r"\s?(?:%|percent\b|per\scent\b|pct\b)")
_RATES = _one_of(
    "month", r"mo\b", "week", "wk", "day", "year", "yr", "annum", "hour", "quarter", "fortnight", "payment",
    "paycheck", "instal+ment", "mile",
)  # fmt: skip
_AFTER_RATE = re.compile(
    rf"\s*(?:(?:for\s)?(?:an?|per|each|every|/)\s?(?:single\s|other\s)?{_RATES}"
    r"|(?:in\s)?(?:monthly|weekly|bi-?weekly|daily|yearly|annually|quarterly)\b(?!\s?instal)|p\.?\s?m\b|pcm\b)"
)
_AFTER_UNIT = re.compile(
    r"\s?-?"
    + _one_of(
        "miles?", "mi", "km", "kms", r"kilomet\w+", "mpg", "mpge", "mph", "hp", "horsepower", "bhp", "cc",
        "rpm", "lbs?", "years?", "yrs?", "months?", "days?", "hours?", "cars?", "customers?", "people",
        "buyers", "units", "points?", "kwh", "kw", "inch(?:es)?", "models?", "euros?", "eur", "pounds?",
        "gbp", "yen", "yuan", "pesos?", "rupees?", "rubles?", "francs?", "bitcoins?", "btc", "stars?",
        "times", "rows?", "seats?", "doors?", "reviews?", "apr", "x", "st", "nd", "rd", "th",
    )
    + r"\b"
)  # fmt: skip
_AFTER_EXTRA = re.compile(
    r"\s?"
    + _one_of(
        r"down\b(?! from)", "deposit", "up ?front", "trade", r"worth\b", "gift", "credit", "bonus",
        r"extra\b", r"more\b", "on top", r"fees?\b", r"tax(?:es)?\b", "delivery", "higher", "above",
        "in (?:fees|extras|accessories|savings|value|equipment|options|taxes)",
        "for (?:the )?(?:delivery|shipping|warranty|package|registration|insurance|service)",
    )
)  # fmt: skip
_BEFORE_EXTRA = re.compile(
    r"(?:\b"
    + _one_of(
        "down ?payments?", "deposits?", "trade-? ?ins?", "gift cards?", "warranty", "insurance", "bonus",
        "credit", "accessories", "plus", "extra", "additional", "fees?", r"tax(?:es)?", "delivery",
        "shipping", "registration", "upgrade", "sav(?:e|es|ing|ings)", "mileage", "odometer", "payments?",
        "instal+ments?", "monthly", "weekly", "lease", "per month", "a month", "interest", "phone", "zip",
        "code", "vin", "number", "serial", "year",
    )
    + r"\b(?:\s"
    + _one_of(
        "you", "of", "is", "for", "are", "at", "an?", "just", "only", "the", "about", "around", "as low as",
        "worth", "will be", "would be", "starting at", "from", "was", "to", "price", "rate", "cost",
    )
    + r"){0,4}|\+)[\s:]*$"
)  # fmt: skip
_BEFORE_STICKER = re.compile(
    r"\b"
    + _one_of(
        "msrp", "sticker", "list", "lists", "listed", "listing", "retails?", "original(?:ly)?",
        "regular(?:ly)?", "normal(?:ly)?", "usual(?:ly)?", "was", "were", "window", "suggested", "invoice",
        "(?:down |reduced |discounted )?from", "instead of", "rather than", "worth", "valued",
        "everyone else pays", "others pay", "used to (?:be|cost)",
    )
    + r"(?:\s"
    + _one_of(
        "price", "tag", "retail", "is", "at", "for", "of", "was", "are", "were", "sells?", "goes", "going",
        "its", "the", "on", "this", "that", "one", "car", "it", "an?", "about", "around", "priced",
        "costs?", "up", "here", "says", "value", "would", "be", "to", "model", "sticker", "manufacturer's",
    )
    + r"){0,5}[\s:=(]*$"
)  # fmt: skip
_AFTER_STICKER = re.compile(
    r"[\s,(]*(?:msrp|sticker|list\sprice|retail|originally|before\s(?:the\s|any\s)?discounts?|normally|usually"
    r"|(?:marked|reduced|cut|discounted|lowered)\s(?:down\s)?to)\b"
)
_BEFORE_QUOTED = re.compile(
    r"\b(?:you(?:'ve|'re|'d|\shave|\sare|\swere)?\s(?:just\s|only\s|also\s)?"
    + _one_of(
        "said", "offered", "mentioned", "asked for", "proposed", "suggested", "offering", "wanted", "named"
    )
    + r"|your(?:\s(?:own|last|first|new|current|total|opening|final|latest))*"
    r"(?:\s(?:offer|budget|counter|counter-?offer|limit|max|maximum|number|figure|proposal|bid))?|the\sbudget)"
    r"(?:\s(?:of|is|was|at|to|for|around|about|only|up|pay|me|just|be|under|over|below|really|that)){0,4}[\s:]*$"
)
_AFTER_REFUSED = re.compile(
    r"\s(?:is\s|as\s)?(?:your|the)\s(?:[a-z]+\s)?(?:budget|limit|maximum)\b"
    r"|[\s,]*(?:(?:is|was|would\sbe|'s|seems|sounds)\s)?"
    r"(?:(?:just|simply|way|far|much|a\sbit|a\slittle|still|really)\s)*"
    + _one_of(
        "too (?:low|little)", "not (?:enough|possible|going|acceptable)", "impossible", "out of the question",
        "won't", "wouldn't", "isn't", "doesn't", "can't", "cannot",
    )
)  # fmt: skip
_BEFORE_REFUSED = re.compile(
    r"(?:\b(?:cannot|can\snot|unable|never|not|no\sway|nothing|refuse)|n't)\b(?:\s[a-z']+){0,4}\s*$"
)
_STILL_OFFERED = re.compile(r"why not|\b(?:below|lower|under|less|beneath|beat|only|just|better|until)\b")
_AFTER_OFF = re.compile(
    r"[\s-]*(?:(?:price|cash|loyalty|customer|instant|special)\s)?"
    r"(?:off|discount(?:ed)?|reduction|cheaper|lower|markdown|price\scut|rebate|cash\s?back"
    r"|(?:less|below|under)(?!\s*(?:than\b|\$|[0-9])))\b"
)
_BEFORE_OFF = re.compile(
    r"(?:\b(?:discount|reduction|markdown|rebate|price\scut)"
    r"(?:\s(?:of|is|by|for|you|up|to|an?|about|around|worth)){0,3}"
    r"|\b(?:reduc\w+|lower\w*|cut|drop\w*|knock\w*|slash\w*|come|bring|take|shav\w+|mark\w*)\b"
    r"(?:\s(?!to\b)[a-z']+){0,5}\sby(?:\s(?:about|around|another))?"
    r"|\b(?:knock|take|shave|come\sdown|drop|slash)"
    r"(?:\s(?:off|down|another|a\sfurther|an\sextra|an\sadditional|you|about))*"
    r"|\b(?:minus|less))\s*$"
)
_EXPLAINED = re.compile(
    r"(?:(?:that's|that\sis|which\sis|already|includ\w+|after|it's|saving(?:\sof)?|i\.e\.|reflects|equals|means)"
    r"(?:\s(?:the|an?|your|my|about|like|almost|nearly|over|full|whole)){0,2}|,\s(?:an?|your))\s*\(?$"
)
_FURTHER = re.compile(r"\b(?:another|further|additional|extra|more|on\stop)\b")
_OF_STICKER = re.compile(r"[^.!?]{0,25}\b(?:sticker|msrp|list|retail|original|full|regular)\b")
_PRICE_CUE = re.compile(
    r"\b(?:for|at|price|is|offer|do|asking|ask|cost|costs|only|just|about|take|make\sit|say|it's|accept|to|sell"
    r"|want|of|around)[\s:]*$"
)
_YEARS = range(1900, 2101)
_FEE_SHARE = 5
"""An amount below this part of another in the same text is a fee or a gift."""
_EPSILON = 1e-6
"""Binary fractions: 33.3 thousand comes out a little below 33,300."""


def read_offer(low: str) -> Offer:
    """The offer in a plain text."""
    amounts = _amounts(low)
    if not amounts:
        return NO_OFFER
    price = sticker = largest = 0.0
    discount = NO_OFFER
    for i, amount in enumerate(amounts):
        begin = max(amounts[i - 1].end if i else 0, amount.start - _SEEN_BEFORE)
        before = _since_sentence(low[begin : amount.start])
        percent = _PERCENT.match(low, amount.end)
        end = percent.end() if percent else amount.end
        if _is_discount(low, before, end, percent is not None):
            if price and _EXPLAINED.search(before):
                continue
            base = sticker if sticker and (not price or _OF_STICKER.match(low, end)) else price
            if base:
                price = base * (100 - amount.value) / 100 if percent else base - amount.value
            else:
                discount = _discount(low, before, end, percent is not None, amount.value)
        elif percent or not _is_price(low, before, amount):
            continue
        elif _BEFORE_STICKER.search(before) or _AFTER_STICKER.match(low, amount.end):
            sticker, largest = max(sticker, amount.value), max(largest, amount.value)
        elif not _is_anothers(low, before, amount):
            if _FEE_SHARE * amount.value >= largest:
                price, discount = amount.value, NO_OFFER
            largest = max(largest, amount.value)
    is_price = LOWEST_PRICE <= price <= HIGHEST_PRICE
    return (NO_OFFER if is_price else discount)._replace(
        price=int(price + _EPSILON) if is_price else 0, sticker=round(sticker)
    )


def _since_sentence(before: str) -> str:
    """The end of `before` since the last sentence ended."""
    at = max(before.rfind(mark) for mark in (". ", "! ", "? ", "; ", "\n"))
    return before[at + 1 :] if at >= 0 else before


def _could_be_price(amount: _Amount) -> bool:
    return LOWEST_PRICE <= amount.value <= HIGHEST_PRICE


def _is_discount(low: str, before: str, end: int, is_percent: bool) -> bool:
    if _AFTER_RATE.match(low, end) or (not is_percent and _AFTER_UNIT.match(low, end)):
        return False
    return _AFTER_OFF.match(low, end) is not None or _BEFORE_OFF.search(before) is not None


def _discount(low: str, before: str, end: int, is_percent: bool, value: float) -> Offer:
    """A discount whose base is not in the text: percents are off the sticker unless they are further ones."""
    if is_percent:
        is_further = _FURTHER.search(before) is not None
        return Offer(percent_off=value if 0 < value < 100 else 0.0, is_off_standing=is_further)
    of_sticker = _OF_STICKER.match(low, end) is not None
    return Offer(amount_off=int(value) if 0 < value <= HIGHEST_PRICE else 0, is_off_standing=not of_sticker)


def _is_price(low: str, before: str, amount: _Amount) -> bool:
    """Whether the amount is money for a car, whoever names it."""
    if not _could_be_price(amount):
        return False
    if not amount.is_money and (amount.value in _YEARS or not _PRICE_CUE.search(before)):
        return False
    return not (
        _AFTER_RATE.match(low, amount.end)
        or _AFTER_UNIT.match(low, amount.end)
        or _AFTER_EXTRA.match(low, amount.end)
        or _BEFORE_EXTRA.search(before)
    )


def _is_anothers(low: str, before: str, amount: _Amount) -> bool:
    """Whether the price is quoted from the buyer or refused."""
    if _BEFORE_QUOTED.search(before) or _AFTER_REFUSED.match(low, amount.end):
        return True
    return _BEFORE_REFUSED.search(before) is not None and not _STILL_OFFERED.search(before)
