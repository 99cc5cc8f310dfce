//! Where ranges and names end.

use super::*;

/// Checks that both edges are taken, that nothing beyond them is, and that the comment in the
/// default file names them.
#[track_caller]
fn check_edges(name: &str, min: u64, max: u64) {
    let others = match name {
        "heartbeat.interval_seconds" => "heartbeat.lease_seconds = 100\n",
        "heartbeat.lease_seconds" => "heartbeat.interval_seconds = 6\n",
        _ => "",
    };
    let fits = |number: i128| load(&format!("{others}{name} = {number}"), &[], &[]).is_ok();
    let (min_i, max_i) = (i128::from(min), i128::from(max));
    let fit = [min_i - 1, min_i, max_i, max_i + 1].map(fits);
    assert_eq!(fit, [false, true, true, false], "{name}");

    let (section, key) = name.rsplit_once('.').unwrap_or_default();
    let page = Config::DEFAULT_TOML;
    let section = page
        .split_once(&format!("[{section}]"))
        .map_or(page, |(_, it)| it);
    let key = if section == page { name } else { key };
    let (before, _) = section
        .split_once(&format!("\n{key} = "))
        .expect("a setting");
    let comment = before.rsplit("\n\n").next().unwrap_or_default();
    assert!(comment.contains(&format!("{min} to {max} ")), "{comment}");
}

#[test]
fn every_range_ends_where_its_comment_says() {
    check_edges("limit", 1, 64);
    check_edges("heartbeat.interval_seconds", 5, 60);
    check_edges("heartbeat.lease_seconds", 10, 86_400);
    check_edges("seed.lease_seconds", 60, 604_800);
    check_edges("http.connections_max", 1, 1_000_000);
    check_edges("http.requests_max", 1, 1_000_000);
    check_edges("http.deadline_seconds", 1, 60);
    check_edges("http.drain_seconds", 0, 600);
}

#[test]
fn plans_have_limits_and_names_with_bounds() {
    let longest = "n".repeat(64);
    let config = good(&format!("[plans]\n{longest} = 1\n\"a.b_c-9\" = 64"));
    let plans: Vec<_> = config
        .plans
        .iter()
        .map(|(name, it)| (&**name, it.get()))
        .collect();
    assert_eq!(plans, [("a.b_c-9", 64), (&*longest, 1)]);
    let longer = format!("[plans]\nn{longest} = 1\n\"\" = 1\n\"a\\nb\" = 1\nx = 0\ny = 65");
    check(
        &load(&longer, &[], &[]),
        &expect![[r#"
            streamgate.toml:2: plans.nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn must name a plan in 1 to 64 characters of [A-Za-z0-9._-]
            streamgate.toml:3: plans. must name a plan in 1 to 64 characters of [A-Za-z0-9._-]
            streamgate.toml:4: plans.a\nb must name a plan in 1 to 64 characters of [A-Za-z0-9._-]
            streamgate.toml:5: plans.x must be between 1 and 64 streams, not 0
            streamgate.toml:6: plans.y must be between 1 and 64 streams, not 65"#]],
    );
}
