# SPDX-License-Identifier: MIT
"""The table: medians over the rounds, and medians of the ratios of a round."""

import statistics

MIB = 1 << 20
ABOVE_EMPTY_MAX = 64  # MiB, whatever waits


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def ratios(runs, references, key="rate"):
    """Pair by pair: each run with the reference of its own round."""
    return [run[key] / reference[key]
            for run, reference in zip(runs, references) if run and reference]


def figure(runs, key):
    return median([run.get(key) for run in runs if run])


def number(value, digits=0):
    return "" if value is None else f"{value:,.{digits}f}"


def compared(runs, references, aim, key="rate"):
    """The median ratio, the smallest and the largest, and the target."""
    pairs = ratios(runs, references, key)
    if not pairs:
        return ""
    text = f"{statistics.median(pairs):.2f}"
    if len(pairs) > 1:
        text += f" ({min(pairs):.2f}-{max(pairs):.2f})"
    if aim is not None:
        text += f" {'>=' if statistics.median(pairs) >= aim else '<'} {aim}"
    return text


def print_rows(head, rows):
    """Aligned, and valid Markdown."""
    rows = [head] + rows
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    for index, row in enumerate(rows):
        cells = [cell.ljust(width) if i == 0 else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(row, widths))]
        print("| " + " | ".join(cells) + " |")
        if index == 0:
            print("|" + "|".join("-" * (width + 1) + ("-" if i == 0 else ":")
                                 for i, width in enumerate(widths)) + "|")
    print()


def print_stored(results, lines):
    """"lines": name of the runs, text, aim, name of the runs in memory."""
    reference = results.get("a", [])
    rows = []
    for name, text, aim, memory in lines:
        runs = results.get(name)
        if not runs:
            continue
        rows.append([
            text, number(figure(runs, "rate")),
            compared(runs, reference, aim) if name != "a" else "1",
            compared(runs, results.get(memory, []), None),
            number(figure(runs, "cpu"), 2),
            number(figure(runs, "p50"), 1), number(figure(runs, "p99"), 1)])
    if rows:
        print_rows(["stored", "events/s", "of (a)", "of memory", "CPU s/M",
                    "p50 ms", "p99 ms"], rows)


def print_named(results, lines):
    """"lines": name of the runs, text, name of the same without names, aim of that,
    aim of a bare COPY."""
    rows = []
    for name, text, plain, plain_aim, aim in lines:
        runs = results.get(name)
        if not runs:
            continue
        rows.append([
            text, number(figure(runs, "rate")),
            compared(runs, results.get(plain, []), plain_aim),
            compared(runs, results.get("a", []), aim),
            number(figure(runs, "cpu"), 2), number(figure(runs, "server"), 2)])
    if rows:
        print_rows(["stored once", "events/s", "of without names", "of (a)", "CPU s/M",
                    "PostgreSQL's"], rows)


def print_accepted(results, lines):
    reference = results.get("b", [])
    rows = []
    for name, text, aim, memory, memory_aim in lines:
        runs = results.get(name)
        if not runs:
            continue
        rows.append([
            text, number(figure(runs, "rate")),
            compared(runs, reference, aim) if name != "b" else "1",
            compared(runs, results.get(memory, []), memory_aim),
            number(figure(runs, "stored"), 2),
            number(figure(runs, "cpu"), 2),
            number(figure(runs, "p50"), 2), number(figure(runs, "p99"), 2)])
    if rows:
        print_rows(["accepted", "requests/s", "of (b)", "of memory", "stored by then",
                    "CPU s/M", "p50 ms", "p99 ms"], rows)


def print_against(results, others, lines):
    """"lines": name of the runs and text; "others": the results of the other build."""
    rows = []
    for name, text in lines:
        runs, other = results.get(name), others.get(name)
        if not runs or not other:
            continue
        rows.append([
            text, number(figure(runs, "rate")), number(figure(other, "rate")),
            compared(runs, other, None),
            number(figure(runs, "cpu"), 2), number(figure(other, "cpu"), 2),
            compared(runs, other, None, "cpu")])
    if rows:
        print_rows(["against another build", "a second", "against", "ratio",
                    "CPU s/M", "against", "ratio"], rows)


def print_memory(results, lines):
    rows = []
    empty = figure(results.get("empty", []), "resident")
    for name, text in lines:
        runs = results.get(name)
        if not runs or empty is None:
            continue

        def mib(key):
            value = figure(runs, key)
            return "" if value is None else number(value / MIB, 1)

        above = (figure(runs, "resident") - empty) / MIB
        aim = "<=" if above <= ABOVE_EMPTY_MAX else ">"
        rows.append([text, mib("buffer"), mib("resident"),
                     f"{number(above, 1)} {aim} {ABOVE_EMPTY_MAX}",
                     mib("shared"), mib("memory files")])
    if rows:
        rows.insert(0, ["empty collectd (write_prometheus only)", "",
                        number(empty / MIB, 1), "0.0", "", ""])
        print_rows(["memory, MiB", "buffer", "resident", "above empty",
                    "of it shared", "memory files"], rows)
