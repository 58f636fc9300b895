"""Tools over the contracts: a snapshot, a check for breaking changes, and the AsyncAPI document."""
