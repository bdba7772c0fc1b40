"""The proof of the core, as one command: `python native/prove.py [--quick] [--only NAME] [--seconds N]`.

Compiles the sources as they stand and goes through published answers, an independent library, changed bytes, guard
pages, sanitizers, fuzzers and a watch over secrets. Prints a line for each with what was looked at; ends with 1 when
one does not hold. A missing tool is a word, or a failure where SMETS1_REQUIRE_NATIVE=1 says that the machine has it.
The proofs stand in tests/native/proof, their quick forms among the ordinary tests.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "native"))

from proof.catalogue import PROOFS, choose
from proof.setting import Setting
from proof.workshop import Failed, Missing, Workshop


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 when every proof that could be run holds, 1 when not, 2 for a name that is no proof."""
    parser = argparse.ArgumentParser(description="Prove the compiled crypto core.")
    parser.add_argument("--quick", action="store_true", help="the short forms, without compilers' watchmen")
    parser.add_argument("--only", metavar="NAME", action="append", help=f"one of {', '.join(PROOFS)}")
    parser.add_argument("--seconds", type=int, default=60, help="time of each fuzzer (60)")
    chosen = parser.parse_args(arguments)
    try:
        names = choose(chosen.only, chosen.quick)
    except KeyError as error:
        parser.error(str(error.args[0]))
    required = os.environ.get("SMETS1_REQUIRE_NATIVE", "") not in ("", "0")
    bad = 0
    with tempfile.TemporaryDirectory(prefix="smets1-proof-") as folder:
        setting = Setting(Workshop(Path(folder)), quick=chosen.quick, seconds=chosen.seconds)
        for name in names:
            start = time.monotonic()
            try:
                verdict = "holds    " + ", ".join(f"{count:,} {what}" for what, count in PROOFS[name](setting).items())
            except Missing as missing:
                bad += required
                verdict = f"{'FAILS' if required else 'left out'}    {missing}"
            except Failed as failed:
                bad += 1
                verdict = f"FAILS    {failed}"
            print(f"{name:<15}{time.monotonic() - start:7.1f} s   {verdict}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
