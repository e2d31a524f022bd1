//! A plugin host without a sandbox, for the broker's tests: it speaks the protocol and misbehaves on demand.
//!
//! `FAKE_HOST_DIR` names a directory with `script`, one word per call to come (none left: `ok`), taken line by line and so across
//! restarts; `calls` and `answers`, to which it appends what it was told; and `go`, for which some words wait.

use std::{
    env, fs,
    io::{Read, Write},
    net::IpAddr,
    os::unix::net::UnixStream,
    path::PathBuf,
    process, thread,
    time::Duration,
};
use tanist_broker::protocol::{
    Call, CallId, Denial, Digest, Done, Export, HttpRequest, Loaded, Op, Outcome, PluginError, Reply, RequestId, ToAgent, ToHost,
    VERSION, Work, decode, encode, inherited_socket,
};

struct Host {
    socket: UnixStream,
    directory: PathBuf,
    requests: u64,
}

fn main() {
    let directory = PathBuf::from(env::var_os("FAKE_HOST_DIR").expect("FAKE_HOST_DIR"));
    let mut host = Host { socket: inherited_socket().expect("the agent's socket"), directory, requests: 0 };
    let version = env::var("FAKE_HOST_VERSION").map_or(VERSION, |version| version.parse().expect("a number"));
    host.say(&ToAgent::Hello { version });
    loop {
        match host.hear() {
            ToHost::Hello { .. } | ToHost::Answer { .. } | ToHost::Cancel { .. } | ToHost::Unload { .. } => {}
            ToHost::Ping { nonce } => host.say(&ToAgent::Pong { nonce }),
            ToHost::Load(load) => {
                let exports = vec![Export::Callbacks, Export::Reconcile];
                host.say(&ToAgent::Loaded(Loaded { plugin: load.plugin, exports, imports: vec![], digest: Digest([7; 32]) }));
            }
            ToHost::Call(call) => host.call(&call),
        }
    }
}

impl Host {
    fn call(&mut self, call: &Call) {
        let (what, epoch) = match &call.work {
            Work::Callback(event) => (event.idempotency_key.clone(), event.epoch),
            Work::Reconcile(view) => (format!("reconcile {}", view.cause), view.epoch),
            Work::Smoke => ("smoke".to_owned(), 0),
        };
        // What a reconcile does is not scripted, so that tests can count on the order of words.
        let word = if matches!(call.work, Work::Callback(_)) { self.next_word() } else { "ok".to_owned() };
        self.note("calls", &format!("{} {what} {word}", call.plugin));
        match word.as_str() {
            "ok" => self.done(call.call, Outcome::Ok),
            "fail" => self.done(call.call, Outcome::Plugin(PluginError::Transient("scripted".to_owned()))),
            "wait" => {
                self.wait_for_go();
                self.done(call.call, Outcome::Ok);
            }
            "die" => process::exit(1),
            "hang" => {}
            "deaf" => loop {
                thread::sleep(Duration::from_secs(3_600));
            },
            "garbage" => self.socket.write_all(&[3, 0, 0, 0, 0xFF, 0xFF, 0xFF]).expect("the socket"),
            "claim" => self.claim(call.call, epoch),
            "post-claim" => self.post_claim(call.call, epoch),
            "claim-after-go" => {
                self.wait_for_go();
                self.claim(call.call, epoch);
            }
            "claim-when-cancelled" => {
                while !matches!(self.hear(), ToHost::Cancel { .. }) {}
                self.claim(call.call, epoch);
            }
            other => panic!("the script says {other:?}"),
        }
    }

    fn claim(&mut self, call: CallId, epoch: u64) {
        let addresses = vec![IpAddr::from([10, 0, 0, 1])];
        let result = self.ask(call, Op::DnsPoint { name: "primary.example.org".to_owned(), addresses, ttl: 5, epoch });
        self.end(call, result);
    }

    fn post_claim(&mut self, call: CallId, epoch: u64) {
        let (method, url) = ("POST".to_owned(), "http://pool.example.org/primary".to_owned());
        let request = HttpRequest { method, url, headers: vec![], body: vec![], timeout_ms: None, claim: Some(epoch) };
        let result = match self.ask(call, Op::Http { requests: vec![request] }) {
            Ok(Reply::Http(mut answers)) => answers.remove(0).map(|answer| Reply::Http(vec![Ok(answer)])),
            other => other,
        };
        self.end(call, result);
    }

    fn ask(&mut self, call: CallId, op: Op) -> Result<Reply, Denial> {
        self.requests += 1;
        self.say(&ToAgent::Request { call, request: RequestId(self.requests), op });
        loop {
            match self.hear() {
                ToHost::Answer { result, .. } => return result,
                ToHost::Ping { nonce } => self.say(&ToAgent::Pong { nonce }),
                _ => {}
            }
        }
    }

    /// As the SDK does with an answer.
    fn end(&mut self, call: CallId, result: Result<Reply, Denial>) {
        let (words, outcome) = match result {
            Ok(reply) => (format!("{reply:?}"), Outcome::Ok),
            Err(denial) => {
                let words = denial.to_string();
                let error = match denial {
                    Denial::StaleEpoch { current, .. } => PluginError::Fenced(current),
                    _ => PluginError::Transient(words.clone()),
                };
                (words, Outcome::Plugin(error))
            }
        };
        self.note("answers", &words);
        self.done(call, outcome);
    }

    fn done(&mut self, call: CallId, outcome: Outcome) {
        self.say(&ToAgent::Done(Done { call, outcome, cpu_us: 1, wall_us: 1, stderr: String::new() }));
    }

    fn next_word(&self) -> String {
        let path = self.directory.join("script");
        let script = fs::read_to_string(&path).unwrap_or_default();
        let (word, rest) = script.split_once('\n').unwrap_or((&script, ""));
        fs::write(&path, rest).expect("the script");
        if word.is_empty() { "ok".to_owned() } else { word.to_owned() }
    }

    fn wait_for_go(&mut self) {
        // Goes on answering pings meanwhile: it is the guest that waits, not the host.
        self.socket.set_read_timeout(Some(Duration::from_millis(5))).expect("the socket");
        while !self.directory.join("go").exists() {
            let mut length = [0; 4];
            if self.socket.read(&mut length).is_ok_and(|read| read == 4)
                && let ToHost::Ping { nonce } = self.body(length)
            {
                self.say(&ToAgent::Pong { nonce });
            }
        }
        self.socket.set_read_timeout(None).expect("the socket");
    }

    fn note(&self, file: &str, line: &str) {
        let path = self.directory.join(file);
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).expect("a file to note in");
        file.write_all(format!("{line}\n").as_bytes()).expect("a note");
    }

    fn say(&mut self, message: &ToAgent) {
        let frame = encode(message).expect("a frame");
        if self.socket.write_all(&frame).is_err() {
            process::exit(0);
        }
    }

    fn hear(&mut self) -> ToHost {
        let mut length = [0; 4];
        if self.socket.read_exact(&mut length).is_err() {
            process::exit(0);
        }
        self.body(length)
    }

    fn body(&mut self, length: [u8; 4]) -> ToHost {
        let mut body = vec![0; u32::from_le_bytes(length) as usize];
        self.socket.read_exact(&mut body).expect("a body");
        decode(&body).expect("a message")
    }
}
