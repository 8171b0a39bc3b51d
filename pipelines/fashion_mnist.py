"""Fashion-MNIST: the real 70,000 images, a small convolutional network, no augmentation."""

import gzip
import hashlib
import os
import urllib.request
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from torch import nn
from torch.nn import functional

import dasktune as dt

# The files, with their sha256.
FILES = {
    "train-images-idx3-ubyte": "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
    "train-labels-idx1-ubyte": "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
    "t10k-images-idx3-ubyte": "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
    "t10k-labels-idx1-ubyte": "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
}
URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
DEBIAN = "/usr/share/datasets/fashion-mnist"  # what the package dataset-fashion-mnist installs
CACHE = Path.home() / ".cache" / "fashion-mnist"


def download(folder: Path) -> None:
    """Fetch the files, and keep none whose content is not the known one."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, sha256 in FILES.items():
        data = urllib.request.urlopen(f"{URL}{name}.gz", timeout=30).read()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ValueError(f"{URL}{name}.gz is not the file it should be")
        (folder / f"{name}.gz").write_bytes(data)


def find() -> Path:
    """Find the folder with the files: $FASHION_MNIST, Debian's, or a download."""
    named = os.environ.get("FASHION_MNIST")
    for folder in [Path(named)] if named else [Path(DEBIAN), CACHE]:
        if all((folder / f"{name}.gz").exists() for name in FILES):
            return folder
    if not named:
        try:
            download(CACHE)
            return CACHE
        except (OSError, ValueError) as error:
            print(f"could not download Fashion-MNIST: {error}")
    raise FileNotFoundError(
        "the Fashion-MNIST files are not here. Install Debian's dataset-fashion-mnist, set "
        f"FASHION_MNIST to a folder with {', '.join(FILES)} (.gz), or connect to the internet."
    )


def read(path: Path) -> np.ndarray:
    """Read a file in IDX format: images of 28 x 28, or labels, as uint8."""
    data = gzip.decompress(path.read_bytes())
    dims = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(data[3])]
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(dims)


def preprocess(images: int = 70_000) -> dict[str, xr.Dataset]:
    folder = find()
    x = np.concatenate(
        [read(folder / f"{part}-images-idx3-ubyte.gz") for part in ("train", "t10k")]
    )
    y = np.concatenate(
        [read(folder / f"{part}-labels-idx1-ubyte.gz") for part in ("train", "t10k")]
    )
    # The published split: the first 60,000 train, the last 10,000 test; a subset keeps the share.
    train = images * 6 // 7
    rows = {"train": slice(0, train), "val": slice(60_000, 60_000 + images - train)}
    dims = ("sample", "channel", "row", "column")
    return {
        split: xr.Dataset({"x": (dims, x[part, None]), "y": ("sample", y[part].astype(np.int64))})
        for split, part in rows.items()
    }


class Net(nn.Module):
    """Two convolutions and two linear layers."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, 2 * channels, 3, padding=1)
        self.hidden = nn.Linear(2 * channels * 49, 64)
        self.out = nn.Linear(64, 10)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Give scores of shape (batch, 10) for images of shape (batch, 1, 28, 28)."""
        x = functional.max_pool2d(functional.relu(self.first(x)), 2)
        x = functional.max_pool2d(functional.relu(self.second(x)), 2)
        return self.out(self.dropout(functional.relu(self.hidden(x.flatten(1)))))


def train(trial: dt.Trial, data: dt.Data, epochs: int = 3, batch: int = 128) -> nn.Module:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parts = {(s, v): data.tensor(s, v).to(device) for s in ("train", "val") for v in ("x", "y")}
    x, y = parts["train", "x"], parts["train", "y"]
    config = trial.config
    model = Net(config.channels, config.dropout).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr)
    trial.checkpoint(model=model, optimizer=optimizer)
    for _ in trial.epochs(epochs):
        model.train()
        losses = []
        for chosen in torch.randperm(len(x)).split(batch):
            loss = functional.cross_entropy(model(x[chosen].float() / 255), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        model.eval()
        with torch.no_grad():
            scores = torch.cat(
                [model(part.float() / 255) for part in parts["val", "x"].split(1000)]
            )
        trial.report(
            train_loss=torch.stack(losses).mean(),
            val_loss=functional.cross_entropy(scores, parts["val", "y"]),
            val_accuracy=(scores.argmax(1) == parts["val", "y"]).float().mean(),
        )
    return model


space = dt.Space(
    lr=dt.choice(3e-4, 1e-3, 3e-3),
    channels=dt.choice(8, 16),
    dropout=dt.choice(0.0, 0.3),
    seed=dt.replicates(2),
)
here = [DEBIAN] if Path(DEBIAN).exists() and not os.environ.get("FASHION_MNIST") else []
pipeline = dt.Pipeline(
    space,
    preprocess,
    train,
    objective="max val_accuracy",
    resources={"GPU": 1},
    inputs=[f"{folder}/{name}.gz" for folder in here for name in FILES],
)
