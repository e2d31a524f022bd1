//! Each way a guest can misbehave gives an outcome of its own, in time, and the next call finds a good instance.

mod common;

use common::{ALL, EPOCH, FakeAgent, fixture, id, role_change};
use std::time::{Duration, Instant};
use tanist_broker::protocol::{HttpRequest, Limits, Op, Outcome, PluginError, Source, ToAgent, ToHost, TrapKind};

/// Enough for any of the calls that shall not run into it.
const AMPLE: u32 = 20_000;

#[tokio::test]
async fn an_endless_loop_ends_with_its_computing_time() {
    let mut agent = FakeAgent::start().await;
    agent.load_fixture(Limits::default()).await;
    for _ in 0..3 {
        let story = agent.fault("loop", AMPLE, 100).await;
        assert_eq!(story.done.outcome, Outcome::CpuExceeded);
        assert!(story.done.cpu_us >= 100_000, "stopped too early: {story:?}");
        println!("loop of 100 ms: {:?}, cpu {} µs", story.took, story.done.cpu_us);
        agent.assert_well().await;
    }
}

#[tokio::test]
async fn a_sleeping_guest_ends_with_its_wall_time() {
    let mut agent = FakeAgent::start().await;
    agent.load_fixture(Limits::default()).await;
    let story = agent.fault("sleep", 100, AMPLE).await;
    assert_eq!(story.done.outcome, Outcome::WallExceeded);
    assert!(story.took >= Duration::from_millis(100) && story.done.cpu_us < 50_000, "{story:?}");
    println!("sleep of 100 ms: {:?}", story.took);
    agent.assert_well().await;
}

#[tokio::test]
async fn a_loop_ends_with_its_wall_time_too() {
    let mut agent = FakeAgent::start().await;
    agent.load_fixture(Limits::default()).await;
    let story = agent.fault("loop", 100, AMPLE).await;
    assert_eq!(story.done.outcome, Outcome::WallExceeded);
    println!("loop, wall of 100 ms: {:?}", story.took);
    agent.assert_well().await;
}

#[tokio::test]
async fn a_silent_agent_costs_no_computing_time_and_the_guest_may_still_answer() {
    let mut agent = FakeAgent::start().await;
    agent.load_fixture(Limits::default()).await;
    agent.mute = true;
    let story = agent.fault("point", 200, 100).await;
    assert_eq!(story.requests.len(), 1);
    let Outcome::Plugin(PluginError::Transient(text)) = &story.done.outcome else { panic!("{story:?}") };
    assert!(text.contains("expired"), "{text}");
    assert!(story.done.cpu_us < 100_000, "waiting was counted as computing: {story:?}");
    agent.mute = false;
    agent.assert_well().await;
}

#[tokio::test]
async fn memory_ends_at_its_limit() {
    let mut agent = FakeAgent::start().await;
    agent.load_fixture(Limits { memory_bytes: 16 << 20, ..Limits::default() }).await;
    let story = agent.fault("memory", AMPLE, AMPLE).await;
    assert_eq!(story.done.outcome, Outcome::MemoryExceeded);
    assert!(story.done.stderr.contains("memory allocation"), "{story:?}");
    println!("memory: {:?}", story.took);
    agent.assert_well().await;
}

#[tokio::test]
async fn a_panic_is_a_trap_with_its_text() {
    let mut agent = FakeAgent::start().await;
    agent.load_fixture(Limits::default()).await;
    let story = agent.fault("panic", AMPLE, AMPLE).await;
    assert!(matches!(story.done.outcome, Outcome::Trap { kind: TrapKind::Unreachable, .. }), "{story:?}");
    assert!(story.done.stderr.contains("asked to panic") && story.done.stderr.contains("lib.rs"), "{story:?}");
    println!("panic: {:?}", story.took);
    agent.assert_well().await;
}

#[tokio::test]
async fn endless_recursion_is_a_trap() {
    let mut agent = FakeAgent::start().await;
    agent.load_fixture(Limits::default()).await;
    let story = agent.fault("overflow", AMPLE, AMPLE).await;
    let Outcome::Trap { kind, .. } = story.done.outcome else { panic!("{story:?}") };
    assert!(matches!(kind, TrapKind::StackOverflow | TrapKind::MemoryOutOfBounds), "{kind:?}");
    agent.assert_well().await;
}

#[tokio::test]
async fn exit_is_a_fault_whatever_its_code() {
    let mut agent = FakeAgent::start().await;
    agent.load_fixture(Limits::default()).await;
    let story = agent.fault("exit", AMPLE, AMPLE).await;
    assert_eq!(story.done.outcome, Outcome::Exited { code: 0 });
    agent.assert_well().await;
}

#[tokio::test]
async fn floods_are_stopped_by_their_budgets() {
    let mut agent = FakeAgent::start().await;
    agent.load_fixture(Limits::default()).await;
    for (fault, words) in [
        ("log-flood", "65536 bytes of log lines"),
        ("stderr-flood", "65536 bytes of log lines"),
        ("request-flood", "1000 requests"),
        ("log-huge", "1048576 bytes handed to the host"),
        ("huge-error", "1048576 bytes handed to the host"),
    ] {
        let story = agent.fault(fault, AMPLE, AMPLE).await;
        let Outcome::BudgetExceeded(text) = &story.done.outcome else { panic!("{fault}: {:?}", story.done) };
        assert!(text.contains(words), "{fault}: {text}");
        assert!(story.lines.len() < 1_000 && story.requests.len() <= 1_000);
        println!("{fault}: {:?}, {} lines, {} requests", story.took, story.lines.len(), story.requests.len());
        agent.assert_well().await;
    }
}

#[tokio::test]
async fn calls_that_cost_the_agent_nothing_cost_the_guest_its_computing_time() {
    let mut agent = FakeAgent::start().await;
    agent.load_fixture(Limits::default()).await;
    for fault in ["clock-flood", "config-flood", "random-flood", "slow-request"] {
        let story = agent.fault(fault, AMPLE, 100).await;
        assert_eq!(story.done.outcome, Outcome::CpuExceeded, "{fault}: {story:?}");
        println!("{fault} of 100 ms: {:?}, cpu {} µs", story.took, story.done.cpu_us);
        agent.assert_well().await;
    }
}

#[tokio::test]
async fn a_long_panic_keeps_its_end_within_bounds() {
    let mut agent = FakeAgent::start().await;
    agent.load_fixture(Limits::default()).await;
    let story = agent.fault("panic-long", AMPLE, AMPLE).await;
    assert!(matches!(story.done.outcome, Outcome::Trap { .. } | Outcome::BudgetExceeded(_)), "{:?}", story.done.outcome);
    assert!(story.done.stderr.len() <= 4 << 10, "{} bytes", story.done.stderr.len());
    agent.assert_well().await;
}

#[tokio::test]
async fn requests_over_http_go_to_the_agent_as_they_are() {
    let mut agent = FakeAgent::start().await;
    agent.load_fixture(Limits::default()).await;
    let story = agent.fault("http", AMPLE, AMPLE).await;
    assert_eq!(story.done.outcome, Outcome::Ok, "{story:?}");
    assert_eq!(story.lines, [r#"200 Some("test"), Ok(200) Err(HttpError::Unknown("lost"))"#]);
    let request = |method: &str| HttpRequest {
        method: method.to_owned(),
        url: "https://hooks.example/a?b".to_owned(),
        headers: vec![("x".to_owned(), "y".to_owned())],
        body: b"body".to_vec(),
        timeout_ms: Some(70),
        claim: Some(EPOCH),
    };
    let expected = [Op::Http { requests: vec![request("POST")] }, Op::Http { requests: vec![request("GET"), request("PUT")] }];
    assert_eq!(story.requests, expected);
}

#[tokio::test]
async fn nothing_of_the_machine_is_seen() {
    let mut agent = FakeAgent::start().await;
    agent.load_fixture(Limits::default()).await;
    for fault in ["files", "sockets"] {
        let story = agent.fault(fault, AMPLE, AMPLE).await;
        assert_eq!(story.done.outcome, Outcome::Ok, "{fault}: {story:?}");
    }
}

#[tokio::test]
async fn a_plugin_s_own_error_keeps_its_instance() {
    let mut agent = FakeAgent::start().await;
    agent.load_fixture(Limits::default()).await;
    let story = agent.fault("transient", AMPLE, AMPLE).await;
    assert_eq!(story.done.outcome, Outcome::Plugin(PluginError::Transient("try later".to_owned())));
    agent.assert_well().await;
}

#[tokio::test]
async fn pings_and_other_plugins_are_served_while_a_guest_loops() {
    let mut agent = FakeAgent::start().await;
    agent.load_fixture(Limits::default()).await;
    let call = agent.begin(role_change("loop"), AMPLE, 1_000).await;
    let mut slowest = Duration::ZERO;
    for nonce in 0..20 {
        let since = Instant::now();
        agent.send(&ToHost::Ping { nonce }).await;
        assert_eq!(agent.next().await, ToAgent::Pong { nonce });
        slowest = slowest.max(since.elapsed());
    }
    // Twenty pongs came before the end of the loop: the next message is that end.
    assert_eq!(agent.follow(call).await.done.outcome, Outcome::CpuExceeded);
    println!("slowest pong beside a loop: {slowest:?}");
}

#[tokio::test]
async fn a_call_can_be_cancelled() {
    let mut agent = FakeAgent::start().await;
    agent.load_fixture(Limits::default()).await;
    for fault in ["loop", "sleep"] {
        let call = agent.begin(role_change(fault), AMPLE, AMPLE).await;
        agent.send(&ToHost::Cancel { call }).await;
        assert_eq!(agent.follow(call).await.done.outcome, Outcome::Cancelled);
        agent.assert_well().await;
    }
}

#[tokio::test]
async fn calls_of_what_is_not_loaded_are_answered() {
    let mut agent = FakeAgent::start().await;
    assert_eq!(agent.fault("good", AMPLE, AMPLE).await.done.outcome, Outcome::NotLoaded);
    agent.load(Source::Path(fixture()), &ALL, Limits::default()).await.unwrap();
    agent.assert_well().await;
    agent.send(&ToHost::Unload { plugin: id() }).await;
    assert_eq!(agent.fault("good", AMPLE, AMPLE).await.done.outcome, Outcome::NotLoaded);
    agent.hang_up().unwrap();
}

#[tokio::test]
async fn a_warm_call_with_three_requests() {
    let mut agent = FakeAgent::start().await;
    agent.load_fixture(Limits::default()).await;
    let mut times = Vec::new();
    for _ in 0..2_000 {
        let story = agent.fault("three-requests", AMPLE, AMPLE).await;
        assert_eq!(story.done.outcome, Outcome::Ok);
        assert_eq!((story.requests.len(), story.lines.len()), (3, 1));
        times.push((story.took, story.done.wall_us, story.done.cpu_us));
    }
    times.sort_unstable();
    let (took, wall, cpu) = times[times.len() / 2];
    println!(
        "warm call, config + log + 3 requests, epoch {EPOCH}: median {took:?} (host {wall} µs, computing {cpu} µs), p99 {:?}",
        times[1_980].0
    );
}
