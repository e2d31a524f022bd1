//! What PostgreSQL would say to the operator's values, asked before they are written.
//!
//! A server that runs takes what it can of a bad file; one that starts refuses all of it, and that start may be a failover. So a value
//! that PostgreSQL would refuse never reaches the file: `postgres -C` reads the candidates (it starts nothing and writes nothing), and
//! what it refuses is replaced by the last good value. Lines of `pg_hba.conf` have no such program; [`crate::rules`] looks at their
//! form. What only a start can tell (no memory for it, a library that does not load) is not found here.

use crate::{Settings, configure, quote, rules};
use std::{collections::BTreeMap, fmt, fmt::Write, path::PathBuf, process::Stdio, time::Duration};

/// Passes: names nobody knows are all told in one, then bad values are; the rest is for what hides behind those.
const PASSES: usize = 8;
/// What the operator has no say in.
const FIXED: [&str; 5] = ["listen_addresses", "port", "cluster_name", "hot_standby", "wal_log_hints"];
/// Of a value, in a message.
const SHOWN: usize = 80;

/// A setting that PostgreSQL would not take, and what is used instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// `parameters.work_mem`, `pg_hba`.
    pub option: String,
    /// As asked for.
    pub value: String,
    /// PostgreSQL's words.
    pub why: String,
    /// What stays in force; `None`: PostgreSQL's default.
    pub instead: Option<String>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { option, value, why, instead } = self;
        let short = |text: &str| text.chars().take(SHOWN).collect::<String>();
        write!(f, "postgresql.{option}: {} is refused: {why}; ", short(value))?;
        match instead {
            Some(instead) => write!(f, "{} stays in force", short(instead)),
            None => f.write_str("PostgreSQL's default is in force"),
        }
    }
}

/// Why it is not known.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The file of candidates.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The program.
    #[error("{} -C: {error}", program.display())]
    Program {
        /// Which.
        program: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It took too long.
    #[error("postgres -C gave no answer within {0:?}")]
    Timeout(Duration),
    /// It refused for a reason that names none of the parameters.
    #[error("postgres -C: {0}")]
    Unclear(String),
}

/// Replaces whatever PostgreSQL would refuse by the last good value, and says what. `good` are settings that were accepted before.
pub async fn accept(candidate: &mut Settings, good: &Settings, limit: Duration) -> Result<Vec<Refused>, CheckError> {
    let mut refused = lines(candidate, good);
    if let Err(error @ crate::SettingsError::SocketDir { .. }) = candidate.validate() {
        refused.push(replace(candidate, good, "unix_socket_directories", &error.to_string()));
    }
    if let Some(why) = missing_library(candidate) {
        refused.push(replace(candidate, good, "shared_preload_libraries", &why));
    }
    for _ in 0..PASSES {
        let complaints = ask(candidate, limit).await?;
        if complaints.is_empty() {
            return Ok(refused);
        }
        for (parameter, why) in complaints {
            refused.push(replace(candidate, good, &parameter, &why));
        }
    }
    Err(CheckError::Unclear("it finds fault after fault".to_owned()))
}

/// The last good value of a parameter instead of the present one; one that was refused before is none.
fn replace(candidate: &mut Settings, good: &Settings, parameter: &str, why: &str) -> Refused {
    let value = candidate.parameters.remove(parameter).unwrap_or_default();
    let known = good.parameters.get(parameter).cloned().or_else(|| configure::written(candidate, parameter));
    let instead = known.filter(|known| *known != value);
    if let Some(instead) = &instead {
        candidate.parameters.insert(parameter.to_owned(), instead.clone());
    }
    Refused { option: format!("parameters.{parameter}"), value, why: why.to_owned(), instead }
}

/// Lines of `pg_hba.conf`: all or none, as PostgreSQL does.
fn lines(candidate: &mut Settings, good: &Settings) -> Vec<Refused> {
    let Some((line, why)) = candidate.pg_hba.iter().find_map(|line| Some((line.clone(), rules::fault(line)?))) else {
        return Vec::new();
    };
    let sound = |lines: &Vec<String>| !lines.is_empty() && lines.iter().all(|line| rules::fault(line).is_none());
    let written = configure::written_lines(candidate, "pg_hba.conf").filter(sound);
    let instead = Some(good.pg_hba.clone()).filter(sound).or(written);
    candidate.pg_hba = instead.clone().unwrap_or_default();
    let instead = Some(if instead.is_some() { "the last good list" } else { "the list that initdb made" }.to_owned());
    vec![Refused { option: "pg_hba".to_owned(), value: line, why, instead }]
}

/// A library to be loaded at the start that is not where PostgreSQL looks for it: no server would start with it.
fn missing_library(settings: &Settings) -> Option<String> {
    let directory = settings.bin_dir.parent()?.join("lib");
    // Only where that is the place for sure: plpgsql is in every installation.
    if !directory.join("plpgsql.so").is_file() {
        return None;
    }
    let names = settings.parameters.get("shared_preload_libraries")?;
    let plain = |name: &str| name.trim().trim_matches('"').trim_start_matches("$libdir/").to_owned();
    let mut names = names.split(',').map(plain).filter(|name| !name.is_empty() && !name.contains('/'));
    let missing = names.find(|name| {
        let file = directory.join(name);
        !file.is_file() && !file.with_file_name(format!("{name}.so")).is_file()
    })?;
    Some(format!("{} has no {missing}.so", directory.display()))
}

/// One question: the parameters that PostgreSQL refuses, and its words.
async fn ask(settings: &Settings, limit: Duration) -> Result<BTreeMap<String, String>, CheckError> {
    let mut text = String::new();
    for (key, value) in configure::parameters(settings) {
        // As the operator wants it, also where something else is made of it: a value that means nothing is told.
        let wanted = settings.parameters.get(key).filter(|_| !FIXED.contains(&key));
        let _ = writeln!(text, "{key} = {}", quote::guc(wanted.unwrap_or(&value)));
    }
    let path = settings.state_dir.join("candidate.conf");
    let written = tokio::task::spawn_blocking({
        let path = path.clone();
        move || crate::files::write(&path, text.as_bytes(), 0o600)
    });
    let written = written.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    written.map_err(|error| CheckError::File { path: path.clone(), error })?;
    let program = settings.program("postgres");
    let mut command = tokio::process::Command::new(&program);
    command.arg("-D").arg(&settings.state_dir).args(["-C", "config_file", "-c"]);
    command.arg(format!("config_file={}", path.display()));
    // Whatever the candidates say about logging, the answer is to be read here.
    for plain in
        ["log_destination=stderr", "log_min_messages=log", "lc_messages=C", "log_line_prefix=", "log_error_verbosity=default"]
    {
        command.args(["-c", plain]);
    }
    command.env_clear().env("LC_ALL", "C").stdin(Stdio::null()).kill_on_drop(true);
    let output = match tokio::time::timeout(limit, command.output()).await {
        Err(_) => return Err(CheckError::Timeout(limit)),
        Ok(Err(error)) => return Err(CheckError::Program { program, error }),
        Ok(Ok(output)) => output,
    };
    if output.status.success() {
        return Ok(BTreeMap::new());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let found = complaints(&said, &settings.parameters);
    if found.is_empty() { Err(CheckError::Unclear(said.trim().chars().take(400).collect())) } else { Ok(found) }
}

/// Which of the parameters the server's log complains about: `… parameter "NAME" …`, and the HINT or DETAIL below it.
fn complaints(log: &str, parameters: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut last: Option<String> = None;
    for line in log.lines() {
        if let Some((_, hint)) = line.split_once("HINT:  ").or_else(|| line.split_once("DETAIL:  ")) {
            if let Some(why) = last.as_ref().and_then(|name| found.get_mut(name)) {
                let why: &mut String = why;
                let _ = write!(why, ": {}", hint.trim_end_matches('.'));
            }
            continue;
        }
        last = None;
        let Some((_, words)) = line.split_once("LOG:  ").or_else(|| line.split_once("FATAL:  ")) else { continue };
        let quoted = words.split("parameter \"").nth(1).and_then(|rest| rest.split('"').next());
        let named = quoted.and_then(|quoted| parameters.keys().find(|name| name.eq_ignore_ascii_case(quoted)));
        if let Some(name) = named {
            // Where the file of candidates lies is of no use to anybody.
            let why = words.split(" in file \"").next().unwrap_or(words);
            found.entry(name.clone()).or_insert_with(|| why.to_owned());
            last = Some(name.clone());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::sample;

    /// As PostgreSQL 15 says it.
    const LOG: &str = "\
2026-11-28 GMT [1] LOG:  skipping missing configuration file \"/s/postgresql.auto.conf\"
2026-11-28 GMT [1] LOG:  unrecognized configuration parameter \"foo\" in file \"/s/candidate.conf\" line 3
LOG:  invalid value for parameter \"DateStyle\": \"4MBx\"
HINT:  Valid units are \"B\", \"kB\".
LOG:  1 is outside the valid range for parameter \"shared_buffers\" (16 .. 1073741823)
FATAL:  configuration file \"/s/candidate.conf\" contains errors
";

    #[test]
    fn the_log_names_the_parameters() {
        let parameters = ["foo", "datestyle", "shared_buffers", "work_mem"].map(|name| (name.to_owned(), String::new())).into();
        let found = complaints(LOG, &parameters);
        let pairs: Vec<(&str, &str)> = found.iter().map(|(name, why)| (name.as_str(), why.as_str())).collect();
        assert_eq!(
            pairs,
            [
                ("datestyle", "invalid value for parameter \"DateStyle\": \"4MBx\": Valid units are \"B\", \"kB\""),
                ("foo", "unrecognized configuration parameter \"foo\""),
                ("shared_buffers", "1 is outside the valid range for parameter \"shared_buffers\" (16 .. 1073741823)"),
            ]
        );
        assert!(complaints("FATAL:  could not open file\n", &parameters).is_empty());
    }

    #[test]
    fn lists_are_taken_whole_or_not_at_all() {
        let good = Settings { pg_hba: vec!["local all all trust".into()], ..sample() };
        let mut candidate = Settings { pg_hba: vec!["local all all trust".into(), "host all all nonsense".into()], ..sample() };
        let refused = lines(&mut candidate, &good);
        assert_eq!((refused.len(), &candidate.pg_hba), (1, &good.pg_hba));
        assert!(refused[0].to_string().starts_with("postgresql.pg_hba: host all all nonsense is refused: "), "{}", refused[0]);
        assert!(lines(&mut candidate, &good).is_empty());
    }

    #[test]
    fn a_refused_value_leaves_the_last_good_one() {
        let mut good = sample();
        good.parameters.insert("work_mem".into(), "8MB".into());
        let mut candidate = sample();
        candidate.parameters.insert("work_mem".into(), "lots".into());
        candidate.parameters.insert("foo".into(), "1".into());
        let told = [replace(&mut candidate, &good, "work_mem", "w"), replace(&mut candidate, &good, "foo", "f")];
        assert_eq!(candidate.parameters, good.parameters);
        assert_eq!(told[0].to_string(), "postgresql.parameters.work_mem: lots is refused: w; 8MB stays in force");
        assert_eq!(told[1].to_string(), "postgresql.parameters.foo: 1 is refused: f; PostgreSQL's default is in force");
    }
}
