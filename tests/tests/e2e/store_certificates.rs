//! etcd over TLS with client certificates: a whole cluster on it, certificates that do not fit said in words wherever one looks, and all
//! over, without a restart of anything of ours, when the right ones are back.

use crate::store_trouble::says;
use std::{fs, net::IpAddr, path::Path, time::Duration};
use tanist_tests::{certificates::Authorities, cluster::Cluster, command::tanist, node::Options, place, store::Kind, wait};

/// One node's files: whom it trusts, who it is.
fn present(files: &Authorities, authority: &str, identity: &str) {
    let copy = |from: String, to: &str| fs::copy(files.path(&from), files.path(to)).expect("a copy");
    copy(format!("{authority}.crt"), "trusted.crt");
    copy(format!("{identity}.crt"), "me.crt");
    copy(format!("{identity}.key"), "me.key");
    place::give_to_database_user(files.path("").as_path());
}

/// Authorities, etcd's certificate for the address under which the node reaches it, and two for the node.
fn files(directory: &Path, etcd: IpAddr) -> Authorities {
    fs::create_dir(directory).expect("a directory");
    let files = Authorities::at(directory);
    files.authority("ours");
    files.authority("other");
    files.sign("server", "ours", etcd, 2);
    files.sign("good", "ours", etcd, 2);
    files.sign("foreign", "other", etcd, 2);
    place::give_to_database_user(directory);
    files
}

#[test]
fn certificates_that_do_not_fit_are_named_and_those_that_came_are_used() {
    let mut cluster = Cluster::prepare(Kind::Etcd, 1, &Options { synchronous: false, ..Options::default() });
    let files = files(&cluster.place.path().join("certificates"), cluster.place.address(101).into());
    cluster.store.secure(&files);
    let path = |name: &str| files.path(name).display().to_string();
    let [trusted, certificate, key] = ["trusted.crt", "me.crt", "me.key"].map(path);
    let tls = format!("etcd3:\n  protocol: https\n  cacert: {trusted}\n  cert: {certificate}\n  key: {key}\n");
    cluster.nodes[0].edit(|text| text.replace("etcd3:\n", &tls));
    let config = cluster.nodes[0].config().display().to_string();

    for (authority, identity, words) in [("ours", "foreign", "etcd3.cert: "), ("other", "good", "etcd3.cacert: ")] {
        present(&files, authority, identity);
        cluster.nodes[0].start();
        says(&cluster, words);
        let pids = cluster.nodes[0].pids();
        let list = wait::until("`list` names it, not only that time was up", Duration::from_secs(30), || {
            let list = tanist(&["list", "--config", &config]);
            if list.err.contains("no answer in time") { Err(list.err) } else { Ok(list) }
        });
        list.refuses(&[&config, words]);
        present(&files, "ours", "good");
        cluster.settled(false);
        assert_eq!(cluster.nodes[0].pids().agent, pids.agent, "the same agent all the time");

        // Who works goes on with the files that worked, and says so, when etcd starts anew.
        let epoch = cluster.epoch();
        present(&files, authority, identity);
        cluster.store.down();
        cluster.store.up();
        let node = &cluster.nodes[0];
        let told = format!("the certificates are not used as they are now: {words}");
        wait::until("the log says which are not used", Duration::from_secs(30), || {
            if node.told().contains(&told) { Ok(()) } else { Err(node.told()) }
        });
        let since = node.view().expect("its view")["dcs_last_seen"].as_u64();
        wait::until("it hears of the store", Duration::from_secs(30), || {
            let view = node.view()?;
            if view["dcs_last_seen"].as_u64() > since { Ok(()) } else { Err(view.to_string()) }
        });
        assert_eq!((node.get("/primary"), cluster.epoch()), (200, epoch), "it leads, under the same epoch");
        cluster.nodes[0].stop(Duration::from_secs(30));
    }
}
