//! A scripted agent for the tests: obeys text lines from a Unix socket, prints reports and pages to it. Ends with 0 when the socket closes.
//!
//! It is also the smallest complete user of the client side: one poll over the guard's socket, a thread for the watchdog.

use std::{
    ffi::OsString,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::exit,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};
use tanist_guard::{
    client::{Connection, Duty, FenceReason, Look, Watchdog},
    clock::{boot_now_ns, raw_now_ns},
    protocol::{Command, JobKind, Program, StopMode},
};

type Out = Arc<Mutex<UnixStream>>;

fn main() {
    let arguments = std::env::args().collect::<Vec<_>>();
    let guard = match Connection::from_env() {
        Ok(guard) => Arc::new(guard),
        Err(error) => {
            eprintln!("driver: {error}");
            exit(3);
        }
    };
    let data_dir = PathBuf::from(&arguments[2]);
    // What a broken configuration is to the real agent.
    if let Ok(code) = std::fs::read_to_string(data_dir.with_file_name("refuse")) {
        eprintln!("driver: refused");
        let code = code.trim().parse::<u8>().unwrap();
        if guard.page().complain(code.into()) {
            eprintln!("driver: why");
        }
        exit(code.into());
    }
    let stream = UnixStream::connect(&arguments[1]).unwrap();
    let out: Out = Arc::new(Mutex::new(stream.try_clone().unwrap()));
    say(&out, &format!("hello pid={} nonce={:x}", std::process::id(), guard.page().nonce()));
    let watching = Arc::new(AtomicBool::new(false));
    thread::spawn({
        let (guard, out, data_dir, watching) = (guard.clone(), out.clone(), data_dir.clone(), watching.clone());
        move || watch(&guard, &out, &data_dir, &watching)
    });
    thread::spawn({
        let (guard, out) = (guard.clone(), out.clone());
        move || report(&guard, &out)
    });
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { break };
        if line == "watch" {
            watching.store(true, Ordering::SeqCst);
        } else if let Some(code) = line.strip_prefix("exit ") {
            exit(code.parse().unwrap());
        } else {
            obey(&guard, &out, &data_dir, &line);
        }
    }
    exit(0)
}

fn say(out: &Out, line: &str) {
    // The test is gone when this fails; the reading side then ends the program.
    let _ = writeln!(out.lock().unwrap(), "{line}");
}

fn report(guard: &Connection, out: &Out) {
    loop {
        match guard.try_recv() {
            Ok(Some(report)) => say(out, &format!("report at={} {report:?}", boot_now_ns())),
            Ok(None) => thread::sleep(Duration::from_millis(2)),
            Err(error) => return say(out, &format!("closed {error}")),
        }
    }
}

fn watch(guard: &Connection, out: &Out, data_dir: &Path, watching: &AtomicBool) {
    let mut watchdog = Watchdog::default();
    let mut alive = guard.guard_alive();
    loop {
        alive = match watchdog.look(&Look::at(guard.page(), alive)) {
            Duty::Fence(reason) if watching.load(Ordering::SeqCst) => {
                let fenced =
                    tanist_guard::fence(data_dir, guard.page().postmaster()).and_then(|_| tanist_guard::leave_standby(data_dir));
                say(out, &format!("fenced at={} {reason:?} ok={}", boot_now_ns(), fenced.is_ok()));
                if reason == FenceReason::GuardDead {
                    exit(0);
                }
                watching.store(false, Ordering::SeqCst);
                guard.guard_alive()
            }
            Duty::Fence(_) => {
                thread::sleep(Duration::from_millis(10));
                guard.guard_alive()
            }
            Duty::Wait(ns) => guard.guard_lives_for(ns),
        };
    }
}

fn obey(guard: &Connection, out: &Out, data_dir: &Path, line: &str) {
    let words = line.split(' ').collect::<Vec<_>>();
    let number = |index: usize| words[index].parse::<u64>().unwrap();
    let after = |ms: u64| (boot_now_ns() + ms * 1_000_000, raw_now_ns() + ms * 1_000_000);
    let program = |first: usize, log: &str| Program {
        argv: words[first..].iter().map(OsString::from).collect(),
        env: std::env::vars_os().filter(|(key, _)| key == "PATH" || key == "TZ").collect(),
        cwd: "/".into(),
        log: data_dir.with_file_name(log),
    };
    let command = match words[0] {
        "page" => {
            let page = guard.page();
            let (fence, count, postmaster) = (page.fence_state(), page.fence_counter(), page.postmaster().unwrap_or(0));
            let line =
                format!("page {fence:?} fences={count} postmaster={postmaster} epoch={} {:?}", page.epoch(), page.deadline());
            return say(out, &line);
        }
        "extend" => {
            let (boot, raw) = after(number(2));
            return say(out, &format!("extend {:?}", guard.page().extend(number(1), boot, raw)));
        }
        // epoch, boot ms from now, raw ms from now, ttl ms
        "arm" => Command::Arm {
            epoch: number(1),
            deadline_boot: after(number(2)).0,
            deadline_raw: after(number(3)).1,
            ttl: number(4) * 1_000_000,
        },
        "disarm" => Command::Disarm,
        "fence" => Command::Fence,
        "sessions" => Command::Sessions { count: number(1) as u32 },
        "standby" => Command::StartPostgres { job: number(1), program: program(2, "log"), primary_epoch: None },
        "primary" => Command::StartPostgres { job: number(1), program: program(3, "log"), primary_epoch: Some(number(2)) },
        "claimed" => Command::Claimed { epoch: number(1), timeline: number(2) as u32 },
        "promote" => Command::Promote { job: number(1), epoch: number(2), timeline: number(3) as u32 },
        "stop" => Command::Stop { job: number(1), mode: if words[2] == "fast" { StopMode::Fast } else { StopMode::Immediate } },
        "writer" => Command::Spawn { job: number(1), kind: JobKind::Writer, program: program(2, "job.log") },
        "helper" => Command::Spawn { job: number(1), kind: JobKind::Helper, program: program(2, "job.log") },
        // With everything that the agent itself was given.
        "heir" => {
            let mut program = Program { env: std::env::vars_os().collect(), ..program(2, "job.log") };
            program.fit();
            Command::Spawn { job: number(1), kind: JobKind::Helper, program }
        }
        "kill" => Command::KillJob { job: number(1) },
        other => return say(out, &format!("unknown {other}")),
    };
    if let Err(error) = guard.send(&command) {
        say(out, &format!("not sent: {error}"));
    }
}
