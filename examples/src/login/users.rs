use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use argon2::password_hash::phc::{Output, Salt};
use argon2::{Algorithm, Argon2, Block, Params, PasswordHash, PasswordHasher, Version};

/// Users and their password hashes.
#[derive(Debug)]
pub struct Users {
    argon2: Argon2<'static>,
    secrets: HashMap<String, Secret>,
    /// Verified in place of the secret of a user who does not exist.
    nobody: Secret,
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
        let nobody = Secret::from_password(&argon2, "")?;
        Ok(Self {
            argon2,
            secrets: HashMap::new(),
            nobody,
        })
    }

    /// Reads users from a file with a line `user:$argon2id$...` for each. Empty lines and those
    /// that begin with `#` say nothing.
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
        let secret = Secret::new(&PasswordHash::new(hash).ok()?)?;
        self.secrets
            .insert(user.to_owned(), secret)
            .is_none()
            .then_some(())
    }

    /// Adds a user, or gives one a new password.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn add(&mut self, user: &str, password: &str) -> Result<(), UsersError> {
        let secret = Secret::from_password(&self.argon2, password)?;
        self.secrets.insert(user.to_owned(), secret);
        Ok(())
    }

    /// Whether this is the password of this user. It computes for a long time, and for as long when
    /// there is no such user, because an answer that comes at once would tell who has an account.
    /// (A hash from a file that was made with other parameters than those of [`new`](Self::new)
    /// still takes its own time.)
    pub fn verify(&self, user: &str, password: &str) -> bool {
        let known = self.secrets.get(user);
        let verified = known.unwrap_or(&self.nobody).verify(password);
        verified && known.is_some()
    }
}

thread_local! {
    /// The 19 MiB of a hash, kept for the next one: there are only as many threads on the compute
    /// lane as cores, and allocators are not made for taking and giving back such pieces all the
    /// time.
    static MEMORY: RefCell<Vec<Block>> = const { RefCell::new(Vec::new()) };
}

/// What a password is verified against.
#[derive(Debug)]
struct Secret {
    argon2: Argon2<'static>,
    blocks: usize,
    salt: Salt,
    output: Output,
}

impl Secret {
    /// `None` if it is no complete hash of argon2.
    fn new(hash: &PasswordHash) -> Option<Self> {
        let algorithm = Algorithm::try_from(hash.algorithm.as_str()).ok()?;
        let version = Version::try_from(hash.version?).ok()?;
        let params = Params::try_from(hash).ok()?;
        Some(Self {
            blocks: params.block_count(),
            argon2: Argon2::new(algorithm, version, params),
            salt: hash.salt?,
            output: hash.hash?,
        })
    }

    fn from_password(argon2: &Argon2<'static>, password: &str) -> Result<Self, UsersError> {
        let hash = argon2
            .hash_password(password.as_bytes())
            .map_err(UsersError::Hash)?;
        Ok(Self::new(&hash).expect("it has just been made"))
    }

    fn verify(&self, password: &str) -> bool {
        let mut buffer = [0; Output::MAX_LENGTH];
        let output = &mut buffer[..self.output.len()];
        let hashed = MEMORY.with_borrow_mut(|memory| {
            if memory.len() < self.blocks {
                memory.resize(self.blocks, Block::new());
            }
            let memory = &mut memory[..self.blocks];
            let password = password.as_bytes();
            self.argon2
                .hash_password_into_with_memory(password, &self.salt, output, memory)
        });
        // This comparison takes the same time wherever the two differ.
        hashed.is_ok() && Output::new(output).is_ok_and(|output| output == self.output)
    }
}
