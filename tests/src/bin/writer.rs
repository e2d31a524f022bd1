//! The counting client as a process: `writer NOTES ADDRESS…` writes until its standard input is closed.
//!
//! One thread and one kept session per node. A session that a node refuses or loses is opened anew; a statement without an answer for
//! one second is in doubt. Numbers are never used twice.

use futures_util::{StreamExt, stream};
use std::{
    io::{Read, Write},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};
use tanist_tests::{sql, writer::boot_nanos};
use tokio_postgres::{AsyncMessage, NoTls, error::SqlState};

static NEXT: AtomicI64 = AtomicI64::new(1);
static STOP: AtomicBool = AtomicBool::new(false);

/// Every answer goes to the file at once: a note that is lost with this process would be an acknowledgement nobody checks.
type Notes = Arc<Mutex<std::fs::File>>;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().expect("usage: writer NOTES ADDRESS...");
    // Beyond every number of a writer before this one, so that no row is there already.
    NEXT.store((boot_nanos() / 1_000).cast_signed(), Ordering::SeqCst);
    let notes: Notes = Arc::new(Mutex::new(std::fs::File::create(path).expect("the notes")));
    let threads: Vec<_> = arguments
        .map(|address| {
            let (node, notes) = (address.parse::<SocketAddr>().expect("an address"), notes.clone());
            std::thread::spawn(move || serve(node, &notes))
        })
        .collect();
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest).expect("standard input");
    STOP.store(true, Ordering::SeqCst);
    for thread in threads {
        thread.join().expect("a writing thread");
    }
}

fn serve(node: SocketAddr, notes: &Notes) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        while !STOP.load(Ordering::SeqCst) {
            session(node, notes).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
}

/// One session, until it is lost.
async fn session(node: SocketAddr, notes: &Notes) {
    let Ok(Ok((client, mut connection))) = tokio::time::timeout(Duration::from_secs(1), sql::config(node).connect(NoTls)).await
    else {
        return;
    };
    let warned = Arc::new(AtomicBool::new(false));
    let flag = warned.clone();
    let driver = tokio::spawn(async move {
        let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notice(notice) = message
                && *notice.code() == SqlState::WARNING
            {
                flag.store(true, Ordering::SeqCst);
            }
        }
    });
    while !STOP.load(Ordering::SeqCst) {
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let statement = format!("INSERT INTO counted VALUES ({number})");
        let answer = tokio::time::timeout(Duration::from_secs(1), client.simple_query(&statement)).await;
        let (word, go_on) = match answer {
            Ok(Ok(_)) if warned.swap(false, Ordering::SeqCst) => ("doubt", true),
            Ok(Ok(_)) => ("ack", true),
            Ok(Err(error)) if error.code().is_some() && !client.is_closed() => ("fail", true),
            Ok(Err(_)) => ("doubt", false),
            Err(_no_answer) => ("doubt", false),
        };
        note(notes, node, number, word);
        if !go_on {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(client);
    driver.abort();
}

fn note(notes: &Notes, node: SocketAddr, number: i64, word: &str) {
    let line = format!("{} {} {number} {word}\n", boot_nanos(), node.ip());
    notes.lock().expect("the notes").write_all(line.as_bytes()).expect("a note");
}
