"""The data path: from preprocess to Zarr, and from Zarr to training.

    python benchmarks/bench_data.py [--tiny] [--rounds N] [--folder FOLDER] [PART ...]

Parts: ``write`` and ``read`` (against NumPy), ``zarr`` (zarr-python, and with zarrs if that is
installed), ``digest``, ``chunks`` (their size), ``share`` (memory of 1, 2 and 8 workers), ``open``
(the second trial), ``batches`` (samples a second against a DataLoader and raw reading), ``stage``
(the copy on the node's own disk).
Printed are tables in Markdown; of several rounds the smallest time, which others on the machine
disturbed least, and the median and the largest. Rates and ratios are of the smallest.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
import zarr

import dasktune as dt
from dasktune.data import Staging, layout, staging
from dasktune.data.staging import stage
from dasktune.fingerprint import new_hash, tree_digest
from dasktune.preprocess import list_files
from dasktune.writing import write_split

WORKERS = (1, 2, 8)


class Bench:
    """Data of a size, in a folder, measured in rounds."""

    def __init__(self, folder: Path, rows: int, rounds: int) -> None:
        self.folder = folder
        self.scratch = folder / "scratch"
        self.rounds = rounds
        random = np.random.default_rng(0)
        self.x = random.integers(0, 256, (rows, 784), dtype="uint8")
        self.dataset = xr.Dataset(
            {"x": (("sample", "pixel"), self.x), "y": ("sample", np.arange(rows))}
        )
        self.path = str(folder / "kept" / "data.zarr")
        write_split(self.path, "train", self.dataset)

    def data(self) -> dt.Data:
        """Open the data anew."""
        return dt.Data(self.path, ("train",))

    def clock(self, cases: dict[str, Callable[[], Any]], **options: Any) -> None:
        """Time cases in turn, and print a table of seconds, rates and ratios to the first."""
        size = options.get("size", self.x.nbytes)
        before = options.get("before", lambda: None)
        taken: dict[str, list[float]] = {name: [] for name in cases}
        for number in range(self.rounds + 1):
            for name, run in cases.items():
                before()
                started = time.perf_counter()
                run()
                if number:  # the first round warms up
                    taken[name].append(time.perf_counter() - started)
        print(f"| | ms | median – max | {options.get('unit', 'GB/s')} | of the first |")
        print("|---|---|---|---|---|")
        scale = options.get("scale", 1e9)
        first = min(next(iter(taken.values())))
        for name, times in taken.items():
            best = min(times)
            spread = f"{statistics.median(times) * 1e3:.4g} – {max(times) * 1e3:.4g}"
            rate = size / best / scale
            print(f"| {name} | {best * 1e3:.4g} | {spread} | {rate:.3g} | {first / best:.2f} |")

    def write(self) -> None:
        """Write against NumPy."""

        def save() -> None:
            np.save(self.scratch / "x.npy", self.x)

        def write() -> None:
            write_split(str(self.scratch / "data.zarr"), "train", self.dataset[["x"]])

        print("\n### Writing\n")
        cases = {
            "np.save": save,
            "dasktune, with digests": write,
            "np.save + fsync": self.synced(save),
            "dasktune, with digests + fsync": self.synced(write),
        }
        self.clock(cases, before=self.fresh)

    def read(self) -> None:
        """Read against NumPy."""
        self.fresh()
        np.save(self.scratch / "x.npy", self.x)
        print("\n### Reading, and using each byte\n")
        self.clock(
            {
                "np.load": lambda: np.load(self.scratch / "x.npy"),
                "np.load, sum": lambda: np.load(self.scratch / "x.npy").sum(),
                "dasktune, open": lambda: self.data().tensor("train", "x"),
                "dasktune, open, sum": lambda: self.data().array("train", "x").sum(),
            }
        )

    def zarr(self) -> None:
        """Write and read with zarr-python, and with the codec pipeline of zarrs."""
        path = self.scratch / "data.zarr"
        how = {"x": {"compressors": None, "chunks": (len(self.x) // 8 or 1, 784)}}

        def save() -> None:
            np.save(self.scratch / "x.npy", self.x)

        def write() -> None:
            self.dataset[["x"]].to_zarr(
                path, group="train", zarr_format=3, consolidated=False, encoding=how
            )

        def read(path: Any) -> None:
            xr.open_zarr(path, group="train", chunks=None, consolidated=False).x.load()

        writes = {"np.save": save, "zarr-python, no digests": write}
        reads: dict[str, Callable[[], Any]] = {
            "np.load": lambda: np.load(self.folder / "x.npy"),
            "zarr-python, 8 chunks": lambda: read(path),
            "zarr-python, what dasktune wrote": lambda: read(self.path),
        }
        if importlib.util.find_spec("zarrs"):
            writes["the same with zarrs"] = _with_zarrs(write)
            reads["zarr-python with zarrs, 8 chunks"] = _with_zarrs(lambda: read(path))
        print("\n### Writing with zarr-python\n")
        self.clock(writes, before=self.fresh)
        self.fresh()
        write()
        np.save(self.folder / "x.npy", self.x)
        print("\n### Reading with zarr-python\n")
        self.clock(reads)

    def fresh(self) -> None:
        """Empty the scratch folder."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir()

    def synced(self, write: Callable[[], Any]) -> Callable[[], None]:
        """Write, and wait until all is on the disk."""

        def run() -> None:
            write()
            for file in (f for f in self.scratch.rglob("*") if f.is_file()):
                descriptor = os.open(file, os.O_RDONLY)
                os.fsync(descriptor)
                os.close(descriptor)

        return run

    def digest(self) -> None:
        """Compare digests, of what is in memory."""

        def blake3() -> None:
            new_hash().update(self.x.data.cast("B"))

        cases = {"blake3": blake3}
        for name in ("sha256", "blake2b", "md5"):
            cases[name] = lambda name=name: hashlib.new(name, self.x.data)  # type: ignore[misc]
        print("\n### Digests\n")
        self.clock(cases)

    def chunks(self) -> None:
        """Compare sizes of chunks, as other readers see them."""
        kept = layout.CHUNK
        for megabytes in (1, 4, 16, 64):
            layout.CHUNK = megabytes * 1024**2
            path = str(self.folder / "chunks.zarr")
            write_split(path, "train", self.dataset)

            def rows(count: int | None, path: str = path) -> None:
                opened = xr.open_zarr(path, group="train", chunks=None, consolidated=False)
                opened.x[:count].load() if count else opened.x.load()

            print(f"\n### Chunks of {megabytes} MiB, read by zarr-python\n")
            self.clock({"all": lambda: rows(None), "one row": lambda: rows(1)})
        layout.CHUNK = kept

    def share(self) -> None:
        """Measure what workers take of memory that all have all of the data in use."""
        print("\n### Memory of workers, MB (proportional set size over that without data)\n")
        print("| workers | mapped, each | mapped, sum | np.load, each | np.load, sum |")
        print("|---|---|---|---|---|")
        np.save(self.folder / "x.npy", self.x)
        for count in WORKERS:
            row = []
            for how in ("mapped", "loaded"):
                sizes = list(_workers(count, how, self.path, str(self.folder / "x.npy")))
                row += [f"{statistics.median(sizes):.0f}", f"{sum(sizes):.0f}"]
            print(f"| {count} | {' | '.join(row)} |")
        print(f"\nThe data has {self.x.nbytes / 1e6:.0f} MB.")

    def open(self) -> None:
        """Time the opening by the first and by the second trial of a worker."""
        from dasktune.data import opening
        from dasktune.job import open_splits
        from dasktune.outcome import Outcome
        from dasktune.stamp import Stamp
        from dasktune.store import Store

        store = Store(str(self.folder / "dist"))
        target = Path(store.preprocessed("key"))
        target.parent.mkdir(parents=True)
        shutil.copytree(Path(self.path).parent, target)
        files = list_files(str(target))
        body = {"files": files, "splits": ["train"]}
        stamp = Stamp.of("preprocess", "preprocessed", "key", "d" * 64, 1.0, body)
        (target / ".stamp").write_bytes(stamp.to_bytes())
        outcome = Outcome("preprocessed", "key")

        def trial() -> None:
            data = open_splits(store, outcome, Staging())
            data.tensor("train", "x")
            data.tensor("train", "y")

        def first() -> None:
            opening._opened.clear()
            trial()

        print("\n### Opening the data in a worker\n")
        self.clock(
            {"first trial": first, "second trial": trial}, unit="per second", size=1, scale=1
        )

    def batches(self) -> None:
        """Count samples a second."""
        torch.set_num_threads(1)
        rows, size = len(self.x), 128
        array = zarr.open_array(f"{self.path}/train/x", mode="r")
        some = min(rows, self.rounds * 4 * size)  # the slow ones are given a part of the epoch
        file = next(f for f in Path(self.path, "train/x/c").rglob("*") if f.is_file())
        descriptor = os.open(file, os.O_RDONLY)
        os.fsync(descriptor)

        def forget() -> None:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

        def raw() -> int:
            block = bytearray(1024**2)
            with open(file, "rb", buffering=0) as opened:
                while opened.readinto(block):
                    pass
            return rows

        def ours(buffer: int) -> Callable[[], int]:
            how: dict[str, Any] = {"seed": 0, "epoch": 0, "buffer": buffer}
            return lambda: sum(len(x) for (x,) in self.data().batches("train", "x", size, **how))

        generator = torch.Generator().manual_seed(0)
        order = torch.randperm(rows, generator=generator).tolist()

        def loader(kind: type, source: Any, count: int, **options: Any) -> Callable[[], int]:
            def run() -> int:
                how = {"sampler": order[:count], **options}
                return sum(len(x) for x in torch.utils.data.DataLoader(kind(source()), size, **how))

            return run

        def mapped() -> Any:  # anew each time: the cache forgets nothing that is mapped
            return self.data().array("train", "x")

        def chunked() -> Any:
            return array

        cases = {
            "raw sequential read": raw,
            "data.batches, buffer of an eighth": ours(self.x.nbytes // 8),
            "data.batches, buffer of all": ours(self.x.nbytes * 2),
            "DataLoader over the Zarr array": loader(Rows, chunked, some),
            "DataLoader over the Zarr array, batches at once": loader(Many, chunked, some),
            "DataLoader over the Zarr array, 2 workers": loader(Rows, chunked, some, num_workers=2),
            "DataLoader over the mapped array": loader(Rows, mapped, rows),
            "DataLoader over the mapped array, batches at once": loader(Many, mapped, rows),
        }
        for cold in (False, True):
            print(f"\n### Samples of 784 bytes a second, {'cold' if cold else 'warm'} page cache\n")
            print("| | samples/s (best of the rounds) | of the raw read |")
            print("|---|---|---|")
            rates: dict[str, list[float]] = {name: [] for name in cases}
            for _ in range(self.rounds):
                for name, run in cases.items():
                    if cold:
                        forget()
                    started = time.perf_counter()
                    count = run()
                    rates[name].append(count / (time.perf_counter() - started))
            first = max(rates["raw sequential read"])
            for name, found in rates.items():
                rate = max(found)
                print(f"| {name} | {rate:,.0f} | {rate / first:.4f} |")
        os.close(descriptor)

    def stage(self) -> None:
        """Time the copy on the node's own disk."""
        source = str(Path(self.path).parent)
        files = list_files(source)
        digest = tree_digest((path, sha) for path, _, sha in files)
        where = Staging("always", str(self.folder / "node"))

        def first() -> None:
            shutil.rmtree(self.folder / "node", ignore_errors=True)
            for folder in list(staging._using):
                os.close(staging._using.pop(folder))
            stage(source, files, digest, where)

        print("\n### Staging\n")
        self.clock(
            {
                "plain copy, unchecked": lambda: shutil.copytree(
                    source, self.folder / "copy", dirs_exist_ok=True
                ),
                "first worker, checked by digest": first,
                "the others": lambda: stage(source, files, digest, where),
            }
        )


class Rows:
    """A dataset as PyTorch's tutorials write it: a sample at a time."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.from_numpy(np.array(self.rows[index]))


class Many(Rows):
    """The same, all samples of a batch at once."""

    def __getitems__(self, chosen: list[int]) -> list[torch.Tensor]:
        found = self.rows.oindex[chosen] if hasattr(self.rows, "oindex") else self.rows[chosen]
        return list(torch.from_numpy(found))


def _with_zarrs(run: Callable[[], Any]) -> Callable[[], Any]:
    def inside() -> None:
        with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
            run()

    return inside


WORKER = """
import sys
import numpy as np
import dasktune as dt

def size():
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:"))

def wait():
    print("ready", flush=True)
    sys.stdin.readline()

how, store, file = sys.argv[1:]
dt.Data(store, ("train",)).array("train", "y").sum()
wait()
before = size()
wait()
data = dt.Data(store, ("train",)).array("train", "x") if how == "mapped" else np.load(file)
data.sum()
wait()
print((size() - before) * 1024 / 1e6, flush=True)
sys.stdin.readline()
"""


def _workers(count: int, how: str, store: str, file: str) -> Iterator[float]:
    """Give the proportional set sizes of workers, in MB, measured while all hold the data."""
    words = [sys.executable, "-c", WORKER, how, store, file]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    workers = [subprocess.Popen(words, **pipes, text=True) for _ in range(count)]  # type: ignore[call-overload]
    try:
        for _ in range(3):
            for worker in workers:
                worker.stdout.readline()
            for worker in workers:
                worker.stdin.write("\n")
                worker.stdin.flush()
        yield from [float(worker.stdout.readline()) for worker in workers]
    finally:
        for worker in workers:
            worker.communicate("\n")


PARTS = ("write", "read", "zarr", "digest", "chunks", "share", "open", "batches", "stage")


def main(arguments: list[str]) -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=PARTS, choices=[*PARTS, PARTS])
    parser.add_argument("--tiny", action="store_true", help="for a test: nothing is learnt")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", default=None, help="where to write; the system's if not given")
    options = parser.parse_args(arguments)
    rows, rounds = (20_000, 1) if options.tiny else (800_000, options.rounds)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        bench = Bench(Path(folder), rows, rounds)
        for part in options.parts:
            getattr(bench, part)()


if __name__ == "__main__":
    main(sys.argv[1:])
