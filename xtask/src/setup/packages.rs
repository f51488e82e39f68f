//! The one list of system packages, by their names in Debian and Ubuntu.

/// What packages are wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To build, and to run what was built.
    Build,
    /// To build and to run the tests.
    Tests,
    /// To build and to run tests in virtual machines.
    VmTests,
    /// To look for input that breaks the servers.
    Fuzz,
    /// All of these.
    All,
}

impl Purpose {
    /// Whether the reference servers of other runtimes are wanted.
    pub(crate) fn needs_servers(self) -> bool {
        [Self::Tests, Self::All].contains(&self)
    }
}

/// A system package and why it is needed.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: &'static str,
    pub(crate) reason: &'static str,
    /// The service that the package would start by itself, which we do not want running.
    pub(crate) service: Option<&'static str>,
    needed_for: Purpose,
}

impl Package {
    /// Whether this package is needed for `purpose`: tests need what the build needs, and more.
    pub(crate) fn serves(&self, purpose: Purpose) -> bool {
        [Purpose::Build, purpose].contains(&self.needed_for) || purpose == Purpose::All
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
    tests("golang-go", "compiles the reference server in Go", None),
    tests(
        "redis-tools",
        "redis-cli and redis-benchmark drive the reference servers",
        None,
    ),
    tests(
        "redis-server",
        "a real server to attach to",
        Some("redis-server.service"),
    ),
    Package {
        name: "g++",
        reason: "builds libFuzzer",
        service: None,
        needed_for: Purpose::Fuzz,
    },
    vm_tests("busybox-static", "the shell in a virtual machine"),
    vm_tests("cpio", "packs the file system of a virtual machine"),
    vm_tests(
        "debian-archive-keyring",
        "apt checks the kernels it downloads with it",
    ),
    vm_tests("qemu-system-x86", "boots other kernels"),
];

const fn build(name: &'static str, reason: &'static str) -> Package {
    Package {
        name,
        reason,
        service: None,
        needed_for: Purpose::Build,
    }
}

const fn tests(name: &'static str, reason: &'static str, service: Option<&'static str>) -> Package {
    Package {
        name,
        reason,
        service,
        needed_for: Purpose::Tests,
    }
}

const fn vm_tests(name: &'static str, reason: &'static str) -> Package {
    Package {
        name,
        reason,
        service: None,
        needed_for: Purpose::VmTests,
    }
}
