//! A Linux kernel for the guests, taken out of Debian's package without installing it.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    LabError,
    process::{run, run_command},
};

/// The package that depends on the newest kernel for virtual machines.
const META: &str = "linux-image-cloud-amd64";

/// What the guest needs that the kernel may have as modules.
const WANTED: &[&str] = &["virtio_pci", "virtio_blk", "virtio_net"];

/// Name of the newest kernel package.
pub(super) fn newest_package() -> Result<String, LabError> {
    let what = "find the package of Debian's cloud kernel";
    let told = run(what, "apt-cache", &["depends", META])?;
    let names = told.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    names.map(str::to_owned).find(|name| name.starts_with("linux-image-")).ok_or_else(|| LabError::Program {
        operation: what.to_owned(),
        detail: format!(
            "apt knows no {META}; run `apt-get update`, or put a kernel's package into the cache directory"
        ),
    })
}

/// Downloads a package and unpacks it into a directory.
pub(super) fn unpack(package: &str, into: &Path) -> Result<(), LabError> {
    let what = format!("download {package}");
    let scratch = tempfile::tempdir().map_err(LabError::system("make a directory for the download"))?;
    // apt's own user must be able to see into it.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(scratch.path(), open).map_err(LabError::system("open the directory of the download"))?;
    let mut download = Command::new("apt-get");
    download.args(["--quiet", "download", package]).current_dir(scratch.path());
    run_command(&what, &mut download)?;
    let files = fs::read_dir(scratch.path()).map_err(LabError::system(&*what))?.flatten().map(|entry| entry.path());
    let deb = files.into_iter().find(|path| path.extension().is_some_and(|end| end == "deb"));
    let deb = deb.ok_or_else(|| LabError::Program { operation: what, detail: "apt-get left no package".to_owned() })?;
    run(&format!("unpack {package}"), "dpkg-deb", &[Path::new("-x"), &deb, into]).map(drop)
}

/// The kernel in an unpacked package.
pub(super) fn kernel(root: &Path) -> Result<PathBuf, LabError> {
    let mut files = walk(&root.join("boot"))?.into_iter();
    files.find(|path| file_name(path).starts_with("vmlinuz-")).ok_or_else(|| LabError::Program {
        operation: format!("find the kernel in {}", root.display()),
        detail: "there is no boot/vmlinuz-*".to_owned(),
    })
}

/// A module, with its name and its content.
pub(super) type Module = (String, Vec<u8>);

/// The modules that the guest needs, each after those that it needs itself.
pub(super) fn modules(root: &Path) -> Result<Vec<Module>, LabError> {
    let files: Vec<PathBuf> = ["lib/modules", "usr/lib/modules"]
        .iter()
        .map(|folder| root.join(folder))
        .filter(|folder| folder.is_dir())
        .map(|folder| walk(&folder))
        .collect::<Result<Vec<_>, _>>()?
        .concat();
    let mut ordered = Vec::new();
    let mut seen = BTreeSet::new();
    for name in WANTED {
        visit(name, &files, &mut seen, &mut ordered)?;
    }
    Ok(ordered)
}

/// Adds a module after those that it needs. One without a file is built into the kernel.
fn visit(
    name: &str,
    files: &[PathBuf],
    seen: &mut BTreeSet<String>,
    ordered: &mut Vec<Module>,
) -> Result<(), LabError> {
    if !seen.insert(name.to_owned()) {
        return Ok(());
    }
    let Some(file) = files.iter().find(|path| module_name(path).as_deref() == Some(name)) else { return Ok(()) };
    let content = load(file)?;
    for needed in needs(&content) {
        visit(&needed, files, seen, ordered)?;
    }
    ordered.push((name.to_owned(), content));
    Ok(())
}

fn module_name(path: &Path) -> Option<String> {
    let name = file_name(path);
    let stem = [".ko", ".ko.xz", ".ko.zst", ".ko.gz"].iter().find_map(|end| name.strip_suffix(end))?;
    Some(stem.replace('-', "_"))
}

fn load(file: &Path) -> Result<Vec<u8>, LabError> {
    let program = match file.extension().and_then(|end| end.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        _ => return fs::read(file).map_err(LabError::system(format!("read {}", file.display()))),
    };
    let what = format!("unpack {}", file.display());
    let output = Command::new(program).arg("-dc").arg(file).output().map_err(LabError::system(&*what))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(LabError::Program { operation: what, detail: format!("{program} ended with {}", output.status) })
}

/// What a module says in its `.modinfo` that it needs.
fn needs(content: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = content.windows(KEY.len()).position(|window| window == KEY) else { return Vec::new() };
    let text = content[at + KEY.len()..].split(|byte| *byte == 0).next().unwrap_or_default();
    let names = String::from_utf8_lossy(text);
    names.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// All files below a folder, in order.
fn walk(folder: &Path) -> Result<Vec<PathBuf>, LabError> {
    let failed = |error: io::Error| LabError::system(format!("read {}", folder.display()))(error);
    let mut entries: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        entries.push(entry.map_err(failed)?.path());
    }
    entries.sort();
    let mut files = Vec::new();
    for path in entries {
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            files.extend(walk(&path)?);
        } else {
            files.push(path);
        }
    }
    Ok(files)
}
