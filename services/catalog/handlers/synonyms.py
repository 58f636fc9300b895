"""Administrators read and replace the synonyms of searches."""

from contracts.catalog import ReplaceSynonyms, SynonymList
from contracts.failure import PreconditionFailed
from contracts.model import Empty
from infra.messaging.rpc_client import Reply, Request
from services.catalog.deps import CatalogDeps
from services.catalog.store import search_vocabulary


async def get_synonyms(deps: CatalogDeps, _request: Request[Empty]) -> Reply[SynonymList]:
    """Reads the synonyms."""
    async with deps.db.connection() as connection:
        synonyms, version = await search_vocabulary.get_synonyms(connection)
    return Reply(synonyms, version)


async def replace_synonyms(deps: CatalogDeps, request: Request[ReplaceSynonyms]) -> Reply[SynonymList]:
    """Replaces the synonyms. Searches that begin after the commit use them."""
    async with deps.db.transaction(request) as tx:
        before, version = await search_vocabulary.lock_synonyms(tx.connection)
        if request.if_match is not None and version not in request.if_match:
            raise PreconditionFailed
        after, version = await search_vocabulary.replace_synonyms(tx.connection, request.body.groups)
        removed = [group for group in before.groups if group not in after.groups]
        added = [group for group in after.groups if group not in before.groups]
        tx.audit_changes(before={"groups": removed}, after={"groups": added})
        return tx.reply(after, version=version)
