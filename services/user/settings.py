"""Settings of the user service, read from `SOUK_*` variables."""

import os

from pydantic import Field, SecretStr, field_validator

from infra.foundation.settings import PostgresSettings


class UserSettings(PostgresSettings):
    """Everything an operator can set for the user service."""

    keys_secret: SecretStr = Field(min_length=16, description="Encrypts the private keys that sign access tokens.")
    bcrypt_cost: int = Field(
        12, ge=4, le=16, description="Cost of a password hash: 2^cost rounds, so each step doubles its time."
    )
    bcrypt_threads: int = Field(
        default_factory=lambda: os.cpu_count() or 1, gt=0, description="Threads that hash passwords in parallel."
    )
    bcrypt_patience: float = Field(
        6.0, gt=0, description="Longest expected wait for a password hash in seconds; beyond it logins get 503."
    )
    login_failures: int = Field(
        5, gt=0, description="Failed logins for one account from one address before further ones are refused."
    )
    login_failures_of_address: int = Field(
        50, gt=0, description="Failed logins from one address, for any account, before further ones are refused."
    )
    login_window: float = Field(900.0, gt=0, description="Seconds for which a failed login counts.")
    refresh_days: float = Field(30.0, gt=0, description="Days for which a refresh token is valid.")
    refresh_grace: float = Field(
        10.0,
        ge=0,
        le=60,
        description="Seconds in which a spent refresh token returns its successor again, for parallel tabs and lost "
        "replies.",
    )
    admins_need_totp: bool = Field(
        default=False,
        description="Give administrators without a second factor the rights of a customer only.",
    )
    totp_issuer: str = Field("Souk", pattern="^[^:]+$", description="Shop name that authenticator apps show.")
    verify_days: float = Field(3.0, gt=0, description="Days for which a mailed token can verify an e-mail address.")
    reset_minutes: float = Field(60.0, gt=0, description="Minutes for which a mailed token can reset a password.")
    mails_of_account: int = Field(3, gt=0, description="Token mails for one account within SOUK_REQUESTS_WINDOW.")
    requests_of_address: int = Field(
        50,
        gt=0,
        description="Token mails requested, or registrations with a taken e-mail, from one address within "
        "SOUK_REQUESTS_WINDOW.",
    )
    erase_wait: float = Field(
        30.0,
        gt=0,
        description="Seconds between an erasure request and its start; longer than the longest HTTP request "
        "(SOUK_EDGE_TIMEOUT) and its last SQL statement.",
    )
    requests_window: float = Field(
        900.0, gt=0, description="Seconds for which SOUK_MAILS_OF_ACCOUNT and SOUK_REQUESTS_OF_ADDRESS count."
    )

    @field_validator("bcrypt_threads", mode="before")
    @classmethod
    def _one_for_each_processor(cls, value: object) -> object:
        """Docker Compose passes an empty variable on."""
        return (os.cpu_count() or 1) if value == "" else value
