"""GNU make, as the Makefile that dasktune mirrors: one Python process a trial."""

import json
import subprocess
import sys
from pathlib import Path

folder = Path(sys.argv[1])
sweep = json.loads((folder / "sweep.json").read_text())
count = len(sweep["trials"])
here = Path(__file__).parent
makefile = f"""
TRAINED := $(foreach i,$(shell seq 0 {count - 1}),{folder}/trained/$(i))
all: $(TRAINED)
{folder}/trained/%:
\t@{sys.executable} {here}/one.py {folder} $* > $@.tmp && mv $@.tmp $@
"""
(folder / "trained").mkdir()
(folder / "Makefile").write_text(makefile)
subprocess.run(["make", "-s", "-f", folder / "Makefile", f"-j{sweep['jobs']}"], check=True)
answers = [float((folder / "trained" / str(index)).read_text()) for index in range(count)]
(folder / "answers.json").write_text(json.dumps(answers))
