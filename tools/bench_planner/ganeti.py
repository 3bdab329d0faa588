"""Ganeti's htools on the same fleet, where they are installed."""
import os
import shutil
import subprocess
import sys

from measure import run

HAIL = "/usr/lib/ganeti/iallocators/hail"
# Processor seconds that each is given.
MOST = 60


def lines(tools, work, fleet, host):
    """Processor time of evacuating one host and of reboot groups, as rows of a table."""
    hail = HAIL if os.path.exists(HAIL) else shutil.which("hail")
    hbal, hroller = shutil.which("hbal"), shutil.which("hroller")
    if not (hail and hbal and hroller):
        return ["Ganeti's htools are not installed (Debian: `apt-get install ganeti-htools`); not measured."]
    request, text = os.path.join(work, "hail.json"), os.path.join(work, "cluster.data")
    subprocess.run([sys.executable, f"{tools}/fleet_to_ganeti.py", fleet, "--evacuate", host, "--hail", request,
                    "--text", text], check=True)
    rows = ["| Ganeti's | on the same fleet | CPU s | MiB |", "| --- | --- | ---: | ---: |"]
    tools = (("hail", "plans the evacuation of that host", [hail, request]),
             ("hbal -E", "the same, from the text backend", [hbal, "-t", text, "-E", "-C", "-q"]),
             ("hroller", "groups of hosts that may reboot together", [hroller, "-t", text, "--force", "-q", "--no-headers"]))
    for name, what, command in tools:
        code, said, seconds, memory = run(["prlimit", f"--cpu={MOST}", *command])
        # At its limit it is killed.
        stopped = code < 0
        ended = f"over {MOST}" if stopped else f"{seconds:.2f}"
        note = what if code == 0 or stopped else f"{what}; exit code {code}: {said.strip().splitlines()[-1][:60] if said.strip() else ''}"
        rows.append(f"| {name} | {note} | {ended} | {memory} |")
    return rows
