//! The binary `streamgate`.

use std::process::ExitCode;

fn main() -> ExitCode {
    streamgate_server::main()
}
