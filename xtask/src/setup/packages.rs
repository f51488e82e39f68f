//! The one list of system packages, by their names in Debian and Ubuntu.

/// What packages are wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To build, and to run what was built.
    Build,
    /// To build every program, those in other languages too.
    Programs,
    /// To build them and to run real servers beside them.
    Servers,
    /// To build them and to run the tests.
    Tests,
    /// To build and to run tests in virtual machines.
    VmTests,
    /// To build a package of what was built.
    Package,
    /// To look for input that breaks the servers.
    Fuzz,
    /// All of these.
    All,
}

impl Purpose {
    /// Whether the reference servers of other runtimes are wanted.
    pub(crate) fn needs_runtimes(self) -> bool {
        self.includes(Self::Programs)
    }

    /// Whether real servers are wanted.
    pub(crate) fn needs_servers(self) -> bool {
        self.includes(Self::Tests)
    }

    /// Whether what is needed for `other` is needed for this.
    fn includes(self, other: Self) -> bool {
        match self {
            Self::All => true,
            Self::Servers => [Self::Build, Self::Programs, Self::Servers].contains(&other),
            Self::Tests => [
                Self::Build,
                Self::Programs,
                Self::Servers,
                Self::Package,
                Self::Tests,
            ]
            .contains(&other),
            _ => [Self::Build, self].contains(&other),
        }
    }
}

/// A system package and why it is needed.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: &'static str,
    pub(crate) reason: &'static str,
    /// The service that the package would start by itself, which we do not want running.
    pub(crate) service: Option<&'static str>,
    /// The program that is wanted of it, where another package may have brought that.
    pub(crate) program: Option<&'static str>,
    needed_for: &'static [Purpose],
}

impl Package {
    /// Whether this package is needed for `purpose`: tests need what the build needs, and more.
    pub(crate) fn serves(&self, purpose: Purpose) -> bool {
        let mut needed_for = self.needed_for.iter();
        needed_for.any(|needed| purpose.includes(*needed))
    }
}

pub(crate) const PACKAGES: &[Package] = &[
    build("clang", "compiles the kernel programs to BPF"),
    build("gcc", "compiles libbpf, and links"),
    build(
        "libc6-dev",
        "headers of the C library and of the kernel's interface, for libbpf",
    ),
    build(
        "libelf-dev",
        "libbpf reads the compiled kernel programs, which are ELF files",
    ),
    build("make", "builds libbpf"),
    build("pkg-config", "libbpf's build asks it where libelf is"),
    build("zlib1g-dev", "libelf reads compressed sections"),
    needed_for(
        "golang-go",
        "compiles the reference server in Go",
        &[Purpose::Programs],
    ),
    needed_for(
        "dpkg-dev",
        "finds what a Debian package of the programs depends on",
        &[Purpose::Package],
    ),
    needed_for(
        "debian-archive-keyring",
        "apt checks with it what it downloads of other suites of Debian",
        &[Purpose::Programs, Purpose::VmTests],
    ),
    tests(
        "redis-tools",
        "redis-cli and redis-benchmark drive the reference servers",
    ),
    tests("sysbench", "drives MySQL and MariaDB"),
    server("postgresql", "postgresql.service"),
    server("mariadb-server", "mariadb.service"),
    server("redis-server", "redis-server.service"),
    server("pgbouncer", "pgbouncer.service"),
    Package {
        service: Some("prometheus.service"),
        ..tests(
            "prometheus",
            "it and its promtool read what the exporter shows",
        )
    },
    Package {
        program: Some("npm"),
        ..tests(
            "npm",
            "brings versions of PostgreSQL, and Grafana's types with node to check the dashboards by",
        )
    },
    tests(
        "python3-venv",
        "brings the schema of Perfetto, to check timelines by",
    ),
    needed_for("g++", "builds libFuzzer", &[Purpose::Fuzz]),
    vm_tests("busybox-static", "the shell in a virtual machine"),
    vm_tests("cpio", "packs the file system of a virtual machine"),
    vm_tests("qemu-system-x86", "boots other kernels"),
];

const fn build(name: &'static str, reason: &'static str) -> Package {
    needed_for(name, reason, &[Purpose::Build])
}

const fn tests(name: &'static str, reason: &'static str) -> Package {
    needed_for(name, reason, &[Purpose::Tests])
}

const fn vm_tests(name: &'static str, reason: &'static str) -> Package {
    needed_for(name, reason, &[Purpose::VmTests])
}

const fn server(name: &'static str, service: &'static str) -> Package {
    Package {
        service: Some(service),
        ..needed_for(name, "a real server to attach to", &[Purpose::Servers])
    }
}

const fn needed_for(
    name: &'static str,
    reason: &'static str,
    purposes: &'static [Purpose],
) -> Package {
    Package {
        name,
        reason,
        service: None,
        program: None,
        needed_for: purposes,
    }
}
