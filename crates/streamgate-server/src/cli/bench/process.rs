//! What Linux says about a process.

use std::fs;
use std::time::Duration;

use anyhow::Context;

/// One tick of the CPU times in /proc: Linux shows them in hundredths of a second (USER_HZ) on
/// every architecture that we build for.
const TICK: Duration = Duration::from_millis(10);

/// What a process, with all its threads, has used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Usage {
    /// User and system time since it began.
    pub(super) cpu: Duration,
    /// Memory it has now.
    pub(super) resident_bytes: u64,
}

/// What the process `pid` (a number, or `self`) has used so far.
pub(super) fn usage(pid: &str) -> anyhow::Result<Usage> {
    let read = |file: &str| {
        let path = format!("/proc/{pid}/{file}");
        fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
    };
    parse(&read("stat")?, &read("status")?).with_context(|| format!("cannot make out /proc/{pid}"))
}

/// See proc_pid_stat(5) and proc_pid_status(5).
fn parse(stat: &str, status: &str) -> Option<Usage> {
    // The second field is a name in parentheses, which may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut ticks = fields.split_whitespace().skip(11);
    let (user, system): (u32, u32) = (ticks.next()?.parse().ok()?, ticks.next()?.parse().ok()?);
    // A process that has ended but was not waited for has none.
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = resident.and_then(|line| line.split_whitespace().next());
    Some(Usage {
        cpu: TICK * user + TICK * system,
        resident_bytes: kib.map_or(Some(0), |kib| kib.parse().ok())? * 1024,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_and_memory_are_found_behind_a_name_full_of_brackets() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 3 0 99 1 2";
        let used = parse(stat, "Name:\ta\nVmRSS:\t    2048 kB\n");
        let expected = Usage {
            cpu: Duration::from_secs(2),
            resident_bytes: 2 * 1024 * 1024,
        };
        assert_eq!(used, Some(expected));
        assert_eq!(parse("42 (a) S 1", ""), None);
    }

    #[test]
    fn this_process_uses_memory() {
        assert!(0 < usage("self").expect("it runs").resident_bytes);
    }
}
