//! Input that is meant to do harm, or is just very strange.

use super::*;

#[test]
fn no_value_for_any_setting_makes_it_panic() {
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let long = "9".repeat(100_000);
    let values = [
        "nan",
        "-nan",
        "inf",
        "1e999",
        "-0",
        "-9223372036854775809",
        "18446744073709551616",
        "0x",
        "0b2",
        "0o7",
        "1__0",
        "[]",
        "[[], [1, 'a']]",
        "{}",
        "{a = {b = {c = 1}}}",
        "''",
        "\"",
        "'''",
        "1979-13-41",
        "07:32:00",
        "true",
        "tru",
        "\"\\uD800\"",
        "\u{0}",
        "\u{feff}",
        "é",
        "#",
        "=",
        &deep,
        &long,
    ];
    for value in values {
        for setting in SETTINGS {
            let name = setting.name.replace(Setting::ANY, "x");
            let variable = format!("{VARIABLE_PREFIX}{}", variable_of_name(&name));
            let file = format!("{name} = {value}\n[{name}]\nx = {value}\n[[{name}]]\n{value} = 1");
            let environment = [(&*variable, value)];
            let answered = answer(&load(&file, &environment, &[(setting.name, value)]));
            assert!(
                answered.contains("streamgate.toml:"),
                "{name} {value} {answered}"
            );
        }
    }
}

#[test]
fn a_megabyte_of_anything_is_answered_briefly() {
    let files = [
        "= 12345678\n".repeat(100_000),
        "limit = 0\n".repeat(100_000),
        "é = [\n".repeat(100_000),
        (0..20_000)
            .map(|i| format!("limit{i} = '{i:040}'\n"))
            .collect(),
        (0..60_000).map(|i| format!("[plans.p{i}]\n")).collect(),
        format!("{} = 1", "a".repeat(1_000_000)),
        format!("plans.{} = 1", "a".repeat(1_000_000)),
        format!("plans{} = 1", ".a".repeat(500_000)),
        format!("[plans{}]", ".a".repeat(500_000)),
        format!("listen = '{}'", "é".repeat(500_000)),
        format!("limit = {}", "[".repeat(1_000_000)),
        format!("limit = {}", "{limit=".repeat(150_000)),
        "\n".repeat(1_000_000) + "=",
        "\u{0}".repeat(1_000_000),
    ];
    for file in files {
        let answered = answer(&load(&file, &[], &[]));
        assert!(answered.starts_with("streamgate.toml:"), "{answered}");
        assert!(
            answered.len() < 20_000 && answered.lines().count() <= 101,
            "{answered}"
        );
    }
}
