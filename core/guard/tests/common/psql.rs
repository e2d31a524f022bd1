//! Clients: one-off queries, and sessions that are opened before a fault and note when each acknowledgement was read.

use super::BIN;
use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    thread::{self, JoinHandle},
};
use tanist_guard::clock::boot_now_ns;

fn psql(dir: &Path) -> Command {
    let mut command = Command::new(format!("{BIN}/psql"));
    // Without ON_ERROR_STOP psql goes on to read where an error came just before the connection was lost.
    command.args(["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "postgres", "-h"]).arg(dir).current_dir("/");
    command
}

/// The answer of one statement; `None`: it failed.
pub fn query(dir: &Path, sql: &str) -> Option<String> {
    let output = psql(dir).args(["-c", sql]).output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

/// A line that the server's answer produced, and when it was read.
pub type Answer = (u64, String);

/// A session.
pub struct Session {
    child: Child,
    input: Option<ChildStdin>,
    answers: mpsc::Receiver<Answer>,
    loops: Option<JoinHandle<Vec<Answer>>>,
}

impl Session {
    /// An open session; `application_name` shows in pg_stat_activity.
    pub fn open(dir: &Path, name: &str) -> Self {
        let mut command = psql(dir);
        command.env("PGAPPNAME", name).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let (sender, answers) = mpsc::channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send((boot_now_ns(), line))));
        let input = child.stdin.take();
        let mut session = Self { child, input, answers, loops: None };
        session.send("select 'ready';");
        assert_eq!(session.answers.recv().unwrap().1, "ready");
        session
    }

    /// Send a statement and do not wait. A session that is gone is not an error here.
    pub fn send(&mut self, sql: &str) {
        if let Some(input) = &mut self.input {
            let _ = writeln!(input, "{sql}").and_then(|()| input.flush());
        }
    }

    /// The next answer.
    pub fn answer(&mut self) -> String {
        self.answers.recv().unwrap().1
    }

    /// Insert row after row, each when the one before was acknowledged, until the server is gone.
    pub fn insert_for_ever(mut self) -> Self {
        let mut input = self.input.take().unwrap();
        let (_, none) = mpsc::channel();
        let answers = std::mem::replace(&mut self.answers, none);
        self.loops = Some(thread::spawn(move || {
            let mut acknowledged = Vec::new();
            for row in 0_u64.. {
                let sent = writeln!(input, "insert into acks values ('loop', {row});").and_then(|()| input.flush());
                match (sent, answers.recv()) {
                    (Ok(()), Ok(answer)) => acknowledged.push(answer),
                    _ => break,
                }
            }
            acknowledged
        }));
        self
    }

    /// Everything the server answered until the session ended by itself: nothing can come later.
    pub fn finish(mut self) -> Vec<Answer> {
        // Without further input psql ends after what it is doing, also where it has not noticed that the server is gone.
        drop(self.input.take());
        let answers = match self.loops.take() {
            Some(loops) => loops.join().unwrap(),
            None => self.answers.iter().collect(),
        };
        let _ = self.child.wait();
        answers
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The three sessions of every fence test.
pub struct Three {
    pub burning: Session,
    pub idle: Session,
    pub looping: Session,
}

impl Three {
    /// A CPU-bound statement that ends with a write, an open transaction with a write in it, and looping inserts; all under way.
    pub fn open(dir: &Path) -> Self {
        query(dir, "create table acks (who text, row bigint)").unwrap();
        let mut burning = Session::open(dir, "burning");
        burning.send(
            "do $$ declare stop timestamptz := clock_timestamp() + '6s'; begin while clock_timestamp() < stop loop end loop; \
             insert into acks values ('burning', 0); end $$;",
        );
        let mut idle = Session::open(dir, "idle");
        idle.send("begin;");
        idle.send("insert into acks values ('idle', 0);");
        assert_eq!((idle.answer(), idle.answer()), ("BEGIN".into(), "INSERT 0 1".into()));
        let looping = Session::open(dir, "looping").insert_for_ever();
        super::until("all three sessions are under way", || {
            let states = query(
                dir,
                "select count(*) from pg_stat_activity where application_name = 'burning' and state = 'active' \
                 or application_name = 'idle' and state = 'idle in transaction'",
            );
            states.as_deref() == Some("2") && query(dir, "select count(*) > 20 from acks").as_deref() == Some("t")
        });
        Self { burning, idle, looping }
    }

    /// Everything acknowledged: the sessions have ended. The commit of the idle one is tried first.
    pub fn finish(mut self) -> Acknowledged {
        self.idle.send("commit;");
        Acknowledged { burning: self.burning.finish(), idle: self.idle.finish(), looping: self.looping.finish() }
    }
}

/// What the three were told.
pub struct Acknowledged {
    pub burning: Vec<Answer>,
    pub idle: Vec<Answer>,
    pub looping: Vec<Answer>,
}

impl Acknowledged {
    /// Nothing of the first two, and nothing of the third after `deadline` (boot nanoseconds).
    pub fn assert_none_after(&self, deadline: u64) {
        assert_eq!(self.burning, [], "the computing session was acknowledged");
        assert_eq!(self.idle, [], "the open transaction was acknowledged");
        assert!(!self.looping.is_empty(), "the inserting session never worked");
        let late = self.looping.iter().filter(|(at, _)| *at > deadline).count();
        let last = self.looping.iter().map(|(at, _)| *at).max().unwrap();
        println!(
            "{} inserts acknowledged, the last {} ms before the limit",
            self.looping.len(),
            (deadline as i64 - last as i64) / 1_000_000
        );
        assert_eq!(late, 0, "inserts acknowledged after the limit");
    }
}
