"""Names in mails: they are visible text of one line, and no mail carries a link that a stranger typed as a name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notification.domain.names import looks_like_link, to_name_line


@pytest.mark.parametrize(
    "name",
    [
        "Ada Lovelace",
        "J. R. R. Tolkien",
        "J.R.R. Tolkien",
        "Martin Luther King Jr. III",
        "Zoë “Z” O'Neill-Østergård, PhD",
        "李小龍 محمد علي 👩\u200d🚀",
        "Dr. Anna c/o Müller",
        "St. John",
        "Gal·la Ll.",
        "X Æ A-12",
        "John Smith 3rd",
        "José M.ª López",
        "J.Smith",
        "J.R.R.Tolkien",
        "A.B. de Villiers",
        "J.-P.Sartre",
        "Mary-Ann St.Clair",
        "Prof.Dr. Müller",
        "Dipl.-Ing.Meier",
        "Anna Müller, M.Sc.",
        "Anne-Marie O'Neil Jr.",
        "Mr. T. Com",
        "E. Link",
        "A. Dev",
        "И. И. Иванов",
        "И.И.Иванов",
        "د. محمد علي",
        "د.محمد علي",
        "列夫·托尔斯泰",
        "山田 太郎",
        "Smith,Ada",
        "",
    ],
)
def test_a_name_is_no_link(name: str) -> None:
    assert not looks_like_link(name)


@pytest.mark.parametrize(
    "name",
    [
        "http://evil.example",
        "Claim it: https://evil",
        "HXXP://evil",
        "//evil",
        "http:\\\\evil",
        "www.evil.example",
        "WWW evil",
        "evil.com",
        "evil.example/x",
        "Ada evil.example Lovelace",
        "evil .com",
        "evil. com",
        "evil . com",
        "evil\u3002com",
        "evil\uff0ecom",
        "evil\u2024com",
        "\uff57\uff57\uff57.\uff45vil.com",
        "ev\u200bil.com",
        "evil.\u200bcom",
        "evil\u00ad.com",
        "evil[.]com",
        "evil (dot) com",
        "evil dot com",
        "evil-dot-com",
        "evil dot net",
        "evil,com",
        "evil·com",
        "me(at)evil",
        "mailto:me",
        "https:evil",
        "t.me",
        "T.Me",
        "X.Com",
        "x. com",
        "J.Smith.com",
        "St.Shop",
        "Dr.Casino",
        "я.РФ",
        "я.Сайт",
        "例.广告",
        "J.Xn--p1ai",
        "пример.рф",
        "例子.广告",
        "xn--e1afmkfd.xn--p1ai",
        "192.0.2.1",
        "call +1 555 123 4567",
        "0900-123456",
        "me@evil.example",
        "bit.ly/abc",
    ],
)
def test_a_link_is_found(name: str) -> None:
    assert looks_like_link(name)


@given(st.text(max_size=20), st.sampled_from(["https://", "www.", "a.example/", "b.com "]), st.text(max_size=20))
def test_text_around_a_link_does_not_hide_it(before: str, link: str, after: str) -> None:
    assert looks_like_link(f"{before} {link}{after}")


@given(st.text(max_size=201))
def test_a_name_is_one_visible_line(name: str) -> None:
    line = to_name_line(name)
    assert len(line.splitlines()) <= 1
    assert line.replace("\u200d", "").replace("\u200c", "").isprintable()
    assert line == to_name_line(line)


@pytest.mark.parametrize("name", ["", " ", "\u200b\u2060", "\u3164", "\u2800 \u00ad", "\u200d", "\u202e"])
def test_an_invisible_name_is_empty(name: str) -> None:
    assert to_name_line(name) == ""


def test_joiners_inside_words_are_kept() -> None:
    assert to_name_line("\u200dक\u094d\u200cष 👩\u200d🚀") == "क\u094d\u200cष 👩\u200d🚀"
