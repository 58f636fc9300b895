"""Words that stand for others: typos, synonyms, and the forms of words in languages without spaces or with endings."""

import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest

from contracts import catalog, headers
from contracts.failure import InvalidRequest, PreconditionFailed
from infra.foundation.ids import new_id
from services.catalog.store.search_vocabulary import MIN_MATCHES
from tests.services.catalog.conftest import CatalogClient
from tests.services.catalog.test_product_queries import ListedCategory, NewProduct

_LETTERS = str.maketrans("0123456789", "ghijklmnop")


def new_word() -> str:
    """Letters that no other product has."""
    return new_id().hex.translate(_LETTERS)[-12:]


@pytest.fixture
async def listed(client: CatalogClient, new_product: NewProduct) -> ListedCategory:
    category = await client.as_admin(catalog.CREATE_CATEGORY, {"name": f"Words {new_id().hex}"})
    return ListedCategory(client, new_product, category)


async def test_one_typo_is_tolerated(listed: ListedCategory) -> None:
    """Wherever it is: a letter that is missing, added, replaced, or swapped with the next one."""
    word = new_word()
    await listed.add(f"Huśtawka {word}", tags=["swing"])
    typed = [
        *(word[:place] + word[place + 1 :] for place in (0, 4, 6, 7, 11)),
        *(word[:place] + "q" + word[place:] for place in (0, 3, 7, 12)),
        *(word[:place] + "q" + word[place + 1 :] for place in (0, 5, 6, 11)),
        *(word[:place] + word[place + 1] + word[place] + word[place + 2 :] for place in (0, 5, 6, 10)),
    ]
    for q in [*typed, f"hustawka {typed[1]}", f"{typed[2]} hustawka", f"{typed[3]} swing"]:
        assert await listed.names(q=q) == [f"Huśtawka {word}"], q
    assert await listed.names(catalog.SEARCH_PRODUCTS, q=typed[0]) == [f"Huśtawka {word}"]
    assert await listed.names(q=f"qq{word}") == []
    assert await listed.names(q=f'"{typed[0]}"') == []


async def test_few_matches_come_before_what_a_typo_may_mean(listed: ListedCategory) -> None:
    word = new_word()
    await listed.add(f"{word}", tags=["meant"])
    for number in range(MIN_MATCHES - 1):
        await listed.add(f"{word}q {number}", description=f"{word}q")
    expected = [f"{word}q 1", f"{word}q 0", word]
    assert await listed.names(q=f"{word}q") == expected
    assert await listed.pages(q=f"{word}q") == expected
    found = await listed.client.edge(catalog.SEARCH_PRODUCTS, {"q": f"{word}q", "category": listed.category.slug})
    assert {one.value: one.count for one in found.facets["category"]} == {listed.category.slug: len(expected)}


async def test_words_that_find_enough_are_not_corrected(listed: ListedCategory) -> None:
    word = new_word()
    await listed.add(word)
    for number in range(MIN_MATCHES):
        await listed.add(f"{word}q {number}")
    assert len(await listed.names(q=f"{word}q")) == MIN_MATCHES
    assert await listed.names(q=f"{word}q", max_price=1) == []


async def test_skus_are_never_corrected(listed: ListedCategory) -> None:
    word = new_word()
    await listed.add("By its SKU", sku=f"{word}X")
    await listed.add(word)
    assert await listed.names(q=f"{word}x") == ["By its SKU"]
    digits = f"{word}123"
    await listed.add("By its number", sku=digits)
    assert await listed.names(q=f"{word}124") == []


async def test_suggestions_tolerate_a_typo(listed: ListedCategory) -> None:
    word = new_word()
    await listed.add(f"{word} swing")
    for q in (f"{word[:3]}q{word[4:]} sw", f"{word[:2]}{word[3]}{word[2]}{word[4:9]}"):
        assert (await listed.client.edge(catalog.SUGGEST, {"q": q})).items == [f"{word} swing"]


@pytest.mark.parametrize(
    ("name", "found_by"),
    [
        ("東京タワーの模型", ["東京", "タワー", "模型", "京タ", "東京 模型", "東", "型", "ﾀﾜｰ", "「タワー」"]),
        ("무선 키보드를", ["키보드", "무선", "키보"]),
        ("防水手表", ["手表", "防水", "手"]),
        ("Настольная лампа", ["настольные лампы", "лампу", "НАСТОЛЬНОЙ", "ламп"]),
        ("Зелёный чайник", ["зеленый", "зелёные чайники", "чайника"]),
        ("Дерев'яна гойдалка", ["гойдалк", "гойдалка"]),
    ],
)
async def test_words_are_found_without_spaces_and_in_other_forms(
    listed: ListedCategory, name: str, found_by: Sequence[str]
) -> None:
    await listed.add(unicodedata.normalize("NFD", name))
    await listed.add("Brass lamp", description="東西 の 無線 настоящий")
    for q in found_by:
        for form in ("NFC", "NFD"):
            names = await listed.names(q=unicodedata.normalize(form, q))
            assert [unicodedata.normalize("NFC", one) for one in names[:1]] == [name], q
    assert await listed.names(q="東大") == []


async def test_suggestions_find_the_middle_of_a_name_without_spaces(listed: ListedCategory) -> None:
    word = new_word()
    await listed.add(f"{word} 東京タワー")
    for q in (f"{word} タワ", f"{word} 東"):
        assert (await listed.client.edge(catalog.SUGGEST, {"q": q})).items == [f"{word} 東京タワー"]


SetSynonyms = Callable[..., Awaitable[Any]]


@pytest.fixture
async def set_synonyms(client: CatalogClient) -> AsyncIterator[SetSynonyms]:
    async def set_groups(*groups: Sequence[str], **options: Any) -> Any:
        return await client.as_admin(catalog.REPLACE_SYNONYMS, {"groups": [list(one) for one in groups]}, **options)

    yield set_groups
    await set_groups()


async def test_synonyms_find_each_other_at_once(listed: ListedCategory, set_synonyms: SetSynonyms) -> None:
    sofa, couch, bed = new_word(), new_word(), new_word()
    for name in (f"{sofa} of leather", f"{couch} of linen", f"{bed} guest of linen"):
        await listed.add(name)
    assert await listed.names(q=couch) == [f"{couch} of linen"]
    await set_synonyms([couch.upper(), sofa, f"{bed} guest"], ["unrelated", "words"])
    everything = [f"{bed} guest of linen", f"{couch} of linen", f"{sofa} of leather"]
    for q in (couch, sofa, f"{bed} guest"):
        for operation in (catalog.LIST_PRODUCTS, catalog.SEARCH_PRODUCTS):
            assert sorted(await listed.names(operation, q=q)) == sorted(everything), q
    assert await listed.names(q=f"{couch} leath") == [f"{sofa} of leather"]
    assert await listed.names(q=f"linen {sofa}", sort="newest") == everything[:2]
    assert await listed.names(q=f'"{couch}"') == [f"{couch} of linen"]
    await set_synonyms([couch, "words"])
    assert await listed.names(q=couch) == [f"{couch} of linen"]


async def test_synonyms_are_replaced_by_their_version(client: CatalogClient, set_synonyms: SetSynonyms) -> None:
    await set_synonyms(["couch", "sofa"])
    _, reply_headers = await client.edge.raw(catalog.GET_SYNONYMS, identity=client.admin)
    version = int(reply_headers[headers.VERSION])
    await set_synonyms(["couch", "bed"], if_match=version)
    with pytest.raises(PreconditionFailed):
        await set_synonyms(["couch", "settee"], if_match=version)
    assert (await client.as_admin(catalog.GET_SYNONYMS)).groups == [["couch", "bed"]]


@pytest.mark.parametrize("groups", [[["one"]], [["one", "?!"]], [["a", " "]], [["x" * 65, "y"]], [["a", "b"]] * 1001])
async def test_refuses_synonyms_that_find_nothing(client: CatalogClient, groups: list[list[str]]) -> None:
    with pytest.raises(InvalidRequest):
        await client.as_admin(catalog.REPLACE_SYNONYMS, {"groups": groups})
