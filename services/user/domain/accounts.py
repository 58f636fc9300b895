"""Accounts: the stored record, the role it signs in with, and the rule that one administrator remains."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from contracts.identity import Role
from contracts.user import LastAdmin, User


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """An account as the database stores it."""

    id: UUID
    email: str = field(repr=False)
    password_hash: str = field(repr=False)
    first_name: str = field(repr=False)
    last_name: str = field(repr=False)
    role: Role
    is_active: bool
    email_verified: bool
    version: int
    totp: bool
    created_at: datetime
    updated_at: datetime

    def to_contract(self) -> User:
        """Returns what clients see of the account."""
        return User(
            id=self.id,
            email=self.email,
            first_name=self.first_name,
            last_name=self.last_name,
            role=self.role,
            is_active=self.is_active,
            email_verified=self.email_verified,
            totp=self.totp,
            created_at=self.created_at,
            updated_at=self.updated_at,
        )


def require_other_admin(account_id: UUID, admins: Sequence[UUID]) -> None:
    """Raises `LastAdmin` when the account is the only administrator; `admins` are those who can sign in."""
    if list(admins) == [account_id]:
        raise LastAdmin


def needs_totp(account: AccountRecord, *, admins_need_totp: bool) -> bool:
    """Returns whether the account must have a second factor; the setting demands one of administrators."""
    return admins_need_totp and account.role is Role.ADMIN


def effective_role(account: AccountRecord, *, admins_need_totp: bool) -> Role:
    """Returns the role of a new session: an administrator who lacks a required second factor acts as a customer."""
    lacks_totp = needs_totp(account, admins_need_totp=admins_need_totp) and not account.totp
    return Role.CUSTOMER if lacks_totp else account.role
