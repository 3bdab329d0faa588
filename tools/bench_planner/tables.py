"""From results to text."""
import statistics

BEGIN, END = "<!-- planner: begin -->", "<!-- planner: end -->"


def ratios(values):
    return " ".join(f"{value:.2f}" for value in values)


def summary(results, key):
    every = [ratio for result in results for ratio in getattr(result, key)]
    last = [getattr(result, key)[-1] for result in results if getattr(result, key)]
    return f"median {statistics.median(every):.3f} | {max(every):.2f} | {statistics.median(last):.3f}"


def totals(results):
    over = sum(ratio > 1.3 for result in results for ratio in result.ratios)
    loose = sum(ratio > 1.3 and own <= 1.3 for result in results for ratio, own in zip(result.ratios, result.own))
    count = sum(len(result.ratios) for result in results)
    return [
        f"{len(results)} instances, {count} classes; violations: {sum(result.violations for result in results)}.", "",
        "| ready, to the lower bound | over all classes | worst | makespan, median |", "| --- | --- | ---: | ---: |",
        f"| of the judge | {summary(results, 'ratios')} |", f"| of the planner | {summary(results, 'own')} |",
        "| at most | median 1.03 | 1.30 | 1.06 |", "",
        f"{over} of {count} are over 1.30 by the judge's bound; of these {loose} are not by the planner's better one.",
    ]


def families(results):
    rows = ["| fleets | instances | CPU ms, median | judge's: median, worst | planner's: median, worst | left out of lost | moved | stopped |",
            "| --- | ---: | ---: | --- | --- | --- | ---: | ---: |"]
    for family in dict.fromkeys(result.family for result in results):
        mine = [result for result in results if result.family == family]
        two = [[ratio for result in mine for ratio in getattr(result, key)] for key in ("ratios", "own")]
        shown = " | ".join(f"{statistics.median(some):.3f}, {max(some):.2f}" for some in two)
        rows.append(f"| {family} | {len(mine)} | {statistics.median(result.ms for result in mine):.1f} | {shown} "
                    f"| {sum(result.unplaced for result in mine)} of {sum(result.lost for result in mine)} "
                    f"| {sum(result.moved for result in mine)} | {sum(result.stopped for result in mine)} |")
    return rows


def single(results):
    rows = ["| instance | CPU ms | judge's, by class | planner's, by class | left out | moved | stopped |",
            "| --- | ---: | --- | --- | ---: | ---: | ---: |"]
    for result in results:
        rows.append(f"| {result.name} | {result.ms:.1f} | {ratios(result.ratios)} | {ratios(result.own)} "
                    f"| {result.unplaced} | {result.moved} | {result.stopped} |")
    return rows


def curve(results):
    rows = ["| lost | CPU ms | µs a VM | MiB, the file's reading included | left out |", "| --- | ---: | ---: | ---: | ---: |"]
    for lost, result in results:
        rows.append(f"| {result.name} | {result.ms:.0f} | {result.ms * 1000 / lost:.1f} | {result.memory_mib} | {result.unplaced} |")
    return rows


def keep(path, text):
    """Puts the text between its marks in a document."""
    with open(path) as file:
        old = file.read()
    if BEGIN not in old:
        old = f"{old.rstrip()}\n\n## Planner\n\n{BEGIN}\n{END}\n"
    head, rest = old.split(BEGIN, 1)
    with open(path, "w") as file:
        file.write(f"{head}{BEGIN}\n{text}\n{END}{rest.split(END, 1)[1]}")
