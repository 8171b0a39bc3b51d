"""One trial in a process of its own: what a Makefile's recipe runs."""

import sys

import work

print(repr(work.run(sys.argv[1], int(sys.argv[2]))))
