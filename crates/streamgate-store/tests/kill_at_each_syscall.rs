//! SIGKILL at each of the first 400 calls that the store makes on its directory, from the mkdir
//! on: it always opens, and everything that was answered is there.

#[cfg(test)]
#[path = "support/hammered.rs"]
mod hammered;
#[cfg(test)]
#[path = "support/strace.rs"]
mod strace;

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::hammered::{Run, check};
    use super::strace::hammer;

    const SIGKILL: i32 = 9;

    /// How many calls of each kind. strace counts each kind in each thread for itself; the first
    /// of each kind are in the creation, the later ones in the commit thread.
    const CALLS: [(&str, usize); 8] = [
        ("mkdir", 1),
        ("openat", 5),
        ("unlink", 1),
        ("ftruncate", 1),
        ("rename", 1),
        ("fsync", 2),
        ("fdatasync", 59),
        ("pwrite64", 330),
    ];

    #[test]
    fn killed_at_each_of_the_first_400_calls_it_loses_nothing_and_opens() {
        let points = CALLS
            .iter()
            .flat_map(|&(call, count)| (1..=count).map(move |n| (call, n)));
        let points: Vec<(&str, usize)> = points.collect();
        assert_eq!(points.len(), 400);
        let answers = on_two_threads(&points, |call, n| {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("data");
            let run = killed(&path, "run", call, n);
            (vec![run], dir, path)
        });
        println!("400 kills, {answers} answers, 0 lost");
        assert!(10_000 < answers, "only {answers} answers");
    }

    #[test]
    fn killed_again_while_it_opens_what_was_left_it_loses_nothing_and_opens() {
        let points: Vec<(&str, usize)> = [("fdatasync", 5), ("pwrite64", 15)]
            .iter()
            .flat_map(|&(call, count)| (1..=count).map(move |n| (call, n)))
            .collect();
        let answers = on_two_threads(&points, |call, n| {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("data");
            let first = killed(&path, "first", "pwrite64", 100 + 7 * n);
            let second = killed(&path, "second", call, n);
            (vec![first, second], dir, path)
        });
        println!("{} double kills, {answers} answers, 0 lost", points.len());
    }

    #[test]
    fn killed_while_a_fresh_file_takes_the_place_of_a_failed_one_it_loses_nothing_and_opens() {
        let once = [
            ("unlink", 1),
            ("ftruncate", 1),
            ("fsync", 1),
            ("fsync", 2),
            ("rename", 1),
        ];
        let writes = (80..170).step_by(3).map(|n| ("pwrite64", n));
        let points: Vec<(&str, usize)> = once.into_iter().chain(writes).collect();
        let answers = on_two_threads(&points, |call, n| {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("data");
            // In a directory that is there, the commit thread is the first to rename anything.
            let calm = hammer(&path, &[], &["--name", "calm", "--ops", "20"]);
            let kill = format!("{call}:signal=KILL:when={n}");
            let faults = ["fdatasync:error=EIO:when=20", &kill];
            let rough = hammer(&path, &faults, &["--name", "rough", "--ops", "2000"]);
            assert_eq!(
                rough.status.signal(),
                Some(SIGKILL),
                "{call} {n}: {rough:?}"
            );
            (vec![calm, rough], dir, path)
        });
        println!(
            "{} kills after a failure, {answers} answers, 0 lost",
            points.len()
        );
    }

    fn killed(path: &std::path::Path, name: &str, call: &str, n: usize) -> Run {
        let fault = format!("{call}:signal=KILL:when={n}");
        let run = hammer(path, &[&fault], &["--name", name, "--ops", "2000"]);
        assert_eq!(
            run.status.signal(),
            Some(SIGKILL),
            "{call} {n}: {:?}",
            run.status
        );
        run
    }

    /// Plays every point and checks what is there; returns the number of answers.
    fn on_two_threads(
        points: &[(&str, usize)],
        play: impl Fn(&str, usize) -> (Vec<Run>, tempfile::TempDir, std::path::PathBuf) + Sync,
    ) -> usize {
        let half = |odd: usize| -> usize {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            let mine = points.iter().skip(odd).step_by(2);
            mine.map(|&(call, n)| {
                let (runs, _dir, path) = play(call, n);
                runtime.block_on(check(&path, &runs, &format!("killed at {call} {n}")))
            })
            .sum()
        };
        std::thread::scope(|scope| {
            let other = scope.spawn(|| half(1));
            half(0) + other.join().unwrap()
        })
    }
}
