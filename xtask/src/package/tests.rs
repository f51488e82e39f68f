//! The package holds what it is to hold, and works where it is unpacked.

use super::*;

/// Packed twice it is the same bytes. Unpacked, all that is in it can be used: programs run, pages are pages of every command, and each shell's
/// completions name every one of them.
#[test]
fn what_is_packed_works_where_it_is_unpacked() {
    let target = workspace::Workspace::read().expect("a workspace");
    let programs = target.target_directory.join("release");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pack = || build(&programs, folder.path()).expect("a package");
    let package = pack();
    let bytes = fs::read(&package).expect("it was just made");
    assert!(bytes == fs::read(pack()).expect("again"));
    let name = package.file_name().and_then(|it| it.to_str()).unwrap();
    assert!(
        name.starts_with("connscope_") && name.ends_with(".deb"),
        "{name}"
    );
    let contents = text(Command::new("dpkg-deb").arg("--contents").arg(&package));
    for line in contents.lines() {
        assert!(line.contains(" root/root "), "{line}");
    }
    for path in [
        "bin/connscope",
        "bin/connscope-target",
        "share/connscope/dashboards/grafana/database.json",
        "share/doc/connscope/README.md",
        "share/doc/connscope/changelog.gz",
        "share/doc/connscope/copyright",
        "share/doc/connscope/docs/claims.md",
    ] {
        assert!(contents.contains(&format!(" ./usr/{path}\n")), "no {path}");
    }
    let depends = text(
        Command::new("dpkg-deb")
            .args(["--field"])
            .arg(&package)
            .arg("Depends"),
    );
    for library in ["libc6", "libelf1"] {
        assert!(depends.contains(library), "{depends}");
    }
    let unpacked = folder.path().join("unpacked");
    text(
        Command::new("dpkg-deb")
            .arg("--extract")
            .args([&package, &unpacked]),
    );
    let usr = unpacked.join("usr");
    for name in PROGRAMS {
        let says = text(Command::new(usr.join("bin").join(name)).arg("--version"));
        assert!(says.starts_with(&format!("{name} ")), "{says}");
        assert_commands_are_known(&usr, name);
    }
}

/// Every command that `--help` lists has a manual page, and a place in the completions of each shell.
#[track_caller]
fn assert_commands_are_known(usr: &Path, program: &str) {
    let help = text(Command::new(usr.join("bin").join(program)).arg("--help"));
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    let commands: Vec<_> = listed
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.len() >= 3, "{help}");
    for shell in [
        "bash-completion/completions/PROGRAM",
        "zsh/vendor-completions/_PROGRAM",
        "fish/vendor_completions.d/PROGRAM.fish",
    ] {
        let path = usr.join("share").join(shell.replace("PROGRAM", program));
        let script = fs::read_to_string(&path).unwrap_or_else(|_| panic!("no {}", path.display()));
        for command in &commands {
            assert!(script.contains(command), "{shell}: no {command}");
        }
    }
    for command in commands {
        let page = usr.join(format!("share/man/man1/{program}-{command}.1.gz"));
        let roff = text(Command::new("gzip").args(["-dc"]).arg(&page));
        assert!(
            roff.contains(&format!(".TH {program}-{command} 1")),
            "{roff}"
        );
    }
}

#[track_caller]
fn text(command: &mut Command) -> String {
    String::from_utf8(said(command).expect("it runs")).expect("text")
}
