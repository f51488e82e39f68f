#!/bin/sh
# Becomes the reference server `virtual-threads`. runtime is the folder of the Java runtime and of the C
# library that it was built for: of a newer Debian than this host's may be, unpacked and not installed.
runtime=@RUNTIME@

# What runs on carrier threads is as deep as their stacks, of which the runtime wants 256 KiB at least.
stack=1048576
previous=
for argument; do
    [ "$previous" != --stack-size ] || stack=$argument
    previous=$argument
done
[ "$stack" -ge 262144 ] || stack=262144

# UseSerialGC: hardly anything but connections is allocated, and one thread that collects now and then
#   takes the least memory, and no CPU beside the requests.
# Xmn, Xms: a small young generation, for what is allocated to show in what is resident, and a heap that
#   starts small and grows with the connections.
# UseCompactObjectHeaders: a connection is a few dozen small objects.
# -UsePerfData: no file in /tmp. -XX:+DisableAttachMechanism: no file there either, on SIGQUIT.
# LC_ALL: the server knows errors by what the C library calls them.
# enable-native-access: WORK, TOUCH and CRASH are system calls that Java has no other way to.
export LC_ALL=C
exec "$runtime/connscope-target" --library-path "$runtime/@LIBRARIES@" "$runtime/@HOME@/bin/java" \
    -XX:+UseSerialGC -Xms32m -Xmn16m -XX:+UseCompactObjectHeaders -XX:-UsePerfData \
    -XX:+DisableAttachMechanism -Xss"$stack" --enable-native-access=ALL-UNNAMED \
    -cp "@JAR@" Main "$@"
