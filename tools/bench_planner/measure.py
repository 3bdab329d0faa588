"""Runs the planner and its judge on an instance."""
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field

PLAN = "target/release/examples/plan"
SPEED = "target/release/examples/speed"


@dataclass
class Result:
    name: str
    family: str
    ms: float
    """Processor time of planning, without reading the file."""
    memory_mib: int
    """The most that the process had, the file included."""
    lost: int = 0
    unplaced: int = 0
    moved: int = 0
    stopped: int = 0
    violations: int = 0
    ratios: list = field(default_factory=list)
    """By class: ready, to the judge's lower bound."""
    own: list = field(default_factory=list)
    """By class: ready, to the planner's lower bound."""
    ready: list = field(default_factory=list)
    """By class, in seconds."""


def run(command):
    """A command's exit code, what it said, its processor seconds and its highest memory in MiB."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, said, used.ru_utime + used.ru_stime, used.ru_maxrss // 1024


def plan(tools, work, instance, scheme="lifeboat", judge=True, effort=None):
    """Plans an instance and has the plan judged: by check_plan.py, or, where that would take long, by plancheck alone."""
    out = os.path.join(work, "plan.json")
    options = ["--effort", str(effort)] if effort is not None else []
    code, said, _, memory = run([PLAN, instance.path, "--fail", instance.fail, "--scheme", scheme, *options,
                                 *(["--out", out] if judge else [])])
    if code:
        sys.exit(f"{instance.name}: {said}")
    ms = float(re.search(r"plan ([0-9.]+) ms", said).group(1))
    result = Result(instance.name, instance.family, ms, memory)
    result.unplaced, result.violations = map(int, re.search(r"(\d+) unplaced, (\d+) violations", said).groups())
    if judge:
        hold(tools, instance, out, result)
    return result


def hold(tools, instance, out, result):
    done = subprocess.run([sys.executable, f"{tools}/check_plan.py", instance.path, out, "--json"],
                          capture_output=True, text=True)
    judged = json.loads(done.stdout)
    with open(out) as file:
        own = {row["name"]: row for row in json.load(file)["summary"]["classes"]}
    for row in judged["classes"]:
        mine = own[row["class"]]
        result.ratios.append(row["ratio"])
        result.own.append(mine["ready_s"] / mine["lower_bound_s"])
        result.ready.append(row["ready_s"])
    result.lost, result.unplaced = judged["lost"], judged["unplaced"]
    result.moved, result.stopped = judged["migrated"], judged["stopped"]
    result.violations += judged["violations"]
