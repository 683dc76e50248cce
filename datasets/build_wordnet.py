"""Build a bundled set from the database files of Princeton WordNet 3.0.

Example:
    python datasets/build_wordnet.py wordnet-mammals --dict /usr/share/wordnet
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from gsam.datasets.errors import DatasetError
from gsam.datasets.locations import BUNDLED
from gsam.datasets.wordnet import BUILDERS, DEFAULT_DICT


def main() -> int:
    """Parse the command line, build, print the manifest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", choices=list(BUILDERS), default="wordnet", help="default: wordnet")
    parser.add_argument("--dict", type=Path, default=DEFAULT_DICT, help="folder with data.noun, data.verb, index.*")
    parser.add_argument("--out", type=Path, help="folder to write to; default: where the package has it")
    parser.add_argument("--force", action="store_true", help="overwrite the files in that folder")
    options = parser.parse_args()
    try:
        manifest = BUILDERS[options.name](options.dict, options.out or BUNDLED / options.name, force=options.force)
    except DatasetError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(manifest, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
