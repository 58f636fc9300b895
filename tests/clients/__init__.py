"""Generates HTTP clients from `/openapi.json` with four tools, lints the document, and buys something with each client.

`make clients` needs Node.js 20.19 or newer with npm, and access to PyPI and npm for the first run.
"""
