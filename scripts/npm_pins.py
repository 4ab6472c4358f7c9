"""Installs the npm packages that a lock file pins into a folder of the cache: whole or not at all, once, and without running their scripts."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ATTEMPTS = 4


def fetch(pins, place, needed, what):
    """Makes `place` hold node_modules as `pins`/package-lock.json says; `needed` are files in there, `what` says on the screen what they are for.

    Each package is checked against its digest in the lock file. A second run looks at the stamp and ends at once; two runs at the same time wait
    for each other.
    """
    place = Path(place).absolute()
    place.parent.mkdir(parents=True, exist_ok=True)
    pinned = hashlib.sha256((pins / "package-lock.json").read_bytes()).hexdigest() + "\n"
    with open(place.parent / f".{place.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = place / ".stamp"
        if stamp.exists() and stamp.read_text() == pinned:
            return
        print(f"fetching {what}", flush=True)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".fetch-") as temporary:
            into = Path(temporary) / place.name
            into.mkdir()
            for file in ("package.json", "package-lock.json"):
                shutil.copy(pins / file, into / file)
            install(into)
            missing = [file for file in needed if not (into / "node_modules" / file).exists()]
            if missing:
                sys.exit(f"{me()}: the packages do not hold {', '.join(missing)}")
            (into / ".stamp").write_text(pinned)
            if place.exists():
                shutil.rmtree(place)
            os.rename(into, place)


def install(into):
    """Lets npm install what is pinned; its registry may have a bad moment."""
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    for attempt in range(1, ATTEMPTS + 1):
        try:
            done = subprocess.run(command, cwd=into, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)
            said = done.stdout.strip()
            if done.returncode == 0:
                return
        except FileNotFoundError:
            sys.exit(f"{me()}: npm is not installed. On Debian: apt-get install npm")
        except subprocess.TimeoutExpired:
            said = "no answer within 600 s"
        if attempt < ATTEMPTS:
            print(f"  attempt {attempt} of {ATTEMPTS} failed, next in {2 ** attempt} s: {said[-300:]}", file=sys.stderr)
            time.sleep(2 ** attempt)
    sys.exit(f"{me()}: npm could not install the packages. The last word was: {said[-1000:]}")


def me():
    """The script that is being run."""
    return Path(sys.argv[0]).name
