"""The closure of code: what counts as a change, and what does not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dasktune.closure import fingerprint
from dasktune.errors import SourceError
from dasktune.load import load_module
from dasktune.source import Sources, is_own

MAIN = """
import functools
import math

import kit
import kit.nets as nets
from kit.nets import Net
from kit import tools
from kit.stars import *

RATE = 0.5
UNUSED = 1
REGISTRY = {}
REGISTRY["a"] = len


def decorate(f):
    return f


def even(n):
    return n == 0 or odd(n - 1)


def odd(n):
    return n != 0 and even(n - 1)


def unrelated():
    return UNUSED


@decorate
def train(trial, data, gain=RATE):
    unrelated = 3
    net = Net()
    found = [tools.helper(x) + unrelated for x in data]
    return [*found, even(3), nets.depth(), star(), math.pi, net]


def make(n, f):
    def inner(trial, data):
        return f(n)
    return inner


class Callable:
    def __init__(self, n):
        self.n = n

    def __call__(self, trial, data):
        return self.n


part = functools.partial(train, gain=2)
closed = make(3, odd)
called = Callable(4)
lam = lambda trial, data: RATE
registered = lambda trial, data: REGISTRY["a"](data)
lazy = None


def imports_inside(trial, data):
    from kit.late import value
    return value
"""
KIT = {
    "kit/__init__.py": "from .tools import helper\n",
    "kit/tools.py": (
        "SCALE = 2\n\ndef helper(x):\n    return x * SCALE\n\ndef other():\n    return 0\n"
    ),
    "kit/nets.py": (
        "from .base import Base\n\nclass Net(Base):\n    def forward(self):\n        return 1\n\n"
        "def depth():\n    return 2\n"
    ),
    "kit/base.py": "class Base:\n    size = 3\n",
    "kit/stars.py": "def star():\n    return 1\n",
    "kit/late.py": "value = 1\n",
}


@pytest.fixture
def package(tmp_path):
    """Write a pipeline with a package beside it, and fingerprint its functions after edits."""
    for name, text in {**KIT, "main.py": MAIN}.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    class Package:
        folder = tmp_path

        @staticmethod
        def code(name="train"):
            module = load_module(tmp_path / "main.py")
            return fingerprint(getattr(module, name), Sources.snapshot(module.__name__))

        @staticmethod
        def edit(old, new, file="main.py"):
            path = tmp_path / file
            assert old in path.read_text()
            path.write_text(path.read_text().replace(old, new))

    return Package()


def test_the_closure_holds_what_is_reached_and_nothing_else(package):
    """Through functions, classes, bases, constants, decorators and modules."""
    parts = set(package.code().parts)
    assert {
        "main.train", "main.decorate", "main.RATE", "main.even", "main.odd", "main:math",
        "kit.tools.helper", "kit.tools.SCALE", "kit.nets.Net", "kit.base.Base", "kit.nets.depth",
        "kit.stars.star",
    } <= parts  # fmt: skip
    assert not parts & {"main.unrelated", "main.UNUSED", "kit.tools.other", "main.make"}


@pytest.mark.parametrize(
    ("old", "new", "file"),
    [
        ("RATE = 0.5", "RATE = 0.25", "main.py"),
        ("RATE = 0.5", "RATE = 1 / 2", "main.py"),
        ("return f\n", "return lambda *a: f(*a)\n", "main.py"),
        ("odd(n - 1)", "odd(n - 2)", "main.py"),
        ("SCALE = 2", "SCALE = 2.0", "kit/tools.py"),
        ("x * SCALE", "SCALE * x", "kit/tools.py"),
        ("size = 3", "size = 4", "kit/base.py"),
        ("(self):\n        return 1", "(self):\n        return 5", "kit/nets.py"),
        ("return 2", "return 3", "kit/nets.py"),
        ("return 1", "return 2", "kit/stars.py"),
        ("import math", "import cmath as math", "main.py"),
        ("unrelated = 3", "unrelated = 4", "main.py"),
        ("gain=RATE", "gain=RATE + 0", "main.py"),
    ],
)
def test_a_change_of_meaning_counts_and_undoing_it_gives_the_old_key(package, old, new, file):
    """Wherever it is."""
    before = package.code().digest
    package.edit(old, new, file)
    assert package.code().digest != before
    package.edit(new, old, file)
    assert package.code().digest == before


@pytest.mark.parametrize(
    ("old", "new", "file"),
    [
        ("RATE = 0.5", "RATE = 0.5  # half", "main.py"),
        ("RATE = 0.5", "RATE = (\n    0.50\n)", "main.py"),
        ("    unrelated = 3", "    'A docstring.'\n\n    unrelated = 3", "main.py"),
        ('REGISTRY["a"]', "REGISTRY['a']", "main.py"),
        ("return UNUSED", "return UNUSED + 1", "main.py"),
        ("UNUSED = 1", "UNUSED = 2", "main.py"),
        ("return 0", "return 9", "kit/tools.py"),
        ("class Base:", "\n\n\nclass Base:\n    '''What nets have in common.'''", "kit/base.py"),
    ],
)
def test_layout_and_unrelated_code_do_not_count(package, old, new, file):
    """Comments, docstrings, quotes, line breaks, and what is not reached."""
    before = package.code().digest
    package.edit(old, new, file)
    assert package.code().digest == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("part", "gain=2", "gain=3"),
        ("part", "RATE = 0.5", "RATE = 0.6"),
        ("closed", "make(3, odd)", "make(4, odd)"),
        ("closed", "make(3, odd)", "make(3, even)"),
        ("closed", "return f(n)", "return f(n + 1)"),
        ("called", "Callable(4)", "Callable(5)"),
        ("called", "return self.n", "return -self.n"),
        ("lam", "trial, data: RATE", "trial, data: -RATE"),
        ("lam", "RATE = 0.5", "RATE = 0.6"),
        ("registered", 'REGISTRY["a"] = len', 'REGISTRY["a"] = sum'),
        ("imports_inside", "value = 1", "value = 2"),
    ],
)
def test_partials_closures_instances_lambdas_and_late_imports(package, name, old, new):
    """Whatever a recipe is, its parts count."""
    before = package.code(name).digest
    package.edit(old, new, "kit/late.py" if old == "value = 1" else "main.py")
    assert package.code(name).digest != before


def test_a_closure_over_something_without_identity_is_refused(package):
    """Its changes could not be seen."""
    package.edit("make(3, odd)", "make(object(), odd)")
    with pytest.raises(SourceError, match="identity of <object"):
        package.code("closed")


def test_code_that_was_edited_after_it_was_loaded_is_refused(package):
    """A notebook holds the old function; its key must not be made of the new text."""
    module = load_module(package.folder / "main.py")
    package.edit(
        "SCALE = 2\n\ndef helper(x):\n    return x",
        "SCALE = 2\n\ndef helper(x):\n    return 7 + x",
        "kit/tools.py",
    )
    with pytest.raises(SourceError, match="edited after it was imported"):
        fingerprint(module.train, Sources.snapshot(module.__name__))


GOLDEN = "0f7cc843218ef52d8d4f72872081310012a4b398f759cedb43d6841ad9a8958c"


@pytest.mark.parametrize("python", ["python3.11", "python3.12", "python3.13"])
def test_the_hash_is_the_same_on_every_version_of_python(package, python):
    """``ast.dump`` is not; the canonical walk is."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from dasktune.syntax import canonical_tree\n"
        "from dasktune.fingerprint import digest\n"
        "import ast\n"
        "print(digest([canonical_tree(ast.parse(open(f).read())) for f in sys.argv[2:]]))"
    )
    corpus = [str(package.folder / "main.py"), str(package.folder / "kit" / "nets.py")]
    root = str(Path(__file__).parent.parent)
    version = tuple(map(int, python.removeprefix("python").split(".")))
    program = sys.executable if sys.version_info[:2] == version else shutil.which(python)
    if program is None or subprocess.run([program, "-V"], capture_output=True).returncode:
        pytest.skip(f"{python} is not installed here")
    done = subprocess.run(
        [program, "-c", code, root, *corpus], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == GOLDEN, done.stderr


@pytest.mark.parametrize("folder", ["lib/site-packages", "lib/dist-packages"])
def test_packages_installed_elsewhere_are_libraries(tmp_path, folder):
    """Found over PYTHONPATH or a .pth file, they are not the user's own code."""
    path = tmp_path / folder / "library.py"
    path.parent.mkdir(parents=True)
    path.touch()
    assert not is_own(str(path))
    assert is_own(str(tmp_path / "lib" / "mine.py"))
