//! Requests that contradict each other, candidates that cannot do what is asked of them, and two nodes of one name at the same moment.

use std::{
    sync::Barrier,
    time::{Duration, Instant},
};
use tanist_tests::{
    cluster::Cluster,
    node::{Node, Options},
    rest,
    store::Kind,
    wait,
};

const SLACK: Duration = Duration::from_secs(30);

fn switchover(cluster: &Cluster, asked: usize, leader: usize, candidate: usize) -> (u16, String) {
    let body = format!(r#"{{"leader":"{}","candidate":"{}"}}"#, cluster.nodes[leader].name, cluster.nodes[candidate].name);
    rest::request("POST", cluster.nodes[asked].rest, "/switchover", &body).expect("an answer")
}

/// Two switchovers to two candidates, asked of two nodes in one instant: one is carried out and says so, the other says that it was not.
#[test]
fn two_switchovers_at_once() {
    let cluster = Cluster::start(Kind::Etcd, 3, &Options { synchronous: false, ..Options::default() });
    let writer = cluster.writer();
    let mut carried_out = 0;
    for round in 0..8 {
        let old = cluster.settled(false);
        let candidates = [(old + 1) % 3, (old + 2) % 3];
        let together = Barrier::new(2);
        let answers: Vec<(u16, String)> = std::thread::scope(|scope| {
            let ask = |candidate: usize| {
                together.wait();
                switchover(&cluster, candidate, old, candidate)
            };
            let threads: Vec<_> = candidates.iter().map(|candidate| scope.spawn(move || ask(*candidate))).collect();
            threads.into_iter().map(|thread| thread.join().expect("a thread")).collect()
        });
        println!("round {round}: {answers:?}");
        let done = |at: usize| {
            answers[at].1.contains(&format!("Successfully switched over to \"{}\"", cluster.nodes[candidates[at]].name))
        };
        let won: Vec<usize> = (0..2).filter(|at| done(*at)).collect();
        let new = wait::until("there is a primary", SLACK, || cluster.primary());
        match won[..] {
            // Refused, because the one had not caught up yet, while the other was told that a request waits.
            [] => assert_eq!(new, old, "{answers:?}"),
            [at] => {
                assert_eq!((answers[at].0, new), (200, candidates[at]), "{answers:?}");
                carried_out += 1;
            }
            _ => panic!("both: {answers:?}"),
        }
        if carried_out == 3 {
            break;
        }
    }
    assert!(carried_out >= 2, "carried out {carried_out} times");
    cluster.verdict(writer, false);
}

/// The candidate's promotion fails: it gives the lease up, another one leads, and it comes back as a replica when it can.
#[test]
fn a_candidate_that_cannot_be_promoted() {
    let mut cluster = Cluster::prepare(Kind::Local, 3, &Options { quorum: true, ..Options::default() });
    // From 126 on, PostgreSQL takes it for a reason not to open.
    cluster.nodes[2]
        .edit(|text| text.replace("  parameters:\n    unix", "  parameters:\n    recovery_end_command: exit 127\n    unix"));
    for node in &mut cluster.nodes[..2] {
        node.start();
    }
    wait::until("one of the others leads", Duration::from_secs(60), || cluster.primary());
    cluster.nodes[2].start();
    let old = cluster.settled(true);
    let writer = cluster.writer();
    let epoch = cluster.epoch();
    wait::until("it may take over", SLACK, || {
        let view = rest::json(cluster.nodes[old].rest, "/cluster")?;
        let members = view["members"].as_array().ok_or("no members")?;
        let named = members.iter().any(|member| member["name"] == "n3" && member["role"] == "quorum_standby");
        if named { Ok(()) } else { Err(view.to_string()) }
    });
    let (code, text) = switchover(&cluster, old, old, 2);
    println!("{code} {text}");
    assert!(code != 200 || !text.contains("Successfully switched over to \"n3\""), "{text}");
    let told = cluster.nodes[2].told();
    assert!(told.contains("failed: PostgreSQL ended while it was being promoted"), "the promotion failed: {told}");
    let new = wait::until("one of the others leads", SLACK, || cluster.primary());
    assert_ne!(new, 2);
    assert!(cluster.epoch() > epoch + 1, "it did try");
    cluster.verdict(writer, true);
}

/// Two nodes that were given one name and start in one instant: one of them joins, the other one ends and says who has the name.
#[test]
fn two_nodes_of_one_name_in_one_instant() {
    let options = Options::default();
    let cluster = Cluster::start(Kind::Etcd, 2, &options);
    let writer = cluster.writer();
    for round in 0..3 {
        let mut twins = [5 + 2 * round, 6 + 2 * round].map(|number| Node::new(number, &cluster.place, &cluster.store, &options));
        let name = format!("twin{round}");
        for twin in &mut twins {
            let own = format!("name: {}\n", twin.name);
            twin.edit(|text| text.replace(&own, &format!("name: {name}\n")));
        }
        twins.iter_mut().for_each(Node::start);
        let begun = Instant::now();
        let ended = wait::until("one of them ends", SLACK, || {
            let said =
                |twin: &Node| twin.told().contains(&format!("name: {name} is the name of another node, which runs at http://"));
            match twins.iter().position(said) {
                Some(index) => Ok(index),
                None => Err(format!("both run since {:?}", begun.elapsed())),
            }
        });
        let code = twins[ended].ended(SLACK);
        assert!(code.is_some_and(|code| code > 0), "{code:?}");
        assert!(twins[ended].postgres_processes().is_empty());
        let stays = &mut twins[1 - ended];
        wait::until("the other one is a replica", SLACK, || match stays.get("/replica") {
            200 => Ok(()),
            other => Err(format!("{other}: {:?}", stays.view())),
        });
        assert_eq!(stays.stop(SLACK), Some(0));
    }
    cluster.verdict(writer, true);
}
