//! Fleets for tests.

use lifeboat_model::{VmName, spec::Declaration};

use super::vm;

/// Hosts `h1`… with a fence each, VMs `v1`… of two volumes each, in turn on the hosts and in turn gold, silver, bronze.
pub fn toml(hosts: usize, vms: usize) -> String {
    use std::fmt::Write as _;
    let mut text = String::from(
        "[limits]\nstarts_per_host = 2\nmaps_per_host = 4\nfence_s = 1\n\
         [[class]]\nname = \"gold\"\nrto_s = 60\n[[class]]\nname = \"silver\"\nrto_s = 120\n[[class]]\nname = \"bronze\"\nrto_s = 600\n\
         [[array]]\nname = \"a1\"\nmax_ops = 6\nremap_s = 0.1\nbackend = { kind = \"shared\", directory = \"/volumes\" }\n",
    );
    for h in 1..=hosts {
        writeln!(
            text,
            "[[host]]\nname = \"h{h}\"\ncapacity = {{ cpu_milli = 16000, memory_mib = 16384 }}\n\
             [[host.fence]]\nname = \"bmc-h{h}\"\nkind = \"redfish\"\nurl = \"https://192.0.2.{h}\"\nuser = \"u\"\npassword_file = \"/p\"\npin_sha256 = \"{}\"",
            "0".repeat(64)
        )
        .expect("text");
    }
    for v in 1..=vms {
        let class = ["gold", "silver", "bronze"][(v - 1) % 3];
        let host = (v - 1) % hosts + 1;
        writeln!(
            text,
            "[[volume]]\nname = \"v{v}-d0\"\narray = \"a1\"\n[[volume]]\nname = \"v{v}-d1\"\narray = \"a1\"\n\
             [[vm]]\nname = \"v{v}\"\nhost = \"h{host}\"\nclass = \"{class}\"\ndemand = {{ cpu_milli = 1000, memory_mib = 1024 }}\n\
             volumes = [\"v{v}-d0\", \"v{v}-d1\"]\nstart_s = 4\ncheck = {{ kind = \"tcp\", address = \"192.0.2.1:7\" }}"
        )
        .expect("text");
    }
    text
}

pub fn declaration(text: &str) -> Declaration {
    toml::from_str(text).expect("a declaration")
}

pub fn names(count: usize) -> Vec<VmName> {
    (1..=count).map(|v| vm(&format!("v{v}"))).collect()
}
