"""Generates d = a * b modulo p, unrolled: Karatsuba's method, and the carries that follow."""

from .layout import COORDINATE_BYTES, FOLD, HALF, LIMB_BITS, LIMBS, MASK


class _Columns:
    """Writes sums of products, keeping the factor that is in the register from sum to sum."""

    def __init__(self):
        self.lines = []
        self._factor = None

    def add(self, products, fresh=False):
        """acc += the sum of products (pairs of names); `fresh` starts from zero."""
        left = list(products)
        left.sort(key=lambda pair: self._factor not in pair)
        for pair in left:
            if self._factor not in pair:
                self.take(pair[0])
            other = pair[1] if pair[0] == self._factor else pair[0]
            if pair[0] == pair[1]:
                other = "x"
            self.lines.append(f"acc = {other} * x" + ("" if fresh else " + acc"))
            fresh = False

    def take(self, name):
        """Put the variable `name` (or a number) into the register x."""
        self._factor = name
        self.lines.append(f"x = {name}")

    def write(self, line):
        """Write one statement that leaves x alone."""
        self.lines.append(line)


def _product(left, right, column):
    """The pairs of names whose products make up one column of left * right."""
    last = len(left) - 1
    pairs = [
        (left[i], right[column - i]) for i in range(max(0, column - last), min(column, last) + 1)
    ]
    # The next column begins with a factor of this one's last product, so that one comes last
    # which both have.
    pairs.sort(key=lambda pair: right.index(pair[1]) == last)
    return pairs if column % 2 else pairs[::-1]


def multiply(load):
    """d = a * b by one level of Karatsuba's method: three products of 10 limbs."""
    half = LIMBS // 2
    a = [f"a{i}" for i in range(LIMBS)]
    b = [f"b{i}" for i in range(LIMBS)]
    # A column's sum takes the slot of what no later column needs.
    low = [f"l{i}" for i in range(half)] + a[: half - 1]
    high = [f"h{i}" for i in range(half)] + a[half : LIMBS - 1]
    difference_a = [f"p{i}" for i in range(half)]
    difference_b = [f"q{i}" for i in range(half)]
    lines = [f"a{i} = {load.format('a', i)}" for i in range(LIMBS)]
    lines.append("if operation:")
    lines += [
        "    digit = program[3]",
        "    entry = ptr16(entry_address + "
        f"(digit ^ (negative & (1 - (digit >> 1)))) * {COORDINATE_BYTES})",
    ]
    lines += [f"    b{i} = entry[{i}]" for i in range(LIMBS)]
    lines.append("else:")
    lines += [f"    b{i} = {load.format('b', i)}" for i in range(LIMBS)]
    for i in range(half):
        lines.append(f"x = a{i + half}")
        lines.append(f"p{i} = a{i} - x")
        lines.append(f"x = b{i}")
        lines.append(f"q{i} = b{i + half} - x")
    columns = _Columns()
    for column in range(2 * half - 1):
        columns.add(_product(a[:half], b[:half], column), fresh=True)
        columns.write(f"{low[column]} = acc")
    for column in range(2 * half - 1):
        columns.add(_product(a[half:], b[half:], column), fresh=True)
        columns.write(f"{high[column]} = acc")
    for column in range(half - 1):  # columns 10 + j have a part in common with columns 20 + j
        columns.write(f"acc = {low[half + column]}")
        columns.write(f"{low[half + column]} = {high[column]} + acc")
    folded = b
    columns.write(f"acc = {high[half]}")
    for column in range(LIMBS - 1):
        if column:
            columns.write("acc = acc >> 13")
        if column < half - 1:
            if column:
                columns.write(f"acc = {high[half + column]} + acc")
            columns.write(f"acc = {low[half + column]} + acc")
            columns.add(_product(difference_a, difference_b, half + column))
        else:
            columns.write(f"acc = {high[column]} + acc")
        columns.write(f"{folded[column]} = acc & {MASK}")
    columns.write(f"{folded[LIMBS - 1]} = acc >> 13")
    columns.take(FOLD)
    for column in range(LIMBS):
        if column == 0:
            columns.write(f"acc = {folded[0]} * x")
            columns.write(f"acc = {low[0]} + acc")
            columns.write(f"acc = acc + {HALF}")
        elif column < half:
            columns.write(f"acc = {folded[column]} * x + acc")
            columns.write(f"acc = {low[column]} + acc")
        else:
            middle = column - half
            columns.write(f"acc = {folded[column]} * {FOLD} + acc")
            columns.write(f"acc = {low[middle]} + acc")
            if middle < half - 1:
                columns.write(f"acc = {low[column]} + acc")
            else:
                columns.write(f"acc = {high[middle]} + acc")
            columns.add(_product(difference_a, difference_b, middle))
        _carry(columns, column)
    return lines + columns.lines + last_carry()


def _carry(columns, column):
    """Store a limb and leave the carry, with the next column's half, in acc."""
    target = f"c{column}" if column < 3 else f"d[{column}]"
    columns.write(f"{target} = (acc & {MASK}) - {HALF}")
    if column < LIMBS - 1:
        columns.write(f"acc = (acc >> {LIMB_BITS}) + {HALF}")
    else:
        columns.write(f"acc = acc >> {LIMB_BITS}")


def last_carry():
    """Fold the carry out of the last limb (acc) into the first three, which are c0, c1 and c2."""
    return [
        f"x = c0 + {HALF}",
        f"acc = acc * {FOLD} + x",
        f"d[0] = (acc & {MASK}) - {HALF}",
        f"x = c1 + {HALF}",
        f"acc = (acc >> {LIMB_BITS}) + x",
        f"d[1] = (acc & {MASK}) - {HALF}",
        "x = c2",
        f"d[2] = (acc >> {LIMB_BITS}) + x",
    ]
