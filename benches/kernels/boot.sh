#!/usr/bin/env bash
# Boots a kernel in qemu and measures there. Needs qemu-system-x86_64, a static busybox, cpio, and
# what `cargo build --release -p evenkeel-bench --bins --examples` has built.
#
#   boot.sh [-p full|lazy|none|voluntary] [-b FOLDER] [-x PROGRAM]... KERNEL [COMMAND...]
#
# KERNEL is a bzImage, or a Debian package with one (linux-image-*.deb; from 7.0 on
# linux-binary-*.deb). COMMAND runs inside, with `wake_ups` and `evenkeel-bench` in its path;
# without one, `wake_ups` and the cases `light` and `busy` are measured.
#
#   -p MODE     how the kernel preempts, as far as it leaves that open; by default as it pleases
#   -b FOLDER   where the programs are [target/release]
#   -x PROGRAM  one more, such as a test; in the path by its name without what cargo adds
#
# Without a faster accelerator (QEMU_ACCEL) all is emulated, and slow: compare what was measured in
# the same way. qemu 7.2 now and then lets one CPU see code that another is in the midst of patching
# (`Oops: int3`): the fault is the emulator's, and the next run will do.
set -euo pipefail

usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 2; }

preempt= bin=target/release programs=()
while getopts p:b:x: option; do
    case $option in
        p) preempt=$OPTARG ;;
        b) bin=$OPTARG ;;
        x) programs+=("$OPTARG") ;;
        *) usage ;;
    esac
done
shift $((OPTIND - 1))
[ $# -ge 1 ] || usage
kernel=$1
shift
commands=("$*")
if [ $# -eq 0 ]; then
    mixed="light/evenkeel,light/evenkeel-alone,busy/evenkeel,busy/evenkeel-alone"
    commands=(wake_ups "EVENKEEL_SLOWNESS=8 evenkeel-bench --only $mixed --secs 10")
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [[ $kernel == *.deb ]]; then
    mkdir "$work/deb"
    dpkg-deb --fsys-tarfile "$kernel" | tar -x -C "$work/deb" --wildcards '*/vmlinuz*'
    kernel=$(find "$work/deb" -type f -name 'vmlinuz*' | head -n 1)
    [ -n "$kernel" ] || { echo "boot.sh: no kernel in that package" >&2; exit 1; }
fi

# The programs, and the libraries that they are linked with, where they look for them.
root=$work/root
mkdir -p "$root"/{bin,proc,sys,dev,tmp,root}
for program in "$bin/evenkeel-bench" "$bin/examples/wake_ups" "${programs[@]}"; do
    name=$(basename "$program" | sed 's/-[0-9a-f]\{16\}$//')
    cp "$program" "$root/bin/$name"
done
# One that is linked statically has none, which is an error to ldd.
{ ldd "$root"/bin/* 2>/dev/null || true; } | grep -o '/[^ ]*\.so[^ ]*' | sort -u |
    while read -r library; do
        install -D "$library" "$root$library"
    done
cp "$(command -v busybox)" "$root/bin/busybox"

{
    cat <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mount -t debugfs debug /sys/kernel/debug 2>/dev/null
ip link set lo up
echo "== $(uname -r), preempt: $(cat /sys/kernel/debug/sched/preempt 2>/dev/null || uname -v)"
INIT
    for command in "${commands[@]}"; do
        # The console counts as a terminal, and is a slow one.
        printf 'cat <<"END"\n-- %s\nEND\n{ %s\n} 2>&1 | cat\n' "$command" "$command"
    done
    printf 'poweroff -f\n'
} >"$root/init"
chmod +x "$root/init"
(cd "$root" && find . | cpio --quiet -o -H newc | gzip -1) >"$work/initramfs"

accel=${QEMU_ACCEL:-tcg,thread=multi}
qemu-system-x86_64 -accel "$accel" -cpu max -smp 2 -m 2048 -nographic -no-reboot \
    -kernel "$kernel" -initrd "$work/initramfs" \
    -append "console=ttyS0 quiet panic=-1 ${preempt:+preempt=$preempt}" |
    tr -d '\r' | sed -n '/== \|panic/,$p' | sed 's/^.*== /== /' | tee "$work/output"
if ! grep -q 'reboot: Power down' "$work/output"; then
    echo "boot.sh: the kernel came to no good end" >&2
    exit 1
fi
