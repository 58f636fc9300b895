"""Use cases, by what they are about.

`registering`, `sessions`, `second_factor`, `recovering`, `profile`, `addresses`, `administration`, `api_keys`.
"""
