#!/bin/sh
# The first program of the machine: runs the tests of /plans/$PLAN (a program and a test in each
# line), and says what became of each on the console, in lines that start with @vm. The kernel makes
# a variable of PLAN=... on its command line.
bb=/bin/busybox
$bb mkdir -p /bin /proc /sys /dev /tmp
$bb --install -s /bin
export PATH=/tools:/bin HOME=/tmp RUST_BACKTRACE=0 CONNSCOPE_EMULATED=1

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tracefs tracefs /sys/kernel/tracing
mount -t securityfs securityfs /sys/kernel/security
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
# Programs of ours lie where the host has them, which may be in /tmp.
mkdir /under && mount --bind /tmp /under
mount -t tmpfs tmpfs /tmp
for folder in /under/*; do
    [ -d "$folder" ] && mkdir "/tmp/${folder##*/}" && mount --bind "$folder" "/tmp/${folder##*/}"
done
ip link set lo up

# A warning of the kernel's during a test is a failure of that test.
echo 1 >/proc/sys/kernel/panic_on_warn

# The console turns \n into \r\n, and libtest ends some lines without either.
uptime() { cut -d' ' -f1 /proc/uptime; }
echo "@vm kernel $(uname -r)"
while read -r program test; do
    echo "@vm begin $(uptime) $program $test"
    timeout -k 5 100 "/tests/$program" --exact "$test" --test-threads=1 2>&1
    status=$?
    for log in /tmp/connscope-verifier-*; do
        [ -e "$log" ] && tail -n 40 "$log" && rm "$log"
    done
    echo
    echo "@vm end $(uptime) $status"
done <"/plans/$PLAN"
echo "@vm done"
poweroff -f
