"""The peers' side of `image_duplicates.py`: imagehash's and imagededup's perceptual hashes of the same files."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import imagehash
from imagededup.methods import PHash
from PIL import Image


def main() -> None:
    """Print the hash of every file of a folder, by name, for each peer."""
    folder = Path(sys.argv[1])
    hasher = PHash(verbose=False)
    hashes: dict[str, dict[str, str | None]] = {"imagehash": {}, "imagededup": {}}
    for file in sorted(folder.iterdir()):
        with Image.open(file) as image:
            hashes["imagehash"][file.stem] = str(imagehash.phash(image))
        hashes["imagededup"][file.stem] = hasher.encode_image(image_file=str(file))
    print(json.dumps(hashes))


if __name__ == "__main__":
    main()
