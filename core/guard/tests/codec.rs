//! The codec: round trips, bounds, and bytes of any kind.

use std::ffi::OsString;
use tanist_guard::{
    page::FenceState,
    protocol::{
        Command, EncodeError, Exit, FenceCause, JobKind, JobStatus, MAX_JOBS, MAX_MESSAGE, MAX_REPORT, Program, Refusal, Report,
        Request, Status, StopMode,
    },
};

fn program() -> Program {
    Program {
        argv: ["/bin/x", "", "-c a=b"].map(OsString::from).to_vec(),
        env: vec![("A".into(), "1=2".into()), ("B".into(), "".into())],
        cwd: "/d".into(),
        log: "".into(),
    }
}

fn commands() -> Vec<Command> {
    vec![
        Command::Spawn { job: u64::MAX, kind: JobKind::Writer, program: program() },
        Command::Spawn { job: 2, kind: JobKind::Helper, program: program() },
        Command::Arm { epoch: 1, deadline_boot: 2, deadline_raw: 3, ttl: 4 },
        Command::Disarm,
        Command::StartPostgres { job: 3, program: program(), primary_epoch: Some(9) },
        Command::StartPostgres { job: 3, program: program(), primary_epoch: None },
        Command::Claimed { epoch: 5, timeline: u32::MAX },
        Command::Promote { job: 4, epoch: 5, timeline: 6 },
        Command::Stop { job: 6, mode: StopMode::Fast },
        Command::Stop { job: 6, mode: StopMode::Immediate },
        Command::Fence,
        Command::Sessions { count: u32::MAX },
        Command::KillJob { job: 7 },
    ]
}

/// What the guard reads, back in the agent's form.
fn owned(request: Request<'_>) -> Command {
    let program = |p: tanist_guard::protocol::ProgramRef<'_>| {
        let text = |c: &std::ffi::CStr| c.to_str().unwrap().to_owned();
        let pair = |c: &std::ffi::CStr| {
            let text = text(c);
            let (key, value) = text.split_once('=').unwrap();
            (key.into(), value.into())
        };
        Program {
            argv: p.argv.iter().map(|c| text(c).into()).collect(),
            env: p.env.iter().map(pair).collect(),
            cwd: text(p.cwd).into(),
            log: text(p.log).into(),
        }
    };
    match request {
        Request::Spawn { job, kind, program: p } => Command::Spawn { job, kind, program: program(p) },
        Request::Arm { epoch, deadline_boot, deadline_raw, ttl } => Command::Arm { epoch, deadline_boot, deadline_raw, ttl },
        Request::Disarm => Command::Disarm,
        Request::StartPostgres { job, program: p, primary_epoch } => {
            Command::StartPostgres { job, program: program(p), primary_epoch }
        }
        Request::Claimed { epoch, timeline } => Command::Claimed { epoch, timeline },
        Request::Promote { job, epoch, timeline } => Command::Promote { job, epoch, timeline },
        Request::Stop { job, mode } => Command::Stop { job, mode },
        Request::Fence => Command::Fence,
        Request::Sessions { count } => Command::Sessions { count },
        Request::KillJob { job } => Command::KillJob { job },
    }
}

fn reports() -> Vec<Report> {
    let mut status = Status::new(Some((1, 2)), FenceState::Running, true);
    for job in 0..=MAX_JOBS as u64 {
        status.push(JobStatus { job, pid: 7, kind: if job % 2 == 0 { JobKind::Writer } else { JobKind::Helper } });
    }
    assert_eq!(status.jobs().len(), MAX_JOBS, "one too many was left out");
    let mut reports = vec![
        Report::Status(status),
        Report::Status(Status::new(None, FenceState::Complete, false)),
        Report::Spawned { job: 1, pid: 2 },
        Report::Exited { job: 1, exit: Exit::Code(127) },
        Report::Exited { job: 1, exit: Exit::Signal(9) },
        Report::PostmasterExited { job: 1, stop: None, exit: Exit::Code(0) },
        Report::PostmasterExited { job: 1, stop: Some(u64::MAX), exit: Exit::Signal(6) },
        Report::Armed { epoch: 8 },
        Report::Disarmed,
    ];
    for cause in
        [FenceCause::Deadline, FenceCause::Requested, FenceCause::PostmasterDied, FenceCause::Unguarded, FenceCause::AgentEnded]
    {
        reports.push(Report::Fenced { counter: 3, cause, signalled_ns: 4, complete_ns: 5 });
    }
    use Refusal::*;
    for reason in [
        Malformed,
        WriterRuns,
        NotArmed,
        WrongEpoch,
        NoTimeLeft,
        StaleEpoch,
        NoPostmaster,
        MayBeWritable,
        TooManyJobs,
        DuplicateJob,
        UnknownJob,
        ForkFailed,
        TooManyStrings,
        NotClaimed,
        ClaimedBefore,
    ] {
        reports.push(Report::Refused { job: 1, reason });
    }
    reports
}

#[test]
fn every_command_comes_back() {
    for command in commands() {
        let packet = command.encode().unwrap();
        assert_eq!(owned(Request::decode(&packet).unwrap()), command);
        for cut in 0..packet.len() {
            assert!(Request::decode(&packet[..cut]).is_none(), "{command:?} cut at {cut}");
        }
        let longer = [packet.as_slice(), &[0]].concat();
        assert!(Request::decode(&longer).is_none(), "{command:?} with a byte too many");
    }
}

#[test]
fn every_report_comes_back() {
    let mut buffer = [0; MAX_REPORT];
    for report in reports() {
        let len = report.encode(&mut buffer).unwrap();
        assert_eq!(Report::decode(&buffer[..len]), Some(report));
        for cut in 0..len {
            assert_eq!(Report::decode(&buffer[..cut]), None, "{report:?} cut at {cut}");
            assert_eq!(report.encode(&mut vec![0; cut]), None);
        }
    }
}

#[test]
fn what_cannot_be_a_message_is_refused() {
    let with = |change: fn(&mut Program)| {
        let mut program = program();
        change(&mut program);
        Command::Spawn { job: 1, kind: JobKind::Helper, program }.encode()
    };
    assert_eq!(with(|p| p.argv.push("a\0b".into())), Err(EncodeError::Nul));
    assert_eq!(with(|p| p.cwd = "\0".into()), Err(EncodeError::Nul));
    assert_eq!(with(|p| p.argv.clear()), Err(EncodeError::NoProgram));
    assert_eq!(with(|p| p.argv.push("x".repeat(MAX_MESSAGE).into())), Err(EncodeError::TooLong));
    assert_eq!(with(|p| p.argv = vec!["x".into(); 70_000]), Err(EncodeError::TooLong));
}

/// Bytes that a decoder may meet: valid messages with bytes changed, and noise. Decoding must not panic, and a request that decodes
/// must be walkable.
#[test]
fn no_bytes_panic() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let mut buffer = [0; MAX_REPORT];
    let mut packets = commands().iter().map(|c| c.encode().unwrap()).collect::<Vec<_>>();
    packets.extend(reports().iter().map(|r| {
        let len = r.encode(&mut buffer).unwrap();
        buffer[..len].to_vec()
    }));
    let mut accepted = 0;
    for round in 0..200_000 {
        let mut packet = match round % 4 {
            0 => (0..random() % 200).map(|_| random() as u8).collect(),
            _ => packets[random() as usize % packets.len()].clone(),
        };
        for _ in 0..random() % 4 {
            let at = random() as usize % packet.len().max(1);
            if let Some(byte) = packet.get_mut(at) {
                *byte = random() as u8;
            }
        }
        packet.truncate(packet.len() - (random() as usize % 3).min(packet.len()));
        accepted += u32::from(Report::decode(&packet).is_some());
        match Request::decode(&packet) {
            Some(Request::Spawn { program, .. } | Request::StartPostgres { program, .. }) => {
                assert_eq!(program.argv.iter().count(), program.argv.len());
                assert_eq!(program.env.iter().count(), program.env.len());
                accepted += 1;
            }
            Some(_) => accepted += 1,
            None => {}
        }
    }
    assert!(accepted > 1000, "the generator reaches the decoders' ends: {accepted}");
}

/// What Kubernetes tells a container of a service with one port.
fn service(name: &str) -> Vec<(OsString, OsString)> {
    let tcp = "tcp://10.96.120.33:5432";
    let endings = [
        ("_SERVICE_HOST", "10.96.120.33"),
        ("_SERVICE_PORT", "5432"),
        ("_SERVICE_PORT_POSTGRES", "5432"),
        ("_PORT", tcp),
        ("_PORT_5432_TCP", tcp),
        ("_PORT_5432_TCP_PROTO", "tcp"),
        ("_PORT_5432_TCP_PORT", "5432"),
        ("_PORT_5432_TCP_ADDR", "10.96.120.33"),
    ];
    endings.iter().map(|(ending, value)| (format!("{name}{ending}").into(), value.into())).collect()
}

#[test]
fn services_of_kubernetes_make_room_for_the_rest() {
    let own = [("PATH", "/bin"), ("PROXY_PORT", "3128"), ("SERVICE_PORT_X", "1"), ("SHOP_1_PORTAL", "2"), ("AWS_REGION", "x")];
    let mut kept = own.map(|(key, value)| (key.into(), value.into())).to_vec();
    kept.extend(service("KUBERNETES"));
    let start = |services: usize| {
        let env = (0..services).flat_map(|n| service(&format!("SHOP_{n}"))).chain(kept.clone()).collect();
        Program { env, ..program() }
    };
    let mut few = start(20);
    assert_eq!((few.fit(), few), (0, start(20)), "what fits is left alone");
    for primary_epoch in [None, Some(u64::MAX)] {
        let mut many = start(300);
        let command = |program| Command::StartPostgres { job: u64::MAX, program, primary_epoch };
        assert_eq!(command(many.clone()).encode(), Err(EncodeError::TooLong));
        assert_eq!(many.fit(), 300 * 8);
        assert_eq!(many.env, kept);
        assert_eq!(owned(Request::decode(&command(many.clone()).encode().unwrap()).unwrap()), command(many));
    }
}

#[test]
fn what_fits_can_be_sent() {
    let sizes = (MAX_MESSAGE - 120)..MAX_MESSAGE;
    let sent = sizes.map(|size| {
        let mut program =
            Program { argv: vec!["/x".into()], env: vec![("A_SERVICE_HOST".into(), "x".repeat(size).into())], ..program() };
        let dropped = program.fit();
        Command::StartPostgres { job: 1, program, primary_epoch: Some(1) }.encode().map(|_| dropped).unwrap()
    });
    let sent: Vec<_> = sent.collect();
    assert!(sent.contains(&0) && sent.contains(&1));
}

#[test]
fn too_long_has_a_remedy() {
    for text in [EncodeError::TooLong.to_string(), Refusal::TooManyStrings.to_string()] {
        assert!(text.contains("fewer") && text.contains("enableServiceLinks"), "{text}");
    }
}
