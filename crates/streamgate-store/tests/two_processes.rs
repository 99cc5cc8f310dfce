//! Another process: it can't have the directory while the first is alive, and finds everything
//! when the first was killed at any moment.

#[cfg(test)]
#[path = "support/hammered.rs"]
mod hammered;

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};
    use std::os::unix::process::ExitStatusExt;
    use std::path::Path;
    use std::process::{Child, ChildStdout, Command, Stdio};
    use std::time::Duration;

    use streamgate_store::{EmbeddedStore, OpenError};

    use super::hammered::{Run, check, hammer_path};

    const ROUNDS: usize = 60;

    /// A hammer at work, and what it has said so far.
    struct Hammer {
        child: Child,
        stdout: BufReader<ChildStdout>,
        said: Vec<u8>,
    }

    impl Hammer {
        fn start(dir: &Path, name: &str) -> Self {
            let mut hammer = Command::new(hammer_path());
            hammer.arg(dir).args(["--name", name, "--ops", "1000000"]);
            let mut child = hammer.stdout(Stdio::piped()).spawn().unwrap();
            let stdout = BufReader::new(child.stdout.take().unwrap());
            let said = Vec::new();
            let mut hammer = Self {
                child,
                stdout,
                said,
            };
            hammer.listen(1);
            hammer
        }

        /// Waits for so many lines.
        fn listen(&mut self, lines: usize) {
            for _ in 0..lines {
                let read = self.stdout.read_until(b'\n', &mut self.said).unwrap();
                assert!(0 < read, "the hammer ended early");
            }
        }

        /// kill -9.
        fn kill(mut self) -> Run {
            self.child.kill().unwrap();
            let status = self.child.wait().unwrap();
            self.stdout.read_to_end(&mut self.said).unwrap();
            let run = Run::new(status, &self.said);
            assert_eq!(run.status.signal(), Some(9), "{run:?}");
            run
        }
    }

    #[tokio::test]
    async fn a_second_process_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = Hammer::start(dir.path(), "first");
        let error = EmbeddedStore::open(dir.path(), None).err().unwrap();
        assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
        let second = Command::new(hammer_path())
            .arg(dir.path())
            .output()
            .unwrap();
        assert_eq!(second.status.code(), Some(1));
        first.listen(50);
        let run = first.kill();
        check(dir.path(), &[run], "after the first").await;
    }

    #[tokio::test]
    async fn killed_at_any_moment_again_and_again_it_loses_nothing_and_is_soon_there_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut runs = Vec::new();
        let mut slowest = Duration::ZERO;
        for round in 0..ROUNDS {
            let asked = tokio::time::Instant::now();
            let mut hammer = Hammer::start(dir.path(), &format!("round{round}"));
            slowest = slowest.max(asked.elapsed());
            hammer.listen(round * 37 % 101);
            runs.push(hammer.kill());
            if round % 10 == 9 {
                check(dir.path(), &runs, &format!("round {round}")).await;
            }
        }
        let answers = check(dir.path(), &runs, "at last").await;
        println!("{ROUNDS} kills, {answers} answers, 0 lost, open after {slowest:?} at most");
        assert!(ROUNDS * 20 < answers, "only {answers} answers");
        assert!(slowest < Duration::from_secs(10), "open after {slowest:?}");
    }
}
