"""Where the linear layers of native/src/aes_portable.c come from; run it to print them.

The portable AES computes its S-box instead of looking it up: an inversion in the tower GF(((2^2)^2)^2), between two
linear layers that change basis. This searches the towers and isomorphisms for the layers with the fewest XORs (greedy
sharing of common pairs), checks all 256 values against the S-box of FIPS 197, and prints the lines as C.
"""

from itertools import combinations, product

Matrix = list[int]  # eight rows; row i is the mask of the input bits that make output bit i


def field_times(a: int, b: int) -> int:
    """Product in the field of AES."""
    r = 0
    while b:
        if b & 1:
            r ^= a
        a = a << 1 ^ (0x11B if a & 0x80 else 0)
        b >>= 1
    return r


def gf4_times(a: int, b: int) -> int:
    high, low, mixed = (a >> 1) & (b >> 1), a & b & 1, ((a >> 1) ^ a) & ((b >> 1) ^ b) & 1
    return (mixed ^ low) << 1 | (low ^ high)


def extend(times, size: int, constant: int):  # type: ignore[no-untyped-def]
    """Multiplication in the quadratic extension x^2 = x + constant of a field of 2^size elements."""

    def extended(a: int, b: int) -> int:
        mask = (1 << size) - 1
        a1, a0, b1, b0 = a >> size, a & mask, b >> size, b & mask
        high = times(a1, b1)
        return (times(a1, b0) ^ times(a0, b1) ^ high) << size | (times(a0, b0) ^ times(high, constant))

    return extended


def apply(matrix: Matrix, x: int) -> int:
    return sum(((row & x).bit_count() & 1) << i for i, row in enumerate(matrix))


def matrix_of(linear) -> Matrix:  # type: ignore[no-untyped-def]
    columns = [linear(1 << j) for j in range(8)]
    return [sum((columns[j] >> i & 1) << j for j in range(8)) for i in range(8)]


def inverse_of(matrix: Matrix) -> Matrix:
    table = {apply(matrix, x): x for x in range(256)}
    return matrix_of(table.__getitem__)


def shared(matrix: Matrix) -> tuple[int, list[str]]:
    """XOR count and C lines of a layer from s[0..7] to d[0..7], sharing the commonest pair again and again."""
    rows = [{f"s[{j}]" for j in range(8) if row >> j & 1} for row in matrix]
    lines: list[str] = []
    while True:
        counts: dict[tuple[str, str], int] = {}
        for row in rows:
            for pair in combinations(sorted(row), 2):
                counts[pair] = counts.get(pair, 0) + 1
        pair, most = max(counts.items(), key=lambda item: (item[1], item[0]), default=(("", ""), 0))
        if most < 2:
            break
        name = f"t{len(lines)}"
        lines.append(f"uint64_t {name} = {pair[0]} ^ {pair[1]};")
        for row in rows:
            if row >= set(pair):
                row -= set(pair)
                row.add(name)
    cost = len(lines) + sum(len(row) - 1 for row in rows)
    return cost, lines + [f"d[{i}] = {' ^ '.join(sorted(row))};" for i, row in enumerate(rows)]


def affine(x: int) -> int:
    return x ^ (x << 1 | x >> 7) & 255 ^ (x << 2 | x >> 6) & 255 ^ (x << 3 | x >> 5) & 255 ^ (x << 4 | x >> 4) & 255


def layers() -> tuple[int, int, int, dict[str, Matrix]]:
    """(cost, constant of GF(16), constant of GF(256), the four layers) of the cheapest tower."""
    best: tuple[int, int, int, dict[str, Matrix]] | None = None
    for low, high in product(range(1, 4), range(1, 16)):
        gf16 = extend(gf4_times, 2, low)
        gf256 = extend(gf16, 4, high)
        if any(gf16(x, x) ^ x == high for x in range(16)) or any(gf4_times(x, x) ^ x == low for x in range(4)):
            continue  # reducible
        for root in range(2, 256):
            powers = [1]
            for _ in range(8):
                powers.append(gf256(powers[-1], root))
            if powers[8] != powers[4] ^ powers[3] ^ powers[1] ^ powers[0]:
                continue  # not a root of the polynomial of AES
            change = matrix_of(lambda x, p=powers: p[x.bit_length() - 1])
            back = inverse_of(change)
            whole = matrix_of(affine)
            undo = inverse_of(whole)
            four = {
                "forward_in": change,
                "forward_out": matrix_of(lambda x, b=back: affine(apply(b, x))),
                "inverse_in": matrix_of(lambda x, c=change, u=undo: apply(c, apply(u, x))),
                "inverse_out": back,
            }
            cost = sum(shared(matrix)[0] for matrix in four.values())
            if best is None or cost < best[0]:
                best = cost, low, high, four
    assert best is not None
    return best


def main() -> None:
    cost, low, high, four = layers()
    gf256 = extend(extend(gf4_times, 2, low), 4, high)
    for x in range(256):
        inverted = next((y for y in range(1, 256) if field_times(x, y) == 1), 0)
        box = affine(inverted) ^ 0x63
        tower = next((y for y in range(1, 256) if gf256(apply(four["forward_in"], x), y) == 1), 0)
        assert apply(four["forward_out"], tower) ^ 0x63 == box
        tower = next((y for y in range(1, 256) if gf256(apply(four["inverse_in"], box ^ 0x63), y) == 1), 0)
        assert apply(four["inverse_out"], tower) == x
    print(f"/* {cost} XORs in four layers; Z^2 = Z + {low} over GF(4), Y^2 = Y + {high} over GF(16) */")
    for name, matrix in four.items():
        print(f"/* {name} */", *shared(matrix)[1], sep="\n    ")


if __name__ == "__main__":
    main()
