use std::sync::Arc;
use std::time::Duration;

use expect_test::expect;
use http::StatusCode;
use serde_json::Value;
use streamgate_core::WallTime;

use super::Embedded;
use crate::clock::instant;
use crate::metrics::Metrics;

const AT: WallTime = WallTime::from_millis(1_700_000_000_000);
const TOOK: Duration = Duration::from_micros(1_500);

fn embedded() -> (Embedded, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new());
    let function = "streamgate".to_owned();
    (Embedded::new(function, Arc::clone(&metrics)), metrics)
}

#[test]
fn a_line_is_what_the_format_says() {
    let (embedded, _) = embedded();
    let line = embedded.answered(StatusCode::OK, TOOK, AT, instant());
    let expected = expect![[
        r#"{"Denials":0,"Errors":0,"FunctionName":"streamgate","Heartbeats":0,"Latency":[1.5],"Requests":1,"Starts":0,"StoreConflicts":0,"_aws":{"CloudWatchMetrics":[{"Dimensions":[["FunctionName"]],"Metrics":[{"Name":"Requests","Unit":"Count"},{"Name":"Errors","Unit":"Count"},{"Name":"Starts","Unit":"Count"},{"Name":"Denials","Unit":"Count"},{"Name":"Heartbeats","Unit":"Count"},{"Name":"StoreConflicts","Unit":"Count"},{"Name":"Latency","Unit":"Milliseconds"}],"Namespace":"streamgate"}],"Timestamp":1700000000000}}"#
    ]];
    expected.assert_eq(&line.expect("the first is told at once"));
}

#[test]
fn requests_are_gathered_for_ten_seconds_and_counted_once() {
    let (embedded, metrics) = embedded();
    let (began, ok) = (instant(), StatusCode::OK);
    let after = |millis| began + Duration::from_millis(millis);
    metrics.forgave();
    let first = embedded.answered(ok, TOOK, AT, began).expect("a line");
    assert!(first.contains(r#""Heartbeats":1"#), "{first}");

    metrics.forgave();
    assert_eq!(embedded.answered(ok, TOOK, AT, after(9_999)), None);
    metrics.conflicted();
    let error = StatusCode::SERVICE_UNAVAILABLE;
    let second = embedded.answered(error, TOOK, AT, after(10_000));
    let second: Value = serde_json::from_str(&second.expect("a line")).unwrap();
    let counts = ["Requests", "Errors", "Heartbeats", "StoreConflicts"];
    assert_eq!(
        counts.map(|name| second[name].as_u64()),
        [Some(2), Some(1), Some(1), Some(1)]
    );

    assert_eq!(embedded.rest(AT), None);
    assert_eq!(embedded.answered(ok, TOOK, AT, after(10_001)), None);
    let rest: Value = serde_json::from_str(&embedded.rest(AT).expect("a line")).unwrap();
    assert_eq!(
        counts.map(|name| rest[name].as_u64()),
        [Some(1), Some(0), Some(0), Some(0)]
    );
}

#[test]
fn a_line_has_no_more_values_than_the_format_lets_it() {
    let (embedded, _) = embedded();
    let began = instant();
    let answered = || embedded.answered(StatusCode::OK, TOOK, AT, began);
    assert!(answered().is_some(), "the first");
    let told: Vec<String> = (0..250).filter_map(|_| answered()).collect();
    let values = |line: &String| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["Latency"].as_array().unwrap().len()
    };
    assert_eq!(told.iter().map(values).collect::<Vec<_>>(), [100, 100]);
}
