"""Throughput of the crypto core beside its peers: `python bench/crypto.py [--json FILE] [--plot FILE] [--quick]`.

The same as `smets1 bench crypto`. As single cases with pytest-benchmark: `pytest bench/test_crypto_benchmark.py`.
"""

from emulator.cli import main

if __name__ == "__main__":
    import sys

    main(["bench", "crypto", *sys.argv[1:]])
