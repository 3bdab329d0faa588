"""The fleets that the planner is measured on, and what fails in each."""
import json
import os
import random
import subprocess
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Instance:
    """A fleet and the hosts that fail, as the example `plan` takes them: names or beginnings of names."""

    family: str
    name: str
    path: str
    fail: str
    crowded: bool = False
    """Whether 8 or more VMs are lost for each host that is left."""


class Fleets:
    """Makes fleets once and keeps them in a folder."""

    def __init__(self, tools, work):
        self.tools = tools
        self.work = work

    def _script(self, path, script, *arguments):
        if not os.path.exists(path):
            with open(path + ".part", "w") as out:
                subprocess.run([sys.executable, f"{self.tools}/{script}", *map(str, arguments)], stdout=out, check=True)
            os.rename(path + ".part", path)
        return path

    def generated(self, hosts, vms, seed, fill, luns):
        path = os.path.join(self.work, f"gen-{hosts}x{vms}-{seed}-{fill}-{luns}.json")
        return self._script(path, "gen_fleet.py", "--hosts", hosts, "--vms-per-host", vms, "--seed", seed,
                            "--fill", fill, "--luns", luns)

    def instance(self, hosts, vms, failed, seed, fill, luns, family=None):
        """A generated fleet, with so many hosts drawn by the seed."""
        drawn = sorted(random.Random(f"{seed}/{failed}").sample(range(hosts), failed))
        return Instance(
            family or f"{hosts:,}x{vms}, {failed} failed, {luns}",
            f"{hosts}x{vms}, {failed} failed, seed {seed}, fill {fill}, {luns}",
            self.generated(hosts, vms, seed, fill, luns),
            ",".join(f"h{number:05d}" for number in drawn),
            vms * failed >= 8 * (hosts - failed),
        )

    def named(self):
        """The instance whose figures under a plain list scheduler are known."""
        names = "h00003,h00011,h00020,h00031,h00044"
        return Instance("known", "50x40, seed 7, five named", self.generated(50, 40, 7, 0.7, "cms"), names)

    def huawei(self, sequence):
        path = os.path.join(self.work, f"huawei-c{sequence}.json")
        self._script(path, "huawei_to_fleet.py", f"{self.tools}/../data/huawei-topology/vms-c{sequence}.csv")
        return Instance("Huawei", f"Huawei c{sequence}, whole site", path, "lost-")

    def lost_site(self, lost):
        """Half of a fleet's hosts fail, with so many VMs."""
        hosts = lost // 5
        fail = ",".join(f"h{number:05d}" for number in range(0, hosts, 2))
        return Instance("curve", f"{lost:,} VMs of {hosts // 2:,} hosts", self.generated(hosts, 10, 1, 0.45, "cms"), fail)

    def wide(self, maps):
        """One host of 44 VMs with 24 volumes each, and 11 others that map so many volumes at once."""
        path = os.path.join(self.work, f"wide-{maps}.json")
        with open(path, "w") as out:
            json.dump(wide_fleet(maps), out)
        return Instance("wide", f"11 destinations, 24 volumes a VM, {maps} at a time", path, "lost")


def wide_fleet(maps):
    capacity = {"cpu_milli": 64_000, "memory_mib": 262_144}
    host = {"state": "up", "site": "s1", "labels": {}, "capacity": capacity, "max_volumes": 2_000}
    vms, volumes = [], []
    for number in range(44):
        names = [f"vm{number}-d{disk}" for disk in range(24)]
        volumes += [{"name": name, "array": f"a{disk % 2}", "size_gib": 100} for disk, name in enumerate(names)]
        vms.append({"name": f"vm{number}", "host": "lost", "demand": {"cpu_milli": 1_000, "memory_mib": 4_096},
                    "class": "gold", "volumes": names, "labels": {}, "requires": {}, "configure_s": 3.0, "start_s": 60.0})
    return {
        "format": "lifeboat/fleet/v1", "hosts": [{"name": name, **host} for name in ["lost", *(f"h{n}" for n in range(11))]],
        "vms": vms, "volumes": volumes, "arrays": [{"name": f"a{n}", "max_ops": 64, "remap_s": 12.0} for n in range(2)],
        "classes": [{"name": "gold", "rto_s": 1200.0}], "groups": [], "rules": [],
        "limits": {"starts_per_host": 1, "maps_per_host": maps, "fence_s": 15.0},
    }
