"""Measure the planner and keep the table in docs/benchmarks.md.

  python3 tools/bench_planner [--tools DIR] [--work DIR] [--quick] [--write docs/benchmarks.md]

Needs gen_fleet.py, huawei_to_fleet.py, fleet_to_ganeti.py and check_plan.py of --tools, and the release examples `plan`
and `speed` of crates/planner. Every plan is judged by plancheck, and by check_plan.py where the fleet is not huge. Times
are processor time of one thread, without reading files. Ganeti's htools are measured where they are installed.
"""
import argparse
import os
import statistics
import sys

import ganeti
import measure
import tables
from fleets import Fleets

SCHEMES = ("paper", "parallel", "serial")
COMPARED = ("6x", "12x", "20x", "50x", "mixed")
# Half of the hosts fail: twenty VMs a destination.
CROWDED = (12, 20, 6)
# Hosts, VMs a host, failed, seed, fill, volumes: fifteen fleets of 6 to 80 hosts.
MIXED = (
    (6, 10, 1, 11, 0.6, "cms"), (8, 12, 2, 12, 0.5, "few"), (10, 20, 2, 13, 0.7, "cms"), (12, 16, 3, 14, 0.6, "few"),
    (16, 10, 2, 15, 0.8, "cms"), (18, 30, 3, 16, 0.7, "few"), (20, 20, 4, 17, 0.6, "cms"), (24, 40, 4, 18, 0.7, "cms"),
    (30, 20, 3, 19, 0.85, "few"), (36, 25, 6, 20, 0.7, "cms"), (40, 30, 8, 21, 0.6, "few"), (48, 40, 6, 22, 0.8, "cms"),
    (60, 20, 10, 23, 0.7, "few"), (70, 30, 10, 24, 0.7, "cms"), (80, 40, 16, 25, 0.6, "cms"),
)


def judged_instances(fleets, quick):
    sizes = ((6, 10, 1), (20, 20, 1), (50, 40, 5))
    rows = [fleets.instance(*size, seed, fill, luns)
            for size in sizes for seed in (1, 2, 3) for fill in (0.5, 0.7, 0.85) for luns in ("few", "cms")]
    rows += [fleets.instance(*CROWDED, seed, 0.4, luns) for seed in (1, 2, 3) for luns in ("few", "cms")]
    if quick:
        return rows[::7]
    rows += [fleets.instance(*some, family="mixed, 6 to 80 hosts") for some in MIXED]
    rows.append(fleets.named())
    rows += [fleets.instance(1000, 10, failed, 1, 0.7, luns) for failed in (1, 50, 250) for luns in ("few", "cms")]
    rows.append(fleets.instance(10000, 10, 100, 1, 0.7, "cms"))
    return rows + [fleets.huawei(sequence) for sequence in (1, 2, 3)]


def compare(tools, work, instances, results):
    """How much sooner than each other scheme, and how much sooner any plan could be: all of it, and the two upper classes
    where destinations have much to do."""
    rows = ["| scheme | makespan, median | at most, by the bound | upper two classes, at 8 and more VMs a destination | at most, by the bound |",
            "| --- | ---: | ---: | ---: | ---: |"]
    for scheme in SCHEMES:
        sooner = []
        for instance, result in zip(instances, results):
            if not instance.family.startswith(COMPARED):
                continue
            other = measure.plan(tools, work, instance, scheme)
            if other.unplaced != result.unplaced or not other.ready:
                continue
            # Each pair: how much sooner it is, and how much sooner the bound would be.
            pairs = [(theirs / mine, theirs / mine * own) for theirs, mine, own in zip(other.ready, result.ready, result.own)]
            sooner.append((instance, pairs))
        rows.append(compared(scheme, sooner))
        if scheme == SCHEMES[0]:
            for start in COMPARED:
                some = [(instance, pairs) for instance, pairs in sooner if instance.family.startswith(start)]
                if some:
                    rows.append(compared(f"{scheme}: {some[0][0].family.split(',')[0]}", some))
    return rows


def compared(name, sooner):
    last = [pairs[-1] for _, pairs in sooner]
    upper = [pair for instance, pairs in sooner if instance.crowded for pair in pairs[:2]]
    medians = lambda some: [f"{statistics.median(column):.2f}" for column in zip(*some)] or ["-", "-"]
    shown = medians(last) + medians(upper)
    return f"| {name} ({len(last)} instances) | {' | '.join(shown)} |"


def wide(tools, work, fleets):
    rows = ["| 11 destinations, 44 VMs of 24 volumes | makespan | sooner than serial |", "| --- | ---: | ---: |"]
    serial = measure.plan(tools, work, fleets.wide(1), "serial").ready[-1]
    rows.append(f"| serial | {serial:.0f} s | 1.0x |")
    for maps in (1, 4):
        mine = measure.plan(tools, work, fleets.wide(maps)).ready[-1]
        rows.append(f"| one plan, {maps} at a time | {mine:.0f} s | {serial / mine:.1f}x |")
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tools", default="../shared/tools")
    parser.add_argument("--work", default="target/bench-planner")
    parser.add_argument("--quick", action="store_true", help="a few small fleets only")
    parser.add_argument("--write", metavar="FILE")
    args = parser.parse_args()
    if not os.path.exists(f"{args.tools}/check_plan.py"):
        sys.exit(f"{args.tools}/check_plan.py is not there: say with --tools where the generator and the judge are")
    os.makedirs(args.work, exist_ok=True)
    fleets = Fleets(args.tools, args.work)
    text, sound = report(args.tools, args.work, fleets, args.quick)
    print(text)
    if args.write:
        tables.keep(args.write, text)
    sys.exit(0 if sound else 1)


def report(tools, work, fleets, quick):
    instances = judged_instances(fleets, quick)
    results = []
    for instance in instances:
        results.append(measure.plan(tools, work, instance))
        print(f"{results[-1].name}: {results[-1].ms:.1f} ms, {tables.ratios(results[-1].ratios)}", file=sys.stderr, flush=True)
    parts = [tables.totals(results), tables.families(results)]
    worst = sorted(results, key=lambda result: -max(result.ratios, default=1.0))
    parts.append(["The worst by the judge's bound, and the known ones:", "",
                  *tables.single(worst[:8] + [result for result in results if result.family in ("known", "mixed, 6 to 80 hosts", "Huawei")])])
    parts.append(compare(tools, work, instances, results))
    parts.append(wide(tools, work, fleets))
    if not quick:
        sizes = (1_000, 3_000, 10_000, 30_000, 100_000)
        parts.append(tables.curve([(lost, measure.plan(tools, work, fleets.lost_site(lost), judge=False)) for lost in sizes]))
        fleet = fleets.generated(1000, 10, 1, 0.7, "cms")
        _, said, _, _ = measure.run([measure.SPEED, fleet])
        parts.append(["1,000 hosts with 10,000 VMs:", "", *(f"- {line}" for line in said.splitlines())])
        parts.append(ganeti.lines(tools, work, fleet, "h00500"))
    return "\n\n".join("\n".join(part) for part in parts), not any(result.violations for result in results)


if __name__ == "__main__":
    main()
