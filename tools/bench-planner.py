#!/usr/bin/env python3
"""Measure the planner and keep the table in docs/benchmarks.md.

  bench-planner.py [--tools DIR] [--work DIR] [--quick] [--write docs/benchmarks.md]

Needs gen_fleet.py, huawei_to_fleet.py and check_plan.py of --tools, and the release examples `plan` and `speed` of
crates/planner. Every plan is judged by check_plan.py. Times are processor time of one thread, without reading files.
"""
import argparse, json, os, random, re, statistics, subprocess, sys

BEGIN, END = "<!-- planner: begin -->", "<!-- planner: end -->"

def run(*command, out=None):
    done = subprocess.run(command, stdout=out or subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return done.returncode, done.stdout, done.stderr

def instances(quick):
    small = [(hosts, vms, failed, seed, fill, luns) for hosts, vms, failed in ((6, 10, 1), (20, 20, 1), (50, 40, 5))
             for seed in (1, 2) for fill in (0.5, 0.7, 0.85) for luns in ("few", "cms")]
    if quick:
        return small[::5]
    large = [(1000, 10, failed, 1, 0.7, luns) for failed in (1, 50, 250) for luns in ("few", "cms")]
    return small + large + [(10000, 10, 100, 1, 0.7, "cms")]

def fleet_of(tools, work, row):
    hosts, vms, failed, seed, fill, luns = row
    path = os.path.join(work, f"gen-{hosts}x{vms}-{seed}-{fill}-{luns}.json")
    if not os.path.exists(path):
        with open(path + ".part", "w") as out:
            run(sys.executable, f"{tools}/gen_fleet.py", "--hosts", str(hosts), "--vms-per-host", str(vms), "--seed", str(seed),
                "--fill", str(fill), "--luns", luns, out=out)
        os.rename(path + ".part", path)
    names = random.Random(f"{seed}/{failed}").sample(range(hosts), failed)
    return path, ",".join(f"h{n:05d}" for n in sorted(names))

def huawei(tools, work, sequence):
    path = os.path.join(work, f"huawei-c{sequence}.json")
    if not os.path.exists(path):
        with open(path, "w") as out:
            run(sys.executable, f"{tools}/huawei_to_fleet.py", f"{tools}/../data/huawei-topology/vms-c{sequence}.csv", out=out)
    return path, "lost-"

def measure(tools, work, name, path, fail, scheme="lifeboat"):
    plan = os.path.join(work, "plan.json")
    code, _, said = run("target/release/examples/plan", path, "--fail", fail, "--out", plan, "--scheme", scheme)
    if code:
        sys.exit(f"{name}: {said}")
    _, judged, _ = run(sys.executable, f"{tools}/check_plan.py", path, plan, "--json")
    judged = json.loads(judged)
    own = {c["name"]: c for c in json.load(open(plan))["summary"]["classes"]}
    ms = float(re.search(r"plan ([0-9.]+) ms", said).group(1))
    ratios = [row["ratio"] for row in judged["classes"]]
    tight = [own[row["class"]]["ready_s"] / own[row["class"]]["lower_bound_s"] for row in judged["classes"]]
    return {"name": name, "ms": ms, "ratios": ratios, "tight": tight, "ready": [row["ready_s"] for row in judged["classes"]],
            **{k: judged[k] for k in ("violations", "unplaced", "stopped", "migrated")}}

def summary(rows, key):
    every = [ratio for row in rows for ratio in row[key]]
    last = [row[key][-1] for row in rows if row[key]]
    return f"median {statistics.median(every):.3f}, worst {max(every):.3f}; makespan median {statistics.median(last):.3f}"

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--tools", default="../shared/tools"); p.add_argument("--work", default="target/bench-planner")
    p.add_argument("--quick", action="store_true"); p.add_argument("--write")
    a = p.parse_args()
    if not os.path.exists(f"{a.tools}/check_plan.py"):
        sys.exit(f"{a.tools}/check_plan.py is not there: say with --tools where the generator and the judge are")
    os.makedirs(a.work, exist_ok=True)
    rows, sooner = [], []
    for row in instances(a.quick):
        name = "{}x{}, {} failed, seed {}, fill {}, {}".format(*row)
        path, fail = fleet_of(a.tools, a.work, row)
        rows.append(measure(a.tools, a.work, name, path, fail))
        print(rows[-1], flush=True)
        if row[0] <= 50:
            paper = measure(a.tools, a.work, name, path, fail, "paper")
            if paper["ready"] and rows[-1]["ready"] and not paper["unplaced"] and not rows[-1]["unplaced"]:
                sooner.append(paper["ready"][-1] / rows[-1]["ready"][-1])
    for sequence in () if a.quick else (1, 2, 3):
        rows.append(measure(a.tools, a.work, f"Huawei c{sequence}, whole site", *huawei(a.tools, a.work, sequence)))
    lines = ["| instance | ms | ratio to the judge's bound, by class | to the planner's own bound | left out | moved | stopped | violations |", "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    show = lambda ratios: " ".join(f"{ratio:.2f}" for ratio in ratios)
    lines += ["| {name} | {ms:.1f} | {r} | {t} | {unplaced} | {migrated} | {stopped} | {violations} |".format(r=show(row["ratios"]), t=show(row["tight"]), **row) for row in rows]
    lines += ["", f"To the judge's bound: {summary(rows, 'ratios')}. To the planner's own: {summary(rows, 'tight')}."]
    if sooner:
        lines.append(f"Makespan against the paper's scheme at the same limits: {statistics.median(sooner):.2f}x sooner at the median of {len(sooner)}.")
    if not a.quick:
        _, said, _ = run("target/release/examples/speed", fleet_of(a.tools, a.work, (1000, 10, 1, 1, 0.7, "cms"))[0])
        lines += ["", "1,000 hosts with 10,000 VMs:", "", *("- " + line for line in said.splitlines())]
    text = "\n".join(lines)
    print(text)
    if a.write:
        old = open(a.write).read() if os.path.exists(a.write) else "# Benchmarks\n"
        if BEGIN not in old:
            old = f"{old.rstrip()}\n\n## Planner\n\n{BEGIN}\n{END}\n"
        head, rest = old.split(BEGIN, 1)
        open(a.write, "w").write(f"{head}{BEGIN}\n{text}\n{END}{rest.split(END, 1)[1]}")
    sys.exit(1 if any(row["violations"] for row in rows) else 0)

main()
