"""What is known of an account."""

from collections.abc import Awaitable, Callable

import pytest

from contracts import headers, user
from contracts.failure import InvalidRequest, NotFound, PreconditionFailed, Unauthorized
from contracts.identity import Identity
from infra.foundation.ids import new_id
from tests.services.user.conftest import Member
from tests.support.rpc import RpcCaller

GRACE = {"first_name": "Grace", "last_name": "Hopper"}


def of(member: Member) -> Identity:
    return Identity(user_id=member.session.user.id, role=member.session.user.role)


async def test_somebody_reads_and_renames_themselves(ask: RpcCaller, member: Member) -> None:
    _, header = await ask.raw(user.PROFILE, identity=of(member))
    assert header[headers.VERSION] == "1"
    renamed = await ask(user.UPDATE_PROFILE, {"first_name": " Grace ", "last_name": "Hopper"}, identity=of(member))
    assert (renamed.first_name, renamed.last_name) == ("Grace", "Hopper")
    assert renamed.updated_at > renamed.created_at
    assert await ask(user.PROFILE, identity=of(member)) == renamed


async def test_a_change_of_another_version_is_refused(ask: RpcCaller, member: Member) -> None:
    _, header = await ask.raw(user.UPDATE_PROFILE, GRACE, identity=of(member), if_match=1)
    assert header[headers.VERSION] == "2"
    with pytest.raises(PreconditionFailed):
        await ask(user.UPDATE_PROFILE, GRACE, identity=of(member), if_match=1)


async def test_the_same_change_again_is_made_once(ask: RpcCaller, member: Member) -> None:
    key = new_id().hex
    answers = [await ask.raw(user.UPDATE_PROFILE, GRACE, identity=of(member), key=key) for _ in range(2)]
    assert answers[0][0] == answers[1][0]
    assert answers[1][1][headers.REPLAYED] == "true"


async def test_a_profile_is_for_the_signed_in(ask: RpcCaller, new_customer: Callable[[], Identity]) -> None:
    with pytest.raises(Unauthorized):
        await ask(user.PROFILE)
    with pytest.raises(NotFound):
        await ask(user.PROFILE, identity=new_customer())
    with pytest.raises(NotFound):
        await ask(user.UPDATE_PROFILE, GRACE, identity=new_customer())


@pytest.mark.parametrize("changed", [{"role": "admin"}, {"email": "other@example.com"}, {"first_name": "a\r\nb"}])
async def test_only_the_name_can_be_changed(ask: RpcCaller, member: Member, changed: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        await ask(user.UPDATE_PROFILE, {**GRACE, **changed}, identity=of(member))


async def test_who_writes_to_a_customer_learns_where(
    as_service: Callable[[str], Awaitable[RpcCaller]], member: Member
) -> None:
    notification = await as_service("notification")
    contact = await notification(user.CONTACT, {"user_id": str(member.session.user.id)})
    assert contact.model_dump() == {"email": member.email, "first_name": "Ada", "last_name": "Lovelace"}
    with pytest.raises(NotFound):
        await notification(user.CONTACT, {"user_id": str(new_id())})
