use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc};
use argon2::{Argon2, PasswordHash};

/// Users and their password hashes.
#[derive(Debug)]
pub struct Users {
    argon2: Argon2<'static>,
    hashes: HashMap<String, PasswordHash>,
    /// Verified in place of the hash of a user who does not exist.
    nobody: PasswordHash,
}

/// Why [`Users`] could not be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum UsersError {
    /// The file cannot be read.
    Io(std::io::Error),
    /// The line with this number, counted from one, is not `user:$argon2id$...`.
    Line(usize),
    /// The password cannot be hashed.
    Hash(argon2::password_hash::Error),
}

impl fmt::Display for UsersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the users cannot be read: {error}"),
            Self::Line(line) => {
                write!(
                    f,
                    "line {line} of the users is not `user:$argon2id$...`, once for each user"
                )
            }
            Self::Hash(error) => write!(f, "the password cannot be hashed: {error}"),
        }
    }
}

impl std::error::Error for UsersError {}

impl Users {
    /// Nobody yet. New passwords are hashed as `argon2` says.
    ///
    /// # Errors
    ///
    /// If the system has no randomness for a salt, or too little memory for a hash.
    pub fn new(argon2: Argon2<'static>) -> Result<Self, UsersError> {
        let nobody = argon2.hash_password(b"").map_err(UsersError::Hash)?;
        Ok(Self {
            argon2,
            hashes: HashMap::new(),
            nobody,
        })
    }

    /// Reads users from a file with a line `user:$argon2id$...` for each. Empty lines and those that begin with
    /// `#` say nothing.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or a line is not of that form.
    pub fn from_file(path: &Path) -> Result<Self, UsersError> {
        let mut users = Self::new(Argon2::default())?;
        let text = std::fs::read_to_string(path).map_err(UsersError::Io)?;
        for (index, line) in text.lines().enumerate() {
            if !line.trim().is_empty() && !line.starts_with('#') {
                users.add_line(line).ok_or(UsersError::Line(index + 1))?;
            }
        }
        Ok(users)
    }

    fn add_line(&mut self, line: &str) -> Option<()> {
        let (user, hash) = line.trim().split_once(':')?;
        let hash = phc::PasswordHash::new(hash).ok()?;
        // Without these it could never be verified.
        argon2::Params::try_from(&hash).ok()?;
        argon2::Algorithm::try_from(hash.algorithm.as_str()).ok()?;
        (hash.salt.is_some() && hash.hash.is_some()).then_some(())?;
        self.hashes
            .insert(user.to_owned(), hash)
            .is_none()
            .then_some(())
    }

    /// Adds a user, or gives one a new password.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn add(&mut self, user: &str, password: &str) -> Result<(), UsersError> {
        let hash = self
            .argon2
            .hash_password(password.as_bytes())
            .map_err(UsersError::Hash)?;
        self.hashes.insert(user.to_owned(), hash);
        Ok(())
    }

    /// Whether this is the password of this user. It computes for a long time, and for as long when there is no
    /// such user, because an answer that comes at once would tell who has an account. (A hash from a file that was
    /// made with other parameters than those of [`new`](Self::new) still takes its own time.)
    pub fn verify(&self, user: &str, password: &str) -> bool {
        let known = self.hashes.get(user);
        let hash = known.unwrap_or(&self.nobody);
        let verified = self
            .argon2
            .verify_password(password.as_bytes(), hash)
            .is_ok();
        verified && known.is_some()
    }
}
