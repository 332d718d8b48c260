use super::in_pool;
use std::fs;
use std::io;
use std::path::Path;

/// How to make a directory.
#[derive(Clone, Debug, Default)]
pub struct DirBuilder {
    recursive: bool,
    #[cfg(unix)]
    mode: Option<u32>,
}

impl DirBuilder {
    /// As [`create_dir`](super::create_dir) makes it.
    pub fn new() -> Self {
        DirBuilder::default()
    }

    /// Whether those above it that are missing are made as well; then it is no error if it is
    /// there.
    pub fn recursive(&mut self, recursive: bool) -> &mut Self {
        self.recursive = recursive;
        self
    }

    /// The permissions of what is made, from which the system takes the process's `umask`; `0o777`
    /// by default.
    #[cfg(unix)]
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = Some(mode);
        self
    }

    /// Makes it.
    ///
    /// # Errors
    ///
    /// As [`std::fs::DirBuilder::create`].
    pub async fn create(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(self.recursive);
        #[cfg(unix)]
        if let Some(mode) = self.mode {
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, mode);
        }
        let path = path.as_ref().to_owned();
        in_pool(move || builder.create(path)).await
    }
}
