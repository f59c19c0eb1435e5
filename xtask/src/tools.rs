//! Programs that are no package of Debian's: installed by cargo into the cache, on first use.

use std::path::PathBuf;
use std::process::Command;

use crate::command::{Failure, output, run};
use crate::{cache, repository};

/// Makes the book.
const MDBOOK: Tool = Tool {
    package: "mdbook",
    version: "0.5.4",
    // The book is built, not served.
    flags: &["--no-default-features"],
};
/// Looks at the dependencies.
const CARGO_DENY: Tool = Tool {
    package: "cargo-deny",
    version: "0.20.2",
    flags: &[],
};

struct Tool {
    package: &'static str,
    version: &'static str,
    flags: &'static [&'static str],
}

impl Tool {
    fn program(&self) -> Result<PathBuf, Failure> {
        let root = cache().join("tools");
        let program = root.join("bin").join(self.package);
        let installed = output(Command::new(&program).arg("--version"));
        if installed.is_some_and(|line| line.trim().ends_with(self.version)) {
            return Ok(program);
        }
        eprintln!("xtask: installing {} {}, once", self.package, self.version);
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo
            .args(["install", "--locked", "--quiet", "--force"])
            .args(["--version", self.version])
            .args(self.flags)
            .arg("--root")
            .arg(&root)
            .arg(self.package);
        run(&mut cargo)?;
        Ok(program)
    }
}

/// Makes the book, where its `book.toml` says.
pub(crate) fn docs() -> Result<(), Failure> {
    let mut mdbook = Command::new(MDBOOK.program()?);
    run(mdbook.arg("build").arg(repository().join("docs")))?;
    let page = repository().join("target/book/index.html");
    eprintln!("xtask: {}", page.display());
    Ok(())
}

/// Checks the dependencies: what `deny.toml` allows, and, which needs the network, whether
/// anybody warns of them.
pub(crate) fn audit() -> Result<(), Failure> {
    let program = CARGO_DENY.program()?;
    let check = |what: &[&str]| {
        let mut deny = Command::new(&program);
        run(deny
            .current_dir(repository())
            .args(["--locked", "check"])
            .args(what))
    };
    check(&["bans", "licenses", "sources"])?;
    check(&["advisories"])
}
