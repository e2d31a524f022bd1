//! Users of a new cluster, on its first start as primary. Done twice it does no harm.
//!
//! The operator's post-bootstrap hook is the agent's.

use crate::{
    Credentials, SessionError, Settings,
    quote::{identifier, literal},
    session,
};
use std::{fmt::Write, time::Duration};

/// What pg_rewind reads on its source (PostgreSQL documentation of pg_rewind).
const REWIND_FUNCTIONS: [&str; 4] = [
    "pg_ls_dir(text, boolean, boolean)",
    "pg_stat_file(text, boolean)",
    "pg_read_binary_file(text)",
    "pg_read_binary_file(text, bigint, bigint, boolean)",
];

/// Makes the replication and the rewind user and sets all passwords.
pub async fn users(settings: &Settings, limit: Duration) -> Result<(), SessionError> {
    session::run(settings, &script(settings), limit).await
}

/// One transaction.
fn script(settings: &Settings) -> String {
    // Passwords must not reach the server's log, whatever it is configured to write.
    let mut sql =
        "BEGIN; SET LOCAL log_min_error_statement = 'panic'; SET LOCAL password_encryption = 'scram-sha-256';\n".to_owned();
    let superuser = &settings.superuser;
    if superuser.password.is_some() {
        role(&mut sql, superuser, "SUPERUSER");
    }
    if settings.replication.username != superuser.username {
        role(&mut sql, &settings.replication, "REPLICATION");
    }
    if let Some(rewind) = &settings.rewind
        && rewind.username != superuser.username
    {
        role(&mut sql, rewind, "");
        for function in REWIND_FUNCTIONS {
            let _ = writeln!(sql, "GRANT EXECUTE ON FUNCTION pg_catalog.{function} TO {};", identifier(&rewind.username));
        }
    }
    sql.push_str("COMMIT;");
    sql
}

/// Makes the role if it is not there, then gives it its options.
fn role(sql: &mut String, user: &Credentials, options: &str) {
    let name = identifier(&user.username);
    let make = literal(&format!("CREATE ROLE {name}"));
    let password = user.password.as_ref().map(|password| format!(" PASSWORD {}", literal(password))).unwrap_or_default();
    // A block takes no parameters, and a name inside of it could end it: names travel as settings.
    let _ = writeln!(sql, "SET LOCAL tanist.role = {}; SET LOCAL tanist.make = {make};", literal(&user.username));
    sql.push_str(
        "DO $tanist$ BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = current_setting('tanist.role')) \
         THEN EXECUTE current_setting('tanist.make'); END IF; END $tanist$;\n",
    );
    let _ = writeln!(sql, "ALTER ROLE {name} WITH LOGIN {options}{password};");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_passwords_cannot_break_out() {
        let mut settings = crate::settings::tests::sample();
        settings.replication = Credentials { username: "r\"e'p$tanist$".into(), password: Some("it's; DROP".into()) };
        settings.rewind = Some(Credentials { username: "rw".into(), password: None });
        let sql = script(&settings);
        assert!(sql.contains("SET LOCAL tanist.role = 'r\"e''p$tanist$';"), "{sql}");
        assert!(sql.contains("SET LOCAL tanist.make = 'CREATE ROLE \"r\"\"e''p$tanist$\"';"), "{sql}");
        assert!(sql.contains("ALTER ROLE \"r\"\"e'p$tanist$\" WITH LOGIN REPLICATION PASSWORD 'it''s; DROP';"), "{sql}");
        assert!(sql.contains("GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_binary_file(text) TO \"rw\";"), "{sql}");
    }
}
