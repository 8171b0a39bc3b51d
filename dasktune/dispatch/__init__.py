"""Dispatching: a sweep is sent to a queue, so that who sent it may log out."""
