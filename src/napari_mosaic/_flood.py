"""Compiled loops of the tessera pass: components, their figures, and the flood.

One decision: every result is a function of the pixels alone, never of the order in which they are
visited, so that two windows that see the same pixels write the same labels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_mosaic.compiled import compiled

Array = np.ndarray[Any, Any]


@compiled
def _root(parent: Array, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@compiled
def label_components(mask: Array, cell: int, y_origin: int, x_origin: int) -> tuple[Array, int]:
    """Number the 4-connected components of `mask` from 1, in reading order of their first pixels.

    Where `cell` is not 0, the lines of a fixed grid of `cell` pixels part them; `y_origin` and
    `x_origin` are the place of `mask[0, 0]` on that grid. Runs of a row are linked, not pixels.
    """
    height, width = mask.shape
    most = height * (width // 2 + 1) + (0 if cell == 0 else height * (width // cell + 1))
    starts, stops, parent = np.empty(most, np.int32), np.empty(most, np.int32), np.empty(most, np.int32)
    rows = np.zeros(height + 1, np.int64)
    count = 0
    for y in range(height):
        x = 0
        while x < width:
            if not mask[y, x]:
                x += 1
                continue
            starts[count] = x
            x += 1
            while x < width and mask[y, x] and (cell == 0 or (x + x_origin) % cell != 0):
                x += 1
            stops[count], parent[count] = x, count
            count += 1
        rows[y + 1] = count
        if y > 0 and (cell == 0 or (y + y_origin) % cell != 0):
            _link_runs(parent, starts, stops, rows[y - 1], rows[y], count)
    number = np.zeros(count, np.int32)
    found = 0
    for i in range(count):
        if parent[i] == i:
            found += 1
            number[i] = found
        else:
            number[i] = number[_root(parent, i)]
    labels = np.zeros((height, width), np.int32)
    for y in range(height):
        for i in range(rows[y], rows[y + 1]):
            labels[y, starts[i] : stops[i]] = number[i]
    return labels, found


@compiled
def _link_runs(parent: Array, starts: Array, stops: Array, above: int, first: int, end: int) -> None:
    """Link the runs `first` to `end` of a row to those of the row above that they touch, the first one as root."""
    i = above
    for j in range(first, end):
        while i < first and stops[i] <= starts[j]:
            i += 1
        k = i
        while k < first and starts[k] < stops[j]:
            a, b = _root(parent, k), _root(parent, j)
            parent[max(a, b)] = min(a, b)
            k += 1


@compiled
def component_boxes(labels: Array, count: int) -> Array:
    """Area, box and first pixel of each component: rows `(area, y0, x0, y1, x1, y, x)`, row 0 unused."""
    height, width = labels.shape
    rows = np.zeros((count + 1, 7), np.int64)
    for y in range(height):
        for x in range(width):
            i = labels[y, x]
            if i == 0:
                continue
            row = rows[i]
            if row[0] == 0:
                row[1], row[2], row[3], row[4], row[5], row[6] = y, x, y + 1, x + 1, y, x
            row[0] += 1
            row[2] = min(row[2], x)
            row[3] = y + 1
            row[4] = max(row[4], x + 1)
    return rows


def flood(labels: Array, grout: Array, limit: int, reach: int) -> None:
    """Grow `labels` in place over the pixels with `grout <= limit`, up to a path cost of `reach`.

    A step into a pixel costs `1 + grout // 16`; a pixel takes the label with the least
    `(cost, label)`. Steps cost at least 1, so when a bucket is opened all that could still improve
    its pixels lies behind, and the result does not depend on the order inside the bucket.
    """
    if not labels.flags.c_contiguous:
        raise ValueError("labels are grown in place and must be C-contiguous")
    height, width = labels.shape
    names, costs = labels.reshape(-1), np.empty(labels.size, np.uint8 if reach < 255 else np.uint16)
    # each of four neighbours enters a pixel once at most; what is not entered takes no memory
    pixels, following = np.empty(4 * labels.size, np.int32), np.empty(4 * labels.size, np.int32)
    entered = _enter_rims(names, costs, height, width, pixels, following)
    _spread(names, grout.reshape(-1), costs, width, limit, reach, pixels, following, entered)


@compiled
def _enter_rims(names: Array, costs: Array, height: int, width: int, pixels: Array, following: Array) -> int:
    """Costs at the start, and the list of labelled pixels that can spread; its length."""
    entered = 0
    for y in range(height):
        for x in range(width):
            p = y * width + x
            if names[p] == 0:
                costs[p] = -1  # the largest number there is
                continue
            costs[p] = 0
            inner = 0 < y < height - 1 and 0 < x < width - 1
            if not (inner and names[p - width] and names[p + width] and names[p - 1] and names[p + 1]):
                pixels[entered], following[entered] = p, entered - 1
                entered += 1
    return entered


@compiled
def _spread(
    names: Array,
    grout: Array,
    costs: Array,
    width: int,
    limit: int,
    reach: int,
    pixels: Array,
    following: Array,
    entered: int,
) -> None:
    """Open bucket by bucket; an entry of a pixel that became cheaper since is passed over."""
    heads = np.full(reach + 1, -1, np.int32)
    heads[0] = entered - 1
    for bucket in range(reach + 1):
        entry = heads[bucket]
        while entry >= 0:
            p, entry = pixels[entry], following[entry]
            if costs[p] != bucket:
                continue
            own, x = names[p], p % width
            for side in range(4):
                if side == 0:
                    q = p - width
                elif side == 1:
                    q = p + width
                elif side == 2:
                    q = p - 1 if x > 0 else -1
                else:
                    q = p + 1 if x < width - 1 else -1
                if q < 0 or q >= len(names) or grout[q] > limit:
                    continue
                price = bucket + 1 + grout[q] // 16
                if price > reach or price > costs[q]:
                    continue
                if price == costs[q]:
                    names[q] = min(names[q], own)
                    continue
                costs[q], names[q] = price, own
                pixels[entered], following[entered] = q, heads[price]
                heads[price] = entered
                entered += 1


@compiled
def count_near(labels: Array, seeds: Array, radius: int) -> Array:
    """Pixels of each seed's own label within `radius` (Chebyshev) of it; `seeds` has rows `(y, x)`."""
    height, width = labels.shape
    counts = np.zeros(len(seeds), np.int64)
    for i in range(len(seeds)):
        sy, sx = seeds[i]
        own = labels[sy, sx]
        for y in range(max(0, sy - radius), min(height, sy + radius + 1)):
            for x in range(max(0, sx - radius), min(width, sx + radius + 1)):
                if labels[y, x] == own:
                    counts[i] += 1
    return counts


@compiled
def hole_owners(holes: Array, count: int, labels: Array, largest: int) -> Array:
    """The label that encloses each hole of at most `largest` pixels, 0 where it is open or has two."""
    height, width = labels.shape
    owner = np.zeros(count + 1, labels.dtype)
    area = np.zeros(count + 1, np.int64)
    broken = np.zeros(count + 1, np.bool_)
    for y in range(height):
        for x in range(width):
            i = holes[y, x]
            if i == 0 or area[i] > largest:
                continue
            area[i] += 1
            if y == 0 or x == 0 or y == height - 1 or x == width - 1:
                broken[i] = True
                continue
            for side in range(4):
                other = labels[y + (side == 1) - (side == 0), x + (side == 3) - (side == 2)]
                if other == 0:
                    continue
                if owner[i] == 0:
                    owner[i] = other
                elif owner[i] != other:
                    broken[i] = True
    for i in range(count + 1):
        if broken[i] or area[i] > largest:
            owner[i] = 0
    return owner


@compiled
def fill(labels: Array, holes: Array, owner: Array) -> None:
    """Give, in place, the pixels of holes to the labels that own them, where one does."""
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            if holes[y, x] and owner[holes[y, x]]:
                labels[y, x] = owner[holes[y, x]]


@compiled
def clear(labels: Array, gone: Array) -> None:
    """Clear, in place, the labels of which `gone[label]` is True."""
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            if gone[labels[y, x]]:
                labels[y, x] = 0


@compiled
def stone_figures(labels: Array, ids: Array, grout: Array) -> Array:
    """Area, box and summed grout of the stones in `ids` (sorted): rows `(area, y0, x0, y1, x1, grout)`."""
    height, width = labels.shape
    rows = np.zeros((len(ids), 6), np.int64)
    last_id, last_row = labels[0, 0], -1
    for y in range(height):
        for x in range(width):
            value = labels[y, x]
            if value == 0:
                continue
            if value != last_id or last_row == -1:
                k = np.searchsorted(ids, value)
                last_row = k if k < len(ids) and ids[k] == value else -2
                last_id = value
            if last_row < 0:
                continue
            row = rows[last_row]
            if row[0] == 0:
                row[1], row[2], row[3], row[4] = y, x, y + 1, x + 1
            row[0] += 1
            row[2] = min(row[2], x)
            row[3] = y + 1
            row[4] = max(row[4], x + 1)
            row[5] += grout[y, x]
    return rows
