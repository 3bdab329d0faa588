#!/bin/sh
# Installs what building Lifeboat and running its lab need, on Debian 12 or 13. Says what and why; changes nothing when all
# is there. Without root it names what is missing and how to get it, and ends with 1.
#
#   tools/install-deps.sh [--check]      --check: only look, install nothing
set -eu

qemu_wanted=10
check_only=false
[ "${1:-}" = --check ] && check_only=true

# program, package (alternatives after `|`), why
needs() {
  cat <<'LIST'
cc                   gcc                              builds crates that have C in them, and links
make                 make                             runs `make demo` and `make test`
qemu-system-x86_64   qemu-system-x86                  runs VMs
qemu-storage-daemon  qemu-utils                       the lab's array
qemu-img             qemu-utils                       looks at volumes in tests
ipmi_sim             openipmi                         the IPMI side of the lab's BMCs
ipmitool             ipmitool                         fence_ipmilan speaks through it
fence_ipmilan        fence-agents-ipmilan|fence-agents  fences over IPMI
fence_redfish        fence-agents-redfish|fence-agents  a second opinion on the lab's Redfish, in tests
busybox              busybox-static                   the lab's guests
ip                   iproute2                         the lab's networks
nsenter              util-linux                       tests look into the lab's networks
check_http           monitoring-plugins-basic         plugins that look at VMs, in tests
sqlite3              sqlite3                          reads rasdaemon's database, in tests
xz                   xz-utils                         modules of Debian 13's kernel are packed with it
LIST
}

say() { printf '%s\n' "$*"; }
has() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ] || [ -x "/usr/lib/nagios/plugins/$1" ]; }

id=unknown version=0 codename=
if [ -r /etc/os-release ]; then
  # shellcheck disable=SC1091
  . /etc/os-release
  id=${ID:-unknown} version=${VERSION_ID:-0} codename=${VERSION_CODENAME:-}
fi

# The first of some alternatives that apt knows.
known() {
  first=${1%%|*}
  for package in $(printf %s "$1" | tr '|' ' '); do
    if apt-cache show --no-all-versions "$package" >/dev/null 2>&1; then
      printf %s "$package"
      return
    fi
  done
  printf %s "$first"
}

qemu_major() {
  qemu-system-x86_64 --version 2>/dev/null | sed -n 's/.*version \([0-9]*\)\..*/\1/p;q'
}

collect() {
  packages= reasons=
  while read -r program package why; do
    if has "$program"; then continue; fi
    package=$(known "$package")
    reasons="$reasons
  $program ($package): $why"
    case " $packages " in *" $package "*) ;; *) packages="$packages $package" ;; esac
  done <<LIST
$(needs)
LIST
  old_qemu=false
  if has qemu-system-x86_64 && [ "$(qemu_major)" -lt "$qemu_wanted" ]; then
    old_qemu=true
    packages="$packages qemu-system-x86 qemu-utils"
    reasons="$reasons
  QEMU $qemu_wanted (qemu-system-x86, qemu-utils): this one is $(qemu_major); guests' memory must be shareable from the start"
  fi
  # A static C library comes with the compiler's headers.
  if ! echo 'int main(void) { return 0; }' | cc -static -x c -o /dev/null - 2>/dev/null; then
    case " $packages " in *" libc6-dev "*) ;; *) packages="$packages libc6-dev" ;; esac
    reasons="$reasons
  static linking (libc6-dev): the guest's program stands alone"
  fi
}

rust_hint() {
  if ! has cargo; then
    say "cargo is not installed: get rustup (its site, or the package rustup of Debian 13); it fetches the pinned toolchain by itself."
    return 1
  fi
  has cargo-nextest || say "cargo-nextest is not installed; the tests want it: cargo install --locked cargo-nextest"
}

# Whether apt offers a QEMU that is new enough, from any suite that it knows.
offers_qemu() {
  apt-cache madison qemu-system-x86 2>/dev/null | sed 's/^[^|]*| *\([0-9]*:\)\{0,1\}\([0-9]*\).*/\2/' |
    awk -v least="$qemu_wanted" '$1 >= least { found = 1 } END { exit !found }'
}

has_backports() {
  apt-get indextargets --format '$(RELEASE)' 'Created-By: Packages' | grep -qx "$codename-backports"
}

# Adds the backports of the mirror that this system uses already.
add_backports() {
  mirror=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
    awk -v suite="$codename" '$1 == suite { print $2; exit }')
  if [ -z "$mirror" ]; then
    say "This system's apt sources name no mirror of $codename, so that of its backports is not known; add it by hand."
    exit 1
  fi
  keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  signed=
  [ -r "$keyring" ] && signed="[signed-by=$keyring] "
  file=/etc/apt/sources.list.d/lifeboat-backports.list
  say "Adding $codename-backports of $mirror in $file: QEMU there is $qemu_wanted or newer, in $codename it is not."
  say "deb $signed$mirror $codename-backports main" >"$file"
}

install() {
  case $id:$version in
    debian:12 | debian:13) ;;
    *)
      say "This is $id $version; only Debian 12 and 13 are known here. Install by hand what is named above."
      exit 1
      ;;
  esac
  apt-get update -qq
  from=
  case $packages in
    *qemu*)
      if ! offers_qemu; then
        has_backports || add_backports
        apt-get update -qq
      fi
      # Backports are taken only where they are asked for.
      case $version in 12) from="--target-release $codename-backports" ;; esac
      ;;
  esac
  collect
  qemu= others=
  for package in $packages; do
    case $package in qemu*) qemu="$qemu $package" ;; *) others="$others $package" ;; esac
  done
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086
  [ -z "$qemu" ] || apt-get install -y --no-install-recommends $from $qemu
  # shellcheck disable=SC2086
  [ -z "$others" ] || apt-get install -y --no-install-recommends $others
}

collect
if [ -z "$packages" ]; then
  rust_hint || exit 1
  say "Everything that Lifeboat and its lab need is installed."
  exit 0
fi
say "Missing:$reasons"
if $check_only || [ "$(id -u)" -ne 0 ]; then
  say ""
  say "To install it, as root:  $0"
  say "or by hand:  apt-get install --no-install-recommends$packages"
  case $id:$version in debian:12) case $packages in *qemu*) say "(QEMU $qemu_wanted is in $codename-backports.)" ;; esac ;; esac
  rust_hint || true
  exit 1
fi
install
collect
if [ -n "$packages" ]; then
  say "Still missing after the installation:$reasons"
  exit 1
fi
rust_hint || exit 1
say "Everything that Lifeboat and its lab need is installed."
