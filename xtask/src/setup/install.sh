# install.sh SERVICES PACKAGE...: installs the packages, and keeps the services they bring (a list
# in one argument) from running, now and at the next boot. Run as root by sh.
set -eu
services=$1
shift

export DEBIAN_FRONTEND=noninteractive
export NEEDRESTART_MODE=l # Ubuntu: list services to restart, restart none

# Not ours to touch: a service that the host had before, under the same name.
brought=
for service in $services; do
    [ -e "/etc/systemd/system/$service" ] || brought="$brought $service"
done
services=$brought

# A host with a policy of its own keeps it.
policy=/usr/sbin/policy-rc.d
if [ -n "$services" ] && [ ! -e "$policy" ] && [ ! -L "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    {
        echo '#!/bin/sh'
        echo '# Temporary: packages being installed do not start these services.'
        for service in $services; do
            # A policy is asked with or without the suffix.
            echo "case \" \$* \" in *\" ${service%.service} \"*|*\" $service \"*) exit 101 ;; esac"
        done
        echo 'exit 0'
    } >"$policy"
    chmod 755 "$policy"
fi

# Wait for another apt (a fresh machine upgrades itself) rather than fail.
apt="apt-get -q -o DPkg::Lock::Timeout=300"
$apt update || echo 'apt-get update failed; going on with the lists at hand' >&2
$apt install -y --no-install-recommends "$@"

if [ -n "$services" ] && command -v systemctl >/dev/null; then
    # shellcheck disable=SC2086 # a list
    systemctl disable $services || echo "cannot disable $services: starts at the next boot" >&2
fi
