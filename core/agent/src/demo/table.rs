//! The live table: nodes, roles, state, epoch, timeline, both names.

use super::{
    config::{BIND_NAME, own_name},
    place::Place,
    stage::Stage,
    watch::{NODES, NodeSeen, Seen},
};
use std::{net::IpAddr, time::Duration};

/// Between two drawings.
const EVERY: Duration = Duration::from_millis(200);

/// Draws it until the runtime ends.
pub fn start(stage: &Stage) {
    let stage = stage.clone();
    tokio::spawn(async move {
        loop {
            let seen = stage.seen.borrow().clone();
            let names = [stage.own.now(), stage.bind.now()].map(|answer| who(&stage.place, answer.as_deref()));
            stage.screen.table(table(&seen, &names, stage.writer.count()), &line(&seen, &names));
            tokio::time::sleep(EVERY).await;
        }
    });
}

/// Whom an answer names.
fn who(place: &Place, answer: Option<&[IpAddr]>) -> String {
    let name = |address: &IpAddr| {
        let node = NODES.into_iter().find(|number| IpAddr::V4(place.address(*number)) == *address);
        node.map_or_else(|| address.to_string(), |number| format!("n{number}"))
    };
    match answer {
        None => "no answer".to_owned(),
        Some([]) => "nobody".to_owned(),
        Some(addresses) => addresses.iter().map(name).collect::<Vec<_>>().join(" "),
    }
}

fn role(seen: &Seen, number: u8) -> String {
    let node = seen.node(number);
    match node {
        NodeSeen { answers: false, .. } => "gone".to_owned(),
        NodeSeen { writable: true, .. } => "primary".to_owned(),
        NodeSeen { job: Some(job), .. } => format!("({job})"),
        NodeSeen { streaming: true, .. } if seen.standby == Some(number) => "sync standby".to_owned(),
        NodeSeen { streaming: true, .. } => "standby".to_owned(),
        NodeSeen { role, .. } if role == "uninitialized" => "no database".to_owned(),
        NodeSeen { role, .. } => role.clone(),
    }
}

fn number(value: Option<u64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn table(seen: &Seen, [own, bind]: &[String; 2], rows: usize) -> Vec<String> {
    let mut lines = vec![String::new(), format!("  {:<5}{:<15}{:<15}{:>6}{:>10}", "node", "role", "state", "epoch", "timeline")];
    for node in NODES {
        let NodeSeen { state, epoch, timeline, .. } = seen.node(node);
        let (name, role) = (format!("n{node}"), role(seen, node));
        lines.push(format!("  {name:<5}{role:<15}{state:<15}{:>6}{:>10}", number(*epoch), number(*timeline)));
    }
    lines.push(format!("  {:<30} {own:<10} (tanist's own DNS)", own_name()));
    lines.push(format!("  {BIND_NAME:<30} {bind:<10} (BIND, moved by the plugin dns-update)"));
    lines.push(format!("  {rows} rows acknowledged"));
    lines
}

fn line(seen: &Seen, [own, bind]: &[String; 2]) -> String {
    let nodes = NODES.map(|node| {
        let NodeSeen { state, timeline, .. } = seen.node(node);
        let timeline = timeline.map(|timeline| format!(" timeline {timeline}")).unwrap_or_default();
        // "sync standby streaming" says one thing twice.
        let state = if ["streaming", "running", ""].contains(&state.as_str()) { String::new() } else { format!(" {state}") };
        format!("n{node} {}{state}{timeline}", role(seen, node))
    });
    let epoch = seen.nodes.iter().filter_map(|node| node.epoch).max();
    format!("{} | epoch {} | own name {own}, BIND {bind}", nodes.join(", "), number(epoch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_every_node_and_both_names() {
        let primary = NodeSeen { answers: true, writable: true, epoch: Some(7), timeline: Some(2), ..NodeSeen::default() };
        let standby = NodeSeen { answers: true, streaming: true, state: "streaming".into(), ..NodeSeen::default() };
        let seen = Seen { nodes: [NodeSeen::default(), primary, standby], standby: Some(3), proved: Some(2) };
        let names = ["n2".to_owned(), "nobody".to_owned()];
        let text = table(&seen, &names, 12).join("\n");
        for part in ["n1   gone", "n2   primary", "n3   sync standby   streaming", "nobody", "12 rows", "demo.tanist.example"] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        let expected = "n1 gone, n2 primary timeline 2, n3 sync standby | epoch 7 | own name n2, BIND nobody";
        assert_eq!(line(&seen, &names), expected);
    }
}
