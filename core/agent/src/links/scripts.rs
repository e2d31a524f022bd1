//! Patroni's callback scripts (`postgresql.callbacks`): the command line, and the three words action, role and scope after it.
//!
//! They run outside of the sandbox, with the agent's rights, as in Patroni. Unlike there, none is killed by a later one: they run in order,
//! one at a time, each with a limit, and every outcome is logged.

use crate::config::Callbacks;
use std::{process::Stdio, sync::Arc, time::Duration};
use tanist_engine::{Callback, Role};
use tokio::{
    process::Command,
    sync::{Semaphore, mpsc},
};

/// A script that runs longer is ended.
const LIMIT: Duration = Duration::from_secs(60);
/// Waiting calls; the oldest are dropped first, and that is logged.
const WAITING: usize = 32;

/// The queue of scripts.
#[derive(Clone)]
pub struct Scripts {
    callbacks: Arc<Callbacks>,
    queue: mpsc::Sender<(String, Callback, Role)>,
    /// One permit: taken while a script runs.
    busy: Arc<Semaphore>,
}

impl Scripts {
    /// Starts the task that runs them.
    pub fn start(callbacks: Callbacks, scope: String) -> Self {
        let (queue, calls) = mpsc::channel(WAITING);
        let busy = Arc::new(Semaphore::new(1));
        tokio::spawn(run_all(calls, scope, busy.clone()));
        Self { callbacks: Arc::new(callbacks), queue, busy }
    }

    /// Runs the script of a callback, if there is one.
    pub fn run(&self, callback: Callback, role: Role) {
        let script = match callback {
            Callback::OnStart => &self.callbacks.on_start,
            Callback::OnStop => &self.callbacks.on_stop,
            Callback::OnRestart => &self.callbacks.on_restart,
            Callback::OnReload => &self.callbacks.on_reload,
            Callback::OnRoleChange => &self.callbacks.on_role_change,
        };
        if let Some(script) = script
            && self.queue.try_send((script.clone(), callback, role)).is_err()
        {
            tracing::error!(%callback, %role, "too many callback scripts wait; this one is not run");
        }
    }

    /// Waits until none runs or waits, for at most `grace`.
    pub async fn settle(&self, grace: Duration) {
        let quiet = async {
            while self.queue.capacity() < WAITING {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let _permit = self.busy.acquire().await;
        };
        let _as_far_as_possible = tokio::time::timeout(grace, quiet).await;
    }
}

async fn run_all(mut calls: mpsc::Receiver<(String, Callback, Role)>, scope: String, busy: Arc<Semaphore>) {
    while let Some((script, callback, role)) = calls.recv().await {
        let _permit = busy.acquire().await;
        match tokio::time::timeout(LIMIT, run_one(&script, callback, role, &scope)).await {
            Ok(Ok(status)) if status.success() => tracing::info!(%script, %callback, %role, "callback script"),
            Ok(Ok(status)) => tracing::error!(%script, %callback, %role, %status, "callback script failed"),
            Ok(Err(error)) => tracing::error!(%script, %callback, %role, %error, "callback script could not be run"),
            Err(_) => tracing::error!(%script, %callback, %role, limit = ?LIMIT, "callback script was ended: it took too long"),
        }
    }
}

async fn run_one(script: &str, callback: Callback, role: Role, scope: &str) -> std::io::Result<std::process::ExitStatus> {
    let words = words(script);
    let (program, arguments) = words.split_first().ok_or_else(|| std::io::Error::other("the command line is empty"))?;
    let mut command = Command::new(program);
    command.args(arguments).arg(callback.to_string()).arg(role.to_string()).arg(scope);
    command.stdin(Stdio::null()).kill_on_drop(true);
    // To execute a file waits for the disk that it is on.
    let started = tokio::task::spawn_blocking(move || command.spawn()).await;
    started.map_err(std::io::Error::other)??.wait().await
}

/// Splits a command line as a shell does, without expansion: blanks separate, quotes and backslashes protect.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(end), _) if letter == end => quote = None,
            (Some('\''), _) => word.get_or_insert_default().push(letter),
            (_, '\\') => word.get_or_insert_default().extend(letters.next()),
            (Some(_), _) => word.get_or_insert_default().push(letter),
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, _) if letter.is_whitespace() => words.extend(word.take()),
            (None, _) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn command_lines_are_split_as_a_shell_splits_them() {
        assert_eq!(words("/bin/cb.sh  -v"), ["/bin/cb.sh", "-v"]);
        assert_eq!(words(r#"/bin/cb.sh "a b" 'c "d' e\ f """#), ["/bin/cb.sh", "a b", r#"c "d"#, "e f", ""]);
        assert!(words("   ").is_empty());
    }
}
