"""The profile of a customer, and the contact that notification looks up."""

from collections.abc import Awaitable, Callable

import pytest

from contracts import headers, user
from contracts.failure import InvalidRequest, NotFound, PreconditionFailed, Unauthorized
from contracts.identity import Identity
from infra.foundation.ids import new_id
from tests.services.user.conftest import Member
from tests.support.rpc import RpcCaller

GRACE = {"first_name": "Grace", "last_name": "Hopper"}


def identity_of(member: Member) -> Identity:
    return Identity(user_id=member.session.user.id, role=member.session.user.role)


async def test_customer_reads_and_changes_the_profile(rpc: RpcCaller, member: Member) -> None:
    _, header = await rpc.raw(user.PROFILE, identity=identity_of(member))
    assert header[headers.VERSION] == "1"
    renamed = await rpc(
        user.UPDATE_PROFILE, {"first_name": " Grace ", "last_name": "Hopper"}, identity=identity_of(member)
    )
    assert (renamed.first_name, renamed.last_name) == ("Grace", "Hopper")
    assert renamed.updated_at > renamed.created_at
    assert await rpc(user.PROFILE, identity=identity_of(member)) == renamed


async def test_change_of_an_outdated_version_is_refused(rpc: RpcCaller, member: Member) -> None:
    _, header = await rpc.raw(user.UPDATE_PROFILE, GRACE, identity=identity_of(member), if_match=1)
    assert header[headers.VERSION] == "2"
    with pytest.raises(PreconditionFailed):
        await rpc(user.UPDATE_PROFILE, GRACE, identity=identity_of(member), if_match=1)


async def test_repeated_request_changes_once(rpc: RpcCaller, member: Member) -> None:
    key = new_id().hex
    answers = [await rpc.raw(user.UPDATE_PROFILE, GRACE, identity=identity_of(member), key=key) for _ in range(2)]
    assert answers[0][0] == answers[1][0]
    assert answers[1][1][headers.REPLAYED] == "true"


async def test_profile_requires_a_signed_in_user(rpc: RpcCaller, new_customer: Callable[[], Identity]) -> None:
    with pytest.raises(Unauthorized):
        await rpc(user.PROFILE)
    with pytest.raises(NotFound):
        await rpc(user.PROFILE, identity=new_customer())
    with pytest.raises(NotFound):
        await rpc(user.UPDATE_PROFILE, GRACE, identity=new_customer())


@pytest.mark.parametrize("changed", [{"role": "admin"}, {"email": "other@example.com"}, {"first_name": "a\r\nb"}])
async def test_only_the_name_can_be_changed(rpc: RpcCaller, member: Member, changed: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        await rpc(user.UPDATE_PROFILE, {**GRACE, **changed}, identity=identity_of(member))


async def test_notification_can_look_up_the_contact(
    as_service: Callable[[str], Awaitable[RpcCaller]], member: Member
) -> None:
    notification = await as_service("notification")
    contact = await notification(user.CONTACT, {"user_id": str(member.session.user.id)})
    assert contact.model_dump() == {
        "email": member.email,
        "first_name": "Ada",
        "last_name": "Lovelace",
        "email_verified": False,
    }
    with pytest.raises(NotFound):
        await notification(user.CONTACT, {"user_id": str(new_id())})
    wanted = {"user_ids": [str(new_id()), str(member.session.user.id)]}
    (known,) = (await notification(user.CONTACTS, wanted)).items
    assert known.model_dump() == {**contact.model_dump(), "user_id": member.session.user.id}
