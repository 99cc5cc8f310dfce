//! Runs the hammer under strace, which injects faults into its calls on the data directory.

use std::path::Path;
use std::process::{Command, Output};

use crate::hammered::{Run, hammer_path};

/// The calls that change a directory.
const CALLS: &str = "write,pwrite64,fsync,fdatasync,openat,rename,ftruncate,mkdir,unlink";

/// Runs the hammer on `dir` with these faults (strace(1), `--inject`).
pub(crate) fn hammer(dir: &Path, faults: &[&str], arguments: &[&str]) -> Run {
    let mut strace = Command::new("strace");
    // Not with --seccomp-bpf, which is faster: strace 6.1 then injects no signals.
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e"]);
    strace.arg(format!("trace={CALLS}"));
    for fault in faults {
        strace.args(["-e", &format!("inject={fault}")]);
    }
    for path in ["", "lock", "streams.redb", "streams.redb.new"] {
        strace.arg("-P").arg(if path.is_empty() {
            dir.into()
        } else {
            dir.join(path)
        });
    }
    strace.arg(hammer_path()).arg(dir).args(arguments);
    let Output {
        status,
        stdout,
        stderr,
    } = match strace.output() {
        Ok(output) => output,
        Err(error) => panic!("strace does not start ({error}): apt-get install strace"),
    };
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(
        !stderr.contains("strace:"),
        "strace does not work here: {stderr}"
    );
    Run::new(status, &stdout)
}
