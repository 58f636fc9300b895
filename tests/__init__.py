"""The tests; their folders mirror the packages that they test."""
