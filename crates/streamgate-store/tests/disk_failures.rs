//! A disk that fails, is full or is slow: nothing is acknowledged that is not on disk,
//! heartbeats go on being answered, and when the fault ends the store helps itself.

#[cfg(test)]
#[path = "support/hammered.rs"]
mod hammered;
#[cfg(test)]
#[path = "support/strace.rs"]
mod strace;

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::path::Path;

    use super::hammered::{Run, check};
    use super::strace::hammer;

    const SIGABRT: i32 = 6;
    const BEATS_MIN: u64 = 20;

    /// Hammers a directory that was made before, so that the faults hit the commit thread.
    async fn hammered(faults: &[&str], arguments: &[&str]) -> Vec<Run> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let calm = run(&path, &[], &["--name", "calm", "--ops", "20"]);
        let rough = run(
            &path,
            faults,
            &[&["--name", "rough", "--beats"], arguments].concat(),
        );
        let runs = vec![calm, rough];
        let answers = check(&path, &runs, &format!("{faults:?}")).await;
        println!(
            "{faults:?}: {answers} answers, 0 lost, {:?}",
            runs[1].lines.iter().rev().nth(1)
        );
        runs
    }

    fn run(path: &Path, faults: &[&str], arguments: &[&str]) -> Run {
        let run = hammer(path, faults, arguments);
        assert_eq!(
            run.status.signal(),
            Some(SIGABRT),
            "{:?}: {run:?}",
            run.status
        );
        assert_eq!(
            run.lines.last().map(String::as_str),
            Some("done"),
            "{run:?}"
        );
        run
    }

    /// Checks that the store failed, said so, went on answering heartbeats and came back.
    async fn check_comes_back(faults: &[&str]) {
        let runs = hammered(faults, &["--ops", "300"]).await;
        let rough = &runs[1];
        let refused = rough.lines.iter().filter(|line| *line == "refused").count();
        assert!(0 < refused, "{faults:?}: nobody was refused");
        let after_ms = number_after(rough, "ready again after");
        let after_ms = after_ms.expect("it was not ready, and ready again");
        assert!(after_ms < 5_000, "{faults:?}: ready after {after_ms} ms");
        let beats = number_after(rough, "beats").expect("beats");
        assert!(BEATS_MIN < beats, "{beats} beats");
        let answers = rough.named("started").len() + rough.named("stopped").len();
        assert!(200 < answers, "{faults:?}: {answers} answers");
    }

    /// The number in the first line that begins like this.
    fn number_after(run: &Run, start: &str) -> Option<u64> {
        let line = run.lines.iter().find_map(|line| line.strip_prefix(start))?;
        let digits = line
            .trim_start()
            .split(|c: char| !c.is_ascii_digit())
            .next()?;
        digits.parse().ok()
    }

    #[tokio::test]
    async fn a_sync_that_fails_once_is_acknowledged_to_nobody_and_a_fresh_file_goes_on() {
        for n in [14, 17, 30] {
            check_comes_back(&[&format!("fdatasync:error=EIO:when={n}")]).await;
        }
    }

    #[tokio::test]
    async fn a_directory_that_could_not_be_made_or_opened_is_refused_and_opens_the_next_time() {
        let in_creation = [
            ("mkdir", 1),
            ("openat", 3),
            ("ftruncate", 1),
            ("rename", 1),
            ("fsync", 2),
            ("fdatasync", 12),
            ("pwrite64", 18),
        ];
        let in_opening = [("openat", 3), ("fdatasync", 5), ("pwrite64", 6)];
        let mut refused = 0;
        for (is_new, calls) in [(true, in_creation.as_slice()), (false, &in_opening)] {
            for (call, count) in calls {
                for n in 1..=*count {
                    let fault = format!("{call}:error=EIO:when={n}");
                    refused += u32::from(is_refused_once(is_new, &fault).await);
                }
            }
        }
        assert!(20 < refused, "{refused} were refused");
    }

    /// Returns whether the first try was refused; it need not be, where the call was the last of
    /// a file that was complete before it.
    async fn is_refused_once(is_new: bool, fault: &str) -> bool {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let mut runs = Vec::new();
        if !is_new {
            runs.push(run(&path, &[], &["--name", "calm", "--ops", "20"]));
        }
        let first = hammer(&path, &[fault], &["--name", "first", "--ops", "20"]);
        let is_refused = first.status.code() == Some(1) && first.lines.is_empty();
        let is_fine = first.lines.last().is_some_and(|line| line == "done");
        assert!(is_refused || is_fine, "new {is_new}, {fault}: {first:?}");
        runs.push(first);
        runs.push(run(&path, &[], &["--name", "again", "--ops", "20"]));
        check(&path, &runs, &format!("new {is_new}, {fault}")).await;
        is_refused
    }

    #[tokio::test]
    async fn a_fresh_file_that_fails_is_tried_again() {
        check_comes_back(&["fdatasync:error=EIO:when=20", "fsync:error=EIO:when=1"]).await;
        check_comes_back(&["fdatasync:error=EIO:when=20", "fsync:error=EIO:when=2"]).await;
        check_comes_back(&["fdatasync:error=EIO:when=20", "rename:error=EIO:when=1"]).await;
        check_comes_back(&["fdatasync:error=EIO:when=20..22"]).await;
    }

    #[tokio::test]
    async fn a_full_disk_is_used_again_when_it_has_room() {
        check_comes_back(&["pwrite64:error=ENOSPC:when=60..63"]).await;
        check_comes_back(&[
            "pwrite64:error=ENOSPC:when=60",
            "ftruncate:error=ENOSPC:when=1..3",
        ])
        .await;
    }

    #[tokio::test]
    async fn a_disk_that_never_comes_back_gets_no_yes_and_no_heartbeat_is_lost() {
        let runs = hammered(
            &["fdatasync:error=EIO:when=20+"],
            &["--patience-ms", "1500"],
        )
        .await;
        let rough = &runs[1];
        assert!(rough.lines.iter().any(|line| line == "not ready"));
        assert_eq!(number_after(rough, "ready again after"), None);
        let meanwhile = rough
            .lines
            .iter()
            .find_map(|line| line.split_once("while not ready "));
        let (meanwhile, _) = meanwhile
            .expect("beats")
            .1
            .split_once(',')
            .expect("a number");
        let meanwhile: u64 = meanwhile.parse().unwrap();
        assert!(
            BEATS_MIN < meanwhile,
            "{meanwhile} beats while it was not ready"
        );
    }

    #[tokio::test]
    async fn a_slow_disk_makes_starts_wait_and_heartbeats_not() {
        let runs = hammered(&["fdatasync:delay_enter=200000"], &["--ops", "40"]).await;
        let rough = &runs[1];
        let waits = rough
            .lines
            .iter()
            .filter_map(|line| line.rsplit_once(" in "));
        let waits: Vec<u64> = waits
            .map(|(_, wait)| wait.trim_end_matches(" ms").parse().unwrap())
            .collect();
        assert!(
            40 <= waits.len() && waits.iter().all(|ms| 195 <= *ms),
            "{waits:?}"
        );
        assert!(!rough.lines.iter().any(|line| line == "refused"));
        let longest = rough
            .lines
            .iter()
            .find_map(|line| line.split_once("longest "));
        let longest: u64 = longest
            .expect("beats")
            .1
            .trim_end_matches(" ms")
            .parse()
            .unwrap();
        assert!(longest < 150, "a heartbeat took {longest} ms");
        let beats = number_after(rough, "beats").expect("beats");
        assert!(BEATS_MIN < beats, "{beats} beats");
    }
}
