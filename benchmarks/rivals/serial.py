"""One trial after the other in one process: nothing but the work."""

import sys

import work

folder = sys.argv[1]
work.answer(folder, [work.run(folder, index) for index in range(len(work.sweep(folder)["trials"]))])
