//! Records as players send them, and as they should not.

use super::*;

const SID: &str = "6f3b1c2e-8a4d-8f00-9d7e-3b2a1c0d4e5f";

/// What a body says: of each stream, by the last characters of its name, then what was ignored.
fn shown(body: &str) -> String {
    shown_of(body.as_bytes())
}

fn shown_of(body: &[u8]) -> String {
    let reports = read(body);
    let mut words: Vec<String> = reports.streams.iter().map(word).collect();
    if 0 < reports.unreadable {
        words.push(format!("{} unreadable", reports.unreadable));
    }
    if 0 < reports.surplus {
        words.push(format!("{} surplus", reports.surplus));
    }
    words.join(", ")
}

fn word((stream, report): &(Option<StreamId>, Report)) -> String {
    let name = stream.as_ref().map_or("?".into(), ToString::to_string);
    let name = &name[name.len().saturating_sub(4)..];
    match report {
        Report::Finished => format!("{name} finished"),
        Report::Beat(Heartbeat { playback, content }) => {
            let playback = match playback {
                Some(Playback::Playing) => " playing",
                Some(Playback::Paused) => " paused",
                None => "",
            };
            let content = content.as_ref().map(|it| format!(" {it}"));
            format!("{name} beats{playback}{}", content.unwrap_or_default())
        }
    }
}

#[track_caller]
fn check(body: &str, expected: &str) {
    assert_eq!(shown(&body.replace("SID", SID)), expected, "{body}");
}

#[test]
fn records_are_read_as_players_send_them() {
    // hls.js, shaka and dash.js end the body with a line feed, which the standard forbids.
    check(
        "cid=\"movie-1\",e=t,sf=h,sid=\"SID\",sn=0,st=v,ts=1795454453935,v=2\n",
        "4e5f beats movie-1",
    );
    check(
        "cid=\"movie-1\",e=ps,sid=\"SID\",sn=4,sta=p,ts=1795454453935,v=2\n",
        "4e5f beats playing movie-1",
    );
    check("e=t,sid=\"SID\",sn=9,sta=a,ts=1,v=2", "4e5f beats paused");
    // dash.js without enabledKeys.
    check("e=t,ts=1795454453935,v=2", "? beats");
    check(
        "e=e,ec=(\"E1\" \"E2\"),sid=\"SID\",sta=f,ts=1,v=2",
        "4e5f finished",
    );
    check(
        "bg,br=(2000;v 128;a),com.example-x=?0,e=b,nor=(\"..%2Fseg\";r=\"0-9\"),sid=\"SID\",v=2",
        "4e5f beats",
    );
}

#[test]
fn each_state_is_a_heartbeat_or_the_end() {
    for (state, expected) in [
        ("s", "4e5f beats"),
        ("d", "4e5f beats"),
        ("k", "4e5f beats"),
        ("r", "4e5f beats"),
        ("w", "4e5f beats"),
        ("p", "4e5f beats playing"),
        ("a", "4e5f beats paused"),
        ("e", "4e5f finished"),
        ("f", "4e5f finished"),
        ("q", "4e5f finished"),
        ("zz", "4e5f beats"),
    ] {
        check(&format!("e=ps,sid=\"SID\",sta={state},v=2"), expected);
        // Players go on to say so for ever.
        check(&format!("e=t,sid=\"SID\",sta={state},v=2"), expected);
    }
}

#[test]
fn what_is_said_last_by_its_number_counts() {
    let record = |number: u8, said: &str| format!("e=ps,sid=\"SID\",sn={number},v=2,{said}\n");
    let (p, a, e) = ("sta=p,cid=\"one\"", "sta=a", "sta=e");
    check(&(record(2, a) + &record(1, p)), "4e5f beats paused one");
    check(&(record(2, p) + &record(1, a)), "4e5f beats playing one");
    check(&(record(2, e) + &record(1, p)), "4e5f finished");
    // A replay.
    check(
        &(record(3, p) + &record(2, e) + &record(1, p)),
        "4e5f beats playing one",
    );
    // Without numbers, in the order in which they come.
    check(
        "sid=\"SID\",sta=e,v=2\nsid=\"SID\",sta=a,v=2",
        "4e5f beats paused",
    );
    check(
        "sid=\"b\",sn=2,sta=e,v=2\nsid=\"a\",sn=9,sta=p,v=2\nsid=\"b\",sn=1,sta=p,v=2",
        "b finished, a beats playing",
    );
}

#[test]
fn what_is_not_understood_is_passed_over() {
    check("", "");
    check("\n \n\r\n", "");
    check("  e=t,sid=\"SID\",v=2\t\r\n", "4e5f beats");
    check("sid=\"SID\",v=3", "1 unreadable");
    check("sid=\"SID\",v=99999999999", "1 unreadable");
    check("sid=\"SID\",v=1", "4e5f beats");
    check("sid=\"SID\"", "4e5f beats");
    check("sid=\"SID\",v=two", "4e5f beats");
    check("sid=\"SID\",v=2.5,sn=(1 2),sta=\"e\",cid=5", "4e5f beats");
    check("sid=\"SID\",sta=e,sta=p", "4e5f beats playing");
    check("sid=\"SID\",sta=p,sta=(e)", "4e5f beats");
    check("sid=7,sta=p", "? beats playing");
    check("sid=\"not ours\"", "1 unreadable");
    check("sid=\"\"", "1 unreadable");
    check("{\"sid\":\"SID\"}", "1 unreadable");
    check("sid=\"SID", "1 unreadable");
    check("sid=\"SID\",\ne=t,sid=\"SID\"", "4e5f beats, 1 unreadable");
}

#[test]
fn the_name_of_a_content_costs_no_stream_its_place() {
    check("cid=\"фильм\",sid=\"SID\",sta=p", "4e5f beats playing");
    check("cid=\"a \\\"b\\\" c\",sid=\"SID\"", "4e5f beats a \"b\" c");
    check("cid=\"\",sid=\"SID\"", "4e5f beats");
    let long = format!("cid=\"{}\",sid=\"{SID}\"", "x".repeat(257));
    check(&long, "4e5f beats");
    assert_eq!(shown_of(b"cid=\"\xff\xfe\",sid=\"a\""), "a beats");
}

#[test]
fn a_body_has_bounds() {
    let many = "sid=\"a\",v=2\n".repeat(RECORDS_MAX + 3);
    check(&many, "a beats, 3 surplus");
    let many: String = (0..STREAMS_MAX + 2)
        .map(|i| format!("sid=\"{i}\"\n"))
        .collect();
    assert!(shown(&many).ends_with("15 beats, 2 surplus"));
}

#[test]
fn a_request_names_its_stream() {
    let named = |it: Option<StreamId>| it.map(|id| id.to_string());
    let query = format!("a=b&CMCD=bl%3D21300%2Cbr%3D3200%2Csid%3D%22{SID}%22%2Csu&c");
    assert_eq!(named(stream_of_query(&query)).as_deref(), Some(SID));
    assert_eq!(
        named(stream_of_query("CMCD=sid=\"s\"")).as_deref(),
        Some("s")
    );
    let header = format!("cid=\"m\",sf=h,sid=\"{SID}\",v=2");
    assert_eq!(named(stream_of(header.as_bytes())).as_deref(), Some(SID));
    for query in [
        "",
        "CMCD",
        "CMCD=",
        "CMCD=%ff%fe",
        "cmcd=sid%3D%22s%22",
        "CMCD=sid%3Ds",
    ] {
        assert_eq!(stream_of_query(query), None, "{query}");
    }
}
