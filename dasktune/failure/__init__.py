"""Failures: the kinds of what befalls a trial, the evidence, and how long it is borne."""
