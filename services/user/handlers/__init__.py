"""Use cases, by what they are about.

`registering`, `sessions`, `recovering`, `profile`, `addresses`, `administration`.
"""
