"""Names that strangers type, made fit for a mail: one visible line, and no link that the mail would advertise.

An account or a guest's order can name any e-mail address, so a name in a mail may be a message to someone who never
asked for it. A name that looks like a link, an e-mail address or a number to call is withheld, and the mail greets
neutrally.
"""

import re
import unicodedata

_JOINERS = "\u200c\u200d"
"""Invisible characters inside words and emoji; Persian and Indic names need them."""
_BLANK_LETTERS = dict.fromkeys(map(ord, "\u115f\u1160\u2800\u3164\uffa0"), " ")
"""Letters and symbols that show nothing, though Unicode counts them as visible."""
_ENDINGS = r"""(?:com|net|org|info|biz|shop|store|online|site|website|xyz|top|io|app|dev|link|click|live|club|vip|ru|cn
    |casino|bet|win|bid|loan|money|cash|credit|finance|pay|sale|gifts?|promo|today|news|blog|page|world|space|tech
    |cloud|email|support|agency|digital|studio|photography|social|chat|sex|porn|games|fun|icu|buzz|pro|mobi
    |рф|рус|сайт|онлайн|орг|ком|москва)"""  # noqa: RUF001 - Cyrillic endings
"""Common endings of domains. After them alone, a reader takes for a link what no mail client would."""
_LINK = re.compile(
    rf"""
    ://|//|\\|\bwww\b|@                                       # the start of a URL, or an e-mail address
    | \b(?:https?|hxxps?|ftp|mailto|tel|sms|javascript|data):  # the same without slashes
    | \w\s*[.\u3002]\w{{2,}}                                   # a domain: evil.example, evil .com, evil。com
    | [.\u3002]\s+{_ENDINGS}\b | \w[,·•‧・⋅\u06d4_]{_ENDINGS}\b # evil. com, evil,com, evil·com
    | [\[({{<]\s*(?:\.|dot|at)\s*[\])}}>]                      # evil[.]com, evil (dot) com, me(at)evil
    | [\W_]dot[\W_]+{_ENDINGS}\b                               # evil dot com, evil-dot-com
    | \d(?:[\s().+/-]*\d){{4,}} | \d+(?:\.\d+){{3}}            # a number to call, an IP address
    | \w/\w*[?=%\d]                                           # a path with a parameter
    """,
    re.IGNORECASE | re.VERBOSE,
)
_CAPITAL = r"[A-ZÀ-ÞĀ-ž\u0386-\u03abЀ-Я\u0590-\u06ff]"
"""Letters that a name begins with; Hebrew and Arabic have no case."""
_ABBREVIATION = re.compile(
    rf"""
    (?<!\w) (?:[^\W\d_] | St|Ste|Dr|Prof|Dipl|Ing|Mr|Mrs|Ms|Fr|Hr|Ma|Jr|Sr|Lt|Col|Capt|Inc|Co|Pvt)
    \. (?= \s+{_CAPITAL} | -?(?!\w\w\b|(?i:{_ENDINGS})\b){_CAPITAL} )
    | \b[BM]\.Sc\b
    """,
    re.VERBOSE,
)
"""An initial or a title before a name, also without a space: J.R.Smith, St.John, but not x.com, t.me or T.Me."""


def to_name_line(text: str) -> str:
    """Returns the name as one line of visible characters, or an empty text if it has none."""
    visible = "".join(
        char if char.isprintable() or char in _JOINERS else " " for char in text.translate(_BLANK_LETTERS)
    )
    words = (word.strip(_JOINERS) for word in visible.split())
    return " ".join(word for word in words if word)


def looks_like_link(name: str) -> bool:
    """Tells whether a mail client or a reader could take a part of the name for a link, an address or a number."""
    visible = "".join(char for char in name if unicodedata.category(char) != "Cf")
    texts = (unicodedata.normalize("NFKC", text) for text in (visible, name))
    return any(_LINK.search(_ABBREVIATION.sub(" ", text)) for text in texts)
