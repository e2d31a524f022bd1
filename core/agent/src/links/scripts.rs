//! Patroni's callback scripts (`postgresql.callbacks`): the command line, and the three words action, role and scope after it.
//!
//! They run outside of the sandbox, with the agent's rights, as in Patroni. Unlike there, none is killed by a later one: they run one at a
//! time, each with a limit, and every outcome is logged. While one runs, the newest call of each callback waits, in the order in which
//! they came, a reload last, as plugins are called (`tanist-queue`): nothing can crowd out or hold up the latest role change.

use crate::config::Callbacks;
use std::{
    process::Stdio,
    sync::{Arc, Weak},
    time::Duration,
};
use tanist_engine::{Callback, Role};
use tokio::{process::Command, sync::watch};

/// A script that runs longer is ended.
const LIMIT: Duration = Duration::from_secs(60);

/// A script to run.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Call {
    script: String,
    callback: Callback,
    role: Role,
}

/// What waits and what runs.
#[derive(Debug, Default)]
struct Calls {
    waiting: Vec<Call>,
    running: bool,
}

impl Calls {
    /// In the place of an older one of the same callback. Gives the one that is not run any more.
    fn push(&mut self, call: Call) -> Option<Call> {
        let older = self.waiting.iter().position(|waiting| waiting.callback == call.callback);
        let older = older.map(|place| self.waiting.remove(place));
        let reload = |call: &Call| call.callback == Callback::OnReload;
        let before = if reload(&call) { None } else { self.waiting.iter().position(reload) };
        self.waiting.insert(before.unwrap_or(self.waiting.len()), call);
        older
    }

    /// The one to run now.
    fn next(&mut self) -> Option<Call> {
        self.running = !self.waiting.is_empty();
        self.running.then(|| self.waiting.remove(0))
    }

    fn is_quiet(&self) -> bool {
        !self.running && self.waiting.is_empty()
    }
}

/// The queue of scripts.
#[derive(Clone)]
pub struct Scripts {
    callbacks: Arc<Callbacks>,
    calls: Arc<watch::Sender<Calls>>,
}

impl Scripts {
    /// Starts the task that runs them.
    pub fn start(callbacks: Callbacks, scope: String) -> Self {
        let (calls, news) = watch::channel(Calls::default());
        let calls = Arc::new(calls);
        tokio::spawn(run_all(Arc::downgrade(&calls), news, scope));
        Self { callbacks: Arc::new(callbacks), calls }
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
        let Some(script) = script.clone() else { return };
        let mut older = None;
        self.calls.send_modify(|calls| older = calls.push(Call { script, callback, role }));
        if let Some(Call { script, callback, role }) = older {
            tracing::warn!(%script, %callback, %role, "callback script is not run: a newer call has taken its place");
        }
    }

    /// Waits until none runs or waits, for at most `grace`.
    pub async fn settle(&self, grace: Duration) {
        let mut news = self.calls.subscribe();
        let _as_far_as_possible = tokio::time::timeout(grace, news.wait_for(Calls::is_quiet)).await;
    }
}

/// Runs what waits, until nobody is left who could ask for anything.
async fn run_all(calls: Weak<watch::Sender<Calls>>, mut news: watch::Receiver<Calls>, scope: String) {
    while news.wait_for(|calls| !calls.waiting.is_empty()).await.is_ok() {
        let Some(call) = change(&calls, Calls::next) else { return };
        run_logged(&call, &scope).await;
        change(&calls, |calls| {
            calls.running = false;
            None::<Call>
        });
    }
}

fn change<T>(calls: &Weak<watch::Sender<Calls>>, act: impl FnOnce(&mut Calls) -> Option<T>) -> Option<T> {
    let mut outcome = None;
    calls.upgrade()?.send_modify(|calls| outcome = act(calls));
    outcome
}

async fn run_logged(Call { script, callback, role }: &Call, scope: &str) {
    match tokio::time::timeout(LIMIT, run_one(script, *callback, *role, scope)).await {
        Ok(Ok(status)) if status.success() => tracing::info!(%script, %callback, %role, "callback script"),
        Ok(Ok(status)) => tracing::error!(%script, %callback, %role, %status, "callback script failed"),
        Ok(Err(error)) => tracing::error!(%script, %callback, %role, %error, "callback script could not be run"),
        Err(_) => tracing::error!(%script, %callback, %role, limit = ?LIMIT, "callback script was ended: it took too long"),
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
    use super::*;

    #[test]
    fn command_lines_are_split_as_a_shell_splits_them() {
        assert_eq!(words("/bin/cb.sh  -v"), ["/bin/cb.sh", "-v"]);
        assert_eq!(words(r#"/bin/cb.sh "a b" 'c "d' e\ f """#), ["/bin/cb.sh", "a b", r#"c "d"#, "e f", ""]);
        assert!(words("   ").is_empty());
    }

    fn call(callback: Callback, role: Role) -> Call {
        Call { script: "cb".to_owned(), callback, role }
    }

    #[test]
    fn of_each_callback_the_newest_waits_and_a_reload_holds_up_nothing() {
        let mut calls = Calls::default();
        assert_eq!(calls.push(call(Callback::OnReload, Role::Replica)), None);
        assert_eq!(calls.push(call(Callback::OnRoleChange, Role::Replica)), None);
        assert_eq!(calls.push(call(Callback::OnStop, Role::Replica)), None);
        let older = calls.push(call(Callback::OnRoleChange, Role::Primary));
        assert_eq!(older, Some(call(Callback::OnRoleChange, Role::Replica)));
        assert_eq!(calls.push(call(Callback::OnReload, Role::Primary)), Some(call(Callback::OnReload, Role::Replica)));
        let order: Vec<_> = std::iter::from_fn(|| calls.next()).map(|call| (call.callback, call.role)).collect();
        let wanted =
            [(Callback::OnStop, Role::Replica), (Callback::OnRoleChange, Role::Primary), (Callback::OnReload, Role::Primary)];
        assert_eq!(order, wanted);
        assert!(calls.is_quiet());
    }

    /// A script hangs, the configuration is reloaded again and again, and then this node becomes the primary.
    #[tokio::test]
    async fn the_latest_role_change_runs_whatever_waits() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).display().to_string();
        let log = Some(format!("sh -c 'echo $1 $2 >> {}' x", at("log")));
        let hangs = Some(format!("sh -c 'while [ ! -e {} ]; do sleep 0.02; done'", at("go")));
        let callbacks = Callbacks { on_start: hangs, on_reload: log.clone(), on_role_change: log, ..Callbacks::default() };
        let scripts = Scripts::start(callbacks, "main".to_owned());
        scripts.run(Callback::OnStart, Role::Replica);
        scripts.calls.subscribe().wait_for(|calls| calls.running).await.unwrap();
        for _ in 0..40 {
            scripts.run(Callback::OnReload, Role::Replica);
        }
        scripts.run(Callback::OnRoleChange, Role::Primary);
        scripts.settle(Duration::from_millis(50)).await;
        assert!(scripts.calls.borrow().running, "it hangs still");
        std::fs::write(at("go"), "").unwrap();
        scripts.settle(Duration::from_secs(20)).await;
        assert_eq!(std::fs::read_to_string(at("log")).unwrap(), "on_role_change primary\non_reload replica\n");
    }
}
